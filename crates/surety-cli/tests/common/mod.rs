//! Running the real `surety` program.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// What a run of `surety` left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON ({e}): {self:?}"))
    }

    /// The error document on stderr: its last line.
    pub(crate) fn error(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("stderr ends in no JSON ({e}): {self:?}"));
        value["error"].clone()
    }
}

/// A command with a clean environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_surety"));
    for variable in [
        "SURETY_L1",
        "SURETY_DEPLOYMENT",
        "SURETY_KEYSTORE",
        "SURETY_PASSWORD_FILE",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments);
    command
}

pub(crate) fn surety(arguments: &[&str]) -> Ran {
    ran(command(arguments).output().expect("surety starts"))
}

pub(crate) fn surety_in(dir: &Path, arguments: &[&str]) -> Ran {
    ran(command(arguments).current_dir(dir).output().expect("surety starts"))
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("ended by itself"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// An ELF file with one segment of these words at 0x1000, entered at the first.
pub(crate) fn elf(words: &[u32]) -> Vec<u8> {
    let base = 0x1000_u32;
    let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2_u16, 243] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, base, 52, 0, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    for half in [52_u16, 32, 1, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let size = u32::try_from(code.len()).expect("short");
    for word in [1, 84, base, base, size, size, 5, 4] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(code);
    file
}
