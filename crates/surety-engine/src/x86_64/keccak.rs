//! Keccak-f as translated code calls it without switching off the check of alignment, which takes a third of the time of
//! the whole permutation: in assembly, since Rust code must not run with it.

use std::mem::offset_of;

use super::{
    flat::{DIRTY, Layout},
    frame::{Call, Context},
};
use crate::intrinsics::keccak::{FRAME, STATE, STEPS, with_vectors};

/// The fastest that this processor can run.
pub(super) fn call() -> Call {
    if std::arch::is_x86_feature_detected!("avx512vl") {
        vectors
    } else {
        declined
    }
}

/// Leaves every call to the other way.
///
/// # Safety
/// None is needed.
#[unsafe(naked)]
unsafe extern "sysv64" fn declined(_: *mut [u32; 32], _: *mut Context, _: u64, _: u32) -> i64 {
    std::arch::naked_asm!("xor eax, eax", "ret")
}

/// As [`Intrinsic::apply`](crate::intrinsics::Intrinsic::apply) for `surety_keccak_f`; it declines also where the state or
/// the stack is not aligned as compilers align them, or has not been written since the last hashing.
///
/// # Safety
/// As [`Call`] says; the processor has AVX-512VL and BMI2, the latter of which all translated code uses.
#[unsafe(naked)]
unsafe extern "sysv64" fn vectors(_: *mut [u32; 32], _: *mut Context, _: u64, _: u32) -> i64 {
    /// A guest register's offset.
    const fn at(register: usize) -> usize {
        4 * register
    }
    const LAYOUT: usize = offset_of!(Context, layout);
    std::arch::naked_asm!(
        "mov r11, rdi",
        "cmp rdx, {steps}",
        "jb 3f",
        "test byte ptr [rdi + {ra}], 3",
        "jnz 3f",
        "mov edi, [r11 + {a0}]",
        "test dil, 7",
        "jnz 3f",
        "mov r10d, [r11 + {sp}]",
        "test r10b, 15",
        "jnz 3f",
        // Where each ends: within memory, and apart.
        "mov r9, r10",
        "sub r10, {frame}",
        "jb 3f",
        "mov rcx, [rsi + {size}]",
        "cmp r9, rcx",
        "ja 3f",
        "lea r8, [rdi + {state}]",
        "cmp r8, rcx",
        "ja 3f",
        "cmp r9, rdi",
        "jbe 2f",
        "cmp r8, r10",
        "ja 3f",
        "2:",
        // No range is longer than a chunk of memory: what can be written at both ends can be written.
        "mov rcx, [rsi + {shift}]",
        "mov rax, [rsi + {chunks}]",
        "dec r8",
        "dec r9",
        "shrx r8, r8, rcx",
        "shrx r9, r9, rcx",
        "cmp byte ptr [rax + r8], {dirty}",
        "jne 3f",
        "cmp byte ptr [rax + r9], {dirty}",
        "jne 3f",
        "shrx r8, rdi, rcx",
        "shrx r9, r10, rcx",
        "cmp byte ptr [rax + r8], {dirty}",
        "jne 3f",
        "cmp byte ptr [rax + r9], {dirty}",
        "jne 3f",
        // Nothing faults from here on.
        "add rdi, [rsi + {memory}]",
        "add r10, [rsi + {memory}]",
        "call {with_vectors}",
        "vpxor xmm0, xmm0, xmm0",
        "lea rax, [r10 + {frame}]",
        "4:",
        "vmovdqa [r10], xmm0",
        "vmovdqa [r10 + 16], xmm0",
        "add r10, 32",
        "cmp r10, rax",
        "jb 4b",
        // T0 to T2, A1 to A6, T3 to T6.
        "xor eax, eax",
        "mov [r11 + 20], eax",
        "mov [r11 + 24], rax",
        "mov [r11 + 44], eax",
        "mov [r11 + 48], rax",
        "mov [r11 + 56], rax",
        "mov [r11 + 64], eax",
        "mov [r11 + 112], rax",
        "mov [r11 + 120], rax",
        "mov eax, {steps}",
        "ret",
        "3:",
        "xor eax, eax",
        "ret",
        steps = const STEPS,
        frame = const FRAME,
        state = const STATE,
        ra = const at(1),
        sp = const at(2),
        a0 = const at(10),
        size = const LAYOUT + offset_of!(Layout, size),
        chunks = const LAYOUT + offset_of!(Layout, chunks),
        shift = const LAYOUT + offset_of!(Layout, shift),
        memory = const offset_of!(Context, memory),
        dirty = const DIRTY,
        with_vectors = sym with_vectors,
    )
}

/// The frame is cleared 32 bytes at a time.
const _: () = assert!(FRAME.is_multiple_of(32));
