//! Files of vectors: written, or compared with what is committed.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::repo;

/// Writes `vectors/<folder>/<file>` for each file, or, with `--check`, says which is out of date.
pub(crate) fn run(folder: &str, args: &[String], files: &[(&str, Vec<Value>)]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("{folder}-vectors: found {args:?}; expected nothing, or --check"),
    };
    for (file, vectors) in files {
        let name = format!("vectors/{folder}/{file}");
        let path = repo::root().join(&name);
        let fresh = lines(vectors)?;
        if check {
            let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(
                found == fresh,
                "{name} is out of date; run `cargo xtask {folder}-vectors` and commit"
            );
        } else {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            }
            fs::write(&path, fresh).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{name}: {} vectors", vectors.len());
    }
    Ok(())
}

/// One vector a line, so that a change shows as what it is.
fn lines(vectors: &[Value]) -> Result<String> {
    let lines = vectors
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}
