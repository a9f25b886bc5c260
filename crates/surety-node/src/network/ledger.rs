//! What the chain says, folded: sets, flows, runs. Told again from the beginning after a restart or a reorganisation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy::primitives::{Address, B256, U256};
use surety_chain::bindings::Step;
use surety_primitives::{certificate::Quorum, measurement::DeploymentId, set::Set};

use super::follow::{ChainUpdate, FlowRecord, Member};
use crate::integrity::ledger::Deployments;

/// Sets kept of a service: those that runs still refer to.
const SETS: usize = 64;
/// Runs that ended, kept for questions about them.
const ENDED: usize = 10_000;

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// the flow, or the number a request is kept under
    pub(crate) flow: U256,
    /// event key; zero for a request
    pub(crate) key: B256,
    /// value hash of the event's data, or the hash of a request's inputs
    pub(crate) value: B256,
    /// block it was recorded in
    pub(crate) block: u64,
    /// the step of a request
    pub(crate) request: Option<Box<Step>>,
    /// result hash of each settled step, and who executed it
    pub(crate) settled: BTreeMap<u8, (B256, Address)>,
    /// what is left has gone back to the owner
    pub(crate) closed: bool,
}

/// A fault that can be punished from a time on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) service: Address,
    pub(crate) until: u64,
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) block: u64,
    pub(crate) time: u64,
    /// newest last
    pub(crate) sets: HashMap<Address, Vec<(Arc<Set>, Quorum)>>,
    /// Unix seconds at which the newest set of a service was fixed
    pub(crate) set_times: HashMap<Address, u64>,
    pub(crate) members: HashMap<Address, Vec<Member>>,
    pub(crate) flows: BTreeMap<U256, Arc<FlowRecord>>,
    pub(crate) deleted: BTreeMap<U256, ()>,
    pub(crate) runs: HashMap<B256, Run>,
    ended: std::collections::VecDeque<B256>,
    /// operators reported about a subject of a service
    pub(crate) reported: std::collections::HashSet<(Address, Address, B256)>,
    pub(crate) cases: HashMap<B256, Case>,
    pub(crate) deployments: Deployments,
}

/// What an update means for the driver, beyond the ledger.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing to do at once.
    None,
    /// Forget everything that came from the chain.
    Restart,
    /// A new block.
    Head,
    /// All there is has been told.
    CaughtUp,
    /// A newer set of a service is in force.
    Set(Arc<Set>, Quorum),
    /// Others may take part in the network now.
    Members,
    /// There is a flow.
    Flow(Arc<FlowRecord>),
    /// Something changed about a run.
    Run(B256),
    /// Something changed about a deployment.
    Deployment(DeploymentId),
}

impl Ledger {
    /// Takes an update in.
    pub(crate) fn apply(&mut self, update: ChainUpdate) -> News {
        match update {
            ChainUpdate::Restart => {
                *self = Self::default();
                News::Restart
            }
            ChainUpdate::Head { block, time } => {
                (self.block, self.time) = (block, time);
                News::Head
            }
            ChainUpdate::CaughtUp => News::CaughtUp,
            ChainUpdate::Set(record, quorum) => {
                let [first, second] = &record.roll;
                let set = Set::from_pages(record.service, record.set, record.fixed_at, [first, second]);
                match (set, Quorum::new(quorum)) {
                    (Ok(set), Ok(quorum)) => {
                        let set = Arc::new(set);
                        let sets = self.sets.entry(record.service).or_default();
                        if sets.last().is_some_and(|last| last.0.number() >= set.number()) {
                            return News::None;
                        }
                        self.set_times.insert(record.service, record.time);
                        sets.push((set.clone(), quorum));
                        if sets.len() > SETS {
                            sets.remove(0);
                        }
                        News::Set(set, quorum)
                    }
                    (set, quorum) => {
                        let error = set.err().map(|e| e.to_string());
                        tracing::error!(service = %record.service, set = record.set, error, ?quorum, "unreadable set");
                        News::None
                    }
                }
            }
            ChainUpdate::Members(service, members) => {
                self.members.insert(service, members);
                News::Members
            }
            ChainUpdate::Flow(flow) => {
                let flow = Arc::new(*flow);
                self.flows.insert(flow.flow, flow.clone());
                News::Flow(flow)
            }
            ChainUpdate::FlowDeleted(flow) => {
                self.deleted.insert(flow, ());
                News::None
            }
            ChainUpdate::Run {
                run,
                flow,
                key,
                value,
                block,
            } => {
                self.begin(run, flow, key, value, block, None);
                News::Run(run)
            }
            ChainUpdate::Requested {
                run,
                flow,
                owner: _,
                step,
                inputs,
                block,
            } => {
                self.begin(run, flow, B256::ZERO, inputs, block, Some(step));
                News::Run(run)
            }
            ChainUpdate::Settled {
                run,
                step,
                result,
                executor,
            } => match self.runs.get_mut(&run) {
                Some(found) => {
                    found.settled.insert(step, (result, executor));
                    News::Run(run)
                }
                None => News::None,
            },
            ChainUpdate::Closed(run) => {
                if let Some(found) = self.runs.get_mut(&run)
                    && !std::mem::replace(&mut found.closed, true)
                {
                    self.ended.push_back(run);
                    if self.ended.len() > ENDED
                        && let Some(old) = self.ended.pop_front()
                    {
                        self.runs.remove(&old);
                    }
                }
                News::Run(run)
            }
            ChainUpdate::Reported {
                case,
                service,
                operator,
                subject,
                until,
            } => {
                self.reported.insert((service, operator, subject));
                self.cases.insert(case, Case { service, until });
                News::None
            }
            ChainUpdate::Deployment(id, change) => {
                self.deployments.apply(id, *change);
                News::Deployment(id)
            }
            ChainUpdate::Punished(case) => {
                self.cases.remove(&case);
                News::None
            }
        }
    }

    fn begin(&mut self, run: B256, flow: U256, key: B256, value: B256, block: u64, request: Option<Box<Step>>) {
        self.runs.insert(
            run,
            Run {
                flow,
                key,
                value,
                block,
                request,
                settled: BTreeMap::new(),
                closed: false,
            },
        );
    }

    /// The set of a service in force at a block.
    pub(crate) fn set_at(&self, service: Address, block: u64) -> Option<(Arc<Set>, Quorum)> {
        let sets = self.sets.get(&service)?;
        sets.iter().rev().find(|(set, _)| set.fixed_at() <= block).cloned()
    }

    /// The newest set of a service.
    pub(crate) fn newest_set(&self, service: Address) -> Option<(Arc<Set>, Quorum)> {
        self.sets.get(&service)?.last().cloned()
    }

    /// Whether a flow still starts runs.
    pub(crate) fn is_active(&self, flow: U256) -> bool {
        self.flows.contains_key(&flow) && !self.deleted.contains_key(&flow)
    }

    /// The step of a run on-chain.
    pub(crate) fn step(&self, run: &Run, step: u8) -> Option<Step> {
        match &run.request {
            Some(request) => (step == 0).then(|| request.as_ref().clone()),
            None => self.flows.get(&run.flow)?.steps.get(usize::from(step)).cloned(),
        }
    }

    /// Operators of a service that may take part now.
    pub(crate) fn operators(&self, service: Address) -> Vec<Address> {
        let members = self.members.get(&service);
        members.into_iter().flatten().map(|member| member.operator).collect()
    }
}
