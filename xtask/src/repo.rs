//! Where the repository is and what is in it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Paths, relative to the root, of the files that git tracks or would: not the ignored ones. Links are left out.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git, which lists the files to check, did not start")?;
    ensure!(
        listed.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&listed.stderr).trim()
    );
    let mut files: Vec<PathBuf> = String::from_utf8(listed.stdout)
        .context("a file's name is not UTF-8")?
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| root().join(path).symlink_metadata().is_ok_and(|found| found.is_file()))
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// A file's text, by its path from the root; nothing if it is not text.
pub(crate) fn text(path: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).ok()?)
        .ok()
        .filter(|text| !text.contains('\0'))
}
