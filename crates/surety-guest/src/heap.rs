//! The allocator: a bump pointer over the memory that `entry!` declares.
//!
//! A program answers one call and ends, so memory is given back only where that is free: the last allocation can
//! grow, shrink and go in place. Blocks of 32 bytes or more start at a multiple of 32, where READ and WRITE move a
//! whole leaf a step.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

unsafe extern "C" {
    static __heap_start: u8;
    static __heap_end: u8;
}

struct Bump {
    /// The first free address; 0 before the first allocation.
    next: Cell<usize>,
    /// Memory from here on has never been handed out, so it is still zero.
    fresh: Cell<usize>,
}

// SAFETY: the machine has one thread.
unsafe impl Sync for Bump {}

#[global_allocator]
static HEAP: Bump = Bump {
    next: Cell::new(0),
    fresh: Cell::new(0),
};

const LEAF: usize = 32;

fn end() -> usize {
    (&raw const __heap_end) as usize
}

impl Bump {
    /// Moves the end of the last allocation, if it fits.
    fn claim(&self, start: usize, size: usize) -> bool {
        match start.checked_add(size) {
            Some(next) if next <= end() => {
                self.next.set(next);
                self.fresh.set(self.fresh.get().max(next));
                true
            }
            _ => false,
        }
    }

    fn place(&self, layout: Layout) -> Option<usize> {
        let align = if layout.size() >= LEAF {
            layout.align().max(LEAF)
        } else {
            layout.align().max(4)
        };
        let next = match self.next.get() {
            0 => (&raw const __heap_start) as usize,
            next => next,
        };
        let start = next.checked_next_multiple_of(align)?;
        self.claim(start, layout.size()).then_some(start)
    }
}

// SAFETY: `place` hands out disjoint blocks between the linker's bounds of the heap, aligned as asked; `realloc`
// moves the bump pointer only when the block is the last one.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.place(layout)
            .map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let fresh = self.fresh.get();
        let Some(start) = self.place(layout) else {
            return ptr::null_mut();
        };
        let block = ptr::with_exposed_provenance_mut::<u8>(start);
        let used = fresh.saturating_sub(start).min(layout.size());
        // SAFETY: `used` is at most the size of the block just placed.
        unsafe { block.write_bytes(0, used) };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block as usize + layout.size() == self.next.get() {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_last = block as usize + layout.size() == self.next.get();
        // A small block may lie off the leaves; it moves once when it outgrows one.
        let keeps_place = size < LEAF || block as usize % LEAF == 0;
        if is_last && keeps_place {
            return if self.claim(block as usize, size) {
                block
            } else {
                ptr::null_mut()
            };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: `size` is not zero and the caller vouches that it does not overflow with this alignment.
        let layout_new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above; the new block is at least as large as the old one and apart from it.
        unsafe {
            let moved = self.alloc(layout_new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size());
            }
            moved
        }
    }
}
