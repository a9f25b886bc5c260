//! Signatures, at arm's length: what the machines ask for, and who does it.

use alloc::{vec, vec::Vec};
use alloy_primitives::{B256, FixedBytes};
use surety_primitives::set::Signers;

/// A signature as it travels: a compressed point of G1, not yet known to be one.
pub type SignatureBytes = FixedBytes<48>;

/// Signs and verifies for one member. The node's is BLS ([`super::crypto_bls::BlsScheme`]); simulations of thousands
/// of runs use one that is cheap.
pub trait Scheme {
    /// The own signature over a ballot's digest. `None` if the scheme holds no secret.
    fn sign(&self, digest: B256) -> Option<SignatureBytes>;

    /// Whether `signature` is the sum of those of `signers`, members of the set with this number, over `digest`.
    fn verify(&self, set: u64, signers: Signers, digest: B256, signature: &SignatureBytes) -> bool;

    /// The sum of signatures. `None` if one of them is no point.
    fn aggregate(&self, signatures: &[SignatureBytes]) -> Option<SignatureBytes>;
}

/// What takes a pairing. Each names the set whose keys count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Sign a ballot.
    Sign {
        /// What is signed.
        digest: B256,
    },
    /// Is it the sum of the signers' signatures?
    Verify {
        /// Number of the set.
        set: u64,
        /// Who shall have signed.
        signers: Signers,
        /// What.
        digest: B256,
        /// The sum.
        signature: SignatureBytes,
    },
    /// Add up signatures over one digest. One verification if all are good, and one more for each if not.
    Combine {
        /// Number of the set.
        set: u64,
        /// What was signed.
        digest: B256,
        /// Member and signature, each member once.
        ballots: Vec<(usize, SignatureBytes)>,
    },
}

/// What came of a [`Work`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The signature; `None` if this node can't sign.
    Signed(Option<SignatureBytes>),
    /// Whether it is.
    Verified(bool),
    /// The sum of the good ones, who they are, and who sent garbage.
    Combined {
        /// The sum; `None` if nothing was good.
        signature: Option<SignatureBytes>,
        /// Whose are in it.
        good: Signers,
        /// Whose are not theirs.
        bad: Signers,
    },
}

impl Work {
    /// Does it. Takes about a millisecond with BLS, and a [`Work::Combine`] with garbage in it that for each ballot.
    pub fn run(&self, scheme: &impl Scheme) -> Done {
        match self {
            Self::Sign { digest } => Done::Signed(scheme.sign(*digest)),
            Self::Verify {
                set,
                signers,
                digest,
                signature,
            } => Done::Verified(scheme.verify(*set, *signers, *digest, signature)),
            Self::Combine { set, digest, ballots } => combine(scheme, *set, *digest, ballots),
        }
    }
}

fn combine(scheme: &impl Scheme, set: u64, digest: B256, ballots: &[(usize, SignatureBytes)]) -> Done {
    let sum = |of: &[(usize, SignatureBytes)]| {
        let signers: Signers = of.iter().map(|(member, _)| *member).collect();
        let signatures: Vec<_> = of.iter().map(|(_, signature)| *signature).collect();
        (
            signers,
            if of.is_empty() {
                None
            } else {
                scheme.aggregate(&signatures)
            },
        )
    };
    let (all, signature) = sum(ballots);
    if signature.is_some_and(|signature| scheme.verify(set, all, digest, &signature)) {
        return Done::Combined {
            signature,
            good: all,
            bad: Signers::NONE,
        };
    }
    let mut good = vec![];
    for (member, signature) in ballots {
        let alone = [*member].into_iter().collect();
        if scheme.verify(set, alone, digest, signature) {
            good.push((*member, *signature));
        }
    }
    let (signers, signature) = sum(&good);
    Done::Combined {
        signature,
        good: signers,
        bad: all.without(signers),
    }
}
