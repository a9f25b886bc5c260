//! Data memory as a running machine sees it: a flat table of pages over a [`Tree`].

use crate::hash::Hash;
use crate::isa::Width;
use crate::tree::{LEAF_BYTES, OneByOne, PAGE_BYTES, Page, PageBytes, Proof, Tree};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Where a machine keeps its data memory: the interpreter in [`Memory`], another engine where it is fastest for it.
///
/// Memory has 2^height leaves of 32 bytes, and holds what was last written.
pub trait DataMemory {
    /// How many bytes there are: at most 2^32.
    fn size(&self) -> u64;

    /// Memory has 2^height leaves.
    fn height(&self) -> u8;

    /// The number at an address that is a multiple of its width, zero-extended; `None` outside memory.
    fn load(&mut self, address: u32, width: Width) -> Option<u32>;

    /// Writes the low bytes of `value` at an address that is a multiple of the width; `None` outside memory.
    fn store(&mut self, address: u32, width: Width, value: u32) -> Option<()>;

    /// `length` bytes at `address`, which lie within one leaf; `None` if they do not, or outside memory.
    fn bytes(&mut self, address: u32, length: usize) -> Option<&[u8]>;

    /// Writes bytes that lie within one leaf; `None` if they do not, or outside memory.
    fn write(&mut self, address: u32, bytes: &[u8]) -> Option<()>;

    /// Copies `length` bytes from anywhere in memory; `None` if they are not all within it.
    #[must_use]
    fn copy(&mut self, address: u32, length: u32) -> Option<Vec<u8>>;

    /// The tree of what memory holds now. Hashes what was written since the last call.
    fn tree(&mut self) -> &Tree;
}

/// Sparse data memory. Pages are allocated when first written, and hashed only when written since the last hashing.
pub struct Memory {
    /// As of the last hashing.
    tree: Tree,
    slots: Vec<Slot>,
    /// The numbers of the pages that are `Slot::Written`.
    written: Vec<u32>,
}

/// Where a page is.
enum Slot {
    /// Not looked at yet: in the tree, or zero.
    Unread,
    /// As in the tree.
    Read(Arc<Page>),
    /// Written since the last hashing.
    Written(Box<PageBytes>),
}

const PAGE_SHIFT: u32 = PAGE_BYTES.ilog2();

const fn offset(address: u32) -> usize {
    address as usize & (PAGE_BYTES - 1)
}

/// An aligned little-endian number, zero-extended.
#[inline(always)]
fn read(page: &PageBytes, address: u32, width: Width) -> u32 {
    // The masks tell the compiler that the access is within the page; an aligned one always is.
    let at = offset(address);
    match width {
        Width::Byte => u32::from(page[at]),
        Width::Half => {
            let at = at & (PAGE_BYTES - 2);
            u32::from(u16::from_le_bytes([page[at], page[at + 1]]))
        }
        Width::Word => {
            let at = at & (PAGE_BYTES - 4);
            u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
        }
    }
}

#[inline(always)]
fn write(page: &mut PageBytes, address: u32, width: Width, value: u32) {
    let at = offset(address);
    match width {
        Width::Byte => page[at] = value as u8,
        Width::Half => {
            let at = at & (PAGE_BYTES - 2);
            page[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
        }
        Width::Word => {
            let at = at & (PAGE_BYTES - 4);
            page[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
}

impl Memory {
    /// Memory that starts as `tree`.
    #[must_use]
    pub fn new(tree: Tree) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(tree.page_count(), || Slot::Unread);
        Memory {
            tree,
            slots,
            written: Vec::new(),
        }
    }

    /// Memory has 2^height leaves.
    #[must_use]
    pub fn height(&self) -> u8 {
        self.tree.height()
    }

    /// How many bytes there are: at most 2^32.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The page's bytes, or `None` outside memory.
    fn page(&mut self, address: u32) -> Option<&PageBytes> {
        let number = address >> PAGE_SHIFT;
        let slot = self.slots.get_mut(number as usize)?;
        if let Slot::Unread = slot {
            *slot = Slot::Read(self.tree.page(number).clone());
        }
        match slot {
            Slot::Read(page) => Some(&page.bytes),
            Slot::Written(bytes) => Some(bytes),
            Slot::Unread => None,
        }
    }

    fn page_mut(&mut self, address: u32) -> Option<&mut PageBytes> {
        let number = address >> PAGE_SHIFT;
        let slot = self.slots.get_mut(number as usize)?;
        let bytes = match slot {
            Slot::Written(_) => None,
            Slot::Read(page) => Some(Box::new(page.bytes)),
            Slot::Unread => Some(Box::new(self.tree.page(number).bytes)),
        };
        if let Some(bytes) = bytes {
            *slot = Slot::Written(bytes);
            self.written.push(number);
        }
        match slot {
            Slot::Written(bytes) => Some(bytes),
            Slot::Read(_) | Slot::Unread => None,
        }
    }

    #[cold]
    fn load_first(&mut self, address: u32, width: Width) -> Option<u32> {
        self.page(address).map(|page| read(page, address, width))
    }

    #[cold]
    fn store_first(&mut self, address: u32, width: Width, value: u32) -> Option<()> {
        self.page_mut(address).map(|page| write(page, address, width, value))
    }

    /// Puts bytes anywhere in memory, as no program can: for loaders, tests and debuggers. `None`, and nothing is
    /// written, if they are not all within memory.
    pub fn put(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        if u64::from(address) + bytes.len() as u64 > self.size() {
            return None;
        }
        let mut address = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(PAGE_BYTES - offset(address)));
            self.write(address, piece)?;
            address = address.wrapping_add(piece.len() as u32);
            rest = tail;
        }
        Some(())
    }

    /// Copies `length` bytes from anywhere in memory; `None` if they are not all within it.
    #[must_use]
    pub fn copy(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        if u64::from(address) + u64::from(length) > self.size() {
            return None;
        }
        let mut copy = Vec::new();
        let (mut address, mut left) = (address, length as usize);
        while left > 0 {
            let piece = left.min(PAGE_BYTES - offset(address));
            copy.extend_from_slice(self.bytes(address, piece)?);
            // The address after the last byte may be 2^32, which is not read.
            address = address.wrapping_add(piece as u32);
            left -= piece;
        }
        Some(copy)
    }

    /// The tree of what memory holds now. Hashes what was written since the last call.
    pub fn tree(&mut self) -> &Tree {
        if !self.written.is_empty() {
            self.written.sort_unstable();
            let slots = &self.slots;
            let changed = self
                .written
                .iter()
                .filter_map(|&number| match slots.get(number as usize) {
                    Some(Slot::Written(bytes)) => Some((number, &**bytes)),
                    _ => None,
                });
            for (number, page) in self.tree.update(changed, &OneByOne) {
                if let Some(slot) = self.slots.get_mut(number as usize) {
                    *slot = Slot::Read(page);
                }
            }
            self.written.clear();
        }
        &self.tree
    }

    /// The memory root.
    pub fn root(&mut self) -> Hash {
        self.tree().root()
    }

    /// The proof of the leaf that holds `address`.
    pub fn prove(&mut self, address: u32) -> Proof {
        self.tree().prove(address / LEAF_BYTES as u32)
    }
}

impl DataMemory for Memory {
    fn size(&self) -> u64 {
        Memory::size(self)
    }

    fn height(&self) -> u8 {
        Memory::height(self)
    }

    #[inline(always)]
    fn load(&mut self, address: u32, width: Width) -> Option<u32> {
        match self.slots.get((address >> PAGE_SHIFT) as usize) {
            Some(Slot::Read(page)) => Some(read(&page.bytes, address, width)),
            Some(Slot::Written(bytes)) => Some(read(bytes, address, width)),
            _ => self.load_first(address, width),
        }
    }

    #[inline(always)]
    fn store(&mut self, address: u32, width: Width, value: u32) -> Option<()> {
        match self.slots.get_mut((address >> PAGE_SHIFT) as usize) {
            Some(Slot::Written(bytes)) => {
                write(bytes, address, width, value);
                Some(())
            }
            _ => self.store_first(address, width, value),
        }
    }

    fn bytes(&mut self, address: u32, length: usize) -> Option<&[u8]> {
        let at = offset(address);
        self.page(address)?.get(at..at.checked_add(length)?)
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        let at = offset(address);
        self.page_mut(address)?
            .get_mut(at..at.checked_add(bytes.len())?)?
            .copy_from_slice(bytes);
        Some(())
    }

    fn copy(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        Memory::copy(self, address, length)
    }

    fn tree(&mut self) -> &Tree {
        Memory::tree(self)
    }
}

impl Clone for Memory {
    /// Copies the pages written since the last hashing; the rest is shared.
    fn clone(&self) -> Self {
        let mut memory = Memory::new(self.tree.clone());
        for &number in &self.written {
            if let (Some(Slot::Written(bytes)), Some(copy)) =
                (self.slots.get(number as usize), memory.slots.get_mut(number as usize))
            {
                *copy = Slot::Written(bytes.clone());
                memory.written.push(number);
            }
        }
        memory
    }
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory")
            .field("height", &self.height())
            .field("written", &self.written.len())
            .finish()
    }
}
