//! P3: the translated engine is the interpreter, at every step it can be stopped at.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod support;

use proptest::prelude::*;
use support::{
    compare::engines_agree,
    generate::{Source, program},
};

#[test]
fn programs_are_translated_here() {
    // On another host the tests of this file would compare the interpreter with itself.
    assert_eq!(surety_engine::translated_here(), Ok(()));
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

fn listing(program: &surety_machine::Program) -> String {
    program
        .instructions()
        .iter()
        .enumerate()
        .skip(62)
        .map(|(index, slot)| match slot {
            Some(instruction) => format!("{:#x}: {instruction}\n", 4 * index),
            None => format!("{:#x}: -\n", 4 * index),
        })
        .collect()
}
