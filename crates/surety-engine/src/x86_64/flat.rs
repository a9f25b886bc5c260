//! Guest memory as one piece of the host's, so that an access is one instruction.
//!
//! The guest's 4 GiB are reserved with guards on both sides: whatever address an instruction computes lies within them.
//! Memory comes in chunks: absent until it is first touched, then read from the tree and not writable, then written.
//! Each change of that kind is a fault, taken by [`super::fault`].

use std::{io, ptr::NonNull};

use surety_machine::{DataMemory, LEAF_BYTES, PAGE_BYTES, Tree, Width};

use super::mapping::Mapping;
use crate::{intrinsics::Space, keccak::Lanes};

/// On each side of guest memory: more than an instruction's displacement.
const GUARD: usize = 1 << 16;
/// All that 32 bits can address.
const REACH: usize = 1 << 32;
/// The most chunks there are, which bounds the faults between two hashings and the system's list of mappings.
const MAX_CHUNKS: usize = 16_384;
/// The smallest chunk, bytes.
const MIN_CHUNK: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// Not looked at yet: what it holds is in the tree.
    Absent,
    /// As in the tree; it cannot be written.
    Clean,
    /// Written since the last hashing.
    Dirty,
}

/// A machine's data memory, flat.
#[derive(Debug)]
pub(crate) struct Flat(NonNull<Memory>);

// SAFETY: it owns what it points to, which is plain data.
unsafe impl Send for Flat {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Flat {}

/// What a [`Flat`] is made of. It lies behind a pointer because translated code changes it, through the handler of its
/// faults, while the machine that owns it is borrowed.
#[derive(Debug)]
pub(super) struct Memory {
    mapping: Mapping,
    tree: Tree,
    /// Bytes in a chunk, as a power of two.
    shift: u32,
    chunks: Vec<Chunk>,
    dirty: usize,
    lanes: Lanes,
}

impl Flat {
    /// Memory that starts as `tree`.
    pub(super) fn new(tree: Tree) -> io::Result<Self> {
        let memory = Box::new(Memory::new(tree)?);
        Ok(Flat(NonNull::from(Box::leak(memory))))
    }

    /// For the handler of faults.
    pub(super) fn pointer(&self) -> *mut Memory {
        self.0.as_ptr()
    }

    fn get(&self) -> &Memory {
        // SAFETY: made by `new`, freed when `self` is dropped; translated code, which may change it, does not run meanwhile.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut Memory {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    /// The guest's address 0.
    pub(super) fn start(&self) -> *mut u8 {
        self.get().start()
    }
}

impl Drop for Flat {
    fn drop(&mut self) {
        // SAFETY: made of a box by `new`, and not used after this.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Memory {
    fn new(tree: Tree) -> io::Result<Self> {
        let size = tree.size() as usize;
        let chunk = (size / MAX_CHUNKS)
            .max(MIN_CHUNK)
            .min(size.next_multiple_of(PAGE_BYTES));
        Ok(Memory {
            mapping: Mapping::reserve(GUARD + REACH + GUARD)?,
            shift: chunk.trailing_zeros(),
            chunks: vec![Chunk::Absent; size.div_ceil(chunk)],
            tree,
            dirty: 0,
            lanes: Lanes::detect(),
        })
    }

    /// The guest's address 0.
    fn start(&self) -> *mut u8 {
        self.mapping.at(GUARD)
    }

    /// The guest address of a host address, if it is in memory.
    pub(super) fn guest(&self, host: u64) -> Option<u32> {
        let offset = host.checked_sub(self.start() as u64)?;
        (offset < self.tree.size()).then_some(offset as u32)
    }

    /// Makes the chunk at a guest address readable, or writable. False if that changes nothing, or cannot be done.
    ///
    /// Called from the handler of faults too: it allocates nothing and takes no locks.
    pub(super) fn make(&mut self, address: u32, write: bool) -> bool {
        let number = (address >> self.shift) as usize;
        let Some(chunk) = self.chunks.get_mut(number) else {
            return false;
        };
        let (offset, length) = (number << self.shift, 1_usize << self.shift);
        let read_write = libc::PROT_READ | libc::PROT_WRITE;
        let to = match (*chunk, write) {
            (Chunk::Dirty, _) | (Chunk::Clean, false) => return false,
            (Chunk::Clean, true) => {
                if self.mapping.protect(GUARD + offset, length, read_write).is_err() {
                    return false;
                }
                Chunk::Dirty
            }
            (Chunk::Absent, _) => {
                if self.mapping.protect(GUARD + offset, length, read_write).is_err() {
                    return false;
                }
                for at in (offset..offset + length).step_by(PAGE_BYTES) {
                    if let Some(bytes) = self.tree.page_bytes((at / PAGE_BYTES) as u32) {
                        // SAFETY: within the chunk, which was just made writable; a page is copied whole.
                        unsafe {
                            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.mapping.at(GUARD + at), PAGE_BYTES)
                        };
                    }
                }
                if write {
                    Chunk::Dirty
                } else if self.mapping.protect(GUARD + offset, length, libc::PROT_READ).is_ok() {
                    Chunk::Clean
                } else {
                    Chunk::Dirty
                }
            }
        };
        self.dirty += usize::from(to == Chunk::Dirty);
        *chunk = to;
        true
    }

    /// A range that can be read, or written: its host address. `None` if it is not all in memory.
    fn range(&mut self, address: u32, length: u32, write: bool) -> Option<*mut u8> {
        if u64::from(address) + u64::from(length) > self.tree.size() {
            return None;
        }
        if length > 0 {
            let last = address + (length - 1);
            for number in (address >> self.shift)..=(last >> self.shift) {
                let ready = match self.chunks.get(number as usize)? {
                    Chunk::Dirty => true,
                    Chunk::Clean => !write,
                    Chunk::Absent => false,
                };
                if !ready && !self.make(number << self.shift, write) {
                    return None;
                }
            }
        }
        Some(self.mapping.at(GUARD + address as usize))
    }
}

impl DataMemory for Flat {
    fn size(&self) -> u64 {
        self.get().tree.size()
    }

    fn height(&self) -> u8 {
        self.get().tree.height()
    }

    fn load(&mut self, address: u32, width: Width) -> Option<u32> {
        let from = self.get_mut().range(address, width as u32, false)?;
        // SAFETY: that many bytes can be read there.
        Some(unsafe {
            match width {
                Width::Byte => u32::from(from.read()),
                Width::Half => u32::from(from.cast::<u16>().read_unaligned()),
                Width::Word => from.cast::<u32>().read_unaligned(),
            }
        })
    }

    fn store(&mut self, address: u32, width: Width, value: u32) -> Option<()> {
        let to = self.get_mut().range(address, width as u32, true)?;
        // SAFETY: that many bytes can be written there.
        unsafe {
            match width {
                Width::Byte => to.write(value as u8),
                Width::Half => to.cast::<u16>().write_unaligned(value as u16),
                Width::Word => to.cast::<u32>().write_unaligned(value),
            }
        }
        Some(())
    }

    fn bytes(&mut self, address: u32, length: usize) -> Option<&[u8]> {
        if address as usize % LEAF_BYTES + length > LEAF_BYTES {
            return None;
        }
        Space::read(self, address, length as u32)
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        if address as usize % LEAF_BYTES + bytes.len() > LEAF_BYTES {
            return None;
        }
        Space::write(self, address, bytes.len() as u32)?.copy_from_slice(bytes);
        Some(())
    }

    fn copy(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        Space::read(self, address, length).map(<[u8]>::to_vec)
    }

    fn tree(&mut self) -> &Tree {
        if self.get().dirty == 0 {
            return &self.get().tree;
        }
        let Memory {
            mapping,
            tree,
            shift,
            chunks,
            dirty,
            lanes,
        } = self.get_mut();
        let (length, size) = (1_usize << *shift, tree.size() as usize);
        let numbers: Vec<usize> = (0..chunks.len())
            .filter(|n| chunks.get(*n) == Some(&Chunk::Dirty))
            .collect();
        let old = tree.clone();
        let pages = numbers.iter().flat_map(|number| {
            let start = number << *shift;
            (start..(start + length).min(size.max(PAGE_BYTES))).step_by(PAGE_BYTES)
        });
        let changed = pages.filter_map(|at| {
            let number = (at / PAGE_BYTES) as u32;
            // SAFETY: a page of a dirty chunk, which can be read, and nothing writes while `self` is borrowed.
            let bytes = unsafe { &*mapping.at(GUARD + at).cast::<[u8; PAGE_BYTES]>() };
            let same = match old.page_bytes(number) {
                Some(before) => before == bytes,
                None => is_zero(bytes),
            };
            (!same).then_some((number, bytes))
        });
        tree.update_pages(changed, lanes);
        for number in numbers {
            // Where it cannot be protected again it stays dirty, and is compared again.
            if mapping
                .protect(GUARD + (number << *shift), length, libc::PROT_READ)
                .is_ok()
                && let Some(chunk) = chunks.get_mut(number)
            {
                *chunk = Chunk::Clean;
                *dirty -= 1;
            }
        }
        tree
    }
}

fn is_zero(bytes: &[u8; PAGE_BYTES]) -> bool {
    let (words, _) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0)
}

impl Space for Flat {
    fn size(&self) -> u64 {
        self.get().tree.size()
    }

    fn read(&mut self, address: u32, length: u32) -> Option<&[u8]> {
        let from = self.get_mut().range(address, length, false)?;
        // SAFETY: that many bytes can be read there, and nothing writes while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts(from, length as usize) })
    }

    fn write(&mut self, address: u32, length: u32) -> Option<&mut [u8]> {
        let to = self.get_mut().range(address, length, true)?;
        // SAFETY: that many bytes can be read and written there, and nobody else does while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts_mut(to, length as usize) })
    }

    fn split<const N: usize>(&mut self, reads: [(u32, u32); N], write: (u32, u32)) -> Option<([&[u8]; N], &mut [u8])> {
        let end = |(address, length): (u32, u32)| u64::from(address) + u64::from(length);
        let mut parts = [&[][..]; N];
        for (part, read) in parts.iter_mut().zip(reads) {
            if u64::from(read.0) < end(write) && u64::from(write.0) < end(read) {
                return None;
            }
            let from = self.get_mut().range(read.0, read.1, false)?;
            // SAFETY: that many bytes can be read there; what is written while the result lives lies apart.
            *part = unsafe { std::slice::from_raw_parts(from, read.1 as usize) };
        }
        let to = self.get_mut().range(write.0, write.1, true)?;
        // SAFETY: that many bytes can be read and written there, and none of `parts` overlaps them.
        Some((parts, unsafe { std::slice::from_raw_parts_mut(to, write.1 as usize) }))
    }
}
