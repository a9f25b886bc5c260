//! Host memory from the operating system.

use std::{io, ptr::NonNull};

/// Address space that is ours. What has not been allowed faults.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is plain memory; who writes to it holds it exclusively.
unsafe impl Send for Mapping {}
// SAFETY: as above; through a shared reference only addresses are given out.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves address space, none of which may be touched yet. Takes no memory.
    pub(super) fn reserve(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever the system has room.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Mapping { start, length })
            .ok_or_else(|| io::Error::other("the system mapped address 0"))
    }

    /// The address at an offset, which may be that of its end.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(
            offset <= self.length,
            "offset {offset} is past the mapping's {} bytes",
            self.length
        );
        // SAFETY: within the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Allows what `protection` (`PROT_*`) says on a range of whole pages.
    pub(super) fn protect(&self, offset: usize, length: usize, protection: i32) -> io::Result<()> {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= self.length),
            "{length} bytes at {offset} are not within the mapping's {}",
            self.length
        );
        // SAFETY: within the mapping, which is ours alone.
        match unsafe { libc::mprotect(self.at(offset).cast(), length, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `reserve`; nobody has a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
