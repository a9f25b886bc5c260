//! The rules, as the `Disputes` contract has them: a model to play against and to hold the contract to.

use super::{
    Author, Event, Geometry, OpeningError, Points, Settlement, Transition, encode_details, match_head, next_head, open,
    points_root,
};
use alloc::{boxed::Box, vec::Vec};
use alloy_primitives::{Address, B256, U256};
use surety_primitives::{ClaimDetail, DisputeId, ResultHash, Statement};

/// Most claims of one dispute.
pub const MAX_CLAIMS: usize = 8;

/// Bytes of the openings at the last position, without the claims' details.
const LAST_OPENINGS_BYTES: usize = 7 * 32;

/// What is fixed when the contract is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The `Disputes` contract.
    pub disputes: Address,
    /// Chain id of the L1.
    pub chain_id: u64,
    /// Time of each party in each match, seconds.
    pub clock: u64,
    /// How long claims can be added, seconds.
    pub join_window: u64,
}

/// A claim in a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose, and what it says.
    pub detail: ClaimDetail,
    /// Not eliminated.
    pub live: bool,
}

/// Time of the two parties of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    left: [u64; 2],
    last_move: u64,
}

impl Clocks {
    /// Both parties have `clock` seconds, and the first one's runs from `now`.
    pub const fn new(clock: u64, now: u64) -> Self {
        Self {
            left: [clock; 2],
            last_move: now,
        }
    }

    /// Seconds left to a party (0 is a, 1 is b) at the last move.
    pub const fn left(&self, party: usize) -> u64 {
        self.left[party & 1]
    }

    /// Time of the last move.
    pub const fn last_move(&self) -> u64 {
        self.last_move
    }

    /// The last second in which the party on move can move.
    pub const fn deadline(&self, mover: usize) -> u64 {
        self.last_move.saturating_add(self.left[mover & 1])
    }

    /// Stops the mover's clock at `now` and starts the other's.
    pub const fn press(&mut self, mover: usize, now: u64) {
        let used = now.saturating_sub(self.last_move);
        self.left[mover & 1] = self.left[mover & 1].saturating_sub(used);
        self.last_move = now;
    }
}

/// Two claims against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index of the claim that moves first.
    pub a: u8,
    /// Index of the other.
    pub b: u8,
    /// Moves made.
    pub moves: u8,
    /// Start of the segment dissected last.
    pub position: u64,
    /// Their time.
    pub clocks: Clocks,
    /// The head the next move must name.
    pub head: B256,
}

impl Match {
    /// Who is on move: 0 for a, 1 for b.
    pub const fn mover(&self) -> usize {
        (self.moves % 2) as usize
    }

    /// Index of a party's claim.
    pub const fn claim(&self, party: usize) -> u8 {
        if party.is_multiple_of(2) { self.a } else { self.b }
    }
}

/// A transaction to a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add a claim, signed by the operator it names.
    Join(ClaimDetail),
    /// Dissect a segment of the last dissection.
    Dissect {
        /// The head answered.
        head: B256,
        /// The segment.
        segment: u64,
        /// Its points.
        points: Box<Points>,
    },
    /// Prove the disputed transition.
    Step {
        /// The head answered.
        head: B256,
        /// The segment.
        segment: u64,
        /// Words as [`super::open`] takes them; at the last position the encoded claims follow, see
        /// [`super::encode_details`].
        openings: Vec<u8>,
        /// A step witness, a state, or a value; see [`Referee`].
        witness: Vec<u8>,
    },
    /// Eliminate the party on move, whose time is out.
    Expire,
    /// Eliminate all live claims that differ from a result that the service's own proof system has proved.
    Decide(ResultHash),
    /// Pay.
    Settle,
}

/// Why an action changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Already settled.
    #[error("dispute is settled")]
    Settled,
    /// Claims to open with.
    #[error("{found} claims, expected 2 to 8 with at least two different results")]
    Claims {
        /// Claims given.
        found: usize,
    },
    /// One claim an operator.
    #[error("operator {operator} has a claim already")]
    HasClaim {
        /// Whose.
        operator: Address,
    },
    /// Too late to join.
    #[error("joining ended at {until}, it is {now}")]
    JoinClosed {
        /// Last second to join.
        until: u64,
        /// Now.
        now: u64,
    },
    /// All places are taken.
    #[error("dispute has 8 claims already")]
    Full,
    /// No match.
    #[error("no match is running")]
    NoMatch,
    /// A match.
    #[error("a match is running")]
    MatchRunning,
    /// The move answers another move.
    #[error("move answers head {found}, expected {expected}")]
    WrongHead {
        /// Head named.
        found: B256,
        /// Head of the match.
        expected: B256,
    },
    /// Only the party on move moves.
    #[error("{found} moves, expected {expected}")]
    NotOnMove {
        /// Sender.
        found: Address,
        /// Party on move.
        expected: Address,
    },
    /// The mover's time is out.
    #[error("time to move ended at {deadline}, it is {now}")]
    OutOfTime {
        /// Last second to move.
        deadline: u64,
        /// Now.
        now: u64,
    },
    /// The mover still has time.
    #[error("mover has time until {deadline}, it is {now}")]
    InTime {
        /// Last second to move.
        deadline: u64,
        /// Now.
        now: u64,
    },
    /// No such segment.
    #[error("segment is {found}, expected 0 to 31, and 0 in move 1")]
    Segment {
        /// Segment named.
        found: u64,
    },
    /// A dissection where the step is due, or the step before.
    #[error("move {moves} of {levels} dissections and a step is not of this kind")]
    WrongMove {
        /// Moves made.
        moves: u8,
        /// Dissections before the step.
        levels: u8,
    },
    /// Openings of a wrong length.
    #[error(transparent)]
    Openings(#[from] OpeningError),
    /// Openings of something else.
    #[error("openings lead to head {found}, expected {expected}")]
    OpenedHead {
        /// Head computed.
        found: B256,
        /// Head of the match.
        expected: B256,
    },
    /// What follows the openings at the last position is not the claims.
    #[error("the claims' details do not match")]
    ClaimsMismatch,
    /// The end of the whole trace is the result of a.
    #[error("end is {found}, expected the result of a, {expected}")]
    End {
        /// End opened.
        found: B256,
        /// Result of a.
        expected: B256,
    },
    /// The witness does not prove a transition.
    #[error("witness does not prove a transition of this kind")]
    Witness,
    /// At position 0, the witness is of another state than the statement's.
    #[error("witness is not of the statement's initial state")]
    NotInitial,
    /// The transition is proved, and the mover is wrong.
    #[error("transition leads to {next}, the end is {end}: the mover, who {}, is wrong", if *defends { "defends it" } else { "contests it" })]
    Wrong {
        /// Value that follows from the start.
        next: B256,
        /// Value asserted.
        end: B256,
        /// Whether the mover asserted it.
        defends: bool,
    },
    /// The verdict says what all live claims say.
    #[error("no live claim differs from the verdict, {result}")]
    NothingDecided {
        /// The verdict's result.
        result: ResultHash,
    },
    /// Claims can still be added.
    #[error("claims can be added until {until}, it is {now}")]
    JoinOpen {
        /// Last second to join.
        until: u64,
        /// Now.
        now: u64,
    },
}

/// What the rules need to know of the machine.
pub trait Referee {
    /// Start and next value that a witness of a machine step or of the projection proves; `None` if it proves none.
    fn transition(&self, kind: Transition, witness: &[u8]) -> Option<(B256, B256)>;

    /// Whether the witness (of a step or of the projection) is of the statement's initial state.
    fn is_initial(&self, statement: &Statement, witness: &[u8]) -> bool;
}

/// One dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Game {
    rules: Rules,
    statement: Statement,
    geometry: Geometry,
    opener: Address,
    join_until: u64,
    claims: Vec<Claim>,
    running: Option<Match>,
    settlement: Option<Settlement>,
}

impl Game {
    /// Opens a dispute over claims whose signatures were checked.
    pub fn open(
        rules: Rules,
        now: u64,
        opener: Address,
        statement: Statement,
        details: &[ClaimDetail],
    ) -> Result<(Self, Vec<Event>), Refused> {
        let found = details.len();
        let differ = details
            .iter()
            .any(|d| Some(d.result) != details.first().map(|f| f.result));
        if !(2..=MAX_CLAIMS).contains(&found) || !differ {
            return Err(Refused::Claims { found });
        }
        let join_until = now.saturating_add(rules.join_window);
        let mut game = Self {
            rules,
            statement,
            geometry: Geometry::new(statement.budget),
            opener,
            join_until,
            claims: Vec::with_capacity(MAX_CLAIMS),
            running: None,
            settlement: None,
        };
        let mut events = Vec::from([Event::Opened {
            opener,
            statement,
            join_until,
        }]);
        for detail in details {
            game.claim(*detail, &mut events)?;
        }
        game.pair(now, &mut events);
        Ok((game, events))
    }

    /// One transaction at time `now` from `sender`. Refused, it changes nothing. `bond` gives each operator's bond,
    /// for settling.
    pub fn apply(
        &mut self,
        now: u64,
        sender: Address,
        action: Action,
        referee: &impl Referee,
        bond: impl Fn(Address) -> U256,
    ) -> Result<Vec<Event>, Refused> {
        let mut events = Vec::new();
        if self.settlement.is_some() {
            return Err(Refused::Settled);
        }
        match (action, self.running) {
            (Action::Join(detail), running) => {
                if now > self.join_until {
                    return Err(Refused::JoinClosed {
                        until: self.join_until,
                        now,
                    });
                }
                self.claim(detail, &mut events)?;
                if running.is_none() {
                    self.pair(now, &mut events);
                }
            }
            (Action::Dissect { head, segment, points }, Some(mut running)) => {
                let segment = self.check_move(&running, now, sender, head, segment)?;
                let levels = self.geometry.levels();
                if running.moves >= levels {
                    return Err(Refused::WrongMove {
                        moves: running.moves,
                        levels,
                    });
                }
                running.position = self.geometry.segment_start(running.moves, running.position, segment);
                running.head = next_head(head, segment, points_root(&points));
                running.clocks.press(running.mover(), now);
                running.moves += 1;
                self.running = Some(running);
                events.push(Event::Dissected {
                    number: running.moves,
                    segment,
                    head: running.head,
                    points,
                });
            }
            (
                Action::Step {
                    head,
                    segment,
                    openings,
                    witness,
                },
                Some(running),
            ) => {
                let segment = self.check_move(&running, now, sender, head, segment)?;
                let levels = self.geometry.levels();
                if running.moves != levels {
                    return Err(Refused::WrongMove {
                        moves: running.moves,
                        levels,
                    });
                }
                let t = self.geometry.segment_start(levels, running.position, segment);
                self.check_step(&running, t, &openings, &witness, referee)?;
                events.push(Event::Stepped { position: t });
                self.eliminate(running.claim(running.mover() + 1), now, &mut events);
                self.pair(now, &mut events);
            }
            (Action::Expire, Some(running)) => {
                let deadline = running.clocks.deadline(running.mover());
                if now <= deadline {
                    return Err(Refused::InTime { deadline, now });
                }
                events.push(Event::Expired);
                self.eliminate(running.claim(running.mover()), now, &mut events);
                self.pair(now, &mut events);
            }
            (Action::Decide(result), _) => {
                let wrong = |c: &Claim| c.live && c.detail.result != result;
                if !self.claims.iter().any(wrong) {
                    return Err(Refused::NothingDecided { result });
                }
                events.push(Event::Decided { result });
                for index in 0..self.claims.len() {
                    if self.claims.get(index).is_some_and(wrong) {
                        self.eliminate(index as u8, now, &mut events);
                    }
                }
                self.running = None;
            }
            (Action::Settle, None) => {
                if now <= self.join_until {
                    return Err(Refused::JoinOpen {
                        until: self.join_until,
                        now,
                    });
                }
                let settlement = Settlement::new(&self.claims, self.opener, sender, bond);
                let result = self
                    .claims
                    .iter()
                    .rfind(|c| c.live)
                    .map(|c| c.detail.result)
                    .unwrap_or_default();
                events.push(Event::Settled {
                    result,
                    slashed: settlement.slashed(),
                });
                self.settlement = Some(settlement);
            }
            (Action::Settle, Some(_)) => return Err(Refused::MatchRunning),
            (Action::Dissect { .. } | Action::Step { .. } | Action::Expire, None) => return Err(Refused::NoMatch),
        }
        Ok(events)
    }

    /// The rules it is played by.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Which dispute it is.
    pub fn id(&self) -> DisputeId {
        DisputeId::new(self.statement.id(), self.opener)
    }

    /// Who opened it.
    pub const fn opener(&self) -> Address {
        self.opener
    }

    /// What it is about.
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Last second in which claims can be added.
    pub const fn join_until(&self) -> u64 {
        self.join_until
    }

    /// All claims, eliminated ones too.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The running match.
    pub const fn running(&self) -> Option<&Match> {
        self.running.as_ref()
    }

    /// What was paid, once it is settled.
    pub const fn settlement(&self) -> Option<&Settlement> {
        self.settlement.as_ref()
    }

    fn claim(&mut self, detail: ClaimDetail, events: &mut Vec<Event>) -> Result<(), Refused> {
        if self.claims.len() >= MAX_CLAIMS {
            return Err(Refused::Full);
        }
        if self.claims.iter().any(|c| c.detail.operator == detail.operator) {
            return Err(Refused::HasClaim {
                operator: detail.operator,
            });
        }
        events.push(Event::Claimed {
            index: self.claims.len() as u8,
            detail,
        });
        self.claims.push(Claim { detail, live: true });
        Ok(())
    }

    /// Starts a match if two live claims differ: the first, and the first that differs from it.
    fn pair(&mut self, now: u64, events: &mut Vec<Event>) {
        let mut live = self.claims.iter().enumerate().filter(|(_, c)| c.live);
        let Some((a, first)) = live.next() else { return };
        let Some((b, _)) = live.find(|(_, c)| c.detail.result != first.detail.result) else {
            return;
        };
        let (a, b) = (a as u8, b as u8);
        let Rules {
            disputes,
            chain_id,
            clock,
            ..
        } = self.rules;
        let head = match_head(self.id(), disputes, chain_id, now, a, b);
        self.running = Some(Match {
            a,
            b,
            moves: 0,
            position: 0,
            clocks: Clocks::new(clock, now),
            head,
        });
        events.push(Event::MatchStarted {
            a,
            b,
            levels: self.geometry.levels(),
            head,
        });
    }

    fn check_move(&self, running: &Match, now: u64, sender: Address, head: B256, segment: u64) -> Result<u8, Refused> {
        if head != running.head {
            return Err(Refused::WrongHead {
                found: head,
                expected: running.head,
            });
        }
        let mover = running.claim(running.mover());
        let expected = self
            .claims
            .get(usize::from(mover))
            .map(|c| c.detail.operator)
            .unwrap_or_default();
        if sender != expected {
            return Err(Refused::NotOnMove {
                found: sender,
                expected,
            });
        }
        let deadline = running.clocks.deadline(running.mover());
        if now > deadline {
            return Err(Refused::OutOfTime { deadline, now });
        }
        match u8::try_from(segment) {
            Ok(0) => Ok(0),
            Ok(segment) if segment < 32 && running.moves > 0 => Ok(segment),
            _ => Err(Refused::Segment { found: segment }),
        }
    }

    fn check_step(
        &self,
        running: &Match,
        t: u64,
        openings: &[u8],
        witness: &[u8],
        referee: &impl Referee,
    ) -> Result<(), Refused> {
        let last = t + 1 == self.geometry.length();
        let result_of_a = self
            .claims
            .get(usize::from(running.a))
            .map(|c| c.detail.result.0)
            .unwrap_or_default();
        let (openings, details) = openings.split_at(if last {
            LAST_OPENINGS_BYTES.min(openings.len())
        } else {
            openings.len()
        });
        if last && details != encode_details(self.opener, self.claims.iter().map(|c| &c.detail)) {
            return Err(Refused::ClaimsMismatch);
        }

        let kind = self.geometry.transition(t);
        let (start, next) = match kind {
            Transition::Identity => {
                let value = B256::try_from(witness).map_err(|_| Refused::Witness)?;
                (value, value)
            }
            kind => referee.transition(kind, witness).ok_or(Refused::Witness)?,
        };
        if t == 0 && !referee.is_initial(&self.statement, witness) {
            return Err(Refused::NotInitial);
        }
        let opened = open(&self.geometry, t, start, openings)?;
        if opened.head != running.head {
            return Err(Refused::OpenedHead {
                found: opened.head,
                expected: running.head,
            });
        }
        let author = match self.geometry.author(t + 1) {
            Author::Dissection(number) => usize::from(number + 1) % 2,
            Author::Statement | Author::Claim => {
                if opened.end != result_of_a {
                    return Err(Refused::End {
                        found: opened.end,
                        expected: result_of_a,
                    });
                }
                0
            }
        };
        let defends = author == running.mover();
        if defends == (next == opened.end) {
            Ok(())
        } else {
            Err(Refused::Wrong {
                next,
                end: opened.end,
                defends,
            })
        }
    }

    fn eliminate(&mut self, index: u8, now: u64, events: &mut Vec<Event>) {
        self.running = None;
        self.join_until = self.join_until.max(now.saturating_add(self.rules.join_window));
        if let Some(claim) = self.claims.get_mut(usize::from(index)) {
            claim.live = false;
            let operator = claim.detail.operator;
            events.push(Event::Eliminated {
                index,
                operator,
                join_until: self.join_until,
            });
        }
    }
}
