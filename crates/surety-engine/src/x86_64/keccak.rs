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

#[cfg(test)]
mod tests {
    use std::ptr;

    use surety_machine::{DataMemory, Tree};

    use super::{
        super::{assembler::AC, flat::Flat},
        *,
    };
    use crate::intrinsics::{A0, Host, RA, Space, all};

    const SP: usize = 2;

    /// Calls as translated code does, with the check of alignment.
    fn run(call: Call, registers: &mut [u32; 32], flat: &mut Flat, steps: u64) -> i64 {
        /// A frame's registers are aligned so.
        #[repr(align(16))]
        struct Frame([u32; 32]);
        let mut frame = Frame(*registers);
        let layout = flat.layout();
        // Behind the chunks that there are, something that looks like one that can be written.
        let mut chunks = vec![DIRTY; (1 << (32 - layout.shift)) + 1];
        for (at, chunk) in chunks
            .iter_mut()
            .take((layout.size >> layout.shift) as usize)
            .enumerate()
        {
            // SAFETY: there are that many.
            *chunk = unsafe { layout.chunks.add(at).read() };
        }
        let mut context = Context {
            registers: [0; 32],
            hosts: [0; 16],
            memory: flat.start(),
            steps: 0,
            pc: 0,
            reason: 0,
            fault: 0,
            fault_rax: 0,
            call: declined,
            keccak: call,
            layout: Layout {
                chunks: chunks.as_ptr(),
                ..layout
            },
            code: ptr::null(),
            flat,
            panic: None,
        };
        let result: i64;
        // SAFETY: registers and a context as translated code has them; the check is off again after it.
        unsafe {
            std::arch::asm!(
                "pushfq",
                "or dword ptr [rsp], {ac}",
                "popfq",
                "call {call}",
                "pushfq",
                "and dword ptr [rsp], {not_ac}",
                "popfq",
                ac = const AC as i32,
                not_ac = const !AC as i32,
                call = in(reg) call,
                in("rdi") frame.0.as_mut_ptr(),
                in("rsi") &raw mut context,
                in("rdx") steps,
                in("rcx") 0,
                lateout("rax") result,
                clobber_abi("sysv64"),
            );
        }
        *registers = frame.0;
        result
    }

    /// Against [`Intrinsic::apply`](crate::intrinsics::Intrinsic::apply), and it takes just the calls that it may take.
    #[test]
    fn p3_keccak_is_taken_where_nothing_can_fault_and_does_the_same() {
        // Where the processor lacks what it takes, no call is taken.
        let here = std::arch::is_x86_feature_detected!("avx512vl");
        let call = call();
        let other = all().iter().find(|known| known.host() == Host::KeccakF).unwrap();
        let mut seed = 7_u64;
        let mut random = |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (((seed >> 32) * u64::from(below)) >> 32) as u32
        };
        let mut taken = 0;
        for turn in 0..500 {
            // One chunk, four, and all that there can be.
            let (height, shift) = [(11, 16), (13, 16), (27, 18)][turn % 3];
            let [mut flat, mut memory] = [(); 2].map(|()| Flat::new(Tree::zero(height)).unwrap());
            let size = Space::size(&flat);
            assert_eq!((size, flat.layout().shift), (32 << height, shift));
            let chunks = (size >> shift) as u32;
            let mut dirty = vec![false; chunks as usize];
            for _ in 0..20 {
                if random(8) == 0 {
                    flat.tree();
                    dirty.fill(false);
                }
                // Of many chunks, those at both ends.
                let mut chunk = || match random(4) {
                    at @ 0..2 => at.min(chunks - 1),
                    at => chunks.saturating_sub(at - 1),
                };
                for _ in 0..4 {
                    let chunk = chunk();
                    dirty[chunk as usize] = true;
                    let at = (chunk << shift) + taken;
                    for memory in [&mut flat, &mut memory] {
                        Space::write(memory, at, 1).unwrap().fill(taken as u8);
                    }
                }
                let mut registers: [u32; 32] = std::array::from_fn(|_| random(u32::MAX));
                let mut place = |length: u32| {
                    let place = match random(8) {
                        0 => (size as u32).wrapping_sub(length),
                        1 => random(2 * length),
                        2 => (size as u32).wrapping_add(random(9)).wrapping_sub(4),
                        3 => 0_u32.wrapping_sub(random(2 * length)),
                        4 | 5 => (random(chunks.min(4)) << shift).wrapping_sub(random(2 * length)),
                        _ => random(size.min(1 << 20) as u32),
                    };
                    if random(8) == 0 { place } else { place & !15 }
                };
                registers[A0] = place(STATE);
                registers[SP] = place(FRAME).wrapping_add(FRAME);
                match random(8) {
                    0 => registers[A0] = registers[SP].wrapping_add(8 * random(3)).wrapping_sub(8),
                    1 => {
                        registers[A0] = registers[SP]
                            .wrapping_sub(FRAME + STATE + 8)
                            .wrapping_add(8 * random(3))
                    }
                    2 => registers[A0] = registers[SP].wrapping_sub(8 * random(80)),
                    _ => {}
                }
                registers[RA] &= !u32::from(random(8) != 0) & !(2 * u32::from(random(8) != 0));
                registers[0] = 0;
                let steps = match random(8) {
                    0 => STEPS - 1,
                    1 => u64::MAX,
                    _ => STEPS + u64::from(random(2)),
                };

                let (state, top) = (u64::from(registers[A0]), u64::from(registers[SP]));
                let below = top.checked_sub(FRAME.into());
                let writable = |from: u64, to: u64| (from >> shift..=(to - 1) >> shift).all(|at| dirty[at as usize]);
                let takes = here
                    && steps >= STEPS
                    && registers[RA].is_multiple_of(4)
                    && state.is_multiple_of(8)
                    && top.is_multiple_of(16)
                    && state + u64::from(STATE) <= size
                    && top <= size
                    && below.is_some_and(|below| {
                        (state >= top || state + u64::from(STATE) <= below)
                            && writable(state, state + u64::from(STATE))
                            && writable(below, top)
                    });
                let mut found = registers;
                let result = run(call, &mut found, &mut flat, steps);
                if takes {
                    let applied = other.apply(&mut registers, &mut memory, steps).unwrap();
                    assert_eq!(result, applied.steps as i64);
                    taken += 1;
                } else {
                    assert_eq!(result, 0, "{registers:x?}");
                }
                assert_eq!(found, registers);
                let mut same = registers;
                assert_eq!(run(declined, &mut same, &mut flat, steps), 0);
                assert_eq!(same, registers);
            }
            assert_eq!(flat.tree().root(), memory.tree().root());
        }
        assert_eq!(taken > 1_000, here, "{taken}");
    }
}
