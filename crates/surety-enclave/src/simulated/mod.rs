//! Simulated quotes, for machines without such hardware: real formats, real signatures and collateral, under roots
//! whose private keys everybody can read here. [`crate::Roots::simulated`] accepts them, by name; the vendors' roots do
//! not. They say nothing about hardware.
//!
//! ```
//! use alloy_primitives::{B256, B512};
//! use surety_enclave::{Error, Kind, Policy, Roots, simulated::Machine, verify};
//!
//! # fn main() -> Result<(), Error> {
//! let (issued, expires) = (1_800_000_000, 1_802_592_000);
//! let machine = Machine::new(B256::repeat_byte(7), issued, expires);
//! let evidence = machine.quote(Kind::TdxV4, B256::repeat_byte(1), B512::repeat_byte(2))?;
//! let verified = verify(&evidence, &Policy::default(), &Roots::simulated(), issued)?;
//! assert!(verified.simulated && verified.carries(&B512::repeat_byte(2)));
//! assert!(matches!(verify(&evidence, &Policy::default(), &Roots::vendors(), issued), Err(Error::Root { .. })));
//! # Ok(())
//! # }
//! ```

mod dcap;
mod nitro;
mod pki;
mod snp;

use alloy_primitives::{B256, B512, keccak256};

use crate::{Error, Evidence, Kind, TcbStatus};

/// A simulated machine: the same seed, dates and questions give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    seed: B256,
    issued: u64,
    expires: u64,
    debug: bool,
    revoked: bool,
    status: TcbStatus,
}

impl Machine {
    /// A machine whose certificates, collateral and documents are valid from `issued` to `expires`, both in seconds
    /// since 1970 and included, and whose keys follow from the seed.
    pub fn new(seed: B256, issued: u64, expires: u64) -> Self {
        Self {
            seed,
            issued,
            expires,
            debug: false,
            revoked: false,
            status: TcbStatus::UpToDate,
        }
    }

    /// The same with its programs in debug mode: no policy accepts them.
    #[must_use]
    pub fn in_debug_mode(mut self) -> Self {
        self.debug = true;
        self
    }

    /// The same with its certificate revoked (SGX and TDX).
    #[must_use]
    pub fn revoked(mut self) -> Self {
        self.revoked = true;
        self
    }

    /// The same with another status in the collateral (SGX and TDX; only those that Intel gives to a platform).
    #[must_use]
    pub fn with_status(mut self, status: TcbStatus) -> Self {
        self.status = status;
        self
    }

    /// A quote of a program, with collateral. The program's hash is in `mrenclave` (SGX), and followed by 16 zero bytes
    /// in `mrtd` (TDX), `launch` (SEV-SNP) and `pcr0` (Nitro). A Nitro document is made at `issued`.
    ///
    /// # Errors
    ///
    /// Dates that certificates cannot carry (after 9999, or the end before the beginning).
    pub fn quote(&self, kind: Kind, program: B256, report_data: B512) -> Result<Evidence, Error> {
        if self.expires < self.issued {
            return Err(Error::malformed(
                "the simulated machine's dates",
                format!("{} to {}", self.issued, self.expires),
                "a beginning and a later end",
            ));
        }
        match kind {
            Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5 => dcap::quote(self, kind, program, report_data),
            Kind::SevSnp => snp::quote(self, program, report_data),
            Kind::Nitro => nitro::quote(self, program, report_data),
        }
    }

    /// 32 bytes that follow from the seed and a name.
    fn derive(&self, name: &str) -> B256 {
        keccak256([self.seed.as_slice(), name.as_bytes()].concat())
    }
}

/// A simulated root, in DER, by the name of its file in `src/roots`: what `examples/simulated_roots.rs` writes.
///
/// # Errors
///
/// None in practice: an encoding that fails.
pub fn roots() -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let (ark, ask) = snp::roots()?;
    Ok(vec![
        ("simulated_intel.der", dcap::root()?.der),
        ("simulated_aws.der", nitro::root()?.der),
        ("simulated_ark.der", ark),
        ("simulated_ask.der", ask),
    ])
}

/// 48 bytes: the program's hash and zeros.
fn measured(program: B256) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..32].copy_from_slice(program.as_slice());
    bytes
}
