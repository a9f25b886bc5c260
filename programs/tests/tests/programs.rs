//! What holds for every program: how it is linked, and how it takes a malformed call.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use programs_tests::Program;

const PROGRAMS: [&str; 6] = ["explorer", "echo", "sort", "echo-c", "library", "library-c"];

#[test]
fn code_and_memory_trees_are_shallow() {
    for name in PROGRAMS {
        let program = Program::load(name).unwrap();
        let program = program.program();
        assert!(
            program.code().height() <= 11,
            "{name}: code of 2^{} leaves",
            program.code().height()
        );
        assert!(
            program.memory().height() <= 14,
            "{name}: memory of 2^{} leaves",
            program.memory().height()
        );
    }
}

#[test]
fn methods_are_in_the_elf() {
    let methods = |name| Program::load(name).unwrap().program().methods().join(" ");
    assert_eq!(
        methods("explorer"),
        "balanceOf(bytes32,address) receipt(bytes32,uint256)"
    );
    assert_eq!(methods("sort"), "sort(uint256[])");
    let echo = "echo(bytes) read(bytes32,uint64,uint32) preimage(bytes32) refuse(string) panic(string) \
                recurse(uint32) allocate(uint32)";
    assert_eq!(methods("echo"), echo);
    assert_eq!(methods("echo-c"), echo);
}

#[test]
fn calls_without_a_method_are_refused() {
    for name in PROGRAMS {
        let program = Program::load(name).unwrap();
        for call in [&[][..], &[1, 2, 3], &[1, 2, 3, 4], &[0xff; 100]] {
            let reason = program.call(call).unwrap().refusal().unwrap();
            assert!(reason.contains("selector"), "{name}: {reason}");
        }
    }
}

#[test]
fn the_panic_message_names_no_path_of_the_machine_that_built_it() {
    for name in PROGRAMS {
        let path = format!("{}/../elf/{name}.elf", env!("CARGO_MANIFEST_DIR"));
        let elf = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        for path in ["/work", "/home", "/root", "/usr", "/tmp", ".cargo"] {
            assert!(!elf.contains(path), "{name} has {path} in it");
        }
    }
}
