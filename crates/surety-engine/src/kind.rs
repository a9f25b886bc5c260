//! Which engine.

use std::{fmt, str::FromStr};

/// An engine, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The reference.
    Interpreter,
    /// Host code made of the program's, where the host is one it can be made for; else the interpreter.
    #[default]
    Translated,
    /// Both, compared.
    Check,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Interpreter, Kind::Translated, Kind::Check];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Interpreter => "interpreter",
            Kind::Translated => "translated",
            Kind::Check => "check",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("`{name}` is no engine; they are interpreter, translated and check"))
    }
}

/// Whether programs can be translated on this host, and if not, why not. The interpreter runs them then.
pub fn translated_here() -> Result<(), &'static str> {
    #[cfg(translated)]
    {
        crate::x86_64::supported()
    }
    #[cfg(not(translated))]
    {
        Err("programs are translated on x86-64 Linux only")
    }
}
