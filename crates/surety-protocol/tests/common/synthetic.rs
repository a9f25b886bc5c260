//! A machine of no use but to be proved: a state is a lineage and a count, and a step counts.

use super::Trace;
use alloy_primitives::{B256, keccak256};
use surety_primitives::{Address, Budget, InputHash, ProgramHash, ResultHash, Statement};
use surety_protocol::dispute::{Referee, Transition};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    lineage: u64,
    count: u64,
    /// Halts here.
    halt: u64,
}

impl State {
    fn bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.lineage.to_be_bytes());
        out[8..16].copy_from_slice(&self.count.to_be_bytes());
        out[16..].copy_from_slice(&self.halt.to_be_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 24] = bytes.try_into().ok()?;
        let word = |i: usize| u64::from_be_bytes(bytes[i..i + 8].try_into().expect("8 bytes"));
        Some(Self {
            lineage: word(0),
            count: word(8),
            halt: word(16),
        })
    }

    fn root(self) -> B256 {
        keccak256(self.bytes())
    }

    fn next(self) -> Self {
        if self.count == self.halt {
            self
        } else {
            Self {
                count: self.count + 1,
                ..self
            }
        }
    }

    fn result(self) -> ResultHash {
        keccak256([self.bytes().as_slice(), b"result"].concat()).into()
    }
}

pub struct Counting;

impl Referee for Counting {
    fn transition(&self, kind: Transition, witness: &[u8]) -> Option<(B256, B256)> {
        let state = State::read(witness)?;
        match kind {
            Transition::Step => Some((state.root(), state.next().root())),
            Transition::Projection => Some((state.root(), state.result().0)),
            Transition::Identity => None,
        }
    }

    fn is_initial(&self, statement: &Statement, witness: &[u8]) -> bool {
        State::read(witness).is_some_and(|s| s.count == 0 && keccak256(s.bytes()) == statement.input.0)
    }
}

/// Where and how a trace leaves the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Other from this position on, and in itself in order.
    Diverges(u64),
    /// Only this root is wrong, and the result.
    Glitch(u64),
    /// From this position on, no values of any trace.
    Garbage(u64),
    /// Stops here.
    HaltsEarly(u64),
    /// Stops later than it should, by so many steps.
    HaltsLate(u64),
    /// All roots are true, the result is not.
    Result,
}

/// A trace with random access, so that budgets can be as large as they may be.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    budget: u64,
    first: State,
    lie: Lie,
    seed: u64,
}

impl Counted {
    pub fn new(budget: u64, lineage: u64, halt: u64, lie: Lie, seed: u64) -> Self {
        Self {
            budget,
            first: State {
                lineage,
                count: 0,
                halt,
            },
            lie,
            seed,
        }
    }

    pub fn statement(&self) -> Statement {
        Statement {
            service: Address::repeat_byte(0x5e),
            program: ProgramHash(B256::repeat_byte(0x99)),
            input: InputHash(self.first.root()),
            budget: Budget::new(self.budget).expect("a possible budget"),
        }
    }

    fn true_state(&self, position: u64) -> State {
        State {
            count: position.min(self.first.halt),
            ..self.first
        }
    }

    fn state(&self, position: u64) -> State {
        let state = self.true_state(position);
        match self.lie {
            Lie::Diverges(from) if position >= from => State {
                lineage: state.lineage ^ (self.seed | 1),
                ..state
            },
            Lie::Glitch(at) if position == at => State {
                lineage: state.lineage ^ (self.seed | 1),
                ..state
            },
            Lie::HaltsEarly(at) => State {
                count: state.count.min(at),
                ..state
            },
            Lie::HaltsLate(by) => State {
                count: position.min(self.first.halt + by),
                ..state
            },
            _ => state,
        }
    }

    fn root(&self, position: u64) -> B256 {
        match self.lie {
            Lie::Garbage(from) if position >= from => {
                keccak256([self.seed.to_be_bytes(), position.to_be_bytes()].concat())
            }
            _ => self.state(position).root(),
        }
    }
}

impl Trace for Counted {
    fn result(&self) -> ResultHash {
        match self.lie {
            Lie::Result | Lie::Glitch(_) | Lie::Garbage(_) => keccak256(self.seed.to_be_bytes()).into(),
            _ => self.state(self.budget).result(),
        }
    }

    fn roots(&mut self, positions: &[u64]) -> Vec<B256> {
        assert!(positions.iter().all(|p| *p <= self.budget));
        positions.iter().map(|p| self.root(*p)).collect()
    }

    fn witness(&mut self, position: u64, _kind: Transition) -> Vec<u8> {
        self.state(position).bytes().to_vec()
    }
}
