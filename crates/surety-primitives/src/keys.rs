//! The keys that follow from an operator's one secret, and their registration (`docs/spec/network.md`, section 1).

use crate::{
    Domain,
    bls::{BlsError, PublicKey, SecretKey, Signature},
};
use alloc::string::String;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Longest peer address in bytes.
pub const MAX_PEER_ADDRESS_BYTES: usize = 256;

/// Salt of everything that is derived from an operator's secret.
const SALT: &[u8] = b"surety.keys.v1";

/// The secret that signs the operator's votes. `operator` is its secp256k1 secret, 32 bytes big-endian.
pub fn voting_secret(operator: &[u8; 32]) -> SecretKey {
    SecretKey::generate(&derive(operator, b"bls12-381"))
}

/// The secret that opens what is sealed for the operator. `operator` is its secp256k1 secret, 32 bytes big-endian.
#[cfg(feature = "sealed")]
pub fn encryption_secret(operator: &[u8; 32]) -> crate::sealed::SecretKey {
    crate::sealed::SecretKey::derive(&derive(operator, b"x25519"))
}

/// HKDF-SHA-256 (RFC 5869) of the operator's secret.
fn derive(operator: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    // It refuses only more than 255 blocks; this is one.
    let expanded = Hkdf::<Sha256>::new(Some(SALT), operator).expand(info, out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "one block is never too long");
    out
}

/// Why keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The peer address is too long.
    #[error("peer address has {found} bytes, expected at most {MAX_PEER_ADDRESS_BYTES}")]
    PeerAddressTooLong {
        /// Its length.
        found: usize,
    },
    /// Nobody has shown that it holds the voting key's secret.
    #[error("proof of possession: {0}")]
    Possession(#[from] BlsError),
}

/// What an operator's owner registers with `Registry.setKeys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysRegistration {
    /// The operator.
    pub operator: Address,
    /// What its votes are verified with.
    pub key: PublicKey,
    /// That it holds the key's secret.
    pub proof: Signature,
    /// X25519 public key that private payloads are sealed for.
    pub encryption_key: B256,
    /// Where its peers find it: a multiaddress without the `/p2p` part, at most [`MAX_PEER_ADDRESS_BYTES`].
    pub peer_address: String,
}

impl KeysRegistration {
    /// Derives the keys and proves possession. `domain` names the L1 and the contract `Registry`.
    #[cfg(feature = "sealed")]
    pub fn derive(
        domain: &Domain,
        operator: Address,
        operator_secret: &[u8; 32],
        peer_address: String,
    ) -> Result<Self, KeysError> {
        let secret = voting_secret(operator_secret);
        let key = secret.public_key();
        let registration = Self {
            operator,
            key,
            proof: secret.prove_possession(&possession_message(domain, operator, &key)),
            encryption_key: encryption_secret(operator_secret).public_key().to_word(),
            peer_address,
        };
        registration.verify(domain)?;
        Ok(registration)
    }

    /// Refuses what the contract refuses.
    pub fn verify(&self, domain: &Domain) -> Result<(), KeysError> {
        let found = self.peer_address.len();
        if found > MAX_PEER_ADDRESS_BYTES {
            return Err(KeysError::PeerAddressTooLong { found });
        }
        let message = possession_message(domain, self.operator, &self.key);
        Ok(self.proof.verify_possession(&message, &self.key)?)
    }
}

/// keccak256(abi.encode(keccak256("surety.possession"), chainId, registry, operator, keccak256(key as in EIP-2537))): what
/// a proof of possession is over.
pub fn possession_message(domain: &Domain, operator: Address, key: &PublicKey) -> B256 {
    let words = (
        keccak256("surety.possession"),
        U256::from(domain.chain_id),
        domain.verifying_contract,
        operator,
        keccak256(key.to_eip2537()),
    );
    keccak256(words.abi_encode_params())
}
