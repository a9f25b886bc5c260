//! A loaded program: what the program hash commits to.

use crate::encoding::{Decoded, decode};
use crate::hash::{Hash, keccak};
use crate::memory::{DataMemory, Memory};
use crate::state::{MAX_HEIGHT, MIN_MEMORY_HEIGHT};
use crate::tree::Tree;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most that code may reach up to, bytes: 32 MiB.
pub const MAX_CODE_BYTES: u32 = 32 << 20;

/// A part of a program's image.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Address of the first byte.
    pub address: u32,
    /// The first bytes; the rest of the segment is zero.
    pub bytes: &'a [u8],
    /// Size, bytes.
    pub size: u32,
    /// Whether it is code too.
    pub executable: bool,
}

impl Segment<'_> {
    fn end(&self) -> u64 {
        u64::from(self.address) + u64::from(self.size)
    }
}

/// Why segments do not make a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// More bytes than the segment's size.
    #[error("segment at {address:#x} has {found} bytes of content, more than its size of {size} bytes")]
    TooManyBytes {
        /// The segment's address.
        address: u32,
        /// Bytes of content.
        found: u64,
        /// The segment's size.
        size: u32,
    },
    /// A segment ends above 4 GiB.
    #[error("segment at {address:#x} ends at {end:#x}, above the 4 GiB a program can address")]
    PastEnd {
        /// The segment's address.
        address: u32,
        /// Where it ends.
        end: u64,
    },
    /// Two segments share an address.
    #[error("segment at {address:#x} overlaps the one before it, which ends at {end:#x}")]
    Overlap {
        /// The later segment's address.
        address: u32,
        /// Where the one before it ends.
        end: u64,
    },
    /// Code that does not begin at a multiple of 4.
    #[error("executable segment at {address:#x}: the address is not a multiple of 4")]
    CodeMisaligned {
        /// The segment's address.
        address: u32,
    },
    /// Code too high.
    #[error(
        "executable segment at {address:#x} ends at {end:#x}, above the limit of {MAX_CODE_BYTES:#x}; link code at a lower address"
    )]
    CodeTooHigh {
        /// The segment's address.
        address: u32,
        /// Where it ends.
        end: u64,
    },
    /// The entry is not a multiple of 4.
    #[error("entry {entry:#x} is not a multiple of 4")]
    EntryMisaligned {
        /// The entry.
        entry: u32,
    },
    /// The entry is not in an executable segment.
    #[error("entry {entry:#x} is in no executable segment")]
    EntryOutside {
        /// The entry.
        entry: u32,
    },
}

/// A loaded program. Cloning it is cheap.
#[derive(Clone)]
pub struct Program {
    code: Tree,
    memory: Tree,
    entry: u32,
    instructions: Arc<[Option<Decoded>]>,
    methods: Arc<[String]>,
}

/// The smallest height whose tree covers `size` bytes (at most 4 GiB).
fn height_of(size: u64) -> u8 {
    (0..MAX_HEIGHT)
        .find(|height| 32u64 << height >= size)
        .unwrap_or(MAX_HEIGHT)
}

impl Program {
    /// Makes a program of its segments. Those of size 0 are ignored. `methods` are Solidity signatures, for people
    /// to read: they are no part of the program hash.
    pub fn new(segments: &[Segment<'_>], entry: u32, methods: Vec<String>) -> Result<Self, ProgramError> {
        let mut segments: Vec<_> = segments.iter().filter(|segment| segment.size > 0).collect();
        segments.sort_by_key(|segment| segment.address);
        let mut last_end = 0;
        let mut code_end = 0;
        let mut code_last = 0;
        for segment in &segments {
            let (address, end) = (segment.address, segment.end());
            if segment.bytes.len() as u64 > u64::from(segment.size) {
                let found = segment.bytes.len() as u64;
                return Err(ProgramError::TooManyBytes {
                    address,
                    found,
                    size: segment.size,
                });
            }
            if end > 1 << 32 {
                return Err(ProgramError::PastEnd { address, end });
            }
            if u64::from(address) < last_end {
                return Err(ProgramError::Overlap { address, end: last_end });
            }
            last_end = end;
            if segment.executable {
                if !address.is_multiple_of(4) {
                    return Err(ProgramError::CodeMisaligned { address });
                }
                if end > u64::from(MAX_CODE_BYTES) {
                    return Err(ProgramError::CodeTooHigh { address, end });
                }
                code_end = end;
                code_last = address as usize + segment.bytes.len();
            }
        }
        if !entry.is_multiple_of(4) {
            return Err(ProgramError::EntryMisaligned { entry });
        }
        let executable = |segment: &&&Segment<'_>| segment.executable;
        if !segments
            .iter()
            .filter(executable)
            .any(|s| s.address <= entry && u64::from(entry) < s.end())
        {
            return Err(ProgramError::EntryOutside { entry });
        }

        let mut code = Memory::new(Tree::zero(height_of(code_end)));
        let mut memory = Memory::new(Tree::zero(height_of(last_end).max(MIN_MEMORY_HEIGHT)));
        for segment in segments {
            let in_range = memory.put(segment.address, segment.bytes);
            debug_assert!(in_range.is_some(), "memory covers every segment");
            if segment.executable {
                let in_range = code.put(segment.address, segment.bytes);
                debug_assert!(in_range.is_some(), "the code tree covers every executable segment");
            }
        }

        // Only up to the last byte of content: what follows it, up to the end of the tree, is zero, and so illegal.
        let instructions = (0..code_last.div_ceil(4) as u32)
            .map(|index| code.load(4 * index, crate::isa::Width::Word).and_then(decode))
            .collect();
        Ok(Program {
            code: code.tree().clone(),
            memory: memory.tree().clone(),
            entry,
            instructions,
            methods: methods.into(),
        })
    }

    /// The code tree.
    #[must_use]
    pub fn code(&self) -> &Tree {
        &self.code
    }

    /// Data memory before the first step.
    #[must_use]
    pub fn memory(&self) -> &Tree {
        &self.memory
    }

    /// Address of the first instruction.
    #[must_use]
    pub fn entry(&self) -> u32 {
        self.entry
    }

    /// The program's methods: Solidity signatures such as `balanceOf(bytes32,address)`.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// The instructions from address 0 up, `None` where a word is no instruction. Words past the end are zero.
    #[must_use]
    pub fn instructions(&self) -> &[Option<Decoded>] {
        &self.instructions
    }

    /// The program hash: keccak-256(codeRoot ‖ codeHeight ‖ memRoot ‖ memHeight ‖ entry).
    #[must_use]
    pub fn hash(&self) -> Hash {
        keccak(&[
            &self.code.root(),
            &[self.code.height()],
            &self.memory.root(),
            &[self.memory.height()],
            &self.entry.to_be_bytes(),
        ])
    }
}

impl core::fmt::Debug for Program {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Program")
            .field("entry", &self.entry)
            .field("code", &self.code)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
