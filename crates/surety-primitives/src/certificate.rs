//! Certificates: what members of a set signed together, and proofs that a vote is among it
//! (`docs/spec/network.md`, section 3).

#[cfg(feature = "serde")]
mod json;

use crate::{
    Domain,
    bls::{BlsError, Signature},
    set::{Set, Signers},
    vote::{Ballot, MAX_PROOF, Vote, VoteError, VoteKind, verify_proof},
};
use alloc::vec::Vec;
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header};

/// Longest RLP of a certificate in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 2 + 21 + 9 + 33 + 17 + 49;

/// Longest RLP of a proven vote in bytes.
pub const MAX_PROVEN_BYTES: usize = 3 + MAX_CERTIFICATE_BYTES + 1 + 33 + 33 + 3 + 33 * MAX_PROOF;

/// The part of a set's power that must sign for a vote to count, in 1/10,000: above 5,000, at most 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quorum(u16);

/// A quorum out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quorum is {found}/10000, expected above 5000 and at most 10000")]
pub struct QuorumError {
    /// What was found, in 1/10,000.
    pub found: u16,
}

impl Quorum {
    /// What counts for a service that says nothing else: 6,667.
    pub const DEFAULT: Self = Self(6_667);

    /// From 1/10,000.
    pub const fn new(found: u16) -> Result<Self, QuorumError> {
        if found > 5_000 && found <= 10_000 {
            Ok(Self(found))
        } else {
            Err(QuorumError { found })
        }
    }

    /// In 1/10,000.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Whether `power` is enough of `total`. Nothing is enough of nothing.
    pub fn is_reached(self, power: u128, total: u128) -> bool {
        // A set's power is below 2^71: neither product overflows.
        total > 0 && power.saturating_mul(10_000) >= total.saturating_mul(u128::from(self.0))
    }
}

impl Default for Quorum {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a certificate, or what it should prove, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is of another set than it is checked against.
    #[error("certificate is of set {found_set} of {found_service}, expected set {set} of {service}")]
    AnotherSet {
        /// Its service.
        found_service: Address,
        /// Its set.
        found_set: u64,
        /// The service of the set at hand.
        service: Address,
        /// The number of the set at hand.
        set: u64,
    },
    /// Nobody signed.
    #[error("certificate has no signers")]
    NoSigners,
    /// A signer is no member.
    #[error("signers {found:#x} are not all among the {members} members")]
    SignersOutOfRange {
        /// The bitmap found.
        found: u128,
        /// How many members there are.
        members: usize,
    },
    /// The signature is not the sum of the signers'.
    #[error("signature: {0}")]
    Signature(#[from] BlsError),
    /// The vote is not under the certificate's root.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The signers are too few.
    #[error("signers have power {power} of {total}, expected {} / 10000 of it at least", quorum.0)]
    QuorumNotReached {
        /// The signers' power.
        power: u128,
        /// The set's power.
        total: u128,
        /// What is wanted.
        quorum: Quorum,
    },
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

impl From<alloy_rlp::Error> for CertificateError {
    fn from(error: alloy_rlp::Error) -> Self {
        Self::Encoding(error)
    }
}

/// One or more members' signature under a root of votes. Of one member it is a signed ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What is signed.
    pub ballot: Ballot,
    /// Who signed.
    pub signers: Signers,
    /// Sum of the signers' signatures.
    pub signature: Signature,
}

impl Certificate {
    /// Refuses unless the signature is the sum of the signers' of this set. Gives the signers' power together: the
    /// caller decides whether it is enough.
    pub fn verify(&self, domain: &Domain, set: &Set) -> Result<u128, CertificateError> {
        if (self.ballot.service, self.ballot.set) != (set.service(), set.number()) {
            return Err(CertificateError::AnotherSet {
                found_service: self.ballot.service,
                found_set: self.ballot.set,
                service: set.service(),
                set: set.number(),
            });
        }
        if self.signers.is_empty() {
            return Err(CertificateError::NoSigners);
        }
        if !set.all().contains_all(self.signers) {
            return Err(CertificateError::SignersOutOfRange {
                found: self.signers.bits(),
                members: set.members().len(),
            });
        }
        let key = set.key_of(self.signers).ok_or(BlsError::Infinity)?;
        self.signature.verify(&self.ballot.digest(domain), &key)?;
        Ok(set.power_of(self.signers))
    }

    /// As [`Certificate::verify`], and the signers must reach the quorum.
    pub fn verify_quorum(&self, domain: &Domain, set: &Set, quorum: Quorum) -> Result<u128, CertificateError> {
        // The power first: it costs nothing.
        let (power, total) = (set.power_of(self.signers), set.power());
        if !quorum.is_reached(power, total) {
            return Err(CertificateError::QuorumNotReached { power, total, quorum });
        }
        self.verify(domain, set)
    }

    /// The certificate of all of both: certificates of the same ballot by different members. `None` if they are not.
    pub fn merge(&self, other: &Self) -> Option<Self> {
        let apart = self.signers.common(other.signers).is_empty();
        (self.ballot == other.ballot && apart).then_some(())?;
        Some(Self {
            ballot: self.ballot,
            signers: self.signers.with(other.signers),
            signature: Signature::sum([&self.signature, &other.signature]).ok()?,
        })
    }

    /// Canonical RLP: [service, set, root, signers, signature], the signature compressed.
    pub fn to_rlp(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_CERTIFICATE_BYTES);
        self.encode(&mut out);
        out
    }

    /// From what [`Certificate::to_rlp`] gives, and nothing else. The signature is a point of the subgroup, and there
    /// are signers; no more is known of it.
    pub fn from_rlp(bytes: &[u8]) -> Result<Self, CertificateError> {
        bounded(bytes, MAX_CERTIFICATE_BYTES)?;
        let mut rest = bytes;
        let certificate = Self::decode(&mut rest)?;
        ended(rest)?;
        Ok(certificate)
    }

    fn payload_length(&self) -> usize {
        let ballot = &self.ballot;
        ballot.service.length()
            + ballot.set.length()
            + ballot.root.length()
            + self.signers.bits().length()
            + self.signature.to_compressed().length()
    }

    fn encoded_length(&self) -> usize {
        let payload = self.payload_length();
        payload + alloy_rlp::length_of_length(payload)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        list(self.payload_length(), out);
        self.ballot.service.encode(out);
        self.ballot.set.encode(out);
        self.ballot.root.encode(out);
        self.signers.bits().encode(out);
        self.signature.to_compressed().encode(out);
    }

    fn decode(buf: &mut &[u8]) -> Result<Self, CertificateError> {
        let mut fields = Header::decode_bytes(buf, true)?;
        let ballot = Ballot {
            service: Address::decode(&mut fields)?,
            set: u64::decode(&mut fields)?,
            root: B256::decode(&mut fields)?,
        };
        let signers = Signers::from_bits(u128::decode(&mut fields)?);
        let signature = <[u8; 48]>::decode(&mut fields)?;
        ended(fields)?;
        if signers.is_empty() {
            return Err(CertificateError::NoSigners);
        }
        Ok(Self {
            ballot,
            signers,
            signature: Signature::from_compressed(&signature)?,
        })
    }
}

/// A vote, and the certificate whose root it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who signed, and what.
    pub certificate: Certificate,
    /// The vote.
    pub vote: Vote,
    /// From the vote's leaf to the root, at most [`MAX_PROOF`] hashes.
    pub proof: Vec<B256>,
}

impl Proven {
    /// Refuses unless the signers of this set signed the vote. Gives their power together.
    pub fn verify(&self, domain: &Domain, set: &Set) -> Result<u128, CertificateError> {
        verify_proof(&self.vote, &self.proof, self.certificate.ballot.root)?;
        self.certificate.verify(domain, set)
    }

    /// Refuses unless a quorum of this set signed the vote.
    pub fn verify_quorum(&self, domain: &Domain, set: &Set, quorum: Quorum) -> Result<u128, CertificateError> {
        verify_proof(&self.vote, &self.proof, self.certificate.ballot.root)?;
        self.certificate.verify_quorum(domain, set, quorum)
    }

    /// Canonical RLP: [certificate, kind, subject, value, [hash, ...]].
    pub fn to_rlp(&self) -> Vec<u8> {
        let proof: usize = self.proof.iter().map(Encodable::length).sum();
        let payload = self.certificate.encoded_length()
            + (self.vote.kind as u8).length()
            + self.vote.subject.length()
            + self.vote.value.length()
            + proof
            + alloy_rlp::length_of_length(proof);
        let mut out = Vec::with_capacity(payload + alloy_rlp::length_of_length(payload));
        list(payload, &mut out);
        self.certificate.encode(&mut out);
        (self.vote.kind as u8).encode(&mut out);
        self.vote.subject.encode(&mut out);
        self.vote.value.encode(&mut out);
        list(proof, &mut out);
        for hash in &self.proof {
            hash.encode(&mut out);
        }
        out
    }

    /// From what [`Proven::to_rlp`] gives, and nothing else.
    pub fn from_rlp(bytes: &[u8]) -> Result<Self, CertificateError> {
        bounded(bytes, MAX_PROVEN_BYTES)?;
        let mut rest = bytes;
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        ended(rest)?;
        let certificate = Certificate::decode(&mut fields)?;
        let vote = Vote {
            kind: VoteKind::try_from(u8::decode(&mut fields)?)?,
            subject: B256::decode(&mut fields)?,
            value: B256::decode(&mut fields)?,
        };
        let mut hashes = Header::decode_bytes(&mut fields, true)?;
        ended(fields)?;
        let mut proof = Vec::new();
        while !hashes.is_empty() {
            if proof.len() == MAX_PROOF {
                return Err(VoteError::ProofTooLong { found: MAX_PROOF + 1 }.into());
            }
            proof.push(B256::decode(&mut hashes)?);
        }
        Ok(Self {
            certificate,
            vote,
            proof,
        })
    }
}

fn list(payload_length: usize, out: &mut Vec<u8>) {
    let list = true;
    Header { list, payload_length }.encode(out);
}

fn bounded(bytes: &[u8], limit: usize) -> Result<(), CertificateError> {
    let found = bytes.len();
    if found > limit {
        return Err(CertificateError::TooLong { found, limit });
    }
    Ok(())
}

fn ended(rest: &[u8]) -> Result<(), CertificateError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(CertificateError::Encoding(alloy_rlp::Error::UnexpectedLength))
    }
}
