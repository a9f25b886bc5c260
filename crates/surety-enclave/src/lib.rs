//! Quotes of enclaves, and what they are bound to.
//!
//! A quote is a hardware vendor's statement: *this* program, unchanged, in a machine that its owner cannot look into,
//! chose *these* 64 bytes. Here quotes of five kinds are verified against roots that are pinned in the crate, under an
//! explicit [`Policy`], at a time that the caller gives: there is no clock and no network. [`binding`] says what the
//! 64 bytes of a monitor's quote are, so that a quote cannot be used for another key, operator, contract or chain.
//!
//! ```
//! use surety_enclave::{Collateral, Error, Evidence, Policy, Quote, Roots, verify};
//!
//! # fn main() -> Result<(), Error> {
//! # let quote = include_bytes!("../testdata/tdx_quote_v4.bin");
//! # let collateral = include_str!("../testdata/tdx_quote_v4_collateral.json");
//! let evidence = Evidence::new(Quote::detect(quote)?, Collateral::from_json(collateral)?)?;
//! let now = 1_750_400_000; // 2025-06-20
//! let verified = verify(&evidence, &Policy::default(), &Roots::vendors(), now)?;
//! assert_eq!(verified.measurements["mrtd"].len(), 48);
//!
//! // Two months later the collateral has expired.
//! let refused = verify(&evidence, &Policy::default(), &Roots::vendors(), now + 60 * 86_400);
//! assert!(matches!(refused, Err(Error::Expired { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! The specification, with what is checked for each vendor and what is not, is `docs/spec/quotes.md`.

pub mod binding;
mod certificate;
mod collateral;
mod date;
mod dcap;
mod envelope;
mod error;
mod kind;
mod nitro;
mod policy;
mod quote;
mod roots;
#[cfg(feature = "simulated")]
pub mod simulated;
mod snp;
mod verified;
mod verify;

pub use binding::{Binding, verify_binding};
pub use collateral::{Collateral, DcapCollateral, SnpChain};
pub use date::{date, parse_date};
pub use envelope::{Evidence, MAX_ENVELOPE};
pub use error::{Error, Remedy};
pub use kind::{Kind, Vendor};
pub use policy::{AmdPolicy, IntelPolicy, Policy};
pub use quote::{MAX_QUOTE, Quote};
pub use roots::Roots;
pub use verified::{TcbStatus, Verified};
pub use verify::{Unverified, inspect, verify};
