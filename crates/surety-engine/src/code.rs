//! Translated programs.

use std::sync::Arc;

use surety_machine::Program;

use crate::Error;

/// How to translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Count steps. Without it a program that does not end runs for ever, and how many steps it took is not known: only
    /// for measuring what counting costs.
    pub metered: bool,
    /// Use host code for known library functions ([`crate::intrinsics`]).
    pub intrinsics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            metered: true,
            intrinsics: true,
        }
    }
}

/// A program's host code. Cloning it is cheap, and any number of runs may share it.
#[derive(Clone, Debug)]
pub struct Code {
    #[cfg(translated)]
    pub(crate) native: Arc<crate::x86_64::Code>,
    #[cfg(not(translated))]
    native: Arc<std::convert::Infallible>,
}

impl Code {
    /// How many bytes of host code there are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        #[cfg(translated)]
        {
            self.native.bytes()
        }
        #[cfg(not(translated))]
        {
            match *self.native {}
        }
    }
}

/// Translates a program. `None` where that cannot be done; see [`crate::translated_here`].
pub fn translate(program: &Program, options: Options) -> Result<Option<Code>, Error> {
    if crate::translated_here().is_err() {
        return Ok(None);
    }
    #[cfg(translated)]
    {
        let native = crate::x86_64::Code::translate(program, options.metered, options.intrinsics);
        let native = native.map_err(|error| Error::Memory {
            what: "translated code",
            error,
        })?;
        Ok(Some(Code {
            native: Arc::new(native),
        }))
    }
    #[cfg(not(translated))]
    {
        let _ = (program, options);
        Ok(None)
    }
}
