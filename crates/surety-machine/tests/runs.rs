//! Whole runs: stopping at any step, budgets, checkpoints, roots, results.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use support::*;
use surety_machine::{
    Machine, MemoryPreimages, Op, Outcome, Preimages, Program, Segment, State, Status, WithInput, keccak256,
};

/// Reads the 100 bytes of a preimage (4 steps), writes 70 of them across leaves (4 steps), stores in a loop, halts.
fn busy() -> (Machine, MemoryPreimages) {
    let mut preimages = preimages();
    let hash = preimages.insert(&(0..100).collect::<Vec<u8>>());
    let mut code = vec![ECALL];
    code.extend([
        word(Op::Lui, A0, 0, 0, DATA as i32),
        word(Op::Addi, A0, A0, 0, 30),
        word(Op::Addi, A1, 0, 0, 70),
        word(Op::Addi, A7, 0, 0, 2),
        ECALL,
        word(Op::Addi, 5, 0, 0, 50),
        word(Op::Lui, 6, 0, 0, (DATA + 0x3000) as i32),
        word(Op::Sw, 0, 6, 5, 0),
        word(Op::Addi, 6, 6, 0, 100),
        word(Op::Addi, 5, 5, 0, -1),
        word(Op::Bne, 0, 5, 0, -12),
        word(Op::Addi, A7, 0, 0, 1),
        ECALL,
    ]);
    (machine(&code, &read_arguments(&hash, DATA, 0, 200)), preimages)
}

#[test]
fn p3_runs_stop_at_any_step_and_come_to_the_same_states() {
    let (mut by_one, mut preimages) = busy();
    let mut roots = vec![by_one.state_root()];
    while by_one.status() == Status::Running {
        by_one.run(by_one.steps() + 1, &mut preimages).unwrap();
        roots.push(by_one.state_root());
    }
    let end = by_one.steps();
    assert_eq!(end, 4 + 4 + 4 + 2 + 50 * 4 + 2);
    assert_eq!(roots.len() as u64, end + 1);
    for until in 0..=end {
        let (mut at_once, mut preimages) = busy();
        at_once.run(until, &mut preimages).unwrap();
        assert_eq!(at_once.steps(), until);
        assert_eq!(at_once.state_root(), roots[until as usize], "step {until}");
        // And on from there.
        at_once.run(u64::MAX, &mut preimages).unwrap();
        assert_eq!((at_once.steps(), at_once.state_root()), (end, roots[end as usize]));
    }
    // All roots in one pass, also past the end and repeated.
    let (mut machine, mut preimages) = busy();
    let mut counts: Vec<u64> = (0..=end).collect();
    counts.extend([end, end + 1, u64::MAX]);
    let found = machine.roots_at(&counts, &mut preimages).unwrap();
    roots.extend([roots[end as usize]; 3]);
    assert_eq!(found, roots);
}

#[test]
fn checkpoints_and_clones_go_on_as_the_machine_does() {
    let (mut machine, mut preimages) = busy();
    let mut kept = Vec::new();
    while machine.status() == Status::Running {
        kept.push((machine.checkpoint(), machine.clone()));
        machine.run(machine.steps() + 7, &mut preimages).unwrap();
    }
    let (end, root) = (machine.steps(), machine.state_root());
    for (checkpoint, mut clone) in kept {
        let mut restored = checkpoint.restore();
        assert_eq!(
            (restored.steps(), clone.steps()),
            (checkpoint.steps(), checkpoint.steps())
        );
        assert_eq!(restored.state_root(), clone.state_root());
        restored.run(u64::MAX, &mut preimages).unwrap();
        clone.run(u64::MAX, &mut preimages).unwrap();
        assert_eq!((restored.steps(), restored.state_root()), (end, root));
        assert_eq!((clone.steps(), clone.state_root()), (end, root));
        assert_eq!((restored.output(), clone.output()), (&[][..], machine.output()));
    }
}

#[test]
fn a_clone_with_pages_not_yet_hashed_is_independent() {
    let (mut machine, mut preimages) = busy();
    machine.run(40, &mut preimages).unwrap();
    let mut clone = machine.clone();
    machine.memory().put(DATA, &[0xaa; 64]).unwrap();
    assert_ne!(clone.state_root(), machine.state_root());
    let (mut same, mut preimages) = busy();
    same.run(40, &mut preimages).unwrap();
    assert_eq!(clone.state_root(), same.state_root());
}

#[test]
fn out_of_steps_is_a_result() {
    let (mut machine, mut preimages) = busy();
    machine.run(9, &mut preimages).unwrap();
    let outcome = machine.outcome();
    assert_eq!(
        (outcome.status, outcome.exit, outcome.trap()),
        (Status::Running, 0, None)
    );
    assert_eq!(machine.output(), [30, 31]);
    let mut encoded = vec![0; 5];
    encoded.extend(outcome.output_root);
    assert_eq!(outcome.result_hash(), keccak256(&encoded));
    let halted = Outcome {
        status: Status::Halted,
        exit: 0x0102_0304,
        output_root: [9; 32],
    };
    let mut encoded = vec![1, 1, 2, 3, 4];
    encoded.extend([9; 32]);
    assert_eq!(halted.result_hash(), keccak256(&encoded));
}

#[test]
fn a_budget_of_zero_takes_no_step() {
    let (mut machine, mut preimages) = busy();
    let root = machine.state_root();
    assert_eq!(machine.run(0, &mut preimages), Ok(Status::Running));
    assert_eq!((machine.steps(), machine.state_root()), (0, root));
}

#[test]
fn the_state_encoding_is_that_of_the_specification() {
    let (mut machine, mut preimages) = busy();
    machine.set_register(0, 77);
    machine.set_register(32, 77);
    machine.set_register(31, 0x0102_0304);
    machine.run(5, &mut preimages).unwrap();
    let bytes = machine.state_bytes();
    assert_eq!(bytes.len(), 263);
    assert_eq!(bytes[..32], machine.program().code().root());
    assert_eq!(bytes[32..64], machine.memory().root());
    assert_eq!(bytes[64..96], keccak256(INPUT));
    assert_eq!(bytes[96..128], [0; 32]);
    assert_eq!(bytes[128..132], [0, 0, 0, 8]);
    assert_eq!(bytes[132 + 4 * 9..][..4], DATA.to_be_bytes());
    assert_eq!(bytes[252..256], [1, 2, 3, 4]);
    assert_eq!(bytes[256..], [0, 0, 0, 0, 0, 1, 11]);
    assert_eq!(State::from_bytes(&bytes), machine.state());
    assert_eq!(keccak256(&bytes), machine.state_root());
}

#[test]
fn the_program_hash_is_that_of_the_specification() {
    let code = bytes(&[NOP, ECALL]);
    let segments = [
        Segment {
            address: 0x60,
            bytes: &code,
            size: 8,
            executable: true,
        },
        Segment {
            address: 0x1_0000,
            bytes: &[],
            size: 1,
            executable: false,
        },
    ];
    let program = Program::new(&segments, 0x64, vec!["f()".into()]).unwrap();
    let mut encoded = program.code().root().to_vec();
    encoded.push(2);
    encoded.extend(program.memory().root());
    encoded.push(12);
    encoded.extend([0, 0, 0, 0x64]);
    assert_eq!(program.hash(), keccak256(&encoded));
    let mut machine = Machine::new(&program, [5; 32]);
    let state = machine.state();
    assert_eq!(
        (state.pc, state.registers, state.status, state.exit),
        (0x64, [0; 32], 0, 0)
    );
    assert_eq!((state.input_hash, state.output_root), ([5; 32], [0; 32]));
    // Methods are no part of it.
    assert_eq!(Program::new(&segments, 0x64, vec![]).unwrap().hash(), program.hash());
}

#[test]
fn an_input_can_be_put_before_another_source() {
    let mut rest = MemoryPreimages::default();
    let other = rest.insert(b"other");
    let mut both = WithInput::new(b"input", &mut rest);
    assert_eq!(both.get(&keccak256(b"input")).as_deref(), Some(&b"input"[..]));
    assert_eq!(both.get(&other).as_deref(), Some(&b"other"[..]));
    assert_eq!(both.get(&[1; 32]), None);
}

#[test]
fn machines_and_checkpoints_go_from_thread_to_thread() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Program>();
    shared::<Machine>();
    shared::<surety_machine::Checkpoint>();
}
