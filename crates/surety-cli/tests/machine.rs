//! `surety machine` from the outside: JSON, exit codes, errors.

mod common;

use common::{elf, surety};
use serde_json::Value;

/// addi rd, x0, imm
fn li(rd: u32, imm: u32) -> u32 {
    imm << 20 | rd << 7 | 0x13
}

const ECALL: u32 = 0x73;
const A0: u32 = 10;
const A1: u32 = 11;
const A7: u32 = 17;

fn file(words: &[u32]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), elf(words)).expect("write");
    file
}

fn run(words: &[u32], more: &[&str]) -> Value {
    let file = file(words);
    let path = file.path().to_str().expect("text");
    let ran = surety(&[&["machine", "run", "--json", "--elf", path], more].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

#[test]
fn a_halt_is_told_in_exactly_six_keys() {
    let value = run(&[li(A7, 1), li(A0, 42), ECALL], &["--input", "0x"]);
    let keys: Vec<&String> = value.as_object().expect("object").keys().collect();
    assert_eq!(
        keys,
        ["exit_code", "output", "seconds", "state_root", "status", "steps"]
    );
    assert_eq!(value["status"], "halted");
    assert_eq!(value["exit_code"], 42);
    assert_eq!(value["output"], "0x");
    assert_eq!(value["steps"], 3);
    assert!(value["seconds"].is_f64());
    assert_eq!(value["state_root"].as_str().expect("text").len(), 66);
}

#[test]
fn every_engine_gives_the_same() {
    // A loop that sums, stopped in its middle; and one that halts.
    let sum = [0x0050_0293, 0x0053_0333, 0xfff2_8293, 0xfe02_9ce3, li(A7, 1), ECALL];
    for budget in ["7", "1000"] {
        let of = |engine: &str| {
            let mut value = run(&sum, &["--budget", budget, "--engine", engine]);
            value.as_object_mut().expect("object").remove("seconds");
            value
        };
        let expected = of("interpreter");
        assert_eq!(of("translated"), expected);
        assert_eq!(of("check"), expected);
    }
    let file = file(&sum);
    let wrong = surety(&[
        "machine",
        "run",
        "--elf",
        file.path().to_str().expect("text"),
        "--engine",
        "fast",
    ]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("interpreter, translated and check"), "{wrong:?}");
}

#[test]
fn traps_and_budgets_are_outcomes_and_not_errors() {
    let value = run(&[0], &[]);
    assert_eq!((&value["status"], &value["exit_code"]), (&"trapped".into(), &1.into()));
    // j . : jal x0, 0
    let value = run(&[0x6f], &["--budget", "1e6"]);
    assert_eq!(
        (&value["status"], &value["exit_code"], &value["steps"]),
        (&"out_of_steps".into(), &0.into(), &1_000_000.into())
    );
    let value = run(&[0x6f], &["--budget", "0"]);
    assert_eq!((&value["status"], &value["steps"]), (&"out_of_steps".into(), &0.into()));
}

#[test]
fn output_and_input() {
    // WRITE 4 bytes from 0x1000 (the program itself), HALT 0. lui a0, 1
    let words = [
        0x1 << 12 | A0 << 7 | 0x37,
        li(A1, 4),
        li(A7, 2),
        ECALL,
        li(A7, 1),
        li(A0, 0),
        ECALL,
    ];
    let value = run(&words, &[]);
    assert_eq!(
        value["output"],
        format!("0x{}", alloy::hex::encode(words[0].to_le_bytes()))
    );
    // INPUT puts the input's length into a0; halt with it.
    let words = [li(A7, 4), ECALL, li(A7, 1), ECALL];
    assert_eq!(run(&words, &["--input", "0x112233"])["exit_code"], 3);
    let input = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(input.path(), [7; 100]).expect("write");
    assert_eq!(
        run(&words, &["--input", input.path().to_str().expect("text")])["exit_code"],
        100
    );
    assert_ne!(
        run(&words, &["--input", "0x01"])["state_root"],
        run(&words, &["--input", "0x02"])["state_root"]
    );
}

/// READ of a hash that nobody has: the run cannot go on, and the error names the hash.
#[test]
fn a_missing_preimage_is_an_error_and_a_directory_mends_it() {
    // s2..s9 stay zero: the preimage of 32 zero bytes, which nobody knows. a2 = 1 byte.
    let file = file(&[li(12, 1), li(A7, 3), ECALL, li(A7, 1), ECALL]);
    let path = file.path().to_str().expect("text");
    let ran = surety(&["machine", "run", "--json", "--elf", path]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.is_empty());
    let error = ran.error();
    assert!(error["message"].as_str().expect("text").contains("missing"), "{error}");
    assert!(error["next"].as_str().expect("text").contains("--preimages"), "{error}");
    let ran = surety(&["machine", "run", "--elf", path, "--preimages", "/nonexistent"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("next: "), "{ran:?}");
}

#[test]
fn what_is_no_program_is_refused_with_its_place() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("x.elf");
    let good = elf(&[li(A7, 1), ECALL]);
    let try_it = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("write");
        let ran = surety(&["machine", "inspect", "--json", "--elf", path.to_str().expect("text")]);
        (
            ran.code,
            if ran.code == 0 {
                String::new()
            } else {
                ran.error()["message"].to_string()
            },
        )
    };
    assert_eq!(try_it(&good).0, 0);
    let mut wide = good.clone();
    wide[4] = 2;
    let (code, message) = try_it(&wide);
    assert!(code == 1 && message.contains("offset 0x4"), "{message}");
    // Cut off anywhere it is an error, never a crash.
    for length in 0..good.len() {
        assert_eq!(try_it(&good[..length]).0, 1, "{length}");
    }
    assert_eq!(surety(&["machine", "run", "--elf", "/nonexistent"]).code, 1);
}

#[test]
fn wrong_command_lines_exit_with_2() {
    for arguments in [
        &["machine", "run"][..],
        &["machine", "run", "--elf"],
        &["machine", "run", "--elf", "x", "--budget", "many"],
        &["machine", "run", "--elf", "x", "--input", "0xabc"],
        &["machine", "fly"],
        &["machine"],
        &["nonsense"],
        &["call"],
        &["call", "x", "f()", "--audit", "2"],
        &["call", "x", "f()", "-k", "0"],
        &["operator", "join", "x", "--endpoint", "http://x", "--bond", "-1"],
    ] {
        assert_eq!(surety(arguments).code, 2, "{arguments:?}");
        let ran = surety(&[&["--json"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stdout.is_empty() && ran.error()["exit_code"] == 2, "{ran:?}");
    }
    assert_eq!(surety(&["--help"]).code, 0);
    assert!(surety(&["--version"]).stdout.starts_with("surety "));
}

#[test]
fn a_witness_can_be_had_for_every_step() {
    let file = file(&[li(A7, 1), li(A0, 42), ECALL]);
    let path = file.path().to_str().expect("text");
    let mut last = None;
    for step in 0..5 {
        let ran = surety(&["machine", "prove", "--json", "--elf", path, "--step", &step.to_string()]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let value = ran.json();
        if let Some(last) = last {
            assert_eq!(value["state_root"], last);
        }
        let witness = value["witness"].as_str().expect("text").len() / 2 - 1;
        assert!(witness >= 263 && (step < 3 || witness == 263), "{witness}");
        last = Some(value["next_state_root"].clone());
    }
    let run = surety(&["machine", "run", "--json", "--elf", path]).json();
    assert_eq!(Some(run["state_root"].clone()), last);
}

#[test]
fn inspect_and_disassemble_the_examples() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../programs/elf/explorer.elf");
    let value = surety(&["machine", "inspect", "--json", "--elf", root]).json();
    assert_eq!(value["methods"][0]["signature"], "balanceOf(bytes32,address)");
    assert_eq!(value["methods"][0]["selector"], "0xc2038236");
    let ran = surety(&[
        "machine",
        "disassemble",
        "--elf",
        root,
        "--from",
        "0x8000",
        "--to",
        "0x8010",
    ]);
    assert_eq!(ran.stdout.lines().count(), 4, "{ran:?}");
}
