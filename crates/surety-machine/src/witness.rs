//! Step witnesses: section 7 of the specification. Made by a machine that has the state, checked by whoever has only
//! its root. [`verify_step`] does what `Machine.sol` does.

use crate::call::{Call, ReadStep, advance_write, set_input};
use crate::encoding::decode;
use crate::hash::{Hash, keccak, keccak256};
use crate::isa::{Effect, Width};
use crate::machine::{Machine, RunError};
use crate::memory::DataMemory;
use crate::preimages::Preimages;
use crate::state::{MAX_HEIGHT, STATE_BYTES, State, Status, TrapCause};
use crate::tree::{LEAF_BYTES, Proof};
use alloc::vec::Vec;

/// What it takes to check one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// State ‖ code proof ‖ memory proof, where the step needs them.
    pub bytes: Vec<u8>,
    /// The preimage the step needs, and the offset in it of the 32 bytes to be shown. For `INPUT` the offset is 0 and
    /// only the length counts; for a `READ` past the end likewise.
    pub preimage: Option<(Hash, u32)>,
}

/// What a verifier knows of preimages: the on-chain `Preimages` contract, or its like.
pub trait PreimageOracle {
    /// The length of the preimage, bytes, if it is known.
    fn length(&self, hash: &Hash) -> Option<u32>;
    /// The 32 bytes from `offset`, with zeros past the end, if they are known.
    fn word(&self, hash: &Hash, offset: u32) -> Option<[u8; 32]>;
}

/// A checked step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedStep {
    /// The root of the state the witness begins with. The caller must know it to be the right one.
    pub before: Hash,
    /// The root of the state after the step.
    pub after: Hash,
}

/// Why a witness proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It ends before what it must hold.
    #[error("witness of {length} bytes ends within the {part}")]
    Truncated {
        /// What is cut short.
        part: &'static str,
        /// Length of the witness, bytes.
        length: usize,
    },
    /// Bytes are left over.
    #[error("witness has {count} bytes more than the step needs")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// No machine has a tree of this height.
    #[error("tree height {height} is above {MAX_HEIGHT}")]
    Height {
        /// The height.
        height: u8,
    },
    /// A proof's bitmap has a bit at or above the tree's height.
    #[error("bitmap {bitmap:#010x} of the {part} has a bit at or above the tree's height {height}")]
    Bitmap {
        /// Which proof.
        part: &'static str,
        /// The bitmap.
        bitmap: u32,
        /// The tree's height.
        height: u8,
    },
    /// A proof does not lead to the state's root.
    #[error("the {part} does not lead to the root in the state")]
    Root {
        /// Which proof.
        part: &'static str,
    },
    /// The oracle lacks what the step needs.
    #[error("a preimage that the step needs has not been shown, at offset {offset}")]
    Preimage {
        /// The preimage's hash.
        hash: Hash,
        /// The offset needed.
        offset: u32,
    },
}

impl<M: DataMemory> Machine<M> {
    /// The witness of the next step. `preimages` is asked when that is a `READ`, whose course depends on the length.
    pub fn witness(&mut self, preimages: &mut dyn Preimages) -> Result<Witness, RunError> {
        let mut bytes = self.state_bytes().to_vec();
        let mut preimage = None;
        if self.status() == Status::Running
            && self.pc().is_multiple_of(4)
            && u64::from(self.pc()) < self.program().code().size()
        {
            self.program()
                .code()
                .prove(self.pc() / LEAF_BYTES as u32)
                .encode_to(&mut bytes);
            if let Some(address) = self.touched(preimages, &mut preimage)? {
                self.memory
                    .tree()
                    .prove(address / LEAF_BYTES as u32)
                    .encode_to(&mut bytes);
            }
        }
        Ok(Witness { bytes, preimage })
    }

    /// The address in the leaf of data memory that the next step touches, if it touches one.
    fn touched(
        &mut self,
        preimages: &mut dyn Preimages,
        preimage: &mut Option<(Hash, u32)>,
    ) -> Result<Option<u32>, RunError> {
        let Some(Some(instruction)) = self.program().instructions().get((self.pc() / 4) as usize).copied() else {
            return Ok(None);
        };
        let size = self.memory.size();
        match instruction.instruction().effect {
            Effect::Load(width, _) | Effect::Store(width) => {
                let address = self.registers()[usize::from(instruction.rs1)].wrapping_add(instruction.imm);
                Ok(accessible(address, width, size).then_some(address))
            }
            Effect::Call => match Call::plan(self.registers(), size) {
                Call::Write { address, .. } => Ok(Some(address)),
                Call::Read(read) => {
                    *preimage = Some((read.hash, read.offset));
                    let length = self.recent.get(&read.hash, preimages)?.len() as u32;
                    let copies = matches!(read.plan(length, size), ReadStep::Copy { .. });
                    Ok(copies.then_some(read.address))
                }
                Call::Input => {
                    *preimage = Some((self.input_hash, 0));
                    Ok(None)
                }
                Call::Halt(_) | Call::Trap(_) | Call::Next | Call::Hint { .. } => Ok(None),
            },
            Effect::Set(_) | Effect::Branch(_) | Effect::Jump(_) | Effect::Nothing => Ok(None),
        }
    }
}

fn misaligned(address: u32, width: Width) -> bool {
    address & (width as u32 - 1) != 0
}

/// An aligned access never crosses the end of memory, so its first byte decides.
fn accessible(address: u32, width: Width, memory_size: u64) -> bool {
    !misaligned(address, width) && u64::from(address) < memory_size
}

/// Reads proofs off a witness.
struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl Reader<'_> {
    /// The next proof, checked to be of leaf `address / 32` of the tree with this root.
    fn proof(&mut self, part: &'static str, address: u32, height: u8, root: &Hash) -> Result<Proof, WitnessError> {
        let proof = Proof::decode_from(&mut self.rest).ok_or(WitnessError::Truncated {
            part,
            length: self.length,
        })?;
        let found = proof
            .root_with(&proof.leaf, address / LEAF_BYTES as u32, height)
            .ok_or(WitnessError::Bitmap {
                part,
                bitmap: proof.bitmap,
                height,
            })?;
        if found == *root {
            Ok(proof)
        } else {
            Err(WitnessError::Root { part })
        }
    }

    fn end(&self) -> Result<(), WitnessError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WitnessError::Trailing { count: self.rest.len() })
        }
    }
}

const MEMORY_PROOF: &str = "memory proof";

/// Checks one step from its witness: the roots before and after it.
///
/// Total on any bytes: a wrong witness is an error, never a panic, and costs at most some 100 hashes.
pub fn verify_step(witness: &[u8], preimages: &dyn PreimageOracle) -> Result<VerifiedStep, WitnessError> {
    let length = witness.len();
    let (state_bytes, rest) = witness
        .split_first_chunk::<STATE_BYTES>()
        .ok_or(WitnessError::Truncated { part: "state", length })?;
    let before = keccak256(state_bytes);
    let mut reader = Reader { rest, length };
    let mut state = State::from_bytes(state_bytes);
    if state.status != Status::Running as u8 {
        reader.end()?;
        return Ok(VerifiedStep { before, after: before });
    }
    for height in [state.code_height, state.memory_height] {
        if height > MAX_HEIGHT {
            return Err(WitnessError::Height { height });
        }
    }
    if let Err(cause) = step(&mut state, &mut reader, preimages)? {
        state.status = Status::Trapped as u8;
        state.exit = cause as u32;
    }
    reader.end()?;
    Ok(VerifiedStep {
        before,
        after: state.root(),
    })
}

/// One step of a running machine. A trap changes nothing in `state`.
fn step(
    state: &mut State,
    reader: &mut Reader<'_>,
    preimages: &dyn PreimageOracle,
) -> Result<Result<(), TrapCause>, WitnessError> {
    let pc = state.pc;
    if !pc.is_multiple_of(4) || u64::from(pc) >= (LEAF_BYTES as u64) << state.code_height {
        return Ok(Err(TrapCause::Fetch));
    }
    let code = reader.proof("code proof", pc, state.code_height, &state.code_root)?;
    let Some(instruction) = decode(word_at(&code.leaf, pc)) else {
        return Ok(Err(TrapCause::Illegal));
    };
    let memory_size = (LEAF_BYTES as u64) << state.memory_height;
    let a = state.registers[usize::from(instruction.rs1)];
    let rs2 = state.registers[usize::from(instruction.rs2)];
    let imm = instruction.imm;
    let mut next = pc.wrapping_add(4);
    let mut result = None;
    match instruction.instruction().effect {
        Effect::Set(f) => {
            let b = if instruction.instruction().format.has_rs2() {
                rs2
            } else {
                imm
            };
            result = Some(f(a, b, pc));
        }
        Effect::Branch(taken) => {
            if taken(a, rs2) {
                next = pc.wrapping_add(imm);
            }
        }
        Effect::Jump(target) => {
            result = Some(next);
            next = target(a, imm, pc);
        }
        Effect::Load(width, extend) => {
            let address = a.wrapping_add(imm);
            if misaligned(address, width) {
                return Ok(Err(TrapCause::LoadMisaligned));
            }
            if !accessible(address, width, memory_size) {
                return Ok(Err(TrapCause::LoadRange));
            }
            let proof = reader.proof(MEMORY_PROOF, address, state.memory_height, &state.memory_root)?;
            let (mut bytes, at) = ([0; 4], within_leaf(address));
            bytes[..width as usize].copy_from_slice(&proof.leaf[at..at + width as usize]);
            result = Some(extend(u32::from_le_bytes(bytes)));
        }
        Effect::Store(width) => {
            let address = a.wrapping_add(imm);
            if misaligned(address, width) {
                return Ok(Err(TrapCause::StoreMisaligned));
            }
            if !accessible(address, width, memory_size) {
                return Ok(Err(TrapCause::StoreRange));
            }
            store(state, reader, address, &rs2.to_le_bytes()[..width as usize])?;
        }
        Effect::Nothing => {}
        Effect::Call => return call(state, reader, preimages),
    }
    if !next.is_multiple_of(4) {
        return Ok(Err(TrapCause::JumpMisaligned));
    }
    if let Some(value) = result {
        state.registers[usize::from(instruction.rd)] = value;
        state.registers[0] = 0;
    }
    state.pc = next;
    Ok(Ok(()))
}

fn call(
    state: &mut State,
    reader: &mut Reader<'_>,
    preimages: &dyn PreimageOracle,
) -> Result<Result<(), TrapCause>, WitnessError> {
    let memory_size = (LEAF_BYTES as u64) << state.memory_height;
    let mut next = true;
    match Call::plan(&state.registers, memory_size) {
        Call::Halt(code) => {
            state.status = Status::Halted as u8;
            state.exit = code;
            next = false;
        }
        Call::Trap(cause) => return Ok(Err(cause)),
        Call::Next | Call::Hint { .. } => {}
        Call::Write { address, length } => {
            let proof = reader.proof(MEMORY_PROOF, address, state.memory_height, &state.memory_root)?;
            let at = within_leaf(address);
            state.output_root = keccak(&[&state.output_root, &proof.leaf[at..at + length as usize]]);
            next = advance_write(&mut state.registers, length);
        }
        Call::Read(read) => {
            let unknown = WitnessError::Preimage {
                hash: read.hash,
                offset: read.offset,
            };
            match read.plan(preimages.length(&read.hash).ok_or(unknown)?, memory_size) {
                ReadStep::End => {}
                ReadStep::Trap => return Ok(Err(TrapCause::StoreRange)),
                ReadStep::Copy { length, last } => {
                    let word = preimages.word(&read.hash, read.offset).ok_or(unknown)?;
                    store(state, reader, read.address, &word[..length as usize])?;
                    read.advance(&mut state.registers, length);
                    next = last;
                }
            }
        }
        Call::Input => {
            let hash = state.input_hash;
            let length = preimages
                .length(&hash)
                .ok_or(WitnessError::Preimage { hash, offset: 0 })?;
            set_input(&mut state.registers, &hash, length);
        }
    }
    if next {
        state.pc = state.pc.wrapping_add(4);
    }
    Ok(Ok(()))
}

/// Writes bytes that lie within one leaf, and sets the memory root.
fn store(state: &mut State, reader: &mut Reader<'_>, address: u32, bytes: &[u8]) -> Result<(), WitnessError> {
    let height = state.memory_height;
    let proof = reader.proof(MEMORY_PROOF, address, height, &state.memory_root)?;
    let mut leaf = proof.leaf;
    let at = within_leaf(address);
    leaf[at..at + bytes.len()].copy_from_slice(bytes);
    state.memory_root = proof
        .root_with(&leaf, address / LEAF_BYTES as u32, height)
        .ok_or(WitnessError::Bitmap {
            part: MEMORY_PROOF,
            bitmap: proof.bitmap,
            height,
        })?;
    Ok(())
}

fn within_leaf(address: u32) -> usize {
    address as usize % LEAF_BYTES
}

/// The little-endian word in a leaf; `pc` is a multiple of 4.
fn word_at(leaf: &[u8; LEAF_BYTES], pc: u32) -> u32 {
    let (words, _) = leaf.as_chunks::<4>();
    u32::from_le_bytes(words[within_leaf(pc) / 4])
}
