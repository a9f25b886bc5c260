//! The table of hashes, from the routines' source.

use std::fmt::Write as _;
use std::path::Path;

use surety_engine::intrinsics::{all, find};
use surety_machine::keccak256;

use crate::assembly::{ROUTINES, code, gnu, llvm};

fn generate() -> String {
    let mut text = String::from(
        "//! Generated from `crates/surety-guest/asm`; do not edit. It is written by\n\
         //! `SURETY_WRITE=1 cargo test -p surety-engine --test intrinsics the_table_is_current`.\n\n\
         use super::Code;\n",
    );
    for (file, constant, symbol) in ROUTINES {
        let words = gnu(file, symbol);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let first: Vec<String> = words[..4].iter().map(|word| format!("{word:#010x}")).collect();
        let hash: Vec<String> = keccak256(&bytes).iter().map(|byte| format!("{byte:#04x}")).collect();
        let lines: Vec<String> = hash
            .chunks(18)
            .map(|line| format!("        {},\n", line.join(", ")))
            .collect();
        let (count, first, lines) = (words.len(), first.join(", "), lines.concat());
        write!(
            text,
            "\npub(super) const {constant}: Code = Code {{\n    words: {count},\n    first: [{first}],\n    \
             hash: [\n{lines}    ],\n}};\n"
        )
        .unwrap();
    }
    text
}

#[test]
fn the_table_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intrinsics/table.rs");
    let fresh = generate();
    if std::env::var_os("SURETY_WRITE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == fresh,
        "src/intrinsics/table.rs is out of date; its head says how to write it"
    );
}

#[test]
fn both_assemblers_give_the_same_words() {
    for (file, _, symbol) in ROUTINES {
        assert!(gnu(file, symbol) == llvm(file, symbol), "{symbol}");
    }
}

#[test]
fn every_routine_is_a_leaf_that_goes_nowhere_else() {
    for (_, _, symbol) in ROUTINES {
        let words = code(symbol);
        for (index, word) in words.iter().enumerate() {
            let instruction = surety_machine::decode(*word).unwrap_or_else(|| panic!("{symbol}: {word:#010x}"));
            let name = instruction.op.instruction().name;
            assert!(!matches!(name, "auipc" | "ecall" | "fence"), "{symbol}: {name}");
            let to = match name {
                "jal" => {
                    assert_eq!(instruction.rd, 0, "{symbol} calls");
                    i64::from(instruction.imm as i32)
                }
                "jalr" => {
                    assert_eq!(*word, 0x0000_8067, "{symbol}: only `ret` may jump to a register");
                    4
                }
                "beq" | "bne" | "blt" | "bge" | "bltu" | "bgeu" => i64::from(instruction.imm as i32),
                _ => 4,
            };
            let target = 4 * index as i64 + to;
            let last = index + 1 == words.len();
            let inside = (0..4 * words.len() as i64).contains(&target) && target % 4 == 0;
            assert!(
                inside || (last && *word == 0x0000_8067),
                "{symbol}: word {index} leads to {target:#x}"
            );
        }
        assert_eq!(words.last(), Some(&0x0000_8067), "{symbol} ends with its return");
    }
}

#[test]
fn finds_routines_wherever_they_are() {
    let mut image = vec![0x0000_0013; 7];
    let mut expected = vec![];
    for _ in 0..2 {
        for intrinsic in all() {
            expected.push((4 * image.len() as u32, intrinsic.name));
            image.extend(code(intrinsic.name));
            image.push(0);
        }
    }
    let found = |image: &[u32]| -> Vec<_> { find(image).iter().map(|(at, found)| (*at, found.name)).collect() };
    assert_eq!(found(&image), expected);
    // A bit of one word of the first is another: no longer known. One cut off at the end neither.
    let mut changed = image.clone();
    changed[7 + all()[0].words / 2] ^= 1 << 20;
    assert_eq!(found(&changed), expected[1..]);
    image.truncate(image.len() - 2);
    expected.pop();
    assert_eq!(found(&image), expected);
    assert_eq!(found(&[]), []);
}

/// Code full of beginnings is not hashed over and over.
#[test]
fn hostile_code_is_searched_in_linear_time() {
    let beginning = &code(all()[0].name)[..4];
    let image: Vec<u32> = beginning.iter().copied().cycle().take(1 << 20).collect();
    assert!(find(&image).is_empty());
}
