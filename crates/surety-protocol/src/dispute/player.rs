//! The honest player of one operator.

use super::{At, Claim, Clocks, Event, Geometry, History, MAX_CLAIMS, POINTS, Points, Transition, encode_details};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use alloy_primitives::{Address, B256};
use surety_primitives::{ClaimDetail, DisputeId, ResultHash, Statement};

/// How a player behaves where the rules leave it free. All in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After how long an effect that had no effect is asked for again: a lost transaction, an answer that never came.
    pub resend_after: u64,
    /// How long to leave to others what others are paid or bound to do.
    pub grace: u64,
    /// What each party has in each match; the contract's `clock`.
    pub clock: u64,
}

/// What a player is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The chain says. Events come in the chain's order; one that came before is ignored.
    Event {
        /// Of which dispute.
        dispute: DisputeId,
        /// Where on the chain.
        at: At,
        /// What happened.
        event: Event,
    },
    /// It is now this late: the time of the chain's latest block, Unix seconds.
    Tick(u64),
    /// The chain was reorganised, or events were missed: forget what it said. Its events follow again, from the
    /// opening of every dispute that is not settled.
    Reset,
    /// The right result of a statement, from this node's own run; `None` if it cannot tell.
    Result {
        /// Of the statement of which dispute.
        dispute: DisputeId,
        /// Its result.
        result: Option<ResultHash>,
    },
    /// State roots of this node's own run.
    Values {
        /// Of the statement of which dispute.
        dispute: DisputeId,
        /// Positions and the roots there.
        values: Vec<(u64, B256)>,
    },
    /// A witness, made by this node.
    Witness {
        /// Of the statement of which dispute.
        dispute: DisputeId,
        /// Of the transition at this position.
        position: u64,
        /// The step witness, or the state.
        witness: Vec<u8>,
        /// A part of a preimage that the contract must have been shown before.
        preimage: Option<PreimagePart>,
    },
    /// A part of a preimage is on the chain.
    Shown(PreimagePart),
}

/// 32 bytes of a preimage, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PreimagePart {
    /// keccak-256 of the preimage.
    pub hash: B256,
    /// Where the bytes are in it.
    pub offset: u32,
}

/// What a player wants done. Each stands until what it asks for is seen to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the right result of a statement: `Input::Result`.
    NeedResult {
        /// The dispute.
        dispute: DisputeId,
        /// The statement.
        statement: Statement,
    },
    /// Tell state roots: `Input::Values`.
    NeedValues {
        /// The dispute.
        dispute: DisputeId,
        /// After how many steps; ascending, at most the budget.
        positions: Vec<u64>,
    },
    /// Tell a witness: `Input::Witness`.
    NeedWitness {
        /// The dispute.
        dispute: DisputeId,
        /// Of the transition at this position.
        position: u64,
        /// A step witness for a machine step, the state for the projection.
        kind: Transition,
    },
    /// Show a part of a preimage to the `Preimages` contract, then `Input::Shown`.
    ShowPreimage {
        /// The dispute.
        dispute: DisputeId,
        /// The part.
        part: PreimagePart,
    },
    /// Call `join`, with a response signed by this operator.
    SendJoin {
        /// The dispute.
        dispute: DisputeId,
        /// Its statement.
        statement: Statement,
        /// Who opened it.
        opener: Address,
        /// The claims so far. An operator that has answered no request for the statement signs the first one's.
        claims: Vec<ClaimDetail>,
        /// The right result.
        result: ResultHash,
    },
    /// Call `dissect`.
    SendDissect {
        /// The dispute.
        dispute: DisputeId,
        /// The head answered.
        head: B256,
        /// The segment.
        segment: u8,
        /// Its points.
        points: Box<Points>,
    },
    /// Call `step`.
    SendStep {
        /// The dispute.
        dispute: DisputeId,
        /// Its statement.
        statement: Statement,
        /// Who opened it.
        opener: Address,
        /// The head answered.
        head: B256,
        /// The segment.
        segment: u8,
        /// Openings.
        openings: Vec<u8>,
        /// Witness.
        witness: Vec<u8>,
    },
    /// Call `expire`.
    SendExpire {
        /// The dispute.
        dispute: DisputeId,
    },
    /// Call `settle`.
    SendSettle {
        /// The dispute.
        dispute: DisputeId,
        /// Its statement.
        statement: Statement,
        /// Who opened it.
        opener: Address,
        /// All claims.
        claims: Vec<ClaimDetail>,
    },
    /// Events are missing: `Input::Reset`, then all of them again.
    Replay {
        /// The dispute where it showed.
        dispute: DisputeId,
    },
}

/// The honest player of one operator, in all its disputes.
///
/// What it wants is a function of what it was told: it keeps nothing else that matters. After a restart, or a
/// reorganisation, the same events lead to the same moves, and a move is bound to the head it answers, so nothing is
/// lost or done twice.
#[derive(Clone, Debug)]
pub struct Player {
    operator: Address,
    policy: Policy,
    /// Services whose disputes it ends where nobody else does.
    keeps: Vec<Address>,
    now: u64,
    last: Option<At>,
    seats: BTreeMap<DisputeId, Seat>,
}

/// One dispute, as seen by one operator.
#[derive(Clone, Debug)]
struct Seat {
    dispute: DisputeId,
    statement: Statement,
    geometry: Geometry,
    opener: Address,
    join_until: u64,
    claims: Vec<Claim>,
    running: Option<Running>,
    /// An event did not fit: what is known is not what is.
    broken: bool,
    truth: Truth,
    /// What was asked for last, and when.
    asked: Option<(Effect, u64)>,
}

#[derive(Clone, Debug)]
struct Running {
    a: u8,
    b: u8,
    clocks: Clocks,
    history: History,
}

/// What this node knows of the statement itself, which no chain can change.
#[derive(Clone, Debug, Default)]
struct Truth {
    /// `Some(None)`: cannot tell.
    result: Option<Option<ResultHash>>,
    /// Positions that were asked for, of one match at a time: at most 62 a move.
    roots: BTreeMap<u64, B256>,
    witness: Option<(u64, Vec<u8>, Option<PreimagePart>)>,
    shown: Option<PreimagePart>,
}

impl Player {
    /// A player for the operator with this key.
    pub const fn new(operator: Address, policy: Policy) -> Self {
        Self {
            operator,
            policy,
            keeps: Vec::new(),
            now: 0,
            last: None,
            seats: BTreeMap::new(),
        }
    }

    /// The same player, which also ends what nobody ends in disputes of these services that it has no claim in: it
    /// expires matches and settles, later than those who are paid or bound to. So no dispute stays open for ever,
    /// whoever its parties are.
    #[must_use]
    pub fn keeping(mut self, services: impl IntoIterator<Item = Address>) -> Self {
        self.keeps.extend(services);
        self
    }

    /// Takes an input; returns what is wanted now and was not asked for a short while ago.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Event { dispute, at, event } => {
                // Logs of a block share its time, so the order is by block and log.
                if self
                    .last
                    .is_some_and(|last| (at.block, at.log) <= (last.block, last.log))
                {
                    return Vec::new();
                }
                self.last = Some(at);
                self.now = self.now.max(at.time);
                self.event(dispute, at, event);
            }
            Input::Tick(now) => self.now = self.now.max(now),
            Input::Reset => {
                self.last = None;
                // A reorganised chain may be earlier than the one before.
                self.now = 0;
                // A seat that an earlier reset emptied and no opening filled again was on a chain that is gone.
                self.seats.retain(|_, seat| !seat.claims.is_empty());
                self.seats.values_mut().for_each(Seat::forget);
            }
            Input::Result { dispute, result } => self.truth(dispute, |truth| truth.result = Some(result)),
            Input::Values { dispute, values } => self.truth(dispute, |truth| truth.roots.extend(values)),
            Input::Witness {
                dispute,
                position,
                witness,
                preimage,
            } => {
                self.truth(dispute, |truth| truth.witness = Some((position, witness, preimage)));
            }
            Input::Shown(part) => {
                for seat in self.seats.values_mut().filter(|seat| seat.needs(part)) {
                    seat.truth.shown = Some(part);
                }
            }
        }
        let Self {
            operator,
            policy,
            keeps,
            now,
            seats,
            ..
        } = self;
        seats
            .values_mut()
            .flat_map(|seat| {
                let keeps = keeps.contains(&seat.statement.service);
                seat.ask(*operator, policy, keeps, *now)
            })
            .collect()
    }

    /// The disputes that are not settled.
    pub fn disputes(&self) -> impl Iterator<Item = &DisputeId> {
        self.seats.keys()
    }

    fn truth(&mut self, dispute: DisputeId, change: impl FnOnce(&mut Truth)) {
        if let Some(seat) = self.seats.get_mut(&dispute) {
            change(&mut seat.truth);
        }
    }

    fn event(&mut self, dispute: DisputeId, at: At, event: Event) {
        match event {
            Event::Opened {
                opener,
                statement,
                join_until,
            } => {
                let truth = self.seats.remove(&dispute).map(|seat| seat.truth).unwrap_or_default();
                self.seats.insert(
                    dispute,
                    Seat {
                        dispute,
                        statement,
                        geometry: Geometry::new(statement.budget),
                        opener,
                        join_until,
                        claims: Vec::with_capacity(MAX_CLAIMS),
                        running: None,
                        broken: false,
                        truth,
                        asked: None,
                    },
                );
            }
            Event::Settled { .. } => {
                self.seats.remove(&dispute);
            }
            // A dispute that was opened before this player began to watch is none of its own.
            event => {
                if let Some(seat) = self.seats.get_mut(&dispute)
                    && seat.event(&self.policy, at, event).is_none()
                {
                    seat.broken = true;
                }
            }
        }
    }
}

impl Seat {
    /// Follows the game. `None` if the event does not fit what came before.
    fn event(&mut self, policy: &Policy, at: At, event: Event) -> Option<()> {
        match event {
            // The player ends or begins a seat with these.
            Event::Opened { .. } | Event::Settled { .. } => {}
            // What they lead to follows.
            Event::Stepped { .. } | Event::Expired | Event::Decided { .. } => {}
            Event::Claimed { index, detail } => {
                if usize::from(index) != self.claims.len() || self.claims.len() >= MAX_CLAIMS {
                    return None;
                }
                self.claims.push(Claim { detail, live: true });
            }
            Event::MatchStarted { a, b, levels, head } => {
                if self.running.is_some() || levels != self.geometry.levels() {
                    return None;
                }
                self.claims.get(usize::from(a))?;
                self.claims.get(usize::from(b))?;
                let history = History::new(self.geometry, head);
                self.running = Some(Running {
                    a,
                    b,
                    clocks: Clocks::new(policy.clock, at.time),
                    history,
                });
            }
            Event::Dissected {
                number,
                segment,
                head,
                points,
            } => {
                let running = self.running.as_mut()?;
                let mover = running.mover();
                if number != running.history.moves().saturating_add(1) || running.history.push(segment, points)? != head
                {
                    return None;
                }
                running.clocks.press(mover, at.time);
            }
            Event::Eliminated { index, join_until, .. } => {
                self.claims.get_mut(usize::from(index))?.live = false;
                self.join_until = join_until;
                if self
                    .running
                    .as_ref()
                    .is_some_and(|running| running.a == index || running.b == index)
                {
                    self.running = None;
                }
            }
        }
        Some(())
    }

    fn needs(&self, part: PreimagePart) -> bool {
        matches!(self.truth.witness, Some((_, _, Some(needed))) if needed == part)
    }

    /// Forgets what the chain said, not what this node computed.
    fn forget(&mut self) {
        self.claims.clear();
        self.running = None;
        self.broken = false;
        self.asked = None;
        self.truth.shown = None;
        // Until the opening comes again, there is nothing to join.
        self.join_until = 0;
    }

    /// What is wanted, less what was asked for a short while ago.
    fn ask(&mut self, operator: Address, policy: &Policy, keeps: bool, now: u64) -> Option<Effect> {
        let wanted = self.want(operator, policy, keeps, now);
        let repeated = self.asked.as_ref().is_some_and(|(effect, when)| {
            Some(effect) == wanted.as_ref() && now.saturating_sub(*when) < policy.resend_after
        });
        if repeated {
            return None;
        }
        self.asked = wanted.clone().map(|effect| (effect, now));
        wanted
    }

    /// What there is to do: at most one thing at a time, since every move waits for the one before.
    fn want(&self, operator: Address, policy: &Policy, keeps: bool, now: u64) -> Option<Effect> {
        let &Self { dispute, .. } = self;
        if self.broken {
            return Some(Effect::Replay { dispute });
        }
        let own = self.claims.iter().position(|c| c.detail.operator == operator);
        let Some(own) = own else {
            return self
                .want_join(now)
                .or_else(|| if keeps { self.want_end(None, policy, now) } else { None });
        };
        if let Some(running) = &self.running {
            let mover = running.mover();
            if usize::from(running.claim(mover)) == own {
                // Who is late itself has lost this match and cannot change it.
                let result = self.claims.get(own)?.detail.result;
                return if now <= running.clocks.deadline(mover) {
                    self.want_move(running, result)
                } else {
                    None
                };
            }
        }
        self.want_end(Some(own), policy, now)
    }

    /// Ends a match whose mover is late, or the dispute when it is over. The sooner, the more of one's own is in it:
    /// whoever has no live claim leaves it to those who have. They may be accomplices who want it never to end.
    fn want_end(&self, own: Option<usize>, policy: &Policy, now: u64) -> Option<Effect> {
        let &Self {
            dispute,
            statement,
            opener,
            ..
        } = self;
        if self.claims.is_empty() {
            return None;
        }
        let alive = own.filter(|own| self.claims.get(*own).is_some_and(|c| c.live));
        let grace = |times: u64| policy.grace.saturating_mul(times);
        if let Some(running) = &self.running {
            let playing = own.is_some_and(|own| [running.a, running.b].map(usize::from).contains(&own));
            let wait = match (playing, alive) {
                (true, _) => 0,
                // Others' matches are theirs to end, but all wait for them.
                (false, Some(_)) => grace(1),
                (false, None) => grace(2),
            };
            let due = running.clocks.deadline(running.mover()).saturating_add(wait);
            return (now > due).then_some(Effect::SendExpire { dispute });
        }
        let mut live = self.claims.iter().filter(|c| c.live);
        if let Some(first) = live.next()
            && live.any(|c| c.detail.result != first.detail.result)
        {
            // The next match's start is about to be seen.
            return None;
        }
        // Survivors take turns: one is enough, and settling is paid. The others come after all of them; a verdict can
        // leave no survivor at all.
        let turn = match alive {
            Some(own) => self.claims.iter().take(own).filter(|c| c.live).count(),
            None => self.claims.len().saturating_add(1),
        };
        let due = self.join_until.saturating_add(grace(turn as u64));
        (now > due).then(|| Effect::SendSettle {
            dispute,
            statement,
            opener,
            claims: self.claims.iter().map(|c| c.detail).collect(),
        })
    }

    /// Whoever has no claim joins when nobody else is left to defend the right result.
    fn want_join(&self, now: u64) -> Option<Effect> {
        let &Self {
            dispute,
            statement,
            opener,
            ..
        } = self;
        if self.claims.is_empty() || self.claims.len() >= MAX_CLAIMS || now > self.join_until {
            return None;
        }
        match self.truth.result {
            None => Some(Effect::NeedResult { dispute, statement }),
            Some(None) => None,
            Some(Some(result)) if self.claims.iter().any(|c| c.live && c.detail.result == result) => None,
            Some(Some(result)) => {
                let claims = self.claims.iter().map(|c| c.detail).collect();
                Some(Effect::SendJoin {
                    dispute,
                    statement,
                    opener,
                    claims,
                    result,
                })
            }
        }
    }

    /// The move that the honest strategy makes, or what is needed for it.
    fn want_move(&self, running: &Running, result: ResultHash) -> Option<Effect> {
        let &Self {
            dispute,
            statement,
            opener,
            ..
        } = self;
        let history = &running.history;
        let head = history.head();
        let segment = match history.dissections().last() {
            None => 0,
            Some(last) => {
                let positions = self.geometry.points(history.moves(), history.position());
                let truth = match self.values(&positions, result) {
                    Ok(truth) => truth,
                    Err(positions) => return Some(Effect::NeedValues { dispute, positions }),
                };
                // The first segment whose end the opponent has wrong; none: the last, whose end is an older point.
                let wrong = truth
                    .iter()
                    .zip(last.points.iter())
                    .position(|(truth, point)| truth != point);
                wrong.unwrap_or(POINTS) as u8
            }
        };
        let start = history.segment_start(segment);
        if !history.is_step_next() {
            let positions = self.geometry.points(history.moves() + 1, start);
            return Some(match self.values(&positions, result) {
                Ok(points) => Effect::SendDissect {
                    dispute,
                    head,
                    segment,
                    points,
                },
                Err(positions) => Effect::NeedValues { dispute, positions },
            });
        }
        let kind = self.geometry.transition(start);
        let witness = match (kind, &self.truth.witness) {
            (Transition::Identity, _) => result.to_vec(),
            (_, Some((position, witness, preimage))) if *position == start => {
                if let Some(part) = *preimage
                    && self.truth.shown != Some(part)
                {
                    return Some(Effect::ShowPreimage { dispute, part });
                }
                witness.clone()
            }
            _ => {
                return Some(Effect::NeedWitness {
                    dispute,
                    position: start,
                    kind,
                });
            }
        };
        let result_of_a = self.claims.get(usize::from(running.a))?.detail.result;
        let mut openings = history.openings(segment, result_of_a.0)?;
        if start + 1 == self.geometry.length() {
            openings.extend(encode_details(opener, self.claims.iter().map(|c| &c.detail)));
        }
        Some(Effect::SendStep {
            dispute,
            statement,
            opener,
            head,
            segment,
            openings,
            witness,
        })
    }

    /// The true values at some positions, or the positions whose state roots are missing.
    fn values(&self, positions: &[u64; POINTS], result: ResultHash) -> Result<Box<Points>, Vec<u64>> {
        let mut missing = Vec::new();
        let points = positions.map(|position| {
            if position > self.geometry.budget() {
                return result.0;
            }
            self.truth.roots.get(&position).copied().unwrap_or_else(|| {
                missing.push(position);
                B256::ZERO
            })
        });
        if missing.is_empty() {
            Ok(Box::new(points))
        } else {
            Err(missing)
        }
    }
}

impl Running {
    fn mover(&self) -> usize {
        (self.history.moves() % 2) as usize
    }

    const fn claim(&self, party: usize) -> u8 {
        if party.is_multiple_of(2) { self.a } else { self.b }
    }
}
