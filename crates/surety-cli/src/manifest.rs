//! `service.toml`: what a service is.

use std::path::{Path, PathBuf};

use alloy::{
    json_abi::Function,
    primitives::{Address, B256, Bytes, U256, keccak256},
};
use serde::Deserialize;
use surety_machine::Program;

use crate::{
    abi,
    commands::machine,
    exit::{Failure, code},
    values::amount,
};

/// Name of the file.
pub const FILE: &str = "service.toml";
/// Longest manifest, bytes.
const MAX_MANIFEST: usize = 1 << 20;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// a short name
    pub name: String,
    /// smallest bond, in tokens
    pub min_bond: String,
    /// step budget of a request made on-chain
    pub max_budget: u64,
    /// an `IVerdict` contract
    #[serde(default)]
    pub verdict: Address,
    /// how programs are built
    #[serde(default)]
    pub build: Build,
    /// the service's contract
    #[serde(default)]
    pub contract: Contract,
    /// its programs
    #[serde(rename = "program")]
    pub programs: Vec<ProgramEntry>,
}

/// How programs are built.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// a shell command
    pub command: Option<String>,
}

/// The service's contract.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// compiled contract, as forge writes it
    pub artifact: Option<PathBuf>,
    /// where it is, if it is deployed already
    pub address: Option<Address>,
}

/// One program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// smallest bond, in wei
    pub min_bond: U256,
    /// program hash, ELF and methods of each program
    pub programs: Vec<(B256, PathBuf, Vec<Function>)>,
}

fn fail(path: &Path, cause: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("{}: {cause}", path.display()),
        "correct it; `surety service init` writes an example",
    )
}

/// Reads the manifest of a directory; its programs are not looked at.
pub fn read(dir: &Path) -> Result<(Manifest, B256), Failure> {
    let path = dir.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Failure::new(
            format!("{} cannot be read: {e}", path.display()),
            "run it in a service's directory, or name it with --dir; `surety service init NAME` makes one",
        )
    })?;
    if text.len() > MAX_MANIFEST {
        return Err(fail(
            &path,
            format!("has {} bytes, at most {MAX_MANIFEST} expected", text.len()),
        ));
    }
    let manifest: Manifest = toml::from_str(&text).map_err(|e| fail(&path, e))?;
    if manifest.programs.is_empty() {
        return Err(fail(&path, "has no [[program]]"));
    }
    Ok((manifest, keccak256(&text)))
}

/// Reads the manifest of a directory and loads its programs.
pub fn load(dir: &Path) -> Result<Loaded, Failure> {
    let path = dir.join(FILE);
    let (manifest, hash) = read(dir)?;
    let min_bond = amount(&manifest.min_bond).map_err(|e| fail(&path, format!("min_bond: {e}")))?;
    let mut programs = Vec::new();
    let mut seen = Vec::new();
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
            if seen.contains(&method.selector()) {
                return Err(fail(&path, format!("method {} is there twice", method.signature())));
            }
            seen.push(method.selector());
            methods.push(method);
        }
        programs.push((program.hash().into(), elf, methods));
    }
    Ok(Loaded {
        manifest,
        hash,
        dir: dir.to_owned(),
        min_bond,
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
