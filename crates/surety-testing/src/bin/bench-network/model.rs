//! What a certified event costs in sets of any size: the nodes' own machines, messages and signatures, with a network
//! and disks that take a fixed time. Counted and timed is what they do, not what waits for it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use surety_primitives::{
    Address, B256, Domain,
    bls::SecretKey,
    certificate::Quorum,
    set::{Member, Set},
};
use surety_protocol::network::{
    Done, EventConsensus, Message, Roster, Work,
    crypto_bls::BlsScheme,
    event::{Config, Effect, Input},
};
use surety_testing::devnet::repository;

/// Milliseconds of a message, a commit, and a signature or a pairing.
const HOP: u64 = 1;
const COMMIT: u64 = 8;
const COMPUTE: u64 = 1;
/// Length and service before every message.
const FRAME: usize = 24;
/// Milliseconds by which members see an event one after the other, at most.
const SKEW: u64 = 3;

const DOMAIN: Domain = Domain {
    chain_id: 1,
    verifying_contract: Address::repeat_byte(9),
};

/// How events come.
struct Load {
    name: &'static str,
    events: u64,
    /// microseconds from one to the next
    every: u64,
}

const LOADS: [Load; 2] = [
    Load {
        name: "isolated",
        events: 10,
        every: 200_000,
    },
    Load {
        name: "2000_per_second",
        events: 2_000,
        every: 500,
    },
];

#[derive(Default)]
struct Costs {
    messages: u64,
    bytes: u64,
    batches: u64,
    signatures: u64,
    verifications: u64,
    machine: Duration,
    bls: Duration,
    certified: u64,
}

struct Model {
    roster: Arc<Roster>,
    machines: Vec<EventConsensus>,
    schemes: Vec<BlsScheme>,
    /// millisecond, order, member
    inputs: BinaryHeap<Reverse<(u64, u64, usize)>>,
    waiting: HashMap<u64, Input>,
    order: u64,
    /// Every member verifies every certificate: once is enough to know how long it takes.
    verified: HashMap<(B256, Vec<u8>), (Done, Duration)>,
    costs: Costs,
}

fn key(parts: &[&[u8]]) -> B256 {
    alloy::primitives::keccak256(parts.concat())
}

impl Model {
    fn new(members: u16) -> Result<Self> {
        let secret = |index: u16| SecretKey::generate(&key(&[b"secret", &index.to_be_bytes()]).0);
        let member = |index: u16| Member {
            operator: Address::from_word(key(&[b"operator", &index.to_be_bytes()])),
            power: 10,
            weight: 1,
            key: secret(index).public_key(),
        };
        let set = Set::new(Address::repeat_byte(0x5e), 1, 1, (0..members).map(member).collect())?;
        let set = Arc::new(set);
        let roster = Arc::new(Roster::of(&set, DOMAIN, Quorum::DEFAULT));
        let machine = |member: &Member| {
            let config = Config::new(Some(member.operator), 60_000, usize::from(members));
            EventConsensus::new(config, roster.clone(), 1)
        };
        Ok(Self {
            machines: set.members().iter().map(machine).collect(),
            schemes: (0..members)
                .map(|index| BlsScheme::new(Some(secret(index)), [set.clone()]))
                .collect(),
            roster,
            inputs: BinaryHeap::new(),
            waiting: HashMap::new(),
            order: 0,
            verified: HashMap::new(),
            costs: Costs::default(),
        })
    }

    fn at(&mut self, time: u64, member: usize, input: Input) {
        self.order += 1;
        self.waiting.insert(self.order, input);
        self.inputs.push(Reverse((time, self.order, member)));
    }

    fn run(&mut self, load: &Load) -> Result<()> {
        for event in 0..load.events {
            let seen = 10 + event * load.every / 1_000;
            let key = key(&[b"event", &event.to_be_bytes()]);
            for member in 0..self.machines.len() {
                let skew = u64::from(key[member % 32]) % (SKEW + 1);
                let until = seen + 60_000;
                self.at(seen + skew, member, Input::Observed { key, value: key, until });
            }
        }
        let all = load.events * self.machines.len() as u64;
        let end = 10 + load.events * load.every / 1_000 + 5_000;
        let mut now = 1;
        while self.costs.certified < all {
            ensure!(
                now < end,
                "{} of {all} certificates after {now} ms",
                self.costs.certified
            );
            now += 1;
            for member in 0..self.machines.len() {
                if self.machines[member].next_tick().is_some_and(|at| at <= now) {
                    self.step(now, member, Input::Tick)?;
                }
            }
            while let Some(Reverse((time, order, member))) = self.inputs.peek().copied()
                && time <= now
            {
                self.inputs.pop();
                let input = self.waiting.remove(&order).context("an input twice")?;
                self.step(now, member, input)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, now: u64, member: usize, input: Input) -> Result<()> {
        let start = Instant::now();
        let effects = self.machines[member].step(now, input);
        self.costs.machine += start.elapsed();
        let from = self.roster.operator(member).context("no such member")?;
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let to = self.roster.index_of(to).context("not a member")?;
                    self.encoded(&message, 1);
                    self.at(now + HOP, to, Input::Message { from, message });
                }
                Effect::Broadcast { message } => {
                    let others: Vec<_> = (0..self.machines.len()).filter(|other| *other != member).collect();
                    self.encoded(&message, others.len() as u64);
                    for to in others {
                        let message = message.clone();
                        self.at(now + HOP, to, Input::Message { from, message });
                    }
                }
                Effect::Store { ticket, .. } => {
                    let refused = Vec::new();
                    self.at(now + COMMIT, member, Input::Stored { ticket, refused });
                }
                Effect::Compute { ticket, work } => {
                    let done = self.compute(member, &work);
                    self.at(now + COMPUTE, member, Input::Computed { ticket, done });
                }
                Effect::Certified { fresh, .. } => self.costs.certified += fresh.len() as u64,
                other => anyhow::bail!("nobody misbehaves here: {other:?}"),
            }
        }
        Ok(())
    }

    fn encoded(&mut self, message: &Message, copies: u64) {
        let start = Instant::now();
        let bytes = message.encode();
        // What is encoded here is decoded by each receiver.
        let decoded = Message::decode(&bytes);
        self.costs.machine += start.elapsed() * u32::try_from(copies.max(1)).unwrap_or(u32::MAX);
        assert!(decoded.is_ok(), "a message that nobody can read");
        self.costs.messages += copies;
        self.costs.bytes += copies * (bytes.len() + FRAME) as u64;
    }

    fn compute(&mut self, member: usize, work: &Work) -> Done {
        let scheme = &self.schemes[member];
        let timed = || {
            let start = Instant::now();
            (work.run(scheme), start.elapsed())
        };
        let (done, took) = match work {
            Work::Sign { .. } => {
                self.costs.signatures += 1;
                timed()
            }
            Work::Combine { .. } => {
                self.costs.batches += 1;
                timed()
            }
            Work::Verify { digest, signature, .. } => {
                self.costs.verifications += 1;
                let id = (*digest, signature.to_vec());
                self.verified.entry(id).or_insert_with(timed).clone()
            }
        };
        self.costs.bls += took;
        done
    }
}

/// A row for each size and load, of one event. Messages and bytes of all members together; times of one member.
pub(crate) fn curve(members: &[u16]) -> Result<Json> {
    let mut rows = Vec::new();
    for n in members {
        for load in &LOADS {
            let mut model = Model::new(*n)?;
            model.run(load)?;
            let costs = &model.costs;
            let (events, nodes) = (load.events as f64, f64::from(*n));
            let round = |x: f64| (x * 100.0).round() / 100.0;
            let row = json!({
                "members": n,
                "load": load.name,
                "events_per_certificate": round(events / costs.batches as f64),
                "messages_per_event": round(costs.messages as f64 / events),
                "bytes_per_event": (costs.bytes as f64 / events).round(),
                "bytes_sent_per_event_and_member": round(costs.bytes as f64 / events / nodes),
                "signatures_per_event": round(costs.signatures as f64 / events),
                "verifications_per_event": round(costs.verifications as f64 / events),
                "cpu_us_per_event_and_member": {
                    "bls": round(costs.bls.as_secs_f64() * 1e6 / events / nodes),
                    "machine_and_codec": round(costs.machine.as_secs_f64() * 1e6 / events / nodes),
                },
            });
            println!("{row}");
            rows.push(row);
        }
    }
    Ok(Json::Array(rows))
}

/// The part of the curve that is paid on-chain, as the contracts' tests have measured it.
pub(crate) fn onchain() -> Result<Json> {
    let mut all = BTreeMap::new();
    for name in ["Quorum", "Tasks", "Faults"] {
        let text = std::fs::read_to_string(repository().join(format!("contracts/snapshots/{name}.json")))?;
        let found: BTreeMap<String, String> = serde_json::from_str(&text)?;
        all.insert(name, found);
    }
    Ok(json!(all))
}
