//! What a verified quote says.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{B512, Bytes};
use serde::{Deserialize, Serialize};

use crate::{Kind, Vendor};

/// What the vendor says about the platform's firmware, microcode and configuration (its trusted computing base).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// nothing known is missing
    UpToDate,
    /// the enclave's own software must work around a known weakness
    SWHardeningNeeded,
    /// the platform's configuration may expose a known weakness
    ConfigurationNeeded,
    /// both of the above
    ConfigurationAndSWHardeningNeeded,
    /// the TDX module was updated under the running machine, which should be started again
    TDRelaunchAdvised,
    /// the same, and the configuration may expose a known weakness
    TDRelaunchAdvisedConfigurationNeeded,
    /// updates that mend known weaknesses are missing
    OutOfDate,
    /// the same, and the configuration may expose a known weakness
    OutOfDateConfigurationNeeded,
    /// The vendor publishes no levels for this kind (SEV-SNP, Nitro): the policy's minimum versions decide.
    Unrated,
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a verified quote says. There is no other way to one than [`crate::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// format of the quote
    pub kind: Kind,
    /// who stands behind it
    pub vendor: Vendor,
    /// Verified under the simulated root: says nothing about hardware.
    pub simulated: bool,
    /// What runs, by register: `mrenclave` (SGX); `mrtd`, `rtmr0` to `rtmr3` (TDX); `launch` (SEV-SNP);
    /// `pcr0`, `pcr1`, … (Nitro).
    pub measurements: BTreeMap<String, Bytes>,
    /// Who signed or configured what runs, where it says so: `mrsigner` (SGX); `mrconfigid`, `mrowner`,
    /// `mrownerconfig`, `mrseam`, `mrsignerseam`, `mrservicetd` (TDX); `hostdata`, `idkeydigest`, `authorkeydigest` (SEV-SNP).
    /// All zero where nothing was configured.
    pub signers: BTreeMap<String, Bytes>,
    /// The 64 bytes that the enclave chose. For Nitro the user data, with zeros after it; none if that is absent or
    /// longer.
    pub report_data: Option<B512>,
    /// What the vendor says about the platform.
    pub tcb_status: TcbStatus,
    /// The vendor's advisories about it, such as `INTEL-SA-00828`.
    pub advisories: Vec<String>,
    /// Product, versions and platform, as text, for people and logs.
    pub platform: BTreeMap<String, String>,
    /// When the oldest part of the collateral that is renewed regularly was issued (Intel: TCB info, quoting enclave's
    /// identity and the PCK certificates' revocation list; Nitro: the document itself), in seconds since 1970.
    pub issued: Option<u64>,
    /// First second in which everything that was used is valid, in seconds since 1970.
    pub valid_from: u64,
    /// Last second in which everything that was used is valid: the earliest expiry of collateral and certificates, in
    /// seconds since 1970. After it the quote must be verified again, with new collateral.
    pub valid_until: u64,
}

impl Verified {
    /// Whether the quote carries exactly this report data.
    pub fn carries(&self, report_data: &B512) -> bool {
        self.report_data.as_ref() == Some(report_data)
    }
}
