//! Library: the routines that engines know, each as a method.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use surety_guest::fast::{self, Modulus};
use surety_guest::{Bytes, Revert, U256};

fn keccak256(Bytes(data): Bytes) -> Result<[u8; 32], Revert> {
    Ok(fast::keccak256(&data))
}

fn sha256(Bytes(data): Bytes) -> Result<[u8; 32], Revert> {
    Ok(fast::sha256(&data))
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| byte.cast_signed()).collect()
}

/// The sum of the products of two vectors of int8.
fn dot(Bytes(a): Bytes, Bytes(b): Bytes) -> Result<u32, Revert> {
    if a.len() != b.len() {
        return Err(Revert::new("the vectors have different lengths"));
    }
    Ok(fast::dot(&signed(&a), &signed(&b)).cast_unsigned())
}

/// a times the transpose of b, whose rows have k numbers of int8; the result's are little-endian int32.
fn matmul(Bytes(a): Bytes, Bytes(b): Bytes, k: u32) -> Result<Bytes, Revert> {
    let k = k as usize;
    let (Some(m), Some(n)) = (a.len().checked_div(k), b.len().checked_div(k)) else {
        return Err(Revert::new("k is zero"));
    };
    if a.len() % k != 0 || b.len() % k != 0 {
        return Err(Revert::new("a matrix is not of rows of k numbers"));
    }
    let mut out = vec![0; m.saturating_mul(n)];
    fast::matmul(&mut out, &signed(&a), &signed(&b), n, k);
    let bytes: Vec<u8> = out.iter().flat_map(|number| number.to_le_bytes()).collect();
    Ok(bytes.into())
}

fn modulus(m: &U256) -> Result<Modulus, Revert> {
    Modulus::new(m).ok_or(Revert::new("the modulus is even, or less than 3"))
}

fn mulmod(a: U256, b: U256, m: U256) -> Result<U256, Revert> {
    Ok(modulus(&m)?.multiply(&a, &b))
}

fn powmod(base: U256, exponent: U256, m: U256) -> Result<U256, Revert> {
    Ok(modulus(&m)?.power(&base, &exponent))
}

/// Operations on the bits of floats, in the order of this list: sum, difference, product, quotient, root of a, a < b,
/// a = b, from a as int32, from a as uint32, a to int32, a to uint32.
fn float(operation: u32, a: u32, b: u32) -> Result<u32, Revert> {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    Ok(match operation {
        0 => (x + y).to_bits(),
        1 => (x - y).to_bits(),
        2 => (x * y).to_bits(),
        3 => (x / y).to_bits(),
        4 => fast::sqrt(x).to_bits(),
        5 => u32::from(x < y),
        6 => u32::from(x == y),
        7 => (a.cast_signed() as f32).to_bits(),
        8 => (a as f32).to_bits(),
        9 => (x as i32).cast_unsigned(),
        10 => x as u32,
        _ => return Err(Revert::new("there is no such operation")),
    })
}

/// `data`, `times` times, with a byte between, copied to and fro; whether the first copy is equal to the last.
fn copies(Bytes(data): Bytes, times: u32, byte: u32) -> Result<(Bytes, bool), Revert> {
    let piece = data.len().saturating_add(1);
    let [byte, ..] = byte.to_le_bytes();
    let mut all = vec![byte; piece.saturating_mul(times as usize)];
    for part in all.chunks_mut(piece) {
        if let Some((_, part)) = part.split_last_mut() {
            part.copy_from_slice(&data);
        }
    }
    let mut parts = all.chunks(piece);
    let (first, last) = (parts.next(), parts.next_back());
    let equal = last.is_none_or(|last| first == Some(last));
    Ok((all.into(), equal))
}

surety_guest::methods! {
    stack = 8 * 1024;
    "keccak256(bytes)" => keccak256,
    "sha256(bytes)" => sha256,
    "dot(bytes,bytes)" => dot,
    "matmul(bytes,bytes,uint32)" => matmul,
    "mulmod(uint256,uint256,uint256)" => mulmod,
    "powmod(uint256,uint256,uint256)" => powmod,
    "float(uint32,uint32,uint32)" => float,
    "copies(bytes,uint32,uint32)" => copies,
}
