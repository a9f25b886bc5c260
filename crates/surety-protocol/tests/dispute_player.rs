//! The player: whatever it is told, however often, in whatever order of answers, it plays one move a head.

mod common;

use alloy_primitives::{Address, B256};
use common::{synthetic::*, *};
use std::collections::BTreeMap;
use surety_primitives::{ClaimDetail, DisputeId, ResultHash};
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

fn feed(player: &mut Player, trace: &mut Counted, dispute: DisputeId, events: &[(At, Event)]) -> Vec<Effect> {
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
    let dispute = table.game.id();
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
    let dispute = table.game.id();
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
    let dispute = table.game.id();
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
    let dispute = table.game.id();
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
    let dispute = table.game.id();
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
    let dispute = table.game.id();
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

/// The opening of a dispute between two operators who then say nothing.
fn silent(opener: Address, truth: &Counted) -> (Game, Vec<Event>) {
    let detail = |n: u8, result| ClaimDetail {
        operator: address(n),
        request: B256::repeat_byte(n).into(),
        requester: Address::repeat_byte(n),
        result,
    };
    let claims = [detail(1, truth.result()), detail(2, ResultHash::ZERO)];
    Game::open(RULES, START, opener, truth.statement(), &claims).expect("opens")
}

fn place(block: u64, time: u64, events: Vec<Event>) -> Vec<(At, Event)> {
    let at = |log| At { block, log, time };
    events.into_iter().enumerate().map(|(i, e)| (at(i as u64), e)).collect()
}

/// Nobody with a claim lifts a finger: a player of the service ends it, and nobody else does.
#[test]
fn keepers_end_what_nobody_ends() {
    let mut truth = Counted::new(40_000, 5, u64::MAX / 2, Lie::None, 0);
    let (mut game, opened) = silent(OPENER, &truth);
    let dispute = game.id();
    let opened = place(1, START, opened);
    let service = truth.statement().service;
    let stranger = Address::repeat_byte(0x77);
    let mut keeper = Player::new(stranger, POLICY).keeping([service]);
    let mut passer_by = Player::new(stranger, POLICY).keeping([Address::repeat_byte(0x78)]);
    let mut loser = Player::new(address(1), POLICY);
    for player in [&mut keeper, &mut passer_by, &mut loser] {
        feed(player, &mut truth, dispute, &opened);
    }

    let late = START + RULES.clock;
    let due = late + 2 * POLICY.grace;
    assert_eq!(keeper.handle(Input::Tick(due)), vec![]);
    assert_eq!(
        keeper.handle(Input::Tick(due + 1)),
        vec![Effect::SendExpire { dispute }]
    );
    assert_eq!(passer_by.handle(Input::Tick(due + 1)), vec![]);
    assert_eq!(loser.handle(Input::Tick(due + 1)), vec![], "late itself");

    let expired = game
        .apply(due + 1, stranger, Action::Expire, &Counting, bond)
        .expect("expires");
    let ended = place(2, due + 1, expired);
    // The survivor is an accomplice who does not settle; the eliminated one wants its lock back.
    let own = |e: Effect| matches!(e, Effect::SendJoin { .. });
    let join = feed(&mut keeper, &mut truth, dispute, &ended);
    assert!(join.into_iter().all(own), "the right claim was lost: it may still join");
    for player in [&mut passer_by, &mut loser] {
        feed(player, &mut truth, dispute, &ended);
    }
    let due = game.join_until() + 3 * POLICY.grace;
    for (player, settles) in [(&mut keeper, true), (&mut passer_by, false), (&mut loser, true)] {
        assert_eq!(player.handle(Input::Tick(due)), vec![]);
        let effects = player.handle(Input::Tick(due + 1));
        let settle = matches!(effects.as_slice(), [Effect::SendSettle { .. }]);
        assert_eq!((settle, effects.len()), (settles, usize::from(settles)));
    }
    game.apply(due + 1, stranger, Action::Settle, &Counting, bond)
        .expect("settles");
}

/// A third claim out of the match: with it alive the match ends one grace after the clock, with it dead after two.
#[test]
fn the_eliminated_expire_later_than_the_living() {
    let mut truth = Counted::new(40_000, 5, u64::MAX / 2, Lie::None, 0);
    let (mut game, _) = silent(OPENER, &truth);
    let third = |n: u8, result| {
        Action::Join(ClaimDetail {
            operator: address(n),
            request: B256::repeat_byte(n).into(),
            requester: Address::repeat_byte(n),
            result,
        })
    };
    let mut events = place(1, START, silent(OPENER, &truth).1);
    let joins = [(3, ResultHash::ZERO), (4, B256::repeat_byte(4).into())];
    for (block, (n, result)) in (2..).zip(joins) {
        let joined = game.apply(START, address(n), third(n, result), &Counting, bond);
        events.extend(place(block, START, joined.expect("joins")));
    }
    let dispute = game.id();
    let mut living = Player::new(address(4), POLICY);
    feed(&mut living, &mut truth, dispute, &events);
    let late = START + RULES.clock;
    assert_eq!(living.handle(Input::Tick(late + POLICY.grace)), vec![]);
    let expire = vec![Effect::SendExpire { dispute }];
    assert_eq!(living.handle(Input::Tick(late + POLICY.grace + 1)), expire);

    let time = late + POLICY.grace + 1;
    let expired = game.apply(time, OPENER, Action::Expire, &Counting, bond);
    events.extend(place(9, time, expired.expect("expires")));
    let mut dead = Player::new(address(1), POLICY);
    feed(&mut dead, &mut truth, dispute, &events);
    let due = time + RULES.clock + 2 * POLICY.grace;
    assert_eq!(dead.handle(Input::Tick(due)), vec![]);
    assert_eq!(dead.handle(Input::Tick(due + 1)), expire);
}

/// A verdict that nobody claimed leaves no survivor; the players of the service settle.
#[test]
fn a_dispute_without_survivors_is_settled() {
    let mut truth = Counted::new(40_000, 5, u64::MAX / 2, Lie::None, 0);
    let (mut game, opened) = silent(OPENER, &truth);
    let dispute = game.id();
    let mut events = place(1, START, opened);
    let verdict = Action::Decide(B256::repeat_byte(9).into());
    let decided = game.apply(START, OPENER, verdict, &Counting, bond).expect("decides");
    events.extend(place(2, START, decided));
    let mut dead = Player::new(address(1), POLICY);
    feed(&mut dead, &mut truth, dispute, &events);
    let effects = dead.handle(Input::Tick(game.join_until() + 3 * POLICY.grace + 1));
    assert!(matches!(effects.as_slice(), [Effect::SendSettle { .. }]), "{effects:?}");
}

/// Two accounts dispute the same statement at once: every match of both is played, each with its own heads.
#[test]
fn two_disputes_about_one_statement_are_both_played() {
    let mut truth = Counted::new(40_000, 5, u64::MAX / 2, Lie::None, 0);
    let mut lie = Counted::new(40_000, 5, u64::MAX / 2, Lie::Diverges(9_999), 2);
    let detail = |n: u8, result| ClaimDetail {
        operator: address(n),
        request: B256::repeat_byte(n).into(),
        requester: Address::repeat_byte(n),
        result,
    };
    let claims = [detail(1, truth.result()), detail(2, lie.result())];
    let mut games: BTreeMap<DisputeId, Game> = BTreeMap::new();
    let mut events: Vec<(DisputeId, At, Event)> = vec![];
    let log = |events: &mut Vec<(DisputeId, At, Event)>, dispute, time, new: Vec<Event>| {
        for event in new {
            let block = events.len() as u64 + 1;
            events.push((dispute, At { block, log: 0, time }, event));
        }
    };
    for opener in [OPENER, Address::repeat_byte(0x0f)] {
        let (game, opened) = Game::open(RULES, START, opener, truth.statement(), &claims).expect("opens");
        log(&mut events, game.id(), START, opened);
        games.insert(game.id(), game);
    }
    assert_eq!(games.len(), 2, "two ids");
    let heads: Vec<_> = games.values().filter_map(Game::running).map(|m| m.head).collect();
    assert_ne!(heads[0], heads[1], "M_0 binds the opener");

    let mut players = [
        (Player::new(address(1), POLICY), &mut truth),
        (Player::new(address(2), POLICY), &mut lie),
    ];
    let mut seen = [0, 0];
    let mut now = START;
    for _ in 0..200 {
        for (n, (player, trace)) in players.iter_mut().enumerate() {
            let mut sends = vec![];
            for (dispute, at, event) in &events[seen[n]..] {
                sends.extend(feed(player, trace, *dispute, &[(*at, event.clone())]));
            }
            seen[n] = events.len();
            let ticked = player.handle(Input::Tick(now));
            sends.extend(drive(player, trace, ticked));
            for effect in sends {
                let (dispute, action) = match effect {
                    Effect::SendDissect {
                        dispute,
                        head,
                        segment,
                        points,
                    } => {
                        let segment = segment.into();
                        (dispute, Action::Dissect { head, segment, points })
                    }
                    Effect::SendStep {
                        dispute,
                        opener,
                        head,
                        segment,
                        openings,
                        witness,
                        ..
                    } => {
                        assert_eq!(opener, games[&dispute].opener());
                        let action = Action::Step {
                            head,
                            segment: segment.into(),
                            openings,
                            witness,
                        };
                        (dispute, action)
                    }
                    Effect::SendExpire { dispute } => (dispute, Action::Expire),
                    Effect::SendSettle { dispute, .. } => (dispute, Action::Settle),
                    // Asked for while the events of the opening are half told; it has a claim, and is refused.
                    Effect::SendJoin { .. } => continue,
                    other => panic!("not a transaction: {other:?}"),
                };
                let game = games.get_mut(&dispute).expect("a dispute");
                if let Ok(new) = game.apply(now, address(n as u8 + 1), action, &Counting, bond) {
                    log(&mut events, dispute, now, new);
                }
            }
        }
        now += 600;
    }
    for game in games.values() {
        let settlement = game.settlement().expect("settled");
        let losers: Vec<_> = settlement.slashes.iter().map(|s| s.operator).collect();
        assert_eq!(losers, [address(2)]);
    }
}
