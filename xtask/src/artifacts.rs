//! The contracts' artefacts that the Rust side embeds: `contracts/artifacts/<Name>.json`, each
//! `{"abi": [...], "bytecode": "0x..", "deployedBytecode": "0x.."}` and nothing else, so that they change only when
//! the contract does. They are committed: building the Rust side takes no Solidity compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::repo;

/// Longest code a contract may have, in bytes (EIP-170).
const MAX_CODE: usize = 24_576;
/// Longest creation code a transaction may carry, in bytes (EIP-3860).
const MAX_INITCODE: usize = 49_152;
/// Folders of `contracts/src` that hold nothing to deploy.
const NOT_DEPLOYED: &[&str] = &["interfaces", "types", "libraries"];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("artifacts: found {args:?}; expected nothing, or --check"),
    };
    let contracts = repo::root().join("contracts");
    let fresh = collect(&contracts)?;
    ensure!(
        !fresh.is_empty(),
        "no contract found in contracts/out; run `make artifacts`, which runs forge build first"
    );
    let folder = contracts.join("artifacts");
    let stale = differences(&folder, &fresh)?;
    if check {
        ensure!(
            stale.is_empty(),
            "contracts/artifacts is out of date ({}); run `make artifacts` and commit",
            stale.into_iter().collect::<Vec<_>>().join(", ")
        );
        println!("contracts/artifacts: {} contracts, all current", fresh.len());
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in &stale {
        let path = folder.join(file);
        match fresh.get(file) {
            Some(text) => fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?,
            None => fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?,
        }
        println!("contracts/artifacts/{file}");
    }
    println!(
        "contracts/artifacts: {} contracts, {} files changed",
        fresh.len(),
        stale.len()
    );
    Ok(())
}

/// File name to text of every artefact there should be, from forge's output; fails on a contract too large to deploy.
fn collect(contracts: &Path) -> Result<BTreeMap<String, String>> {
    let source = contracts.join("src");
    let mut found = BTreeMap::new();
    for path in repo::files()? {
        let Ok(inside) = path.strip_prefix("contracts/src") else {
            continue;
        };
        let folder = inside
            .components()
            .next()
            .and_then(|part| part.as_os_str().to_str())
            .unwrap_or_default();
        if inside.extension().is_none_or(|ending| ending != "sol") || NOT_DEPLOYED.contains(&folder) {
            continue;
        }
        let file = inside.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let built = contracts.join("out").join(file);
        let entries = fs::read_dir(&built).with_context(|| {
            format!(
                "{} has no output in {}; run `make artifacts`",
                source.join(inside).display(),
                built.display()
            )
        })?;
        for entry in entries {
            let output = entry?.path();
            let Some(name) = output.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let text = fs::read_to_string(&output).with_context(|| format!("cannot read {}", output.display()))?;
            let value: Value =
                serde_json::from_str(&text).with_context(|| format!("{} is not JSON", output.display()))?;
            let (artifact, sizes) = distil(&value).with_context(|| format!("in {}", output.display()))?;
            check_size(name, sizes)?;
            let previous = found.insert(format!("{name}.json"), artifact);
            ensure!(
                previous.is_none(),
                "two contracts in contracts/src are called {name}; names must differ"
            );
        }
    }
    Ok(found)
}

/// The artefact's text, and the lengths of code and creation code in bytes.
fn distil(forge: &Value) -> Result<(String, (usize, usize))> {
    let code = |key: &str| -> Result<String> {
        let hex = forge.pointer(&format!("/{key}/object")).and_then(Value::as_str);
        let hex = hex.with_context(|| format!("found no {key}.object"))?;
        let digits = hex.strip_prefix("0x").unwrap_or(hex);
        ensure!(
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{key} has unlinked library references; make the library's functions internal"
        );
        Ok(format!("0x{digits}"))
    };
    let (creation, deployed) = (code("bytecode")?, code("deployedBytecode")?);
    let sizes = (deployed.len() / 2 - 1, creation.len() / 2 - 1);
    let mut artifact = Map::new();
    artifact.insert("abi".to_owned(), sorted(forge.get("abi").context("found no abi")?));
    artifact.insert("bytecode".to_owned(), creation.into());
    artifact.insert("deployedBytecode".to_owned(), deployed.into());
    let mut text = serde_json::to_string_pretty(&Value::Object(artifact))?;
    text.push('\n');
    Ok((text, sizes))
}

/// The same value with every object's keys in order: `serde_json` keeps another order when some crate of the same
/// build turns its `preserve_order` on.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(fields) => {
            let ordered: BTreeMap<_, _> = fields.iter().collect();
            Value::Object(
                ordered
                    .into_iter()
                    .map(|(key, field)| (key.clone(), sorted(field)))
                    .collect(),
            )
        }
        plain => plain.clone(),
    }
}

fn check_size(name: &str, (code, initcode): (usize, usize)) -> Result<()> {
    ensure!(
        code <= MAX_CODE,
        "{name}: found {code} bytes of code; expected at most {MAX_CODE} (EIP-170)"
    );
    ensure!(
        initcode <= MAX_INITCODE,
        "{name}: found {initcode} bytes of creation code; expected at most {MAX_INITCODE} (EIP-3860)"
    );
    Ok(())
}

/// Names of the files that are missing, changed, or there without a contract.
fn differences(folder: &Path, fresh: &BTreeMap<String, String>) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = fresh
        .iter()
        .filter(|(file, text)| fs::read_to_string(folder.join(file)).ok().as_deref() != Some(text))
        .map(|(file, _)| file.clone())
        .collect();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            if !fresh.contains_key(&file) {
                names.insert(file);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forge(code: &str) -> Value {
        serde_json::json!({
            "abi": [{ "type": "function", "name": "f", "inputs": [] }],
            "bytecode": { "object": code },
            "deployedBytecode": { "object": code },
            "metadata": { "compiler": "anything" },
        })
    }

    #[test]
    fn keeps_abi_and_code_only_in_key_order() {
        let (text, sizes) = distil(&forge("0x6001")).unwrap();
        let expected = "{\n  \"abi\": [\n    {\n      \"inputs\": [],\n      \"name\": \"f\",\n      \"type\": \"function\"\n    \
                        }\n  ],\n  \"bytecode\": \"0x6001\",\n  \"deployedBytecode\": \"0x6001\"\n}\n";
        assert_eq!(text, expected);
        assert_eq!(sizes, (2, 2));
    }

    #[test]
    fn refuses_unlinked_code() {
        let error = distil(&forge("0x60__$aabb$__")).unwrap_err().to_string();
        assert!(error.contains("unlinked"), "{error}");
    }

    #[test]
    fn refuses_code_too_large_to_deploy() {
        assert!(check_size("Big", (MAX_CODE, MAX_INITCODE)).is_ok());
        assert!(
            check_size("Big", (MAX_CODE + 1, 0))
                .unwrap_err()
                .to_string()
                .contains("EIP-170")
        );
        assert!(
            check_size("Big", (0, MAX_INITCODE + 1))
                .unwrap_err()
                .to_string()
                .contains("EIP-3860")
        );
    }
}
