//! What quotes an operator of a service accepts.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Error, TcbStatus, Vendor, Verified};

/// What quotes are accepted. A debug enclave and expired, not yet valid or revoked collateral are accepted by none.
///
/// In JSON or TOML every field may be left out, and an unknown one is an error. The default accepts every vendor and
/// every measurement (a quote then says that *some* enclave holds the key: list the measurements where it matters
/// which), and a platform only if its vendor knows of nothing missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Accepted vendors.
    pub vendors: Vec<Vendor>,
    /// Accepted programs: the quote must have every register of at least one entry, with that value. Names as in
    /// [`Verified::measurements`] and [`Verified::signers`], values in 0x hex. Empty: any program.
    pub measurements: Vec<BTreeMap<String, Bytes>>,
    /// Accepted statuses of the platform. Default: `UpToDate`, and `Unrated` for the vendors that publish no levels.
    ///
    /// `UpToDate` only, since every other status names a known weakness that somebody must have judged: whoever accepts
    /// one writes it down here. `SWHardeningNeeded` is what such a judgement most often allows (the enclave's program
    /// was built with the mitigation).
    pub tcb_statuses: Vec<TcbStatus>,
    /// Advisories that are refused whatever the status, such as `INTEL-SA-00615`.
    pub refused_advisories: Vec<String>,
    /// Oldest accepted collateral ([`Verified::issued`]), in seconds. Default 30 days, which is how long Intel's
    /// is valid; less forces operators to renew earlier.
    pub max_collateral_age: u64,
    /// Rules for Intel's platforms.
    pub intel: IntelPolicy,
    /// Rules for AMD's platforms.
    pub amd: AmdPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            vendors: Vendor::ALL.to_vec(),
            measurements: Vec::new(),
            tcb_statuses: vec![TcbStatus::UpToDate, TcbStatus::Unrated],
            refused_advisories: Vec::new(),
            max_collateral_age: 30 * 24 * 3600,
            intel: IntelPolicy::default(),
            amd: AmdPolicy::default(),
        }
    }
}

/// Rules for Intel's platforms. The first three flags are those of the platform's certificate. They are allowed by default,
/// since the clouds' machines have them; Intel's status of the platform takes hyperthreading into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntelPolicy {
    /// Hyperthreading may be on.
    pub allow_smt: bool,
    /// The platform may get further processors later.
    pub allow_dynamic_platform: bool,
    /// Intel may keep the platform's keys.
    pub allow_cached_keys: bool,
    /// A TDX machine may be bound to service TDs (`mrservicetd` is not zero), which can act on its behalf. Default no.
    pub allow_service_td: bool,
    /// Lowest accepted `tcbEvaluationDataNumber` of the collateral: refuses older recoveries that are not yet expired.
    pub min_tcb_evaluation: u32,
}

impl Default for IntelPolicy {
    fn default() -> Self {
        Self {
            allow_smt: true,
            allow_dynamic_platform: true,
            allow_cached_keys: true,
            allow_service_td: false,
            min_tcb_evaluation: 0,
        }
    }
}

/// Rules for AMD's platforms, of which no status is published: what AMD's bulletins ask for is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmdPolicy {
    /// Lowest accepted version of the boot loader.
    pub min_bootloader: u8,
    /// Lowest accepted version of the security processor's operating system.
    pub min_tee: u8,
    /// Lowest accepted version of the SNP firmware.
    pub min_snp: u8,
    /// Lowest accepted microcode.
    pub min_microcode: u8,
    /// A migration agent may move the machine.
    pub allow_migration: bool,
    /// Highest accepted privilege level (VMPL) that asked for the report: 0 is the most privileged.
    pub max_vmpl: u8,
    /// The cloud provider's key (VLEK) may not have signed instead of the chip's (VCEK).
    pub refuse_vlek: bool,
}

impl Policy {
    /// Judges what verification found.
    pub(crate) fn judge(&self, quote: &Verified, now: u64) -> Result<(), Error> {
        if !self.vendors.contains(&quote.vendor) {
            return Err(Error::Policy {
                what: "the vendor",
                found: quote.vendor.to_string(),
                expected: self
                    .vendors
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        if !self.tcb_statuses.contains(&quote.tcb_status) {
            return Err(Error::TcbStatus {
                found: quote.tcb_status,
                advisories: quote.advisories.clone(),
                expected: self.tcb_statuses.clone(),
            });
        }
        let refused = |id: &&String| self.refused_advisories.iter().any(|r| r.eq_ignore_ascii_case(id));
        if let Some(advisory) = quote.advisories.iter().find(refused) {
            return Err(Error::Policy {
                what: "an advisory",
                found: advisory.clone(),
                expected: format!("none of {}", self.refused_advisories.join(", ")),
            });
        }
        if let Some(issued) = quote.issued {
            let age = now.saturating_sub(issued);
            if age > self.max_collateral_age {
                return Err(Error::TooOld {
                    what: match quote.vendor {
                        Vendor::Aws => "the document",
                        _ => "the collateral",
                    },
                    age,
                    limit: self.max_collateral_age,
                });
            }
        }
        let holds = |entry: &BTreeMap<String, Bytes>| {
            entry.iter().all(|(name, value)| {
                let found = quote.measurements.get(name).or_else(|| quote.signers.get(name));
                found == Some(value)
            })
        };
        // An entry without a register would allow everything, silently.
        if let Some(position) = self.measurements.iter().position(BTreeMap::is_empty) {
            return Err(Error::Policy {
                what: "an empty entry of its own `measurements`",
                found: format!("no register in entry {position}"),
                expected: "at least one".to_owned(),
            });
        }
        if !self.measurements.is_empty() && !self.measurements.iter().any(holds) {
            return Err(Error::Measurement {
                found: show(&quote.measurements),
                expected: self.measurements.iter().map(show).collect::<Vec<_>>().join(" or "),
            });
        }
        Ok(())
    }
}

fn show(registers: &BTreeMap<String, Bytes>) -> String {
    let pairs = registers.iter().map(|(name, value)| format!("{name} {value}"));
    pairs.collect::<Vec<_>>().join(", ")
}
