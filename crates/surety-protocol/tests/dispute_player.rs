//! The player: whatever it is told, however often, in whatever order of answers, it plays one move a head.

mod common;

use alloy_primitives::{Address, B256};
use common::{synthetic::*, *};
use std::collections::BTreeMap;
use surety_primitives::{ResultHash, StatementId};
use surety_protocol::dispute::dishonest::Trick;
use surety_protocol::dispute::*;

/// A game against a consistent liar, with all its events.
fn game(budget: u64) -> (Table<Counting>, Counted) {
    let truth = Counted::new(budget, 5, u64::MAX / 2, Lie::None, 0);
    let lie = Counted::new(budget, 5, u64::MAX / 2, Lie::Diverges(budget / 3), 2);
    let operators = vec![
        Operator::honest(1, POLICY, Box::new(truth)),
        Operator::liar(2, POLICY, Box::new(lie), Trick::Consistent, 1),
    ];
    let mut table = Table::open(truth.statement(), operators, Counting, CALM, 1);
    table.play(&mut { truth });
    (table, truth)
}

/// Answers what is needed until something is to be sent.
fn drive(player: &mut Player, trace: &mut Counted, effects: Vec<Effect>) -> Vec<Effect> {
    let mut todo = effects;
    let mut sends = vec![];
    while let Some(effect) = todo.pop() {
        let input = match effect {
            Effect::NeedValues { dispute, positions } => {
                let values = positions.iter().copied().zip(trace.roots(&positions)).collect();
                Input::Values { dispute, values }
            }
            Effect::NeedWitness {
                dispute,
                position,
                kind,
            } => Input::Witness {
                dispute,
                position,
                witness: trace.witness(position, kind),
                preimage: None,
            },
            Effect::NeedResult { dispute, .. } => Input::Result {
                dispute,
                result: Some(trace.result()),
            },
            send => {
                sends.push(send);
                continue;
            }
        };
        todo.extend(player.handle(input));
    }
    sends
}

fn head_of(effect: &Effect) -> Option<B256> {
    match effect {
        Effect::SendDissect { head, .. } | Effect::SendStep { head, .. } => Some(*head),
        _ => None,
    }
}

fn feed(player: &mut Player, trace: &mut Counted, dispute: StatementId, events: &[(At, Event)]) -> Vec<Effect> {
    let mut sends = vec![];
    for (at, event) in events {
        let effects = player.handle(Input::Event {
            dispute,
            at: *at,
            event: event.clone(),
        });
        sends.extend(drive(player, trace, effects));
    }
    sends
}

#[test]
fn one_move_a_head_under_duplicates_restarts_and_resets() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let mut moves: BTreeMap<B256, Effect> = BTreeMap::new();
    let mut note = |effects: Vec<Effect>| {
        for effect in effects {
            if let Some(head) = head_of(&effect) {
                let first = moves.entry(head).or_insert_with(|| effect.clone());
                assert_eq!(*first, effect, "two moves for one head");
            }
        }
    };
    let mut player = Player::new(address(1), POLICY);
    for n in 1..=table.events.len() {
        note(feed(&mut player, &mut truth, dispute, &table.events[..n]));
        // Again, all of it: nothing.
        assert!(feed(&mut player, &mut truth, dispute, &table.events[..n]).is_empty());
        // Killed and started again from the events.
        let mut again = Player::new(address(1), POLICY);
        note(feed(&mut again, &mut truth, dispute, &table.events[..n]));
        // Reorganised, and the same events come again.
        let nothing = again.handle(Input::Reset);
        note(drive(&mut again, &mut truth, nothing));
        note(feed(&mut again, &mut truth, dispute, &table.events[..n]));
    }
    assert!(moves.len() >= 2);
    assert_eq!(player.disputes().count(), 0, "settled disputes are forgotten");
}

#[test]
fn a_lost_transaction_is_sent_again_and_not_too_soon() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let mut player = Player::new(address(1), POLICY);
    let opening: Vec<_> = table
        .events
        .iter()
        .take_while(|(at, _)| at.block == 1)
        .cloned()
        .collect();
    let first = feed(&mut player, &mut truth, dispute, &opening);
    let [Effect::SendDissect { .. }] = first.as_slice() else {
        panic!("{first:?}")
    };
    assert_eq!(player.handle(Input::Tick(START + POLICY.resend_after - 1)), vec![]);
    assert_eq!(player.handle(Input::Tick(START + POLICY.resend_after)), first);
    // Out of time, it is silent.
    assert_eq!(player.handle(Input::Tick(START + RULES.clock + 1)), vec![]);
}

#[test]
fn silence_is_expired_and_the_end_settled() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let mut player = Player::new(address(1), POLICY);
    // Up to the first own move on the chain: then the opponent is silent.
    let upto = table
        .events
        .iter()
        .position(|(_, e)| matches!(e, Event::Dissected { .. }))
        .expect("a move")
        + 1;
    feed(&mut player, &mut truth, dispute, &table.events[..upto]);
    let moved = table.events[upto - 1].0.time;
    assert_eq!(player.handle(Input::Tick(moved + RULES.clock)), vec![]);
    assert_eq!(
        player.handle(Input::Tick(moved + RULES.clock + 1)),
        vec![Effect::SendExpire { dispute }]
    );
    let block = table.events[upto - 1].0.block + 1;
    let time = moved + RULES.clock + 2;
    let join_until = time + RULES.join_window;
    let ended = [
        (At { block, log: 0, time }, Event::Expired),
        (
            At { block, log: 1, time },
            Event::Eliminated {
                index: 1,
                operator: address(2),
                join_until,
            },
        ),
    ];
    assert!(feed(&mut player, &mut truth, dispute, &ended).is_empty());
    assert_eq!(player.handle(Input::Tick(join_until)), vec![]);
    let effects = player.handle(Input::Tick(join_until + 1));
    assert!(matches!(effects.as_slice(), [Effect::SendSettle { .. }]), "{effects:?}");
}

#[test]
fn a_missed_event_asks_for_a_replay() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let mut player = Player::new(address(1), POLICY);
    let missing: Vec<_> = table
        .events
        .iter()
        .filter(|(_, e)| !matches!(e, Event::Dissected { number: 1, .. }))
        .take(6)
        .cloned()
        .collect();
    let mut effects = vec![];
    for (at, event) in &missing {
        let now = player.handle(Input::Event {
            dispute,
            at: *at,
            event: event.clone(),
        });
        effects.extend(drive(&mut player, &mut truth, now));
    }
    assert!(effects.contains(&Effect::Replay { dispute }), "{effects:?}");
    assert!(player.handle(Input::Reset).is_empty());
    feed(&mut player, &mut truth, dispute, &table.events);
    assert_eq!(player.disputes().count(), 0);
}

#[test]
fn who_cannot_tell_does_not_join_and_who_agrees_does_not_either() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let opening: Vec<_> = table
        .events
        .iter()
        .take_while(|(at, _)| at.block == 1)
        .cloned()
        .collect();
    for (result, joins) in [
        (None, false),
        (Some(truth.result()), false),
        (Some(ResultHash::ZERO), true),
    ] {
        let mut player = Player::new(Address::repeat_byte(0x77), POLICY);
        let mut effects = vec![];
        for (at, event) in &opening {
            effects.extend(player.handle(Input::Event {
                dispute,
                at: *at,
                event: event.clone(),
            }));
        }
        assert!(effects.contains(&Effect::NeedResult {
            dispute,
            statement: truth.statement()
        }));
        let effects = player.handle(Input::Result { dispute, result });
        assert_eq!(
            matches!(effects.as_slice(), [Effect::SendJoin { .. }]),
            joins,
            "{effects:?}"
        );
    }
    // When the only right claim is lost, it does.
    let mut player = Player::new(Address::repeat_byte(0x77), POLICY);
    feed(&mut player, &mut truth, dispute, &opening);
    let time = START + RULES.clock + 1;
    let join_until = time + RULES.join_window;
    let at = At { block: 2, log: 0, time };
    let lost = [(
        at,
        Event::Eliminated {
            index: 0,
            operator: address(1),
            join_until,
        },
    )];
    let effects = feed(&mut player, &mut truth, dispute, &lost);
    assert!(matches!(effects.as_slice(), [Effect::SendJoin { .. }]), "{effects:?}");
    assert_eq!(player.handle(Input::Tick(join_until + 1)), vec![], "too late");
}

/// A step that reads a preimage waits until its part is on the chain.
#[test]
fn a_preimage_is_shown_before_the_step() {
    let (table, mut truth) = game(40_000);
    let dispute = truth.statement().id();
    let part = PreimagePart {
        hash: B256::repeat_byte(1),
        offset: 64,
    };
    // The party whose step is next, just before it.
    let last = table
        .events
        .iter()
        .rposition(|(_, e)| matches!(e, Event::Dissected { .. }))
        .expect("a move");
    let mut player = Player::new(address(1), POLICY);
    let mut needed = None;
    for (at, event) in &table.events[..=last] {
        let mut todo = player.handle(Input::Event {
            dispute,
            at: *at,
            event: event.clone(),
        });
        while let Some(effect) = todo.pop() {
            match effect {
                Effect::NeedValues { dispute, positions } => {
                    let values = positions.iter().copied().zip(truth.roots(&positions)).collect();
                    todo.extend(player.handle(Input::Values { dispute, values }));
                }
                Effect::NeedWitness { position, kind, .. } => needed = Some((position, kind)),
                _ => {}
            }
        }
    }
    let (position, kind) = needed.expect("the last move of five is a's, which is honest");
    let witness = truth.witness(position, kind);
    let shown = player.handle(Input::Witness {
        dispute,
        position,
        witness,
        preimage: Some(part),
    });
    assert_eq!(shown, vec![Effect::ShowPreimage { dispute, part }]);
    let other = PreimagePart { offset: 0, ..part };
    assert_eq!(player.handle(Input::Shown(other)), vec![], "not that one");
    let effects = player.handle(Input::Shown(part));
    assert!(matches!(effects.as_slice(), [Effect::SendStep { .. }]), "{effects:?}");
}

#[test]
fn a_verdict_ends_the_game() {
    let truth = Counted::new(1_000, 5, u64::MAX / 2, Lie::None, 0);
    let lies = [Lie::Diverges(7), Lie::Diverges(900), Lie::Result];
    let mut operators = vec![Operator::honest(1, POLICY, Box::new(truth))];
    for (i, lie) in lies.into_iter().enumerate() {
        let trace = Counted::new(1_000, 5, u64::MAX / 2, lie, 2);
        operators.push(Operator::liar(
            i as u8 + 2,
            POLICY,
            Box::new(trace),
            Trick::SilentFrom(1),
            1,
        ));
    }
    operators.rotate_left(2);
    let mut table = Table::open(truth.statement(), operators, Counting, CALM, 1);
    table.send(OPENER, Action::Decide(truth.result())).expect("decides");
    assert!(table.game.running().is_none());
    assert_eq!(table.game.claims().iter().filter(|c| c.live).count(), 1);
    let again = table.send(OPENER, Action::Decide(truth.result()));
    assert!(matches!(again, Err(Refused::NothingDecided { .. })));
    // The player settles it.
    for _ in 0..20 {
        table.now += 600;
        table.round(&mut { truth });
    }
    let settlement = table.game.settlement().expect("settled");
    assert_eq!(settlement.slashes.len(), 3);
}
