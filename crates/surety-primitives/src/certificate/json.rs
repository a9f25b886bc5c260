//! JSON of certificates, for people and for calls: the fields and the encodings that the contracts take. Strict as all
//! JSON here: hex with `0x`, no unknown and no missing fields.

use super::{Certificate, Proven};
use crate::{
    bls::Signature,
    json::{Data, Quantity, address, digits, fixed},
    set::Signers,
    vote::{Ballot, Vote, VoteKind},
};
use alloc::{format, string::String, vec::Vec};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

impl Serialize for Signature {
    /// 128 bytes, as in EIP-2537.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Data(self.to_eip2537().to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = fixed::<128, D::Error>(&Data::deserialize(deserializer)?)?;
        Self::from_eip2537(&bytes).map_err(D::Error::custom)
    }
}

impl Serialize for Signers {
    /// A quantity: `0x` and hex without leading zeros.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:#x}", self.bits()))
    }
}

impl<'de> Deserialize<'de> for Signers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits(&text)?;
        if digits != "0" && digits.starts_with('0') {
            return Err(D::Error::custom("found leading zeros, expected a quantity without"));
        }
        u128::from_str_radix(digits, 16)
            .map(Self::from_bits)
            .map_err(D::Error::custom)
    }
}

/// A hash.
struct Word(B256);

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Data(self.0.to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(fixed::<32, D::Error>(&Data::deserialize(deserializer)?)?.into()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateJson {
    #[serde(with = "address")]
    service: Address,
    set: Quantity,
    root: Word,
    signers: Signers,
    signature: Signature,
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = CertificateJson {
            service: self.ballot.service,
            set: Quantity(self.ballot.set),
            root: Word(self.ballot.root),
            signers: self.signers,
            signature: self.signature,
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = CertificateJson::deserialize(deserializer)?;
        if json.signers.is_empty() {
            return Err(D::Error::custom(super::CertificateError::NoSigners));
        }
        Ok(Self {
            ballot: Ballot {
                service: json.service,
                set: json.set.0,
                root: json.root.0,
            },
            signers: json.signers,
            signature: json.signature,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum KindJson {
    Event,
    Result,
    Validation,
    Measurement,
    Finding,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteJson {
    kind: KindJson,
    subject: Word,
    value: Word,
}

impl Serialize for Vote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = VoteJson {
            kind: match self.kind {
                VoteKind::Event => KindJson::Event,
                VoteKind::Result => KindJson::Result,
                VoteKind::Validation => KindJson::Validation,
                VoteKind::Measurement => KindJson::Measurement,
                VoteKind::Finding => KindJson::Finding,
            },
            subject: Word(self.subject),
            value: Word(self.value),
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Vote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = VoteJson::deserialize(deserializer)?;
        Ok(Self {
            kind: match json.kind {
                KindJson::Event => VoteKind::Event,
                KindJson::Result => VoteKind::Result,
                KindJson::Validation => VoteKind::Validation,
                KindJson::Measurement => VoteKind::Measurement,
                KindJson::Finding => VoteKind::Finding,
            },
            subject: json.subject.0,
            value: json.value.0,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvenJson {
    certificate: Certificate,
    vote: Vote,
    #[serde(deserialize_with = "proof")]
    proof: Vec<Word>,
}

/// No more hashes are kept than a proof can have.
fn proof<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Word>, D::Error> {
    struct Hashes;

    impl<'de> serde::de::Visitor<'de> for Hashes {
        type Value = Vec<Word>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "at most {} hashes", super::MAX_PROOF)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut hashes: A) -> Result<Vec<Word>, A::Error> {
            let mut proof = Vec::new();
            while let Some(hash) = hashes.next_element()? {
                if proof.len() == super::MAX_PROOF {
                    return Err(A::Error::invalid_length(proof.len() + 1, &self));
                }
                proof.push(hash);
            }
            Ok(proof)
        }
    }

    deserializer.deserialize_seq(Hashes)
}

impl Serialize for Proven {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = ProvenJson {
            certificate: self.certificate,
            vote: self.vote,
            proof: self.proof.iter().copied().map(Word).collect(),
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Proven {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = ProvenJson::deserialize(deserializer)?;
        Ok(Self {
            certificate: json.certificate,
            vote: json.vote,
            proof: json.proof.into_iter().map(|word| word.0).collect(),
        })
    }
}
