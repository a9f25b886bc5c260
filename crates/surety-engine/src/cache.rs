//! Translations on disk.
//!
//! A file is used only if it belongs to this user and nobody else can write it, was made by this version of the engine
//! for this very program, and is whole (SHA-256 over all of it). Whoever can write it can have anything run as this
//! user, as with the node's own binary: the checks are against accidents and other users, not against oneself.
//! Anything else about a file is no error: the program is translated again.

use std::path::Path;

use surety_machine::Program;

use crate::Code;

/// Changes with what is translated to what: a test holds it to the code that comes out.
#[cfg(translated)]
pub(crate) const REVISION: u32 = 3;

#[cfg(translated)]
pub(crate) use unix::{load, save};

#[cfg(not(translated))]
pub(crate) fn load(_: &Path, _: &Program) -> Option<Code> {
    None
}

#[cfg(not(translated))]
pub(crate) fn save(_: &Path, _: &Program, _: &Code) {}

#[cfg(translated)]
mod unix {
    use std::{
        fs::{self, DirBuilder, File, OpenOptions},
        io::{Read, Write},
        os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        path::PathBuf,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use sha2::{Digest, Sha256};

    use super::{Code, Path, Program, REVISION};
    use crate::x86_64;

    const MAGIC: &[u8; 16] = b"surety engine\0\0\0";
    /// Magic, revision, program hash, digest of the rest.
    const HEADER: usize = 16 + 4 + 32 + 32;
    /// The longest file read, bytes.
    const MAX_FILE: u64 = 4 << 30;

    fn path(directory: &Path, program: &Program) -> PathBuf {
        let mut name: String = program.hash().iter().map(|byte| format!("{byte:02x}")).collect();
        name.push_str(".x86_64");
        directory.join(name)
    }

    fn header(program: &Program, rest: &[u8]) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(REVISION.to_le_bytes());
        header.extend(program.hash());
        let digest = Sha256::new()
            .chain_update(&header)
            .chain_update(crate::intrinsics::fingerprint())
            .chain_update(rest)
            .finalize();
        header.extend(digest);
        header
    }

    pub(crate) fn load(directory: &Path, program: &Program) -> Option<Code> {
        let path = path(directory, program);
        let file = OpenOptions::new()
            .read(true)
            // What is no file may have one wait.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)
            .ok()?;
        let about = file.metadata().ok()?;
        // SAFETY: a plain question.
        let user = unsafe { libc::geteuid() };
        if !about.is_file() || about.uid() != user || about.mode() & 0o022 != 0 || about.len() > MAX_FILE {
            return None;
        }
        let mut bytes = Vec::with_capacity(about.len() as usize);
        file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        let (found, rest) = bytes.split_at_checked(HEADER)?;
        if found != header(program, rest) {
            return None;
        }
        let native = x86_64::Code::decode(program, rest)?;
        Some(Code {
            native: Arc::new(native),
        })
    }

    pub(crate) fn save(directory: &Path, program: &Program, code: &Code) {
        /// So that two threads never write one file.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let _exists = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        let rest = code.native.encode();
        let path = path(directory, program);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}.{number}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file: File = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&header(program, &rest))?;
            file.write_all(&rest)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        if write().is_err() {
            // It is a cache: the program is translated again next time.
            let _gone = fs::remove_file(&temporary);
        }
    }
}
