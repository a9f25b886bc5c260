//! What the programs share: a panic handler, an allocator that never frees, random numbers, checksums.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

/// The amount of work: for measuring (about 10^9 steps), or to check all engines quickly.
pub const fn size(full: usize, quick: usize) -> usize {
    if cfg!(feature = "quick") { quick } else { full }
}

/// Marsaglia's xorshift.
pub struct Random(pub u32);

impl Random {
    /// The next number.
    #[inline]
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// FNV-1a, word by word.
#[inline]
pub fn mix_in(sum: u32, value: u32) -> u32 {
    (sum ^ value).wrapping_mul(16_777_619)
}

const HEAP: usize = 8 << 20;

/// Gives out a static block from the start; the block freed last can be given back.
struct Bump {
    block: UnsafeCell<[u64; HEAP / 8]>,
    used: UnsafeCell<usize>,
}

// SAFETY: the programs have one thread.
unsafe impl Sync for Bump {}

// SAFETY: every block lies in `block`, aligned, and overlaps no other that is in use.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference is kept.
        unsafe {
            let base = self.block.get().cast::<u8>();
            let start = (*self.used.get()).next_multiple_of(layout.align().min(8));
            if layout.align() > 8 || layout.size() > HEAP - start {
                return null_mut();
            }
            *self.used.get() = start + layout.size();
            base.add(start)
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            let base = self.block.get().cast::<u8>();
            if block.add(layout.size()) == base.add(*self.used.get()) {
                *self.used.get() -= layout.size();
            }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { block: UnsafeCell::new([0; HEAP / 8]), used: UnsafeCell::new(0) };

/// Ends badly on every target: the harness sees no checksum.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_arch = "riscv32")]
    // SAFETY: traps.
    unsafe {
        core::arch::asm!("unimp", options(noreturn))
    }
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: traps.
    unsafe {
        core::arch::asm!("ud2", options(noreturn))
    }
    #[cfg(not(any(target_arch = "riscv32", target_arch = "wasm32", target_arch = "x86_64")))]
    loop {}
}
