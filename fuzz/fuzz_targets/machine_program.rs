//! Random code with random registers: every step of the interpreter, its verifier, and a run that stops elsewhere agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_machine::{Hash, Machine, MemoryPreimages, PreimageOracle, Preimages, Program, Segment, verify_step};

/// What `preimages` holds, as the chain would show it.
struct Shown(std::cell::RefCell<MemoryPreimages>);

impl PreimageOracle for Shown {
    fn length(&self, hash: &Hash) -> Option<u32> {
        self.0.borrow_mut().get(hash).map(|data| data.len() as u32)
    }
    fn word(&self, hash: &Hash, offset: u32) -> Option<[u8; 32]> {
        let data = self.0.borrow_mut().get(hash)?;
        let mut word = [0; 32];
        for (to, from) in word.iter_mut().zip(data.get(offset as usize..).unwrap_or_default()) {
            *to = *from;
        }
        Some(word)
    }
}

fuzz_target!(|input: (Vec<u32>, [u32; 31], u8)| {
    let (code, registers, stop) = input;
    if code.is_empty() || code.len() > 4096 {
        return;
    }
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let segment = Segment { address: 0, bytes: &bytes, size: bytes.len() as u32, executable: true };
    let program = Program::new(&[segment], 0, Vec::new()).expect("code at 0 is a program");
    let mut preimages = MemoryPreimages::default();
    let hash = preimages.insert(&bytes);
    let mut machine = Machine::new(&program, hash);
    for (register, value) in (1..).zip(registers) {
        machine.set_register(register, value);
    }
    let mut other = machine.clone();
    let shown = Shown(std::cell::RefCell::new(preimages.clone()));
    for _ in 0..64 {
        let Ok(witness) = machine.witness(&mut preimages) else { return };
        let verified = verify_step(&witness.bytes, &shown).expect("a machine's own witness verifies");
        assert_eq!(verified.before, machine.state_root());
        if machine.run(machine.steps() + 1, &mut preimages).is_err() {
            return;
        }
        assert_eq!(verified.after, machine.state_root());
    }
    // In two runs, the first stopping anywhere.
    other.run(u64::from(stop).min(machine.steps()), &mut preimages).expect("the same steps");
    other.run(machine.steps(), &mut preimages).expect("the same steps");
    assert_eq!(other.state_root(), machine.state_root());
});
