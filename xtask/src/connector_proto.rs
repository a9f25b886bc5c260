//! The committed code of the connectors' wire: Rust types, client and server, and the descriptor that reflection and
//! the Python SDK read, all from `crates/surety-connector/proto`. No `protoc` is needed: protox compiles the file.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::repo;

const PROTO: &str = "surety/connector/v1/connector.proto";
const PACKAGE: &str = "surety.connector.v1";
/// Where the descriptor goes: reflection of the server, and the Python SDK, which builds its messages from it.
const DESCRIPTORS: &[&str] = &[
    "crates/surety-connector/src/generated/descriptor.bin",
    "sdk/python/surety_connector/descriptor.bin",
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("connector-proto: found {args:?}; expected nothing, or --check"),
    };
    for (path, fresh) in generate()? {
        let whole = repo::root().join(&path);
        let current = fs::read(&whole).is_ok_and(|found| found == fresh);
        if check {
            ensure!(
                current,
                "{} is out of date; run `cargo xtask connector-proto` and commit",
                path.display()
            );
        } else if !current {
            let folder = whole.parent().context("a file has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::write(&whole, &fresh).with_context(|| format!("cannot write {}", whole.display()))?;
        }
        println!("{}: {} bytes", path.display(), fresh.len());
    }
    Ok(())
}

/// Every generated file, by its path from the root.
fn generate() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut compiler = protox::Compiler::new([repo::root().join("crates/surety-connector/proto")])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file(PROTO)?;
    let with_comments = compiler.file_descriptor_set();
    compiler.include_source_info(false);
    let descriptor = compiler.encode_file_descriptor_set();

    let folder = std::env::temp_dir().join(format!("surety-connector-proto-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let built = tonic_prost_build::configure()
        .out_dir(&folder)
        .emit_rerun_if_changed(false)
        .btree_map(".")
        .compile_fds(with_comments)
        .context("no code can be made from the descriptor")
        .and_then(|()| fs::read_to_string(folder.join(format!("{PACKAGE}.rs"))).context("no code was made"));
    let _left_for_the_system = fs::remove_dir_all(&folder);

    let mut files = BTreeMap::new();
    files.insert(
        PathBuf::from(format!("crates/surety-connector/src/generated/{PACKAGE}.rs")),
        built?.into_bytes(),
    );
    for path in DESCRIPTORS {
        files.insert(PathBuf::from(path), descriptor.clone());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_code_is_current() -> anyhow::Result<()> {
        super::run(&["--check".to_owned()])
    }
}
