//! `surety machine`: run, inspect, prove and disassemble programs.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use alloy::{hex, primitives::Bytes};
use clap::{Args, Subcommand};
use serde_json::json;
use surety_engine::{Error as EngineError, Kind, Run as EngineRun};
use surety_machine::{Hash, Preimages, Program, RunError, Status, TrapCause, WithInput, keccak256};

use crate::{
    exit::Failure,
    ui::{Ui, grouped},
    values::{InputSource, steps},
};

/// Longest ELF file that is read, bytes. Code is at most 32 MiB; the rest is data.
const MAX_ELF: u64 = 1 << 30;
/// Steps between two looks at the clock: about a tenth of a second.
const SLICE: u64 = 1 << 23;

/// Run, inspect, prove and disassemble programs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program and print what came of it.
    Run(Run),
    /// Print a program's hash, sizes, entry and methods.
    Inspect(Inspect),
    /// Print the witness of one step: what `Machine.sol` needs to execute it.
    Prove(Prove),
    /// Print a program's instructions.
    Disassemble(Disassemble),
}

/// A program and what it is run on.
#[derive(Debug, Args)]
pub struct Job {
    /// The program: an ELF file (`docs/spec/machine.md`, section 3).
    #[arg(long, value_name = "FILE")]
    elf: PathBuf,
    /// The input: a file, - for standard input, or 0x and hex digits; at most 96 KiB.
    #[arg(long, value_name = "FILE|0xHEX", default_value = "0x")]
    input: InputSource,
    /// Directory of preimages the program may read: files of one preimage each, and `*.pack` files (repeated
    /// big-endian u32 length and bytes). Names are free; preimages are known by their hash.
    #[arg(long, value_name = "DIR")]
    preimages: Vec<PathBuf>,
    /// What runs it: translated (host code), interpreter (the reference), or check (both; stops at the first difference).
    #[arg(long, value_name = "ENGINE", default_value_t = Kind::Translated)]
    engine: Kind,
}

/// Arguments of `surety machine run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    job: Job,
    /// Most steps the program may take: 1000000, 2^36, 1e9 ...
    #[arg(long, value_name = "STEPS", default_value = "1000000000", value_parser = steps)]
    budget: u64,
    /// Most bytes the program may write.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    output_limit: usize,
}

/// Arguments of `surety machine inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The program: an ELF file.
    #[arg(long, value_name = "FILE")]
    elf: PathBuf,
}

/// Arguments of `surety machine prove`.
#[derive(Debug, Args)]
pub struct Prove {
    #[command(flatten)]
    job: Job,
    /// Which step: 0 is the first.
    #[arg(long, value_name = "N", value_parser = steps)]
    step: u64,
}

/// Arguments of `surety machine disassemble`.
#[derive(Debug, Args)]
pub struct Disassemble {
    /// The program: an ELF file.
    #[arg(long, value_name = "FILE")]
    elf: PathBuf,
    /// First address.
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = steps)]
    from: u64,
    /// Address after the last; everything if not given.
    #[arg(long, value_name = "ADDRESS", value_parser = steps)]
    to: Option<u64>,
}

/// Does what was asked.
pub fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Run(args) => execute(&args, ui),
        Command::Inspect(args) => inspect(&args, ui),
        Command::Prove(args) => prove(&args, ui),
        Command::Disassemble(args) => disassemble(&args, ui),
    }
}

/// Reads and loads a program.
pub fn load(path: &Path) -> Result<Program, Failure> {
    let next = "give the ELF file of a program: RV32IM, statically linked (docs/spec/machine.md, section 3)";
    let fail = |cause: String| Failure::new(format!("{}: {cause}", path.display()), next);
    let file = std::fs::File::open(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_ELF + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| fail(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > MAX_ELF {
        return Err(fail(format!("is longer than {MAX_ELF} bytes")));
    }
    Program::from_elf(&bytes).map_err(|e| fail(e.to_string()))
}

/// A job made ready.
struct Ready {
    program: Program,
    machine: EngineRun,
    input: Bytes,
    directory: Folder,
}

impl Job {
    fn ready(&self, ui: Ui) -> Result<Ready, Failure> {
        let program = load(&self.elf)?;
        let input = self.input.read()?;
        let mut directory = Folder::default();
        for path in &self.preimages {
            directory.index(path)?;
        }
        if let (Kind::Translated | Kind::Check, Err(reason)) = (self.engine, surety_engine::translated_here()) {
            ui.note(&format!("{reason}: the interpreter runs the program"));
        }
        let machine = EngineRun::new(self.engine, &program, keccak256(&input)).map_err(run_failure)?;
        Ok(Ready {
            program,
            machine,
            input,
            directory,
        })
    }
}

fn execute(args: &Run, ui: Ui) -> Result<(), Failure> {
    let Ready {
        mut machine,
        input,
        mut directory,
        ..
    } = args.job.ready(ui)?;
    machine.set_output_limit(Some(args.output_limit));
    let start = Instant::now();
    advance(&mut machine, args.budget, &input, &mut directory, ui)?;
    let seconds = start.elapsed().as_secs_f64();

    let outcome = machine.outcome();
    let status = status_word(outcome.status);
    let output = hex::encode_prefixed(machine.output());
    let state_root = hex::encode_prefixed(machine.state_root());
    let mut text = String::new();
    let _infallible = writeln!(text, "status      {status}");
    let cause = outcome
        .trap()
        .map(|c| format!(" ({})", describe_trap(c, machine.pc())))
        .unwrap_or_default();
    let _infallible = writeln!(text, "exit code   {}{cause}", outcome.exit);
    let _infallible = writeln!(text, "output      {output}");
    let _infallible = writeln!(text, "steps       {}", grouped(machine.steps()));
    let _infallible = writeln!(text, "state root  {state_root}");
    let _infallible = writeln!(text, "engine      {}", machine.kind());
    let rate = machine.steps() as f64 / seconds.max(1e-9) / 1e6;
    let _infallible = write!(text, "seconds     {seconds:.6} ({rate:.1} million steps a second)");
    ui.result(
        &text,
        &json!({
            "status": status,
            "exit_code": outcome.exit,
            "output": output,
            "steps": machine.steps(),
            "state_root": state_root,
            "seconds": seconds,
        }),
    );
    Ok(())
}

/// Runs up to a step, with progress.
fn advance(machine: &mut EngineRun, until: u64, input: &[u8], directory: &mut Folder, ui: Ui) -> Result<(), Failure> {
    let mut progress = ui.progress();
    let mut preimages = WithInput::new(input, directory);
    while machine.status() == Status::Running && machine.steps() < until {
        let slice = until.min(machine.steps().saturating_add(SLICE));
        machine.run(slice, &mut preimages).map_err(run_failure)?;
        let (done, seconds) = (machine.steps(), progress.elapsed().as_secs());
        progress.show(|| format!("{} of at most {} steps, {seconds} s", grouped(done), grouped(until)));
    }
    Ok(())
}

fn run_failure(error: EngineError) -> Failure {
    let next = match &error {
        EngineError::Run(RunError::MissingPreimage(_)) => {
            "put the preimage into a directory and name it with --preimages"
        }
        EngineError::Run(RunError::WrongPreimage { .. } | RunError::PreimageTooLong { .. }) => {
            "correct the directory of preimages"
        }
        EngineError::Run(RunError::OutputLimit { .. }) => "raise --output-limit",
        EngineError::Memory { .. } => "free some memory, or raise the limit of address space (ulimit -v)",
        EngineError::Differ { .. } => "use --engine interpreter, and report the program with its input",
    };
    Failure::new(error, next)
}

fn inspect(args: &Inspect, ui: Ui) -> Result<(), Failure> {
    let program = load(&args.elf)?;
    let hash = hex::encode_prefixed(program.hash());
    let code_root = hex::encode_prefixed(program.code().root());
    let memory_root = hex::encode_prefixed(program.memory().root());
    let instructions = program.instructions().iter().flatten().count();
    let methods: Vec<_> = program
        .methods()
        .iter()
        .map(|signature| {
            let selector = selector_of(signature).map(hex::encode_prefixed);
            json!({"signature": signature, "selector": selector})
        })
        .collect();
    let mut text = String::new();
    let _infallible = writeln!(text, "program hash   {hash}");
    let _infallible = writeln!(text, "entry          {:#010x}", program.entry());
    let code = program.code();
    let _infallible = writeln!(
        text,
        "code           {} bytes, height {}, {instructions} instructions, root {code_root}",
        grouped(code.size()),
        code.height()
    );
    let memory = program.memory();
    let _infallible = writeln!(
        text,
        "data memory    {} bytes, height {}, root {memory_root}",
        grouped(memory.size()),
        memory.height()
    );
    let _infallible = write!(text, "methods        {}", program.methods().len());
    for signature in program.methods() {
        let selector = selector_of(signature).map(hex::encode_prefixed).unwrap_or_default();
        let _infallible = write!(text, "\n  {selector}  {signature}");
    }
    ui.result(
        &text,
        &json!({
            "program_hash": hash,
            "entry": program.entry(),
            "code_root": code_root,
            "code_height": code.height(),
            "code_bytes": code.size(),
            "memory_root": memory_root,
            "memory_height": memory.height(),
            "memory_bytes": memory.size(),
            "instructions": instructions,
            "methods": methods,
        }),
    );
    Ok(())
}

fn prove(args: &Prove, ui: Ui) -> Result<(), Failure> {
    let Ready {
        program,
        mut machine,
        input,
        mut directory,
    } = args.job.ready(ui)?;
    machine.set_output_limit(None);
    advance(&mut machine, args.step, &input, &mut directory, ui)?;

    let before = machine.state_root();
    let pc = machine.pc();
    let ended = machine.status() != Status::Running;
    let instruction = match (ended, program.instructions().get((pc / 4) as usize)) {
        (true, _) => "none: the machine has ended".to_owned(),
        (false, Some(Some(i))) if pc.is_multiple_of(4) => i.to_string(),
        _ => "none".to_owned(),
    };
    let mut preimages = WithInput::new(&input, &mut directory);
    let witness = machine.witness(&mut preimages).map_err(run_failure)?;
    let after = if ended {
        before
    } else {
        machine
            .run(args.step.saturating_add(1), &mut preimages)
            .map_err(run_failure)?;
        machine.state_root()
    };

    let bytes = hex::encode_prefixed(&witness.bytes);
    let mut text = String::new();
    let _infallible = writeln!(text, "step         {}", grouped(args.step));
    let _infallible = writeln!(text, "pc           {pc:#010x}");
    let _infallible = writeln!(text, "instruction  {instruction}");
    let _infallible = writeln!(text, "before       {}", hex::encode_prefixed(before));
    let _infallible = writeln!(text, "after        {}", hex::encode_prefixed(after));
    if let Some((hash, offset)) = witness.preimage {
        let _infallible = writeln!(text, "preimage     {} at offset {offset}", hex::encode_prefixed(hash));
    }
    let _infallible = write!(text, "witness      {bytes}");
    ui.result(
        &text,
        &json!({
            "step": args.step,
            "pc": pc,
            "instruction": instruction,
            "state_root": hex::encode_prefixed(before),
            "next_state_root": hex::encode_prefixed(after),
            "preimage": witness.preimage.map(|(hash, offset)| {
                json!({"hash": hex::encode_prefixed(hash), "offset": offset})
            }),
            "witness": bytes,
        }),
    );
    Ok(())
}

fn disassemble(args: &Disassemble, ui: Ui) -> Result<(), Failure> {
    let program = load(&args.elf)?;
    let to = args.to.unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut list = Vec::new();
    let mut skipped = false;
    for (index, decoded) in program.instructions().iter().enumerate() {
        let address = index as u64 * 4;
        if address < args.from || address >= to {
            continue;
        }
        let Some(decoded) = decoded else {
            // Constants between functions, or the zeros before the first segment.
            skipped = true;
            continue;
        };
        if skipped && !text.is_empty() {
            text.push_str("     ...\n");
        }
        skipped = false;
        let word = decoded.encode();
        let _infallible = writeln!(text, "{address:8x}:  {word:08x}  {decoded}");
        if ui.json {
            list.push(json!({"address": address, "word": format!("{word:#010x}"), "text": decoded.to_string()}));
        }
    }
    ui.result(text.trim_end(), &json!({"instructions": list}));
    Ok(())
}

/// The word for a status in results.
fn status_word(status: Status) -> &'static str {
    match status {
        Status::Running => "out_of_steps",
        Status::Halted => "halted",
        Status::Trapped => "trapped",
    }
}

fn describe_trap(cause: TrapCause, pc: u32) -> String {
    format!("{cause} at pc {pc:#010x}")
}

/// First four bytes of the hash of a method's signature, without what it returns.
fn selector_of(signature: &str) -> Option<[u8; 4]> {
    alloy::json_abi::Function::parse(signature).ok().map(|f| f.selector().0)
}

/// Preimages from files. Only hashes and places are kept; a preimage is read when the program asks for it.
#[derive(Debug, Default)]
struct Folder {
    index: HashMap<Hash, (Arc<Path>, u64, usize)>,
}

impl Folder {
    fn index(&mut self, directory: &Path) -> Result<(), Failure> {
        let next = "give a directory of files, each at most 96 KiB, or *.pack files";
        let fail = |path: &Path, cause: String| Failure::new(format!("{}: {cause}", path.display()), next);
        let entries = std::fs::read_dir(directory).map_err(|e| fail(directory, format!("cannot be read: {e}")))?;
        for entry in entries {
            let path = entry
                .map_err(|e| fail(directory, format!("cannot be read: {e}")))?
                .path();
            if !path.is_file() {
                continue;
            }
            let file = std::fs::File::open(&path).map_err(|e| fail(&path, format!("cannot be read: {e}")))?;
            let packed = path.extension().is_some_and(|e| e == "pack");
            let limit = if packed {
                MAX_ELF
            } else {
                surety_machine::MAX_PREIMAGE_BYTES as u64
            };
            let mut bytes = Vec::new();
            file.take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| fail(&path, format!("cannot be read: {e}")))?;
            if bytes.len() as u64 > limit {
                // Something else that lies there; it cannot be a preimage.
                continue;
            }
            let place: Arc<Path> = path.as_path().into();
            if !packed {
                self.index.insert(keccak256(&bytes), (place, 0, bytes.len()));
                continue;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let cut = rest.split_first_chunk::<4>().and_then(|(length, tail)| {
                    tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
                });
                let Some((data, tail)) = cut else {
                    return Err(fail(&path, "ends within an entry".to_owned()));
                };
                let at = bytes.len() - tail.len() - data.len();
                self.index
                    .insert(keccak256(data), (place.clone(), at as u64, data.len()));
                rest = tail;
            }
        }
        Ok(())
    }
}

impl Preimages for Folder {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        use std::io::{Seek, SeekFrom};
        let (path, at, length) = self.index.get(hash)?;
        let mut file = std::fs::File::open(path).ok()?;
        file.seek(SeekFrom::Start(*at)).ok()?;
        let mut bytes = vec![0; *length];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes.into())
    }
}
