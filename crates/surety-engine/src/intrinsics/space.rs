//! Memory as host code sees it.

/// Data memory as host code sees it: whole ranges, or nothing.
///
/// A range is given by its address and its length, bytes. Every range that ends at or below `size` is there, if the host
/// has room for it; one that was given to be written stays there for the rest of a call.
pub trait Space {
    /// How many bytes there are, at most 2^32.
    fn size(&self) -> u64;

    /// The bytes of a range; `None` if it is not wholly inside.
    fn read(&mut self, address: u32, length: u32) -> Option<&[u8]>;

    /// The bytes of a range, to be written; `None` if it is not wholly inside.
    fn write(&mut self, address: u32, length: u32) -> Option<&mut [u8]>;

    /// Ranges to be read, and one to be written that overlaps none of them; `None` if it does, or one is not inside.
    fn split<const N: usize>(&mut self, reads: [(u32, u32); N], write: (u32, u32)) -> Option<([&[u8]; N], &mut [u8])>;
}

/// Memory that lies in one piece, from address 0 on.
impl Space for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&mut self, address: u32, length: u32) -> Option<&[u8]> {
        self.get(address as usize..)?.get(..length as usize)
    }

    fn write(&mut self, address: u32, length: u32) -> Option<&mut [u8]> {
        self.get_mut(address as usize..)?.get_mut(..length as usize)
    }

    fn split<const N: usize>(&mut self, reads: [(u32, u32); N], write: (u32, u32)) -> Option<([&[u8]; N], &mut [u8])> {
        let (before, rest) = self.split_at_mut_checked(write.0 as usize)?;
        let (written, after) = rest.split_at_mut_checked(write.1 as usize)?;
        let (before, after) = (&*before, &*after);
        let behind = u64::from(write.0) + u64::from(write.1);
        let mut parts = [&[][..]; N];
        for (part, (address, length)) in parts.iter_mut().zip(reads) {
            let (from, start) = match u64::from(address).checked_sub(behind) {
                Some(start) => (after, usize::try_from(start).ok()?),
                None => (before, address as usize),
            };
            *part = from.get(start..)?.get(..length as usize)?;
        }
        Some((parts, written))
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn ranges_are_whole_or_nothing() {
        let mut bytes: Vec<u8> = (0..10).collect();
        let space = &mut bytes[..];
        assert_eq!(space.read(8, 2), Some(&[8, 9][..]));
        assert_eq!(space.read(10, 0), Some(&[][..]));
        assert_eq!(space.read(9, 2), None);
        assert_eq!(space.read(u32::MAX, u32::MAX), None);
        assert_eq!(space.write(11, 0), None);
        let (reads, write) = space.split([(0, 3), (7, 3), (1, 1)], (3, 4)).expect("apart");
        assert_eq!(
            (reads, &*write),
            ([&[0, 1, 2][..], &[7, 8, 9], &[1]], &[3, 4, 5, 6][..])
        );
        assert!(space.split([(0, 4)], (3, 4)).is_none());
        assert!(space.split([(6, 1)], (3, 4)).is_none());
        assert!(space.split([(7, 4)], (3, 4)).is_none());
    }
}
