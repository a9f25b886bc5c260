//! One call, by the interpreter and by host code.

use std::sync::OnceLock;

use surety_engine::intrinsics::{Applied, Intrinsic, all};
use surety_machine::{DataMemory, Machine, MemoryPreimages, Program, Segment, ZERO};

use crate::assembly::code;

pub(crate) const RA: usize = 1;
pub(crate) const SP: usize = 2;
pub(crate) const A0: usize = 10;

/// Bytes of memory: the least a machine has.
pub(crate) const MEMORY: u32 = 1 << 16;
/// More than any call takes.
const MANY: u64 = 1 << 32;

/// Random numbers of a seed.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6a09_e667_f3bc_c908)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(bound)) >> 32) as u32
    }

    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// A machine about to call a routine.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) symbol: &'static str,
    pub(crate) registers: [u32; 32],
    pub(crate) memory: Vec<u8>,
}

pub(crate) fn intrinsic(symbol: &str) -> &'static Intrinsic {
    all()
        .iter()
        .find(|intrinsic| intrinsic.name == symbol)
        .expect("an intrinsic")
}

/// Where a routine returns to, unless the test says otherwise: behind its last word.
fn behind(symbol: &str) -> u32 {
    4 * code(symbol).len() as u32
}

fn program(symbol: &str) -> Program {
    static PROGRAM: OnceLock<(String, Program)> = OnceLock::new();
    let make = || {
        let mut bytes: Vec<u8> = code(symbol).iter().flat_map(|word| word.to_le_bytes()).collect();
        // What it returns to changes pc: a step too many is seen.
        for _ in 0..4 {
            bytes.extend(0x0000_0013u32.to_le_bytes());
        }
        let segment = Segment {
            address: 0,
            size: bytes.len() as u32,
            bytes: &bytes,
            executable: true,
        };
        Program::new(&[segment], 0, vec![]).unwrap()
    };
    // A test's process tests one routine, mostly.
    let (cached, program) = PROGRAM.get_or_init(|| (symbol.to_owned(), make()));
    if cached == symbol { program.clone() } else { make() }
}

impl Call {
    /// Everything random, but for a return address behind the code and a stack pointer in the upper half of memory.
    pub(crate) fn random(symbol: &'static str, random: &mut Random) -> Self {
        let mut registers = [0; 32];
        registers[1..].fill_with(|| random.word());
        registers[RA] = behind(symbol);
        registers[SP] = MEMORY / 2 + 4 * random.below(MEMORY / 8 + 1);
        let mut memory = vec![0; MEMORY as usize];
        for bytes in memory.as_chunks_mut::<8>().0 {
            *bytes = random.next().to_le_bytes();
        }
        Call {
            symbol,
            registers,
            memory,
        }
    }

    /// The machine, with this memory and these registers.
    fn machine(&self) -> Machine {
        let mut machine = Machine::new(&program(self.symbol), ZERO);
        for (index, leaf) in self.memory.chunks(32).enumerate() {
            machine.store_leaf(32 * index as u32, leaf);
        }
        for (register, value) in self.registers.iter().enumerate().skip(1) {
            machine.set_register(register as u8, *value);
        }
        machine
    }

    /// The call by host code, held to the interpreter. `None` if host code declined; then it has changed nothing.
    pub(crate) fn check(&self) -> Option<(Call, u64)> {
        self.check_within(MANY)
    }

    pub(crate) fn check_within(&self, steps_left: u64) -> Option<(Call, u64)> {
        let (mut registers, mut memory) = (self.registers, self.memory.clone());
        let applied = intrinsic(self.symbol).apply(&mut registers, &mut memory[..], steps_left);
        let Some(Applied { pc, steps }) = applied else {
            assert_eq!(
                registers, self.registers,
                "{}: declined, and changed registers",
                self.symbol
            );
            assert!(memory == self.memory, "{}: declined, and changed memory", self.symbol);
            return None;
        };
        assert!(steps <= steps_left);
        assert_eq!(pc, self.registers[RA]);
        let mut machine = self.machine();
        machine.run(steps, &mut MemoryPreimages::default()).unwrap();
        if machine.pc() != pc || machine.steps() != steps {
            let mut count = self.machine();
            while count.pc() != pc && count.steps() < 10_000_000 {
                let next = count.steps() + 1;
                count.run(next, &mut MemoryPreimages::default()).unwrap();
            }
            panic!(
                "{}: host code says {steps} steps, the code takes {}",
                self.symbol,
                count.steps()
            );
        }
        let found: Vec<_> = (0..32).map(|register| (register, registers[register])).collect();
        let expected: Vec<_> = (0..32)
            .map(|register| (register, machine.registers()[register]))
            .collect();
        assert_eq!(
            found, expected,
            "{}: registers, host code's and the machine's",
            self.symbol
        );
        let expected = machine.copy_memory();
        if memory != expected {
            let at = memory.iter().zip(&expected).position(|(a, b)| a != b).unwrap();
            panic!("{}: memory differs from {at:#x} on", self.symbol);
        }
        let after = Call {
            symbol: self.symbol,
            registers,
            memory,
        };
        Some((after, steps))
    }

    /// As [`Call::check`], but without a look at memory: what is in `a0` after it, and the steps. Quick, for routines that
    /// have no business in memory.
    pub(crate) fn check_registers(&self) -> Option<(u32, u64)> {
        thread_local! {
            static MACHINE: std::cell::RefCell<Option<(&'static str, Machine)>> = const { std::cell::RefCell::new(None) };
        }
        let mut registers = self.registers;
        let applied = intrinsic(self.symbol).apply(&mut registers, &mut [0u8; 0][..], MANY)?;
        MACHINE.with_borrow_mut(|cached| {
            if cached.as_ref().is_none_or(|(symbol, _)| *symbol != self.symbol) {
                *cached = Some((self.symbol, Machine::new(&program(self.symbol), ZERO)));
            }
            let (_, machine) = cached.as_mut().unwrap();
            for (register, value) in self.registers.iter().enumerate().skip(1) {
                machine.set_register(register as u8, *value);
            }
            machine.set_pc(0);
            let start = machine.steps();
            machine
                .run(start + applied.steps, &mut MemoryPreimages::default())
                .unwrap();
            if machine.pc() != applied.pc {
                self.check();
            }
            assert_eq!(machine.pc(), applied.pc, "{}", self.symbol);
            assert_eq!(machine.registers(), &registers, "{}", self.symbol);
        });
        Some((registers[A0], applied.steps))
    }

    /// That host code takes this call, and declines it with a step less.
    pub(crate) fn check_limit(&self) -> (Call, u64) {
        let (after, steps) = self.check().expect("a usual call");
        assert!(
            self.check_within(steps - 1).is_none(),
            "{}: took a step too many",
            self.symbol
        );
        assert!(self.check_within(steps).is_some());
        (after, steps)
    }

    pub(crate) fn bytes(&self, address: u32, length: usize) -> &[u8] {
        &self.memory[address as usize..][..length]
    }
}

/// What the interpreter's memory offers, in one place: the whole of it.
trait WholeMemory {
    fn store_leaf(&mut self, address: u32, leaf: &[u8]);
    fn copy_memory(&mut self) -> Vec<u8>;
}

impl WholeMemory for Machine {
    fn store_leaf(&mut self, address: u32, leaf: &[u8]) {
        self.memory().write(address, leaf).unwrap();
    }

    fn copy_memory(&mut self) -> Vec<u8> {
        self.memory().copy(0, MEMORY).unwrap()
    }
}
