//! The instruction table in `docs/spec/machine.md`, made from the machine's own.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use surety_machine::{Format, Instruction, TABLE};

use crate::repo;

const BEGIN: &str = "<!-- table:begin (generated from the instruction table; do not edit) -->\n";
const END: &str = "<!-- table:end -->";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("machine-spec: found {args:?}; expected nothing, or --check"),
    };
    let path = path();
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let fresh = with_table(&found)?;
    if check {
        ensure!(
            found == fresh,
            "the table in docs/spec/machine.md is out of date; run `cargo xtask machine-spec` and commit"
        );
    } else if found != fresh {
        fs::write(&path, fresh).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("docs/spec/machine.md: {} instructions", TABLE.len());
    Ok(())
}

fn path() -> PathBuf {
    repo::root().join("docs/spec/machine.md")
}

fn with_table(text: &str) -> Result<String> {
    let missing = "docs/spec/machine.md lacks the marker";
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{missing} {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{missing} {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table()))
}

fn table() -> String {
    let mut table = String::from(
        "A word is the instruction of the first row for which *word and mask = value* (no word fits two). Immediates are \
         sign-extended but for shamt; bit 31 of the word is their sign. `pc` in an effect is the instruction's own address.\n\n\
         | instruction | mask | value | effect |\n|---|---|---|---|\n",
    );
    for row in &TABLE {
        let (syntax, mask, value, text) = (syntax(row), row.mask, row.value, row.text);
        let written = writeln!(table, "| `{syntax}` | `{mask:08x}` | `{value:08x}` | {text} |");
        debug_assert!(written.is_ok(), "a string takes any text");
    }
    table.push_str(
        "\n| operands | bits of the word |\n|---|---|\n\
         | rd, rs1, rs2, shamt | 11:7, 19:15, 24:20, 24:20 |\n\
         | imm of loads, `jalr` and arithmetic | imm[11:0] = 31:20 |\n\
         | imm of stores | imm[11:5] = 31:25, imm[4:0] = 11:7 |\n\
         | imm of branches | imm[12] = 31, imm[10:5] = 30:25, imm[4:1] = 11:8, imm[11] = 7, imm[0] = 0 |\n\
         | imm of `lui`, `auipc` | imm[31:12] = 31:12, the rest 0 |\n\
         | imm of `jal` | imm[20] = 31, imm[10:1] = 30:21, imm[11] = 20, imm[19:12] = 19:12, imm[0] = 0 |\n",
    );
    table
}

fn syntax(row: &Instruction) -> String {
    let operands = match row.format {
        Format::R => " rd, rs1, rs2",
        Format::I => " rd, rs1, imm",
        Format::Offset => " rd, imm(rs1)",
        Format::Shift => " rd, rs1, shamt",
        Format::S => " rs2, imm(rs1)",
        Format::B => " rs1, rs2, imm",
        Format::U | Format::J => " rd, imm",
        Format::None => "",
    };
    format!("{}{operands}", row.name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_in_the_specification_is_current() -> anyhow::Result<()> {
        super::run(&["--check".to_owned()])
    }
}
