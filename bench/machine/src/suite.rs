//! The programs: every source in `programs`, one file each.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// What a program is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// C, built by gcc and clang.
    C,
    /// Rust, built by rustc.
    Rust,
}

impl Language {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Rust => "Rust",
        }
    }
}

/// One program of the suite.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The file's name without its ending.
    pub(crate) name: String,
    /// What it is written in.
    pub(crate) language: Language,
    /// The first sentence of the comment that opens it.
    pub(crate) about: String,
    /// Where it is.
    pub(crate) source: PathBuf,
}

/// The programs in a directory, by name; only those named, if any are.
pub(crate) fn programs(directory: &Path, only: &[String]) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))? {
        let source = entry?.path();
        let language = match source.extension().and_then(|ending| ending.to_str()) {
            Some("c") => Language::C,
            Some("rs") => Language::Rust,
            _ => continue,
        };
        let Some(name) = source.file_stem().and_then(|name| name.to_str()).map(String::from) else {
            continue;
        };
        let about = first_sentence(&fs::read_to_string(&source)?);
        programs.push(Program {
            name,
            language,
            about,
            source,
        });
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(unknown) = only
        .iter()
        .find(|name| programs.iter().all(|program| program.name != **name))
    {
        let known: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
        bail!("no program is called `{unknown}`; there are {}", known.join(", "));
    }
    programs.retain(|program| only.is_empty() || only.contains(&program.name));
    Ok(programs)
}

fn first_sentence(source: &str) -> String {
    let lines = source
        .lines()
        .map(|line| line.trim().trim_start_matches(['/', '*', '!', ' ']));
    let comment: Vec<_> = lines
        .take_while(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let text = comment.join(" ");
    let text = text.trim_end_matches([' ', '*', '/']);
    text.split_once(". ")
        .map_or(text, |(sentence, _)| sentence)
        .trim_end_matches('.')
        .to_owned()
}
