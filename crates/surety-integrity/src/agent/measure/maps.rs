//! Executable memory of a process: what is mapped, from which file, and which pages are not the file's any more.
//!
//! A page of a private file mapping is the page cache's own until somebody writes to it, be it through a debugger;
//! then the process gets a copy. The kernel's page map says which pages are such copies (present or swapped, and not
//! a file's), so only these are read and compared with the file. The page cache itself is what hashing a file reads.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    hashes::{Hashes, Sha},
    tree::text,
};

/// Bytes of a page.
const PAGE: u64 = 4_096;
/// Most mappings that are told of one process.
const MAX_MAPPINGS: usize = 4_096;
/// Most differing pages that are told of one mapping.
pub(super) const MAX_PAGES: usize = 16;
/// Longest `maps` that is read.
const MAX_MAPS: u64 = 16 << 20;

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// path in the container, `/memfd:… (deleted)`, `[vdso]`, or empty
    pub name: String,
    /// `r-xp` and the like
    pub permissions: String,
    /// where in the file it begins
    pub offset: u64,
    /// bytes
    pub length: u64,
    /// SHA-256 of the whole file as it is mapped, also if it has no name any more; `None`: no file, or not readable
    pub file: Option<Sha>,
    /// pages that are not the file's (the first sixteen), by place in the file
    pub differ: Vec<Page>,
}

/// A page in memory that is not the file's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// place in the file, bytes
    pub offset: u64,
    /// SHA-256 of what is in memory
    pub memory: Sha,
}

/// One line of `maps`.
struct Line<'a> {
    start: u64,
    end: u64,
    range: &'a str,
    permissions: &'a str,
    offset: u64,
    inode: u64,
    name: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Line<'_>> {
    // address perms offset dev inode      pathname; a path may hold anything but a line's end.
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let range = field()?;
    let permissions = field()?;
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let _device = field()?;
    let inode = field()?.parse().ok()?;
    let name = fields.next().unwrap_or_default().trim_ascii_start();
    let (start, end) = range.split_once('-')?;
    Some(Line {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        range,
        permissions,
        offset,
        inode,
        name,
    })
}

/// How often a process is looked at again that has begun another program meanwhile.
const TRIES: u32 = 8;

/// The executable mappings of a process; `None`: it is gone.
pub(super) fn look(process: &Path, hashes: &Hashes, again: bool) -> Option<Vec<Mapping>> {
    let mut found = Vec::new();
    for _ in 0..TRIES {
        let before = read(process)?;
        found = at_once(process, &before, hashes, again)?;
        let strange = found
            .iter()
            .any(|mapping| !mapping.differ.is_empty() || mapping.file.is_none());
        // Lines of one program and pages of the next make nonsense, which only this can be.
        if !strange || executable(&read(process)?).eq(executable(&before)) {
            break;
        }
    }
    Some(found)
}

fn read(process: &Path) -> Option<Vec<u8>> {
    let mut maps = Vec::new();
    let file = File::open(process.join("maps")).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_MAPS), &mut maps).ok()?;
    // A process that has no memory any more is about to end.
    (!maps.is_empty()).then_some(maps)
}

/// Lines with executable memory.
fn executable(maps: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is = |line: &&[u8]| parse(line).is_some_and(|line| line.permissions.contains('x'));
    maps.split(|byte| *byte == b'\n').filter(is)
}

fn at_once(process: &Path, maps: &[u8], hashes: &Hashes, again: bool) -> Option<Vec<Mapping>> {
    let executable = maps.split(|byte| *byte == b'\n').filter_map(parse).filter(|line| {
        // The page at the end of the address space is the kernel's, the same in every process and mapped nowhere.
        line.permissions.contains('x') && !(line.name == b"[vsyscall]" && line.start == 0xffff_ffff_ff60_0000)
    });
    let pagemap = File::open(process.join("pagemap")).ok()?;
    let memory = File::open(process.join("mem")).ok()?;
    let mut mappings = Vec::new();
    for line in executable.take(MAX_MAPPINGS) {
        let file = match line.inode {
            0 => None,
            _ => File::open(process.join("map_files").join(trimmed(line.range))).ok(),
        };
        let sha = file.as_ref().and_then(|file| hashes.of(file, again).ok());
        let differ = if file.is_some() || line.name == b"[vdso]" {
            differing(&line, &pagemap, &memory, file.as_ref())
        } else {
            Vec::new()
        };
        mappings.push(Mapping {
            name: text(line.name),
            permissions: line.permissions.to_owned(),
            offset: line.offset,
            length: line.end.saturating_sub(line.start),
            file: sha,
            differ,
        });
    }
    Some(mappings)
}

/// `map_files` has no leading zeros.
fn trimmed(range: &str) -> String {
    let part = |text: &str| match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        text => text.to_owned(),
    };
    match range.split_once('-') {
        Some((start, end)) => format!("{}-{}", part(start), part(end)),
        None => range.to_owned(),
    }
}

fn differing(line: &Line<'_>, pagemap: &File, memory: &File, file: Option<&File>) -> Vec<Page> {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const OF_FILE: u64 = 1 << 61;
    /// Entries read at once: 256 KiB.
    const CHUNK: u64 = 32 << 10;
    let mut differ = Vec::new();
    let mut first = line.start / PAGE;
    let end = line.end / PAGE;
    let mut entries = vec![0; usize::try_from(CHUNK.min(end.saturating_sub(first)) * 8).unwrap_or(0)];
    while first < end {
        let count = CHUNK.min(end - first);
        let Some(buffer) = entries.get_mut(..usize::try_from(count * 8).unwrap_or(0)) else {
            break;
        };
        let Ok(length) = pagemap.read_at(buffer, first * 8) else {
            break;
        };
        let (entries, _) = buffer.get(..length).unwrap_or_default().as_chunks::<8>();
        if entries.is_empty() {
            break;
        }
        for (index, entry) in (0u64..).zip(entries) {
            let entry = u64::from_ne_bytes(*entry);
            if entry & (PRESENT | SWAPPED) == 0 || entry & OF_FILE != 0 {
                continue;
            }
            let address = (first + index) * PAGE;
            let offset = line.offset.saturating_add(address.saturating_sub(line.start));
            let mut found = [0; PAGE as usize];
            if memory.read_exact_at(&mut found, address).is_err() {
                continue;
            }
            let mut expected = [0; PAGE as usize];
            if let Some(file) = file
                && read_full(file, &mut expected, offset)
                && expected == found
            {
                continue;
            }
            differ.push(Page {
                offset,
                memory: Sha(Sha256::digest(found).into()),
            });
            if differ.len() >= MAX_PAGES {
                return differ;
            }
        }
        first = first.saturating_add(u64::try_from(entries.len()).unwrap_or(u64::MAX));
    }
    differ
}

/// Reads as much as there is; what is beyond the file's end stays zero, as in memory.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> bool {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX))) {
            Ok(0) => return true,
            Ok(length) => done = done.saturating_add(length),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_maps() {
        let line = parse(b"00401000-00585000 r-xp 00001000 00:27 10035260                           /bin/a b")
            .expect("a line");
        assert_eq!(
            (line.start, line.end, line.offset, line.inode),
            (0x40_1000, 0x58_5000, 0x1000, 10_035_260)
        );
        assert_eq!((line.permissions, line.name), ("r-xp", &b"/bin/a b"[..]));
        let line = parse(b"7fa830b84000-7fa830b86000 r-xp 00000000 00:00 0 ").expect("a line");
        assert!(line.name.is_empty());
        assert!(parse(b"").is_none() && parse(b"x-y r-xp 0 0 0").is_none());
        assert_eq!(trimmed("00401000-00585000"), "401000-585000");
    }

    #[test]
    fn sees_its_own_code_and_no_difference() {
        let mappings = look(Path::new("/proc/self"), &Hashes::default(), false).expect("this process");
        let own = std::env::current_exe().expect("a path");
        let code = mappings
            .iter()
            .find(|mapping| Path::new(&mapping.name) == own)
            .expect("its own code");
        assert!(code.file.is_some() && code.differ.is_empty(), "{code:?}");
        let vdso = mappings.iter().find(|mapping| mapping.name == "[vdso]");
        assert!(vdso.is_none_or(|vdso| vdso.differ.is_empty()), "{vdso:?}");
    }
}
