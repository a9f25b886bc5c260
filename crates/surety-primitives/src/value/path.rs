//! Where in a value something is: `a.b[0].c`.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

/// Longest path in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// The field of an object.
    Key(String),
    /// The element of a list, from 0.
    Index(u32),
}

/// A path into a value: names of fields joined by dots, indices of elements in brackets. Empty, it is the value itself.
/// A name is any text without dots and brackets, and is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Segment>);

/// Why text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than any that is useful.
    #[error("path has {found} bytes, expected at most {MAX_PATH_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// More segments than a value has levels below the first.
    #[error("path has {found} segments, expected at most {}", super::MAX_DEPTH - 1)]
    TooDeep {
        /// How many.
        found: usize,
    },
    /// There is nothing between two dots, or where a name must be.
    #[error("path `{path}` has an empty name at byte {at}")]
    EmptyName {
        /// The path.
        path: String,
        /// Where.
        at: usize,
    },
    /// Brackets without a number of an element, or one with leading zeros; or a bracket alone.
    #[error("path `{path}` has no index in brackets at byte {at}, expected `[0]`, `[1]` and so on")]
    Index {
        /// The path.
        path: String,
        /// Where.
        at: usize,
    },
}

impl Path {
    /// Its segments, from the outermost.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether it is the value itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { found: path.len() });
        }
        let mut segments = Vec::new();
        let mut rest = path;
        while !rest.is_empty() {
            let at = path.len() - rest.len();
            if let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = index(inner).ok_or_else(|| PathError::Index { path: path.into(), at })?;
                segments.push(Segment::Index(index));
                rest = after;
                continue;
            }
            // Between segments there is a dot, before the first there is none.
            let name = match (segments.is_empty(), rest.strip_prefix('.')) {
                (true, None) => rest,
                (false, Some(name)) => name,
                _ => return Err(PathError::EmptyName { path: path.into(), at }),
            };
            let end = name.find(['.', '[', ']']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            if name.is_empty() {
                return Err(PathError::EmptyName { path: path.into(), at });
            }
            if after.starts_with(']') {
                return Err(PathError::Index {
                    path: path.into(),
                    at: path.len() - after.len(),
                });
            }
            segments.push(Segment::Key(name.into()));
            rest = after;
        }
        let found = segments.len();
        if found >= super::MAX_DEPTH {
            return Err(PathError::TooDeep { found });
        }
        Ok(Self(segments))
    }
}

/// `0]…`: the number, and what follows the bracket.
fn index(inner: &str) -> Option<(u32, &str)> {
    let (digits, after) = inner.split_once(']')?;
    let plain = !digits.is_empty()
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    let number = plain.then(|| digits.parse().ok()).flatten()?;
    Some((number, after))
}

/// As it is read.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if at == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}
