//! What a match commits to, and how a disputed transition is opened (`docs/spec/dispute.md`, section 5).

use super::{Author, Geometry, POINTS, Points};
use alloc::{boxed::Box, vec::Vec};
use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use surety_primitives::{ClaimDetail, DisputeId};

/// Levels of the tree over a dissection's points.
const HEIGHT: usize = 5;

/// Leaves of that tree: the points and 32 zero bytes.
const LEAVES: usize = 32;

/// M_0 of a match: keccak256(abi.encode(dispute id, disputes, chain id, time of the match's start, a, b)).
pub fn match_head(dispute: DisputeId, disputes: Address, chain_id: u64, time: u64, a: u8, b: u8) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(dispute.as_slice());
    hasher.update(disputes.into_word());
    for number in [chain_id, time, a.into(), b.into()] {
        hasher.update(U256::from(number).to_be_bytes::<32>());
    }
    hasher.finalize()
}

/// M_j = keccak256(M_(j-1) ‖ segment ‖ root), 65 bytes.
pub fn next_head(head: B256, segment: u8, root: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(head);
    hasher.update([segment]);
    hasher.update(root);
    hasher.finalize()
}

/// Merkle root of the points of a dissection.
pub fn points_root(points: &Points) -> B256 {
    let mut nodes = leaves(points);
    while nodes.len() > 1 {
        nodes = parents(&nodes);
    }
    nodes.first().copied().unwrap_or_default()
}

fn leaves(points: &Points) -> Vec<B256> {
    let mut nodes = Vec::with_capacity(LEAVES);
    nodes.extend_from_slice(points);
    nodes.push(B256::ZERO);
    nodes
}

fn parents(nodes: &[B256]) -> Vec<B256> {
    nodes.chunks_exact(2).map(|pair| hash(pair[0], pair[1])).collect()
}

fn hash(left: B256, right: B256) -> B256 {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left.as_slice());
    both[32..].copy_from_slice(right.as_slice());
    keccak256(both)
}

/// Siblings of a leaf, lowest level first.
fn siblings(points: &Points, leaf: usize) -> [B256; HEIGHT] {
    let mut nodes = leaves(points);
    let mut index = leaf;
    core::array::from_fn(|_| {
        let sibling = nodes.get(index ^ 1).copied().unwrap_or_default();
        nodes = parents(&nodes);
        index /= 2;
        sibling
    })
}

/// Siblings of the adjacent leaves `leaf` and `leaf + 1`, lowest level first; where both have one, the left's first.
fn pair_siblings(points: &Points, leaf: usize) -> Vec<B256> {
    let mut out = Vec::with_capacity(2 * HEIGHT);
    let mut nodes = leaves(points);
    let mut index = leaf;
    let mut merged = false;
    while nodes.len() > 1 {
        let mut give = |i: usize| out.push(nodes.get(i).copied().unwrap_or_default());
        match (merged, index % 2) {
            (true, _) => give(index ^ 1),
            (false, 0) => merged = true,
            (false, _) => {
                give(index ^ 1);
                give((index + 1) ^ 1);
            }
        }
        nodes = parents(&nodes);
        index /= 2;
    }
    out
}

/// One move of a match: the dissection of a segment of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissection {
    /// The segment dissected; 0 for move 1.
    pub segment: u8,
    /// The points asserted.
    pub points: Box<Points>,
    /// The head after the move.
    pub head: B256,
}

/// The moves of a match so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    geometry: Geometry,
    start: B256,
    dissections: Vec<Dissection>,
    /// Digits of the disputed position so far, and zeros.
    position: u64,
}

impl History {
    /// A match without moves, whose M_0 is `start`.
    pub const fn new(geometry: Geometry, start: B256) -> Self {
        Self {
            geometry,
            start,
            dissections: Vec::new(),
            position: 0,
        }
    }

    /// The trace it is about.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The head that the next move answers.
    pub fn head(&self) -> B256 {
        self.dissections.last().map_or(self.start, |d| d.head)
    }

    /// The moves.
    pub fn dissections(&self) -> &[Dissection] {
        &self.dissections
    }

    /// Number of moves made. Fits: a match has at most 10 dissections.
    pub fn moves(&self) -> u8 {
        self.dissections.len() as u8
    }

    /// Whether the next move is the step.
    pub fn is_step_next(&self) -> bool {
        self.moves() >= self.geometry.levels()
    }

    /// Start of the segment that was dissected last.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Start of segment `segment` of the last dissection; for move 1, of the whole trace.
    pub fn segment_start(&self, segment: u8) -> u64 {
        match self.moves() {
            0 => 0,
            moves => self.geometry.segment_start(moves, self.position, segment),
        }
    }

    /// Adds a move and returns the new head. `None`, and no change, where there is no such move.
    pub fn push(&mut self, segment: u8, points: Box<Points>) -> Option<B256> {
        let possible = if self.dissections.is_empty() {
            segment == 0
        } else {
            usize::from(segment) < LEAVES
        };
        if self.is_step_next() || !possible {
            return None;
        }
        let position = self.segment_start(segment);
        let head = next_head(self.head(), segment, points_root(&points));
        self.dissections.push(Dissection { segment, points, head });
        self.position = position;
        Some(head)
    }

    /// The value that was asserted at a point on the way down to here; `None` for the ends of the trace.
    pub fn value(&self, position: u64) -> Option<B256> {
        let Author::Dissection(number) = self.geometry.author(position) else {
            return None;
        };
        let point = self.geometry.digit(position, number).checked_sub(1)?;
        self.dissection(number)?.points.get(usize::from(point)).copied()
    }

    fn dissection(&self, number: u8) -> Option<&Dissection> {
        self.dissections.get(usize::from(number.checked_sub(1)?))
    }

    /// M_number.
    fn head_after(&self, number: u8) -> Option<B256> {
        match number {
            0 => Some(self.start),
            number => self.dissection(number).map(|d| d.head),
        }
    }

    /// What opens segment `segment` of the last dissection at the step, without the claims' details, which follow it
    /// at the last position. `end` is the value at the end of the whole trace, the result of `a`. `None` where the
    /// step is not next.
    pub fn openings(&self, segment: u8, end: B256) -> Option<Vec<u8>> {
        let levels = self.geometry.levels();
        if self.moves() != levels || usize::from(segment) >= LEAVES {
            return None;
        }
        let t = self.segment_start(segment);
        let last = self.dissection(levels)?;
        let end = self.value(t + 1).unwrap_or(end);
        let older = match (self.geometry.author(t), self.geometry.author(t + 1)) {
            (Author::Dissection(m), _) if m < levels => Some((m, true)),
            (_, Author::Dissection(m)) if m < levels => Some((m, false)),
            _ => None,
        };
        let mut words = Vec::with_capacity(22);
        match older {
            None => {
                words.push(self.head_after(levels - 1)?);
                words.push(end);
                match segment {
                    0 => words.extend(siblings(&last.points, 0)),
                    31 => words.extend(siblings(&last.points, POINTS - 1)),
                    d => words.extend(pair_siblings(&last.points, usize::from(d) - 1)),
                }
            }
            Some((m, start_is_older)) => {
                words.push(self.head_after(m - 1)?);
                for number in m + 1..levels {
                    words.push(points_root(&self.dissection(number)?.points));
                }
                words.push(end);
                let point = self.geometry.digit(if start_is_older { t } else { t + 1 }, m);
                let older = siblings(&self.dissection(m)?.points, usize::from(point).checked_sub(1)?);
                if start_is_older {
                    words.extend(older);
                    words.extend(siblings(&last.points, 0));
                } else {
                    words.extend(siblings(&last.points, POINTS - 1));
                    words.extend(older);
                }
            }
        }
        Some(words.concat())
    }
}

/// abi.encode(opener, claims' details): what the contract keeps the hash of, and what follows the openings of the
/// last position.
pub fn encode_details<'a>(opener: Address, claims: impl IntoIterator<Item = &'a ClaimDetail>) -> Vec<u8> {
    let mut count = 0u64;
    let mut details = Vec::new();
    for c in claims {
        count += 1;
        for word in [c.operator.into_word(), c.request.0, c.requester.into_word(), c.result.0] {
            details.extend_from_slice(word.as_slice());
        }
    }
    let word = |n: u64| U256::from(n).to_be_bytes::<32>();
    [opener.into_word().as_slice(), &word(64), &word(count), &details].concat()
}

/// What openings lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The head that is committed to the start and the end.
    pub head: B256,
    /// The value at the end of the segment.
    pub end: B256,
}

/// Openings of another length than the position needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("openings have {found} bytes, expected {expected}")]
pub struct OpeningError {
    /// Bytes found.
    pub found: usize,
    /// Bytes needed.
    pub expected: usize,
}

/// Recomputes the head from the openings of the transition at `t`, as the contract does. At `t` = 0, `start` is not
/// part of it; at the last position the end is not bound by it.
pub fn open(geometry: &Geometry, t: u64, start: B256, openings: &[u8]) -> Result<Opened, OpeningError> {
    let levels = geometry.levels();
    // A length that is not whole words is not any expected length.
    let words: Vec<B256> = openings.chunks_exact(32).map(B256::from_slice).collect();
    let words = words.as_slice();
    let expect = |words: usize| {
        let (found, expected) = (openings.len(), words * 32);
        if found == expected {
            Ok(())
        } else {
            Err(OpeningError { found, expected })
        }
    };
    let word = |i: usize| words.get(i).copied().unwrap_or_default();
    let segment = usize::from(geometry.digit(t, levels));
    let older = match (geometry.author(t), geometry.author(t + 1)) {
        (Author::Dissection(m), _) if m < levels => Some((m, true)),
        (_, Author::Dissection(m)) if m < levels => Some((m, false)),
        _ => None,
    };
    let Some((m, start_is_older)) = older else {
        let end = word(1);
        let root = match segment {
            0 => {
                expect(2 + HEIGHT)?;
                root_from(words, 2, 0, end)
            }
            31 => {
                expect(2 + HEIGHT)?;
                root_from(words, 2, POINTS - 1, start)
            }
            d => {
                let (root, used) = root_from_pair(words, 2, d - 1, start, end);
                expect(2 + used)?;
                root
            }
        };
        return Ok(Opened {
            head: next_head(word(0), geometry.digit(t, levels - 1), root),
            end,
        });
    };

    // Between M_(m-1) and the end lie the roots of the dissections from m + 1 up to the last but one.
    let at = usize::from(levels - m);
    expect(at + 1 + 2 * HEIGHT)?;
    let end = word(at);
    let point = geometry.digit(if start_is_older { t } else { t + 1 }, m);
    // An author's point number is never 0: that would be a point of an older dissection.
    let leaf = usize::from(point).saturating_sub(1);
    let (older_root, last_root) = if start_is_older {
        (
            root_from(words, at + 1, leaf, start),
            root_from(words, at + 1 + HEIGHT, 0, end),
        )
    } else {
        (
            root_from(words, at + 1 + HEIGHT, leaf, end),
            root_from(words, at + 1, POINTS - 1, start),
        )
    };
    let mut head = next_head(word(0), geometry.digit(t, m - 1), older_root);
    for number in m + 1..levels {
        head = next_head(head, geometry.digit(t, number - 1), word(usize::from(number - m)));
    }
    Ok(Opened {
        head: next_head(head, geometry.digit(t, levels - 1), last_root),
        end,
    })
}

fn root_from(words: &[B256], at: usize, leaf: usize, value: B256) -> B256 {
    let mut node = value;
    for level in 0..HEIGHT {
        let sibling = words.get(at + level).copied().unwrap_or_default();
        node = if (leaf >> level).is_multiple_of(2) {
            hash(node, sibling)
        } else {
            hash(sibling, node)
        };
    }
    node
}

/// The root over the adjacent leaves `leaf` and `leaf + 1`, and how many siblings that took.
fn root_from_pair(words: &[B256], at: usize, leaf: usize, left: B256, right: B256) -> (B256, usize) {
    let mut used = 0;
    let mut next = || {
        let sibling = words.get(at + used).copied().unwrap_or_default();
        used += 1;
        sibling
    };
    let mut nodes = (left, Some(right));
    let mut index = leaf;
    for _ in 0..HEIGHT {
        nodes = match (nodes, index % 2) {
            ((left, Some(right)), 0) => (hash(left, right), None),
            ((left, Some(right)), _) => (hash(next(), left), Some(hash(right, next()))),
            ((node, None), 0) => (hash(node, next()), None),
            ((node, None), _) => (hash(next(), node), None),
        };
        index /= 2;
    }
    (nodes.0, used)
}
