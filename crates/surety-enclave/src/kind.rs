//! The kinds of quotes, and who stands behind each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Who made the hardware, and signs for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Intel: SGX enclaves and TDX virtual machines
    Intel,
    /// AMD: SEV-SNP virtual machines
    Amd,
    /// Amazon: Nitro enclaves
    Aws,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Intel, Self::Amd, Self::Aws];
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intel => "intel",
            Self::Amd => "amd",
            Self::Aws => "aws",
        })
    }
}

/// Format of a quote. The number is the one of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Intel SGX quote, version 3
    SgxV3 = 1,
    /// Intel TDX quote, version 4 (TDX 1.0 report)
    TdxV4 = 2,
    /// Intel TDX quote, version 5 (TDX 1.0, 1.5 or 1.5 extended report)
    TdxV5 = 3,
    /// AMD SEV-SNP attestation report, versions 2 to 5
    SevSnp = 4,
    /// AWS Nitro attestation document
    Nitro = 5,
}

impl Kind {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [Self::SgxV3, Self::TdxV4, Self::TdxV5, Self::SevSnp, Self::Nitro];

    /// The kind of a number of the envelope; none if there is no such kind.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Who signs for it.
    pub fn vendor(self) -> Vendor {
        match self {
            Self::SgxV3 | Self::TdxV4 | Self::TdxV5 => Vendor::Intel,
            Self::SevSnp => Vendor::Amd,
            Self::Nitro => Vendor::Aws,
        }
    }

    /// Its name, as in policies and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SgxV3 => "sgx-v3",
            Self::TdxV4 => "tdx-v4",
            Self::TdxV5 => "tdx-v5",
            Self::SevSnp => "sev-snp",
            Self::Nitro => "nitro",
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

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no such kind of quote: found `{text}`, expected one of {names}")
        })
    }
}
