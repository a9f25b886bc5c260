//! The most products of bytes that the host adds up in a second, and how much of that a guest's matrix product reaches.

use super::guest::Guest;
use super::{ratios, spread};
use crate::clock::Clock;
use anyhow::Result;
use serde_json::{Value, json};

/// For how long the host's peak is looked for in a round, in parts: the fastest counts.
const PARTS: u32 = 20;
/// Turns of a kernel in a part: some milliseconds.
const TURNS: u64 = 500_000;

/// A loop of vector instructions that multiply bytes and add up: those of the engine's `intrinsics/matrix/kernel.rs`, without
/// its loads. No addition waits for another that is near.
struct Kernel {
    instruction: &'static str,
    /// Products in a turn.
    products: u32,
    /// Takes some turns.
    ///
    /// Safe to call where [`best`] gives it.
    run: unsafe fn(u64),
}

/// Products of vectors of 64 bytes, each added to the sum of four neighbours: 14 sums by turns.
#[cfg(target_arch = "x86_64")]
const VNNI: Kernel = Kernel {
    instruction: "vpdpbusd zmm",
    products: 14 * 64,
    run: x86::vnni,
};

/// Products of vectors of 16 numbers of 16 bits, pairs of them added; then added to the sums: 12 by turns.
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel {
    instruction: "vpmaddwd, vpaddd ymm",
    products: 12 * 16,
    run: x86::avx2,
};

/// What the engine takes here; none if that is no vector instruction.
#[cfg(target_arch = "x86_64")]
fn best() -> Option<Kernel> {
    if is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512f")
    {
        Some(VNNI)
    } else {
        is_x86_feature_detected!("avx2").then_some(AVX2)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Option<Kernel> {
    None
}

impl Kernel {
    /// Products in a second.
    fn peak(&self, clock: Clock) -> Result<f64> {
        let mut least = f64::INFINITY;
        for _ in 0..PARTS {
            let work = || {
                // SAFETY: this processor has the instructions.
                unsafe { (self.run)(TURNS) };
                Ok(())
            };
            least = least.min(clock.time(work)?.1);
        }
        Ok(TURNS as f64 * f64::from(self.products) / least)
    }
}

/// Products a second of a guest that multiplies matrices, whole calls, over the host's peak.
pub(super) fn matrix(guest: &mut Guest, rounds: usize, clock: Clock) -> Result<Value> {
    let kernel = best();
    let mut peaks = Vec::new();
    guest.measure(rounds, clock, || {
        if let Some(kernel) = &kernel {
            peaks.push(kernel.peak(clock)?);
        }
        Ok(())
    })?;
    let [rows, columns] = guest.case.rows;
    let products = f64::from(rows) * f64::from(columns) * f64::from(guest.case.length);
    let reached: Vec<f64> = guest.with.iter().map(|call| products / call).collect();
    let mut result = json!({
        "rows": rows,
        "columns": columns,
        "depth": guest.case.length,
        "guest_products_per_ns": spread(&reached, 1e-9)?,
        "instruction": kernel.as_ref().map(|kernel| kernel.instruction),
        "peak_products_per_ns": null,
        "of_peak": { "median": null },
    });
    if kernel.is_some() {
        result["peak_products_per_ns"] = spread(&peaks, 1e-9)?;
        result["of_peak"] = spread(&ratios(&reached, &peaks), 1.0)?;
    }
    Ok(result)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    /// # Safety
    /// The processor has AVX-512 F and VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn vnni(turns: u64) {
        let numbers: [u8; 128] = std::array::from_fn(|i| (i as u8).wrapping_mul(73) ^ 0x5a);
        // SAFETY: reads 128 bytes, and changes what it says it does.
        unsafe {
            asm!(
                "vmovdqu64 zmm14, [{numbers}]",
                "vmovdqu64 zmm15, [{numbers} + 64]",
                ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
                "vpxorq zmm\\sum, zmm\\sum, zmm\\sum",
                ".endr",
                ".p2align 5",
                "2:",
                ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
                "vpdpbusd zmm\\sum, zmm14, zmm15",
                ".endr",
                "dec {turns}",
                "jnz 2b",
                numbers = in(reg) numbers.as_ptr(),
                turns = inout(reg) turns.max(1) => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                options(nostack, readonly),
            );
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(turns: u64) {
        let numbers: [i16; 32] = std::array::from_fn(|i| (i as i16 - 16) * 7);
        // SAFETY: reads 64 bytes, and changes what it says it does.
        unsafe {
            asm!(
                "vmovdqu ymm14, [{numbers}]",
                "vmovdqu ymm15, [{numbers} + 32]",
                ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                "vpxor ymm\\sum, ymm\\sum, ymm\\sum",
                ".endr",
                ".p2align 5",
                "2:",
                ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                "vpmaddwd ymm12, ymm14, ymm15",
                "vpaddd ymm\\sum, ymm\\sum, ymm12",
                ".endr",
                "dec {turns}",
                "jnz 2b",
                numbers = in(reg) numbers.as_ptr(),
                turns = inout(reg) turns.max(1) => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm14") _, out("ymm15") _,
                options(nostack, readonly),
            );
        }
    }
}
