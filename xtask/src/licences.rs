//! The licence and the source of everything depended on, Rust and npm, against the lists in `deny.toml`. cargo-deny
//! reads the same file and checks more; this needs nothing installed, so the test run can insist on it.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::repo;

/// The only place Rust crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn run(args: &[String]) -> Result<()> {
    ensure!(args.is_empty(), "licences: found {args:?}; expected no arguments");
    let allowed = allowed()?;
    let mut wrong = Vec::new();
    let crates = crates()?;
    let packages = packages()?;
    for found in crates.iter().chain(&packages) {
        if let Err(error) = check(found, &allowed) {
            wrong.push(format!("{}: {error:#}", found.name));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of the dependencies are refused:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
    println!(
        "licences: {} crates and {} npm packages, all allowed by deny.toml",
        crates.len(),
        packages.len()
    );
    Ok(())
}

/// Something depended on.
#[derive(Debug)]
struct Dependency {
    /// Name and version.
    name: String,
    /// The SPDX expression it declares.
    licence: Option<String>,
    /// Where it comes from, if that is not the one expected.
    stray_source: Option<String>,
}

/// `licenses.allow` of `deny.toml`.
fn allowed() -> Result<Vec<Expression>> {
    let text = fs::read_to_string(repo::root().join("deny.toml")).context("cannot read deny.toml")?;
    let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
    let list = table
        .get("licenses")
        .and_then(|section| section.get("allow"))
        .and_then(toml::Value::as_array);
    list.context("deny.toml has no licenses.allow")?
        .iter()
        .map(|entry| {
            let name = entry.as_str().context("an entry of licenses.allow is not a string")?;
            Expression::parse(name).with_context(|| format!("licenses.allow holds `{name}`, which is not SPDX"))
        })
        .collect()
}

fn check(found: &Dependency, allowed: &[Expression]) -> Result<()> {
    if let Some(source) = &found.stray_source {
        anyhow::bail!("found the source {source}; expected crates.io");
    }
    let text = found.licence.as_deref().context("declares no licence")?;
    // Lax: old crates write `MIT/Apache-2.0`.
    let expression = Expression::parse_mode(text, ParseMode::LAX).with_context(|| format!("`{text}` is not SPDX"))?;
    let satisfied = expression.evaluate(|wanted| {
        allowed
            .iter()
            .flat_map(Expression::requirements)
            .any(|entry| entry.req.to_string() == wanted.to_string())
    });
    ensure!(
        satisfied,
        "found the licence {text}; expected one that deny.toml allows"
    );
    Ok(())
}

/// Every crate the workspace links on this platform.
fn crates() -> Result<Vec<Dependency>> {
    let root = repo::root();
    let host = host()?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--all-features",
            "--filter-platform",
            &host,
        ])
        .current_dir(&root)
        .output()
        .context("cargo metadata did not start")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata lists no packages")?;
    Ok(packages
        .iter()
        .map(|package| {
            let field = |name: &str| package.get(name).and_then(Value::as_str).map(str::to_owned);
            Dependency {
                name: format!(
                    "{} {}",
                    field("name").unwrap_or_default(),
                    field("version").unwrap_or_default()
                ),
                licence: field("license"),
                stray_source: field("source").filter(|source| source != REGISTRY),
            }
        })
        .collect())
}

/// The target triple of this machine, as the compiler names it.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc did not start")?;
    let text = String::from_utf8(output.stdout).context("rustc -vV is not text")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// What an npm package declares in the way of before SPDX, `"licenses": [{"type": "MIT"}]`, which the lock file leaves
/// out; read from the installed package, whose hash npm has checked.
fn old_licence(path: &str) -> Option<String> {
    let text = fs::read_to_string(repo::root().join(path).join("package.json")).ok()?;
    let package: Value = serde_json::from_str(&text).ok()?;
    let kinds: Option<Vec<&str>> = package
        .get("licenses")?
        .as_array()?
        .iter()
        .map(|licence| licence.get("type")?.as_str())
        .collect();
    kinds.filter(|kinds| !kinds.is_empty()).map(|kinds| kinds.join(" OR "))
}

/// Every npm package in the lock file.
fn packages() -> Result<Vec<Dependency>> {
    let text = fs::read_to_string(repo::root().join("package-lock.json")).context("cannot read package-lock.json")?;
    let lock: Value = serde_json::from_str(&text).context("package-lock.json is not JSON")?;
    let packages = lock
        .get("packages")
        .and_then(Value::as_object)
        .context("package-lock.json lists no packages")?;
    Ok(packages
        .iter()
        .filter(|(path, _)| !path.is_empty())
        .map(|(path, package)| {
            let field = |name: &str| package.get(name).and_then(Value::as_str).map(str::to_owned);
            Dependency {
                name: format!("{path} {}", field("version").unwrap_or_default()),
                licence: field("license").or_else(|| old_licence(path)),
                // The lock file names no hosts (.npmrc): a machine's own mirror must not get into it.
                stray_source: field("resolved"),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(licence: Option<&str>) -> Result<()> {
        let found = Dependency {
            name: "x 1".into(),
            licence: licence.map(Into::into),
            stray_source: None,
        };
        check(&found, &allowed()?)
    }

    #[test]
    fn allows_what_the_list_allows() {
        for licence in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 AND ISC",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            verdict(Some(licence)).unwrap_or_else(|error| panic!("{licence}: {error:#}"));
        }
    }

    #[test]
    fn refuses_copyleft_nonsense_and_silence() {
        for licence in [
            Some("GPL-3.0-only"),
            Some("MIT AND AGPL-3.0"),
            Some("do what you like"),
            None,
        ] {
            assert!(verdict(licence).is_err(), "{licence:?}");
        }
    }

    #[test]
    fn refuses_another_source() {
        let found = Dependency {
            name: "x 1".into(),
            licence: Some("MIT".into()),
            stray_source: Some("git+https://example.org/x".into()),
        };
        assert!(
            check(&found, &allowed().unwrap())
                .unwrap_err()
                .to_string()
                .contains("git+")
        );
    }
}
