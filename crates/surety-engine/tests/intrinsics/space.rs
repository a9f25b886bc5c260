//! What intrinsics ask of memory: that they are done with all refusals before they change anything, and that what they
//! ask for is in proportion to their steps.

use surety_engine::intrinsics::{Space, all};

use crate::call::{A0, Call, MEMORY, RA, Random, SP, intrinsic};

/// Memory that counts what is asked for, and refuses it once.
struct Asked {
    memory: Vec<u8>,
    size: u64,
    /// Ranges asked for so far, and the one that is refused.
    count: usize,
    refused: Option<usize>,
    bytes: u64,
    /// What was given to be written: it is not refused any more.
    given: Vec<(u32, u32)>,
}

impl Asked {
    fn new(memory: Vec<u8>, refused: Option<usize>) -> Self {
        Asked {
            size: memory.len() as u64,
            memory,
            count: 0,
            refused,
            bytes: 0,
            given: Vec::new(),
        }
    }

    fn ask(&mut self, lengths: impl IntoIterator<Item = u32>) -> Option<()> {
        self.bytes += lengths.into_iter().map(u64::from).sum::<u64>();
        self.count += 1;
        (self.refused != Some(self.count - 1)).then_some(())
    }
}

impl Space for Asked {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, address: u32, length: u32) -> Option<&[u8]> {
        self.ask([length])?;
        Space::read(&mut self.memory[..], address, length)
    }

    fn write(&mut self, address: u32, length: u32) -> Option<&mut [u8]> {
        if !self.given.contains(&(address, length)) {
            self.ask([length])?;
            self.given.push((address, length));
        }
        Space::write(&mut self.memory[..], address, length)
    }

    fn split<const N: usize>(&mut self, reads: [(u32, u32); N], write: (u32, u32)) -> Option<([&[u8]; N], &mut [u8])> {
        self.ask(reads.iter().chain([&write]).map(|(_, length)| *length))?;
        Space::split(&mut self.memory[..], reads, write)
    }
}

/// A call that every routine takes, if its registers are what this says.
fn usual(symbol: &'static str) -> Call {
    let mut call = Call::random(symbol, &mut Random::new(20));
    call.registers[SP] = 0x8000;
    let numbers = match symbol {
        "surety_sha256_blocks" => [0x1000, 0x2000, 3, 0, 0, 0],
        "surety_montgomery_256" => [0x1000, 0x2000, 0x3000, 0x4000, 0, 0],
        "surety_matmul_i8" => [0x1000, 0x2000, 0x3000, 5, 6, 70],
        _ => [0x1000, 0x2000, 500, 0, 0, 0],
    };
    call.registers[A0..A0 + 6].copy_from_slice(&numbers);
    call.memory[0x4000] |= 1;
    call
}

#[test]
fn p3_what_is_refused_has_changed_nothing() {
    for intrinsic in all() {
        let call = usual(intrinsic.name);
        let mut asked = Asked::new(call.memory.clone(), None);
        let mut registers = call.registers;
        let applied = intrinsic.apply(&mut registers, &mut asked, u64::MAX);
        assert!(applied.is_some(), "{}", intrinsic.name);
        for refused in 0..asked.count {
            let mut space = Asked::new(call.memory.clone(), Some(refused));
            let mut registers = call.registers;
            let applied = intrinsic.apply(&mut registers, &mut space, u64::MAX);
            assert!(applied.is_none(), "{}, {refused}", intrinsic.name);
            assert!(
                registers == call.registers && space.memory == call.memory,
                "{} has changed something before its request {refused}",
                intrinsic.name
            );
        }
    }
}

/// What a call asks for, bytes, and its steps.
fn cost(symbol: &str, numbers: &[u32]) -> (u64, u64) {
    let mut memory = vec![0; MEMORY as usize];
    memory[0x11] = 1;
    let mut space = Asked::new(memory, None);
    let mut registers = [0; 32];
    registers[RA] = 64;
    registers[SP] = 0x400;
    registers[A0..A0 + numbers.len()].copy_from_slice(numbers);
    let applied = intrinsic(symbol).apply(&mut registers, &mut space, u64::MAX);
    (space.bytes, applied.map_or(0, |applied| applied.steps))
}

#[test]
fn few_steps_look_at_little_memory() {
    // As much as there is, but a difference in the first bytes.
    let (bytes, steps) = cost("memcmp", &[0x10, 0x8010, MEMORY / 2 - 0x10]);
    assert!(steps < 40 && bytes <= 8192, "{bytes} bytes in {steps} steps");
    // Matrices without rows.
    for (m, n) in [(0, 1), (1, 0)] {
        let (bytes, steps) = cost("surety_matmul_i8", &[0x400, 0x800, 0x800, m, n, MEMORY - 0x800]);
        assert!(
            (1..50).contains(&steps) && bytes <= 100,
            "{bytes} bytes in {steps} steps"
        );
    }
}
