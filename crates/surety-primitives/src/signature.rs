//! Compact secp256k1 signatures (EIP-2098).

use alloy_primitives::{Address, B256, Signature, U256, uint};

/// Half the order of secp256k1: the largest `s` of a signature that has only one form (EIP-2).
const HALF_ORDER: U256 = uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// `r` and `vs` = (y parity << 255) | s (EIP-2098). 64 bytes. Not checked before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactSignature {
    /// x coordinate of the ephemeral point.
    pub r: B256,
    /// y parity in the top bit, then s.
    pub vs: B256,
}

/// A signature that nobody can have made, or not over this digest, or not by this signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// s is above half the order: the same signature exists in another form (EIP-2).
    #[error("signature's s is {found}, expected at most half the order of secp256k1")]
    HighS {
        /// The s found.
        found: U256,
    },
    /// r or s out of range, or no point with that x: no key recovers.
    #[error("no signer can be recovered from the signature (r {r})")]
    Unrecoverable {
        /// The r found.
        r: B256,
    },
    /// Signed by somebody else, or over something else.
    #[error("signature recovers to {found}, expected {expected}")]
    Signer {
        /// Who is recovered.
        found: Address,
        /// Who should be.
        expected: Address,
    },
}

impl CompactSignature {
    /// Address of the key that signed `digest`.
    pub fn recover(&self, digest: &B256) -> Result<Address, SignatureError> {
        let vs = U256::from_be_bytes(self.vs.0);
        let parity = vs.bit(255);
        let mut s = vs;
        s.set_bit(255, false);
        recover(U256::from_be_bytes(self.r.0), s, parity, digest)
    }

    /// Refuses unless the key of `signer` signed `digest`.
    pub fn verify(&self, digest: &B256, signer: Address) -> Result<(), SignatureError> {
        let found = self.recover(digest)?;
        if found == signer {
            Ok(())
        } else {
            Err(SignatureError::Signer {
                found,
                expected: signer,
            })
        }
    }

    /// 64 bytes, r then vs.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut out = [0; 64];
        let (r, vs) = out.split_at_mut(32);
        r.copy_from_slice(self.r.as_slice());
        vs.copy_from_slice(self.vs.as_slice());
        out
    }

    /// From 64 bytes, r then vs.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (r, vs) = bytes.split_at(32);
        Self {
            r: B256::from_slice(r),
            vs: B256::from_slice(vs),
        }
    }

    /// Signs `digest` (deterministic nonce, RFC 6979).
    #[cfg(feature = "signing")]
    pub fn sign(key: &k256::ecdsa::SigningKey, digest: &B256) -> Result<Self, k256::ecdsa::Error> {
        let (signature, id) = key.sign_prehash_recoverable(digest.as_slice())?;
        Ok(Self::from(Signature::from((signature, id))))
    }
}

/// The low-s form of a signature.
impl From<Signature> for CompactSignature {
    fn from(signature: Signature) -> Self {
        Self::from_bytes(&signature.normalized_s().as_erc2098())
    }
}

/// Signer of `digest`, low s only.
pub(crate) fn recover(r: U256, s: U256, parity: bool, digest: &B256) -> Result<Address, SignatureError> {
    if s > HALF_ORDER {
        return Err(SignatureError::HighS { found: s });
    }
    Signature::new(r, s, parity)
        .recover_address_from_prehash(digest)
        .map_err(|_| SignatureError::Unrecoverable { r: r.into() })
}
