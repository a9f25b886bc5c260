//! Any bytes are the one encoding of a message between nodes, or are refused; what the machines of events, tasks and containers make
//! of a message, from whomever it comes and whatever its signatures turn out to be, stays small.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use surety_primitives::{Address, B256, Domain, certificate::Quorum, selection::Roles, set::Signers};
use surety_protocol::network::{
    Done, EventConsensus, MeasurementConsensus, Message, Roster, SignatureBytes, TaskConsensus, Work, event, measure,
    task,
};

const MEMBERS: usize = 7;

fn operator(index: usize) -> Address {
    Address::repeat_byte(index as u8 + 1)
}

fn roster() -> Arc<Roster> {
    let domain = Domain {
        chain_id: 1,
        verifying_contract: Address::repeat_byte(0x9a),
    };
    let members = (0..MEMBERS).map(|index| (operator(index), 10));
    Arc::new(Roster::new(
        Address::repeat_byte(0x5e),
        7,
        domain,
        Quorum::DEFAULT,
        members,
    ))
}

/// What came of a work, if signatures were good or bad as `good` says.
fn done(work: &Work, good: bool) -> Done {
    match work {
        Work::Sign { .. } => Done::Signed(good.then_some(SignatureBytes::ZERO)),
        Work::Verify { .. } => Done::Verified(good),
        Work::Combine { ballots, .. } => {
            let all: Signers = ballots.iter().map(|(member, _)| *member).collect();
            let (good, bad) = if good {
                (all, Signers::NONE)
            } else {
                (Signers::NONE, all)
            };
            let signature = (!good.is_empty()).then_some(SignatureBytes::ZERO);
            Done::Combined { signature, good, bad }
        }
    }
}

fn feed_events(message: &Message, good: bool) {
    let me = Some(operator(0));
    let config = event::Config::new(me, 4_000, MEMBERS);
    let mut machine = EventConsensus::new(config, roster(), 1_000);
    let mut inputs: Vec<_> = (1..=MEMBERS)
        .map(|from| event::Input::Message {
            from: operator(from),
            message: message.clone(),
        })
        .collect();
    let mut now = 1_000;
    for _ in 0..64 {
        let Some(input) = inputs.pop() else { break };
        now += 7;
        for effect in machine.step(now, input) {
            match effect {
                event::Effect::Compute { ticket, work } => {
                    inputs.push(event::Input::Computed {
                        ticket,
                        done: done(&work, good),
                    });
                }
                event::Effect::Store { ticket, .. } => inputs.push(event::Input::Stored {
                    ticket,
                    refused: vec![],
                }),
                _ => {}
            }
        }
    }
    let load = machine.load();
    assert!(load.pooled <= MEMBERS * 1_024 && load.waiting_votes <= MEMBERS * event::MAX_WAITING_VOTES);
}

fn feed_task(message: &Message, good: bool) {
    let id = message.body.task().unwrap_or(B256::ZERO);
    let drawn = task::Drawn {
        task: id,
        roster: roster(),
        roles: Roles::draw(B256::ZERO, &[10; MEMBERS], 3),
        validators: 3,
        start: 10,
        window: 10,
        inputs: Some(B256::ZERO),
    };
    let mut machine = TaskConsensus::new(drawn, Some(operator(0)), 11_000);
    let mut inputs: Vec<_> = (1..=MEMBERS)
        .map(|from| task::Input::Message {
            from: operator(from),
            message: message.clone(),
        })
        .collect();
    inputs.push(task::Input::Block { time: 11 });
    for now in 11_000..11_064 {
        let Some(input) = inputs.pop() else { break };
        for effect in machine.step(now, input) {
            match effect {
                task::Effect::Compute { ticket, work } => {
                    inputs.push(task::Input::Computed {
                        ticket,
                        done: done(&work, good),
                    });
                }
                task::Effect::Store { ticket, .. } => inputs.push(task::Input::Stored { ticket, kept: true }),
                task::Effect::Validate { result } => {
                    let verdict = if good {
                        task::Verdict::Valid
                    } else {
                        task::Verdict::Invalid
                    };
                    inputs.push(task::Input::Validated {
                        result: result.hash(),
                        verdict,
                    });
                }
                _ => {}
            }
        }
    }
    let load = machine.load();
    assert!(load.results <= 1 && load.ballots <= 2 * MEMBERS && load.repeated <= 2 + 3);
}

fn feed_measurement(message: &Message, good: bool) {
    let deployment = message.body.deployment().unwrap_or_default();
    let config = measure::Config::new(Some(operator(0)), Address::repeat_byte(0x17), deployment, 1_000);
    let mut machine = MeasurementConsensus::new(config, 1_000);
    let mut inputs: Vec<_> = (1..=MEMBERS)
        .map(|from| measure::Input::Message {
            from: operator(from),
            message: message.clone(),
        })
        .collect();
    let (baseline, start, epoch) = (B256::ZERO, 1_000, 4_000);
    if good {
        inputs.push(measure::Input::Running { baseline, start, epoch });
    }
    inputs.push(measure::Input::SetChanged(roster()));
    let mut now = 5_700;
    for _ in 0..96 {
        let Some(input) = inputs.pop() else { break };
        now += 7;
        for effect in machine.step(now, input) {
            match effect {
                measure::Effect::Compute { ticket, work } => {
                    let done = done(&work, good);
                    inputs.push(measure::Input::Computed { ticket, done });
                }
                measure::Effect::Record { ticket, .. } => {
                    inputs.push(measure::Input::Stored { ticket, kept: good });
                }
                measure::Effect::Measure => {
                    let (root, since) = (B256::ZERO, 0);
                    let seen = measure::Seen::Clean { root, since };
                    inputs.push(measure::Input::Observed { began: now, seen });
                }
                _ => {}
            }
        }
    }
    let load = machine.load();
    assert!(load.told <= MEMBERS * measure::MAX_TOLD && load.ballots <= 2 * MEMBERS + 2);
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else { return };
    assert_eq!(message.encode(), bytes);
    for good in [true, false] {
        feed_events(&message, good);
        feed_task(&message, good);
        feed_measurement(&message, good);
    }
});
