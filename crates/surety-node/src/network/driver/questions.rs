//! Answers to what is asked through the API.

use alloy::primitives::{Address, B256};
use serde_json::{Value as Json, json};
use surety_primitives::vote::task_id;

use super::Driver;
use crate::network::api::Question;

impl Driver {
    pub(super) fn question(&mut self, question: Question) {
        let (reply, answer) = match question {
            Question::Status(reply) => (reply, self.status()),
            Question::Run(run, reply) => (reply, self.run_status(run)),
            Question::Events(service, limit, reply) => (reply, self.events(service, limit)),
        };
        // Who asked may be gone.
        let _gone = reply.send(answer);
    }

    fn status(&self) -> Json {
        let services = self.services.iter().map(|(address, service)| {
            let set = self.ledger.newest_set(*address).map(|(set, _)| set);
            json!({
                "service": address,
                "name": service.network.name,
                "set": set.as_ref().map_or(0, |s| s.number()),
                "members": set.as_ref().map_or(0, |s| s.members().len()),
                "index": set.as_ref().and_then(|s| s.index_of(self.me)),
                "pending": service.pending.len(),
                "certified": service.certified,
            })
        });
        let peers = self.peers.peers();
        json!({
            "operator": self.me,
            "peerId": self.peers.peer_id().to_string(),
            "listen": self.peers.listen_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "peers": peers.iter().map(|p| json!({
                "peer": p.peer.to_string(),
                "operator": p.operator,
                "queued": p.queued,
            })).collect::<Vec<_>>(),
            "head": self.ledger.block,
            "tasks": self.tasks.len(),
            "waiting": self.relay.waiting(),
            "flows": self.flows.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "connectors": self.connectors.connectors().iter().map(|c| json!({
                "service": c.service,
                "connector": c.connector,
                "events": c.events,
                "tasks": c.tasks,
            })).collect::<Vec<_>>(),
            "services": services.collect::<Vec<_>>(),
        })
    }

    fn run_status(&self, id: B256) -> Json {
        let Some(run) = self.ledger.runs.get(&id) else {
            return Json::Null;
        };
        let count = match &run.request {
            Some(_) => 1,
            None => self.ledger.flows.get(&run.flow).map_or(0, |f| f.steps.len()),
        };
        let steps = (0..count).filter_map(|index| u8::try_from(index).ok()).map(|index| {
            let task = self.tasks.get(&task_id(id, index));
            let settled = run.settled.get(&index);
            let state = match (settled, task) {
                (Some(_), _) => "settled",
                (None, Some(task)) if task.failed => "failed",
                (None, Some(task)) if task.settling => "validated",
                (None, Some(_)) => "running",
                (None, None) => "waiting",
            };
            let name = |index: usize| task.and_then(|t| t.set.member(index)).map(|m| m.operator);
            let result = settled.map(|(result, _)| *result);
            let output = result.and_then(|result| {
                let bytes = self.store.value(result).ok()??;
                super::tasks::decode_result(&bytes).map(|r| r.output)
            });
            json!({
                "step": index,
                "task": task.map(|t| t.name.clone()),
                "state": state,
                "executor": settled
                    .map(|(_, executor)| *executor)
                    .or_else(|| task.and_then(|t| t.roles.executor(0)).and_then(name)),
                "committee": task
                    .map(|t| t.roles.committee().iter().filter_map(|i| name(*i)).collect::<Vec<_>>()),
                "result": result,
                "output": output,
            })
        });
        json!({
            "run": id,
            "flow": run.flow.to_string(),
            "key": run.key,
            "value": run.value,
            "block": run.block,
            "closed": run.closed,
            "steps": steps.collect::<Vec<_>>(),
        })
    }

    fn events(&self, service: Address, limit: usize) -> Json {
        let Some(found) = self.services.get(&service) else {
            return json!([]);
        };
        let events = found
            .recent
            .iter()
            .rev()
            .take(limit)
            .map(|e| json!({"key": e.key, "name": e.name, "value": e.value, "set": e.set, "time": e.time}));
        Json::Array(events.collect())
    }
}
