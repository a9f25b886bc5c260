//! What a monitor's quote is bound to: its operator and voting key, on one chain and for one registry.

use alloy_primitives::{Address, B256, B512, U256, keccak256};
use alloy_sol_types::SolValue;

use crate::{Error, Evidence, Policy, Roots, Verified, verify};

/// What a quote's report data says: this operator's voting key, in this registry, on this chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// id of the chain
    pub chain: u64,
    /// the `Registry` contract
    pub registry: Address,
    /// the operator
    pub operator: Address,
    /// The operator's BLS public key, as it is registered (the bytes that the contract hashes).
    pub key: Vec<u8>,
}

impl Binding {
    /// The 64 bytes that the enclave must put into its quote.
    pub fn report_data(&self) -> B512 {
        report_data(self.chain, self.registry, self.operator, &self.key)
    }
}

/// `keccak256(abi.encode(keccak256("surety.quote"), chain, registry, operator, keccak256(key)))`, and 32 zero bytes.
///
/// ```
/// use alloy_primitives::address;
/// use surety_enclave::binding::report_data;
///
/// let registry = address!("1111111111111111111111111111111111111111");
/// let operator = address!("2222222222222222222222222222222222222222");
/// let data = report_data(1, registry, operator, b"key");
/// assert_ne!(data, report_data(5, registry, operator, b"key"));
/// assert!(data[32..].iter().all(|byte| *byte == 0));
/// ```
pub fn report_data(chain: u64, registry: Address, operator: Address, key: &[u8]) -> B512 {
    let words = (
        keccak256("surety.quote"),
        U256::from(chain),
        registry,
        operator,
        keccak256(key),
    );
    let hash: B256 = keccak256(words.abi_encode_params());
    let mut data = B512::ZERO;
    data[..32].copy_from_slice(hash.as_slice());
    data
}

/// Verifies evidence as [`verify`] does, and that it is bound to what is expected.
///
/// # Errors
///
/// As [`verify`]; [`Error::ReportData`] if the quote is good and about something else.
pub fn verify_binding(
    evidence: &Evidence,
    policy: &Policy,
    roots: &Roots,
    now: u64,
    expected: &Binding,
) -> Result<Verified, Error> {
    let verified = verify(evidence, policy, roots, now)?;
    let wanted = expected.report_data();
    if !verified.carries(&wanted) {
        return Err(Error::ReportData {
            found: verified.report_data.map(Box::new),
            expected: Box::new(wanted),
        });
    }
    Ok(verified)
}
