//! What the chain says of deployments, folded. Told again from the beginning after a restart or a reorganisation.

use std::collections::{BTreeMap, VecDeque};

use alloy::primitives::{Address, B256, U256};
use surety_primitives::measurement::{DeploymentId, Verdict};

/// Recorded epochs kept of one deployment, the newest.
const HISTORY: usize = 4_096;
/// Deployments that are over, kept of one service, the newest.
const ENDED: usize = 256;

/// What became of a deployment. The numbers are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Requested,
    Running,
    Drifted,
    Unreachable,
    Retiring,
    Retired,
}

impl Status {
    /// By the contract's number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Requested,
            2 => Self::Running,
            3 => Self::Drifted,
            4 => Self::Unreachable,
            5 => Self::Retiring,
            6 => Self::Retired,
            _ => return None,
        })
    }

    /// Its name in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Running => "running",
            Self::Drifted => "drifted",
            Self::Unreachable => "unreachable",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }

    /// Whether anything is still measured.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Requested | Self::Running)
    }
}

/// One recorded epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) epoch: u64,
    pub(crate) verdict: Verdict,
    pub(crate) set: u64,
    pub(crate) signers: u128,
    pub(crate) paid: bool,
    pub(crate) block: u64,
    pub(crate) transaction: B256,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) id: DeploymentId,
    pub(crate) host: Address,
    pub(crate) status: Status,
    /// block it was asked for in
    pub(crate) requested: u64,
    pub(crate) image: B256,
    pub(crate) specification: B256,
    /// seconds of an epoch
    pub(crate) epoch_seconds: u64,
    pub(crate) unreachable_after: u64,
    /// measurement root at deployment
    pub(crate) baseline: Option<B256>,
    /// Unix seconds of epoch 1's beginning
    pub(crate) start: u64,
    pub(crate) last_epoch: u64,
    pub(crate) history: VecDeque<Epoch>,
    /// what was found, and who recorded it
    pub(crate) drift: Option<(u64, B256, Address)>,
    pub(crate) punished: bool,
}

impl Deployment {
    /// Whether a report of an epoch (0: the baseline; the highest number: of drift) has nothing to add any more. A
    /// deployment that is retiring still takes what happened before: its host must not escape by retiring it.
    pub(crate) fn is_recorded(&self, epoch: u64) -> bool {
        match self.status {
            Status::Requested | Status::Running | Status::Retiring => {
                self.baseline.is_some() && self.last_epoch >= epoch
            }
            Status::Drifted | Status::Unreachable | Status::Retired => true,
        }
    }
}

/// What happened to one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// It was asked for; with what is fixed for its life.
    Requested(Box<Deployment>),
    /// The baseline was recorded.
    Baseline {
        root: B256,
        /// Unix seconds
        start: u64,
    },
    /// An epoch was recorded.
    Epoch(Epoch),
    /// Drift was.
    Drift {
        epoch: u64,
        evidence: B256,
        reporter: Address,
    },
    /// It is over, or about to be.
    Ended(Status),
    /// Its host was slashed.
    Punished,
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct Deployments {
    all: BTreeMap<U256, Deployment>,
}

impl Deployments {
    /// Takes a change in.
    pub(crate) fn apply(&mut self, id: DeploymentId, change: Change) {
        if let Change::Requested(deployment) = change {
            self.all.insert(id.0, *deployment);
            self.trim(id.service());
            return;
        }
        let Some(found) = self.all.get_mut(&id.0) else { return };
        match change {
            Change::Requested(_) => {}
            Change::Baseline { root, start } => {
                found.baseline = Some(root);
                found.start = start;
                found.status = Status::Running;
            }
            Change::Epoch(epoch) => {
                found.last_epoch = found.last_epoch.max(epoch.epoch);
                found.history.push_back(epoch);
                if found.history.len() > HISTORY {
                    found.history.pop_front();
                }
            }
            Change::Drift {
                epoch,
                evidence,
                reporter,
            } => found.drift = Some((epoch, evidence, reporter)),
            Change::Ended(status) => found.status = status,
            Change::Punished => found.punished = true,
        }
    }

    /// Of one service, oldest first.
    pub(crate) fn of(&self, service: Address) -> impl DoubleEndedIterator<Item = &Deployment> {
        let low = DeploymentId::new(service, 0).0;
        let high = low | ((U256::from(1) << 96_usize) - U256::from(1));
        self.all.range(low..=high).map(|(_, deployment)| deployment)
    }

    /// One.
    pub(crate) fn get(&self, id: DeploymentId) -> Option<&Deployment> {
        self.all.get(&id.0)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Deployment> {
        self.all.values()
    }

    fn trim(&mut self, service: Address) {
        let over: Vec<U256> = self
            .of(service)
            .filter(|d| !d.status.is_live())
            .map(|d| d.id.0)
            .collect();
        for id in over.iter().take(over.len().saturating_sub(ENDED)) {
            self.all.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(service: Address, n: u64) -> Deployment {
        Deployment {
            id: DeploymentId::new(service, n),
            host: Address::repeat_byte(9),
            status: Status::Requested,
            requested: 1,
            image: B256::ZERO,
            specification: B256::ZERO,
            epoch_seconds: 12,
            unreachable_after: 3,
            baseline: None,
            start: 0,
            last_epoch: 0,
            history: VecDeque::new(),
            drift: None,
            punished: false,
        }
    }

    #[test]
    fn a_deployment_lives_and_ends_and_others_are_not_touched() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let mut all = Deployments::default();
        for (service, n) in [(a, 1), (b, 1), (a, 2)] {
            let d = deployment(service, n);
            all.apply(d.id, Change::Requested(Box::new(d)));
        }
        let id = DeploymentId::new(a, 1);
        let root = B256::repeat_byte(7);
        all.apply(id, Change::Baseline { root, start: 100 });
        let epoch = Epoch {
            epoch: 1,
            verdict: Verdict::Intact,
            set: 3,
            signers: 7,
            paid: true,
            block: 20,
            transaction: B256::ZERO,
        };
        all.apply(id, Change::Epoch(epoch));
        all.apply(id, Change::Ended(Status::Retired));
        let found = all.get(id).expect("there");
        assert_eq!((found.baseline, found.start, found.last_epoch), (Some(root), 100, 1));
        assert!(!found.status.is_live());
        assert_eq!(all.of(a).count(), 2);
        assert!(all.of(b).all(|d| d.status == Status::Requested));
    }

    /// P2: who retires a container that drifted does not make its monitors forget.
    #[test]
    fn p2_drift_is_still_to_be_recorded_of_what_is_retiring() {
        let mut d = deployment(Address::repeat_byte(1), 1);
        assert!(!d.is_recorded(0));
        (d.baseline, d.last_epoch) = (Some(B256::ZERO), 3);
        for status in [Status::Running, Status::Retiring] {
            d.status = status;
            assert!(d.is_recorded(0) && d.is_recorded(3) && !d.is_recorded(4) && !d.is_recorded(u64::MAX));
        }
        for status in [Status::Drifted, Status::Unreachable, Status::Retired] {
            d.status = status;
            assert!(d.is_recorded(u64::MAX));
        }
    }

    #[test]
    fn p4_what_is_over_is_forgotten_in_the_end() {
        let service = Address::repeat_byte(1);
        let mut all = Deployments::default();
        for n in 1..=(ENDED as u64 + 20) {
            let d = deployment(service, n);
            let id = d.id;
            all.apply(id, Change::Requested(Box::new(d)));
            all.apply(id, Change::Ended(Status::Retired));
        }
        assert!(all.iter().count() <= ENDED + 1);
        assert!(all.get(DeploymentId::new(service, 1)).is_none());
    }
}
