//! The chain id that wallets use to talk to a service.

use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::SolValue;

/// Chain id of `service` on the L1 with chain id `l1`: the low 48 bits of
/// keccak256(abi.encode("surety.service", l1, service)) with bit 47 set (`docs/spec/wire.md`, section 1).
/// At least 2^47 and below 2^48.
pub fn service_chain_id(l1: u64, service: Address) -> u64 {
    let hash = keccak256(("surety.service", U256::from(l1), service).abi_encode_params());
    let [.., a, b, c, d, e, f] = hash.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f]) | 1 << 47
}
