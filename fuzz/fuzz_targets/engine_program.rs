//! P3: the translated engine is the interpreter, on any program and at any step.
#![no_main]

#[path = "../../crates/surety-engine/tests/support/mod.rs"]
mod support;

use support::{
    compare::engines_agree,
    generate::{Source, program},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut source = Source::new(bytes);
    let program = program(&mut source);
    if let Err(difference) = engines_agree(&program, &mut source, 40, 4_000) {
        panic!("{difference}");
    }
});
