//! Witnesses: the interpreter and the verifier agree on every step of any program, and no bytes break the verifier.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use proptest::prelude::*;
use support::*;
use surety_machine::{
    Hash, Machine, MemoryPreimages, PreimageOracle, RunError, STATE_BYTES, Status, TABLE, WitnessError, keccak256,
    verify_step,
};

/// A word that is likely an instruction, with operands that are likely to hit something.
fn instruction() -> impl Strategy<Value = u32> {
    let imm = prop_oneof![
        any::<i32>(),
        -64..64i32,
        (-16..16i32).prop_map(|n| n * 4),
        Just(-2048),
        Just(2047)
    ];
    prop_oneof![
        20 => (0..TABLE.len(), 0..32u8, 0..32u8, 0..32u8, imm)
            .prop_map(|(op, rd, rs1, rs2, imm)| word(TABLE[op].op, rd, rs1, rs2, imm)),
        3 => Just(ECALL),
        1 => any::<u32>(),
    ]
}

/// A register value near an edge of something.
fn value() -> impl Strategy<Value = u32> {
    let near = |edge: u32| (0..80u32).prop_map(move |n| edge.wrapping_sub(40).wrapping_add(n));
    prop_oneof![
        any::<u32>(),
        near(0),
        near(DATA),
        near(DATA + 4096),
        near(MEMORY),
        near(0x8000_0000),
        0..8u32
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// P3, at every step: from the witness alone the verifier comes to the state the interpreter comes to.
    #[test]
    fn p3_witness_and_interpreter_agree_on_random_programs(
        code in prop::collection::vec(instruction(), 1..48),
        registers in prop::collection::vec(value(), 31),
        call in 0..7u32,
        whole_hash: bool,
    ) {
        let mut preimages = preimages();
        let hash = preimages.insert(&(0..77).collect::<Vec<u8>>());
        let mut registers: Vec<(u8, u32)> = (1..).zip(registers).collect();
        if whole_hash {
            registers.extend(read_arguments(&hash, registers[9].1, registers[10].1 % 100, registers[11].1));
        }
        registers.push((A7, call));
        let mut machine = machine(&code, &registers);
        for _ in 0..60 {
            match checked_step(&mut machine, &mut preimages) {
                Ok(()) => {}
                Err(RunError::MissingPreimage(_)) => break,
                Err(error) => panic!("{error}"),
            }
            prop_assert_eq!(machine.registers()[0], 0);
        }
    }

    /// P4: any bytes, and any change to a good witness, give a result.
    #[test]
    fn p4_hostile_witnesses(
        change in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        code in prop::collection::vec(instruction(), 1..4),
        registers in prop::collection::vec(value(), 31),
    ) {
        let registers: Vec<(u8, u32)> = (1..).zip(registers).collect();
        let mut machine = machine(&code, &registers);
        let mut preimages = preimages();
        let Ok(witness) = machine.witness(&mut preimages) else { return Ok(()) };
        let mut bytes = witness.bytes.clone();
        for (at, value) in change {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        let shown = Shown::new(witness.preimage, &mut preimages);
        // Whoever knows the root before the step is told the one root after it, whatever else the witness holds.
        if let Ok(verified) = verify_step(&bytes, &shown)
            && verified.before == machine.state_root()
        {
            machine.run(1, &mut preimages).unwrap();
            prop_assert_eq!(verified.after, machine.state_root());
        }
    }

    /// P4: any bytes at all, also with a running state and small heights.
    #[test]
    fn p4_hostile_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..700), heights in (0..40u8, 0..40u8)) {
        struct Anything;
        impl PreimageOracle for Anything {
            fn length(&self, _: &Hash) -> Option<u32> { Some(u32::MAX) }
            fn word(&self, _: &Hash, _: u32) -> Option<[u8; 32]> { Some([7; 32]) }
        }
        let _some_result = verify_step(&bytes, &Anything);
        if bytes.len() >= STATE_BYTES {
            bytes[256] = 0;
            (bytes[261], bytes[262]) = heights;
            bytes[128..130].copy_from_slice(&[0, 0]);
            let _some_result = verify_step(&bytes, &Anything);
        }
    }
}

fn lengths(code: u32, registers: &[(u8, u32)]) -> (usize, Option<(Hash, u32)>) {
    let mut preimages = preimages();
    preimages.insert(&[5; 40]);
    let witness = machine(&[code], registers).witness(&mut preimages).unwrap();
    (witness.bytes.len(), witness.preimage)
}

#[test]
fn a_witness_holds_what_the_step_needs_and_nothing_more() {
    use surety_machine::Op::*;
    // One leaf of code, and memory that is zero but for it: no code sibling; one memory sibling, or none.
    let (state, code, memory) = (STATE_BYTES, 36, 36 + 32);
    let hash = keccak256(&[5; 40]);
    for (what, instruction, registers, expected, preimage) in [
        ("arithmetic", word(Add, 5, 6, 7, 0), vec![], state + code, None),
        ("branch", word(Beq, 0, 6, 7, 8), vec![], state + code, None),
        (
            "load",
            word(Lw, 5, 6, 0, 0),
            vec![(6, DATA)],
            state + code + memory,
            None,
        ),
        (
            "load to x0",
            word(Lw, 0, 6, 0, 0),
            vec![(6, DATA)],
            state + code + memory,
            None,
        ),
        (
            "misaligned load",
            word(Lw, 5, 6, 0, 1),
            vec![(6, DATA)],
            state + code,
            None,
        ),
        (
            "load out of range",
            word(Lw, 5, 6, 0, 0),
            vec![(6, MEMORY)],
            state + code,
            None,
        ),
        (
            "store",
            word(Sw, 0, 6, 7, 0),
            vec![(6, DATA)],
            state + code + memory,
            None,
        ),
        (
            "store out of range",
            word(Sw, 0, 6, 7, 0),
            vec![(6, MEMORY)],
            state + code,
            None,
        ),
        ("illegal", 0xffff_ffff, vec![], state + code, None),
        ("HALT", ECALL, vec![(A7, 1)], state + code, None),
        ("unknown call", ECALL, vec![(A7, 9)], state + code, None),
        (
            "WRITE",
            ECALL,
            write_arguments(DATA, 5).to_vec(),
            state + code + memory,
            None,
        ),
        (
            "WRITE of nothing",
            ECALL,
            write_arguments(DATA, 0).to_vec(),
            state + code,
            None,
        ),
        (
            "WRITE out of range",
            ECALL,
            write_arguments(MEMORY, 5).to_vec(),
            state + code,
            None,
        ),
        (
            "READ",
            ECALL,
            read_arguments(&hash, DATA, 3, 5),
            state + code + memory,
            Some((hash, 3)),
        ),
        (
            "READ of nothing",
            ECALL,
            read_arguments(&hash, DATA, 3, 0),
            state + code,
            None,
        ),
        (
            "READ past the end",
            ECALL,
            read_arguments(&hash, DATA, 40, 5),
            state + code,
            Some((hash, 40)),
        ),
        (
            "READ out of range",
            ECALL,
            read_arguments(&hash, MEMORY, 0, 5),
            state + code,
            Some((hash, 0)),
        ),
        ("INPUT", ECALL, vec![(A7, 4)], state + code, Some((keccak256(INPUT), 0))),
        ("HINT", ECALL, vec![(A7, 5), (A0, DATA), (A1, 9)], state + code, None),
    ] {
        assert_eq!(lengths(instruction, &registers), (expected, preimage), "{what}");
    }
    for pc in [2, 32, 0xffff_fffc] {
        let mut outside = machine(&[NOP], &[]);
        outside.set_pc(pc);
        assert_eq!(outside.witness(&mut preimages()).unwrap().bytes.len(), state);
    }
    let mut halted = machine(&[ECALL], &[(A7, 1)]);
    halted.run(1, &mut preimages()).unwrap();
    assert_eq!(halted.witness(&mut preimages()).unwrap().bytes, halted.state_bytes());
}

#[test]
fn an_unused_witness_is_refused_with_the_reason() {
    let mut machine = machine(&[word(surety_machine::Op::Lw, 5, 6, 0, 0)], &[(6, DATA)]);
    let good = machine.witness(&mut MemoryPreimages::default()).unwrap().bytes;
    let refused = |bytes: &[u8]| verify_step(bytes, &Shown(None)).unwrap_err();
    let length = good.len();
    assert_eq!(
        refused(&good[..262]),
        WitnessError::Truncated {
            part: "state",
            length: 262
        }
    );
    assert_eq!(
        refused(&good[..263]),
        WitnessError::Truncated {
            part: "code proof",
            length: 263
        }
    );
    assert_eq!(
        refused(&good[..length - 1]),
        WitnessError::Truncated {
            part: "memory proof",
            length: length - 1
        }
    );
    assert_eq!(
        refused(&[&good[..], &[0]].concat()),
        WitnessError::Trailing { count: 1 }
    );
    let mut wrong = good.clone();
    wrong[263] ^= 1;
    assert_eq!(refused(&wrong), WitnessError::Root { part: "code proof" });
    let mut height = good;
    height[262] = 28;
    assert_eq!(refused(&height), WitnessError::Height { height: 28 });
    let machine = Machine::clone(&machine);
    assert_eq!(machine.status(), Status::Running);
}
