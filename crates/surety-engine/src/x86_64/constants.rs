//! What registers hold that were last set to a constant, as far as the order of instructions tells.
//!
//! That is a guess: control may come from elsewhere. What is made of it compares first.

use surety_machine::{Decoded, Effect, Op};

/// The constants that registers probably hold.
#[derive(Debug, Default)]
pub(super) struct Constants([Option<u32>; 32]);

impl Constants {
    /// The instruction comes next.
    pub(super) fn follow(&mut self, instruction: &Decoded) {
        let Decoded { op, rd, rs1, imm, .. } = *instruction;
        if rd == 0
            || !matches!(
                op.instruction().effect,
                Effect::Set(_) | Effect::Load(..) | Effect::Jump(_)
            )
        {
            return;
        }
        let value = match op {
            Op::Lui => Some(imm),
            Op::Addi if rs1 == 0 => Some(imm),
            Op::Addi => self.of(rs1).map(|value| value.wrapping_add(imm)),
            _ => None,
        };
        if let Some(register) = self.0.get_mut(usize::from(rd)) {
            *register = value;
        }
    }

    pub(super) fn of(&self, register: u8) -> Option<u32> {
        self.0.get(usize::from(register)).copied().flatten()
    }
}

/// What a number of 32 bits is multiplied with to divide it by a constant: the quotient is the product's upper 64 bits.
/// `None` for a divisor of 0 or 1.
///
/// That is 2^64 over the divisor, rounded up: too large by less than 1, which 32 bits times that, over 2^64, never shows
/// (Lemire, Kaser and Kurz, "Faster remainder by direct computation", theorem 1).
pub(super) fn reciprocal(divisor: u32) -> Option<u64> {
    (divisor > 1).then(|| (u64::MAX / u64::from(divisor)).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reciprocals_divide_all_numbers() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 32) as u32
        };
        for round in 0..200_000_u32 {
            let divisor = if round < 1000 { round } else { random() >> (round % 32) };
            let Some(factor) = reciprocal(divisor) else {
                assert!(divisor < 2, "{divisor}");
                continue;
            };
            let multiple = random() / divisor * divisor;
            let last = u32::MAX / divisor * divisor;
            for number in [
                0,
                1,
                divisor - 1,
                divisor,
                random(),
                multiple,
                multiple.wrapping_sub(1),
                last,
                last - 1,
                u32::MAX,
            ] {
                let quotient = (u128::from(number) * u128::from(factor)) >> 64;
                assert_eq!(quotient, u128::from(number / divisor), "{number} / {divisor}");
            }
        }
    }
}
