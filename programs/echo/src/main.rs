//! Echo: the smallest program there is, and the ways a program can end.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use surety_guest::{Bytes, PREIMAGE_MAX, Preimages, Revert, tree};

/// The bytes, returned.
fn echo(data: Bytes) -> Result<Bytes, Revert> {
    Ok(data)
}

/// Part of data too large for one preimage, read from a tree of them.
fn read(root: [u8; 32], offset: u64, length: u32) -> Result<Bytes, Revert> {
    let length = usize::try_from(length).ok().filter(|&length| length <= PREIMAGE_MAX);
    let Some(length) = length else {
        return Err(Revert::new("at most 98304 bytes at a time"));
    };
    surety_guest::hint(format_args!("preimage {}", Hex(&root)));
    let mut data = vec![0; length];
    let read =
        tree::read(&mut Preimages, &root, offset, &mut data).map_err(|error| Revert::new(alloc::format!("{error}")))?;
    data.truncate(read);
    Ok(data.into())
}

/// A preimage, whole.
fn preimage(hash: [u8; 32]) -> Result<Bytes, Revert> {
    surety_guest::hint(format_args!("preimage {}", Hex(&hash)));
    Ok(surety_guest::read_preimage(&hash).into())
}

/// A refusal with this reason: exit code 1.
fn refuse(reason: String) -> Result<(), Revert> {
    Err(reason.into())
}

/// A panic with this message: a trap.
fn panic(message: String) -> Result<(), Revert> {
    panic!("{message}")
}

/// Calls itself `depth` times. Deep enough, the stack overflows: a trap, never a wrong answer.
fn recurse(depth: u32) -> Result<u32, Revert> {
    #[inline(never)]
    fn down(depth: u32) -> u32 {
        // Kept on the stack, and used after the call, so that the recursion stays one.
        let here = core::hint::black_box([depth; 8]);
        let [_, last @ ..] = here;
        if depth == 0 {
            0
        } else {
            down(depth - 1).wrapping_add(u32::from(last.contains(&depth)))
        }
    }
    Ok(down(depth))
}

/// Allocates that many bytes. More than the heap has: a panic.
fn allocate(length: u32) -> Result<u32, Revert> {
    let bytes = core::hint::black_box(vec![0u8; length as usize]);
    Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

/// Bytes as `0x…`.
struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

surety_guest::methods! {
    "echo(bytes)" => echo,
    "read(bytes32,uint64,uint32)" => read,
    "preimage(bytes32)" => preimage,
    "refuse(string)" => refuse,
    "panic(string)" => panic,
    "recurse(uint32)" => recurse,
    "allocate(uint32)" => allocate,
}
