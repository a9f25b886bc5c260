//! The contract `Integrity` (`docs/spec/integrity.md`): plans, hosts, deployments, verdicts. Reads of [`Contracts`],
//! transactions of [`Actions`], and in [`proof`] what a client verifies without believing anybody.

pub mod proof;

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U96},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use surety_primitives::measurement::{DeploymentId, Judgement, Verdict};

use crate::{
    actions::Actions,
    bindings::{self, IIntegrity, IQuorum, IRegistry},
    contracts::Contracts,
    error::Error,
    sender::Sent,
    tokens::IERC20,
};

pub use proof::{DeploymentProof, DeploymentState, ProofError, Standing, Status, verify_deployment_proof};

/// Hosts asked for in one call.
const PAGE: u64 = 100;

/// What a service deploys: the numbers and hashes of its plan. Amounts are in wei of the token, multiples of 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// SHA-256 of the image's manifest, or of an index that names it
    pub image: B256,
    /// value hash of the manifest's `[container]` part
    pub specification: B256,
    /// seconds of an epoch
    pub epoch: u32,
    /// unreachable epochs in a row that end a deployment
    pub unreachable_after: u16,
    /// to all monitors together, for each epoch recorded
    pub reward: u128,
    /// to the host, for each epoch recorded as intact
    pub host_reward: u128,
}

/// Where an operator hosts containers of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// the operator
    pub operator: Address,
    /// `ssh://user@host:port`, or `unix:` and a path
    pub endpoint: String,
    /// SHA-256 fingerprint of the SSH host key; zero if there is none
    pub host_key: B256,
}

/// One epoch as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRecord {
    /// its number, from 1
    pub epoch: u32,
    /// what the quorum said
    pub verdict: Verdict,
    /// the set that signed
    pub set: u32,
    /// bit i: member i of the set
    pub signers: u128,
    /// whether the signers were paid
    pub paid: bool,
    /// block it was recorded in
    pub block: u64,
    /// the transaction
    pub transaction: B256,
}

/// What the chain says of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentInfo {
    /// its number
    pub id: DeploymentId,
    /// state, as a proof of it would say
    pub state: DeploymentState,
    /// who recorded the drift; zero if it is not drifted
    pub reporter: Address,
}

fn verdict_of(verdict: bindings::Verdict) -> Option<Verdict> {
    Verdict::try_from(verdict as u8).ok()
}

fn status_of(status: bindings::Status) -> Status {
    Status::try_from(status as u8).unwrap_or(Status::None)
}

impl Contracts {
    async fn integrity<C: SolCall>(&self, call: C) -> Result<C::Return, Error> {
        self.rpc().call(self.deployment().integrity, call).await
    }

    /// A service's plan; `None` if it has none.
    pub async fn plan(&self, service: Address) -> Result<Option<Plan>, Error> {
        let plan = self.integrity(IIntegrity::planOfCall { service }).await?;
        let epoch: u32 = plan.epoch.to();
        Ok((epoch != 0).then_some(Plan {
            image: plan.image,
            specification: plan.specification,
            epoch,
            unreachable_after: plan.unreachableAfter,
            reward: plan.reward.to(),
            host_reward: plan.hostReward.to(),
        }))
    }

    /// How many members are drawn at most into a service's next set.
    pub async fn set_size(&self, service: Address) -> Result<u8, Error> {
        self.rpc()
            .call(self.deployment().quorum, IQuorum::sizeOfCall { service })
            .await
    }

    /// How many members a set has; 0 if there is no such set.
    pub async fn set_members(&self, service: Address, set: u64) -> Result<u8, Error> {
        let header = self
            .rpc()
            .call(self.deployment().quorum, IQuorum::setOfCall { service, set })
            .await?;
        Ok(header.members)
    }

    /// Where an operator hosts containers of a service; `None` if it never registered for that.
    pub async fn host(&self, service: Address, operator: Address) -> Result<Option<HostInfo>, Error> {
        let host = self
            .rpc()
            .call(self.deployment().registry, IRegistry::hostOfCall { service, operator })
            .await?;
        Ok(host.registered.then_some(HostInfo {
            operator,
            endpoint: host.endpoint,
            host_key: host.hostKey,
        }))
    }

    /// All hosts of a service, in order of registration, at most `limit`.
    pub async fn hosts(&self, service: Address, limit: usize) -> Result<Vec<HostInfo>, Error> {
        let mut all = Vec::new();
        while all.len() < limit {
            let call = IRegistry::hostsOfCall {
                service,
                start: U256::from(all.len()),
                limit: U256::from(PAGE),
            };
            let page = self.rpc().call(self.deployment().registry, call).await?;
            let last = page.len() < PAGE as usize;
            for operator in page {
                all.extend(self.host(service, operator).await?);
            }
            if last {
                break;
            }
        }
        all.truncate(limit);
        Ok(all)
    }

    /// How many deployments a service ever asked for.
    pub async fn deployment_count(&self, service: Address) -> Result<u64, Error> {
        let count = self.integrity(IIntegrity::deploymentCountCall { service }).await?;
        u64::try_from(count).map_err(|_| Error::Local(format!("{service} has {count} deployments, expected fewer")))
    }

    /// A deployment; `None` if there is none with this number.
    pub async fn deployed(&self, id: DeploymentId) -> Result<Option<DeploymentInfo>, Error> {
        let d = self
            .integrity(IIntegrity::deploymentOfCall { deployment: id.0 })
            .await?;
        let status = status_of(d.status);
        Ok((status != Status::None).then(|| DeploymentInfo {
            id,
            state: DeploymentState {
                status,
                last_epoch: d.lastEpoch,
                set: d.set,
                set_expires: d.expiry.to(),
                paid: d.paid,
                intact: d.intact,
                unreachable: d.unreachable,
                escrow: d.escrow.to(),
                start: d.start.to(),
                epoch: d.epoch.to(),
                unreachable_after: d.unreachableAfter,
                quorum: d.quorum,
                reward: d.reward.to(),
                host_reward: d.hostReward.to(),
                requested_at: d.requestedAt.to(),
                host: d.host,
                collected: d.collected,
                retired_at: d.retiredAt.to(),
                locked: d.locked,
                baseline: d.baseline,
                image: d.image,
                specification: d.specification,
                evidence: d.evidence,
            },
            reporter: d.reporter,
        }))
    }

    /// All epochs recorded of a deployment, in the order of the chain.
    pub async fn epochs(&self, id: DeploymentId) -> Result<Vec<EpochRecord>, Error> {
        let filter = Filter::new()
            .address(self.deployment().integrity)
            .event_signature(IIntegrity::EpochRecorded::SIGNATURE_HASH)
            .topic1(id.0);
        let from = self.deployment().from_block;
        let logs = self.history(filter, from).await?;
        Ok(logs
            .iter()
            .filter_map(|log| {
                let event = IIntegrity::EpochRecorded::decode_log(&log.inner).ok()?;
                Some(EpochRecord {
                    epoch: event.epoch,
                    verdict: verdict_of(event.verdict)?,
                    set: event.set,
                    signers: event.signers,
                    paid: event.paid,
                    block: log.block_number?,
                    transaction: log.transaction_hash?,
                })
            })
            .collect())
    }

    /// What a member of a set earned with a deployment and was not collected, in wei of the token.
    pub async fn uncollected_monitor(&self, id: DeploymentId, set: u64, seat: u8) -> Result<U256, Error> {
        let deployment = id.0;
        self.integrity(IIntegrity::uncollectedOfCall { deployment, set, seat })
            .await
    }

    /// What a deployment's host earned and was not collected, in wei of the token.
    pub async fn uncollected_host(&self, id: DeploymentId) -> Result<U256, Error> {
        self.integrity(IIntegrity::uncollectedOfHostCall { deployment: id.0 })
            .await
    }

    /// What an account can withdraw from `Integrity`, in wei of the token.
    pub async fn integrity_credit(&self, account: Address) -> Result<U256, Error> {
        self.integrity(IIntegrity::creditOfCall { account }).await
    }

    /// keccak-256 of the quote's envelope that an operator registered last; `None` if it has none.
    pub async fn quote_hash(&self, operator: Address) -> Result<Option<B256>, Error> {
        let hash = self.integrity(IIntegrity::quoteOfCall { operator }).await?;
        Ok((!hash.is_zero()).then_some(hash))
    }

    /// The envelope of the quote that an operator registered last, from the log; `None` if it has none.
    pub async fn quote(&self, operator: Address) -> Result<Option<Bytes>, Error> {
        let Some(hash) = self.quote_hash(operator).await? else {
            return Ok(None);
        };
        let filter = Filter::new()
            .address(self.deployment().integrity)
            .event_signature(IIntegrity::QuoteRegistered::SIGNATURE_HASH)
            .topic1(operator.into_word())
            .topic2(hash);
        let logs = self.history(filter, self.deployment().from_block).await?;
        let last = logs
            .last()
            .and_then(|log| IIntegrity::QuoteRegistered::decode_log(&log.inner).ok());
        Ok(last.map(|event| event.data.envelope))
    }
}

impl Actions {
    async fn integrity<C: SolCall>(&self, call: &C) -> Result<Sent, Error> {
        self.sender().send(self.deployment().integrity, call).await
    }

    /// Makes an operator a host of a service, or changes where it is. By the operator's owner.
    pub async fn set_host(
        &self,
        service: Address,
        operator: Address,
        endpoint: &str,
        host_key: B256,
    ) -> Result<Sent, Error> {
        let call = IRegistry::setHostCall {
            service,
            operator,
            endpoint: endpoint.to_owned(),
            hostKey: host_key,
        };
        self.sender().send(self.deployment().registry, &call).await
    }

    /// Sets how many members are drawn into a service's sets from now on. By the service's owner.
    pub async fn set_set_size(&self, service: Address, members: u8) -> Result<Sent, Error> {
        self.sender()
            .send(self.deployment().quorum, &IQuorum::setSizeCall { service, members })
            .await
    }

    /// Sets what a service deploys from now on. By its owner.
    pub async fn set_plan(&self, service: Address, plan: &Plan) -> Result<Sent, Error> {
        let seconds = bindings::Plan {
            image: plan.image,
            specification: plan.specification,
            epoch: plan
                .epoch
                .try_into()
                .map_err(|_| Error::Local(format!("an epoch of {} s, expected less than 2^24", plan.epoch)))?,
            unreachableAfter: plan.unreachable_after,
            reward: wei(plan.reward)?,
            hostReward: wei(plan.host_reward)?,
        };
        self.integrity(&IIntegrity::setPlanCall { service, plan: seconds })
            .await
    }

    /// Asks for a deployment to a host. By the service's owner.
    pub async fn deploy_container(&self, service: Address, host: Address) -> Result<(DeploymentId, Sent), Error> {
        let sent = self.integrity(&IIntegrity::deployCall { service, host }).await?;
        let id = sent
            .receipt
            .inner
            .logs()
            .iter()
            .find_map(|log| IIntegrity::DeploymentRequested::decode_log(&log.inner).ok())
            .map(|event| DeploymentId(event.deployment))
            .ok_or_else(|| Error::Local(format!("the receipt of {} has no DeploymentRequested", sent.hash)))?;
        Ok((id, sent))
    }

    /// Adds `wei` of the token to what a deployment pays from, approving the amount first if it is not.
    pub async fn fund_deployment(&self, id: DeploymentId, wei: U256) -> Result<Sent, Error> {
        let (owner, spender) = (self.sender().account(), self.deployment().integrity);
        let token = self.deployment().token;
        let rpc = self.sender().rpc();
        let allowed = rpc.call(token, IERC20::allowanceCall { owner, spender }).await?;
        if allowed < wei {
            self.sender()
                .send(token, &IERC20::approveCall { spender, amount: wei })
                .await?;
        }
        self.integrity(&IIntegrity::fundCall {
            deployment: id.0,
            amount: wei,
        })
        .await
    }

    /// Ends a deployment. By the service's owner or the host's.
    pub async fn retire_deployment(&self, id: DeploymentId) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::retireCall { deployment: id.0 }).await
    }

    /// Gives what is left of a deployment that is over back to the service's owner.
    pub async fn settle_deployment(&self, id: DeploymentId) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::settleCall { deployment: id.0 }).await
    }

    /// Records the baseline that a quorum signed.
    pub async fn record_baseline(
        &self,
        id: DeploymentId,
        root: B256,
        set: u64,
        signers: U256,
        signature: Bytes,
    ) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::baselineCall {
            deployment: id.0,
            root,
            set,
            signers,
            signature,
        })
        .await
    }

    /// Records what a quorum signed of an epoch.
    pub async fn report_epoch(
        &self,
        id: DeploymentId,
        epoch: u32,
        judgement: Judgement,
        set: u64,
        signers: U256,
        signature: Bytes,
    ) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::reportCall {
            deployment: id.0,
            epoch,
            verdict: match judgement.verdict() {
                Verdict::Intact => bindings::Verdict::INTACT,
                Verdict::Drifted => bindings::Verdict::DRIFTED,
                Verdict::Unreachable => bindings::Verdict::UNREACHABLE,
            },
            evidence: judgement.evidence(),
            set,
            signers,
            signature,
        })
        .await
    }

    /// Slashes the host of a drifted deployment.
    pub async fn punish_host(&self, id: DeploymentId) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::punishCall { deployment: id.0 }).await
    }

    /// Credits a member's owner with what it earned.
    pub async fn collect_monitor(&self, id: DeploymentId, set: u64, seat: u8) -> Result<Sent, Error> {
        let deployment = id.0;
        self.integrity(&IIntegrity::collectCall { deployment, set, seat }).await
    }

    /// Credits a host's owner with what it earned.
    pub async fn collect_host(&self, id: DeploymentId) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::collectHostCall { deployment: id.0 }).await
    }

    /// Takes out what `Integrity` credits the sender with.
    pub async fn withdraw_from_integrity(&self) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::withdrawCall {}).await
    }

    /// Publishes an enclave's quote of an operator. By its owner.
    pub async fn register_quote(&self, operator: Address, envelope: Bytes) -> Result<Sent, Error> {
        self.integrity(&IIntegrity::registerQuoteCall { operator, envelope })
            .await
    }
}

fn wei(amount: u128) -> Result<U96, Error> {
    U96::try_from(amount).map_err(|_| Error::Local(format!("{amount} wei, expected less than 2^96")))
}
