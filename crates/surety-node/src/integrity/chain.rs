//! The contract `Integrity`: its logs as changes, and the report of what a quorum signed.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use surety_chain::{Actions, Contracts, Error, Sent, bindings::IIntegrity};
use surety_primitives::measurement::{DeploymentId, Judgement, Verdict};
use surety_protocol::network::measure::Statement;

use super::ledger::{Change, Deployment, Epoch, Status};
use crate::network::Report;

/// Where it is.
pub(crate) fn address(deployment: &surety_chain::Deployment) -> Address {
    deployment.integrity
}

/// What a log says of a deployment of one of `services`; the source does not tell it again, so errors are to be tried
/// again.
pub(crate) async fn decode(
    contracts: &Contracts,
    services: &[Address],
    log: &Log,
) -> Result<Option<(DeploymentId, Change)>, Error> {
    let (Some(topic), Some(id), Some(block)) = (log.topics().first(), log.topics().get(1), log.block_number) else {
        return Ok(None);
    };
    let id = DeploymentId(U256::from_be_bytes(id.0));
    // Anybody can register a service; only those of ours are looked at.
    if !services.contains(&id.service()) {
        return Ok(None);
    }
    let change = match *topic {
        IIntegrity::DeploymentRequested::SIGNATURE_HASH => {
            let Ok(event) = IIntegrity::DeploymentRequested::decode_log(&log.inner) else {
                return Ok(None);
            };
            let Some(found) = contracts.deployed(id).await?.map(|deployed| deployed.state) else {
                return Err(Error::Local(format!("{id} is not there any more")));
            };
            Change::Requested(Box::new(Deployment {
                id,
                host: event.host,
                status: Status::Requested,
                requested: block,
                image: found.image,
                specification: found.specification,
                epoch_seconds: found.epoch.into(),
                unreachable_after: found.unreachable_after.into(),
                baseline: None,
                start: 0,
                last_epoch: 0,
                history: std::collections::VecDeque::new(),
                drift: None,
                punished: false,
            }))
        }
        IIntegrity::BaselineRecorded::SIGNATURE_HASH => {
            let Ok(event) = IIntegrity::BaselineRecorded::decode_log(&log.inner) else {
                return Ok(None);
            };
            let header = contracts.rpc().block(block.into()).await?;
            let Some(header) = header else {
                return Err(Error::Local(format!("block {block} is not there any more")));
            };
            Change::Baseline {
                root: event.root,
                start: header.header.timestamp,
            }
        }
        IIntegrity::EpochRecorded::SIGNATURE_HASH => {
            let Ok(event) = IIntegrity::EpochRecorded::decode_log(&log.inner) else {
                return Ok(None);
            };
            let Ok(verdict) = Verdict::try_from(event.verdict as u8) else {
                return Ok(None);
            };
            Change::Epoch(Epoch {
                epoch: event.epoch.into(),
                verdict,
                set: event.set.into(),
                signers: event.signers,
                paid: event.paid,
                block,
                transaction: log.transaction_hash.unwrap_or(B256::ZERO),
            })
        }
        IIntegrity::DriftRecorded::SIGNATURE_HASH => {
            let Ok(event) = IIntegrity::DriftRecorded::decode_log(&log.inner) else {
                return Ok(None);
            };
            Change::Drift {
                epoch: event.epoch.into(),
                evidence: event.evidence,
                reporter: event.reporter,
            }
        }
        IIntegrity::Ended::SIGNATURE_HASH => {
            let Ok(event) = IIntegrity::Ended::decode_log(&log.inner) else {
                return Ok(None);
            };
            match Status::numbered(event.status as u8) {
                Some(status) => Change::Ended(status),
                None => return Ok(None),
            }
        }
        IIntegrity::Punished::SIGNATURE_HASH => Change::Punished,
        _ => return Ok(None),
    };
    Ok(Some((id, change)))
}

/// Records a baseline or a verdict; false if the chain's time is not there yet.
pub(crate) async fn report(actions: &Actions, report: &Report) -> Result<bool, Error> {
    match send(actions, report).await {
        Ok(_) => Ok(true),
        Err(Error::Reverted { to, revert }) => {
            let early = revert.is::<IIntegrity::EpochNotOver>() || revert.is::<IIntegrity::EpochNotBegun>();
            if early {
                Ok(false)
            } else {
                Err(Error::Reverted { to, revert })
            }
        }
        Err(error) => Err(error),
    }
}

async fn send(actions: &Actions, report: &Report) -> Result<Sent, Error> {
    let (id, set, signers) = (DeploymentId(report.deployment), report.set, report.signers);
    let signature = Bytes::copy_from_slice(&report.signature);
    let judgement = match report.statement {
        Statement::Baseline(root) => return actions.record_baseline(id, root, set, signers, signature).await,
        Statement::Intact => Judgement::Intact,
        Statement::Drifted(evidence) => Judgement::Drifted(evidence),
        Statement::Unreachable => Judgement::Unreachable,
    };
    let epoch = u32::try_from(report.epoch)
        .map_err(|_| Error::Local(format!("epoch is {}, expected below 2^32", report.epoch)))?;
    actions
        .report_epoch(id, epoch, judgement, set, signers, signature)
        .await
}
