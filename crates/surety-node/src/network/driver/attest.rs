//! What anybody may know of deployments.

use alloy::primitives::B256;
use serde_json::{Value as Json, json};

use super::Driver;
use crate::integrity::{
    api::Query,
    ledger::{Deployment, Epoch},
};

/// How to check what comes from the chain.
const FROM_THE_CHAIN: &str = "read the same from the contract Integrity with an endpoint of your own, or take the proof at \
    /v1/deployments/{id}/proof; `surety attest` does";

/// How to check a measurement.
const FROM_THE_HOST: &str = "value hash of `identity` is the measurement root; of an intact deployment it is the baseline \
    that is recorded on-chain. That a quorum measured the same is what the recorded epochs say; the rest is this node's \
    word, and `surety integrity measure` on the host gives the same";

impl Driver {
    /// Answers; whoever asked and left is not waited for.
    pub(super) fn query(&self, query: Query) {
        let (reply, answer) = match query {
            Query::Service(service, reply) => {
                let followed = self.services.contains_key(&service);
                let deployments: Vec<Json> = self.ledger.deployments.of(service).map(|d| self.describe(d)).collect();
                let current = deployments.last().cloned();
                let state = current
                    .as_ref()
                    .and_then(|d| d.get("state").cloned())
                    .unwrap_or_else(|| "none".into());
                let answer = followed.then(|| {
                    json!({
                        "service": service,
                        "state": state,
                        "current": current,
                        "deployments": deployments,
                        "monitors": self.monitors(service),
                        "block": self.ledger.block,
                        "verify": FROM_THE_CHAIN,
                    })
                });
                (reply, answer)
            }
            Query::Deployment(id, reply) => {
                let found = self.ledger.deployments.get(id);
                let answer = found.map(|deployment| {
                    let mut answer = self.describe(deployment);
                    if let Json::Object(fields) = &mut answer {
                        fields.insert("block".into(), self.ledger.block.into());
                        fields.insert("verify".into(), FROM_THE_CHAIN.into());
                    }
                    answer
                });
                (reply, answer)
            }
            Query::History(id, reply) => {
                let found = self.ledger.deployments.get(id);
                let answer = found.map(|deployment| {
                    let epochs: Vec<Json> = deployment.history.iter().rev().map(describe_epoch).collect();
                    json!({
                        "deployment": B256::from(id.0),
                        "epochs": epochs,
                        "drift": self.drift(deployment),
                        "block": self.ledger.block,
                        "verify": FROM_THE_CHAIN,
                    })
                });
                (reply, answer)
            }
            Query::Measurement(id, reply) => {
                let watched = self.integrity.as_ref().and_then(|i| i.watched.get(&id.0));
                let answer = watched.and_then(|watched| {
                    let document = watched.document.as_ref()?;
                    Some(json!({
                        "deployment": B256::from(id.0),
                        "measuredAt": watched.measured_at,
                        "unreachable": watched.unreachable,
                        "measurement": document.to_string().parse::<Json>().ok()?,
                        "verify": FROM_THE_HOST,
                    }))
                });
                (reply, answer)
            }
        };
        let _gone = reply.send(answer);
    }

    fn describe(&self, deployment: &Deployment) -> Json {
        let last = deployment.history.back();
        json!({
            "deployment": B256::from(deployment.id.0),
            "service": deployment.id.service(),
            "number": deployment.id.number(),
            "host": deployment.host,
            "state": deployment.status.name(),
            "image": format!("sha256:{}", alloy::hex::encode(deployment.image)),
            "specification": deployment.specification,
            "baseline": deployment.baseline,
            "start": deployment.start,
            "epochSeconds": deployment.epoch_seconds,
            "unreachableAfter": deployment.unreachable_after,
            "lastEpoch": deployment.last_epoch,
            "last": last.map(describe_epoch),
            "drift": self.drift(deployment),
            "hostPunished": deployment.punished,
            "monitored": self.integrity.as_ref().is_some_and(|i| i.watched.contains_key(&deployment.id.0)),
        })
    }

    fn drift(&self, deployment: &Deployment) -> Json {
        let Some((epoch, evidence, reporter)) = deployment.drift else {
            return Json::Null;
        };
        // Its finding, if this node saw it or fetched it.
        let finding = self
            .store
            .value(evidence)
            .ok()
            .flatten()
            .and_then(|bytes| surety_primitives::value::Value::decode(&bytes).ok())
            .and_then(|value| value.to_string().parse::<Json>().ok());
        json!({ "epoch": epoch, "evidence": evidence, "reporter": reporter, "finding": finding })
    }
}

fn describe_epoch(epoch: &Epoch) -> Json {
    json!({
        "epoch": epoch.epoch,
        "verdict": epoch.verdict.name(),
        "set": epoch.set,
        "signers": format!("{:#x}", epoch.signers),
        "paid": epoch.paid,
        "block": epoch.block,
        "transaction": epoch.transaction,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::ledger::Epoch;
    use surety_primitives::measurement::Verdict;

    #[test]
    fn an_epoch_says_what_was_recorded() {
        let epoch = Epoch {
            epoch: 4,
            verdict: Verdict::Unreachable,
            set: 2,
            signers: 0b1011,
            paid: false,
            block: 77,
            transaction: B256::repeat_byte(1),
        };
        let json = describe_epoch(&epoch);
        assert_eq!(json.get("verdict").and_then(Json::as_str), Some("unreachable"));
        assert_eq!(json.get("signers").and_then(Json::as_str), Some("0xb"));
    }
}
