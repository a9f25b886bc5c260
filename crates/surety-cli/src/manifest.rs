//! `service.toml`: what a service is. It has programs, events and tasks for the network, a container, or several of them.
//!
//! Everything that is wrong with it is told at once, each with line, column and path: the programs' part is read here,
//! the others by [`surety_protocol::manifest`].

mod reader;

use std::path::{Path, PathBuf};

use alloy::{
    json_abi::Function,
    primitives::{Address, B256, Bytes, U256, keccak256},
};
use surety_machine::Program;
use surety_protocol::manifest::{Network, Problems, container::Container};

use crate::{
    abi,
    commands::machine,
    exit::{Failure, code},
};

/// Name of the file.
pub const FILE: &str = "service.toml";
/// Longest manifest, bytes.
const MAX_MANIFEST: u64 = surety_protocol::manifest::MAX_MANIFEST as u64;

/// The file's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// a short name
    pub name: String,
    /// smallest bond, in wei; 32 tokens if a service without programs does not say
    pub min_bond: U256,
    /// step budget of a request made on-chain; 0 without programs
    pub max_budget: u64,
    /// an `IVerdict` contract
    pub verdict: Address,
    /// how programs are built
    pub build: Build,
    /// the service's contract
    pub contract: Contract,
    /// its programs
    pub programs: Vec<ProgramEntry>,
    /// its events and tasks
    pub network: Network,
    /// what its hosts run
    pub container: Option<Container>,
}

/// How programs are built.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Build {
    /// a shell command
    pub command: Option<String>,
}

/// The service's contract.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contract {
    /// compiled contract, as forge writes it
    pub artifact: Option<PathBuf>,
    /// where it is, if it is deployed already
    pub address: Option<Address>,
}

/// One program.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramEntry {
    /// the ELF file
    pub elf: PathBuf,
    /// the methods it answers
    pub methods: Vec<String>,
}

/// A manifest with its programs loaded.
#[derive(Debug)]
pub struct Loaded {
    /// the manifest
    pub manifest: Manifest,
    /// keccak-256 of the file
    pub hash: B256,
    /// where it is
    pub dir: PathBuf,
    /// program hash, ELF and methods of each program
    pub programs: Vec<(B256, PathBuf, Vec<Function>)>,
}

/// What reading a manifest gives.
#[derive(Debug)]
pub enum Outcome {
    /// it is good
    Good(Box<Manifest>),
    /// all that is wrong with it
    Bad(Problems),
}

/// Reads the text of a directory's manifest, or of a file named; with its path.
pub fn text(path: &Path) -> Result<(PathBuf, String), Failure> {
    let path = if path.is_dir() {
        path.join(FILE)
    } else {
        path.to_owned()
    };
    let next = "run it in a service's directory, or name it with --dir; `surety service init NAME` makes one";
    let cannot = |e: &dyn std::fmt::Display| Failure::new(format!("{} cannot be read: {e}", path.display()), next);
    let length = std::fs::metadata(&path).map_err(|e| cannot(&e))?.len();
    if length > MAX_MANIFEST {
        return Err(Failure::new(
            format!("{} has {length} bytes, at most {MAX_MANIFEST} expected", path.display()),
            "put large data elsewhere: a manifest says what a service is",
        ));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| cannot(&e))?;
    Ok((path, text))
}

/// Reads a manifest's text as a whole; its programs are not looked at.
pub fn parse(text: &str) -> Outcome {
    match reader::manifest(text) {
        Ok(manifest) => Outcome::Good(Box::new(manifest)),
        Err(problems) => Outcome::Bad(problems),
    }
}

/// All that is wrong, with the file's name before each.
pub fn listed(path: &Path, problems: &Problems) -> Vec<String> {
    let path = path.display();
    problems.0.iter().map(|problem| format!("{path}:{problem}")).collect()
}

/// Reads the manifest of a directory; its programs are not looked at.
pub fn read(dir: &Path) -> Result<(Manifest, B256), Failure> {
    let (path, text) = text(&dir.join(FILE))?;
    match parse(&text) {
        Outcome::Good(manifest) => Ok((*manifest, keccak256(&text))),
        Outcome::Bad(problems) => Err(Failure::new(
            listed(&path, &problems).join("\n"),
            "correct it; `surety service validate` checks it, `surety service init` writes an example",
        )),
    }
}

/// Reads the manifest of a directory and loads its programs.
pub fn load(dir: &Path) -> Result<Loaded, Failure> {
    let (manifest, hash) = read(dir)?;
    let mut programs = Vec::new();
    for entry in &manifest.programs {
        let elf = dir.join(&entry.elf);
        if !elf.is_file() {
            return Err(Failure::new(
                format!("there is no program {}", elf.display()),
                "surety service build",
            ));
        }
        let program = machine::load(&elf)?;
        let mut methods = Vec::new();
        for signature in &entry.methods {
            let method = abi::method(signature)?;
            check_declared(&program, &method, &elf)?;
            methods.push(method);
        }
        programs.push((program.hash().into(), elf, methods));
    }
    Ok(Loaded {
        manifest,
        hash,
        dir: dir.to_owned(),
        programs,
    })
}

/// A program that lists its methods must list this one.
fn check_declared(program: &Program, method: &Function, elf: &Path) -> Result<(), Failure> {
    let listed = program.methods();
    if listed.is_empty() || listed.iter().any(|m| *m == method.signature()) {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} has no method {}; it lists {}",
            elf.display(),
            method.signature(),
            listed.join(", ")
        ),
        "correct the methods in service.toml, or the program",
    )
    .with_code(code::MISMATCH))
}

/// Creation code in a compiled contract: forge's JSON (`bytecode.object`) or one with `bytecode` as text.
pub fn creation_code(path: &Path) -> Result<Bytes, Failure> {
    let next = "compile the service's contract with forge and name its JSON in [contract] artifact, or give --contract";
    let fail = |cause: String| Failure::new(format!("{}: {cause}", path.display()), next);
    let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| fail(format!("is not JSON: {e}")))?;
    let code = value
        .get("bytecode")
        .and_then(|b| b.get("object").or(Some(b)))
        .and_then(|b| b.as_str());
    let code: Bytes = code
        .ok_or_else(|| fail("has no bytecode".to_owned()))?
        .parse()
        .map_err(|e| fail(format!("its bytecode is not hex (libraries not linked?): {e}")))?;
    if code.is_empty() {
        return Err(fail("its bytecode is empty: the contract is abstract".to_owned()));
    }
    Ok(code)
}
