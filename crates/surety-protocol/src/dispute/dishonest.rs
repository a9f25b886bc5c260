//! Players that lie, for tests. A liar is a player that was told a false trace, with a trick on top.

use super::{At, Effect, Event, Geometry, History, Input, Player, Points, Policy, encode_details};
use alloc::{vec, vec::Vec};
use alloy_primitives::{Address, B256, keccak256};
use surety_primitives::{ClaimDetail, DisputeId, Statement};

/// How a liar plays its false trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// In good order: the best a liar can do.
    Consistent,
    /// Points that are no values of any trace.
    Garbage,
    /// All points zero.
    Zeros,
    /// The opponent's last points as its own.
    Echo,
    /// One bit of one point of each dissection wrong (0 to 30).
    OneBit(u8),
    /// Another false story in each move.
    NewStory,
    /// Always this segment, whatever it ends in.
    Segment(u8),
    /// The segment after the one to choose: it agrees with what it should contest, and loses on purpose.
    GiveIn,
    /// No move from this one on, from 1.
    SilentFrom(u8),
}

/// A dishonest operator in one dispute.
#[derive(Clone, Debug)]
pub struct Liar {
    player: Player,
    trick: Trick,
    seed: u64,
    dispute: Option<(DisputeId, Statement, Address)>,
    claims: Vec<ClaimDetail>,
    a: u8,
    history: Option<History>,
}

impl Liar {
    /// A liar with this key. `seed` makes its garbage.
    pub const fn new(operator: Address, policy: Policy, trick: Trick, seed: u64) -> Self {
        let player = Player::new(operator, policy);
        Self {
            player,
            trick,
            seed,
            dispute: None,
            claims: Vec::new(),
            a: 0,
            history: None,
        }
    }

    /// As [`Player::handle`]; the inputs come from its false trace.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        if let Input::Event { dispute, at, event } = &input {
            self.observe(*dispute, *at, event);
        }
        let effects = self.player.handle(input);
        effects.into_iter().filter_map(|effect| self.play(effect)).collect()
    }

    /// Every step it could try in the running match: each segment, with each witness that `witnesses` has for the
    /// position. Empty unless the step is next.
    pub fn steps(&self, mut witnesses: impl FnMut(&Geometry, u64) -> Vec<Vec<u8>>) -> Vec<Effect> {
        let (Some((dispute, statement, opener)), Some(history)) = (self.dispute, &self.history) else {
            return vec![];
        };
        let Some(a) = self.claims.get(usize::from(self.a)) else {
            return vec![];
        };
        let mut out = Vec::new();
        for segment in 0..32 {
            let Some(mut openings) = history.openings(segment, a.result.0) else {
                continue;
            };
            let position = history.segment_start(segment);
            if position + 1 == history.geometry().length() {
                openings.extend(encode_details(opener, &self.claims));
            }
            for witness in witnesses(history.geometry(), position) {
                let (head, openings) = (history.head(), openings.clone());
                out.push(Effect::SendStep {
                    dispute,
                    statement,
                    opener,
                    head,
                    segment,
                    openings,
                    witness,
                });
            }
        }
        out
    }

    /// Moves made in the running match.
    pub fn moves(&self) -> Option<u8> {
        self.history.as_ref().map(History::moves)
    }

    fn observe(&mut self, dispute: DisputeId, _at: At, event: &Event) {
        match event {
            Event::Opened { opener, statement, .. } => {
                self.dispute = Some((dispute, *statement, *opener));
                self.claims.clear();
                self.history = None;
            }
            Event::Claimed { detail, .. } => self.claims.push(*detail),
            Event::MatchStarted { a, head, .. } => {
                self.a = *a;
                self.history = self
                    .dispute
                    .map(|(_, s, _)| History::new(Geometry::new(s.budget), *head));
            }
            Event::Dissected { segment, points, .. } => {
                if let Some(history) = &mut self.history {
                    history.push(*segment, points.clone());
                }
            }
            Event::Eliminated { .. } => self.history = None,
            _ => {}
        }
    }

    fn play(&self, effect: Effect) -> Option<Effect> {
        let Effect::SendDissect {
            dispute,
            head,
            segment,
            mut points,
        } = effect
        else {
            let last = matches!(effect, Effect::SendStep { .. } | Effect::NeedWitness { .. });
            return if last && matches!(self.trick, Trick::SilentFrom(_)) {
                None
            } else {
                Some(effect)
            };
        };
        let history = self.history.as_ref()?;
        let number = history.moves() + 1;
        let mut chosen = segment;
        match self.trick {
            Trick::Consistent => {}
            Trick::Garbage => *points = self.garbage(number),
            Trick::Zeros => *points = [B256::ZERO; 31],
            Trick::Echo => *points = history.dissections().last().map_or([B256::ZERO; 31], |d| *d.points),
            Trick::OneBit(point) => {
                if let Some(point) = points.get_mut(usize::from(point)) {
                    *point ^= B256::with_last_byte(1);
                }
            }
            Trick::NewStory => {
                for point in points.iter_mut() {
                    *point ^= B256::repeat_byte(number);
                }
            }
            Trick::Segment(always) => chosen = always % 32,
            Trick::GiveIn => chosen = (segment + 1) % 32,
            Trick::SilentFrom(from) => {
                if number >= from {
                    return None;
                }
            }
        }
        let segment = if number == 1 { 0 } else { chosen };
        Some(Effect::SendDissect {
            dispute,
            head,
            segment,
            points,
        })
    }

    fn garbage(&self, number: u8) -> Points {
        core::array::from_fn(|i| {
            let [a, b, c, d, e, f, g, h] = self.seed.to_be_bytes();
            keccak256([a, b, c, d, e, f, g, h, number, i as u8])
        })
    }
}
