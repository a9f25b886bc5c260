//! A run of translated code: enters it, and takes with the interpreter what it leaves.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use surety_machine::{Checkpoint, Hash, Preimages, Program, RunError, Status};

use super::{
    code::{Code, Entry},
    fault,
    flat::Flat,
    frame::{Context, Reason},
    keccak,
};

/// What leaving translated code costs, in steps of the interpreter: for a jump that no block starts at, and for an
/// access that the host's memory could not serve.
const MISS_COST: u64 = 32;
const FAULT_COST: u64 = 2_000;
/// How much of that may be spent beyond the steps taken before the interpreter goes on for a while: so a program that
/// does nothing else is not much slower than in the interpreter.
const CREDIT: u64 = 1 << 20;
/// For how many steps it goes on.
const WHILE: u64 = 1 << 18;

/// A machine that runs translated code.
#[derive(Debug)]
pub(crate) struct Machine {
    machine: surety_machine::Machine<Flat>,
    code: Arc<Code>,
    /// What leaving translated code has cost since this machine was made.
    spent: u64,
    /// The step it was made at, less what the interpreter has taken because of `spent`.
    start: u64,
}

/// What comes after translated code has been left.
enum Next {
    /// Enter it again.
    Enter,
    /// The interpreter takes a step.
    Step,
    /// The interpreter takes so many, if so many are left.
    Steps(u64),
}

impl Machine {
    pub(crate) fn new(program: &Program, input_hash: Hash, code: Arc<Code>) -> io::Result<Self> {
        let memory = Flat::new(program.memory().clone())?;
        Ok(Machine {
            machine: surety_machine::Machine::with_memory(program, input_hash, memory),
            code,
            spent: 0,
            start: 0,
        })
    }

    pub(crate) fn restore(checkpoint: &Checkpoint, code: Arc<Code>) -> io::Result<Self> {
        let memory = Flat::new(checkpoint.memory().clone())?;
        Ok(Machine {
            machine: checkpoint.restore_with(memory),
            code,
            spent: 0,
            start: checkpoint.steps(),
        })
    }

    /// The machine, all of whose state is that of the interpreter at the same step.
    pub(crate) fn machine(&self) -> &surety_machine::Machine<Flat> {
        &self.machine
    }

    pub(crate) fn machine_mut(&mut self) -> &mut surety_machine::Machine<Flat> {
        &mut self.machine
    }

    pub(crate) fn run(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<Status, RunError> {
        let code = self.code.clone();
        let memory = self.machine.memory().pointer();
        fault::watch(&code, memory, || self.advance(&code, until, preimages))
    }

    fn advance(&mut self, code: &Code, until: u64, preimages: &mut dyn Preimages) -> Result<Status, RunError> {
        while self.machine.status() == Status::Running && self.machine.steps() < until {
            match self.enter(code, until) {
                Next::Enter => {}
                Next::Step => {
                    self.machine.step(until, preimages)?;
                }
                Next::Steps(count) => {
                    let until = until.min(self.machine.steps().saturating_add(count));
                    self.machine.run(until, preimages)?;
                }
            }
        }
        Ok(self.machine.status())
    }

    fn enter(&mut self, code: &Code, until: u64) -> Next {
        if self.machine.memory().is_sparse() {
            return Next::Steps(u64::MAX);
        }
        let earned = self.machine.steps().saturating_sub(self.start).saturating_add(CREDIT);
        if self.spent > earned {
            self.spent = 0;
            self.start = self.machine.steps().saturating_add(WHILE);
            return Next::Steps(WHILE);
        }
        let pc = self.machine.pc();
        let Some(entry) = code.entry(pc) else {
            return Next::Steps(code.steps_past(pc));
        };
        self.enter_at(code, entry, until)
    }

    fn enter_at(&mut self, code: &Code, entry: Entry, until: u64) -> Next {
        let Some(running) = self.machine.running() else {
            return Next::Step;
        };
        let left = until - *running.steps;
        // What is left of the block is more than may be run.
        let Some(steps) = left.checked_sub(entry.charge) else {
            return if code.is_metered() {
                Next::Steps(left)
            } else {
                Next::Step
            };
        };
        let mut context = Context {
            registers: *running.registers,
            hosts: [0; 16],
            memory: running.memory.start(),
            steps,
            pc: 0,
            reason: 0,
            fault: 0,
            fault_rax: 0,
            call,
            keccak: keccak::call(),
            layout: running.memory.layout(),
            code,
            flat: running.memory,
            panic: None,
        };
        for (guest, host) in code.places(entry.places).held() {
            if let (Some(to), Some(from)) = (
                context.hosts.get_mut(usize::from(host)),
                running.registers.get(usize::from(guest)),
            ) {
                *to = *from;
            }
        }
        // SAFETY: an entry of this code, this machine's memory, and `run` has faults looked after.
        unsafe { code.enter(&mut context, entry) };
        *running.pc = context.pc;
        *running.steps = until - context.steps;
        let (reason, mut places) = (context.reason & 0xff, context.reason >> 8);
        let mut fault = None;
        // Through the table, to where the interpreter goes on; but a jump to a misaligned address is a trap, at the jump.
        let led_away = |context: &Context| code.is_table_jump(context.fault) && context.fault_rax & 2 == 0;
        if reason == Reason::Fault as u32 && !led_away(&context) {
            let Some(located) = code.locate(context.fault) else {
                // Every instruction that can fault belongs to a block.
                unreachable!("a fault at {:#x}, in no block", context.fault);
            };
            places = located.places;
            fault = Some(located);
        }
        for (guest, host) in code.places(places).held() {
            if let (Some(to), Some(from)) = (
                context.registers.get_mut(usize::from(guest)),
                context.hosts.get(usize::from(host)),
            ) {
                *to = *from;
            }
        }
        *running.registers = context.registers;
        if let Some(located) = &fault {
            for recipe in code.recipes(located.pc >> 2) {
                let from = context.registers.get(usize::from(recipe.from));
                if let (Some(from), Some(to)) = (from, running.registers.get_mut(usize::from(recipe.guest))) {
                    *to = recipe.made(*to, *from);
                }
            }
        }
        if reason == Reason::Limit as u32 {
            return Next::Steps(context.steps);
        }
        if reason == Reason::Step as u32 {
            return Next::Step;
        }
        if reason == Reason::Miss as u32 {
            self.spent += MISS_COST;
            return Next::Enter;
        }
        if let Some(panic) = context.panic {
            panic::resume_unwind(panic);
        }
        self.spent += FAULT_COST;
        let Some(located) = fault else {
            // A jump through the table: the target is past the code, or has bit 0 set, which is cleared.
            *running.pc = (context.fault_rax as u32) & !1;
            return Next::Enter;
        };
        *running.pc = located.pc;
        if code.is_metered() {
            *running.steps -= located.charged;
        }
        Next::Step
    }
}

/// What translated code calls where a function starts that the host has code for; see [`frame::Call`](super::frame::Call).
///
/// # Safety
/// As the type says, from code that [`Machine::enter_at`] has entered, and without the check of alignment.
unsafe extern "sysv64" fn call(registers: *mut [u32; 32], context: *mut Context, steps_left: u64, number: u32) -> i64 {
    // SAFETY: the context that translated code was entered with, which nobody else uses meanwhile.
    let context = unsafe { &mut *context };
    let (code, flat) = (context.code, context.flat);
    let applied = panic::catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: registers in the frame of translated code; its code, and its machine's memory, outlive it.
        let (registers, code, memory) = unsafe { (&mut *registers, &*code, &mut *flat) };
        code.function(number)?.apply(registers, memory, steps_left)
    }));
    match applied {
        Ok(Some(applied)) => applied.steps.cast_signed(),
        // Its plain code runs.
        Ok(None) => 0,
        Err(panic) => {
            context.panic = Some(panic);
            -1
        }
    }
}
