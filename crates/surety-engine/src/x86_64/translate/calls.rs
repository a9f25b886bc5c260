//! Calls of functions that the host has code for: what a block starts with that is the first of one.
//!
//! Numbers of 32 bits are reckoned right there. For all else the host's code is called, which is dear: it cannot run while
//! alignment is checked, and switching that off and on again takes as long as some 300 steps. So a call that is too
//! small for it goes on in its plain code, and so does one that the host's code declines.

use super::{
    super::{
        assembler::{Alu, Condition, Fixup, Float, Operand, RAX, RCX, RDI, RDX, RSI, RSP, STEPS},
        frame::{self, Reason, context},
        places::Places,
    },
    Translator,
};
use crate::intrinsics::{A0, A1, A2, A3, A4, A5, Host, RA, float};

/// A call that is written after all blocks.
pub(super) struct Call {
    /// The jumps to it.
    from: Vec<Fixup>,
    /// Number of the function, and of the places that guest registers are in.
    number: usize,
    places: u32,
    /// Where its plain code starts.
    plain: usize,
}

/// For how large an argument the host's code takes less time than the plain code.
fn worth(host: Host) -> Option<(usize, u32)> {
    match host {
        Host::Memcpy => Some((A2, 2560)),
        Host::Memset => Some((A2, 3840)),
        Host::Memcmp => Some((A2, 1280)),
        Host::Dot => Some((A2, 320)),
        _ => None,
    }
}

/// The same for the product of three arguments.
fn product_worth(host: Host) -> Option<([usize; 3], u32)> {
    (host == Host::Matmul).then_some(([A3, A4, A5], 512))
}

impl Translator<'_> {
    /// Number of the function that starts at an instruction, if the host has code for it.
    pub(super) fn function(&self, first: usize) -> Option<usize> {
        let address = u32::try_from(first.checked_mul(4)?).ok()?;
        self.functions
            .binary_search_by_key(&address, |(address, _)| *address)
            .ok()
    }

    /// Writes what leads to the host's code, in front of the plain code.
    pub(super) fn call(&mut self, number: usize) {
        let Some((_, intrinsic)) = self.functions.get(number) else {
            return;
        };
        let host = intrinsic.host();
        let mut from = Vec::new();
        if let Some((steps, cleared)) = float::usual(host) {
            self.float(host, steps as u32, cleared, &mut from);
        } else if let Some((argument, least)) = worth(host) {
            let argument = self.operand(argument as u8);
            self.asm.alu_imm(Alu::Cmp, argument, least);
            from.push(self.asm.jump_if(Condition::NotBelow));
        } else if let Some((arguments, least)) = product_worth(host) {
            self.asm.mov_imm(RAX, 1);
            for argument in arguments {
                let argument = self.source(argument as u8, RDX);
                self.asm.imul64(RAX, Operand::Reg(argument));
            }
            // Where it does not fit 64 bits, neither way does anything useful.
            self.asm.mov_imm(RDX, least);
            self.asm.alu64(Alu::Cmp, RAX, RDX);
            from.push(self.asm.jump_if(Condition::NotBelow));
        } else {
            from.push(self.asm.jump());
        }
        let call = Call {
            from,
            number,
            places: self.number,
            plain: self.asm.here(),
        };
        self.calls.push(call);
    }

    /// A routine for numbers of 32 bits, where no operand is special; else it jumps away, and nothing has changed.
    ///
    /// The host's processor does as IEEE 754 says, as the routine does; what it makes of NaNs is left to [`float`].
    fn float(&mut self, host: Host, steps: u32, cleared: &[usize], away: &mut Vec<Fixup>) {
        self.asm.alu64_imm(Alu::Cmp, Operand::Reg(STEPS), steps);
        away.push(self.asm.jump_if(Condition::Below));
        let back = self.operand(RA as u8);
        self.asm.mov(RAX, back);
        self.asm.test_al(3);
        away.push(self.asm.jump_if(Condition::NotEqual));
        let [a, b] = [A0, A1].map(|guest| self.operand(guest as u8));
        self.asm.load_vector(0, a);
        match host {
            Host::Add | Host::Subtract | Host::Multiply | Host::Divide => {
                for operand in [a, b] {
                    // Without the sign: infinities and NaNs are what comes last.
                    self.asm.mov(RAX, operand);
                    self.asm.alu(Alu::Add, RAX, Operand::Reg(RAX));
                    if host == Host::Divide && operand == b {
                        away.push(self.asm.jump_if(Condition::Equal));
                    }
                    self.asm.alu_imm(Alu::Cmp, Operand::Reg(RAX), 0xff00_0000);
                    away.push(self.asm.jump_if(Condition::NotBelow));
                }
                self.asm.load_vector(1, b);
                let op = match host {
                    Host::Add => Float::Add,
                    Host::Subtract => Float::Sub,
                    Host::Multiply => Float::Multiply,
                    _ => Float::Divide,
                };
                self.asm.float(op, 1);
                self.asm.store_vector(RAX);
            }
            Host::Root => {
                // Positive numbers that are neither zero nor infinite.
                let number = self.source(A0 as u8, RAX);
                self.asm.lea_imm(RAX, number, u32::MAX);
                self.asm.alu_imm(Alu::Cmp, Operand::Reg(RAX), 0x7f7f_ffff);
                away.push(self.asm.jump_if(Condition::NotBelow));
                self.asm.float(Float::Root, 0);
                self.asm.store_vector(RAX);
            }
            Host::LessOrEqual | Host::GreaterOrEqual => {
                self.asm.load_vector(1, b);
                self.asm.mov_imm(RAX, 0);
                self.asm.mov_imm(RDX, 0);
                self.asm.float_compare(0, 1);
                away.push(self.asm.jump_if(Condition::Unordered));
                self.asm.set(Condition::Below, RDX);
                self.asm.float_compare(1, 0);
                self.asm.set(Condition::Below, RAX);
                self.asm.alu(Alu::Sub, RAX, Operand::Reg(RDX));
            }
            Host::Unordered => {
                self.asm.load_vector(1, b);
                self.asm.mov_imm(RAX, 0);
                self.asm.float_compare(0, 1);
                self.asm.set(Condition::Unordered, RAX);
            }
            Host::FromSigned | Host::FromUnsigned => {
                if host == Host::FromSigned {
                    self.asm.sign_extend(RAX, a);
                } else {
                    self.asm.mov(RAX, a);
                }
                self.asm.float_from_rax();
                self.asm.store_vector(RAX);
            }
            _ => {
                // What does not fit 32 bits is for the other.
                self.asm.float_to_rax();
                if host == Host::ToSigned {
                    self.asm.sign_extend(RDX, Operand::Reg(RAX));
                } else {
                    self.asm.mov(RDX, Operand::Reg(RAX));
                }
                self.asm.alu64(Alu::Cmp, RAX, RDX);
                away.push(self.asm.jump_if(Condition::NotEqual));
            }
        }
        self.asm.alu64_imm(Alu::Sub, Operand::Reg(STEPS), steps);
        self.settle(A0 as u8, RAX);
        for guest in cleared {
            self.constant(*guest as u8, 0);
        }
        let moves = self.places.moves(self.plan.zones.base());
        self.write(&moves);
        self.go_back();
    }

    /// Goes to the return address, as the table of entries wants registers to be.
    fn go_back(&mut self) {
        let back = match self.plan.zones.base().host(RA as u8) {
            Some(reg) => Operand::Reg(reg),
            None => Operand::Frame(4 * RA as i32),
        };
        self.asm.mov(RAX, back);
        self.asm.lea_beside(RDX, self.table as i64);
        self.asm.jump_through_table();
    }

    /// The arguments of a [`frame::Call`].
    fn arguments(&mut self, number: usize) {
        self.asm.mov64(RDI, Operand::Reg(RSP));
        self.asm.mov64(RSI, Operand::Frame(frame::CONTEXT));
        self.asm.mov64(RDX, Operand::Reg(STEPS));
        self.asm.mov_imm(RCX, number as u32);
    }

    /// Writes the calls there are. `leave` is the way out of translated code.
    pub(super) fn call_all(&mut self, leave: usize) {
        for call in std::mem::take(&mut self.calls) {
            let here = self.asm.here();
            for from in call.from {
                self.asm.land(from, here);
            }
            let Some(places) = self.all.get(call.places as usize).copied() else {
                unreachable!("places {}, which were numbered", call.places);
            };
            // All registers in the frame, where the host's code takes them from.
            self.write(&places.moves(&Places::default()));
            let known = self.functions.get(call.number).map(|(_, intrinsic)| intrinsic.host());
            let done = (known == Some(Host::KeccakF)).then(|| {
                self.arguments(call.number);
                self.asm.call(Operand::Context(RSI, context::KECCAK));
                self.asm.test64(RAX, RAX);
                self.asm.jump_if(Condition::NotEqual)
            });
            self.arguments(call.number);
            self.asm.check_alignment(false);
            self.asm.call(Operand::Context(RSI, context::CALL));
            self.asm.check_alignment(true);
            self.asm.test64(RAX, RAX);
            let declined = self.asm.jump_if(Condition::Equal);
            let panicked = self.asm.jump_if(Condition::Negative);
            if let Some(done) = done {
                let here = self.asm.here();
                self.asm.land(done, here);
            }
            self.asm.alu64(Alu::Sub, STEPS, RAX);
            let base = *self.plan.zones.base();
            self.write(&Places::default().moves(&base));
            self.go_back();
            let here = self.asm.here();
            self.asm.land(declined, here);
            self.write(&Places::default().moves(&places));
            let plain = self.asm.jump();
            self.asm.land(plain, call.plain);
            let here = self.asm.here();
            self.asm.land(panicked, here);
            self.asm.mov_imm(RAX, 0);
            self.asm.mov_imm(RDX, Reason::Panic as u32);
            let out = self.asm.jump();
            self.asm.land(out, leave);
        }
    }
}
