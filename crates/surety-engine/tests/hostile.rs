//! Programs that mean harm: whatever they do, time and memory stay bounded, and the result is the interpreter's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "a test limits its own process")]

#[path = "intrinsics/assembly.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod assembly;
mod support;

use support::{
    compare::{INPUT, engines_agree, preimages},
    generate::{Source, word},
};
use surety_engine::{Kind, Options, Run, translate};
use surety_machine::{MAX_CODE_BYTES, Machine, Op, Program, RunError, Segment, Status, TrapCause, keccak256};

const ECALL: u32 = 0x73;

fn bytes(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A program with this code at address 0 and so much memory.
fn program(code: &[u32], memory: u64) -> Program {
    let code = bytes(code);
    let start = (code.len() as u32).next_multiple_of(4096);
    let segments = [
        Segment {
            address: 0,
            bytes: &code,
            size: code.len() as u32,
            executable: true,
        },
        Segment {
            address: start,
            bytes: &[],
            size: (memory - u64::from(start)) as u32,
            executable: false,
        },
    ];
    Program::new(&segments, 0, Vec::new()).unwrap()
}

fn run(program: &Program, until: u64) -> Run {
    let mut run = Run::new(Kind::Translated, program, keccak256(INPUT)).unwrap();
    assert_eq!(run.kind(), Kind::Translated);
    run.run(until, &mut preimages()).unwrap();
    run
}

fn agrees(program: &Program, until: u64) {
    let mut reference = Machine::new(program, keccak256(INPUT));
    reference.run(until, &mut preimages()).unwrap();
    let mut run = run(program, until);
    assert_eq!((run.steps(), run.pc()), (reference.steps(), reference.pc()));
    assert_eq!(run.state_root(), reference.state_root());
}

fn small(code: &[u32]) -> Program {
    program(code, 0x1_0000)
}

#[test]
fn an_endless_loop_ends_with_its_budget() {
    // In one instruction, in two, and through a register.
    for code in [
        vec![word(Op::Jal, 0, 0, 0, 0)],
        vec![word(Op::Addi, 5, 5, 0, 1), word(Op::Jal, 0, 0, 0, (-4_i32) as u32)],
        vec![word(Op::Addi, 5, 0, 0, 4), word(Op::Jalr, 0, 5, 0, 0)],
        vec![word(Op::Beq, 0, 0, 0, 0)],
    ] {
        let program = small(&code);
        for budget in [0, 1, 2, 3, 7, 1_000_003] {
            agrees(&program, budget);
        }
        let run = run(&program, 30_000_001);
        assert_eq!((run.status(), run.steps()), (Status::Running, 30_000_001));
    }
}

#[test]
fn p3_a_short_program_is_out_of_steps_at_each_index() {
    let code: Vec<u32> = (0..200)
        .map(|i| match i % 9 {
            0 => word(Op::Lui, 5, 0, 0, 0x8000),
            1 => word(Op::Addi, 5, 5, 0, 16),
            2 => word(Op::Sw, 0, 5, 6, 4),
            3 => word(Op::Slli, 6, 5, 0, 16),
            4 => word(Op::Srli, 6, 6, 0, 16),
            5 => word(Op::Lui, 7, 0, 0, 0x8000),
            6 => word(Op::Lw, 7, 7, 0, 20),
            7 => word(Op::Div, 8, 6, 7, 0),
            _ => word(Op::Add, 9, 9, 8, 0),
        })
        .collect();
    let program = small(&code);
    for budget in 0..=202 {
        agrees(&program, budget);
    }
}

#[test]
fn every_instruction_can_be_jumped_to() {
    // 300 instructions in one block, and a jump to each of them with bit 0 clear and set.
    let mut code = vec![word(Op::Lui, 6, 0, 0, 0x1234_5000), 0, 0];
    code.extend((0..300).map(|i| match i % 10 {
        0 => word(Op::Addi, 6, 6, 0, i),
        1 => word(Op::Lui, 7, 0, 0, i << 12),
        2 => word(Op::Addi, 7, 7, 0, i),
        // A rotation whose parts lie apart: who jumps between them has made none of it.
        3 => word(Op::Slli, 7, 6, 0, 5),
        4 => word(Op::Addi, 8, 8, 0, i),
        5 => word(Op::Srli, 9, 6, 0, 27),
        6 => word(Op::Addi, 8, 8, 0, 1),
        7 => word(Op::Or, 9, 7, 9, 0),
        8 => word(Op::Add, 6, 9, 8, 0),
        _ => word(Op::Addi, 7, 8, 0, 3),
    }));
    code.push(word(Op::Addi, 17, 0, 0, 1));
    code.push(ECALL);
    for to in 0..303_u32 {
        for odd in 0..2 {
            code[1] = word(Op::Addi, 5, 0, 0, 4 * to + odd);
            code[2] = word(Op::Jalr, 1, 5, 0, 0);
            agrees(&small(&code), 1_000);
        }
    }
    for to in [2_u32, 1210, 0x7fe] {
        code[1] = word(Op::Addi, 5, 0, 0, to);
        agrees(&small(&code), 1_000);
    }
}

#[test]
fn a_guest_reaches_no_memory_but_its_own() {
    // Loads and stores of every width at addresses around every edge: each in memory, or a trap as the interpreter's.
    for memory in [1_u64 << 16, 1 << 20, 1 << 32] {
        let edges = [0, memory as u32, 1 << 31, u32::MAX - 7, (memory - 8) as u32];
        for edge in edges {
            for offset in [0_i32, 1, 2, 3, 4, 7, 8, -1, -2, -4, 2047, -2048] {
                for op in [Op::Lb, Op::Lhu, Op::Lw, Op::Sb, Op::Sh, Op::Sw] {
                    let low = ((edge << 20) as i32 >> 20) as u32;
                    let code = [
                        word(Op::Lui, 5, 0, 0, edge.wrapping_sub(low)),
                        word(Op::Addi, 5, 5, 0, low),
                        word(op, 6, 5, 5, offset as u32),
                        word(op, 6, 0, 5, offset as u32),
                        ECALL,
                    ];
                    agrees(&program(&code, memory), 10);
                }
            }
        }
    }
}

#[test]
fn faults_without_end_stay_bounded() {
    // Reads the last word of 4 GiB by an address that wraps, which the host cannot do directly, for ever.
    let code = [
        word(Op::Lw, 6, 0, 0, (-4_i32) as u32),
        word(Op::Addi, 5, 5, 0, 1),
        word(Op::Jal, 0, 0, 0, (-8_i32) as u32),
    ];
    agrees(&program(&code, 1 << 32), 1_000_000);
    // Jumps that no table has an entry for.
    let code = [
        word(Op::Auipc, 5, 0, 0, 0),
        word(Op::Jalr, 1, 5, 0, 13),
        word(Op::Addi, 6, 6, 0, 1),
        word(Op::Addi, 6, 6, 0, 1),
        word(Op::Jal, 0, 0, 0, (-16_i32) as u32),
    ];
    agrees(&small(&code), 1_000_000);
}

#[test]
fn four_gib_touched_page_by_page() {
    // Each page of 4 GiB is read, one in 64 written: 4 GiB are never all in the host's memory.
    let code = [
        word(Op::Lui, 5, 0, 0, 0x1000),
        word(Op::Lui, 8, 0, 0, 0x1000),
        word(Op::Lui, 9, 0, 0, 0x4_0000),
        // Over the code's own page too, which changes nothing about what runs.
        word(Op::Lw, 6, 7, 0, 0),
        word(Op::Add, 7, 7, 8, 0),
        word(Op::Bne, 0, 7, 0, (-8_i32) as u32),
        word(Op::Sw, 0, 7, 9, 0),
        word(Op::Add, 7, 7, 9, 0),
        word(Op::Bne, 0, 7, 0, (-8_i32) as u32),
        word(Op::Addi, 17, 0, 0, 1),
        ECALL,
    ];
    let program = program(&code, 1 << 32);
    agrees(&program, u64::MAX);
    assert_eq!(run(&program, u64::MAX).status(), Status::Halted);
}

#[test]
fn code_of_the_largest_size() {
    // 8,388,608 instructions of the kinds that become longest.
    let count = MAX_CODE_BYTES as usize / 4;
    let code: Vec<u32> = (0..count as u32)
        .map(|i| match i % 4 {
            0 => word(Op::Rem, (i % 31) as u8 + 1, (i % 29) as u8 + 1, (i % 23) as u8 + 1, 0),
            1 => word(Op::Beq, 0, (i % 31) as u8, (i % 29) as u8, 2044),
            2 => word(Op::Jalr, (i % 31) as u8, (i % 29) as u8, 0, 2),
            _ => word(
                Op::Mulhsu,
                (i % 31) as u8 + 1,
                (i % 29) as u8 + 1,
                (i % 23) as u8 + 1,
                0,
            ),
        })
        .collect();
    let program = program(&code, 1 << 26);
    let translated = translate(&program, Options::default()).unwrap().unwrap();
    // What SECURITY.md says of the host code of any program.
    assert!(translated.bytes() <= 160 * count + 4096, "{}", translated.bytes());
    let mut run = Run::with_code(Kind::Translated, Some(&translated), &program, keccak256(INPUT)).unwrap();
    let mut reference = Machine::new(&program, keccak256(INPUT));
    run.run(100_000, &mut preimages()).unwrap();
    reference.run(100_000, &mut preimages()).unwrap();
    assert_eq!(run.state_root(), reference.state_root());
}

#[test]
fn the_table_of_the_largest_program_is_reached() {
    // A call through a register from the first instructions to the last: the table lies beyond all code.
    let count = MAX_CODE_BYTES as usize / 4;
    let mut code = vec![word(Op::Addi, 5, 5, 0, 1); count];
    let far = MAX_CODE_BYTES - 0x100;
    code[0] = word(Op::Lui, 1, 0, 0, far.wrapping_add(0x800) & 0xffff_f000);
    code[1] = word(
        Op::Addi,
        1,
        1,
        0,
        far.wrapping_sub(far.wrapping_add(0x800) & 0xffff_f000),
    );
    code[2] = word(Op::Jalr, 1, 1, 0, 0);
    code[3] = ECALL;
    code[far as usize / 4 + 1] = word(Op::Jalr, 0, 1, 0, 0);
    let program = program(&code, 0xffff_f000);
    agrees(&program, 1000);
}

#[test]
fn a_branch_over_one_instruction_ends_a_block_of_the_most() {
    for before in 112..124 {
        let mut code = vec![word(Op::Addi, 5, 5, 0, 1); before];
        code.push(word(Op::Beq, 0, 6, 7, 8));
        code.push(word(Op::Addi, 8, 5, 0, 1));
        code.push(word(Op::Addi, 9, 5, 0, 1));
        code.push(ECALL);
        let program = small(&code);
        for until in [1, before as u64, before as u64 + 1, before as u64 + 2, 1000] {
            agrees(&program, until);
        }
    }
}

#[test]
fn a_rotation_is_none_for_who_jumps_behind_its_first_shift() {
    // The one shift, something, the other, and both together, in all orders; neither part is overwritten after it.
    for (left, result) in [(true, 11), (true, 12), (false, 11), (false, 12)] {
        let (first, second) = if left {
            (Op::Slli, Op::Srli)
        } else {
            (Op::Srli, Op::Slli)
        };
        let mut code = vec![
            word(Op::Addi, 10, 0, 0, 0x123),
            word(Op::Addi, 11, 0, 0, 0x456),
            word(Op::Addi, 12, 0, 0, 0x789),
            word(Op::Addi, 5, 0, 0, 0),
            word(Op::Jalr, 1, 5, 0, 0),
        ];
        let start = code.len() as u32;
        code.extend([
            word(first, 11, 10, 0, 24),
            word(Op::Addi, 8, 8, 0, 1),
            word(second, 12, 10, 0, 8),
            word(Op::Addi, 9, 9, 0, 1),
            word(Op::Xor, result, 11, 12, 0),
            ECALL,
        ]);
        for behind in 0..6 {
            code[3] = word(Op::Addi, 5, 0, 0, 4 * (start + behind));
            let program = small(&code);
            for until in 0..12 {
                agrees(&program, until);
            }
        }
    }
}

#[test]
fn a_fault_makes_no_part_of_a_rotation_for_who_jumps_behind_it() {
    // What is left of a part is overwritten after an access that faults, perhaps by it.
    for (base, to) in [(0, 14), (0, 12), (2, 14)] {
        let mut code = vec![
            word(Op::Addi, 10, 0, 0, 0x123),
            word(Op::Addi, 11, 0, 0, 0x456),
            word(Op::Addi, 12, 0, 0, 0x789),
            word(Op::Lui, 2, 0, 0, 0x8000),
            word(Op::Addi, 5, 0, 0, 0),
            word(Op::Jalr, 1, 5, 0, 0),
        ];
        let start = code.len() as u32;
        code.extend([
            word(Op::Slli, 11, 10, 0, 24),
            word(Op::Lw, 13, 2, 0, 0),
            word(Op::Srli, 12, 10, 0, 8),
            word(Op::Xor, 11, 11, 12, 0),
            word(Op::Lw, 15, 2, 0, 4),
            word(Op::Lw, to, base, 0, 1),
            word(Op::Addi, 12, 0, 0, 1),
            ECALL,
        ]);
        for behind in 0..7 {
            code[4] = word(Op::Addi, 5, 0, 0, 4 * (start + behind));
            agrees(&small(&code), 100);
        }
    }
}

#[test]
fn megabytes_of_output() {
    // Writes 64 KiB again and again.
    let code = [
        word(Op::Addi, 17, 0, 0, 2),
        word(Op::Addi, 10, 0, 0, 0),
        word(Op::Lui, 11, 0, 0, 0x1_0000),
        ECALL,
        word(Op::Jal, 0, 0, 0, (-12_i32) as u32),
    ];
    let program = small(&code);
    let mut run = Run::new(Kind::Translated, &program, keccak256(INPUT)).unwrap();
    let limit = 3 << 20;
    run.set_output_limit(Some(limit));
    let stopped = run.run(u64::MAX, &mut preimages());
    assert!(
        matches!(
            stopped,
            Err(surety_engine::Error::Run(RunError::OutputLimit { limit: 3_145_728 }))
        ),
        "{stopped:?}"
    );
    assert_eq!(run.output().len(), limit);
    run.set_output_limit(None);
    run.run(run.steps() + 100_000, &mut preimages()).unwrap();
    assert!(run.output().is_empty());
    let mut reference = Machine::new(&program, keccak256(INPUT));
    reference.set_output_limit(None);
    reference.run(run.steps(), &mut preimages()).unwrap();
    assert_eq!(run.state_root(), reference.state_root());
}

#[test]
fn stores_over_code_change_data_and_no_instruction() {
    let code = [
        word(Op::Addi, 5, 0, 0, 0x73),
        word(Op::Sw, 0, 0, 5, 12),
        word(Op::Fence, 0, 0, 0, 0),
        word(Op::Addi, 6, 6, 0, 1),
        word(Op::Lw, 7, 0, 0, 12),
        0xffff_ffff,
    ];
    let program = small(&code);
    let run = run(&program, 100);
    assert_eq!(run.outcome().trap(), Some(TrapCause::Illegal));
    assert_eq!((run.registers()[6], run.registers()[7]), (1, 0x73));
    agrees(&program, 100);
}

/// Reads its input to 0x8000.
fn reads_input() -> Program {
    small(&[
        word(Op::Addi, 17, 0, 0, 4),
        ECALL,
        word(Op::Addi, 17, 0, 0, 3),
        word(Op::Addi, 12, 10, 0, 0),
        word(Op::Lui, 10, 0, 0, 0x8000),
        word(Op::Addi, 11, 0, 0, 0),
        ECALL,
        0,
    ])
}

#[test]
fn a_missing_preimage_is_asked_for_again() {
    let program = reads_input();
    let mut run = Run::new(Kind::Translated, &program, keccak256(INPUT)).unwrap();
    let missing = run.run(100, &mut surety_machine::MemoryPreimages::default());
    assert!(
        matches!(missing, Err(surety_engine::Error::Run(RunError::MissingPreimage(_)))),
        "{missing:?}"
    );
    assert_eq!(run.steps(), 1);
    run.run(100, &mut preimages()).unwrap();
    assert_eq!(run.read_memory(0x8000, INPUT.len() as u32).unwrap(), INPUT);
    engines_agree(&program, &mut Source::new(b"any"), 30, 100).unwrap();
}

#[test]
fn a_preimage_that_comes_late_is_no_difference() {
    struct Late(bool);
    impl surety_machine::Preimages for Late {
        fn get(&mut self, hash: &surety_machine::Hash) -> Option<std::sync::Arc<[u8]>> {
            std::mem::replace(&mut self.0, true)
                .then(|| surety_machine::Preimages::get(&mut preimages(), hash))
                .flatten()
        }
    }
    let program = reads_input();
    let mut run = Run::new(Kind::Check, &program, keccak256(INPUT)).unwrap();
    let mut late = Late(false);
    let missing = run.run(100, &mut late);
    assert!(
        matches!(missing, Err(surety_engine::Error::Run(RunError::MissingPreimage(_)))),
        "{missing:?}"
    );
    assert_eq!(run.run(100, &mut late).unwrap(), Status::Trapped);
    assert_eq!(run.read_memory(0x8000, INPUT.len() as u32).unwrap(), INPUT);
}

#[test]
fn check_says_after_which_step_engines_differ() {
    let counts = |by: u32| {
        small(&[
            word(Op::Addi, 6, 0, 0, 7),
            word(Op::Addi, 5, 5, 0, 1),
            word(Op::Bne, 0, 5, 6, (-4_i32) as u32),
            word(Op::Addi, 7, 0, 0, by),
            word(Op::Jal, 0, 0, 0, 0),
        ])
    };
    // Another program's code stands for a wrong translation: the sixteenth step is another's. It shows where its block,
    // which has two, is run whole: of a part of one the interpreter takes the steps.
    let wrong = translate(&counts(2), Options::default()).unwrap();
    let run = |until: u64| {
        let mut run = Run::with_code(Kind::Check, wrong.as_ref(), &counts(1), keccak256(INPUT)).unwrap();
        run.run(until, &mut preimages())
    };
    assert_eq!(run(16).unwrap(), Status::Running);
    for until in [17, 18, 100_000] {
        let differ = run(until);
        assert!(
            matches!(differ, Err(surety_engine::Error::Differ { step: 17, .. })),
            "{differ:?}"
        );
    }
}

#[test]
fn many_threads_share_code() {
    let code = [
        word(Op::Lui, 5, 0, 0, 0x8000),
        word(Op::Sw, 0, 5, 6, 0),
        word(Op::Lw, 7, 5, 0, 0),
        word(Op::Addi, 6, 7, 0, 3),
        word(Op::Jal, 0, 0, 0, (-12_i32) as u32),
    ];
    let program = small(&code);
    let code = translate(&program, Options::default()).unwrap();
    let mut reference = Machine::new(&program, keccak256(INPUT));
    reference.run(2_000_000, &mut preimages()).unwrap();
    let expected = reference.state_root();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut run = Run::with_code(Kind::Translated, code.as_ref(), &program, keccak256(INPUT)).unwrap();
                for until in (0..=2_000_000).step_by(9_973).chain([2_000_000]) {
                    run.run(until, &mut preimages()).unwrap();
                }
                assert_eq!(run.state_root(), expected);
            });
        }
    });
}

#[test]
fn code_can_be_run_and_not_written() {
    let program = small(&[word(Op::Jal, 0, 0, 0, 0)]);
    let run = run(&program, 10);
    // No mapping of this process is both; those of translated code are among them while `run` lives.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let both: Vec<_> = maps
        .lines()
        .filter(|line| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|p| p.contains('w') && p.contains('x'))
        })
        .collect();
    assert!(both.is_empty(), "{both:?}");
    let anonymous = maps.lines().filter(|line| {
        let parts: Vec<_> = line.split_whitespace().collect();
        parts.get(1) == Some(&"r-xp") && parts.len() == 5
    });
    assert!(anonymous.count() >= 1);
    drop(run);
}

#[test]
fn p3_what_is_skipped_is_not_counted() {
    // Branches over one instruction, taken and not, which the host does without branching; rotations of which a part is
    // seen later; and branches out of the middle of a block. A loop around them, stopped everywhere.
    let code = [
        word(Op::Lui, 8, 0, 0, 0x1234_5000),
        word(Op::Addi, 8, 8, 0, 0x67),
        word(Op::Andi, 6, 5, 0, 1),
        word(Op::Bne, 0, 6, 0, 8),
        word(Op::Addi, 7, 5, 0, 3),
        word(Op::Beq, 0, 6, 0, 8),
        word(Op::Addi, 9, 0, 0, 77),
        word(Op::Slli, 10, 8, 0, 7),
        word(Op::Srli, 11, 8, 0, 25),
        word(Op::Or, 10, 10, 11, 0),
        word(Op::Srli, 12, 10, 0, 3),
        word(Op::Slli, 10, 10, 0, 29),
        word(Op::Xor, 8, 10, 12, 0),
        word(Op::Add, 13, 10, 12, 0),
        word(Op::Andi, 14, 5, 0, 6),
        word(Op::Beq, 0, 14, 0, 16),
        word(Op::Slli, 15, 14, 0, 2),
        word(Op::Add, 15, 15, 8, 0),
        word(Op::Addi, 16, 16, 0, 1),
        word(Op::Addi, 5, 5, 0, 1),
        word(Op::Jal, 0, 0, 0, (-72_i32) as u32),
    ];
    let program = small(&code);
    for until in 0..400 {
        agrees(&program, until);
    }
    agrees(&program, 1_000_003);
}

#[test]
fn calls_that_host_code_declines_are_made_for_ever() {
    // memcpy of a byte to itself, which is an overlap; then the same again.
    let mut code = vec![
        word(Op::Lui, 10, 0, 0, 0x8000),
        word(Op::Lui, 11, 0, 0, 0x8000),
        word(Op::Addi, 12, 0, 0, 1),
        word(Op::Jal, 1, 0, 0, 0x100 - 12),
        word(Op::Jal, 0, 0, 0, (-16_i32) as u32),
    ];
    code.resize(0x40, 0);
    code.extend(assembly::code("memcpy"));
    agrees(&small(&code), 10_000_000);
}

#[test]
fn what_lies_within_a_rotation_costs_no_more_than_in_the_interpreter() {
    // A rotation whose parts lie a hundred instructions apart, and a jump behind its first, for ever.
    let mut code = vec![word(Op::Addi, 5, 0, 0, 8), word(Op::Slli, 6, 7, 0, 5)];
    code.extend([word(Op::Addi, 8, 8, 0, 1); 100]);
    code.push(word(Op::Srli, 9, 7, 0, 27));
    code.push(word(Op::Or, 9, 6, 9, 0));
    code.push(word(Op::Addi, 6, 0, 0, 0));
    code.push(word(Op::Jalr, 0, 5, 0, 0));
    let program = small(&code);
    for until in (0..300).chain([1_000_003]) {
        agrees(&program, until);
    }
    let time = |kind: Kind| {
        let mut run = Run::new(kind, &program, keccak256(INPUT)).unwrap();
        let start = std::time::Instant::now();
        run.run(20_000_000, &mut preimages()).unwrap();
        start.elapsed()
    };
    let (interpreter, translated) = (time(Kind::Interpreter), time(Kind::Translated));
    assert!(
        translated < 4 * interpreter,
        "{translated:?}, the interpreter {interpreter:?}"
    );
}

#[test]
fn a_fault_where_steps_are_not_counted_is_a_trap() {
    // A block of one instruction is charged for on entry; the fault is in a block of many.
    let mut code = vec![word(Op::Jal, 0, 0, 0, 8), 0, word(Op::Lw, 5, 0, 0, 1)];
    code.extend([word(Op::Addi, 6, 6, 0, 1); 100]);
    let program = small(&code);
    let options = Options {
        metered: false,
        ..Options::default()
    };
    let mut run = Run::with_options(Kind::Translated, options, &program, keccak256(INPUT)).unwrap();
    assert_eq!(run.run(u64::MAX, &mut preimages()).unwrap(), Status::Trapped);
    assert_eq!(run.pc(), 8);
}

/// Set in the process that a test starts of itself, since what it limits is the process's.
const CHILD: &str = "SURETY_ENGINE_TEST_CHILD";

/// Whether this is that process; else it is started, and must succeed.
fn is_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    false
}

fn limit(resource: libc::__rlimit_resource_t, bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a plain call.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

#[test]
fn without_room_for_addresses_the_interpreter_runs() {
    if !is_child("without_room_for_addresses_the_interpreter_runs") {
        return;
    }
    let program = small(&[word(Op::Addi, 17, 0, 0, 1), ECALL]);
    limit(libc::RLIMIT_AS, 3 << 30);
    let codes = surety_engine::Codes::default();
    let mut run = codes.run(&program, keccak256(INPUT)).unwrap();
    assert_eq!(run.kind(), Kind::Interpreter);
    assert_eq!(run.run(10, &mut preimages()).unwrap(), Status::Halted);
    let checked = surety_engine::Codes::new(Kind::Check, None).run(&program, keccak256(INPUT));
    assert!(
        matches!(checked, Err(surety_engine::Error::Memory { .. })),
        "{checked:?}"
    );
}

/// Adds to a word in every so many bytes of memory, twice, and halts.
fn strides(memory: u32, stride: u32) -> Program {
    let code = [
        word(Op::Lui, 8, 0, 0, memory),
        word(Op::Lui, 9, 0, 0, stride),
        word(Op::Addi, 7, 0, 0, 2),
        word(Op::Lui, 5, 0, 0, 0x1_0000),
        word(Op::Lw, 6, 5, 0, 16),
        word(Op::Add, 6, 6, 5, 0),
        word(Op::Sw, 0, 5, 6, 16),
        word(Op::Add, 5, 5, 9, 0),
        word(Op::Bltu, 0, 5, 8, (-16_i32) as u32),
        word(Op::Addi, 7, 7, 0, (-1_i32) as u32),
        word(Op::Bne, 0, 7, 0, (-28_i32) as u32),
        word(Op::Addi, 17, 0, 0, 1),
        ECALL,
    ];
    program(&code, memory.into())
}

#[test]
fn p3_what_the_host_refuses_is_not_seen() {
    if !is_child("p3_what_the_host_refuses_is_not_seen") {
        return;
    }
    let program = strides(1 << 28, 0x1_0000);
    let mut reference = Machine::new(&program, keccak256(INPUT));
    reference.run(30_000, &mut preimages()).unwrap();
    let middle = reference.state_root();
    reference.run(u64::MAX, &mut preimages()).unwrap();
    let mut run = Run::new(Kind::Translated, &program, keccak256(INPUT)).unwrap();
    // Of 256 MiB that the program touches a quarter can be made writable.
    limit(libc::RLIMIT_DATA, 64 << 20);
    run.run(30_000, &mut preimages()).unwrap();
    limit(libc::RLIMIT_DATA, libc::RLIM_INFINITY);
    assert_eq!(run.state_root(), middle);
    let checkpoint = run.checkpoint();
    run.run(u64::MAX, &mut preimages()).unwrap();
    assert_eq!((run.status(), run.steps()), (Status::Halted, reference.steps()));
    assert_eq!(run.state_root(), reference.state_root());
    let code = translate(&program, Options::default()).unwrap();
    let mut run = Run::restore(Kind::Translated, code.as_ref(), &checkpoint).unwrap();
    run.run(u64::MAX, &mut preimages()).unwrap();
    assert_eq!(run.state_root(), reference.state_root());
}

#[test]
fn mappings_do_not_run_out() {
    if !is_child("mappings_do_not_run_out") {
        return;
    }
    // Every other chunk of 1 GiB: 16,384 mappings in each run, of 65,530 that a process has.
    let program = strides(1 << 30, 0x2_0000);
    let mut reference = Machine::new(&program, keccak256(INPUT));
    reference.run(u64::MAX, &mut preimages()).unwrap();
    let expected = reference.state_root();
    let count = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let mut runs: Vec<Run> = (0..6).map(|_| run(&program, u64::MAX)).collect();
    assert!(count() < 52_000, "{}", count());
    for run in &mut runs {
        assert_eq!((run.status(), run.state_root()), (Status::Halted, expected));
    }
    // There is room again when they are gone.
    drop(runs);
    drop(run(&program, u64::MAX));
    let run = run(&program, u64::MAX);
    assert!(count() > 16_384, "{}", count());
    drop(run);
}

#[test]
fn a_thread_may_have_all_signals_blocked() {
    let program = small(&[word(Op::Sw, 0, 0, 0, 1), word(Op::Addi, 17, 0, 0, 1), ECALL]);
    let masked = std::thread::spawn(move || {
        // SAFETY: plain calls on a set of our own.
        let blocked = |how, set: &mut libc::sigset_t| unsafe {
            libc::pthread_sigmask(how, set, set);
            libc::sigismember(set, libc::SIGSEGV) == 1
        };
        // SAFETY: as above; zero is a valid set.
        let mut set = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigfillset(&mut set);
            set
        };
        blocked(libc::SIG_SETMASK, &mut set);
        agrees(&program, 10);
        // As it was.
        // SAFETY: as above.
        unsafe { libc::sigemptyset(&mut set) };
        assert!(blocked(libc::SIG_BLOCK, &mut set));
    });
    masked.join().unwrap();
}
