//! `vectors/machine/`: single steps of the machine, for every implementation to agree on.
//!
//! - `steps.json`: witnesses, with the roots before and after.
//! - `rejected.json`: bytes that are no witness, with the reason.
//!
//! A preimage that a step needs is given by hash, the offset of the 32 bytes shown, those bytes (zeros past the end)
//! and the preimage's length; `null` where none is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use surety_machine::{
    Decoded, Hash, Machine, MemoryPreimages, Op, PreimageOracle, Preimages, Program, STATE_BYTES, Segment, TrapCause,
    Tree, Witness, WitnessError, decode, keccak256, verify_step,
};

use crate::repo;

const INPUT: &[u8] = b"the input of the request";
/// Where the code of most vectors is.
const CODE: u32 = 0x60;
/// Where the data is: a pattern of 96 bytes, in the middle of 64 KiB of memory.
const DATA: u32 = 0x8000;
const MEMORY: u32 = 0x1_0000;

const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A7: u8 = 17;
const S2: u8 = 18;
const ECALL: u32 = 0x0000_0073;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("machine-vectors: found {args:?}; expected nothing, or --check"),
    };
    for (file, vectors) in [("steps.json", steps()?.vectors), ("rejected.json", rejected()?)] {
        let path = folder().join(file);
        let fresh = lines(&vectors)?;
        if check {
            let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(
                found == fresh,
                "vectors/machine/{file} is out of date; run `cargo xtask machine-vectors` and commit"
            );
        } else {
            fs::create_dir_all(folder()).with_context(|| format!("cannot create {}", folder().display()))?;
            fs::write(&path, fresh).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("vectors/machine/{file}: {} vectors", vectors.len());
    }
    Ok(())
}

fn folder() -> PathBuf {
    repo::root().join("vectors/machine")
}

/// One vector a line, so that a change shows as what it is.
fn lines(vectors: &[Value]) -> Result<String> {
    let lines = vectors
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// What has been shown on-chain.
#[derive(Default)]
struct Shown(BTreeMap<(Hash, u32), ([u8; 32], u32)>);

impl PreimageOracle for Shown {
    fn length(&self, hash: &Hash) -> Option<u32> {
        self.0
            .range((*hash, 0)..=(*hash, u32::MAX))
            .next()
            .map(|(_, (_, length))| *length)
    }

    fn word(&self, hash: &Hash, offset: u32) -> Option<[u8; 32]> {
        self.0.get(&(*hash, offset)).map(|(word, _)| *word)
    }
}

/// The preimage a witness needs, as shown on-chain and as written in a vector.
fn show(witness: &Witness, preimages: &mut dyn Preimages) -> Result<(Shown, Value)> {
    let Some((hash, offset)) = witness.preimage else {
        return Ok((Shown::default(), Value::Null));
    };
    let data = preimages.get(&hash).context("a vector's preimage is missing")?;
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().zip(data.get(offset as usize..).unwrap_or_default()) {
        *to = *from;
    }
    let length = u32::try_from(data.len())?;
    let value = json!({ "hash": hex(&hash), "offset": offset, "word": hex(&word), "length": length });
    Ok((Shown([((hash, offset), (word, length))].into()), value))
}

struct Vectors {
    preimages: MemoryPreimages,
    vectors: Vec<Value>,
    /// The instructions and traps there is a vector for, by name.
    covered: BTreeSet<&'static str>,
}

/// An immediate below zero.
fn below(distance: u32) -> u32 {
    0u32.wrapping_sub(distance)
}

fn word(op: Op, rd: u8, rs1: u8, rs2: u8, imm: u32) -> u32 {
    Decoded { op, rd, rs1, rs2, imm }.encode()
}

/// A machine at `CODE`, where the code is; there is data at `DATA`.
fn machine(code: &[u32]) -> Result<Machine> {
    machine_with(code, MEMORY)
}

fn machine_with(code: &[u32], memory: u32) -> Result<Machine> {
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let pattern: Vec<u8> = (0..96u8).map(|i| i.wrapping_mul(37) ^ 0x80).collect();
    let program = Program::new(
        &[
            Segment {
                address: CODE,
                bytes: &code,
                size: u32::try_from(code.len())?.max(4),
                executable: true,
            },
            Segment {
                address: DATA,
                bytes: &pattern,
                size: memory - DATA,
                executable: false,
            },
        ],
        CODE,
        Vec::new(),
    )?;
    Ok(Machine::new(&program, keccak256(INPUT)))
}

impl Vectors {
    /// Adds the machine's next step, and takes it.
    fn step(&mut self, name: &str, machine: &mut Machine) -> Result<()> {
        let witness = machine.witness(&mut self.preimages)?;
        let before = machine.state_root();
        let instruction = machine
            .program()
            .instructions()
            .get((machine.pc() / 4) as usize)
            .copied()
            .flatten();
        machine.run(machine.steps() + 1, &mut self.preimages)?;
        let after = machine.state_root();
        let (shown, preimage) = show(&witness, &mut self.preimages)?;
        let verified = verify_step(&witness.bytes, &shown).with_context(|| name.to_owned())?;
        ensure!(
            verified.before == before && verified.after == after,
            "{name}: the interpreter and the verifier disagree; one of them is wrong"
        );
        self.covered
            .extend(instruction.map(|instruction| instruction.instruction().name));
        self.covered.extend(machine.outcome().trap().map(TrapCause::name));
        self.add(name, &witness.bytes, &preimage, &before, &after);
        Ok(())
    }

    /// Adds a step from a state no machine reaches, given by its witness.
    fn hostile(&mut self, name: &str, witness: &[u8]) -> Result<()> {
        let verified = verify_step(witness, &Shown::default()).with_context(|| name.to_owned())?;
        self.add(name, witness, &Value::Null, &verified.before, &verified.after);
        Ok(())
    }

    fn add(&mut self, name: &str, witness: &[u8], preimage: &Value, before: &Hash, after: &Hash) {
        self.vectors.push(json!({
            "name": name,
            "witness": hex(witness),
            "preimage": preimage,
            "pre": hex(before),
            "post": hex(after),
        }));
    }

    /// One instruction with these registers set.
    fn one(&mut self, name: &str, instruction: u32, registers: &[(u8, u32)]) -> Result<()> {
        self.one_in(name, instruction, registers, MEMORY)
    }

    fn one_in(&mut self, name: &str, instruction: u32, registers: &[(u8, u32)], memory: u32) -> Result<()> {
        let mut machine = machine_with(&[instruction, ECALL], memory)?;
        for (register, value) in registers {
            machine.set_register(*register, *value);
        }
        self.step(name, &mut machine)
    }

    /// Every step of a repeated call.
    fn call(&mut self, name: &str, registers: &[(u8, u32)], memory: u32) -> Result<()> {
        let mut machine = machine_with(&[ECALL, ECALL], memory)?;
        for (register, value) in registers {
            machine.set_register(*register, *value);
        }
        for piece in 0.. {
            self.step(&format!("{name}, step {piece}"), &mut machine)?;
            if machine.pc() != CODE || machine.status() != surety_machine::Status::Running {
                break;
            }
        }
        Ok(())
    }
}

/// Corner cases of both operands.
const PAIRS: [(u32, u32); 14] = [
    (0, 0),
    (1, 0),
    (0, 1),
    (0xffff_ffff, 0),
    (0xffff_ffff, 1),
    (1, 0xffff_ffff),
    (0xffff_ffff, 0xffff_ffff),
    (0x8000_0000, 0xffff_ffff),
    (0x8000_0000, 0x8000_0000),
    (0x7fff_ffff, 0x8000_0000),
    (0x8000_0001, 0x1f),
    (0x8000_0001, 0x20),
    (0x1234_5678, 0x9abc_def1),
    (0xdead_beef, 7),
];

/// Corner cases of a value and a 12-bit immediate.
const IMMEDIATES: [(u32, u32); 8] = [
    (0, 0),
    (1, 0xffff_ffff),
    (0xffff_ffff, 1),
    (0xffff_ffff, 0xffff_ffff),
    (0x8000_0000, 0xffff_f800),
    (0x7fff_ffff, 0x7ff),
    (0x1234_5678, 0x555),
    (0xffff_f800, 0xffff_f800),
];

fn steps() -> Result<Vectors> {
    let mut v = Vectors {
        preimages: MemoryPreimages::default(),
        vectors: Vec::new(),
        covered: BTreeSet::new(),
    };
    v.preimages.insert(INPUT);
    arithmetic(&mut v)?;
    jumps(&mut v)?;
    memory(&mut v)?;
    illegal(&mut v)?;
    fetches(&mut v)?;
    calls(&mut v)?;
    ended(&mut v)?;
    run_of_steps(&mut v)?;
    Ok(v)
}

fn arithmetic(v: &mut Vectors) -> Result<()> {
    use surety_machine::{Effect, Format, TABLE};
    for row in TABLE.iter().filter(|row| matches!(row.effect, Effect::Set(_))) {
        let (op, name) = (row.op, row.name);
        match row.format {
            Format::R => {
                for (a, b) in PAIRS {
                    v.one(
                        &format!("{name} {a:#x}, {b:#x}"),
                        word(op, 5, 6, 7, 0),
                        &[(6, a), (7, b)],
                    )?;
                }
                v.one(&format!("{name} to x0"), word(op, 0, 6, 7, 0), &[(6, 6), (7, 3)])?;
                v.one(&format!("{name} of x0"), word(op, 31, 0, 0, 0), &[(31, 3)])?;
                v.one(
                    &format!("{name} onto its operands"),
                    word(op, 9, 9, 9, 0),
                    &[(9, 0x8000_0003)],
                )?;
            }
            Format::I => {
                for (a, imm) in IMMEDIATES {
                    v.one(
                        &format!("{name} {a:#x}, {}", imm as i32),
                        word(op, 5, 6, 0, imm),
                        &[(6, a)],
                    )?;
                }
                v.one(&format!("{name} to x0"), word(op, 0, 6, 0, 3), &[(6, 6)])?;
            }
            Format::Shift => {
                for shamt in [0, 1, 31] {
                    let a = 0x8000_0001;
                    v.one(&format!("{name} {a:#x}, {shamt}"), word(op, 5, 6, 0, shamt), &[(6, a)])?;
                }
                v.one(&format!("{name} to x0"), word(op, 0, 6, 0, 3), &[(6, 6)])?;
            }
            _ => {
                for imm in [0, 0x1000, 0x7fff_f000, 0x8000_0000, 0xffff_f000] {
                    v.one(&format!("{name} {imm:#x}"), word(op, 5, 0, 0, imm), &[(5, 1)])?;
                }
                v.one(&format!("{name} to x0"), word(op, 0, 0, 0, 0x1000), &[])?;
            }
        }
    }
    Ok(())
}

fn jumps(v: &mut Vectors) -> Result<()> {
    for op in [Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu] {
        let name = op.instruction().name;
        for (a, b) in [
            (1, 1),
            (1, 2),
            (2, 1),
            (0xffff_ffff, 1),
            (1, 0xffff_ffff),
            (0x8000_0000, 0x7fff_ffff),
        ] {
            v.one(
                &format!("{name} {a:#x}, {b:#x}"),
                word(op, 0, 6, 7, 8),
                &[(6, a), (7, b)],
            )?;
        }
        for imm in [below(CODE), below(4096), 4094 - 2, 0] {
            for (a, b) in [(3, 3), (3, 4), (4, 3)] {
                v.one(
                    &format!("{name} {a}, {b}, {:+}", imm as i32),
                    word(op, 0, 6, 7, imm),
                    &[(6, a), (7, b)],
                )?;
            }
        }
        for (a, b) in [(3, 3), (3, 4), (4, 3)] {
            v.one(
                &format!("{name} {a}, {b} to a misaligned target"),
                word(op, 0, 6, 7, 6),
                &[(6, a), (7, b)],
            )?;
        }
    }
    for imm in [
        8,
        4,
        0,
        below(4),
        below(CODE),
        below(CODE + 4),
        below(1 << 20),
        (1 << 20) - 4,
        0x800,
        0xf_f000,
    ] {
        v.one(&format!("jal {:+}", imm as i32), word(Op::Jal, 1, 0, 0, imm), &[])?;
    }
    v.one("jal to x0", word(Op::Jal, 0, 0, 0, 16), &[])?;
    for imm in [2, 6, below(2)] {
        v.one(
            &format!("jal {:+}: misaligned, no link", imm as i32),
            word(Op::Jal, 1, 0, 0, imm),
            &[(1, 99)],
        )?;
    }
    let jalr = |rd, imm| word(Op::Jalr, rd, 6, 0, imm);
    v.one("jalr", jalr(1, 4), &[(6, 0x1000)])?;
    v.one("jalr: bit 0 is cleared", jalr(1, 1), &[(6, 0x1000)])?;
    v.one("jalr: bit 0 of the sum is cleared", jalr(1, 1), &[(6, 0x1003)])?;
    v.one("jalr: misaligned, no link", jalr(1, 2), &[(6, 0x1000), (1, 99)])?;
    v.one(
        "jalr: 3 is misaligned after clearing",
        jalr(1, 3),
        &[(6, 0x1000), (1, 99)],
    )?;
    v.one("jalr: wraps below zero", jalr(1, below(4)), &[(6, 0)])?;
    v.one("jalr: wraps above 4 GiB", jalr(1, 8), &[(6, 0xffff_fffc)])?;
    v.one("jalr: link onto its operand", word(Op::Jalr, 6, 6, 0, 0), &[(6, 0x40)])?;
    v.one("jalr to x0", jalr(0, 0), &[(6, 0x40)])?;
    v.one("jalr of x0", word(Op::Jalr, 1, 0, 0, 0x20), &[])?;
    v.one("jalr: least immediate", jalr(1, below(2048)), &[(6, 0x1000)])?;
    Ok(())
}

fn memory(v: &mut Vectors) -> Result<()> {
    let loads = [(Op::Lb, 1), (Op::Lbu, 1), (Op::Lh, 2), (Op::Lhu, 2), (Op::Lw, 4)];
    for (op, size) in loads {
        let name = op.instruction().name;
        let load = |imm| word(op, 5, 6, 0, imm);
        for at in [0, size, 2 * size, 24, 32 - size, 32, 64 + 32 - size] {
            v.one(&format!("{name} at byte {at} of the data"), load(at), &[(6, DATA)])?;
        }
        v.one(
            &format!("{name} with a negative offset"),
            load(below(size)),
            &[(6, DATA + 32)],
        )?;
        v.one(&format!("{name} of zeros"), load(0), &[(6, DATA + 0x1000), (5, 7)])?;
        v.one(&format!("{name} of code"), load(0), &[(6, CODE)])?;
        v.one(&format!("{name} to x0"), word(op, 0, 6, 0, 0), &[(6, DATA)])?;
        v.one(&format!("{name} onto its operand"), word(op, 6, 6, 0, 0), &[(6, DATA)])?;
        v.one(&format!("{name} at address 0"), word(op, 5, 0, 0, 0), &[(5, 7)])?;
        v.one(&format!("{name} of the last bytes"), load(below(size)), &[(6, MEMORY)])?;
        v.one(&format!("{name} past the end"), load(0), &[(6, MEMORY), (5, 7)])?;
        v.one(
            &format!("{name} far past the end"),
            load(0),
            &[(6, 0xffff_ff00), (5, 7)],
        )?;
        v.one(
            &format!("{name} wrapping below zero"),
            load(below(size)),
            &[(6, 0), (5, 7)],
        )?;
        v.one(
            &format!("{name} wrapping above 4 GiB"),
            load(4),
            &[(6, 0xffff_fffc), (5, 7)],
        )?;
        v.one_in(
            &format!("{name} of the last bytes of 4 GiB"),
            load(below(size)),
            &[(6, 0)],
            0xffff_ffff,
        )?;
        if size > 1 {
            v.one(&format!("{name} misaligned"), load(1), &[(6, DATA), (5, 7)])?;
            v.one(
                &format!("{name} misaligned and past the end"),
                load(size - 1),
                &[(6, MEMORY), (5, 7)],
            )?;
            v.one(
                &format!("{name} across leaves is misaligned"),
                load(31),
                &[(6, DATA), (5, 7)],
            )?;
        }
        if size == 4 {
            v.one(&format!("{name} half aligned"), load(2), &[(6, DATA), (5, 7)])?;
        }
    }
    for (op, size) in [(Op::Sb, 1), (Op::Sh, 2), (Op::Sw, 4)] {
        let name = op.instruction().name;
        let store = |imm| word(op, 0, 6, 7, imm);
        let value = (7, 0x89ab_cdef);
        for at in [0, size, 2 * size, 24, 32 - size, 32, 64 + 32 - size] {
            v.one(
                &format!("{name} at byte {at} of the data"),
                store(at),
                &[(6, DATA), value],
            )?;
        }
        v.one(
            &format!("{name} with a negative offset"),
            store(below(size)),
            &[(6, DATA + 32), value],
        )?;
        v.one(&format!("{name} on zeros"), store(0), &[(6, DATA + 0x1000), value])?;
        v.one(&format!("{name} of zero on zeros"), store(0), &[(6, DATA + 0x1000)])?;
        v.one(&format!("{name} of x0"), word(op, 0, 6, 0, 4), &[(6, DATA)])?;
        v.one(
            &format!("{name} on code changes data memory only"),
            store(0),
            &[(6, CODE), value],
        )?;
        v.one(&format!("{name} at address 0"), word(op, 0, 0, 7, 0), &[value])?;
        v.one(
            &format!("{name} of its own address"),
            word(op, 0, 6, 6, 8),
            &[(6, DATA)],
        )?;
        v.one(
            &format!("{name} on the last bytes"),
            store(below(size)),
            &[(6, MEMORY), value],
        )?;
        v.one(&format!("{name} past the end"), store(0), &[(6, MEMORY), value])?;
        v.one(
            &format!("{name} wrapping below zero"),
            store(below(size)),
            &[(6, 0), value],
        )?;
        v.one(
            &format!("{name} wrapping above 4 GiB"),
            store(4),
            &[(6, 0xffff_fffc), value],
        )?;
        v.one_in(
            &format!("{name} on the last bytes of 4 GiB"),
            store(below(size)),
            &[(6, 0), value],
            0xffff_ffff,
        )?;
        if size > 1 {
            v.one(&format!("{name} misaligned"), store(1), &[(6, DATA), value])?;
            v.one(
                &format!("{name} misaligned and past the end"),
                store(size - 1),
                &[(6, MEMORY), value],
            )?;
            v.one(
                &format!("{name} across leaves is misaligned"),
                store(31),
                &[(6, DATA), value],
            )?;
        }
        if size == 4 {
            v.one(&format!("{name} half aligned"), store(2), &[(6, DATA), value])?;
        }
    }
    // A page that becomes zero again is an elided sibling again.
    let mut m = machine(&[
        word(Op::Sw, 0, 6, 7, 0),
        word(Op::Sw, 0, 6, 0, 0),
        word(Op::Lw, 8, 6, 0, 0),
        ECALL,
    ])?;
    m.set_register(6, DATA + 0x2000);
    m.set_register(7, 1);
    v.step("sw on a zero page", &mut m)?;
    v.step("sw of zero on the only word of its page", &mut m)?;
    v.step("lw of the page that is zero again", &mut m)
}

fn illegal(v: &mut Vectors) -> Result<()> {
    let mut words = vec![
        ("zero", 0),
        ("all ones", 0xffff_ffff),
        ("ebreak", 0x0010_0073),
        ("csrrw", 0x3000_1073),
        ("csrrs of cycle", 0xc000_2573),
        ("mret", 0x3020_0073),
        ("wfi", 0x1050_0073),
        ("ecall with rd", ECALL | 1 << 7),
        ("ecall with rs1", ECALL | 1 << 15),
        ("fence.i", 0x0000_100f),
        ("misc-mem funct3 2", 0x0000_200f),
        ("compressed nop", 0x0000_0001),
        ("compressed in the low half", 0x4501_4501),
        ("amoadd.w", 0x0000_202f),
        ("flw", 0x0000_2007),
        ("fadd.s", 0x0000_0053),
        ("addiw (RV64)", 0x0000_001b),
        ("addw (RV64)", 0x0000_003b),
        ("ld (RV64)", 0x0000_3003),
        ("lwu (RV64)", 0x0000_6003),
        ("load funct3 7", 0x0000_7003),
        ("sd (RV64)", 0x0000_3023),
        ("store funct3 4", 0x0000_4023),
        ("store funct3 7", 0x0000_7023),
        ("branch funct3 2", 0x0000_2063),
        ("branch funct3 3", 0x0000_3063),
        ("jalr funct3 1", 0x0000_1067),
        ("jalr funct3 7", 0x0000_7067),
        ("slli with shamt 32", 0x0200_1013),
        ("slli with funct7 0x20", 0x4000_1013),
        ("srli with shamt 32", 0x0200_5013),
        ("srai with shamt 32", 0x4200_5013),
        ("srai with funct7 0x60", 0xc000_5013),
        ("clz (Zbb)", 0x6000_1013),
        ("add with funct7 2", 0x0400_0033),
        ("add with funct7 0x21", 0x4200_0033),
        ("sll with funct7 0x20", 0x4000_1033),
        ("slt with funct7 0x20", 0x4000_2033),
        ("sltu with funct7 0x20", 0x4000_3033),
        ("xnor (Zbb)", 0x4000_4033),
        ("orn (Zbb)", 0x4000_6033),
        ("andn (Zbb)", 0x4000_7033),
        ("mul with funct7 0x41", 0x8200_0033),
    ];
    for (name, base) in [
        ("opcode 0x0b", 0x0b),
        ("opcode 0x2b", 0x2b),
        ("opcode 0x5b", 0x5b),
        ("opcode 0x7b", 0x7b),
    ] {
        words.push((name, base));
    }
    for (name, instruction) in words {
        ensure!(
            decode(instruction).is_none(),
            "{name} is an instruction; it should be illegal"
        );
        v.one(&format!("illegal: {name}"), instruction, &[(5, 7)])?;
    }
    for (name, instruction) in [
        ("fence", 0x0ff0_000f),
        ("fence.tso", 0x8330_000f),
        ("fence, every free bit set", 0xffff_8f8f),
    ] {
        v.one(name, instruction, &[])?;
    }
    v.one("pause (a fence)", 0x0100_000f, &[])
}

fn fetches(v: &mut Vectors) -> Result<()> {
    let nop = word(Op::Addi, 0, 0, 0, 0);
    let at = |pc| -> Result<Machine> {
        let mut machine = machine(&[nop; 5])?;
        machine.set_pc(pc);
        Ok(machine)
    };
    // The code tree: 5 words from 0x60, in 4 leaves.
    for pc in [CODE + 1, CODE + 2, CODE + 3, 0x81, 0xffff_ffff] {
        v.step(&format!("fetch at {pc:#x}: misaligned"), &mut at(pc)?)?;
    }
    for pc in [0x80, 0x8000, 0xffff_fffc] {
        v.step(&format!("fetch at {pc:#x}: outside the code tree"), &mut at(pc)?)?;
    }
    for pc in [0, 0x5c, 0x74, 0x7c] {
        v.step(
            &format!("fetch at {pc:#x}: zeros in the code tree are illegal"),
            &mut at(pc)?,
        )?;
    }
    for pc in [0x60, 0x64, 0x70] {
        v.step(&format!("fetch at {pc:#x}"), &mut at(pc)?)?;
    }
    let low = |code: &[u32]| -> Result<Machine> {
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let segment = Segment {
            address: 0,
            bytes: &bytes,
            size: u32::try_from(bytes.len())?,
            executable: true,
        };
        Ok(Machine::new(
            &Program::new(&[segment], 0, Vec::new())?,
            keccak256(INPUT),
        ))
    };
    let mut m = low(&[nop; 8])?;
    v.step("code tree of height 0, first word", &mut m)?;
    m.set_pc(28);
    v.step("code tree of height 0, last word", &mut m)?;
    v.step("running off a code tree of height 0", &mut m)?;
    let distinct: Vec<u32> = (0..0x4000).map(|i| word(Op::Addi, 5, 5, 0, i)).collect();
    let mut m = low(&distinct)?;
    for pc in [0, 0x1234, 0xfffc] {
        m.set_pc(pc);
        v.step(&format!("fetch at {pc:#x} of 64 KiB of code"), &mut m)?;
    }
    v.step("running off 64 KiB of code", &mut m)
}

fn read_arguments(hash: &Hash, to: u32, offset: u32, length: u32) -> Vec<(u8, u32)> {
    let (words, _) = hash.as_chunks::<4>();
    let mut registers: Vec<_> = (S2..).zip(words.iter().map(|word| u32::from_le_bytes(*word))).collect();
    registers.extend([(A7, 3), (A0, to), (A1, offset), (A2, length)]);
    registers
}

fn calls(v: &mut Vectors) -> Result<()> {
    for code in [0, 1, 0xffff_ffff] {
        v.one(&format!("HALT {code:#x}"), ECALL, &[(A7, 1), (A0, code)])?;
    }
    for number in [0, 6, 93, 0x101, 0x8000_0001, 0xffff_ffff] {
        v.one(
            &format!("system call {number:#x}: unknown"),
            ECALL,
            &[(A7, number), (A0, 5)],
        )?;
    }

    let write = |from, length| [(A7, 2), (A0, from), (A1, length)];
    v.call("WRITE of nothing", &write(DATA, 0), MEMORY)?;
    v.call("WRITE of nothing outside memory", &write(MEMORY, 0), MEMORY)?;
    v.call("WRITE of one byte", &write(DATA + 5, 1), MEMORY)?;
    v.call("WRITE of a leaf", &write(DATA + 32, 32), MEMORY)?;
    v.call("WRITE of three leaves", &write(DATA, 96), MEMORY)?;
    v.call("WRITE across leaves", &write(DATA + 30, 40), MEMORY)?;
    v.call("WRITE across pages", &write(DATA + 0x0ff8, 16), MEMORY)?;
    v.call("WRITE of the last byte", &write(MEMORY - 1, 1), MEMORY)?;
    v.call("WRITE past the end", &write(MEMORY - 8, 16), MEMORY)?;
    v.call("WRITE from outside", &write(0xffff_fff0, 4), MEMORY)?;
    v.call(
        "WRITE from the last leaf of 4 GiB, on to address 0",
        &write(0xffff_ffe8, 32),
        0xffff_ffff,
    )?;
    v.one("WRITE of 4 GiB, first step", ECALL, &write(DATA + 1, 0xffff_ffff))?;

    let data: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(29) ^ 0x5a).collect();
    let hash = v.preimages.insert(&data);
    let read = |to, offset, length| read_arguments(&hash, to, offset, length);
    v.call("READ of nothing", &read(DATA, 0, 0), MEMORY)?;
    v.call(
        "READ of nothing from nowhere",
        &read_arguments(&[0x11; 32], MEMORY, 7, 0),
        MEMORY,
    )?;
    v.call("READ of one byte", &read(DATA + 31, 99, 1), MEMORY)?;
    v.call("READ of a leaf", &read(DATA + 32, 32, 32), MEMORY)?;
    v.call("READ of the whole", &read(DATA, 0, 100), MEMORY)?;
    v.call(
        "READ of more than there is",
        &read(DATA + 0x1000, 0, 0xffff_ffff),
        MEMORY,
    )?;
    v.call("READ across leaves", &read(DATA + 30, 3, 40), MEMORY)?;
    v.call("READ across pages", &read(DATA + 0x0ffc, 90, 8), MEMORY)?;
    v.call("READ at the end", &read(DATA, 100, 4), MEMORY)?;
    v.call("READ past the end", &read(DATA, 0xffff_ffff, 4), MEMORY)?;
    v.call("READ past the end, to outside memory", &read(MEMORY, 100, 4), MEMORY)?;
    v.call("READ to the last byte", &read(MEMORY - 1, 50, 1), MEMORY)?;
    v.call("READ to past the end of memory", &read(MEMORY - 8, 0, 16), MEMORY)?;
    v.call("READ to outside memory", &read(MEMORY, 0, 16), MEMORY)?;
    v.call(
        "READ to the last leaf of 4 GiB, on to address 0",
        &read(0xffff_ffe8, 0, 32),
        0xffff_ffff,
    )?;
    let empty = v.preimages.insert(&[]);
    v.call(
        "READ of the empty preimage",
        &read_arguments(&empty, DATA, 0, 4),
        MEMORY,
    )?;
    let longest = v.preimages.insert(&vec![0xa5; surety_machine::MAX_PREIMAGE_BYTES]);
    let end = u32::try_from(surety_machine::MAX_PREIMAGE_BYTES)?;
    v.call(
        "READ of the end of the longest preimage",
        &read_arguments(&longest, DATA, end - 5, 64),
        MEMORY,
    )?;
    let zeros = v.preimages.insert(&[0; 64]);
    v.call(
        "READ of zeros on zeros",
        &read_arguments(&zeros, DATA + 0x2000, 0, 32),
        MEMORY,
    )?;

    v.one("INPUT", ECALL, &[(A7, 4), (A0, 1), (S2, 1), (S2 + 7, 1)])?;
    for (name, from, length) in [
        ("HINT", DATA, 32),
        ("HINT of nothing", DATA, 0),
        ("HINT too long", DATA, 1025),
        ("HINT from outside memory", MEMORY, 1),
        ("HINT of 4 GiB", DATA, 0xffff_ffff),
    ] {
        v.one(name, ECALL, &[(A7, 5), (A0, from), (A1, length)])?;
    }
    Ok(())
}

fn ended(v: &mut Vectors) -> Result<()> {
    let mut halted = machine(&[ECALL])?;
    halted.set_register(A7, 1);
    halted.set_register(A0, 3);
    halted.run(1, &mut v.preimages)?;
    v.step("a halted machine steps to itself", &mut halted)?;
    let mut trapped = machine(&[0])?;
    trapped.run(1, &mut v.preimages)?;
    v.step("a trapped machine steps to itself", &mut trapped)?;
    // States no machine reaches, but that a dispute may have been led to.
    let state = trapped.state_bytes();
    for status in [3, 0x80, 0xff] {
        let mut hostile = state;
        hostile[256] = status;
        v.hostile(&format!("status {status:#x} counts as ended"), &hostile)?;
    }
    let mut hostile = state;
    hostile[261] = 0xff;
    hostile[262] = 0xff;
    v.hostile("heights of an ended machine are not looked at", &hostile)?;
    let mut hostile = state;
    hostile[256] = 0;
    hostile[257..261].copy_from_slice(&[1, 2, 3, 4]);
    hostile[131] = 1;
    v.hostile("the exit of a running machine is overwritten by a trap", &hostile)
}

/// A short program, every step of it.
fn run_of_steps(v: &mut Vectors) -> Result<()> {
    let code = [
        // Sums five words of data, stores the sum, writes it, and halts with it.
        word(Op::Lui, 5, 0, 0, DATA),
        word(Op::Addi, 6, 0, 0, 5),
        word(Op::Lw, 7, 5, 0, 0),
        word(Op::Add, 28, 28, 7, 0),
        word(Op::Addi, 5, 5, 0, 4),
        word(Op::Addi, 6, 6, 0, below(1)),
        word(Op::Bne, 0, 6, 0, below(16)),
        word(Op::Sw, 0, 5, 28, 0x100),
        word(Op::Addi, A0, 5, 0, 0x100),
        word(Op::Addi, A1, 0, 0, 4),
        word(Op::Addi, A7, 0, 0, 2),
        ECALL,
        word(Op::Addi, A0, 28, 0, 0),
        word(Op::Addi, A7, 0, 0, 1),
        ECALL,
    ];
    let mut m = machine(&code)?;
    while m.status() == surety_machine::Status::Running {
        let name = format!("sum, step {}", m.steps());
        v.step(&name, &mut m)?;
    }
    Ok(())
}

fn rejected() -> Result<Vec<Value>> {
    let mut preimages = MemoryPreimages::default();
    preimages.insert(INPUT);
    let hash = preimages.insert(b"data that is read");
    let mut vectors = Vec::new();
    let mut reject = |name: &str, witness: &[u8]| -> Result<()> {
        let Err(reason) = verify_step(witness, &Shown::default()) else {
            bail!("{name}: accepted; expected a rejection");
        };
        let reason = match reason {
            WitnessError::Truncated { .. } => "truncated",
            WitnessError::Trailing { .. } => "trailing",
            WitnessError::Height { .. } => "height",
            WitnessError::Bitmap { .. } => "bitmap",
            WitnessError::Root { .. } => "root",
            WitnessError::Preimage { .. } => "preimage",
        };
        vectors.push(json!({ "name": name, "witness": hex(witness), "reason": reason }));
        Ok(())
    };
    let mut m = machine(&[word(Op::Sw, 0, 6, 7, 4), ECALL])?;
    m.set_register(6, DATA);
    m.set_register(7, 5);
    let good = m.witness(&mut preimages)?.bytes;
    let code_proof = STATE_BYTES;
    let code_siblings = m.program().code().prove(CODE / 32).siblings.len();
    let memory_proof = code_proof + 36 + 32 * code_siblings;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let cut = |length: usize| good.get(..length).unwrap_or_default().to_vec();
    reject("empty", &[])?;
    reject("a state cut short", &cut(262))?;
    reject("no code proof", &cut(code_proof))?;
    reject("a code leaf cut short", &cut(code_proof + 31))?;
    reject("a code bitmap cut short", &cut(code_proof + 35))?;
    reject("no memory proof", &cut(memory_proof))?;
    reject("a memory proof cut short", &cut(good.len() - 1))?;
    reject("a memory proof short of a sibling", &cut(good.len() - 32))?;
    reject("a byte too many", &[&good[..], &[0]].concat())?;
    reject("a sibling too many", &[&good[..], &[0; 32]].concat())?;
    reject("a wrong code leaf", &with(code_proof, &[0x13]))?;
    reject("a wrong memory leaf", &with(memory_proof, &[0x13]))?;
    reject("a wrong sibling", &with(good.len() - 1, &[good[good.len() - 1] ^ 1]))?;
    reject("a wrong code root", &with(0, &[good[0] ^ 1]))?;
    reject("a wrong memory root", &with(32, &[good[32] ^ 1]))?;
    reject(
        "a code bitmap with a bit at the height",
        &[&with(code_proof + 32, &[0, 0, 0, 4])[..], &[0; 64]].concat(),
    )?;
    reject("a code bitmap with the top bit", &with(code_proof + 32, &[0x80]))?;
    reject(
        "a memory bitmap with a bit at the height",
        &with(memory_proof + 32, &[0, 0, 8, 0]),
    )?;
    reject(
        "a memory bitmap with a bit missing",
        &with(memory_proof + 32, &[0, 0, 0, 0]),
    )?;
    reject("the siblings of another level", &{
        let bitmap: [u8; 4] = std::array::from_fn(|i| good[memory_proof + 32 + i]);
        let bits = u32::from_be_bytes(bitmap);
        with(memory_proof + 32, &(bits << 1 & 0x7ff | bits >> 10).to_be_bytes())
    })?;
    reject("code height 28", &with(261, &[28]))?;
    reject("code height 255", &with(261, &[255]))?;
    reject("memory height 28", &with(262, &[28]))?;
    reject("memory height 255", &with(262, &[255]))?;
    reject("another code height", &with(261, &[3]))?;
    reject("another memory height", &with(262, &[12]))?;
    // A memory proof where the step needs none.
    reject("a memory proof for a misaligned store", &with(135 + 4 * 5, &[1]))?;
    let addi = machine(&[word(Op::Addi, 5, 5, 0, 1)])?.witness(&mut preimages)?.bytes;
    reject(
        "a memory proof for addi",
        &[&addi[..], good.get(memory_proof..).unwrap_or_default()].concat(),
    )?;
    let mut halted = m.state();
    halted.status = 1;
    reject(
        "a halted machine with proofs",
        &[&halted.to_bytes()[..], good.get(code_proof..).unwrap_or_default()].concat(),
    )?;
    let mut outside = m.state();
    outside.pc = 0x80;
    reject(
        "a code proof outside the code tree",
        &[&outside.to_bytes()[..], good.get(code_proof..).unwrap_or_default()].concat(),
    )?;
    // The proof of another leaf than the one asked for.
    let other = Tree::clone(m.program().memory()).prove(DATA / 32 + 1);
    let mut swapped = cut(memory_proof);
    other.encode_to(&mut swapped);
    reject("the memory proof of the next leaf", &swapped)?;
    let mut m = machine(&[ECALL, ECALL])?;
    for (register, value) in read_arguments(&hash, DATA, 0, 4) {
        m.set_register(register, value);
    }
    reject(
        "READ of a preimage that was not shown",
        &m.witness(&mut preimages)?.bytes,
    )?;
    m.set_register(A7, 4);
    reject(
        "INPUT of a preimage that was not shown",
        &m.witness(&mut preimages)?.bytes,
    )?;
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_are_current() -> anyhow::Result<()> {
        super::run(&["--check".to_owned()])
    }

    #[test]
    fn every_instruction_and_trap_has_a_vector() -> anyhow::Result<()> {
        let found = super::steps()?;
        let names: super::BTreeSet<_> = found.vectors.iter().filter_map(|v| v["name"].as_str()).collect();
        assert_eq!(names.len(), found.vectors.len(), "two vectors have the same name");
        let instructions = surety_machine::TABLE.iter().map(|row| row.name);
        let traps = super::TrapCause::ALL.map(super::TrapCause::name);
        for name in instructions.chain(traps) {
            assert!(found.covered.contains(name), "no vector for {name}");
        }
        Ok(())
    }
}
