//! Loops that have their guest registers in other places than the rest of the program.
//!
//! Only loops without calls and indirect jumps: these go where it is not known who is where, and find the places of the
//! whole program.

use surety_machine::{Decoded, Effect, Op};

use super::{
    assembler::Reg,
    blocks::{HOST, Marks},
    joins::Joins,
    places::Places,
    swaps::accesses,
};

/// A part of a program whose blocks have their registers in the same places.
#[derive(Clone, Copy, Debug)]
struct Zone {
    first: usize,
    end: usize,
    places: Places,
}

/// Where guest registers are between blocks.
#[derive(Debug)]
pub(super) struct Zones {
    /// Outside of all zones.
    base: Places,
    /// In order, and none in another.
    zones: Vec<Zone>,
}

/// How often each guest register is used.
type Weights = [u64; 32];

/// The most instructions in a loop that is looked at.
const MAX_LOOP: usize = 4096;
/// How many turns of a loop are expected, as a power of two.
const TURNS: u32 = 3;
/// The most instructions in a part of a loop that lies apart.
const MAX_PART: usize = 64;
/// Loops are looked at until they come to so many instructions for each of the program.
const WORK: usize = 16;

/// What an instruction in so many loops counts.
fn weight(level: i64) -> u64 {
    1 << (i64::from(TURNS) * level.clamp(0, 6))
}

struct Finder {
    /// For each instruction, how many before it leave (see [`leaves`]).
    leaving: Vec<u32>,
    /// What each instruction counts.
    weights: Vec<u8>,
    /// What each reads and writes, with rotations made one.
    uses: Vec<[u8; 3]>,
}

impl Finder {
    fn sum(&self, first: usize, end: usize, weights: &mut Weights) {
        let levels = self.weights.get(first..end).unwrap_or_default();
        for (uses, level) in self.uses.get(first..end).unwrap_or_default().iter().zip(levels) {
            for register in uses {
                if let Some(sum) = weights.get_mut(usize::from(*register)) {
                    *sum = sum.saturating_add(weight(i64::from(*level)));
                }
            }
        }
    }

    /// Whether nothing in a loop calls, or jumps where a register says.
    fn is_leaf(&self, first: usize, end: usize) -> bool {
        self.leaving.get(first) == self.leaving.get(end)
    }
}

/// Whether control goes on where it is not known who is where.
fn leaves(slot: Option<&Decoded>) -> bool {
    slot.is_none_or(|instruction| match instruction.op.instruction().effect {
        Effect::Jump(_) => instruction.op != Op::Jal || instruction.rd != 0,
        Effect::Call => true,
        _ => false,
    })
}

/// The loops to look at, by where they start and then the longer first. None crosses another: two that do are one.
fn join(mut loops: Vec<(usize, usize)>, finder: &Finder) -> Vec<(usize, usize)> {
    loops.retain(|(first, end)| end - first <= MAX_LOOP && finder.is_leaf(*first, *end));
    loops.sort_unstable_by_key(|(first, end)| (*first, std::cmp::Reverse(*end)));
    loops.dedup();
    // What code can cost that is made of nothing but loops around each other.
    let mut work = WORK.saturating_mul(finder.uses.len());
    let mut joined: Vec<(usize, usize)> = Vec::new();
    // Those around the present one, by their numbers.
    let mut open: Vec<usize> = Vec::new();
    for (first, end) in loops {
        open.retain(|at| joined.get(*at).is_some_and(|(_, end)| *end > first));
        // Looking at it, at those around it, and at what they come to if they go on to its end.
        let around = open.iter().filter_map(|at| joined.get(*at));
        let more: usize = around.map(|(_, other)| 1 + end.saturating_sub(*other)).sum();
        let Some(left) = work.checked_sub(end - first + more) else {
            break;
        };
        work = left;
        let crossed = open.iter().any(|at| joined.get(*at).is_some_and(|other| other.1 < end));
        if !crossed {
            open.push(joined.len());
            joined.push((first, end));
            continue;
        }
        // All that end within it go on to its end, if all of them can.
        let mut each = open.iter().filter_map(|at| joined.get(*at).copied());
        if each.all(|(first, other)| other >= end || end - first <= MAX_LOOP && finder.is_leaf(first, end)) {
            for at in &open {
                if let Some((_, other)) = joined.get_mut(*at) {
                    *other = end.max(*other);
                }
            }
        }
    }
    joined
}

/// The registers used most get the host registers; those that have one in `like` keep it.
fn assign(weights: &Weights, like: Option<&Places>) -> Places {
    let weight = |guest: &u8| weights.get(usize::from(*guest)).copied().unwrap_or_default();
    let kept = |guest: u8| like.is_some_and(|like| like.host(guest).is_some());
    let mut order: Vec<u8> = (1..32).collect();
    order.sort_by_key(|guest| (std::cmp::Reverse(weight(guest)), !kept(*guest), *guest));
    order.truncate(HOST.len());
    let mut places = Places::default();
    let mut free: Vec<Reg> = HOST.into_iter().rev().collect();
    if let Some(like) = like {
        for guest in &order {
            if let Some(host) = like.host(*guest) {
                places.put(*guest, Some(host));
                free.retain(|other| *other != host);
            }
        }
    }
    for guest in order {
        if places.host(guest).is_none() {
            places.put(guest, free.pop());
        }
    }
    places
}

/// What accesses to the frame cost.
fn cost(weights: &Weights, places: &Places) -> u64 {
    (1_u8..)
        .zip(weights.iter().skip(1))
        .filter(|(guest, _)| places.host(*guest).is_none())
        .fold(0, |sum, (_, weight)| sum.saturating_add(*weight))
}

impl Zones {
    /// `loops` are the first instructions of loops and the ends of those that lead back there; `depth` says how much
    /// deeper in loops each instruction is than the one before.
    pub(super) fn new(
        instructions: &[Option<Decoded>],
        joins: &Joins,
        loops: Vec<(usize, usize)>,
        depth: &[i16],
    ) -> Self {
        let mut finder = Finder {
            leaving: Vec::with_capacity(instructions.len() + 1),
            weights: Vec::with_capacity(instructions.len()),
            uses: Vec::with_capacity(instructions.len()),
        };
        let mut leaving = 0;
        finder.leaving.push(leaving);
        finder.leaving.extend(instructions.iter().map(|slot| {
            leaving += u32::from(leaves(slot.as_ref()));
            leaving
        }));
        let mut level = 0_i64;
        for ((slot, part), change) in instructions.iter().zip(&joins.parts).zip(depth) {
            level += i64::from(*change);
            finder.weights.push(level.clamp(0, 6) as u8);
            finder.uses.push(slot.map_or([0; 3], |instruction| {
                let ([a, b], to) = accesses(&instruction, *part);
                [a, b, to]
            }));
        }
        let joined = join(loops, &finder);
        let mut all = [0; 32];
        finder.sum(0, instructions.len(), &mut all);
        let mut zones = Zones {
            base: assign(&all, None),
            zones: Vec::new(),
        };
        zones.find(&finder, &joined);
        // Those in zones of their own need no place outside.
        let mut outside = [0; 32];
        let mut from = 0;
        for zone in &zones.zones {
            finder.sum(from, zone.first, &mut outside);
            from = zone.end.max(from);
        }
        finder.sum(from, instructions.len(), &mut outside);
        if !zones.zones.is_empty() && outside.iter().skip(1).any(|weight| *weight != 0) {
            zones.base = assign(&outside, None);
            zones.find(&finder, &joined);
        }
        zones
    }

    /// Finds the zones that are worth it with the present places outside. `loops` are by where they start, and then the
    /// longer first.
    fn find(&mut self, finder: &Finder, loops: &[(usize, usize)]) {
        self.zones.clear();
        // Those around the present one.
        let mut around: Vec<Zone> = Vec::new();
        let mut found: Vec<Zone> = Vec::new();
        for (first, end) in loops.iter().copied() {
            around.retain(|zone| zone.end > first);
            let outer = around.last().map_or(&self.base, |zone| &zone.places);
            let mut weights = [0; 32];
            finder.sum(first, end, &mut weights);
            let own = assign(&weights, Some(outer));
            let saved = cost(&weights, outer).saturating_sub(cost(&weights, &own));
            // In and out, once for all turns.
            let level = i64::from(finder.weights.get(first).copied().unwrap_or_default());
            let moves = (outer.moves(&own).len() + own.moves(outer).len()) as u64;
            if saved > moves.saturating_mul(weight(level - 1)) {
                let zone = Zone {
                    first,
                    end,
                    places: own,
                };
                around.push(zone);
                found.push(zone);
            }
        }
        // Cut so that none lies in another: the inner one counts.
        let mut zones: Vec<Zone> = Vec::new();
        let mut open: Vec<Zone> = Vec::new();
        let mut at = 0;
        let close = |open: &mut Vec<Zone>, zones: &mut Vec<Zone>, at: &mut usize, until: usize| {
            while let Some(inner) = open.last().copied()
                && inner.end <= until
            {
                if *at < inner.end {
                    zones.push(Zone { first: *at, ..inner });
                    *at = inner.end;
                }
                open.pop();
            }
            if let Some(inner) = open.last()
                && *at < until
            {
                zones.push(Zone {
                    first: *at,
                    end: until,
                    places: inner.places,
                });
            }
            *at = until.max(*at);
        };
        for zone in found {
            close(&mut open, &mut zones, &mut at, zone.first);
            open.push(zone);
        }
        close(&mut open, &mut zones, &mut at, usize::MAX);
        self.zones = zones;
    }

    /// Has parts of a loop that lie apart from it have its places: what is reached only from one zone, and comes back to
    /// it. Compilers put there what they take for rare. `jumps` are all from one instruction to another, and
    /// `known` what control may come to from elsewhere.
    pub(super) fn attach(&mut self, instructions: &[Option<Decoded>], jumps: &[(u32, u32)], known: &Marks) {
        if self.zones.is_empty() {
            return;
        }
        let mut parts: Vec<(Zone, bool)> = Vec::new();
        let mut inside = Marks::new(instructions.len());
        for (from, to) in jumps {
            let (from, to) = (*from as usize, *to as usize);
            let at = |index: usize| instructions.get(index).copied().flatten();
            if !at(from).is_some_and(|instruction| instruction.op == Op::Jal && instruction.rd == 0)
                || [self.at(from), &self.base].contains(&self.at(to))
            {
                continue;
            }
            // It starts after what goes elsewhere in any case.
            let goes = |index: &usize| {
                at(*index).is_some_and(|before| matches!(before.op.instruction().effect, Effect::Jump(_)))
            };
            let Some(start) = (from.saturating_sub(MAX_PART)..from)
                .rev()
                .find(goes)
                .map(|before| before + 1)
            else {
                continue;
            };
            let part = start..from + 1;
            if part.contains(&to) || part.clone().any(|index| known.get(index) || leaves(at(index).as_ref())) {
                continue;
            }
            part.clone().for_each(|index| inside.set(index));
            let zone = Zone {
                first: part.start,
                end: part.end,
                places: *self.at(to),
            };
            parts.push((zone, true));
        }
        if parts.is_empty() {
            return;
        }
        let part_of = |parts: &[(Zone, bool)], index: usize| {
            let after = parts.partition_point(|(part, _)| part.first <= index);
            after
                .checked_sub(1)
                .filter(|at| parts.get(*at).is_some_and(|(part, _)| index < part.end))
        };
        for (from, to) in jumps {
            let (from, to) = (*from as usize, *to as usize);
            for (one, other) in [(to, from), (from, to)] {
                if inside.get(one)
                    && let Some(at) = part_of(&parts, one)
                    && let Some((part, good)) = parts.get_mut(at)
                {
                    *good &= (part.first..part.end).contains(&other) || self.at(other) == &part.places;
                }
            }
        }
        // Each lies in no zone, or within one: that is cut.
        let mut zones = Vec::with_capacity(self.zones.len() + 2 * parts.len());
        let mut parts = parts
            .into_iter()
            .filter(|(_, good)| *good)
            .map(|(part, _)| part)
            .peekable();
        for mut zone in std::mem::take(&mut self.zones) {
            while let Some(part) = parts.next_if(|part| part.first < zone.end) {
                if part.first > zone.first {
                    zones.push(Zone {
                        end: part.first,
                        ..zone
                    });
                }
                zones.push(part);
                zone.first = zone.first.max(part.end);
            }
            if zone.first < zone.end {
                zones.push(zone);
            }
        }
        zones.extend(parts);
        self.zones = zones;
    }

    /// Where guest registers are outside of all zones.
    pub(super) fn base(&self) -> &Places {
        &self.base
    }

    /// Where they are when the block is entered that starts at an instruction.
    pub(super) fn at(&self, index: usize) -> &Places {
        let after = self.zones.partition_point(|zone| zone.first <= index);
        after
            .checked_sub(1)
            .and_then(|at| self.zones.get(at))
            .filter(|zone| index < zone.end)
            .map_or(&self.base, |zone| &zone.places)
    }
}

#[cfg(test)]
mod tests {
    use surety_machine::{Program, Segment};

    use super::{super::blocks::Plan, *};

    fn word(op: Op, rd: u8, rs1: u8, imm: i32) -> u32 {
        let imm = imm.cast_unsigned();
        Decoded {
            op,
            rd,
            rs1,
            rs2: 0,
            imm,
        }
        .encode()
    }

    #[test]
    fn what_lies_behind_a_loop_and_comes_back_has_its_places() {
        // More registers than the host has, used often outside, and others in the loop.
        let outside = (1..17).flat_map(|register| vec![word(Op::Addi, register, register, 1); 40]);
        let mut code: Vec<u32> = outside.collect();
        let first = code.len();
        code.extend((17..31).map(|register| word(Op::Addi, register, register, 1)));
        let length = code.len() - first;
        // Behind the loop and another jump; then back.
        code.push(word(Op::Beq, 0, 17, 4 * 4));
        let back = code.len();
        code.push(word(Op::Bne, 0, 18, -4 * (length as i32 + 1)));
        code.push(word(Op::Addi, 1, 1, 1));
        code.push(word(Op::Jalr, 0, 1, 0));
        let behind = code.len();
        code.push(word(Op::Addi, 19, 19, 1));
        code.push(word(Op::Jal, 0, 0, -4 * (behind as i32 + 1 - back as i32)));
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let segment = Segment {
            address: 0,
            bytes: &bytes,
            size: bytes.len() as u32,
            executable: true,
        };
        let program = Program::new(&[segment], 0, Vec::new()).expect("a program");
        let zones = Plan::new(&program, &[]).zones;
        assert_ne!(zones.at(first), zones.base());
        assert_eq!(zones.at(behind), zones.at(first));
        assert_eq!(zones.at(back + 1), zones.base());
    }
}
