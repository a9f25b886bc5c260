//! The repository's own rules: what review would otherwise have to remember.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::repo;

/// Words that must not be in a committed file, and why. Split, so that this file does not break its own rule.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("arti", "factory"), "a host of one machine"),
    (concat!("to", "do!("), "unfinished code"),
    (concat!("unimple", "mented!("), "unfinished code"),
    (
        concat!("FIX", "ME"),
        "unfinished work; write down what is missing where its reader looks",
    ),
    (
        concat!("XX", "X:"),
        "unfinished work; write down what is missing where its reader looks",
    ),
    (
        concat!("#[ig", "nore"),
        "a test that does not run; a test that cannot run fails",
    ),
    (
        concat!("vm.", "skip("),
        "a test that does not run; a test that cannot run fails",
    ),
];

/// What the words do not apply to: other people's text, data as it was found, and what forge writes its own way.
const NOT_OURS: &[&str] = &[
    "LICENSE-APACHE",
    "Cargo.lock",
    "package-lock.json",
    "testdata",
    "contracts/snapshots",
];

/// Crates that do no I/O and read no clock, and what would break that.
const PURE: &[&str] = &["surety-primitives", "surety-machine", "surety-protocol"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::time",
    "std::env",
    "std::process",
    "std::thread",
    "tokio::",
    "rand::",
    "SystemTime",
];

/// The layers of ARCHITECTURE.md, lowest first. A crate links only to crates below it.
const LAYERS: &[&[&str]] = &[
    &["surety-primitives"],
    &["surety-machine"],
    &["surety-protocol"],
    &["surety-chain", "surety-p2p", "surety-connector"],
    &["surety-node", "surety-client", "surety-connectors"],
    &["surety-cli"],
    &["surety-testing"],
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    ensure!(args.is_empty(), "tidy: found {args:?}; expected no arguments");
    let files: Vec<(PathBuf, String)> = repo::files()?
        .into_iter()
        .filter_map(|path| repo::text(&path).map(|text| (path, text)))
        .collect();
    let mut found = Vec::new();
    for (path, text) in &files {
        words(path, text, &mut found);
        solidity(path, text, &mut found);
        purity(path, text, &mut found);
        manifest(path, text, &mut found);
    }
    links(&files, &mut found);
    vectors(&repo::files()?, &files, &mut found);
    ensure!(
        found.is_empty(),
        "{} places break the repository's rules:\n  {}",
        found.len(),
        found.join("\n  ")
    );
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

fn is(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

fn words(path: &Path, text: &str, found: &mut Vec<String>) {
    if NOT_OURS
        .iter()
        .any(|name| path.ends_with(name) || path.starts_with(name))
    {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if line.contains(word) {
                found.push(format!("{}:{}: found `{word}`: {why}", path.display(), number + 1));
            }
        }
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            found.push(format!("{}:{}: a merge's conflict mark", path.display(), number + 1));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(format!("{}: does not end with a line break", path.display()));
    }
}

fn solidity(path: &Path, text: &str, found: &mut Vec<String>) {
    if !is(path, "sol") {
        return;
    }
    if !text.starts_with("// SPDX-License-Identifier: MIT OR Apache-2.0\n") {
        found.push(format!(
            "{}: expected `// SPDX-License-Identifier: MIT OR Apache-2.0` on line 1",
            path.display()
        ));
    }
    // solc 0.8.28 to 0.8.33 compile the clearing of a transient variable wrongly through the IR when a persistent one
    // of the same type is cleared in the same contract.
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "transient")
        {
            found.push(format!(
                "{}:{}: a transient variable, which this solc clears wrongly",
                path.display(),
                number + 1
            ));
        }
    }
}

fn purity(path: &Path, text: &str, found: &mut Vec<String>) {
    let Some(pure) = PURE.iter().find(|pure| path.starts_with(format!("crates/{pure}/src"))) else {
        return;
    };
    // Tests at the end of a file may read vectors from disk.
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (number, line) in product.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for word in IMPURE {
            if code.contains(word) {
                found.push(format!(
                    "{}:{}: found `{word}` in {pure}, which is pure",
                    path.display(),
                    number + 1
                ));
            }
        }
    }
}

fn manifest(path: &Path, text: &str, found: &mut Vec<String>) {
    if !path.ends_with("Cargo.toml") {
        return;
    }
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return found.push(format!("{}: {error}", path.display())),
    };
    let Some(name) = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
    else {
        return;
    };
    let Some(layer) = LAYERS.iter().position(|layer| layer.contains(&name)) else {
        return;
    };
    let lints = table
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool);
    if lints != Some(true) {
        found.push(format!("{}: expected `[lints] workspace = true`", path.display()));
    }
    let Some(dependencies) = table.get("dependencies").and_then(toml::Value::as_table) else {
        return;
    };
    for dependency in dependencies.keys() {
        let below = LAYERS.iter().position(|layer| layer.contains(&dependency.as_str()));
        if below.is_some_and(|below| below >= layer) {
            found.push(format!(
                "{}: {name} links to {dependency}, which is not below it",
                path.display()
            ));
        }
    }
}

/// Every relative link in a Markdown file leads somewhere, and every file of `docs/` is linked from somewhere.
fn links(files: &[(PathBuf, String)], found: &mut Vec<String>) {
    let mut linked = BTreeSet::new();
    for (path, text) in files.iter().filter(|(path, _)| is(path, "md")) {
        for target in targets(text) {
            let folder = path.parent().unwrap_or(Path::new(""));
            let Some(resolved) = resolve(&folder.join(&target)) else {
                found.push(format!(
                    "{}: the link {target} leads out of the repository",
                    path.display()
                ));
                continue;
            };
            if !repo::root().join(&resolved).exists() {
                found.push(format!("{}: the link {target} leads nowhere", path.display()));
            }
            // A page that only links to itself is not reachable.
            if resolved != *path {
                linked.insert(resolved);
            }
        }
    }
    for (path, _) in files.iter().filter(|(path, _)| path.starts_with("docs")) {
        let by_folder = path.ends_with("README.md") && path.parent().is_some_and(|folder| linked.contains(folder));
        if !by_folder && !linked.contains(path) {
            found.push(format!("{}: linked from nowhere", path.display()));
        }
    }
}

/// Targets of a Markdown text's links that are paths, without their fragments.
fn targets(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose: String = text
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fence && !fenced
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n']).next())
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// The path with `.` and `..` worked out; nothing if it climbs out.
fn resolve(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::Normal(name) => resolved.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// Every file under `vectors/` is read by a test: some test names it, or its folder.
fn vectors(all: &[PathBuf], files: &[(PathBuf, String)], found: &mut Vec<String>) {
    let tests: Vec<&str> = files
        .iter()
        .filter(|(path, _)| {
            let code = is(path, "rs") || is(path, "sol") || is(path, "ts") || is(path, "mjs");
            code && !path.starts_with("xtask")
        })
        .map(|(_, text)| text.as_str())
        .collect();
    for path in all.iter().filter(|path| path.starts_with("vectors") && !is(path, "md")) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let folder = path
            .parent()
            .and_then(Path::to_str)
            .filter(|folder| *folder != "vectors");
        let read = tests
            .iter()
            .any(|text| text.contains(name) || folder.is_some_and(|folder| text.contains(folder)));
        if !read {
            found.push(format!("{}: read by no test", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(check: fn(&Path, &str, &mut Vec<String>), path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(Path::new(path), text, &mut found);
        found
    }

    #[test]
    fn finds_forbidden_words_with_their_line() {
        let text = format!("fn f() {{\n    {}\n}}\n", concat!("to", "do!()"));
        let found = one(words, "crates/a/src/lib.rs", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/a/src/lib.rs:2: "), "{found:?}");
    }

    #[test]
    fn wants_a_line_break_at_the_end() {
        assert_eq!(one(words, "a.md", "text").len(), 1);
        assert!(one(words, "a.md", "text\n").is_empty());
        assert!(one(words, "a.md", "").is_empty());
    }

    #[test]
    fn wants_the_licence_in_solidity_and_no_transient_variable() {
        let good =
            "// SPDX-License-Identifier: MIT OR Apache-2.0\npragma solidity 0.8.30;\n// transient words are fine\n";
        assert!(one(solidity, "contracts/src/A.sol", good).is_empty());
        assert_eq!(
            one(solidity, "contracts/src/A.sol", "pragma solidity 0.8.30;\n").len(),
            1
        );
        let transient = format!("{good}uint256 transient x;\n");
        assert_eq!(one(solidity, "contracts/src/A.sol", &transient).len(), 1);
    }

    #[test]
    fn finds_input_and_output_in_a_pure_crate() {
        let text = "use std::fs;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(one(purity, "crates/surety-protocol/src/lib.rs", text).len(), 1);
        assert!(one(purity, "crates/surety-node/src/lib.rs", text).is_empty());
    }

    #[test]
    fn finds_a_dependency_that_points_upwards() {
        let text = "[package]\nname = \"surety-protocol\"\n[lints]\nworkspace = true\n[dependencies]\n\
                    surety-node = { workspace = true }\nsurety-primitives = { workspace = true }\n";
        let found = one(manifest, "crates/surety-protocol/Cargo.toml", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("surety-node"), "{found:?}");
    }

    #[test]
    fn finds_vectors_that_no_test_reads() {
        let all = ["vectors/a/one.json", "vectors/b/two.json", "vectors/b/README.md"].map(PathBuf::from);
        let test = |text: &str| vec![(PathBuf::from("crates/x/tests/it.rs"), text.to_owned())];
        let mut found = Vec::new();
        vectors(&all, &test("include_str!(\"one.json\")"), &mut found);
        assert_eq!(found, ["vectors/b/two.json: read by no test"]);
        found.clear();
        vectors(&all, &test("read_dir(\"vectors/b\"); open(\"one.json\")"), &mut found);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn finds_links_that_lead_nowhere_and_pages_nobody_links_to() {
        let page = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = [
            page(
                "README.md",
                "[changes](CHANGELOG.md), [gone](docs/gone.md), [out](../../x.md)\n",
            ),
            page("docs/lonely.md", "[me](lonely.md)\n"),
        ];
        let mut found = Vec::new();
        links(&files, &mut found);
        let about = |word: &str| found.iter().filter(|line| line.contains(word)).count();
        assert_eq!(
            (
                about("docs/gone.md leads nowhere"),
                about("leads out"),
                about("lonely.md: linked")
            ),
            (1, 1, 1)
        );
    }

    #[test]
    fn reads_links_outside_of_code() {
        let text = "[a](b.md#part) and [c](https://example.org)\n```\n[d](e.md)\n```\n[f](../g.md)\n";
        assert_eq!(targets(text), ["b.md", "../g.md"]);
        assert_eq!(
            resolve(Path::new("docs/spec/../g.md")),
            Some(PathBuf::from("docs/g.md"))
        );
        assert_eq!(resolve(Path::new("../g.md")), None);
    }
}
