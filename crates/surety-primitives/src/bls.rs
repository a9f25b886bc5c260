//! BLS12-381 signatures: signatures in G1, keys in G2 (`docs/spec/network.md`, sections 1 to 3).
//!
//! A [`PublicKey`] or [`Signature`] that exists is on its curve, in its subgroup and not the point at infinity: the
//! functions that read them refuse all else. Encodings are those of EIP-2537 (what the precompiles and the contracts
//! take), the unpadded one of a set's roll, and the compressed one of signatures on the wire.

use alloc::vec::Vec;
use alloy_primitives::{B256, hex};
use blst::{BLST_ERROR, Pairing, blst_p1_affine, blst_p2_affine, min_sig};
use core::fmt;
use zeroize::Zeroizing;

/// Domain separation tag of votes' signatures (draft-irtf-cfrg-bls-signature-05, section 4.2.3, with keys in G2).
pub const SIGNATURE_TAG: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// Domain separation tag of proofs of possession.
pub const POSSESSION_TAG: &[u8] = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// The three top bits of a field element's 48 bytes: zero in every canonical one, flags in the compressed form.
const FLAGS: u8 = 0xe0;

/// What is wrong with a key or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlsError {
    /// A secret is zero, or not below the order of the group.
    #[error("secret is zero or not below the group's order")]
    Secret,
    /// One of the 16 bytes before a field element is not zero.
    #[error("byte {index} of the padding is {found:#04x}, expected 0")]
    Padding {
        /// Its place in the encoding.
        index: usize,
        /// What is there.
        found: u8,
    },
    /// A coordinate is not below the field's modulus, or the encoding has flags it should not have.
    #[error("encoding is not canonical: a coordinate is not below the field's modulus, or the flags are wrong")]
    Encoding,
    /// The coordinates are of no point of the curve.
    #[error("point is not on the curve")]
    NotOnCurve,
    /// A point of the curve outside the subgroup of prime order.
    #[error("point is not in the subgroup of prime order")]
    NotInSubgroup,
    /// The point at infinity, which is nobody's key or signature.
    #[error("point is the point at infinity")]
    Infinity,
    /// There is nothing to add up.
    #[error("found no points to add, expected one at least")]
    Empty,
    /// The signature is not this key's over this message.
    #[error("signature does not verify")]
    Signature,
}

impl From<BLST_ERROR> for BlsError {
    fn from(error: BLST_ERROR) -> Self {
        match error {
            BLST_ERROR::BLST_POINT_NOT_ON_CURVE => Self::NotOnCurve,
            BLST_ERROR::BLST_POINT_NOT_IN_GROUP => Self::NotInSubgroup,
            BLST_ERROR::BLST_PK_IS_INFINITY => Self::Infinity,
            BLST_ERROR::BLST_BAD_SCALAR => Self::Secret,
            BLST_ERROR::BLST_AGGR_TYPE_MISMATCH => Self::Empty,
            BLST_ERROR::BLST_VERIFY_FAIL => Self::Signature,
            BLST_ERROR::BLST_BAD_ENCODING | BLST_ERROR::BLST_SUCCESS => Self::Encoding,
        }
    }
}

fn checked(error: BLST_ERROR) -> Result<(), BlsError> {
    match error {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        error => Err(error.into()),
    }
}

/// A secret that signs votes. Erased from memory when dropped; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretKey(min_sig::SecretKey);

impl SecretKey {
    /// `KeyGen` of draft-irtf-cfrg-bls-signature-05, section 2.3, with an empty `key_info` and the salt
    /// SHA-256("BLS-SIG-KEYGEN-SALT-"). The same as `hkdf_mod_r` of EIP-2333.
    ///
    /// `ikm` must be as hard to guess as the key.
    pub fn generate(ikm: &[u8; 32]) -> Self {
        // It only refuses material below 32 bytes, and then gives no key: the zero one, which signs nothing valid.
        Self(min_sig::SecretKey::key_gen(ikm, &[]).unwrap_or_default())
    }

    /// From 32 bytes, big-endian; not zero and below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BlsError> {
        min_sig::SecretKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| BlsError::Secret)
    }

    /// 32 bytes, big-endian. Erased when dropped.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.sk_to_pk())
    }

    /// Signs a ballot's digest, under [`SIGNATURE_TAG`].
    pub fn sign(&self, digest: &B256) -> Signature {
        Signature(self.0.sign(digest.as_slice(), SIGNATURE_TAG, &[]))
    }

    /// Signs the message of a proof of possession, under [`POSSESSION_TAG`].
    pub fn prove_possession(&self, message: &B256) -> Signature {
        Signature(self.0.sign(message.as_slice(), POSSESSION_TAG, &[]))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A key that verifies votes: a point of G2, in the subgroup, not infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(min_sig::PublicKey);

impl PublicKey {
    /// From the encoding of EIP-2537: x.c0, x.c1, y.c0, y.c1, each 16 zero bytes and 48.
    pub fn from_eip2537(bytes: &[u8; 256]) -> Result<Self, BlsError> {
        Self::from_unpadded(&unpad(bytes)?)
    }

    /// The encoding of EIP-2537.
    pub fn to_eip2537(&self) -> [u8; 256] {
        pad(&self.to_unpadded())
    }

    /// From x.c0, x.c1, y.c0, y.c1, 48 bytes each: as in a set's roll.
    pub fn from_unpadded(bytes: &[u8; 192]) -> Result<Self, BlsError> {
        canonical_flags(bytes)?;
        let key = min_sig::PublicKey::deserialize(&swapped(bytes)).map_err(BlsError::from)?;
        key.validate()?;
        Ok(Self(key))
    }

    /// x.c0, x.c1, y.c0, y.c1, 48 bytes each.
    pub fn to_unpadded(&self) -> [u8; 192] {
        swapped(&self.0.serialize())
    }

    /// The sum of `keys`, which verifies the sum of their signatures over one message. It proves something only if
    /// everybody's possession was proved.
    pub fn sum<'a>(keys: impl IntoIterator<Item = &'a Self>) -> Result<Self, BlsError> {
        let keys: Vec<_> = keys.into_iter().map(|key| &key.0).collect();
        Self::from_sum(&min_sig::AggregatePublicKey::aggregate(&keys, false).map_err(BlsError::from)?)
    }

    /// This sum less `absent`, as the contracts compute it.
    pub fn without<'a>(&self, absent: impl IntoIterator<Item = &'a Self>) -> Result<Self, BlsError> {
        let absent: Vec<_> = absent.into_iter().map(|key| &key.0).collect();
        if absent.is_empty() {
            return Ok(*self);
        }
        let mut sum = min_sig::AggregatePublicKey::from_public_key(&self.0);
        sum.sub_aggregate(&min_sig::AggregatePublicKey::aggregate(&absent, false).map_err(BlsError::from)?);
        Self::from_sum(&sum)
    }

    fn from_sum(sum: &min_sig::AggregatePublicKey) -> Result<Self, BlsError> {
        let key = sum.to_public_key();
        // A sum of points in the subgroup is in it; it can still be infinity, if one cancels another.
        key.validate()?;
        Ok(Self(key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode_prefixed(self.to_unpadded()))
    }
}

/// A signature, or a sum of signatures: a point of G1, in the subgroup, not infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(min_sig::Signature);

impl Signature {
    /// From the encoding of EIP-2537: x and y, each 16 zero bytes and 48.
    pub fn from_eip2537(bytes: &[u8; 128]) -> Result<Self, BlsError> {
        let unpadded: [u8; 96] = unpad(bytes)?;
        canonical_flags(&unpadded)?;
        Self::validated(min_sig::Signature::deserialize(&unpadded))
    }

    /// The encoding of EIP-2537.
    pub fn to_eip2537(&self) -> [u8; 128] {
        pad(&self.0.serialize())
    }

    /// From the compressed form: x, with three flags in its top bits (draft-irtf-cfrg-pairing-friendly-curves-11,
    /// appendix C).
    pub fn from_compressed(bytes: &[u8; 48]) -> Result<Self, BlsError> {
        Self::validated(min_sig::Signature::uncompress(bytes))
    }

    /// The compressed form.
    pub fn to_compressed(&self) -> [u8; 48] {
        self.0.compress()
    }

    fn validated(signature: Result<min_sig::Signature, BLST_ERROR>) -> Result<Self, BlsError> {
        let signature = signature.map_err(BlsError::from)?;
        signature.validate(true)?;
        Ok(Self(signature))
    }

    /// The sum of `signatures`: one signature of all signers, if they signed the same message.
    pub fn sum<'a>(signatures: impl IntoIterator<Item = &'a Self>) -> Result<Self, BlsError> {
        let signatures: Vec<_> = signatures.into_iter().map(|signature| &signature.0).collect();
        let sum = min_sig::AggregateSignature::aggregate(&signatures, false).map_err(BlsError::from)?;
        Self::validated(Ok(sum.to_signature()))
    }

    /// Refuses unless this is `key`'s signature over a ballot's digest. With sums on both sides: unless all signed it.
    pub fn verify(&self, digest: &B256, key: &PublicKey) -> Result<(), BlsError> {
        self.verify_under(SIGNATURE_TAG, digest, key)
    }

    /// Refuses unless this is the sum of the signatures of all of `keys` over one digest.
    pub fn verify_aggregate<'a>(
        &self,
        digest: &B256,
        keys: impl IntoIterator<Item = &'a PublicKey>,
    ) -> Result<(), BlsError> {
        self.verify(digest, &PublicKey::sum(keys)?)
    }

    /// Refuses unless this proves that somebody holds the secret of `key`, for this message.
    pub fn verify_possession(&self, message: &B256, key: &PublicKey) -> Result<(), BlsError> {
        self.verify_under(POSSESSION_TAG, message, key)
    }

    fn verify_under(&self, tag: &[u8], message: &B256, key: &PublicKey) -> Result<(), BlsError> {
        // On this thread: blst's own `verify` hands even one pairing to a pool. Neither group is checked again: no value
        // of these types is outside it.
        let (key, signature) = (blst_p2_affine::from(key.0), blst_p1_affine::from(self.0));
        let mut pairing = Pairing::new(true, tag);
        checked(pairing.aggregate(&key, false, &signature, false, message.as_slice(), &[]))?;
        pairing.commit();
        if pairing.finalverify(None) {
            Ok(())
        } else {
            Err(BlsError::Signature)
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode_prefixed(self.to_compressed()))
    }
}

/// 64 bytes to 48, for every field element; the first 16 must be zero.
fn unpad<const PADDED: usize, const UNPADDED: usize>(bytes: &[u8; PADDED]) -> Result<[u8; UNPADDED], BlsError> {
    let mut out = [0; UNPADDED];
    for (element, (from, to)) in bytes.chunks_exact(64).zip(out.chunks_exact_mut(48)).enumerate() {
        let (padding, coordinate) = from.split_at(16);
        if let Some((at, found)) = padding.iter().enumerate().find(|(_, byte)| **byte != 0) {
            return Err(BlsError::Padding {
                index: element * 64 + at,
                found: *found,
            });
        }
        to.copy_from_slice(coordinate);
    }
    Ok(out)
}

fn pad<const UNPADDED: usize, const PADDED: usize>(bytes: &[u8; UNPADDED]) -> [u8; PADDED] {
    let mut out = [0; PADDED];
    for (from, to) in bytes.chunks_exact(48).zip(out.chunks_exact_mut(64)) {
        to.split_at_mut(16).1.copy_from_slice(from);
    }
    out
}

/// Uncompressed points carry no flags. All zeros is infinity to the precompiles, so it is here too.
fn canonical_flags(bytes: &[u8]) -> Result<(), BlsError> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(BlsError::Infinity);
    }
    if bytes
        .chunks_exact(48)
        .any(|c| c.first().is_some_and(|top| top & FLAGS != 0))
    {
        return Err(BlsError::Encoding);
    }
    Ok(())
}

/// (c0, c1) to (c1, c0), or back, in both coordinates: blst has the imaginary part first.
fn swapped(bytes: &[u8; 192]) -> [u8; 192] {
    let mut out = [0; 192];
    for (from, to) in bytes.chunks_exact(96).zip(out.chunks_exact_mut(96)) {
        let (first, second) = from.split_at(48);
        to.split_at_mut(48).0.copy_from_slice(second);
        to.split_at_mut(48).1.copy_from_slice(first);
    }
    out
}
