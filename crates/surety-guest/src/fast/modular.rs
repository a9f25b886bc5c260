//! Arithmetic modulo odd numbers below 2^256.

use crate::abi::U256;

core::arch::global_asm!(include_str!("../../asm/montgomery_256.S"), options(raw));

/// 256 bits, the lowest word first.
type Words = [u32; 8];

unsafe extern "C" {
    fn surety_montgomery_256(out: *mut Words, a: *const Words, b: *const Words, m: *const Words);
}

/// An odd modulus above 1, and what makes multiplying by it quick.
///
/// Making one takes about 30,000 steps for a small number, 12,000 for one of 256 bits; a product takes about 3,300.
#[derive(Clone, Debug)]
pub struct Modulus {
    words: Words,
    /// 2^512 modulo this.
    square: Words,
}

fn words(number: &U256) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().rev().zip(number.0.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn number(words: &Words) -> U256 {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words.iter().rev()) {
        *bytes = word.to_be_bytes();
    }
    U256(bytes)
}

impl Modulus {
    /// `None` for 0, 1 and even numbers.
    #[must_use]
    pub fn new(modulus: &U256) -> Option<Self> {
        let m = words(modulus);
        let top = m.iter().rposition(|word| *word != 0)?;
        if m[0] % 2 == 0 || (top == 0 && m[0] == 1) {
            return None;
        }
        let mut this = Modulus {
            words: m,
            square: [0; 8],
        };
        // The highest power of two below it, doubled until it is 2^257: 2 in Montgomery's form.
        let bits = 32 * top + 31 - m[top].leading_zeros() as usize;
        let mut power = [0; 8];
        power[bits / 32] = 1 << (bits % 32);
        for _ in bits..257 {
            power = this.double(&power);
        }
        // 2 to the 2nd, 4th, ... 256th, in that form: 2^512.
        for _ in 0..8 {
            power = this.montgomery(&power, &power);
        }
        this.square = power;
        Some(this)
    }

    /// 2 a, for an a below the modulus.
    fn double(&self, a: &Words) -> Words {
        let mut doubled = [0; 8];
        let mut carry = 0;
        for (doubled, a) in doubled.iter_mut().zip(a) {
            *doubled = a << 1 | carry;
            carry = a >> 31;
        }
        let mut less = [0; 8];
        let mut borrow = false;
        for ((less, doubled), m) in less.iter_mut().zip(doubled).zip(self.words) {
            let (difference, first) = doubled.overflowing_sub(m);
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            *less = difference;
            borrow = first | second;
        }
        if carry == 0 && borrow { doubled } else { less }
    }

    /// a b / 2^256 modulo this, words lowest first: one call of the routine. Below the modulus if a or b is; else a number
    /// below 2^256 that is the same modulo it.
    #[must_use]
    pub fn montgomery(&self, a: &Words, b: &Words) -> Words {
        let mut product = [0; 8];
        // SAFETY: reads three numbers, writes one.
        unsafe { surety_montgomery_256(&mut product, a, b, &self.words) };
        product
    }

    /// a b modulo this; a and b may be any numbers.
    #[must_use]
    pub fn multiply(&self, a: &U256, b: &U256) -> U256 {
        let product = self.montgomery(&words(a), &words(b));
        number(&self.montgomery(&product, &self.square))
    }

    /// `base` to the `exponent` modulo this; either may be any number, and anything to the 0 is 1.
    #[must_use]
    pub fn power(&self, base: &U256, exponent: &U256) -> U256 {
        const ONE: Words = [1, 0, 0, 0, 0, 0, 0, 0];
        let base = self.montgomery(&words(base), &self.square);
        let mut power = self.montgomery(&ONE, &self.square);
        for byte in exponent.0 {
            for bit in (0..8).rev() {
                power = self.montgomery(&power, &power);
                if byte >> bit & 1 == 1 {
                    power = self.montgomery(&power, &base);
                }
            }
        }
        number(&self.montgomery(&power, &ONE))
    }
}
