//! Guest memory as one piece of the host's, so that an access is one instruction.
//!
//! The guest's 4 GiB are reserved with guards on both sides: whatever address an instruction computes lies within them.
//! Memory comes in chunks: absent until it is first touched, then read from the tree and not writable, then written.
//! Each change of that kind is a fault, taken by [`super::fault`].
//!
//! The host may refuse one, for want of memory or of mappings. What is there is then moved to the interpreter's memory,
//! which goes on: that a host is short of something is never seen in a result.

use std::{
    io,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use surety_machine::{DataMemory, LEAF_BYTES, Memory as Sparse, PAGE_BYTES, Tree, Width};

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
/// The most mappings that the memories of all runs are cut into. Linux lets a process have 65,530 unless told otherwise;
/// at that number not even the node's own allocations succeed.
const MAX_MAPPINGS: usize = 49_152;

/// How many there are, at most.
static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Chunk {
    /// Not looked at yet: what it holds is in the tree.
    Absent,
    /// As in the tree; it cannot be written.
    Clean,
    /// Written since the last hashing.
    Dirty,
}

/// What a chunk that can be written is to code in assembly.
pub(super) const DIRTY: u8 = Chunk::Dirty as u8;

/// What code in assembly needs to know of memory. It stays while translated code runs, but for the chunks' bytes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Layout {
    /// Bytes of memory.
    pub(super) size: u64,
    /// Bytes in a chunk, as a power of two: a page at least.
    pub(super) shift: u64,
    /// A byte for each chunk: [`DIRTY`] where it can be written.
    pub(super) chunks: *const u8,
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
    /// How many mappings the chunks are, at most: part of [`MAPPINGS`].
    mappings: usize,
    /// Whether the host has refused a chunk.
    refused: bool,
    /// Where memory is since the host refused a chunk that was needed.
    sparse: Option<Sparse>,
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

    pub(super) fn layout(&self) -> Layout {
        let memory = self.get();
        Layout {
            size: memory.tree.size(),
            shift: memory.shift.into(),
            chunks: memory.chunks.as_ptr().cast(),
        }
    }

    /// Whether memory is no longer here, and translated code cannot run on it.
    pub(super) fn is_sparse(&self) -> bool {
        self.get().sparse.is_some()
    }

    /// Memory for an access that could not be made here; `None` if that was not for want of the host's.
    fn sparse(&mut self) -> Option<&mut Sparse> {
        if self.get().refused && !self.is_sparse() {
            let memory = self.get_mut();
            // Memory that can be written may be what is short: hashing needs some. Where this fails, it may not.
            let size = memory.tree.size() as usize;
            let _protected = memory.mapping.protect(GUARD, size, libc::PROT_READ);
            let tree = self.tree().clone();
            let memory = self.get_mut();
            memory.sparse = Some(Sparse::new(tree));
            // What was here is given back, but for as much as `start` wants there to be.
            if let Ok(nothing) = Mapping::reserve(GUARD) {
                memory.mapping = nothing;
                memory.forget_mappings();
            }
        }
        self.get_mut().sparse.as_mut()
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
            mappings: 0,
            refused: false,
            sparse: None,
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

    /// Counts the mappings that come of a chunk's change. False if there would be too many.
    fn count_mappings(&mut self, number: usize, to: Chunk) -> bool {
        let at = |number: Option<usize>| {
            let chunk = number.and_then(|number| self.chunks.get(number));
            chunk.copied().unwrap_or(Chunk::Absent)
        };
        let beside = [at(number.checked_sub(1)), at(number.checked_add(1))];
        let edges = |chunk: Chunk| beside.iter().filter(|other| **other != chunk).count();
        // Chunks that become alike need not become one mapping: what was counted stays, up to one for each.
        let more = edges(to).saturating_sub(edges(at(Some(number))));
        let more = more.min(self.chunks.len() - self.mappings);
        if more > 0 && MAPPINGS.fetch_add(more, Ordering::Relaxed) + more > MAX_MAPPINGS {
            MAPPINGS.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.mappings += more;
        true
    }

    fn forget_mappings(&mut self) {
        MAPPINGS.fetch_sub(self.mappings, Ordering::Relaxed);
        self.mappings = 0;
    }

    /// Makes the chunk at a guest address readable, or writable. False if that changes nothing, or cannot be done.
    ///
    /// Called from the handler of faults too: it allocates nothing and takes no locks.
    pub(super) fn make(&mut self, address: u32, write: bool) -> bool {
        let number = (address >> self.shift) as usize;
        let from = match (self.chunks.get(number), write) {
            (None | Some(Chunk::Dirty), _) | (Some(Chunk::Clean), false) => return false,
            (Some(chunk), _) => *chunk,
        };
        if !self.count_mappings(number, if write { Chunk::Dirty } else { Chunk::Clean }) {
            return false;
        }
        let (offset, length) = (number << self.shift, 1_usize << self.shift);
        let read_write = libc::PROT_READ | libc::PROT_WRITE;
        if self.mapping.protect(GUARD + offset, length, read_write).is_err() {
            return false;
        }
        let to = match from {
            Chunk::Clean | Chunk::Dirty => Chunk::Dirty,
            Chunk::Absent => {
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
        if let Some(chunk) = self.chunks.get_mut(number) {
            self.dirty += usize::from(to == Chunk::Dirty);
            *chunk = to;
        }
        true
    }

    /// A range that can be read, or written: its host address. `None` if it is not all in memory, or the host refuses.
    fn range(&mut self, address: u32, length: u32, write: bool) -> Option<*mut u8> {
        if u64::from(address) + u64::from(length) > self.tree.size() || self.sparse.is_some() {
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
                    self.refused = true;
                    return None;
                }
            }
        }
        Some(self.mapping.at(GUARD + address as usize))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.forget_mappings();
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
        let Some(from) = self.get_mut().range(address, width as u32, false) else {
            return self.sparse()?.load(address, width);
        };
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
        let Some(to) = self.get_mut().range(address, width as u32, true) else {
            return self.sparse()?.store(address, width, value);
        };
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
        let Some(from) = self.get_mut().range(address, length as u32, false) else {
            return self.sparse()?.bytes(address, length);
        };
        // SAFETY: that many bytes can be read there, and nothing writes while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts(from, length) })
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        if address as usize % LEAF_BYTES + bytes.len() > LEAF_BYTES {
            return None;
        }
        match Space::write(self, address, bytes.len() as u32) {
            Some(to) => to.copy_from_slice(bytes),
            None => self.sparse()?.write(address, bytes)?,
        }
        Some(())
    }

    fn copy(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        match Space::read(self, address, length) {
            Some(bytes) => Some(bytes.to_vec()),
            None => self.sparse()?.copy(address, length),
        }
    }

    fn tree(&mut self) -> &Tree {
        if self.is_sparse() {
            let memory = self.get_mut();
            return memory.sparse.as_mut().map_or(&memory.tree, Sparse::tree);
        }
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
            ..
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
