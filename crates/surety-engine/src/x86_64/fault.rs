//! Faults of translated code.
//!
//! Three kinds are expected: the first touch of a chunk of memory, which is made ready and the instruction run again; an
//! access outside memory or misaligned, after which the interpreter takes the instruction; and a jump through the table
//! to an address with bit 0 set or past it. All others are handed to whoever had the signal before.

use std::{
    cell::Cell,
    mem::MaybeUninit,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::{assembler::AC, code::Code, flat::Memory, frame};

/// The run that a thread is in.
struct Active {
    code: std::ops::Range<u64>,
    exit: u64,
    memory: *mut Memory,
}

thread_local! {
    static ACTIVE: Cell<*const Active> = const { Cell::new(std::ptr::null()) };
    static PROBING: Cell<Probe> = const { Cell::new(Probe::No) };
}

#[derive(Clone, Copy, PartialEq)]
enum Probe {
    No,
    Asked,
    Answered,
}

/// Who had SIGSEGV and SIGBUS before.
static BEFORE: [AtomicPtr<libc::sigaction>; 2] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 2];

const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

fn install() -> Result<(), &'static str> {
    static DONE: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *DONE.get_or_init(|| {
        for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
            // SAFETY: zero is a valid value of this plain structure.
            let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let mut old = Box::new(MaybeUninit::<libc::sigaction>::zeroed());
            // SAFETY: asks for the present action only.
            if unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) } != 0 {
                return Err("the system does not say who handles faults");
            }
            // Known before the handler is there, and kept for ever.
            before.store(Box::into_raw(old).cast(), Ordering::Release);
            // SAFETY: the handler is made for this; see `handler`.
            if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
                return Err("the system does not let faults be handled");
            }
        }
        Ok(())
    })
}

/// Whether a misaligned access faults when it is asked to: not on every system that emulates a processor.
pub(super) fn alignment_is_checked() -> Result<(), &'static str> {
    install()?;
    let numbers = [0_u64; 2];
    let _mask = Mask::new();
    PROBING.set(Probe::Asked);
    // SAFETY: a load from within `numbers`; the handler clears the flag and has it done again, or it is cleared here.
    unsafe {
        std::arch::asm!(
            "pushfq",
            "or dword ptr [rsp], {ac}",
            "popfq",
            "mov {to:e}, dword ptr [{from} + 1]",
            "pushfq",
            "and dword ptr [rsp], {not_ac}",
            "popfq",
            ac = const AC as i32,
            not_ac = const !AC as i32,
            from = in(reg) numbers.as_ptr(),
            to = out(reg) _,
        );
    }
    if PROBING.replace(Probe::No) == Probe::Answered {
        Ok(())
    } else {
        Err("misaligned accesses do not fault here")
    }
}

/// Keeps signals other than faults away from a thread: their handlers are not made for the flag that checks alignment.
/// Faults come through, also where the thread has them blocked.
struct Mask(libc::sigset_t);

impl Mask {
    fn new() -> Self {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: plain calls on sets of our own.
        unsafe {
            let mut set = MaybeUninit::uninit();
            libc::sigfillset(set.as_mut_ptr());
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
                libc::sigdelset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), before.as_mut_ptr());
            Mask(before.assume_init())
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the set that was there before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Has a thread's floating point be as IEEE 754 and Rust want it: rounding to nearest, subnormal numbers as they are,
/// no exceptions. A library that the program is linked with may have set another for its own sake, and results must
/// not depend on that.
struct Rounding(u32);

impl Rounding {
    fn new() -> Self {
        // MXCSR as processors start with it.
        let usual = 0x1f80_u32;
        let mut before = 0_u32;
        // SAFETY: stores and loads 32 bits each.
        unsafe {
            std::arch::asm!(
                "stmxcsr [{before}]",
                "ldmxcsr [{usual}]",
                before = in(reg) &raw mut before,
                usual = in(reg) &raw const usual,
                options(nostack, preserves_flags),
            );
        }
        Rounding(before)
    }
}

impl Drop for Rounding {
    fn drop(&mut self) {
        // SAFETY: loads 32 bits, as the thread had them.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags, readonly));
        }
    }
}

/// Looks after the faults of `code` on `memory` in this thread, while `run` runs.
pub(super) fn watch<T>(code: &Code, memory: *mut Memory, run: impl FnOnce() -> T) -> T {
    /// Also when `run` unwinds.
    struct Restore(*const Active);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let active = Active {
        code: code.range(),
        exit: code.fault_exit(),
        memory,
    };
    let _mask = Mask::new();
    let _rounding = Rounding::new();
    let _restore = Restore(ACTIVE.replace(&raw const active));
    run()
}

/// Clears the flag that checks alignment, with which Rust code must not run, and goes on in [`on_fault`].
#[unsafe(naked)]
extern "C" fn handler(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    std::arch::naked_asm!(
        "pushfq",
        "and dword ptr [rsp], {not_ac}",
        "popfq",
        "jmp {on_fault}",
        not_ac = const !AC as i32,
        on_fault = sym on_fault,
    )
}

/// # Safety
/// Called by the system as the handler of a signal.
unsafe extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system's pointer to the thread's registers, ours until the handler returns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let ip = registers[libc::REG_RIP as usize] as u64;
    if PROBING.get() == Probe::Asked && signal == libc::SIGBUS {
        PROBING.set(Probe::Answered);
        registers[libc::REG_EFL as usize] &= !i64::from(AC);
        return;
    }
    let active = ACTIVE.get();
    // SAFETY: set by `watch` for as long as the run lasts, in this thread.
    let Some(active) = (unsafe { active.as_ref() }).filter(|active| active.code.contains(&ip)) else {
        // SAFETY: as the system called us.
        return unsafe { pass_on(signal, info, context) };
    };
    if signal == libc::SIGSEGV {
        // SAFETY: the field that this signal fills in.
        let address = unsafe { (*info).si_addr() } as u64;
        let write = registers[libc::REG_ERR as usize] & 2 != 0;
        // SAFETY: the memory of the run, which nobody else uses while translated code runs.
        let memory = unsafe { &mut *active.memory };
        if memory.guest(address).is_some_and(|guest| memory.make(guest, write)) {
            return;
        }
    }
    let frame = registers[libc::REG_RSP as usize] as *mut u8;
    // SAFETY: translated code keeps its frame there; see `frame`.
    unsafe {
        frame.add(frame::FAULT as usize).cast::<u64>().write(ip);
        frame
            .add(frame::FAULT_RAX as usize)
            .cast::<u64>()
            .write(registers[libc::REG_RAX as usize] as u64);
    }
    registers[libc::REG_RIP as usize] = active.exit as i64;
}

/// Has the fault handled as if we were not there.
///
/// # Safety
/// As for the handler of a signal.
unsafe fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = SIGNALS
        .iter()
        .zip(&BEFORE)
        .find(|(number, _)| **number == signal)
        .map_or(std::ptr::null_mut(), |(_, before)| before.load(Ordering::Acquire));
    // SAFETY: written once before the handler was installed, and never freed.
    let Some(before) = (unsafe { before.as_ref() }) else {
        return;
    };
    // SAFETY: what the system would do: run the handler that was there, or take the default action again.
    unsafe {
        match before.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, before, std::ptr::null_mut());
            }
            action if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let action: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = std::mem::transmute(action);
                action(signal, info, context);
            }
            action => {
                let action: extern "C" fn(i32) = std::mem::transmute(action);
                action(signal);
            }
        }
    }
}
