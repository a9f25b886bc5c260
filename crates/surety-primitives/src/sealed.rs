//! Private payloads: a value that only some operators can read (`docs/spec/network.md`, section 10).
//!
//! The payload is encrypted once, under a key of its own, and that key is wrapped for each recipient with HPKE
//! (RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305). There is no randomness here: who
//! seals passes a seed in.

use crate::value::{MAX_VALUE_BYTES, Value, ValueError};
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use alloy_rlp::{Decodable, Encodable, Header};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use core::{convert::Infallible, fmt};
use hkdf::Hkdf;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, rand_core};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Most recipients of one payload.
pub const MAX_RECIPIENTS: usize = 128;

/// Longest RLP of a sealed payload in bytes.
pub const MAX_SEALED_BYTES: usize = MAX_BOX_BYTES + MAX_RECIPIENTS * WRAPPED_BYTES + 64;

/// Longest ciphertext: salt, encoding, tag.
const MAX_BOX_BYTES: usize = SALT_BYTES + MAX_VALUE_BYTES + TAG_BYTES;

/// RLP of one recipient: list, address, encapsulated key, wrapped key.
const WRAPPED_BYTES: usize = 2 + 21 + 33 + 49;

const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// `info` of HPKE, and salt of what follows from the seed.
const INFO: &[u8] = b"surety.sealed.v1";

type Suite = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Cipher = hpke::aead::ChaCha20Poly1305;

/// An X25519 secret. Erased from memory when dropped; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// `DeriveKeyPair` of RFC 9180, section 7.1.3. `ikm` must be as hard to guess as the key.
    pub fn derive(ikm: &[u8; 32]) -> Self {
        let (secret, _) = Suite::derive_keypair(ikm);
        Self(Zeroizing::new(secret.to_bytes().into()))
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// What others seal with for this one.
    pub fn public_key(&self) -> PublicKey {
        let key = self.secret().map(|secret| Suite::sk_to_pk(&secret).to_bytes().into());
        PublicKey(key.unwrap_or_default())
    }

    /// Any 32 bytes are one.
    fn secret(&self) -> Result<<Suite as Kem>::PrivateKey, SealedError> {
        <Suite as Kem>::PrivateKey::from_bytes(self.0.as_slice()).map_err(|_| SealedError::Key)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// An X25519 public key, as an operator registers it. Not every one can be sealed for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// As `Registry` keeps it.
    pub const fn from_word(word: B256) -> Self {
        Self(word.0)
    }

    /// As `Registry` keeps it.
    pub const fn to_word(self) -> B256 {
        B256::new(self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode_prefixed(self.0))
    }
}

/// Why a value can't be sealed, or a sealed one not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// 1 to [`MAX_RECIPIENTS`].
    #[error("payload has {found} recipients, expected 1 to {MAX_RECIPIENTS}")]
    Recipients {
        /// How many there are.
        found: usize,
    },
    /// Recipients are unique and in ascending order.
    #[error("recipient {recipient} is there twice, or not above the one before it")]
    Order {
        /// Who.
        recipient: Address,
    },
    /// The recipient's key shares no secret with any other: nothing can be sealed for it.
    #[error("recipient {recipient} has a key that nothing can be sealed for")]
    WeakKey {
        /// Whose.
        recipient: Address,
    },
    /// It is not sealed for this one.
    #[error("payload is not sealed for {recipient}")]
    NotARecipient {
        /// Who asked.
        recipient: Address,
    },
    /// Another secret than it was sealed for, or something was changed.
    #[error("payload does not open with this key")]
    Key,
    /// It opens, and is not what was agreed on.
    #[error("payload has the hash {found}, expected {expected}")]
    Hash {
        /// Of what is in it.
        found: B256,
        /// What is on-chain.
        expected: B256,
    },
    /// What is in it is no value, or the value can't be encoded.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// More bytes than any has. Refused before it is read.
    #[error("encoding has {found} bytes, expected at most {limit}")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The bytes are not the canonical RLP of one.
    #[error("encoding: {0}")]
    Encoding(alloy_rlp::Error),
}

impl From<alloy_rlp::Error> for SealedError {
    fn from(error: alloy_rlp::Error) -> Self {
        Self::Encoding(error)
    }
}

/// The payload's key, for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wrapped {
    /// The operator (or account) it is for.
    pub recipient: Address,
    /// `enc` of HPKE: the ephemeral public key.
    pub encapsulated: B256,
    /// The key and its tag.
    pub key: [u8; 48],
}

/// A value that only its recipients can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sealed {
    task: B256,
    recipients: Vec<Wrapped>,
    ciphertext: Bytes,
}

/// What sealing gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// What is sent.
    pub sealed: Sealed,
    /// keccak-256 of salt and encoding: what stands on-chain for the value.
    pub hash: B256,
    /// The salt, for who must prove what the value was.
    pub salt: B256,
}

/// What opening gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The value.
    pub value: Value,
    /// What its hash on-chain is salted with.
    pub salt: B256,
}

impl Sealed {
    /// Seals `value`, which is the inputs or the output of `task`, for the recipients.
    ///
    /// `seed` must be 32 random bytes. Salt, payload key and ephemeral keys follow from it, the task and the value, so
    /// that even a seed used twice never encrypts two values under one key.
    pub fn seal(
        seed: &[u8; 32],
        task: B256,
        value: &Value,
        recipients: impl IntoIterator<Item = (Address, PublicKey)>,
    ) -> Result<Sealing, SealedError> {
        let salt = expand(seed, &[b"salt", task.as_slice(), value.hash()?.as_slice()]);
        Self::seal_salted(seed, B256::from(*salt), task, value, recipients)
    }

    /// As [`Sealed::seal`], with the salt given: for inputs of a request, whose task follows from their salted hash.
    /// `salt` must be 32 random bytes, used for this value only, and not `seed`.
    pub fn seal_salted(
        seed: &[u8; 32],
        salt: B256,
        task: B256,
        value: &Value,
        recipients: impl IntoIterator<Item = (Address, PublicKey)>,
    ) -> Result<Sealing, SealedError> {
        // One more than fits, so that what is too long is not read to its end.
        let mut recipients: Vec<_> = recipients.into_iter().take(MAX_RECIPIENTS + 1).collect();
        recipients.sort_unstable_by_key(|(recipient, _)| *recipient);
        check_recipients(recipients.iter().map(|(recipient, _)| *recipient))?;

        let encoding = Zeroizing::new(value.encode()?);
        let plaintext = Zeroizing::new([salt.as_slice(), encoding.as_slice()].concat());
        let hash = keccak256(&plaintext);
        let key = expand(seed, &[b"key", task.as_slice(), hash.as_slice()]);
        let wrap = |(recipient, public): (Address, PublicKey)| {
            let ephemeral = expand(
                seed,
                &[
                    b"ephemeral",
                    task.as_slice(),
                    hash.as_slice(),
                    recipient.as_slice(),
                    &public.0,
                ],
            );
            let weak = SealedError::WeakKey { recipient };
            let (encapsulated, key) =
                wrap(&ephemeral, &public, INFO, &associated(task, recipient), key.as_slice()).ok_or(weak)?;
            Ok(Wrapped {
                recipient,
                encapsulated: encapsulated.into(),
                key: key.try_into().map_err(|_| SealedError::Key)?,
            })
        };
        let recipients = recipients.into_iter().map(wrap).collect::<Result<_, SealedError>>()?;
        let payload = Payload {
            msg: &plaintext,
            aad: task.as_slice(),
        };
        // The key seals this one payload, so its nonce can be anything, such as zero.
        let ciphertext = cipher(&key)
            .encrypt(&[0; 12].into(), payload)
            .map_err(|_| SealedError::Key)?;
        let sealed = Self {
            task,
            recipients,
            ciphertext: ciphertext.into(),
        };
        Ok(Sealing { sealed, hash, salt })
    }

    /// Opens it as `recipient`. `hash` is what stands on-chain for the value: whatever else is in it is refused, so
    /// recipients can't be shown different values.
    pub fn open(&self, recipient: Address, secret: &SecretKey, hash: B256) -> Result<Opened, SealedError> {
        let wrapped = self.recipients.iter().find(|wrapped| wrapped.recipient == recipient);
        let wrapped = wrapped.ok_or(SealedError::NotARecipient { recipient })?;
        let encapsulated = <Suite as Kem>::EncappedKey::from_bytes(wrapped.encapsulated.as_slice());
        let key = hpke::single_shot_open::<Cipher, Kdf, Suite>(
            &OpModeR::Base,
            &secret.secret()?,
            &encapsulated.map_err(|_| SealedError::Key)?,
            INFO,
            &wrapped.key,
            &associated(self.task, recipient),
        );
        let key = Zeroizing::new(key.map_err(|_| SealedError::Key)?);
        let key = Zeroizing::new(<[u8; 32]>::try_from(key.as_slice()).map_err(|_| SealedError::Key)?);
        let payload = Payload {
            msg: &self.ciphertext,
            aad: self.task.as_slice(),
        };
        let plaintext = cipher(&key)
            .decrypt(&[0; 12].into(), payload)
            .map_err(|_| SealedError::Key)?;
        let plaintext = Zeroizing::new(plaintext);
        let found = keccak256(&plaintext);
        if found != hash {
            return Err(SealedError::Hash { found, expected: hash });
        }
        let (salt, encoding) = plaintext.split_first_chunk::<SALT_BYTES>().ok_or(SealedError::Key)?;
        Ok(Opened {
            value: Value::decode(encoding)?,
            salt: B256::new(*salt),
        })
    }

    /// The task whose inputs or output it is.
    pub fn task(&self) -> B256 {
        self.task
    }

    /// Who can open it, in ascending order.
    pub fn recipients(&self) -> &[Wrapped] {
        &self.recipients
    }

    /// Canonical RLP: [task, [[recipient, encapsulated, key], ...], ciphertext].
    pub fn to_rlp(&self) -> Vec<u8> {
        let mut recipients = Vec::new();
        for wrapped in &self.recipients {
            let payload_length = wrapped.recipient.length() + wrapped.encapsulated.length() + wrapped.key.length();
            Header {
                list: true,
                payload_length,
            }
            .encode(&mut recipients);
            wrapped.recipient.encode(&mut recipients);
            wrapped.encapsulated.encode(&mut recipients);
            wrapped.key.encode(&mut recipients);
        }
        let inner = Header {
            list: true,
            payload_length: recipients.len(),
        };
        let payload_length = self.task.length() + inner.length_with_payload() + self.ciphertext.length();
        let mut out = Vec::with_capacity(payload_length + alloy_rlp::length_of_length(payload_length));
        Header {
            list: true,
            payload_length,
        }
        .encode(&mut out);
        self.task.encode(&mut out);
        inner.encode(&mut out);
        out.extend_from_slice(&recipients);
        self.ciphertext.encode(&mut out);
        out
    }

    /// From what [`Sealed::to_rlp`] gives, and nothing else.
    pub fn from_rlp(bytes: &[u8]) -> Result<Self, SealedError> {
        bounded(bytes.len(), MAX_SEALED_BYTES)?;
        let mut rest = bytes;
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        ended(rest)?;
        let task = B256::decode(&mut fields)?;
        let mut list = Header::decode_bytes(&mut fields, true)?;
        let mut recipients = Vec::new();
        while !list.is_empty() {
            if recipients.len() == MAX_RECIPIENTS {
                return Err(SealedError::Recipients {
                    found: MAX_RECIPIENTS + 1,
                });
            }
            let mut wrapped = Header::decode_bytes(&mut list, true)?;
            recipients.push(Wrapped {
                recipient: Address::decode(&mut wrapped)?,
                encapsulated: B256::decode(&mut wrapped)?,
                key: <[u8; 48]>::decode(&mut wrapped)?,
            });
            ended(wrapped)?;
        }
        check_recipients(recipients.iter().map(|wrapped| wrapped.recipient))?;
        let ciphertext = Header::decode_bytes(&mut fields, false)?;
        ended(fields)?;
        bounded(ciphertext.len(), MAX_BOX_BYTES)?;
        Ok(Self {
            task,
            recipients,
            ciphertext: Bytes::copy_from_slice(ciphertext),
        })
    }
}

/// HPKE's single-shot sealing, base mode: encapsulated key and ciphertext. `None` if the key shares no secret.
fn wrap(
    ephemeral: &[u8; 32],
    public: &PublicKey,
    info: &[u8],
    aad: &[u8],
    message: &[u8],
) -> Option<([u8; 32], Vec<u8>)> {
    let public = <Suite as Kem>::PublicKey::from_bytes(&public.0).ok()?;
    let mut once = Once(ephemeral);
    let sealed =
        hpke::single_shot_seal_with_rng::<Cipher, Kdf, Suite>(&OpModeS::Base, &public, info, message, aad, &mut once);
    let (encapsulated, ciphertext) = sealed.ok()?;
    Some((encapsulated.to_bytes().into(), ciphertext))
}

/// HKDF-SHA-256 (RFC 5869) of the seed, for one use.
fn expand(seed: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    // It refuses only more than 255 blocks; this is one.
    let expanded = Hkdf::<Sha256>::new(Some(INFO), seed).expand(&info.concat(), out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "one block is never too long");
    out
}

fn associated(task: B256, recipient: Address) -> [u8; 52] {
    let mut out = [0; 52];
    let (first, second) = out.split_at_mut(32);
    first.copy_from_slice(task.as_slice());
    second.copy_from_slice(recipient.as_slice());
    out
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&(*key).into())
}

fn check_recipients(recipients: impl ExactSizeIterator<Item = Address>) -> Result<(), SealedError> {
    let found = recipients.len();
    if found == 0 || found > MAX_RECIPIENTS {
        return Err(SealedError::Recipients { found });
    }
    let mut last = None;
    for recipient in recipients {
        if last.is_some_and(|last| last >= recipient) {
            return Err(SealedError::Order { recipient });
        }
        last = Some(recipient);
    }
    Ok(())
}

fn bounded(found: usize, limit: usize) -> Result<(), SealedError> {
    if found > limit {
        return Err(SealedError::TooLong { found, limit });
    }
    Ok(())
}

fn ended(rest: &[u8]) -> Result<(), SealedError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(SealedError::Encoding(alloy_rlp::Error::UnexpectedLength))
    }
}

/// Gives the key material of one ephemeral key to HPKE, which asks a generator for exactly these bytes.
struct Once<'a>(&'a [u8; 32]);

impl rand_core::TryRng for Once<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for (to, from) in out.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Once<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9180, appendix A.2.1 (base mode of this suite): "Base Setup Information" and sequence number 0 of A.2.1.1.
    #[test]
    fn the_suite_is_that_of_the_rfc() {
        let secret = SecretKey::derive(&hex!(
            "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df"
        ));
        // Derived secrets are kept clamped (RFC 7748, section 5), the RFC's is not; it makes no difference.
        let unclamped = hex!("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        assert_eq!(SecretKey::from_bytes(unclamped).public_key(), secret.public_key());
        let public = secret.public_key();
        assert_eq!(
            public.to_word().0,
            hex!("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
        );
        let sealed = wrap(
            &hex!("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b"),
            &public,
            &hex!("4f6465206f6e2061204772656369616e2055726e"),
            &hex!("436f756e742d30"),
            &hex!("4265617574792069732074727574682c20747275746820626561757479"),
        );
        let expected = (
            hex!("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"),
            hex!("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28").to_vec(),
        );
        assert_eq!(sealed, Some(expected));
    }
}
