//! One task for each deployment: it measures when the driver says so, deploys when it is this node's turn, and tells at
//! once what the engine tells. Bounded: one measurement at a time, each with a deadline.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use surety_chain::Contracts;
use surety_primitives::{measurement::DeploymentId, value::Value};
use surety_protocol::{
    manifest::container::Container,
    network::measure::{Finding, Seen},
};
use tokio::sync::{mpsc, watch};

use super::{config::IntegrityConfig, host::Host};
use crate::network::Completion;

/// Orders waiting for a task; the driver gives one of a kind at a time.
const ORDERS: usize = 16;

/// What is watched.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) id: DeploymentId,
    pub(crate) host: Address,
    pub(crate) baseline: Option<B256>,
    pub(crate) image: B256,
    pub(crate) specification: B256,
}

/// What the driver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Measure now.
    Measure,
    /// Make the container, unless there is one of its name.
    Deploy,
    /// This is the measurement root at deployment.
    Baseline(B256),
}

/// What came of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Unix milliseconds at which it began
    pub(crate) began: u64,
    pub(crate) seen: Seen,
    /// the measurement, whole
    pub(crate) document: Option<Arc<Value>>,
    /// why there is no measurement
    pub(crate) unreachable: Option<String>,
}

/// A running task; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    orders: mpsc::Sender<Order>,
    _alive: watch::Sender<()>,
}

impl Watch {
    /// Tells the task. What does not fit is dropped: it is behind, and ordered again.
    pub(crate) fn order(&self, order: Order) {
        if let Err(error) = self.orders.try_send(order) {
            tracing::debug!(%error, "an order is dropped");
        }
    }
}

/// Starts the tasks.
pub(crate) struct Watchers {
    pub(crate) config: Arc<IntegrityConfig>,
    pub(crate) contracts: Contracts,
    /// of each service, what its manifest says now
    pub(crate) containers: BTreeMap<Address, Arc<Container>>,
    pub(crate) tools: Arc<super::host::Tools>,
}

impl Watchers {
    /// Whether this node monitors a service.
    pub(crate) fn serves(&self, service: Address) -> bool {
        self.containers.contains_key(&service)
    }

    /// Starts one; with the pause between two measurements in milliseconds. `None` if the manifest at hand is not the
    /// deployment's.
    pub(crate) fn start(
        &self,
        subject: Subject,
        completions: mpsc::Sender<(u64, Completion)>,
        epoch: u64,
    ) -> Option<(Watch, u64)> {
        let container = self.containers.get(&subject.id.service())?.clone();
        match container.to_value().hash() {
            Ok(found) if found == subject.specification => {}
            Ok(found) => {
                tracing::error!(
                    deployment = %subject.id,
                    %found,
                    expected = %subject.specification,
                    "the manifest's container is not the one this deployment is of: not monitored"
                );
                return None;
            }
            Err(error) => {
                tracing::error!(deployment = %subject.id, %error, "the manifest's container has no hash");
                return None;
            }
        }
        let period = u64::from(container.watch.period).saturating_mul(1_000);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (alive, gone) = watch::channel(());
        let task = Task {
            host: Host::new(subject.clone(), container, self.contracts.clone(), self.tools.clone()),
            id: subject.id,
            answer: Duration::from_millis(self.config.answer_ms),
            deploy: Duration::from_secs(self.config.deploy_seconds),
            completions,
            epoch,
        };
        tokio::spawn(task.run(ordered, gone));
        let watch = Watch { orders, _alive: alive };
        Some((watch, period))
    }
}

struct Task {
    host: Host,
    id: DeploymentId,
    answer: Duration,
    deploy: Duration,
    completions: mpsc::Sender<(u64, Completion)>,
    epoch: u64,
}

impl Task {
    async fn run(mut self, mut ordered: mpsc::Receiver<Order>, mut gone: watch::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = gone.changed() => return,
                order = ordered.recv() => match order {
                    None => return,
                    Some(Order::Measure) => {
                        let measured = self.measure().await;
                        self.tell(Completion::Measured(self.id.0, Box::new(measured))).await;
                    }
                    Some(Order::Deploy) => {
                        let result = match tokio::time::timeout(self.deploy, self.host.deploy()).await {
                            Ok(result) => result,
                            Err(_) => Err(format!("not done within {} s", self.deploy.as_secs())),
                        };
                        self.tell(Completion::Deployed(self.id.0, result)).await;
                    }
                    Some(Order::Baseline(root)) => self.host.baseline(root),
                },
                () = self.host.stirred() => self.tell(Completion::Stirred(self.id.0)).await,
            }
        }
    }

    async fn tell(&self, completion: Completion) {
        let _stopping = self.completions.send((self.epoch, completion)).await;
    }

    async fn measure(&mut self) -> Measured {
        // What it is compared with, and where the host is, may take long to get, and say nothing about the host.
        let prepared = match tokio::time::timeout(self.deploy, self.host.prepare()).await {
            Ok(prepared) => prepared,
            Err(_) => Err(format!("not prepared within {} s", self.deploy.as_secs())),
        };
        let began = crate::network::now_ms();
        let without = |seen: Seen, why: String| Measured {
            began,
            seen,
            document: None,
            unreachable: Some(why),
        };
        if let Err(why) = prepared {
            return without(Seen::Unknown, why);
        }
        match tokio::time::timeout(self.answer, self.host.measure()).await {
            Ok(Ok((seen, document))) => Measured {
                began,
                seen,
                document: Some(document),
                unreachable: None,
            },
            Ok(Err(why)) => without(Seen::Unreachable, why),
            Err(_) => without(
                Seen::Unreachable,
                format!("no answer within {} ms", self.answer.as_millis()),
            ),
        }
    }
}

/// Why a file of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IntegrityError {
    /// The SSH key is none.
    #[error("integrity.ssh_key {path}: {cause}; expected an OpenSSH private key without a passphrase")]
    Key {
        /// which
        path: PathBuf,
        /// why
        cause: String,
    },
    /// The image cache.
    #[error("integrity.image_cache {path}: {cause}")]
    Cache {
        /// which
        path: PathBuf,
        /// why
        cause: String,
    },
    /// The manifest has no container.
    #[error("the manifest {0} has no [container]: there is nothing to monitor; remove it from [[integrity.service]]")]
    NoContainer(PathBuf),
    /// The address cannot be had.
    #[error("integrity.listen {address}: {source}")]
    Listen {
        /// where
        address: std::net::SocketAddr,
        /// why
        source: std::io::Error,
    },
}

/// What a host's findings are for the votes.
pub(crate) fn findings(values: impl IntoIterator<Item = Value>) -> Vec<Finding> {
    values
        .into_iter()
        .filter_map(|value| match Finding::from_value(&value) {
            Ok(finding) => Some(finding),
            Err(error) => {
                tracing::error!(%error, "a finding that cannot be told");
                None
            }
        })
        .collect()
}
