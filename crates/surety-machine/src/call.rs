//! System calls: section 6 of the specification. What one step does, from the registers alone; the machine and the
//! witness verifier carry it out.

use crate::hash::Hash;
use crate::state::TrapCause;
use crate::tree::LEAF_BYTES;

/// Argument and hash registers by number.
const A0: usize = 10;
const A1: usize = 11;
const A2: usize = 12;
const A7: usize = 17;
const S2: usize = 18;

/// The most a `HINT` may say, bytes.
const MAX_HINT_BYTES: u32 = 1024;

/// One step of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The machine halts with this code.
    Halt(u32),
    /// The machine traps.
    Trap(TrapCause),
    /// `pc` becomes `pc + 4`.
    Next,
    /// `length` bytes (1 to 32, within a leaf of data memory) at `address` go to the output.
    Write { address: u32, length: u32 },
    /// The preimage is needed to say what happens: [`Read::plan`].
    Read(Read),
    /// Hash and length of the input are wanted.
    Input,
    /// `pc` becomes `pc + 4`; the bytes are a hint.
    Hint { address: u32, length: u32 },
}

/// A `READ` that has something left to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) hash: Hash,
    pub(crate) address: u32,
    pub(crate) offset: u32,
    pub(crate) left: u32,
}

/// What a step of a `READ` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadStep {
    /// Nothing is left in the preimage: `pc` becomes `pc + 4`.
    End,
    /// The destination is outside data memory.
    Trap,
    /// This many bytes (1 to 32, within a leaf of data memory) are copied. If it is the last piece, `pc` moves on.
    Copy { length: u32, last: bool },
}

/// How much of `left` fits between `address` and the end of its leaf.
fn piece(address: u32, left: u32) -> u32 {
    left.min(LEAF_BYTES as u32 - address % LEAF_BYTES as u32)
}

fn fits(address: u32, length: u32, memory_size: u64) -> bool {
    u64::from(address) + u64::from(length) <= memory_size
}

impl Call {
    /// The step that an `ECALL` with these registers takes.
    pub(crate) fn plan(registers: &[u32; 32], memory_size: u64) -> Call {
        let (a0, a1, a2) = (registers[A0], registers[A1], registers[A2]);
        match registers[A7] {
            1 => Call::Halt(a0),
            2 if a1 == 0 => Call::Next,
            2 => {
                let length = piece(a0, a1);
                if fits(a0, length, memory_size) {
                    Call::Write { address: a0, length }
                } else {
                    Call::Trap(TrapCause::LoadRange)
                }
            }
            3 if a2 == 0 => Call::Next,
            3 => Call::Read(
                Read {
                    hash: hash_in(registers),
                    address: 0,
                    offset: 0,
                    left: 0,
                }
                .at(registers),
            ),
            4 => Call::Input,
            5 if a1 <= MAX_HINT_BYTES && fits(a0, a1, memory_size) => Call::Hint {
                address: a0,
                length: a1,
            },
            5 => Call::Next,
            _ => Call::Trap(TrapCause::Syscall),
        }
    }
}

impl Read {
    /// The read of the same preimage that the registers ask for now.
    pub(crate) fn at(self, registers: &[u32; 32]) -> Self {
        Read {
            hash: self.hash,
            address: registers[A0],
            offset: registers[A1],
            left: registers[A2],
        }
    }

    /// What the step does when the preimage has this length.
    pub(crate) fn plan(&self, preimage_length: u32, memory_size: u64) -> ReadStep {
        let Some(rest) = preimage_length.checked_sub(self.offset).filter(|rest| *rest > 0) else {
            return ReadStep::End;
        };
        let length = piece(self.address, self.left).min(rest);
        if !fits(self.address, length, memory_size) {
            return ReadStep::Trap;
        }
        ReadStep::Copy {
            length,
            last: length == self.left || length == rest,
        }
    }

    /// The registers after `length` bytes were copied.
    pub(crate) fn advance(&self, registers: &mut [u32; 32], length: u32) {
        // A destination that ends at 4 GiB wraps to 0; the offset stays within the preimage, the rest above zero.
        registers[A0] = self.address.wrapping_add(length);
        registers[A1] = self.offset.wrapping_add(length);
        registers[A2] = self.left.wrapping_sub(length);
    }
}

/// The registers after `length` bytes were written. True if that was the last piece.
pub(crate) fn advance_write(registers: &mut [u32; 32], length: u32) -> bool {
    registers[A0] = registers[A0].wrapping_add(length);
    registers[A1] = registers[A1].wrapping_sub(length);
    registers[A1] == 0
}

/// The registers after `INPUT`.
pub(crate) fn set_input(registers: &mut [u32; 32], hash: &Hash, length: u32) {
    let (words, _) = hash.as_chunks::<4>();
    for (register, word) in registers[S2..].iter_mut().zip(words) {
        *register = u32::from_le_bytes(*word);
    }
    registers[A0] = length;
}

fn hash_in(registers: &[u32; 32]) -> Hash {
    let mut hash = [0; 32];
    let (words, _) = hash.as_chunks_mut::<4>();
    for (word, register) in words.iter_mut().zip(&registers[S2..]) {
        *word = register.to_le_bytes();
    }
    hash
}
