//! A program's translated code, mapped so that it can be run and not written.

use std::{io, sync::OnceLock};

use surety_machine::Program;

use super::{
    assembler::JUMP_THROUGH_TABLE,
    blocks::{HOST, MAX_BLOCK, Marks, Plan},
    fault,
    frame::Context,
    joins::{Make, Recipe},
    mapping::Mapping,
    places::Places,
    translate::{self, Block, Change, FIXED_BYTES, MAX_BYTES, MOST_BYTES, Translated, Turn},
};
use crate::intrinsics::{self, Intrinsic};

/// The table of entries is indexed by a guest address times two, which is 33 bits.
const TABLE_REACH: usize = 1 << 33;

/// A page of the host.
pub(super) const HOST_PAGE: usize = 4096;

/// Translated code, ready to run. It may be shared by any number of runs.
pub(crate) struct Code {
    mapping: Mapping,
    length: usize,
    translated: Translated,
    functions: Vec<(u32, &'static Intrinsic)>,
    metered: bool,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("bytes", &self.length)
            .field("blocks", &self.translated.blocks.len())
            .finish_non_exhaustive()
    }
}

/// Where an instruction is, for entering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: *const u8,
    /// Steps that must be charged before: those left in the block.
    pub(super) charge: u64,
    /// Number of the places that guest registers have to be in.
    pub(super) places: u32,
}

/// What host code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// The guest instruction's address.
    pub(super) pc: u32,
    /// The steps charged from it on.
    pub(super) charged: u64,
    /// Number of the places that guest registers are in when it accesses memory.
    pub(super) places: u32,
}

/// Whether this processor has what translated code uses, and if not, what is missing.
pub(crate) fn supported() -> Result<(), &'static str> {
    static CHECKED: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *CHECKED.get_or_init(|| {
        if !std::arch::is_x86_feature_detected!("bmi2") {
            return Err("the processor has no BMI2");
        }
        fault::alignment_is_checked()
    })
}

/// How far the table of entries lies from the code's start.
fn table_offset(instructions: usize) -> usize {
    instructions
        .saturating_mul(MAX_BYTES)
        .saturating_add(FIXED_BYTES)
        .min(MOST_BYTES)
        .next_multiple_of(HOST_PAGE)
}

impl Code {
    /// Translates a program.
    pub(crate) fn translate(program: &Program, metered: bool, with_intrinsics: bool) -> io::Result<Self> {
        let instructions = program.instructions();
        let functions = if with_intrinsics {
            functions(program)
        } else {
            Vec::new()
        };
        let starts: Vec<u32> = functions.iter().map(|(address, _)| *address).collect();
        let plan = Plan::new(program, &starts);
        let table = table_offset(instructions.len());
        let translated = translate::translate(instructions, &plan, &functions, table, metered)
            .ok_or_else(|| io::Error::other(format!("more than {table} bytes of code")))?;
        Self::map(translated, functions, metered)
    }

    /// Maps what was translated, now or another time.
    pub(super) fn map(
        mut translated: Translated,
        functions: Vec<(u32, &'static Intrinsic)>,
        metered: bool,
    ) -> io::Result<Self> {
        let table = table_offset(translated.lengths.len());
        let length = translated.bytes.len();
        if length > table {
            return Err(io::Error::other(format!("{length} bytes of code, room for {table}")));
        }
        let table_bytes = (translated.lengths.len() * 8).next_multiple_of(HOST_PAGE);
        let mapping = Mapping::reserve(table + table_bytes + TABLE_REACH + HOST_PAGE)?;
        let code_bytes = length.next_multiple_of(HOST_PAGE);
        mapping.protect(0, code_bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        mapping.protect(table, table_bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: both ranges were just made writable, and nobody else knows them.
        let entries = unsafe {
            std::ptr::copy_nonoverlapping(translated.bytes.as_ptr(), mapping.at(0), length);
            std::slice::from_raw_parts_mut(mapping.at(table).cast::<u64>(), table_bytes / 8)
        };
        let at = |offset: u32| mapping.at(0) as u64 + u64::from(offset);
        entries.fill(at(translated.miss));
        for block in &translated.blocks {
            if block.door != 0
                && let Some(entry) = entries.get_mut(block.first as usize)
            {
                *entry = at(block.door);
            }
        }
        mapping.protect(table, table_bytes, libc::PROT_READ)?;
        mapping.protect(0, code_bytes, libc::PROT_READ | libc::PROT_EXEC)?;
        translated.bytes = Vec::new();
        Ok(Code {
            mapping,
            length,
            translated,
            functions,
            metered,
        })
    }

    /// Bytes of host code.
    pub(crate) fn bytes(&self) -> usize {
        self.length
    }

    pub(super) fn is_metered(&self) -> bool {
        self.metered
    }

    /// The host addresses of the code.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        let start = self.mapping.at(0) as u64;
        start..start + self.length as u64
    }

    /// Where a fault has to go on.
    pub(super) fn fault_exit(&self) -> u64 {
        self.range().start + u64::from(self.translated.fault)
    }

    /// A function that the host has code for, by its number.
    pub(super) fn function(&self, number: u32) -> Option<&'static Intrinsic> {
        self.functions.get(number as usize).map(|(_, intrinsic)| *intrinsic)
    }

    /// The block that the instruction at `index` is in.
    fn block_of(&self, index: u32) -> Option<&Block> {
        let blocks = &self.translated.blocks;
        let after = blocks.partition_point(|block| block.first <= index);
        let block = blocks.get(after.checked_sub(1)?)?;
        (index - block.first < block.count).then_some(block)
    }

    /// Where to enter at the guest address `pc`; `None` where there is no instruction, or it was translated with the one
    /// before.
    pub(super) fn entry(&self, pc: u32) -> Option<Entry> {
        if !pc.is_multiple_of(4) {
            return None;
        }
        let index = pc >> 2;
        let block = self.block_of(index)?;
        let lengths = self.translated.lengths.get(block.first as usize..)?;
        let within = (index - block.first) as usize;
        // One whose code is nothing at all cannot be told from one translated with others; the interpreter takes it.
        if within > 0 && lengths.get(within) == Some(&0) || self.translated.closed.get(index as usize) {
            return None;
        }
        let before: usize = lengths.get(..within)?.iter().map(|length| usize::from(*length)).sum();
        Some(Entry {
            address: self.mapping.at(block.body as usize + before),
            charge: u64::from(block.charge) - within as u64,
            places: self.places_before(block, index),
        })
    }

    /// How many steps the interpreter takes where code cannot be entered: to the end of the block, or one.
    pub(super) fn steps_past(&self, pc: u32) -> u64 {
        let index = pc >> 2;
        let block = self.block_of(index).filter(|_| pc.is_multiple_of(4));
        block.map_or(1, |block| u64::from(block.count - (index - block.first)))
    }

    /// Number of the places that guest registers are in before the host code of an instruction of a block.
    fn places_before(&self, block: &Block, index: u32) -> u32 {
        let changes = &self.translated.changes;
        let after = changes.partition_point(|change| change.at < index);
        let last = after.checked_sub(1).and_then(|at| changes.get(at));
        last.filter(|change| change.at >= block.first)
            .map_or(block.places, |change| change.places)
    }

    /// What is to be made again after a fault at an instruction.
    pub(super) fn recipes(&self, index: u32) -> impl Iterator<Item = &Recipe> {
        let first = self.block_of(index).map_or(index, |block| block.first);
        let recipes = &self.translated.recipes;
        let start = recipes.partition_point(|recipe| recipe.until < first);
        recipes
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take(2 * MAX_BLOCK)
            .filter(move |recipe| recipe.after < index && index <= recipe.until)
    }

    /// The places with a number.
    pub(super) fn places(&self, number: u32) -> &Places {
        match self.translated.places.get(number as usize) {
            Some(places) => places,
            None => unreachable!("places {number} of {}", self.translated.places.len()),
        }
    }

    /// What the host code at `address` belongs to.
    pub(super) fn locate(&self, address: u64) -> Option<Located> {
        let offset = u32::try_from(address.checked_sub(self.range().start)?).ok()?;
        let Translated {
            blocks, turns, lengths, ..
        } = &self.translated;
        let within = |block: &Block, body: u32, extra: u32| {
            let mut start = body;
            for (within, length) in lengths
                .get(block.first as usize..)?
                .iter()
                .take(block.count as usize)
                .enumerate()
            {
                let end = start + u32::from(*length);
                if (start..end).contains(&offset) {
                    let index = block.first + within as u32;
                    let charged = u64::from(block.charge) - within as u64 + u64::from(extra);
                    return Some(Located {
                        pc: index << 2,
                        // A jump has given back all but its own step.
                        charged: if self.is_table_jump(address) { 1 } else { charged },
                        // Nothing faults before they are there.
                        places: self.places_before(block, index + 1),
                    });
                }
                start = end;
            }
            None
        };
        let after = blocks.partition_point(|block| block.body <= offset);
        let block = after.checked_sub(1).and_then(|at| blocks.get(at));
        if let Some(found) = block.and_then(|block| within(block, block.body, 0)) {
            return Some(found);
        }
        let after = turns.partition_point(|turn| turn.body <= offset);
        let turn = turns.get(after.checked_sub(1)?)?;
        within(self.block_of(turn.first)?, turn.body, turn.extra)
    }

    /// Whether the host instruction there is a jump through the table.
    pub(super) fn is_table_jump(&self, address: u64) -> bool {
        let Some(offset) = address.checked_sub(self.range().start) else {
            return false;
        };
        let code = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.code().get(offset..));
        code.is_some_and(|code| code.starts_with(&JUMP_THROUGH_TABLE))
    }

    /// Runs from `entry` until the code leaves.
    ///
    /// # Safety
    /// `entry` is one of this code's; `context.memory` is the start of guest memory as
    /// [`super::flat::Flat`] lays it out; faults are looked after ([`fault::watch`]).
    pub(super) unsafe fn enter(&self, context: &mut Context, entry: Entry) {
        let enter = self.mapping.at(self.translated.enter as usize);
        // SAFETY: the code at this offset is a function of this type; see `translate`.
        let enter: unsafe extern "sysv64" fn(*mut Context, *const u8) = unsafe { std::mem::transmute(enter) };
        // SAFETY: as the caller says.
        unsafe { enter(context, entry.address) }
    }

    /// What [`Code::decode`] makes this code of again.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Translated {
            blocks,
            turns,
            changes,
            recipes,
            places,
            lengths,
            closed,
            enter,
            miss,
            fault,
            ..
        } = &self.translated;
        let code = self.code();
        let mut bytes = Vec::with_capacity(code.len() + lengths.len() + 16 * blocks.len() + 64);
        let counts = [
            code.len(),
            lengths.len(),
            blocks.len(),
            turns.len(),
            changes.len(),
            recipes.len(),
            places.len(),
            self.functions.len(),
        ];
        for number in counts.map(|count| count as u32).iter().chain([enter, miss, fault]) {
            bytes.extend(number.to_le_bytes());
        }
        for block in blocks {
            for number in [
                block.first,
                block.count,
                block.entry,
                block.body,
                block.door,
                block.places,
                block.charge,
            ] {
                bytes.extend(number.to_le_bytes());
            }
        }
        for turn in turns {
            for number in [turn.body, turn.first, turn.extra] {
                bytes.extend(number.to_le_bytes());
            }
        }
        for change in changes {
            for number in [change.at, change.places] {
                bytes.extend(number.to_le_bytes());
            }
        }
        for recipe in recipes {
            bytes.extend(recipe.after.to_le_bytes());
            bytes.extend(recipe.until.to_le_bytes());
            bytes.extend([recipe.guest, recipe.from, recipe.make as u8, recipe.count]);
        }
        for places in places {
            bytes.extend(places.bytes());
        }
        for (address, intrinsic) in &self.functions {
            bytes.extend(address.to_le_bytes());
            bytes.extend(intrinsic.hash);
        }
        bytes.extend(lengths);
        for word in closed.words() {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(code);
        bytes
    }

    /// The code that was encoded to `bytes`, which are known to be whole; `None` if they are no such thing.
    pub(crate) fn decode(program: &Program, bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut number = || {
            let (first, tail) = rest.split_first_chunk::<4>()?;
            rest = tail;
            Some(u32::from_le_bytes(*first))
        };
        let (length, count) = (number()? as usize, number()? as usize);
        let (block_count, turn_count) = (number()?, number()?);
        let (change_count, recipe_count) = (number()?, number()?);
        let (places_count, function_count) = (number()?, number()?);
        let (enter, miss, fault) = (number()?, number()?, number()?);
        if count != program.instructions().len()
            || block_count as usize > count
            || turn_count as usize > 4 * count
            || change_count as usize > count
            || recipe_count as usize > 2 * count
            // The first is that of the table of entries.
            || places_count == 0
        {
            return None;
        }
        let mut blocks = Vec::with_capacity(block_count as usize);
        for _ in 0..block_count {
            let block = Block {
                first: number()?,
                count: number()?,
                entry: number()?,
                body: number()?,
                door: number()?,
                places: number().filter(|places| *places < places_count)?,
                charge: number()?,
            };
            blocks.push(Some(block).filter(|block| block.charge >= block.count)?);
        }
        let mut turns = Vec::with_capacity(turn_count as usize);
        for _ in 0..turn_count {
            turns.push(Turn {
                body: number()?,
                first: number()?,
                extra: number()?,
            });
        }
        let mut changes = Vec::with_capacity(change_count as usize);
        for _ in 0..change_count {
            changes.push(Change {
                at: number()?,
                places: number().filter(|places| *places < places_count)?,
            });
        }
        let mut recipes = Vec::with_capacity(recipe_count as usize);
        for _ in 0..recipe_count {
            let (after, until) = (number()?, number()?);
            let [guest, from, make, count] = number()?.to_le_bytes();
            recipes.push(Recipe {
                after,
                until,
                guest,
                from,
                make: Make::from_number(make)?,
                count,
            });
        }
        let mut places = Vec::new();
        for _ in 0..places_count {
            let (bytes, tail) = rest.split_first_chunk::<32>()?;
            rest = tail;
            places.push(Places::from_bytes(*bytes, &HOST)?);
        }
        let mut functions = Vec::new();
        for _ in 0..function_count {
            let (address, tail) = rest.split_first_chunk::<4>()?;
            let (hash, tail) = tail.split_first_chunk::<32>()?;
            rest = tail;
            let known = intrinsics::all().iter().find(|known| known.hash == *hash)?;
            functions.push((u32::from_le_bytes(*address), known));
        }
        let (lengths, rest) = rest.split_at_checked(count)?;
        let (words, code) = rest.split_at_checked(count.div_ceil(64) * 8)?;
        let closed = Marks::from_words(
            words
                .as_chunks()
                .0
                .iter()
                .map(|word| u64::from_le_bytes(*word))
                .collect(),
        );
        if code.len() != length {
            return None;
        }
        let translated = Translated {
            bytes: code.to_vec(),
            blocks,
            turns,
            changes,
            recipes,
            places,
            lengths: lengths.to_vec(),
            closed,
            enter,
            miss,
            fault,
        };
        Self::map(translated, functions, true).ok()
    }

    /// The host code.
    pub(crate) fn code(&self) -> &[u8] {
        // SAFETY: readable, and never written while `self` is there.
        unsafe { std::slice::from_raw_parts(self.mapping.at(0), self.length) }
    }
}

/// The functions of a program that the host has code for, by address.
fn functions(program: &Program) -> Vec<(u32, &'static Intrinsic)> {
    let mut words = Vec::with_capacity(program.instructions().len());
    let code = program.code();
    code.visit_pages(&mut |number, bytes| {
        words.resize(number as usize * (bytes.len() / 4), 0);
        let (page, _) = bytes.as_chunks::<4>();
        words.extend(page.iter().map(|word| u32::from_le_bytes(*word)));
    });
    let mut found = intrinsics::find(&words);
    found.retain(|(address, _)| {
        program
            .instructions()
            .get((*address >> 2) as usize)
            .is_some_and(Option::is_some)
    });
    found.sort_unstable_by_key(|(address, _)| *address);
    found
}
