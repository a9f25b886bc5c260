//! One door for all kinds.

use std::collections::BTreeMap;

use alloy_primitives::{B512, Bytes};
use serde::Serialize;

use crate::{Collateral, Error, Evidence, Kind, Policy, Quote, Roots, Verified, dcap, nitro, snp};

/// Verifies a quote: every signature up to the roots, dates, revocation, the vendor's word about the platform (see
/// `docs/spec/quotes.md` for each vendor), that it is no debug enclave, and the policy. `now` is the time of
/// verification in seconds since 1970.
///
/// # Errors
///
/// The first thing that is wrong. [`Error::remedy`] says whether new collateral could help.
pub fn verify(evidence: &Evidence, policy: &Policy, roots: &Roots, now: u64) -> Result<Verified, Error> {
    let quote = evidence.quote();
    let verified = match (quote.kind(), evidence.collateral()) {
        (Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5, Collateral::Dcap(collateral)) => {
            dcap::verify(quote, collateral, &policy.intel, roots, now)?
        }
        (Kind::SevSnp, Collateral::Snp(chain)) => snp::verify(quote, chain, &policy.amd, roots, now)?,
        (Kind::Nitro, Collateral::None) => nitro::verify(quote, roots, now)?,
        // `Evidence` holds no other pairs.
        (kind, _) => {
            return Err(Error::NoCollateral {
                kind,
                expected: "the collateral of its kind",
            });
        }
    };
    policy.judge(&verified, now)?;
    Ok(verified)
}

/// What a quote claims. Anybody can write such bytes: good for messages and for finding collateral, for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unverified {
    /// format of the quote
    pub kind: Kind,
    /// what it says runs
    pub measurements: BTreeMap<String, Bytes>,
    /// who it says signed or configured that
    pub signers: BTreeMap<String, Bytes>,
    /// the 64 bytes, see [`Verified::report_data`]
    pub report_data: Option<B512>,
    /// What it says about the platform; for Intel with `fmspc`, for AMD with `chip`: what collateral is asked by.
    pub platform: BTreeMap<String, String>,
}

/// Reads a quote without verifying anything.
///
/// # Errors
///
/// A quote that is not well formed.
pub fn inspect(quote: &Quote) -> Result<Unverified, Error> {
    match quote.kind() {
        Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5 => dcap::inspect(quote),
        Kind::SevSnp => snp::inspect(quote),
        Kind::Nitro => nitro::inspect(quote),
    }
}
