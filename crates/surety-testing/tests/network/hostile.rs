//! Members that keep to no rule, in this process: they have a bonded operator's keys and the network's own library, and
//! send whatever they like.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256, FixedBytes, keccak256};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use surety_chain::bindings::{IFaults, ITasks};
use surety_p2p::{Config, Event, Handle, Identity, Members, Network};
use surety_primitives::{
    Domain,
    bls::{SecretKey, Signature},
    keys::voting_secret,
    set::{Set, Signers},
    vote::{Ballot, TaskResult, Vote, VoteTree, task_id},
};
use surety_protocol::network::{
    Message,
    message::{Body, Sighting},
};
use tokio::sync::watch;

use crate::support::{Lab, PATIENCE, play, with};

/// Messages kept for replaying.
const KEPT: usize = 4_096;

/// What others said, with who did.
type Heard = Arc<Mutex<VecDeque<(Address, Vec<u8>)>>>;

/// A hostile member.
struct Hostile {
    peers: Handle,
    secret: SecretKey,
    domain: Domain,
    set: Set,
    index: usize,
    heard: Heard,
    _members: watch::Sender<Arc<Members>>,
}

impl Hostile {
    async fn start(lab: &Lab, operator: usize) -> Result<Self> {
        let mut members = Members::new();
        for other in &lab.net.operators {
            members.insert(lab.service, other.address());
            members.locate(
                other.address(),
                format!("/ip4/{}/tcp/{}", other.peer.ip(), other.peer.port()).parse()?,
            );
        }
        let (sender, receiver) = watch::channel(Arc::new(members));
        let me = &lab.net.operators[operator];
        let config = Config {
            listen: vec![format!("/ip4/{}/tcp/{}", me.peer.ip(), me.peer.port()).parse()?],
            ..Config::default()
        };
        let (peers, mut events) = Network::start(config, Identity::new(me.key.to_bytes().0)?, receiver).await?;
        let heard = Arc::new(Mutex::new(VecDeque::new()));
        let keep = heard.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Message(message) = event {
                    let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push_back((message.from, message.data));
                    if kept.len() > KEPT {
                        kept.pop_front();
                    }
                }
            }
        });
        let set = surety_client::network::newest_set(&lab.net.contracts(), lab.service)
            .await?
            .context("no set")?;
        Ok(Self {
            index: set.index_of(me.address()).context("no member")?,
            peers,
            secret: voting_secret(&me.key.to_bytes().0),
            domain: lab.net.deployment.ballot_domain(),
            set,
            heard,
            _members: sender,
        })
    }

    fn heard(&self) -> Vec<(Address, Vec<u8>)> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    fn message(&self, body: Body) -> Vec<u8> {
        let (service, set) = (self.set.service(), self.set.number());
        Message { service, set, body }.encode()
    }

    fn sign(&self, root: B256) -> Signature {
        let (service, set) = (self.set.service(), self.set.number());
        self.secret.sign(&Ballot { service, set, root }.digest(&self.domain))
    }

    /// One vote under this node's signature.
    fn ballot(&self, vote: &Vote) -> FixedBytes<48> {
        self.sign(vote.leaf()).to_compressed().into()
    }

    fn send(&self, to: Address, data: Vec<u8>) {
        // To one that has banned it nothing goes; that is its right.
        let _banned = self.peers.send(to, self.set.service(), data);
    }

    async fn connected(&self, lab: &Lab, count: usize) -> Result<()> {
        lab.net
            .until(PATIENCE, "the hostile is connected", async || {
                Ok((self.peers.operators().len() >= count).then_some(()))
            })
            .await
    }
}

fn root(votes: &[Sighting]) -> Result<B256> {
    let votes: Vec<Vote> = votes.iter().map(Sighting::vote).collect();
    Ok(VoteTree::new(&votes)?.root())
}

/// Certificates of `votes` that are none, each in another way.
fn false_certificates(hostile: &Hostile, votes: &[Sighting]) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let root = root(votes)?;
    let mine = hostile.sign(root);
    let certified = |signers: u128, signature: Signature| Body::Certified {
        signers: Signers::from_bits(signers),
        signature: signature.to_compressed().into(),
        votes: votes.to_vec(),
    };
    let all = hostile.set.all().bits();
    let elsewhere = Ballot {
        service: hostile.set.service(),
        set: hostile.set.number(),
        root,
    };
    let chain = Domain {
        chain_id: hostile.domain.chain_id + 1,
        ..hostile.domain
    };
    let other_chain = hostile.secret.sign(&elsewhere.digest(&chain));
    let service = Address::repeat_byte(0x5e);
    let other_service = hostile
        .secret
        .sign(&Ballot { service, ..elsewhere }.digest(&hostile.domain));
    let (set, mine_only) = (hostile.set.number(), 1 << hostile.index);
    let other = |service, set, body| Message { service, set, body }.encode();
    Ok(vec![
        ("one signer", hostile.message(certified(mine_only, mine))),
        ("all signers, one signature", hostile.message(certified(all, mine))),
        (
            "signers that are no members",
            hostile.message(certified(all << 1, mine)),
        ),
        ("nobody", hostile.message(certified(0, mine))),
        (
            "another chain's signature",
            hostile.message(certified(all, other_chain)),
        ),
        (
            "another service's signature",
            hostile.message(certified(all, other_service)),
        ),
        ("another service", other(service, set, certified(all, mine))),
        (
            "another set",
            other(hostile.set.service(), set + 7, certified(all, mine)),
        ),
        ("set 0", other(hostile.set.service(), 0, certified(all, mine))),
    ])
}

/// P1: whatever a member sends, the others go on certifying and lose nothing; its double result costs its bond; a flood
/// leaves the memory of who is flooded bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_forged_replayed_malformed_and_too_many_messages_harm_nobody_but_who_sent_them() -> Result<()> {
    const HONEST: [usize; 5] = [0, 1, 2, 3, 4];
    const FORGER: usize = 5;
    const DOUBLE: usize = 6;
    play(with(7), |lab| {
        Box::pin(async move {
            for index in HONEST {
                lab.net.start_node(index).await?;
                lab.connector(index, &[])?;
            }
            lab.ready(&HONEST).await?;
            let forger = Hostile::start(lab, FORGER).await?;
            let double = Hostile::start(lab, DOUBLE).await?;
            forger.connected(lab, 6).await?;
            double.connected(lab, 6).await?;
            (1..=10).try_for_each(|number| lab.emit(number, "quiet"))?;
            lab.certified(&HONEST, 1..=10, "quiet").await?;
            lab.tell("five honest of seven certify");

            two_results(lab, &double, DOUBLE).await?;

            // What no honest member has seen, and what all have seen otherwise.
            let unseen = Sighting {
                key: keccak256("unseen"),
                value: keccak256("by anybody"),
            };
            let (key, _) = lab.event(11, "busy")?;
            let other = Sighting {
                key,
                value: keccak256("something else"),
            };
            let mut attacks = vec![
                (
                    "a proposal that nobody has seen",
                    forger.message(Body::Propose(vec![unseen])),
                ),
                ("hints of nothing", forger.message(Body::Hints(vec![unseen, other]))),
                (
                    "a ballot for nothing",
                    forger.message(Body::Ballot {
                        root: root(&[unseen])?,
                        signature: forger.ballot(&unseen.vote()),
                    }),
                ),
                (
                    "a dissent with a signature of nothing",
                    forger.message(Body::Dissent {
                        votes: vec![other],
                        signature: forger.ballot(&unseen.vote()),
                    }),
                ),
                (
                    "a dissent whose signature is no point",
                    forger.message(Body::Dissent {
                        votes: vec![other],
                        signature: FixedBytes::repeat_byte(0xff),
                    }),
                ),
                ("nothing", Vec::new()),
                ("another version", vec![9; 100]),
                ("too much", vec![1; 1 << 20]),
                (
                    "half a message",
                    forger.message(Body::Propose(vec![unseen]))[..40].to_vec(),
                ),
            ];
            attacks.extend(false_certificates(&forger, &[unseen])?);
            attacks.extend(false_certificates(&forger, &[other])?);
            // What others have signed, as its own, and once more.
            let heard = forger.heard();
            ensure!(!heard.is_empty(), "nothing was heard");
            for (_, data) in heard.iter().rev().take(12) {
                attacks.push(("a replay", data.clone()));
                if let Ok(Message {
                    body: Body::Dissent { votes, signature },
                    ..
                }) = Message::decode(data)
                {
                    attacks.push(("another's dissent", forger.message(Body::Dissent { votes, signature })));
                }
            }
            let mut bans = 0;
            for (number, (what, data)) in attacks.iter().enumerate() {
                // Each at another one; the last is kept for the flood.
                let victim = number % 4;
                let address = lab.net.operators[victim].address();
                if forger.peers.peer_of(address).is_none() {
                    // It listens to the forger no more. A new start forgets that, and the next lie is heard.
                    bans += 1;
                    lab.net.start_node(victim).await?;
                    lab.net.connected(&[victim], 5).await?;
                    lab.net
                        .until(PATIENCE, "the forger is back", async || {
                            Ok(forger.peers.peer_of(address))
                        })
                        .await?;
                }
                forger.send(address, data.clone());
                tokio::time::sleep(Duration::from_millis(50)).await;
                if number % 9 == 0 {
                    let event = 11 + u64::try_from(number)?;
                    lab.emit(event, "busy")?;
                    lab.certified(&HONEST, event..=event, "busy").await?;
                    lab.tell(&format!("certified after: {what}"));
                }
            }
            ensure!(bans > 0, "nobody minded: not a test");
            lab.tell(&format!("the forger was banned {bans} times"));
            for index in HONEST {
                for key in [unseen.key, keccak256("by anybody")] {
                    let found = lab
                        .net
                        .ask(index, "network_certified", json!([lab.service, 1, key]))
                        .await?;
                    ensure!(
                        found.is_null(),
                        "operator {index} has a certificate of what did not happen"
                    );
                }
            }
            lab.emit(100, "after")?;
            lab.certified(&HONEST, 100..=100, "after").await?;
            lab.tell(&format!("{} forged or replayed messages did nothing", attacks.len()));

            flood(lab, &forger, 4).await?;
            lab.only_guilty(&[FORGER, DOUBLE]).await?;
            let mut bonds = lab.bonds().await?;
            // Nothing that the forger sent was a lie under its own name.
            ensure!(
                bonds.remove(FORGER) == lab.net.bond,
                "forging is no fault that costs a bond"
            );
            Ok(())
        })
    })
    .await
}

/// Drawn to execute, it signs two results.
async fn two_results(lab: &Lab, double: &Hostile, operator: usize) -> Result<()> {
    let me = lab.net.operators[operator].address();
    let run = lab.request(0, "write", json!({"text": "twice"}), 1, 30, &[me]).await?;
    let requested = lab.logs::<ITasks::Requested>(lab.net.deployment.tasks).await?;
    let inputs = requested.iter().find(|r| r.run == run).context("no request")?.inputs;
    lab.drawn(0, run, 0).await?;
    let result = |output: &str| TaskResult {
        task: task_id(run, 0),
        attempt: 0,
        inputs,
        output: keccak256(output),
        seconds: 1,
        bytes: 10,
    };
    // More than two: who doubles, doubles down.
    let results: Vec<TaskResult> = (0..5).map(|n| result(&format!("output {n}"))).collect();
    let reported = lab
        .net
        .until(PATIENCE, "the double result is reported", async || {
            for result in &results {
                let signature = double.ballot(&result.vote());
                for other in &lab.net.operators {
                    double.send(
                        other.address(),
                        double.message(Body::Result {
                            result: *result,
                            signature,
                        }),
                    );
                }
            }
            let reported = lab.logs::<IFaults::Reported>(lab.net.deployment.faults).await?;
            Ok(reported.into_iter().find(|r| r.operator == me))
        })
        .await?;
    lab.tell(&format!("its double result is reported: {:#x}", reported.id));
    let lost = lab.slashed(operator).await?;
    lab.tell(&format!("it lost {lost} wei"));
    Ok(())
}

/// As much as it can, for some seconds: valid messages of no use, on both ways.
async fn flood(lab: &Lab, forger: &Hostile, victim: usize) -> Result<()> {
    let before = lab.memory(victim)?;
    let to = lab.net.operators[victim].address();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(6);
    let (mut sent, mut most) = (0_u64, before);
    let mut number = 0_u64;
    while tokio::time::Instant::now() < deadline {
        let hints: Vec<Sighting> = (0..1_000_u64)
            .map(|n| Sighting {
                key: keccak256((number * 1_000 + n).to_be_bytes()),
                value: B256::repeat_byte(1),
            })
            .collect();
        number += 1;
        for body in [Body::Hints(hints.clone()), Body::Propose(hints.clone())] {
            let data = forger.message(body);
            for _ in 0..20 {
                sent += u64::from(forger.peers.send(to, lab.service, data.clone()).is_ok());
                let _unheard = forger.peers.publish(lab.service, data.clone()).await;
            }
        }
        most = most.max(lab.memory(victim)?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    lab.emit(200, "flooded")?;
    let honest: Vec<usize> = (0..5).collect();
    lab.certified(&honest, 200..=200, "flooded").await?;
    most = most.max(lab.memory(victim)?);
    lab.tell(&format!(
        "{sent} direct messages of 64 kB taken; memory of who was flooded: {} MiB before, {} MiB at most",
        before >> 20,
        most >> 20
    ));
    // Before they hang up on it.
    ensure!(sent > 20, "only {sent} messages went out: no flood");
    ensure!(
        most < before + (512 << 20),
        "memory grew by {} MiB",
        (most - before) >> 20
    );
    Ok(())
}
