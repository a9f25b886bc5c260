//! The roots that quotes lead to: the vendors', or the simulated ones.

use sev::certs::snp::{Certificate, builtin};

use crate::{Error, Vendor, certificate};

/// Intel SGX Root CA.
const INTEL: &[u8] = include_bytes!("roots/intel.der");
/// AWS Nitro Enclaves Root CA G1.
const AWS: &[u8] = include_bytes!("roots/aws.der");
/// The simulated roots. Their private keys are in `src/simulated` for everybody to read.
const SIMULATED_INTEL: &[u8] = include_bytes!("roots/simulated_intel.der");
const SIMULATED_AWS: &[u8] = include_bytes!("roots/simulated_aws.der");
const SIMULATED_ARK: &[u8] = include_bytes!("roots/simulated_ark.der");
const SIMULATED_ASK: &[u8] = include_bytes!("roots/simulated_ask.der");

/// Which certificates are trusted without a signature above them.
///
/// There are two sets and no third: the vendors' roots, pinned in this crate, and simulated ones, for machines without
/// such hardware. Neither accepts what the other does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    simulated: bool,
}

impl Roots {
    /// The roots of Intel, AMD (Milan, Genoa, Turin) and AWS.
    pub const fn vendors() -> Self {
        Self { simulated: false }
    }

    /// The simulated roots. Anybody can make quotes under them: for development and tests, never for value.
    pub const fn simulated() -> Self {
        Self { simulated: true }
    }

    /// Whether these are the simulated ones.
    pub const fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// SHA-256 of a vendor's root certificates (DER), in hex.
    ///
    /// # Errors
    ///
    /// None in practice: a root of AMD that cannot be read.
    pub fn fingerprints(&self, vendor: Vendor) -> Result<Vec<String>, Error> {
        Ok(match vendor {
            Vendor::Intel => vec![certificate::fingerprint(self.intel())],
            Vendor::Aws => vec![certificate::fingerprint(self.aws())],
            Vendor::Amd => {
                let roots = self.amd()?;
                roots
                    .iter()
                    .map(|root| certificate::fingerprint(&root.ark_der))
                    .collect()
            }
        })
    }

    pub(crate) fn intel(&self) -> &'static [u8] {
        if self.simulated { SIMULATED_INTEL } else { INTEL }
    }

    pub(crate) fn aws(&self) -> &'static [u8] {
        if self.simulated { SIMULATED_AWS } else { AWS }
    }

    pub(crate) fn amd(&self) -> Result<Vec<AmdRoot>, Error> {
        if self.simulated {
            let (ark, ask) = (
                Certificate::from_der(SIMULATED_ARK),
                Certificate::from_der(SIMULATED_ASK),
            );
            return Ok(vec![AmdRoot::new("Milan", ark, ask)?]);
        }
        use builtin::{genoa, milan, turin};
        Ok(vec![
            AmdRoot::new("Milan", milan::ark(), milan::ask())?,
            AmdRoot::new("Genoa", genoa::ark(), genoa::ask())?,
            AmdRoot::new("Turin", turin::ark(), turin::ask())?,
        ])
    }
}

/// AMD's root and intermediate of one generation of processors.
pub(crate) struct AmdRoot {
    /// `Milan`, `Genoa` or `Turin`
    pub(crate) product: &'static str,
    /// root key (ARK)
    pub(crate) ark: Certificate,
    /// key that signs the chips' keys (ASK)
    pub(crate) ask: Certificate,
    /// DER of the root
    pub(crate) ark_der: Vec<u8>,
}

impl AmdRoot {
    fn new(
        product: &'static str,
        ark: std::io::Result<Certificate>,
        ask: std::io::Result<Certificate>,
    ) -> Result<Self, Error> {
        let bad = |e: std::io::Error| Error::malformed("a pinned root of AMD", e, "a certificate");
        let (ark, ask) = (ark.map_err(bad)?, ask.map_err(bad)?);
        let ark_der = ark.to_der().map_err(bad)?;
        Ok(Self {
            product,
            ark,
            ask,
            ark_der,
        })
    }
}
