//! Speed of the machine's engines against native code and other engines: same sources, interleaved runs, ratios.

mod builds;
mod clock;
mod figures;
mod intrinsics;
mod isolation;
mod measure;
mod peer;
mod peers;
mod report;
mod statistics;
mod suite;

use anyhow::{Context, Result, bail};
use builds::{Builder, Size};
use clap::{Parser, ValueEnum};
use clock::Clock;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use report::Report;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Measures the machine's engines, native code and other engines on the programs of bench/machine/programs.
#[derive(Parser)]
struct Arguments {
    /// Only these programs, separated by commas.
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Only these columns, separated by commas; `native` is always measured.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only this part. Of a whole run's results, the others stay as they are.
    #[arg(long, conflicts_with_all = ["programs", "peers"])]
    only: Option<Part>,
    /// How often each is run. Slow ones run less: qemu at most 3 times, the interpreter once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Small sizes and one round: checks that all engines compute the same. Times mean nothing.
    #[arg(long)]
    quick: bool,
    /// `processor` (what others do on the machine counts little) or `wall`.
    #[arg(long, default_value_t = Clock::Processor)]
    clock: Clock,
    /// The processor that all runs are pinned to. Unless given: the last one.
    #[arg(long)]
    cpu: Option<usize>,
    /// Where machine.json and machine.md go. Unless given: bench/results, and only for a whole run of all programs, or of
    /// a part.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A part that can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The engine's intrinsics.
    Intrinsics,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = words.as_slice()
        && first == isolation::ARGUMENT
    {
        return isolation::run(&peers::in_process(), rest);
    }
    let arguments = Arguments::parse();
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let size = if arguments.quick { Size::Quick } else { Size::Full };
    let rounds = if arguments.quick { 1 } else { arguments.rounds.max(1) };
    let builder = Builder {
        out: here.join("../target/programs").join(size.name()),
        here: here.clone(),
        size,
    };
    if arguments.only == Some(Part::Intrinsics) {
        return only_intrinsics(&arguments, &builder, rounds);
    }
    let programs = suite::programs(&here.join("programs"), &arguments.programs)?;
    eprintln!(
        "bench: building {} programs for {} targets",
        programs.len(),
        builds::Target::ALL.len()
    );
    let builds = builder.build(&programs)?;

    let Present {
        peers,
        mut versions,
        mut missing,
    } = present(&arguments.peers)?;
    for (name, version) in builds::compilers() {
        if let Ok(version) = version {
            versions.push((name, version));
        }
    }
    let machine = machine(pin(arguments.cpu)?)?;
    let mut rows = Vec::new();
    for program in &programs {
        eprint!("bench: {}", program.name);
        let row = measure::measure(program, &peers, &builds, rounds, arguments.clock)?;
        for column in &row.columns {
            match &column.error {
                Some(error) => eprint!("\nbench: {} cannot be run by {}: {error}", program.name, column.peer),
                None => eprint!(" {}", column.peer),
            }
        }
        eprintln!();
        rows.push(row);
    }
    let mut figures = if arguments.peers.is_empty() || arguments.peers.iter().any(|peer| peer == "engine") {
        eprintln!("bench: translation, start, dissection");
        figures::measure(
            &here.join("../../programs/elf/explorer.elf"),
            &programs,
            &builder,
            rounds,
            arguments.clock,
        )?
    } else {
        Vec::new()
    };
    if arguments.programs.is_empty() && peers.iter().any(|peer| peer.name() == "engine") {
        match builds::first_line(builds::MACHINE_COMPILER, "--version") {
            Ok(_) => figures.push((
                intrinsics::KEY,
                intrinsics::measure(&builder, rounds, arguments.clock, &machine)?,
            )),
            Err(error) => missing.push((intrinsics::KEY, format!("{error:#}"))),
        }
    }
    let report = Report {
        rows,
        peers: peers.iter().map(|peer| peer.name()).collect(),
        versions,
        missing,
        figures,
        rounds,
        quick: arguments.quick,
        clock: arguments.clock.to_string(),
        machine,
    };
    print!("{}", report.table());
    for line in report.figures_in_words() {
        println!("{line}");
    }
    if let Some((_, figures)) = report.figures.iter().find(|(name, _)| *name == intrinsics::KEY) {
        for line in intrinsics::lines(figures) {
            println!("{line}");
        }
    }
    let failed = report
        .rows
        .iter()
        .flat_map(|row| &row.columns)
        .filter(|column| column.error.is_some())
        .count();
    if failed > 0 {
        eprintln!("bench: {failed} results are missing, see above");
    }
    let whole = arguments.programs.is_empty() && arguments.peers.is_empty() && !arguments.quick;
    let Some(out) = arguments.out.or_else(|| whole.then(|| here.join(RESULTS))) else {
        return Ok(());
    };
    write(&out, &report.json(), &report.page())
}

/// Where results go that are committed, from the benchmark's directory.
const RESULTS: &str = "../results";

/// Measures the engine's intrinsics, and replaces their part of the results.
fn only_intrinsics(arguments: &Arguments, builder: &Builder, rounds: usize) -> Result<()> {
    let machine = machine(pin(arguments.cpu)?)?;
    let measured = intrinsics::measure(builder, rounds, arguments.clock, &machine)?;
    let section = intrinsics::section(&measured);
    print!("{section}");
    let results = || (!arguments.quick).then(|| builder.here.join(RESULTS));
    let Some(out) = arguments.out.clone().or_else(results) else {
        return Ok(());
    };
    let before = |name: &str| fs::read_to_string(out.join(name)).ok();
    let mut json = before("machine.json").map_or_else(|| Ok(json!({})), |text| serde_json::from_str(&text))?;
    let object: &mut Map<String, Value> = json.as_object_mut().context("machine.json is no object")?;
    object.insert(intrinsics::KEY.to_owned(), measured);
    let page = before("machine.md").unwrap_or_default();
    let page = page.split(intrinsics::HEADING).next().unwrap_or_default().trim_end();
    let gap = if page.is_empty() { "" } else { "\n\n" };
    write(&out, &json, &format!("{page}{gap}{section}"))
}

fn write(out: &Path, json: &Value, page: &str) -> Result<()> {
    fs::create_dir_all(out)?;
    fs::write(out.join("machine.json"), format!("{json:#}\n"))?;
    fs::write(out.join("machine.md"), page)?;
    eprintln!("bench: machine.json and machine.md are written");
    Ok(())
}

/// The engines that are here, their versions, and what is missing and why.
struct Present {
    peers: Vec<Box<dyn peer::Peer>>,
    versions: Vec<(&'static str, String)>,
    missing: Vec<(&'static str, String)>,
}

/// Looks for the engines wanted; all, if none is named.
fn present(only: &[String]) -> Result<Present> {
    let all = peers::all();
    if let Some(unknown) = only.iter().find(|name| all.iter().all(|peer| peer.name() != **name)) {
        let known: Vec<_> = all.iter().map(|peer| peer.name()).collect();
        bail!("no column is called `{unknown}`; there are {}", known.join(", "));
    }
    let mut present = Present {
        peers: Vec::new(),
        versions: Vec::new(),
        missing: Vec::new(),
    };
    for peer in all {
        let name = peer.name();
        if !only.is_empty() && name != "native" && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        match peer.version() {
            Ok(version) => {
                present.versions.push((name, version));
                present.peers.push(peer);
            }
            Err(error) => {
                eprintln!("bench: {name} is MISSING here, its column stays empty: {error:#}");
                present.missing.push((name, format!("{error:#}")));
            }
        }
    }
    Ok(present)
}

/// Pins this process, and so what it starts, to one processor.
fn pin(cpu: Option<usize>) -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let cpu = cpu.or(last).context("no processor is allowed")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &one).with_context(|| format!("processor {cpu} cannot be had"))?;
    Ok(cpu)
}

/// Which processor, how many, and which one was used. No names of hosts.
fn machine(cpu: usize) -> Result<Value> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let values = |key: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    };
    let models = values("model name");
    let first = |key| values(key).into_iter().next().unwrap_or_default();
    Ok(json!({
        "processor": models.first(),
        "family": first("cpu family"),
        "model": first("model"),
        "cores": models.len(),
        "pinned_to": cpu,
    }))
}
