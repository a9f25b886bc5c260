//! P3: the translated engine is the interpreter, at every step it can be stopped at.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod support;

use proptest::prelude::*;
use support::{
    compare::engines_agree,
    generate::{DATA, Source, assembled, fractions, leap, program, program_of, sums, word},
};
use surety_machine::Op;

#[test]
fn programs_are_translated_here() {
    // On another host the tests of this file would compare the interpreter with itself.
    assert_eq!(surety_engine::translated_here(), Ok(()));
}

/// A rotation of three instructions and what overwrites its part, with an access that faults before each of them.
#[test]
fn p3_a_fault_in_the_middle_of_a_rotation_finds_all_registers() {
    let (from, part, other) = (6, 5, 7);
    let mut faults = 0;
    for (left_first, own, dead_last) in (0..8).map(|bits| (bits & 1 == 1, bits & 2 == 2, bits & 4 == 4)) {
        for (op, source) in [(Op::Or, from), (Op::Xor, from), (Op::Add, other)] {
            for place in 0..6 {
                let mut shifts = [word(Op::Slli, part, source, 0, 7), word(Op::Srli, other, source, 0, 25)];
                if left_first {
                    shifts.reverse();
                }
                let (sum, dead) = if own { (part, other) } else { (other, part) };
                let mut code = shifts.to_vec();
                code.push(word(op, sum, part, other, 0));
                if dead_last {
                    code.push(word(Op::Addi, dead, 0, 0, 3));
                }
                let access = [word(Op::Lw, 13, 2, 0, 1), word(Op::Sw, 0, 2, from, 2)];
                code.insert(place.min(code.len()), access[place % 2]);
                let mut program = vec![word(Op::Lui, 2, 0, 0, DATA)];
                for register in [from, part, other] {
                    program.push(word(Op::Lui, register, 0, 0, 0x9e37_7000 ^ u32::from(register) << 14));
                    program.push(word(Op::Addi, register, register, 0, 0x5a5));
                }
                program.extend(code);
                let program = assembled(&program, &[7; 64]);
                let mut source = Source::new(b"");
                if let Err(difference) = engines_agree(&program, &mut source, 20, 40) {
                    panic!("{difference}\n{}", listing(&program));
                }
                faults += 1;
            }
        }
    }
    assert_eq!(faults, 144);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p3_random_programs(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut source = Source::new(&bytes);
        let program = program(&mut source);
        if let Err(difference) = engines_agree(&program, &mut source, 130, 5000) {
            prop_assert!(false, "{difference}\n{}", listing(&program));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Sums of more than 32 bits: few registers that meet, faults and branches in between, and code that is entered and
    /// left at every instruction.
    #[test]
    fn p3_random_sums(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut source = Source::new(&bytes);
        let words = 70 + source.below(60);
        let program = program_of(&mut source, words, |source, _| match source.below(6) {
            0 => leap(source, 31),
            _ => sums(source),
        });
        if let Err(difference) = engines_agree(&program, &mut source, 130, 1000) {
            prop_assert!(false, "{difference}\n{}", listing(&program));
        }
    }

    /// The same of products with a binary point, and sums besides.
    #[test]
    fn p3_random_fractions(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut source = Source::new(&bytes);
        let words = 70 + source.below(60);
        let program = program_of(&mut source, words, |source, _| match source.below(6) {
            0 => sums(source),
            1 => leap(source, 31),
            _ => fractions(source),
        });
        if let Err(difference) = engines_agree(&program, &mut source, 130, 1000) {
            prop_assert!(false, "{difference}\n{}", listing(&program));
        }
    }
}

fn listing(program: &surety_machine::Program) -> String {
    program
        .instructions()
        .iter()
        .enumerate()
        .map(|(index, slot)| match slot {
            Some(instruction) => format!("{:#x}: {instruction}\n", 4 * index),
            None => format!("{:#x}: -\n", 4 * index),
        })
        .collect()
}
