//! Each trap: when, and that nothing but status and exit changes.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use support::*;
use surety_machine::{Machine, Op, Status, TrapCause, keccak256};

#[test]
fn illegal_words() {
    for illegal in [
        0,
        0xffff_ffff,
        0x0010_0073,
        0x3000_1073,
        0x0000_100f,
        0x0200_1013,
        0x4000_1013,
        0xc000_5013,
        0x0000_0001,
    ] {
        assert_traps(&mut machine(&[illegal], &[(1, 5)]), TrapCause::Illegal);
    }
}

#[test]
fn fetches() {
    let at = |pc| {
        let mut machine = machine(&[NOP; 9], &[]);
        machine.set_pc(pc);
        machine
    };
    // Nine words lie in two leaves.
    for pc in [1, 2, 3, 35, 0xffff_ffff, 64, 0x8000, 0xffff_fffc] {
        assert_traps(&mut at(pc), TrapCause::Fetch);
    }
    for pc in [36, 60] {
        assert_traps(&mut at(pc), TrapCause::Illegal);
    }
}

#[test]
fn running_off_the_code() {
    let mut machine = machine(&[NOP; 8], &[]);
    machine.run(8, &mut preimages()).unwrap();
    assert_eq!((machine.status(), machine.pc()), (Status::Running, 32));
    assert_traps(&mut machine, TrapCause::Fetch);
    assert_eq!(machine.steps(), 9);
}

#[test]
fn misaligned_jumps_write_no_link() {
    assert_traps(
        &mut machine(&[word(Op::Jal, 1, 0, 0, 2)], &[(1, 5)]),
        TrapCause::JumpMisaligned,
    );
    assert_traps(
        &mut machine(&[word(Op::Jalr, 1, 6, 0, 3)], &[(1, 5), (6, 0x40)]),
        TrapCause::JumpMisaligned,
    );
    assert_traps(
        &mut machine(&[word(Op::Jalr, 6, 6, 0, 0)], &[(6, 0x42)]),
        TrapCause::JumpMisaligned,
    );
}

#[test]
fn loads_and_stores_outside_memory() {
    for (op, size) in [(Op::Lb, 1), (Op::Lbu, 1), (Op::Lh, 2), (Op::Lhu, 2), (Op::Lw, 4)] {
        for address in [MEMORY, MEMORY + 0x1000, 0xffff_fff0, 0u32.wrapping_sub(size)] {
            assert_traps(
                &mut machine(&[word(op, 5, 6, 0, 0)], &[(5, 9), (6, address)]),
                TrapCause::LoadRange,
            );
        }
        let mut last = machine(&[word(op, 5, 6, 0, -(size as i32))], &[(6, MEMORY)]);
        checked_step(&mut last, &mut preimages()).unwrap();
        assert_eq!(last.status(), Status::Running);
    }
    for (op, size) in [(Op::Sb, 1), (Op::Sh, 2), (Op::Sw, 4)] {
        for address in [MEMORY, MEMORY + 0x1000, 0xffff_fff0, 0u32.wrapping_sub(size)] {
            assert_traps(
                &mut machine(&[word(op, 0, 6, 7, 0)], &[(7, 9), (6, address)]),
                TrapCause::StoreRange,
            );
        }
        let mut last = machine(&[word(op, 0, 6, 7, -(size as i32))], &[(6, MEMORY), (7, 0xffff_ffff)]);
        checked_step(&mut last, &mut preimages()).unwrap();
        assert_eq!(
            last.memory().copy(MEMORY - size, size).unwrap(),
            vec![0xff; size as usize]
        );
    }
}

#[test]
fn misaligned_is_reported_before_out_of_range() {
    for (op, cause) in [
        (Op::Lh, TrapCause::LoadMisaligned),
        (Op::Lhu, TrapCause::LoadMisaligned),
        (Op::Lw, TrapCause::LoadMisaligned),
        (Op::Sh, TrapCause::StoreMisaligned),
        (Op::Sw, TrapCause::StoreMisaligned),
    ] {
        assert_traps(&mut machine(&[word(op, 5, 6, 5, 1)], &[(6, MEMORY)]), cause);
        assert_traps(&mut machine(&[word(op, 5, 6, 5, 1)], &[(6, DATA)]), cause);
    }
}

#[test]
fn every_address_of_4_gib_can_be_used() {
    let program = program_with_memory(&[word(Op::Sw, 0, 6, 7, -4), word(Op::Lw, 8, 6, 0, -4)], 0xffff_ffff);
    let mut machine = Machine::new(&program, keccak256(INPUT));
    machine.set_register(7, 0x1234_5678);
    checked_step(&mut machine, &mut preimages()).unwrap();
    checked_step(&mut machine, &mut preimages()).unwrap();
    assert_eq!(machine.registers()[8], 0x1234_5678);
}

#[test]
fn causes_have_the_numbers_of_the_specification() {
    let names = [
        "illegal",
        "fetch",
        "jump-misaligned",
        "load-misaligned",
        "load-range",
        "store-misaligned",
        "store-range",
        "syscall",
    ];
    for (number, name) in (1..).zip(names) {
        assert_eq!(TrapCause::from_exit(number).map(TrapCause::name), Some(name));
    }
    assert_eq!((TrapCause::from_exit(0), TrapCause::from_exit(9)), (None, None));
}
