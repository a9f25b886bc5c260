//! Builds every program for every target, from one source.

use crate::suite::{Language, Program};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The machine: an RV32IM ELF.
    Machine,
    /// RV32IM Linux: the same objects with another start.
    Linux,
    /// The host, without vectors.
    Native,
    /// The host, with what its compiler makes of vectors.
    NativeVectorised,
    /// WebAssembly.
    Wasm,
    /// PolkaVM: an RV32EM ELF that its linker reads.
    PolkaVm,
}

impl Target {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Machine,
        Self::Linux,
        Self::Native,
        Self::NativeVectorised,
        Self::Wasm,
        Self::PolkaVm,
    ];

    fn ending(self) -> &'static str {
        match self {
            Self::Machine => "elf",
            Self::Linux => "linux",
            Self::Native => "native",
            Self::NativeVectorised => "vectorised",
            Self::Wasm => "wasm",
            Self::PolkaVm => "polkavm.elf",
        }
    }

    /// rustc's name, and the flags that make it build what the C compiler is asked for.
    fn rust(self) -> (&'static str, &'static str) {
        match self {
            Self::Machine | Self::Linux => ("riscv32im-unknown-none-elf", ""),
            Self::Native => ("x86_64-unknown-linux-gnu", "-Cno-vectorize-loops -Cno-vectorize-slp"),
            Self::NativeVectorised => ("x86_64-unknown-linux-gnu", ""),
            Self::Wasm => ("wasm32-unknown-unknown", "-Ctarget-feature=+bulk-memory"),
            Self::PolkaVm => (
                "riscv32em-unknown-none-elf",
                "-Crelocation-model=static -Clink-arg=--no-relax",
            ),
        }
    }
}

/// Builds programs in C for the machine.
pub(crate) const MACHINE_COMPILER: &str = "riscv64-unknown-elf-gcc";

/// Without ordering instructions for a processor that runs them in order, which takes registers: gcc's default for
/// x86-64, and what guests in C are built with.
const RISCV: [&str; 7] = [
    "-std=gnu11",
    "-O2",
    "-fno-schedule-insns",
    "-ffreestanding",
    "-nostdlib",
    "-ffunction-sections",
    "-fdata-sections",
];
const RV32IM: [&str; 2] = ["-march=rv32im", "-mabi=ilp32"];
/// Addresses relative to pc, and every relocation kept: PolkaVM's linker takes code apart by them.
const RV32EM: [&str; 5] = [
    "-march=rv32em",
    "-mabi=ilp32e",
    "-mcmodel=medany",
    "-fno-pic",
    "-mno-relax",
];

/// The compilers and where things are.
pub(crate) struct Builder {
    /// The directory of the benchmark.
    pub(crate) here: PathBuf,
    /// Where builds go.
    pub(crate) out: PathBuf,
    pub(crate) size: Size,
}

/// How much work the programs do; see `programs/bench.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Quick,
    Full,
    Long,
}

impl Size {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Size::Quick => "quick",
            Size::Full => "full",
            Size::Long => "long",
        }
    }

    fn define(self) -> &'static [&'static str] {
        match self {
            Size::Quick => &["-DQUICK"],
            Size::Full => &[],
            Size::Long => &["-DLONG"],
        }
    }
}

/// What was built of each program, or why it was not.
pub(crate) type Builds = BTreeMap<(String, Target), Result<PathBuf, String>>;

impl Builder {
    /// Ten times the work of a program in C, for the machine.
    pub(crate) fn long(&self, program: &Program) -> Result<PathBuf> {
        let long = Builder {
            here: self.here.clone(),
            out: self.out.with_file_name(Size::Long.name()),
            size: Size::Long,
        };
        fs::create_dir_all(&long.out)?;
        long.link(program, Target::Machine, None)
    }

    /// Builds the programs for all targets. A target that cannot be built is said, and missing from the results.
    pub(crate) fn build(&self, programs: &[Program]) -> Result<Builds> {
        fs::create_dir_all(&self.out)?;
        let mut builds = Builds::new();
        for target in Target::ALL {
            let rust = if programs.iter().any(|program| program.language == Language::Rust) {
                self.rust(target).map_err(|error| format!("{error:#}"))
            } else {
                Ok(PathBuf::new())
            };
            for program in programs {
                let built = match program.language {
                    Language::C => self.link(program, target, None).map_err(|error| format!("{error:#}")),
                    Language::Rust => rust.clone().and_then(|directory| {
                        let library = directory.join(format!("lib{}.a", program.name));
                        self.link(program, target, Some(&library))
                            .map_err(|error| format!("{error:#}"))
                    }),
                };
                if let Err(error) = &built {
                    eprintln!("bench: {} is not built for {target:?}: {error}", program.name);
                }
                builds.insert((program.name.clone(), target), built);
            }
        }
        Ok(builds)
    }

    /// Builds the Rust programs as static libraries; gives their directory.
    fn rust(&self, target: Target) -> Result<PathBuf> {
        let (triple, flags) = target.rust();
        // Beside `out`, so that small and full sizes share the library.
        let directory = self.out.with_file_name(format!("rust-{}", target.rust_directory()));
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet", "--release", "--examples", "--target", triple])
            .args(["--features", if self.size == Size::Quick { "quick" } else { "" }])
            .arg("--manifest-path")
            .arg(self.here.join("rust/Cargo.toml"))
            .arg("--target-dir")
            .arg(&directory)
            .env("RUSTFLAGS", flags)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET");
        // The compiler of the example programs, which has the library's source; see programs/build.sh.
        if let Some(rustc) = debian_rustc() {
            cargo
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=core,alloc");
        }
        run(&mut cargo)?;
        Ok(directory.join(triple).join("release/examples"))
    }

    /// Builds a program in C that calls routines of `surety-guest`, for the machine. `macros` are what it leaves open: its
    /// sizes. With `memory`, those that copy, fill and compare memory are among the routines.
    pub(crate) fn routine(&self, program: &Program, macros: &[(&str, u32)], memory: bool) -> Result<PathBuf> {
        let directory = self.out.with_file_name("intrinsics");
        fs::create_dir_all(&directory)?;
        let sizes: Vec<String> = macros.iter().map(|(_, value)| value.to_string()).collect();
        let kind = if memory { "memory.elf" } else { "elf" };
        let out = directory.join(format!("{}.{}.{kind}", program.name, sizes.join(".")));
        let guest = self.guest();
        let mut command = self.machine();
        for (name, value) in macros {
            command.arg(format!("-D{name}={value}"));
        }
        if memory {
            command.arg("-DSURETY_FAST_MEMORY");
        }
        command
            .arg(self.here.join("harness/surety.c"))
            .arg(&program.source)
            .arg(guest.join("c/surety.c"))
            .arg(guest.join("c/surety_fast.c"));
        // The linker drops those that are not called. In an order that does not change.
        let entries = fs::read_dir(guest.join("asm"))?.map(|entry| Ok(entry?.path()));
        let mut routines = entries.collect::<Result<Vec<_>>>()?;
        let of_memory = |path: &PathBuf| {
            ["memcpy", "memset", "memcmp"]
                .iter()
                .any(|name| path.file_stem() == Some(OsStr::new(name)))
        };
        routines.retain(|path| memory || !of_memory(path));
        routines.sort();
        command.args(routines);
        run(command.arg("-lgcc").arg("-o").arg(&out))?;
        Ok(out)
    }

    /// What a guest program links against.
    fn guest(&self) -> PathBuf {
        self.here.join("../../crates/surety-guest")
    }

    /// The machine's compiler and linker, with all they need but sources.
    fn machine(&self) -> Command {
        let guest = self.guest();
        let mut command = Command::new(MACHINE_COMPILER);
        command.args(RISCV).args(RV32IM).arg("-I").arg(guest.join("include"));
        command.args(["-static", "-Wl,--gc-sections,--nmagic,--build-id=none"]);
        command.arg("-T").arg(guest.join("surety.ld"));
        command
    }

    fn link(&self, program: &Program, target: Target, library: Option<&Path>) -> Result<PathBuf> {
        let out = self.out.join(format!("{}.{}", program.name, target.ending()));
        let guest = self.guest();
        let harness = |name: &str| self.here.join("harness").join(name);
        let what = library.unwrap_or(&program.source);
        let quick = self.size.define();
        let mut command;
        match target {
            Target::Machine => {
                command = self.machine();
                command
                    .args(quick)
                    .arg(harness("surety.c"))
                    .arg(what)
                    .arg(guest.join("c/surety.c"))
                    .arg("-lgcc");
            }
            Target::Linux => {
                command = Command::new(MACHINE_COMPILER);
                command
                    .args(RISCV)
                    .args(RV32IM)
                    .args(quick)
                    .arg("-I")
                    .arg(guest.join("include"));
                command
                    .args(["-static", "-Wl,--gc-sections,--build-id=none"])
                    .arg("-T")
                    .arg(harness("linux.ld"));
                command
                    .arg(harness("linux.c"))
                    .arg(what)
                    .arg(guest.join("c/surety.c"))
                    .arg("-lgcc");
            }
            Target::Native | Target::NativeVectorised => {
                let speed: &[&str] = match target {
                    Target::Native => &["-O2", "-fno-tree-vectorize"],
                    _ => &["-O3", "-ftree-vectorize"],
                };
                command = Command::new("gcc");
                command
                    .arg("-std=gnu11")
                    .args(speed)
                    .args(quick)
                    .arg(harness("native.c"))
                    .arg(what);
            }
            Target::Wasm => {
                command = Command::new("clang");
                command.args([
                    "--target=wasm32",
                    "-std=gnu11",
                    "-O2",
                    "-mbulk-memory",
                    "-ffreestanding",
                    "-nostdlib",
                ]);
                command
                    .args(quick)
                    .arg("-Wl,--no-entry,--export=run,-z,stack-size=262144");
                command.arg(what).arg(harness("memory.c"));
            }
            Target::PolkaVm => {
                command = Command::new(MACHINE_COMPILER);
                command
                    .args(RISCV)
                    .args(RV32EM)
                    .args(quick)
                    .arg("-fno-tree-loop-distribute-patterns");
                command.args(["-static", "-Wl,--emit-relocs,--no-relax,--build-id=none,-e,run"]);
                command
                    .arg(harness("polkavm.c"))
                    .arg(what)
                    .arg(harness("memory.c"))
                    .arg("-lgcc");
            }
        }
        run(command.arg("-o").arg(&out))?;
        Ok(out)
    }
}

impl Target {
    /// Targets of equal flags share what was built.
    fn rust_directory(self) -> &'static str {
        match self {
            Self::Machine | Self::Linux => "machine",
            Self::Native => "native",
            Self::NativeVectorised => "vectorised",
            Self::Wasm => "wasm",
            Self::PolkaVm => "polkavm",
        }
    }
}

/// The compilers' names and versions.
pub(crate) fn compilers() -> Vec<(&'static str, Result<String>)> {
    let rustc = debian_rustc().map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    vec![
        ("gcc", first_line("gcc", "--version")),
        ("riscv-gcc", first_line(MACHINE_COMPILER, "--version")),
        ("clang", first_line("clang", "--version")),
        ("rustc", first_line(rustc, "--version")),
    ]
}

fn debian_rustc() -> Option<&'static str> {
    let (rustc, source) = ("/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library");
    (Path::new(rustc).exists() && Path::new(source).exists() && env::var_os("BENCH_RUSTUP").is_none()).then_some(rustc)
}

/// The first line that a tool prints.
pub(crate) fn first_line(program: impl AsRef<OsStr>, argument: &str) -> Result<String> {
    let text = run(Command::new(program).arg(argument))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Runs a command to its end; what it printed. Its errors are told when it fails.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        bail!(
            "{name}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
