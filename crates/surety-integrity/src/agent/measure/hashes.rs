//! SHA-256 of files, read once for as long as nothing says that they have changed.
//!
//! What says so is the kernel: device, inode, size, time of the content's and of the inode's last change. The last of
//! these cannot be set by any call, only by setting the clock: a root that sets it back, changes a file, and hits the
//! nanosecond of the time before, is not seen by that. Neither is who writes to the disk or the page cache below the
//! file system. So a part of the files, drawn at random, is hashed again at every measurement, whatever the times say.
//! A file that changed within the last two seconds, or in the future, is always hashed: it may change again within the
//! clock's tick.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::Stat;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// How old a change must be before its hash is kept.
const SETTLED: Duration = Duration::from_secs(2);
/// Most files whose hash is kept.
const MAX_KEPT: usize = 1 << 19;

/// A SHA-256; `sha256:` is not part of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha(pub [u8; 32]);

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut out = [0; 32];
        hex::decode_to_slice(&text, &mut out).map_err(serde::de::Error::custom)?;
        Ok(Self(out))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Key {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    fn settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return false;
        };
        Duration::new(seconds, nanos).saturating_add(SETTLED) < now
    }
}

/// Hashes of files by what the kernel says of them. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Hashes {
    kept: Arc<Mutex<HashMap<Key, Sha>>>,
    /// when nothing more is read
    until: Option<Instant>,
}

impl fmt::Debug for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashes")
    }
}

impl Hashes {
    /// The same, for so long: a file may be made of terabytes of nothing.
    pub(super) fn within(&self, time: Duration) -> Self {
        Self {
            kept: self.kept.clone(),
            until: Instant::now().checked_add(time),
        }
    }

    /// Whether the time is over, and so files were left out.
    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// What is known of a file without reading it.
    pub(super) fn known(&self, stat: &Stat) -> Option<Sha> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&Key::of(stat))
            .copied()
    }

    /// Of an open file, read if that must be. `again`: read it in any case.
    pub(super) fn of(&self, mut file: &File, again: bool) -> std::io::Result<Sha> {
        let before = Key::of(&rustix::fs::fstat(file)?);
        if !again && let Some(sha) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&before) {
            return Ok(*sha);
        }
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            if self.is_late() {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => hash.update(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let sha = Sha(hash.finalize().into());
        // Changed while it was read: what was read is told, but not kept.
        if Key::of(&rustix::fs::fstat(file)?) == before && before.settled() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(before, sha);
        }
        Ok(sha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P4: a file of a terabyte, which takes no place on the disk, does not hold up everything else.
    #[test]
    fn p4_what_takes_too_long_is_left() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a hole");
        let hashes = Hashes::default();
        let hasty = hashes.within(Duration::from_millis(50));
        let error = hasty.of(&file, false).expect_err("a terabyte");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(hasty.is_late() && !hashes.is_late());
    }
}
