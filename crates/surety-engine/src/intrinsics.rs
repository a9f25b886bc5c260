//! Intrinsics: routines of `surety-guest` that are known by the hash of their machine code, and run as host code.
//!
//! A routine is a leaf in plain RV32IM: `crates/surety-guest/asm`. [`Intrinsic::apply`] has the effect of all its steps,
//! from its first instruction to the return address: the same registers (temporaries too), the same memory (scratch
//! on the stack too), the same number of steps. So whether an engine uses it cannot be seen in any result, and a dispute
//! steps the plain code.
//!
//! It *declines*, and changes nothing, wherever a call is unusual: not enough steps left for all of it, a range that is
//! misaligned, overlaps another or is not wholly in memory, a return address that is no multiple of 4. The plain code
//! then runs, and traps or stops where it does.
//!
//! Nothing depends on names or symbols: [`find`] compares words. Code elsewhere that happens to be equal is equal.

pub(crate) mod float;
pub(crate) mod keccak;
mod matrix;
mod memory;
mod montgomery;
mod sha256;
mod space;
mod table;

pub use space::Space;

use surety_machine::{Hash, keccak256};

/// A routine that can be run as host code.
#[derive(Debug)]
pub struct Intrinsic {
    /// The routine's symbol in `surety-guest`.
    pub name: &'static str,
    /// How many words of code it has.
    pub words: usize,
    /// Keccak-256 of those words, each little-endian.
    pub hash: Hash,
    /// Its first words: what is compared before anything is hashed.
    first: [u32; 4],
    host: Host,
}

/// What a call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where the program goes on: the return address.
    pub pc: u32,
    /// How many steps the routine's code takes for this call.
    pub steps: u64,
}

/// Which host code stands for a routine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    KeccakF,
    Sha256,
    Memcpy,
    Memset,
    Memcmp,
    Dot,
    Matmul,
    Montgomery,
    Add,
    Subtract,
    Multiply,
    Divide,
    Root,
    LessOrEqual,
    GreaterOrEqual,
    Unordered,
    FromSigned,
    FromUnsigned,
    ToSigned,
    ToUnsigned,
}

/// All there are.
#[must_use]
pub fn all() -> &'static [Intrinsic] {
    &ALL
}

/// Changes whenever a routine does.
#[cfg(translated)]
pub(crate) fn fingerprint() -> Vec<u8> {
    ALL.iter().flat_map(|intrinsic| intrinsic.hash).collect()
}

static ALL: [Intrinsic; 20] = [
    intrinsic("surety_keccak_f", &table::KECCAK_F, Host::KeccakF),
    intrinsic("surety_sha256_blocks", &table::SHA256_BLOCKS, Host::Sha256),
    intrinsic("memcpy", &table::MEMCPY, Host::Memcpy),
    intrinsic("memset", &table::MEMSET, Host::Memset),
    intrinsic("memcmp", &table::MEMCMP, Host::Memcmp),
    intrinsic("surety_dot_i8", &table::DOT_I8, Host::Dot),
    intrinsic("surety_matmul_i8", &table::MATMUL_I8, Host::Matmul),
    intrinsic("surety_montgomery_256", &table::MONTGOMERY_256, Host::Montgomery),
    intrinsic("__addsf3", &table::ADDSF3, Host::Add),
    intrinsic("__subsf3", &table::SUBSF3, Host::Subtract),
    intrinsic("__mulsf3", &table::MULSF3, Host::Multiply),
    intrinsic("__divsf3", &table::DIVSF3, Host::Divide),
    intrinsic("surety_sqrt_f32", &table::SQRT_F32, Host::Root),
    intrinsic("__lesf2", &table::LESF2, Host::LessOrEqual),
    intrinsic("__gesf2", &table::GESF2, Host::GreaterOrEqual),
    intrinsic("__unordsf2", &table::UNORDSF2, Host::Unordered),
    intrinsic("__floatsisf", &table::FLOATSISF, Host::FromSigned),
    intrinsic("__floatunsisf", &table::FLOATUNSISF, Host::FromUnsigned),
    intrinsic("__fixsfsi", &table::FIXSFSI, Host::ToSigned),
    intrinsic("__fixunssfsi", &table::FIXUNSSFSI, Host::ToUnsigned),
];

/// What the generated table says of a routine.
struct Code {
    words: usize,
    first: [u32; 4],
    hash: Hash,
}

const fn intrinsic(name: &'static str, code: &Code, host: Host) -> Intrinsic {
    Intrinsic {
        name,
        words: code.words,
        hash: code.hash,
        first: code.first,
        host,
    }
}

pub(crate) const RA: usize = 1;
const SP: usize = 2;
const T0: usize = 5;
const T1: usize = 6;
const T2: usize = 7;
pub(crate) const A0: usize = 10;
pub(crate) const A1: usize = 11;
pub(crate) const A2: usize = 12;
pub(crate) const A3: usize = 13;
pub(crate) const A4: usize = 14;
pub(crate) const A5: usize = 15;
const A6: usize = 16;
const A7: usize = 17;
const T3: usize = 28;
const T4: usize = 29;
const T5: usize = 30;
const T6: usize = 31;

impl Intrinsic {
    /// Which host code it is.
    #[cfg(translated)]
    pub(crate) fn host(&self) -> Host {
        self.host
    }

    /// Runs a whole call: the machine is at the routine's first instruction before, at the return address after.
    /// `None`: nothing has changed, and the plain code is to run.
    ///
    /// `registers[0]` is zero. At most `steps_left` steps are taken.
    pub fn apply<S: Space + ?Sized>(
        &self,
        registers: &mut [u32; 32],
        space: &mut S,
        steps_left: u64,
    ) -> Option<Applied> {
        let pc = registers[RA];
        if !pc.is_multiple_of(4) {
            return None;
        }
        let steps = match self.host {
            Host::KeccakF => keccak::f1600(registers, space, steps_left),
            Host::Sha256 => sha256::blocks(registers, space, steps_left),
            Host::Memcpy => memory::memcpy(registers, space, steps_left),
            Host::Memset => memory::memset(registers, space, steps_left),
            Host::Memcmp => memory::memcmp(registers, space, steps_left),
            Host::Dot => matrix::dot(registers, space, steps_left),
            Host::Matmul => matrix::product(registers, space, steps_left),
            Host::Montgomery => montgomery::product(registers, space, steps_left),
            Host::Add => float::add(registers, steps_left),
            Host::Subtract => float::subtract(registers, steps_left),
            Host::Multiply => float::multiply(registers, steps_left),
            Host::Divide => float::divide(registers, steps_left),
            Host::Root => float::root(registers, steps_left),
            Host::LessOrEqual => float::compare(registers, steps_left, 1),
            Host::GreaterOrEqual => float::compare(registers, steps_left, -1),
            Host::Unordered => float::unordered(registers, steps_left),
            Host::FromSigned => float::from_signed(registers, steps_left),
            Host::FromUnsigned => float::from_unsigned(registers, steps_left),
            Host::ToSigned => float::to_signed(registers, steps_left),
            Host::ToUnsigned => float::to_unsigned(registers, steps_left),
        }?;
        Some(Applied { pc, steps })
    }
}

/// Clears registers, as a routine does with those it used and need not keep.
fn clear<const N: usize>(registers: &mut [u32; 32], which: [usize; N]) {
    for register in which {
        registers[register] = 0;
    }
}

/// The stack below `sp` that a routine uses, `bytes` of it: where it begins, if it is aligned and within memory.
fn frame<S: Space + ?Sized>(registers: &[u32; 32], space: &S, bytes: u32) -> Option<u32> {
    let top = registers[SP];
    let inside = top.is_multiple_of(4) && u64::from(top) <= space.size();
    top.checked_sub(bytes).filter(|_| inside)
}

/// Whether words at `address` are aligned, and `bytes` of them lie in memory.
fn words_inside<S: Space + ?Sized>(space: &S, address: u32, bytes: u64) -> bool {
    address.is_multiple_of(4) && inside(space, address, bytes)
}

/// Whether `bytes` bytes from `address` lie in memory.
fn inside<S: Space + ?Sized>(space: &S, address: u32, bytes: u64) -> bool {
    bytes <= space.size() && u64::from(address) <= space.size() - bytes
}

/// Whether two ranges, neither of which reaches past 2^32, have no byte in common.
fn apart(a: (u32, u64), b: (u32, u64)) -> bool {
    let end = |(start, length): (u32, u64)| u64::from(start) + length;
    end(a) <= u64::from(b.0) || end(b) <= u64::from(a.0)
}

/// Finds the routines in a program's code, given as the words from address 0 on: the address of each one's first word.
///
/// Takes time in proportion to the code, whatever it is: hostile code full of routines' beginnings is not searched
/// to its end, and then runs as it is.
#[must_use]
pub fn find(code: &[u32]) -> Vec<(u32, &'static Intrinsic)> {
    let mut beginnings = [false; 1 << BEGINNING_BITS];
    for intrinsic in all() {
        beginnings[beginning(intrinsic.first[0])] = true;
    }
    let mut found = Vec::new();
    // How many words may still be hashed. Routines do not overlap, so those of an honest program never use it up.
    let mut budget = code.len().saturating_mul(2);
    let mut at = 0;
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let mut length = 1;
        if beginnings[beginning(rest[0])] {
            for intrinsic in all() {
                if !rest.starts_with(&intrinsic.first) {
                    continue;
                }
                let Some(words) = rest.get(..intrinsic.words) else {
                    continue;
                };
                let Some(left) = budget.checked_sub(words.len()) else {
                    return found;
                };
                budget = left;
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                if keccak256(&bytes) == intrinsic.hash
                    && let Ok(address) = u32::try_from(4 * at as u64)
                {
                    found.push((address, intrinsic));
                    length = intrinsic.words;
                    break;
                }
            }
        }
        at += length;
    }
    found
}

const BEGINNING_BITS: u32 = 10;

/// Which slot of [`find`]'s filter a first word falls into.
fn beginning(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - BEGINNING_BITS)) as usize
}
