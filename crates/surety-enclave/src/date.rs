//! Dates of collateral and certificates, in seconds since 1970.

use x509_cert::der::DateTime;

use crate::Error;

/// `2026-03-20T10:58:51Z`; the plain number where the calendar ends (year 9999).
pub fn date(seconds: u64) -> String {
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
        .map_or_else(|_| seconds.to_string(), |date| date.to_string())
}

/// Reads what [`date`] writes, or a plain number of seconds since 1970.
///
/// # Errors
///
/// Text that is neither.
pub fn parse_date(text: &str) -> Result<u64, Error> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let date: DateTime = text.parse().map_err(|_| {
        Error::malformed(
            "date",
            format!("`{text}`"),
            "2026-03-20T10:58:51Z, or seconds since 1970",
        )
    })?;
    Ok(date.unix_duration().as_secs())
}

/// A span in which something is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// first second
    pub(crate) from: u64,
    /// last second
    pub(crate) until: u64,
}

impl Span {
    /// Always.
    pub(crate) const ALWAYS: Self = Self {
        from: 0,
        until: u64::MAX,
    };

    /// Where both are valid.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }

    /// Refuses a time outside.
    pub(crate) fn check(self, what: &'static str, now: u64) -> Result<Self, Error> {
        if now < self.from {
            return Err(Error::NotYetValid {
                what,
                from: self.from,
                now,
            });
        }
        if now > self.until {
            return Err(Error::Expired {
                what,
                until: self.until,
                now,
            });
        }
        Ok(self)
    }
}

impl From<&x509_cert::time::Validity> for Span {
    fn from(validity: &x509_cert::time::Validity) -> Self {
        Self {
            from: validity.not_before.to_unix_duration().as_secs(),
            until: validity.not_after.to_unix_duration().as_secs(),
        }
    }
}
