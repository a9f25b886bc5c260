//! Any file loads or is refused; what loads takes steps on which the interpreter and the verifier agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_machine::{Hash, Machine, MemoryPreimages, PreimageOracle, Program, verify_step};

/// Knows the empty preimage only.
struct Empty;

impl PreimageOracle for Empty {
    fn length(&self, hash: &Hash) -> Option<u32> {
        (*hash == surety_machine::keccak256(b"")).then_some(0)
    }
    fn word(&self, hash: &Hash, _: u32) -> Option<[u8; 32]> {
        self.length(hash).map(|_| [0; 32])
    }
}

fuzz_target!(|file: &[u8]| {
    let Ok(program) = Program::from_elf(file) else { return };
    let mut preimages = MemoryPreimages::default();
    let mut machine = Machine::new(&program, preimages.insert(b""));
    for _ in 0..8 {
        let Ok(witness) = machine.witness(&mut preimages) else { return };
        let verified = verify_step(&witness.bytes, &Empty).expect("a machine's own witness verifies");
        assert_eq!(verified.before, machine.state_root());
        machine.run(machine.steps() + 1, &mut preimages).expect("what the witness needs, the step needs");
        assert_eq!(verified.after, machine.state_root());
    }
});
