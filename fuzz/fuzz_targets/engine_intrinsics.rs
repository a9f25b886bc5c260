//! One call of a routine that the engine has host code for: registers, memory and steps are the interpreter's, or host code
//! declines and has changed nothing. The routines are those of `programs/elf/library.elf`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use surety_engine::intrinsics::{Intrinsic, find};
use surety_machine::{Machine, MemoryPreimages, Program, ZERO};

const ELF: &[u8] = include_bytes!("../../programs/elf/library.elf");
/// No call here is longer.
const STEPS: u64 = 1 << 22;

/// The program, its routines by address, and its memory.
fn library() -> &'static (Program, Vec<(u32, &'static Intrinsic)>, u32) {
    static LIBRARY: OnceLock<(Program, Vec<(u32, &'static Intrinsic)>, u32)> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let program = Program::from_elf(ELF).expect("a program");
        let mut words = vec![];
        program.code().visit_pages(&mut |number, page| {
            words.resize(number as usize * page.len() / 4, 0);
            words.extend(page.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)));
        });
        let found = find(&words);
        assert!(!found.is_empty());
        let size = program.memory().size() as u32;
        (program, found, size)
    })
}

/// A number as it is, or made into what a routine is usually given.
fn argument(value: u32, way: u8, size: u32) -> u32 {
    match way % 8 {
        0 => value,
        1 => value % 64,
        2 => value % 4096,
        3 => value % size,
        4 => size.wrapping_sub(value % 512),
        5 => size.wrapping_sub(value % 512 & !3),
        _ => value % size & !3,
    }
}

type Input = (u8, [(u32, u8); 8], [u32; 31], Vec<u8>, Option<u16>);

fuzz_target!(|input: Input| {
    let (which, arguments, mut values, bytes, short) = input;
    let (program, routines, size) = library();
    let (address, intrinsic) = routines[usize::from(which) % routines.len()];
    // a0 to a5, sp, and the return address.
    for ((value, way), register) in arguments.into_iter().zip([10, 11, 12, 13, 14, 15, 2, 1]) {
        values[register - 1] = argument(value, way, *size);
    }
    values[0] = (values[0] % 0x8000) & !(u32::from(values[0] % 16 != 1) * 3);
    let mut registers = [0; 32];
    registers[1..].copy_from_slice(&values);
    let mut machine = Machine::new(program, ZERO);
    machine.set_pc(address);
    for (register, value) in (1..).zip(values) {
        machine.set_register(register, value);
    }
    // Where the arguments point.
    for register in [10, 11, 12, 13] {
        let room = size.saturating_sub(registers[register]);
        let part = &bytes[..bytes.len().min(room as usize)];
        if !part.is_empty() {
            machine.memory().put(registers[register], part).expect("within memory");
        }
    }
    let mut memory = machine.memory().copy(0, *size).expect("all of memory");
    let before = (registers, memory.clone());

    let Some(applied) = intrinsic.apply(&mut registers, &mut memory[..], STEPS) else {
        assert!((registers, memory) == before, "{}: declined, and changed something", intrinsic.name);
        return;
    };
    machine.run(applied.steps, &mut MemoryPreimages::default()).expect("no preimage is read");
    assert_eq!((machine.pc(), machine.steps()), (applied.pc, applied.steps), "{}", intrinsic.name);
    assert_eq!(machine.registers(), &registers, "{}", intrinsic.name);
    assert!(machine.memory().copy(0, *size).as_ref() == Some(&memory), "{}: memory", intrinsic.name);
    // With fewer steps than it takes, it declines.
    if let Some(short) = short {
        let (mut registers, mut memory) = before.clone();
        let left = applied.steps.saturating_sub(1 + u64::from(short));
        assert!(intrinsic.apply(&mut registers, &mut memory[..], left).is_none());
        assert!((registers, memory) == before);
    }
});
