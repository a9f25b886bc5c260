//! [`Scheme`] with BLS12-381: what the node votes with.

use super::{
    evidence,
    scheme::{Scheme, SignatureBytes},
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use alloy_primitives::B256;
use surety_primitives::{
    bls::{BlsError, SecretKey, Signature},
    certificate::{Certificate, Proven},
    set::{Set, Signers},
    vote::Ballot,
};

/// The own key, and the sets of one service whose votes can be checked.
pub struct BlsScheme {
    secret: Option<SecretKey>,
    sets: BTreeMap<u64, Arc<Set>>,
}

impl BlsScheme {
    /// Without a secret it verifies only.
    pub fn new(secret: Option<SecretKey>, sets: impl IntoIterator<Item = Arc<Set>>) -> Self {
        Self {
            secret,
            sets: sets.into_iter().map(|set| (set.number(), set)).collect(),
        }
    }

    /// Adds a set.
    pub fn insert(&mut self, set: Arc<Set>) {
        self.sets.insert(set.number(), set);
    }

    /// Forgets sets before this one.
    pub fn forget_before(&mut self, set: u64) {
        self.sets.retain(|number, _| *number >= set);
    }
}

impl Scheme for BlsScheme {
    fn sign(&self, digest: B256) -> Option<SignatureBytes> {
        let secret = self.secret.as_ref()?;
        Some(secret.sign(&digest).to_compressed().into())
    }

    fn verify(&self, set: u64, signers: Signers, digest: B256, signature: &SignatureBytes) -> bool {
        let key = self.sets.get(&set).and_then(|set| set.key_of(signers));
        let signature = Signature::from_compressed(&signature.0).ok();
        key.zip(signature)
            .is_some_and(|(key, signature)| signature.verify(&digest, &key).is_ok())
    }

    fn aggregate(&self, signatures: &[SignatureBytes]) -> Option<SignatureBytes> {
        let points = signatures.iter().map(|bytes| Signature::from_compressed(&bytes.0).ok());
        let points: Vec<_> = points.collect::<Option<_>>()?;
        Some(Signature::sum(&points).ok()?.to_compressed().into())
    }
}

impl evidence::Seal {
    /// As contracts and clients take it. Refuses a signature that is no point; it verifies nothing else.
    pub fn to_certificate(&self) -> Result<Certificate, BlsError> {
        Ok(Certificate {
            ballot: Ballot {
                service: self.service,
                set: self.set,
                root: self.root,
            },
            signers: self.signers,
            signature: Signature::from_compressed(&self.signature.0)?,
        })
    }
}

impl evidence::Proven {
    /// As `Faults` and `Tasks` take it. Refuses a signature that is no point; it verifies nothing else.
    pub fn to_proven(&self) -> Result<Proven, BlsError> {
        Ok(Proven {
            certificate: self.seal.to_certificate()?,
            vote: self.vote,
            proof: self.proof.clone(),
        })
    }
}
