//! The loader: what it takes, what it refuses and how it says so.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use proptest::prelude::*;
use support::*;
use surety_machine::{ElfError, Machine, Program, ProgramError, Status, keccak256};

const HALT: [u32; 2] = [0x0010_0893, ECALL];

fn good() -> Vec<u8> {
    elf(&[(0x1000, &bytes(&HALT), 8, 5), (0x2000, b"data", 0x2_0000, 6)], 0x1000)
}

#[test]
fn a_good_file() {
    let program = Program::from_elf(&good()).unwrap();
    assert_eq!(
        (program.entry(), program.code().height(), program.memory().height()),
        (0x1000, 8, 13)
    );
    assert!(program.methods().is_empty());
    let mut machine = Machine::new(&program, keccak256(INPUT));
    assert_eq!(machine.memory().copy(0x2000, 6).unwrap(), b"data\0\0");
    assert_eq!(
        machine.memory().copy(0x1000, 8).unwrap(),
        bytes(&HALT),
        "code is in data memory too"
    );
    assert_eq!(machine.run(10, &mut preimages()), Ok(Status::Halted));
    assert_eq!(machine.steps(), 2);
}

#[test]
fn data_is_not_code() {
    let file = elf(
        &[
            (0x1000, &bytes(&[NOP]), 4, 5),
            (0x1020, &bytes(&HALT), 8, 6),
            (0x1040, &[], 4, 5),
        ],
        0x1000,
    );
    let program = Program::from_elf(&file).unwrap();
    let mut machine = Machine::new(&program, keccak256(INPUT));
    machine.set_pc(0x1020);
    assert_traps(&mut machine, surety_machine::TrapCause::Illegal);
}

#[test]
fn heights_are_the_smallest() {
    for (end, height) in [
        (0x1001, 11),
        (0x1_0000, 11),
        (0x1_0001, 12),
        (0x8000_0000u32, 26),
        (0x8000_0001, 27),
    ] {
        let file = elf(&[(0, &bytes(&HALT), 8, 5), (0x1000, &[], end - 0x1000, 6)], 0);
        assert_eq!(Program::from_elf(&file).unwrap().memory().height(), height, "{end:#x}");
    }
    for (size, height) in [
        (4, 0),
        (32, 0),
        (33, 1),
        (64, 1),
        (65, 2),
        (4096, 7),
        (4097, 8),
        (32 << 20, 20),
    ] {
        let file = elf(&[(0, &bytes(&HALT), size.max(8), 5)], 0);
        assert_eq!(Program::from_elf(&file).unwrap().code().height(), height, "{size}");
    }
    // To the last byte of 4 GiB.
    let file = elf(&[(0, &bytes(&HALT), 8, 5), (0xffff_f000, b"x", 0x1000, 6)], 0);
    let program = Program::from_elf(&file).unwrap();
    assert_eq!(program.memory().size(), 1 << 32);
}

fn patched(at: usize, value: &[u8]) -> Vec<u8> {
    let mut file = good();
    file[at..at + value.len()].copy_from_slice(value);
    file
}

#[test]
fn refused_headers_say_what_and_where() {
    for (at, value, message) in [
        (
            0,
            &b"\x7fELG"[..],
            "magic at file offset 0x0 is 0x7f454c47, expected 0x7f454c46 (an ELF file)",
        ),
        (4, &[2], "EI_CLASS at file offset 0x4 is 0x2, expected 1 (32-bit)"),
        (5, &[2], "EI_DATA at file offset 0x5 is 0x2, expected 1 (little-endian)"),
        (6, &[0], "EI_VERSION at file offset 0x6 is 0x0, expected 1"),
        (
            16,
            &[3, 0],
            "e_type at file offset 0x10 is 0x3, expected 2 (ET_EXEC; link without position independence)",
        ),
        (
            18,
            &[62, 0],
            "e_machine at file offset 0x12 is 0x3e, expected 0xf3 (EM_RISCV)",
        ),
        (20, &[2], "e_version at file offset 0x14 is 0x2, expected 1"),
        (
            36,
            &[1],
            "e_flags at file offset 0x24 is 0x1, expected neither RVC (1), a float ABI (6) nor RVE (8): build for rv32im, ilp32",
        ),
        (36, &[2], "e_flags at file offset 0x24 is 0x2"),
        (36, &[4], "e_flags at file offset 0x24 is 0x4"),
        (36, &[8], "e_flags at file offset 0x24 is 0x8"),
        (42, &[56, 0], "e_phentsize at file offset 0x2a is 0x38, expected 32"),
        (44, &[0xff, 0xff], "e_phnum at file offset 0x2c is 0xffff"),
        (
            28,
            &[0xff, 0xff, 0xff, 0xff],
            "program header at file offset 0xffffffff, 32 bytes long, does not lie within the file",
        ),
        (
            52,
            &[2],
            "program header 0 is PT_DYNAMIC: link statically, without position independence",
        ),
        (52, &[3], "program header 0 is PT_INTERP"),
        (
            56,
            &[0, 0, 0, 1],
            "segment at file offset 0x1000000, 8 bytes long, does not lie within the file",
        ),
        (68, &[9], "program header 0: p_filesz 0x9 is above p_memsz 0x8"),
        (
            60,
            &[2],
            "executable segment at 0x1002: the address is not a multiple of 4",
        ),
        (24, &[2, 0x10], "entry 0x1002 is not a multiple of 4"),
        (24, &[8, 0x10], "entry 0x1008 is in no executable segment"),
        (24, &[0, 0x20], "entry 0x2000 is in no executable segment"),
        (
            72,
            &[1, 0x10],
            "segment at 0x2000 overlaps the one before it, which ends at 0x2001",
        ),
        (
            72,
            &[0, 0, 0, 2],
            "executable segment at 0x1000 ends at 0x2001000, above the limit of 0x2000000; link code at a lower address",
        ),
        (
            104,
            &[0xff; 4],
            "segment at 0x2000 ends at 0x100001fff, above the 4 GiB a program can address",
        ),
    ] {
        // Field 60 is p_vaddr of the first segment; 72 its p_memsz; 104 that of the second.
        let file = patched(at, value);
        let found = Program::from_elf(&file).unwrap_err().to_string();
        assert!(found.starts_with(message), "{at}: {found}");
    }
    let high = elf(&[(0x0200_0000 - 4, &bytes(&HALT), 8, 5)], 0x0200_0000 - 4);
    assert_eq!(
        Program::from_elf(&high).unwrap_err(),
        ElfError::Program(ProgramError::CodeTooHigh {
            address: 0x01ff_fffc,
            end: 0x0200_0004
        })
    );
    assert_eq!(
        Program::from_elf(&elf(&[], 0)).unwrap_err(),
        ElfError::Program(ProgramError::EntryOutside { entry: 0 })
    );
    let past = elf(&[(0, &bytes(&HALT), 8, 5), (0xffff_f000, &[], 0x1001, 6)], 0);
    assert_eq!(
        Program::from_elf(&past).unwrap_err(),
        ElfError::Program(ProgramError::PastEnd {
            address: 0xffff_f000,
            end: 0x1_0000_0001
        })
    );
}

#[test]
fn p4_a_small_file_cannot_ask_for_its_content_many_times() {
    let mut file = elf(
        &[
            (0, &bytes(&HALT), 8, 5),
            (0x10_0000, &[7; 60_000], 60_000, 6),
            (0x20_0000, &[], 60_000, 6),
        ],
        0,
    );
    // The third segment takes the second one's bytes again.
    let (second, third) = (52 + 32, 52 + 64);
    file.copy_within(second + 4..second + 8, third + 4);
    file.copy_within(second + 16..second + 20, third + 16);
    let length = file.len() as u64;
    assert_eq!(
        Program::from_elf(&file).unwrap_err(),
        ElfError::Shared {
            total: 120_008,
            file: length
        }
    );
}

#[test]
fn segments_without_size_are_ignored() {
    let file = elf(&[(0, &bytes(&HALT), 8, 5), (4, &[], 0, 6), (1, &[], 0, 5)], 0);
    assert!(Program::from_elf(&file).is_ok());
}

/// Adds a section table with a string table and `.surety.methods`.
fn with_methods(text: &[u8]) -> Vec<u8> {
    let mut file = good();
    let names = b"\0.shstrtab\0.surety.methods\0";
    let names_at = file.len() as u32;
    file.extend(names);
    let text_at = file.len() as u32;
    file.extend(text);
    let table = file.len() as u32;
    for (name, offset, size) in [
        (0, 0, 0),
        (1, names_at, names.len() as u32),
        (11, text_at, text.len() as u32),
    ] {
        for field in [name, 1, 0, 0, offset, size, 0, 0, 1, 0] {
            file.extend(field.to_le_bytes());
        }
    }
    file[32..36].copy_from_slice(&table.to_le_bytes());
    file[46..52].copy_from_slice(&[40, 0, 3, 0, 1, 0]);
    file
}

#[test]
fn methods() {
    let file = with_methods(b"balanceOf(bytes32,address)\n\n  receipt(bytes32,uint256)\r\n");
    let program = Program::from_elf(&file).unwrap();
    assert_eq!(
        program.methods(),
        ["balanceOf(bytes32,address)", "receipt(bytes32,uint256)"]
    );
    assert_eq!(program.hash(), Program::from_elf(&good()).unwrap().hash());
    let offset = (good().len() + 27) as u64;
    assert_eq!(
        Program::from_elf(&with_methods(b"f(\xff)")).unwrap_err(),
        ElfError::Methods { offset, at: 2 }
    );
    // A broken section table is no reason to refuse: sections are ignored.
    let mut broken = file;
    broken[32..36].copy_from_slice(&[0xff; 4]);
    assert!(Program::from_elf(&broken).unwrap().methods().is_empty());
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let file = elf(&[(0x1000, &bytes(&HALT), 8, 5)], 0x1000);
    for length in 0..file.len() {
        assert!(Program::from_elf(&file[..length]).is_err(), "{length}");
    }
    assert!(Program::from_elf(&file).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// P4: bytes that are nearly an ELF load or are refused; what loads, runs.
    #[test]
    fn p4_hostile_elf_files(changes in prop::collection::vec((0..128usize, any::<u8>()), 1..12), cut in 0..300usize) {
        let mut file = with_methods(b"f(uint256)");
        for (at, value) in changes {
            file[at] = value;
        }
        file.truncate(file.len() - cut.saturating_sub(200));
        if let Ok(program) = Program::from_elf(&file) {
            let mut machine = Machine::new(&program, keccak256(INPUT));
            for _ in 0..20 {
                if checked_step(&mut machine, &mut preimages()).is_err() {
                    break;
                }
            }
        }
    }

    /// P4: any bytes at all.
    #[test]
    fn p4_hostile_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..400), headed: bool) {
        if headed && bytes.len() >= 52 {
            bytes[..28].copy_from_slice(&good()[..28]);
            bytes[36..52].copy_from_slice(&good()[36..52]);
        }
        let _loads_or_not = Program::from_elf(&bytes);
    }
}
