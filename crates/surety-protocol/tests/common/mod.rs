//! A table to play disputes at: a chain that follows the rules of `Game`, operators honest and not, and a network
//! that loses, repeats and delays.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod real;
pub mod synthetic;

use alloy_primitives::{Address, B256, U256, keccak256};
use k256::ecdsa::SigningKey;
use rand::{Rng, SeedableRng, rngs::StdRng};
use surety_primitives::{ClaimDetail, DisputeId, RequestHash, ResultHash, Statement};
use surety_protocol::dispute::dishonest::{Liar, Trick};
use surety_protocol::dispute::*;

/// What an operator believes of a statement.
pub trait Trace {
    fn result(&self) -> ResultHash;
    /// State roots after so many steps.
    fn roots(&mut self, positions: &[u64]) -> Vec<B256>;
    /// Witness of the transition at a position.
    fn witness(&mut self, position: u64, kind: Transition) -> Vec<u8>;
}

/// Key of operator `n`, which is not 0.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32].into()).expect("a scalar in range")
}

pub fn address(n: u8) -> Address {
    Address::from_public_key(key(n).verifying_key())
}

pub enum Brain {
    Honest(Player),
    Liar(Box<Liar>),
}

pub struct Operator {
    pub address: Address,
    pub requester: Address,
    pub brain: Brain,
    pub trace: Box<dyn Trace>,
    /// Events seen.
    pub seen: usize,
    /// When it looked at the chain last.
    pub looked: u64,
    pub honest: bool,
    /// Loses its memory before every time it looks at the chain.
    pub amnesia: bool,
    /// Makes no claim when the dispute opens.
    pub late: bool,
}

impl Operator {
    pub fn honest(n: u8, policy: Policy, trace: Box<dyn Trace>) -> Self {
        Self::new(n, Brain::Honest(Player::new(address(n), policy)), trace, true)
    }

    pub fn liar(n: u8, policy: Policy, trace: Box<dyn Trace>, trick: Trick, seed: u64) -> Self {
        Self::new(
            n,
            Brain::Liar(Box::new(Liar::new(address(n), policy, trick, seed))),
            trace,
            false,
        )
    }

    fn new(n: u8, brain: Brain, trace: Box<dyn Trace>, honest: bool) -> Self {
        Self {
            address: address(n),
            requester: Address::repeat_byte(n + 100),
            brain,
            trace,
            seen: 0,
            looked: 0,
            honest,
            amnesia: false,
            late: false,
        }
    }

    pub fn detail(&self) -> ClaimDetail {
        ClaimDetail {
            operator: self.address,
            request: RequestHash(keccak256(self.requester)),
            requester: self.requester,
            result: self.trace.result(),
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        match &mut self.brain {
            Brain::Honest(player) => player.handle(input),
            Brain::Liar(liar) => liar.handle(input),
        }
    }

    /// Everything there is to do after seeing the chain up to now.
    fn look(&mut self, policy: Policy, events: &[(At, Event)], dispute: DisputeId, now: u64) -> Vec<Effect> {
        let mut todo = Vec::new();
        if self.amnesia
            && let Brain::Honest(player) = &mut self.brain
        {
            *player = Player::new(self.address, policy);
            self.seen = 0;
        }
        for (at, event) in &events[self.seen..] {
            todo.extend(self.handle(Input::Event {
                dispute,
                at: *at,
                event: event.clone(),
            }));
        }
        self.seen = events.len();
        todo.extend(self.handle(Input::Tick(now)));
        let mut sends = Vec::new();
        while let Some(effect) = todo.pop() {
            let input = match effect {
                Effect::NeedResult { dispute, .. } => Input::Result {
                    dispute,
                    result: Some(self.trace.result()),
                },
                Effect::NeedValues { dispute, positions } => {
                    assert!(positions.is_sorted() && positions.len() <= POINTS);
                    let roots = self.trace.roots(&positions);
                    Input::Values {
                        dispute,
                        values: positions.into_iter().zip(roots).collect(),
                    }
                }
                Effect::NeedWitness {
                    dispute,
                    position,
                    kind,
                } => Input::Witness {
                    dispute,
                    position,
                    witness: self.trace.witness(position, kind),
                    preimage: None,
                },
                Effect::ShowPreimage { part, .. } => Input::Shown(part),
                Effect::Replay { .. } => {
                    self.seen = events.len();
                    let again = self.handle(Input::Reset);
                    assert!(again.is_empty());
                    for (at, event) in events {
                        todo.extend(self.handle(Input::Event {
                            dispute,
                            at: *at,
                            event: event.clone(),
                        }));
                    }
                    continue;
                }
                send => {
                    sends.push(send);
                    continue;
                }
            };
            todo.extend(self.handle(input));
        }
        sends
    }
}

/// What may happen to the chain besides the model: the real contracts, held to it.
pub trait Mirror {
    /// The same transaction, in the same block time. `claims` are those before it.
    fn send(&mut self, now: u64, sender: Address, action: &Action, game: &Game) -> Result<Vec<Event>, String>;

    /// Both must now be in the same state.
    fn compare(&mut self, game: &Game);
}

/// What the network does to a message.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Of 100, lost.
    pub lost: u32,
    /// Of 100, delivered again, at once and later.
    pub repeated: u32,
    /// Of 100, sent by somebody else first.
    pub front_run: u32,
    /// Of 100, preceded by a spoilt copy.
    pub spoilt: u32,
    /// Of 100, chances a round that the last blocks are gone.
    pub reorganised: u32,
    /// Longest time between two looks at the chain, seconds.
    pub slow: u64,
}

pub const CALM: Weather = Weather {
    lost: 0,
    repeated: 0,
    front_run: 0,
    spoilt: 0,
    reorganised: 0,
    slow: 60,
};
pub const STORM: Weather = Weather {
    lost: 20,
    repeated: 30,
    front_run: 30,
    spoilt: 30,
    reorganised: 0,
    slow: 400,
};

pub const RULES: Rules = Rules {
    disputes: Address::repeat_byte(0xd1),
    chain_id: 31337,
    clock: 14_400,
    join_window: 3_600,
};
pub const POLICY: Policy = Policy {
    resend_after: 60,
    grace: 600,
    clock: RULES.clock,
};
/// Blocks vanish, with the moves in them.
pub const QUAKE: Weather = Weather {
    reorganised: 10,
    slow: 60,
    ..STORM
};

/// When disputes open.
pub const START: u64 = 1_700_000_000;
pub const OPENER: Address = Address::repeat_byte(0x0e);

fn flip_one(rng: &mut StdRng, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        bytes[rng.random_range(0..bytes.len())] ^= 1 << rng.random_range(0..8);
    }
}

pub fn bond(operator: Address) -> U256 {
    // Any number that does not divide well.
    U256::from(1_000_003u64) * (U256::from(operator.0[0]) + U256::from(1))
}

pub struct Table<R: Referee> {
    pub game: Game,
    pub operators: Vec<Operator>,
    pub events: Vec<(At, Event)>,
    pub now: u64,
    referee: R,
    rng: StdRng,
    weather: Weather,
    dispute: DisputeId,
    late: Vec<(u64, Address, Action)>,
    /// The chain before each of its last blocks, and the time of that block.
    past: Vec<(Game, usize, u64)>,
    /// Blocks that vanished.
    pub vanished: usize,
    /// Moves accepted, of all matches.
    pub moves: usize,
    /// Steps proved.
    pub steps: usize,
    /// The head at which a liar has tried everything.
    tried: Option<B256>,
    /// Gets every transaction too, and must do the same.
    pub mirror: Option<Box<dyn Mirror>>,
    /// Transactions accepted and refused.
    pub accepted: usize,
    pub refused: usize,
}

impl<R: Referee> Table<R> {
    pub fn open(statement: Statement, operators: Vec<Operator>, referee: R, weather: Weather, seed: u64) -> Self {
        Self::open_at(RULES, START, statement, operators, referee, weather, seed)
    }

    pub fn open_at(
        rules: Rules,
        now: u64,
        statement: Statement,
        operators: Vec<Operator>,
        referee: R,
        weather: Weather,
        seed: u64,
    ) -> Self {
        let details: Vec<_> = operators.iter().filter(|o| !o.late).map(Operator::detail).collect();
        let (game, events) = Game::open(rules, now, OPENER, statement, &details).expect("opens");
        let mut table = Self {
            dispute: game.id(),
            game,
            operators,
            events: vec![],
            now,
            referee,
            rng: StdRng::seed_from_u64(seed),
            weather,
            late: vec![],
            past: vec![],
            vanished: 0,
            moves: 0,
            steps: 0,
            tried: None,
            mirror: None,
            accepted: 0,
            refused: 0,
        };
        table.log(events);
        table
    }

    fn log(&mut self, events: Vec<Event>) {
        let block = self.events.last().map_or(1, |(at, _)| at.block + 1);
        for (log, event) in events.into_iter().enumerate() {
            match event {
                Event::Dissected { .. } => self.moves += 1,
                Event::Stepped { .. } => {
                    self.moves += 1;
                    self.steps += 1;
                }
                _ => {}
            }
            self.events.push((
                At {
                    block,
                    log: log as u64,
                    time: self.now,
                },
                event,
            ));
        }
    }

    /// One transaction; refused, it must change nothing.
    pub fn send(&mut self, sender: Address, action: Action) -> Result<(), Refused> {
        let before = self.game.clone();
        let outcome = self.game.apply(self.now, sender, action.clone(), &self.referee, bond);
        if let Some(mirror) = &mut self.mirror {
            let mirrored = mirror.send(self.now, sender, &action, &before);
            match (&outcome, &mirrored) {
                (Ok(events), Ok(mirrored)) => assert_eq!(events, mirrored, "other events for {action:?}"),
                (Err(_), Err(_)) => {}
                (Ok(_), Err(error)) => panic!("the contract refuses what the model takes: {error}, {action:?}"),
                (Err(error), Ok(_)) => panic!("the contract takes what the model refuses: {error}, {action:?}"),
            }
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.compare(&self.game);
        }
        match outcome {
            Ok(events) => {
                self.accepted += 1;
                self.past.push((before, self.events.len(), self.now));
                self.log(events);
                Ok(())
            }
            Err(refused) => {
                self.refused += 1;
                assert_eq!(self.game, before, "a refused transaction changed something");
                Err(refused)
            }
        }
    }

    /// `None` where the contract would refuse the details of the claims: another joined in the meantime.
    fn action(&self, operator: usize, effect: Effect) -> Option<Action> {
        let same = |claims: &[ClaimDetail]| claims.iter().eq(self.game.claims().iter().map(|c| &c.detail));
        Some(match effect {
            Effect::SendJoin { claims, .. } | Effect::SendSettle { claims, .. } if !same(&claims) => return None,
            Effect::SendJoin { result, .. } => {
                let detail = self.operators[operator].detail();
                assert_eq!(detail.result, result);
                Action::Join(detail)
            }
            Effect::SendDissect {
                head, segment, points, ..
            } => Action::Dissect {
                head,
                segment: segment.into(),
                points,
            },
            Effect::SendStep {
                head,
                segment,
                openings,
                witness,
                ..
            } => Action::Step {
                head,
                segment: segment.into(),
                openings,
                witness,
            },
            Effect::SendExpire { .. } => Action::Expire,
            Effect::SendSettle { .. } => Action::Settle,
            other => panic!("not a transaction: {other:?}"),
        })
    }

    /// The last one to three blocks are gone, with what was in them; everybody starts from what is left. Only blocks of
    /// the last minutes vanish: what is older is final.
    fn reorganise(&mut self) {
        let depth = self.rng.random_range(1..=3);
        let Some(at) = self.past.len().checked_sub(depth) else {
            return;
        };
        if self.now - self.past[at].2 > 300 {
            return;
        }
        let (game, length, _) = self.past.swap_remove(at);
        self.past.truncate(at);
        self.vanished += depth;
        self.game = game;
        self.events.truncate(length);
        self.tried = None;
        for operator in &mut self.operators {
            operator.seen = 0;
            assert!(operator.handle(Input::Reset).is_empty());
        }
    }

    /// The operator on move, if a match is running.
    pub fn on_move(&self) -> Option<usize> {
        let running = self.game.running()?;
        let address = self.game.claims()[usize::from(running.claim(running.mover()))]
            .detail
            .operator;
        self.operators.iter().position(|o| o.address == address)
    }

    /// Whether both parties of the running match are liars.
    fn both_wrong(&self) -> bool {
        self.game.running().is_some_and(|m| {
            [m.a, m.b].iter().all(|i| {
                let address = self.game.claims()[usize::from(*i)].detail.operator;
                self.operators.iter().any(|o| o.address == address && !o.honest)
            })
        })
    }

    /// Plays to the end. `truth` helps liars try true witnesses too.
    pub fn play(&mut self, truth: &mut dyn Trace) {
        for _ in 0..100_000 {
            if self.game.settlement().is_some() {
                return self.check();
            }
            let before = self.events.len();
            self.round(truth);
            // When nothing happens and nobody honest is to move, somebody waits for a clock.
            let honest = self.on_move().is_some_and(|i| self.operators[i].honest);
            let most = if self.events.len() == before && !honest {
                2_000
            } else {
                self.weather.slow
            };
            self.now += self.rng.random_range(1..=most);
        }
        panic!("the dispute does not end: {:?}", self.game);
    }

    pub fn round(&mut self, truth: &mut dyn Trace) {
        let weather = self.weather;
        if self.rng.random_range(0..100) < weather.reorganised {
            self.reorganise();
        }
        let mut sends: Vec<(usize, Effect)> = vec![];
        for i in 0..self.operators.len() {
            if self.rng.random_range(0..100) < 30 && self.now - self.operators[i].looked < 1_000 {
                // Busy with other things, but not for long.
                continue;
            }
            self.operators[i].looked = self.now;
            let effects = self.operators[i].look(POLICY, &self.events, self.dispute, self.now);
            sends.extend(effects.into_iter().map(|e| (i, e)));
        }
        let due: Vec<_> = self.late.extract_if(.., |(when, ..)| *when <= self.now).collect();
        for (_, sender, action) in due {
            let _ = self.send(sender, action);
        }
        while !sends.is_empty() {
            let (i, effect) = sends.swap_remove(self.rng.random_range(0..sends.len()));
            let sender = self.operators[i].address;
            let Some(action) = self.action(i, effect) else { continue };
            if self.rng.random_range(0..100) < weather.front_run {
                let thief = self.operators[self.rng.random_range(0..self.operators.len())].address;
                let anyone = matches!(action, Action::Expire | Action::Settle);
                if thief != sender && !anyone && !matches!(action, Action::Join(_)) {
                    assert!(self.send(thief, action.clone()).is_err(), "a stolen move was accepted");
                }
            }
            if self.rng.random_range(0..100) < weather.spoilt
                && let Some(spoilt) = self.spoil(&action)
            {
                assert!(self.send(sender, spoilt).is_err(), "a spoilt move was accepted");
            }
            if self.rng.random_range(0..100) < weather.lost {
                continue;
            }
            let sent = self.send(sender, action.clone());
            let is_settle = action == Action::Settle;
            if self.operators[i].honest
                && let Err(refused) = sent
            {
                // An honest move can come too late, never be wrong.
                let race = matches!(
                    refused,
                    Refused::NoMatch
                        | Refused::WrongHead { .. }
                        | Refused::Settled
                        | Refused::MatchRunning
                        | Refused::JoinOpen { .. }
                        | Refused::JoinClosed { .. }
                        | Refused::HasClaim { .. }
                        | Refused::Full
                        | Refused::InTime { .. }
                        | Refused::OutOfTime { .. }
                );
                assert!(race, "an honest transaction was refused: {refused}");
            }
            if !is_settle && self.rng.random_range(0..100) < weather.repeated {
                let again = self.send(sender, action.clone());
                assert!(
                    again.is_err() || action == Action::Expire,
                    "a repeated transaction was accepted"
                );
                self.late
                    .push((self.now + self.rng.random_range(1..5_000), sender, action));
            }
        }
        self.cheat(truth);
    }

    /// A copy of a move with something wrong in it.
    fn spoil(&mut self, action: &Action) -> Option<Action> {
        match action.clone() {
            Action::Dissect {
                mut head,
                segment,
                points,
            } => {
                flip_one(&mut self.rng, head.as_mut_slice());
                Some(Action::Dissect { head, segment, points })
            }
            Action::Step {
                mut head,
                mut segment,
                mut openings,
                mut witness,
            } => {
                match self.rng.random_range(0..9) {
                    0 => head ^= B256::with_last_byte(1),
                    1 => segment += 32,
                    2 => segment = (segment + self.rng.random_range(1..32u64)) % 32,
                    3 | 4 => flip_one(&mut self.rng, &mut openings),
                    5 => flip_one(&mut self.rng, &mut witness),
                    6 => openings.push(0),
                    7 => witness.push(0),
                    _ => openings.truncate(openings.len() - 32),
                }
                Some(Action::Step {
                    head,
                    segment,
                    openings,
                    witness,
                })
            }
            _ => None,
        }
    }

    /// A liar whose step is next tries everything.
    fn cheat(&mut self, truth: &mut dyn Trace) {
        let levels = Geometry::new(self.game.statement().budget).levels();
        let Some(i) = self.on_move() else { return };
        let head = self.game.running().filter(|m| m.moves == levels).map(|m| m.head);
        if head.is_none() || head == self.tried {
            return;
        }
        self.tried = head;
        let operator = &mut self.operators[i];
        operator.look(POLICY, &self.events, self.dispute, self.now);
        let Brain::Liar(liar) = &operator.brain else { return };
        let own = &mut operator.trace;
        let attempts = liar.steps(|geometry, position| {
            let kind = geometry.transition(position);
            match kind {
                Transition::Identity => {
                    vec![own.result().to_vec(), truth.result().to_vec(), vec![0; 32], vec![0; 31]]
                }
                kind => vec![own.witness(position, kind), truth.witness(position, kind), vec![]],
            }
        });
        let address = operator.address;
        let both_wrong = self.both_wrong();
        for attempt in attempts {
            let action = self.action(i, attempt).expect("a step");
            if self.send(address, action.clone()).is_ok() {
                assert!(
                    both_wrong,
                    "a liar proved a step against an honest operator: {action:?}"
                );
                return;
            }
        }
    }

    /// P1, P2, P7
    fn check(&self) {
        let claims = self.game.claims();
        let honest = |address: Address| self.operators.iter().any(|o| o.address == address && o.honest);
        let truth = self.operators.iter().find(|o| o.honest).map(|o| o.trace.result());
        for claim in claims {
            if honest(claim.detail.operator) {
                assert!(claim.live, "P1: honest {} was eliminated", claim.detail.operator);
            }
        }
        if claims.iter().any(|c| honest(c.detail.operator)) {
            for claim in claims.iter().filter(|c| Some(c.detail.result) != truth) {
                assert!(
                    !claim.live,
                    "P2: {} claims what is wrong and was not eliminated",
                    claim.detail.operator
                );
            }
        }
        assert!(claims.iter().any(|c| c.live));
        let eliminated = self
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::Eliminated { .. }))
            .count();
        let matches = self
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::MatchStarted { .. }))
            .count();
        assert_eq!(eliminated, claims.iter().filter(|c| !c.live).count());
        assert_eq!(matches, eliminated, "each match eliminates one");

        let settlement = self.game.settlement().expect("settled");
        let paid: U256 = settlement.credits.iter().map(|c| c.amount).sum();
        assert_eq!(paid + settlement.burnt, settlement.slashed(), "P7");
        for slash in &settlement.slashes {
            assert!(slash.amount <= bond(slash.operator), "P7");
            assert!(!honest(slash.operator), "P1");
            let requester = claims
                .iter()
                .find(|c| c.detail.operator == slash.operator)
                .expect("a claim")
                .detail
                .requester;
            let due = slash.amount * U256::from(2) / U256::from(5);
            let got: U256 = settlement
                .credits
                .iter()
                .filter(|c| c.to == requester)
                .map(|c| c.amount)
                .sum();
            assert!(got >= due, "the user gets less than their part");
        }
    }
}
