//! The routines' machine code, from their source.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Source file in `crates/surety-guest/asm`, constant in the table, symbol.
pub(crate) const ROUTINES: &[(&str, &str, &str)] = &[
    ("keccak_f", "KECCAK_F", "surety_keccak_f"),
    ("sha256_blocks", "SHA256_BLOCKS", "surety_sha256_blocks"),
    ("memcpy", "MEMCPY", "memcpy"),
    ("memset", "MEMSET", "memset"),
    ("memcmp", "MEMCMP", "memcmp"),
    ("dot_i8", "DOT_I8", "surety_dot_i8"),
    ("matmul_i8", "MATMUL_I8", "surety_matmul_i8"),
    ("montgomery_256", "MONTGOMERY_256", "surety_montgomery_256"),
    ("float", "ADDSF3", "__addsf3"),
    ("float", "SUBSF3", "__subsf3"),
    ("float", "MULSF3", "__mulsf3"),
    ("float", "DIVSF3", "__divsf3"),
    ("float", "SQRT_F32", "surety_sqrt_f32"),
    ("float", "LESF2", "__lesf2"),
    ("float", "GESF2", "__gesf2"),
    ("float", "UNORDSF2", "__unordsf2"),
    ("float", "FLOATSISF", "__floatsisf"),
    ("float", "FLOATUNSISF", "__floatunsisf"),
    ("float", "FIXSFSI", "__fixsfsi"),
    ("float", "FIXUNSSFSI", "__fixunssfsi"),
];

/// `crates/surety-guest/asm`.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../surety-guest/asm")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// A folder that is removed when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("surety-intrinsics-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_for_the_system = std::fs::remove_dir_all(&self.0);
    }
}

/// The words of one section of an object file, as they are after linking at address 0.
fn section(object: &Path, section: &str) -> Vec<u32> {
    let (linked, bytes) = (object.with_extension("elf"), object.with_extension("bin"));
    let script = object.with_extension("ld");
    std::fs::write(
        &script,
        format!("SECTIONS {{ . = 0; .text : {{ *({section}) }} /DISCARD/ : {{ *(*) }} }}"),
    )
    .unwrap();
    run(Command::new("riscv64-unknown-elf-ld")
        .args(["-melf32lriscv", "--no-relax", "--noinhibit-exec", "-e", "0", "-T"])
        .arg(&script)
        .arg(object)
        .arg("-o")
        .arg(&linked));
    run(Command::new("riscv64-unknown-elf-objcopy")
        .args(["-O", "binary", "-j", ".text"])
        .args([&linked, &bytes]));
    let bytes = std::fs::read(&bytes).unwrap();
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty() && !words.is_empty(), "{section}: {} bytes", bytes.len());
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// As GNU's assembler makes it.
pub(crate) fn gnu(file: &str, symbol: &str) -> Vec<u32> {
    let scratch = Scratch::new();
    let object = scratch.0.join("routine.o");
    run(Command::new("riscv64-unknown-elf-gcc")
        .args(["-march=rv32im", "-mabi=ilp32", "-c"])
        .arg(sources().join(format!("{file}.S")))
        .arg("-o")
        .arg(&object));
    section(&object, &format!(".text.{symbol}"))
}

/// As Rust's assembler (LLVM's) makes it, the way `surety-guest` includes it.
pub(crate) fn llvm(file: &str, symbol: &str) -> Vec<u32> {
    let scratch = Scratch::new();
    let (source, object) = (scratch.0.join("routine.rs"), scratch.0.join("routine.o"));
    let assembly = sources().join(format!("{file}.S"));
    // No library: one for this target need not be installed, and none is needed.
    let text = format!(
        "#![feature(no_core, rustc_attrs, lang_items)]\n#![no_core]\n#![no_std]\n#![crate_type = \"lib\"]\n\
         #[rustc_builtin_macro] macro_rules! global_asm {{ () => {{}} }}\n\
         #[rustc_builtin_macro] macro_rules! include_str {{ () => {{}} }}\n\
         #[lang = \"pointee_sized\"] trait PointeeSized {{}}\n\
         #[lang = \"meta_sized\"] trait MetaSized: PointeeSized {{}}\n\
         #[lang = \"sized\"] trait Sized: MetaSized {{}}\n\
         global_asm!(include_str!({assembly:?}), options(raw));\n"
    );
    std::fs::write(&source, text).unwrap();
    run(Command::new("rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .args([
            "--edition=2024",
            "--target=riscv32im-unknown-none-elf",
            "--emit=obj",
            "-Cpanic=abort",
            "-o",
        ])
        .args([&object, &source]));
    section(&object, &format!(".text.{symbol}"))
}

/// The code of a routine, made once.
pub(crate) fn code(symbol: &str) -> &'static [u32] {
    static CODE: [OnceLock<Vec<u32>>; 64] = [const { OnceLock::new() }; 64];
    let index = ROUTINES
        .iter()
        .position(|routine| routine.2 == symbol)
        .expect("a routine");
    CODE[index].get_or_init(|| gnu(ROUTINES[index].0, symbol))
}
