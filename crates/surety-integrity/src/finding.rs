//! What differs (`docs/spec/integrity.md`, section 3): a finding says what was expected and what was found, and nothing
//! that varies without meaning, so that all who see the same change find the same and hash it alike.

use std::fmt;

use alloy_primitives::B256;
use sha2::{Digest, Sha256};
use surety_primitives::value::{Value, ValueError};

/// Longest `subject`, `expected` or `found`, bytes.
pub const MAX_TEXT: usize = 512;

/// Most findings of one measurement; the first in order are kept.
pub const MAX_FINDINGS: usize = 256;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, next $next:literal;)+) => {
        /// What kind of thing differs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Kind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in a finding.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// By its name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// What an operator who sees it does next.
            pub const fn next(self) -> &'static str {
                match self { $(Self::$variant => $next),+ }
            }
        }
    };
}

kinds! {
    /// A field of the identity is not what plan, image or baseline say.
    Identity = "identity", next "recreate the container from the plan; a plan that has changed needs a new deployment";
    /// No container with the id, or it has another name.
    Container = "container", next "find out who removed or renamed it, and deploy anew";
    /// The first process started with another environment than configured.
    Environment = "environment", next "find out who started the process, and deploy anew";
    /// A process that is not the image's, or not the container's own.
    Process = "process", next "look at the process from the host (`ls -l /proc/PID/exe`), then deploy anew";
    /// An exec session that the policy forbids.
    Exec = "exec", next "find out who ran it (`docker events`), and deploy anew";
    /// A start, stop or pause that the restart policy does not account for.
    Restart = "restart", next "leave starting and stopping to the engine's restart policy; deploy anew";
    /// Files were put into the container through the engine.
    Copy = "copy", next "put data into volumes, and files into the image; deploy anew";
    /// A file of the root file system differs from the layers.
    File = "file", next "list the files below `writable` if the service writes them; else deploy anew";
    /// Executable memory that a file is behind is not the image's.
    Mapping = "mapping", next "the code that runs is not the image's: stop the service, and deploy anew";
    /// Executable memory without a file, or writable and executable at once.
    Anonymous = "anonymous", next "set `policy.memory = \"jit\"` if the service compiles at run time; else deploy anew";
    /// A process is traced from outside.
    Tracer = "tracer", next "detach the debugger, and deploy anew";
    /// The engine contradicts the kernel or itself.
    Engine = "engine", next "something other than the engine has changed the container; deploy anew on a host that is trusted";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One difference. Ordered by kind, subject, expected, found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    kind: Kind,
    subject: String,
    expected: String,
    found: String,
}

/// Why a value is no finding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingError {
    /// Not an object of exactly the four fields, each a string.
    #[error("found {0}, expected a finding: an object of the strings kind, subject, expected and found")]
    Shape(String),
    /// No kind has this name.
    #[error("found the kind \"{0}\", expected one of the kinds of finding")]
    Kind(String),
    /// A string is longer than [`MAX_TEXT`].
    #[error("field `{field}` of a finding has {found} bytes, expected at most {MAX_TEXT}")]
    Long {
        /// Which.
        field: &'static str,
        /// Its length in bytes.
        found: usize,
    },
}

impl Finding {
    /// Of texts of any length: a longer one than [`MAX_TEXT`] is replaced by the SHA-256 of all of it, since a cut one
    /// would make different things equal.
    pub fn new(kind: Kind, subject: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            kind,
            subject: bounded(subject.into()),
            expected: bounded(expected.into()),
            found: bounded(found.into()),
        }
    }

    /// What kind of thing differs.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Which: a path, a variable, a field.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What should be.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What is.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// As a value: an object of four strings.
    pub fn to_value(&self) -> Value {
        Value::object([
            ("kind", Value::from(self.kind.name())),
            ("subject", self.subject.as_str().into()),
            ("expected", self.expected.as_str().into()),
            ("found", self.found.as_str().into()),
        ])
    }

    /// From a value, strictly.
    ///
    /// # Errors
    /// Other fields, other types, an unknown kind, a text that is too long.
    pub fn from_value(value: &Value) -> Result<Self, FindingError> {
        let shape = || FindingError::Shape(value.kind().to_string());
        let fields = value.as_object().filter(|fields| fields.len() == 4).ok_or_else(shape)?;
        let text = |field: &'static str| {
            let text = fields.get(field).and_then(Value::as_str).ok_or_else(shape)?;
            match text.len() {
                0..=MAX_TEXT => Ok(text.to_owned()),
                found => Err(FindingError::Long { field, found }),
            }
        };
        let kind = text("kind")?;
        Ok(Self {
            kind: Kind::named(&kind).ok_or(FindingError::Kind(kind))?,
            subject: text("subject")?,
            expected: text("expected")?,
            found: text("found")?,
        })
    }

    /// What is recorded on-chain of it: its value hash.
    ///
    /// # Errors
    /// None of a finding made by [`Self::new`]: it is far below the bounds of values.
    pub fn evidence_hash(&self) -> Result<B256, ValueError> {
        self.to_value().hash()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            subject,
            expected,
            found,
        } = self;
        write!(f, "{kind} `{subject}`: found {found:?}, expected {expected:?}")
    }
}

/// Sorted, without doubles, at most [`MAX_FINDINGS`].
pub(crate) fn normalise(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    findings.truncate(MAX_FINDINGS);
    findings
}

fn bounded(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_from_its_value() {
        for kind in Kind::ALL {
            let finding = Finding::new(*kind, "/bin/app", "0x01", "");
            assert_eq!(Finding::from_value(&finding.to_value()), Ok(finding));
            assert_eq!(Kind::named(kind.name()), Some(*kind));
        }
    }

    #[test]
    fn refuses_what_is_not_exactly_a_finding() {
        let good = Finding::new(Kind::File, "/a", "b", "c").to_value();
        let with = |key: &str, value: Value| {
            let mut fields = good.as_object().cloned().unwrap_or_default();
            fields.insert(key.to_owned(), value);
            Finding::from_value(&Value::Object(fields))
        };
        assert!(matches!(with("more", Value::Null), Err(FindingError::Shape(_))));
        assert!(matches!(with("found", Value::Null), Err(FindingError::Shape(_))));
        assert!(matches!(with("kind", "colour".into()), Err(FindingError::Kind(_))));
        assert!(matches!(
            with("found", "x".repeat(513).into()),
            Err(FindingError::Long {
                field: "found",
                found: 513
            })
        ));
        assert!(Finding::from_value(&Value::Null).is_err());
    }

    #[test]
    fn long_texts_stay_different() {
        let of = |text: String| Finding::new(Kind::Exec, text, "", "");
        let (one, other) = (of("x".repeat(600)), of("x".repeat(601)));
        assert_ne!(one, other);
        assert!(one.subject().len() <= MAX_TEXT);
        assert_eq!(of("x".repeat(512)).subject().len(), 512);
    }
}
