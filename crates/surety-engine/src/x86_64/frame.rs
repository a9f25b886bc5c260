//! Where translated code keeps what it has no register for: on the host's stack, from the stack pointer up.

use std::any::Any;

use super::{
    code::Code,
    flat::{Flat, Layout},
};

/// `x0` to `x31`, 4 bytes each; the offset of a register is four times its number.
pub(super) const REGISTER_BYTES: i32 = 128;
/// The guest address to go on at, 4 bytes.
pub(super) const PC: i32 = 128;
/// Why it stopped, 4 bytes.
pub(super) const REASON: i32 = 132;
/// Address of the [`Context`].
pub(super) const CONTEXT: i32 = 136;
/// 8 bytes to divide by.
pub(super) const DIVISOR: i32 = 144;
/// The host address of the instruction that faulted; on entry, where to go.
pub(super) const FAULT: i32 = 152;
/// What RAX held then.
pub(super) const FAULT_RAX: i32 = 160;
/// Bytes in all: with the return address and six saved registers, a multiple of 16.
pub(super) const BYTES: u32 = 168;

/// Why translated code stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Reason {
    /// The steps left are fewer than the block at `pc` has.
    Limit = 0,
    /// The instruction at `pc` is for the interpreter.
    Step = 1,
    /// A jump to `pc`, which no block starts at.
    Miss = 2,
    /// The instruction at [`FAULT`] faulted.
    Fault = 3,
    /// The host code for the function at `pc` has panicked.
    Panic = 4,
}

/// What translated code calls at a function that the host has code for: with the guest's registers, the context, the
/// steps left, and the function's number. Gives how many steps it took, 0 if it declined, -1 if it panicked.
pub(super) type Call = unsafe extern "sysv64" fn(*mut [u32; 32], *mut Context, u64, u32) -> i64;

/// What the host hands to translated code and gets back.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Context {
    /// `x0` to `x31`, of those that are in the frame.
    pub(super) registers: [u32; 32],
    /// The host registers by their numbers, for those that are in one.
    pub(super) hosts: [u32; 16],
    /// The guest's address 0.
    pub(super) memory: *mut u8,
    /// Steps left.
    pub(super) steps: u64,
    /// As in the frame, when it stopped.
    pub(super) pc: u32,
    /// A [`Reason`], and from bit 8 on the number of the places that guest registers were in; not after a fault.
    pub(super) reason: u32,
    /// As in the frame.
    pub(super) fault: u64,
    /// As in the frame.
    pub(super) fault_rax: u64,
    /// For functions that the host has code for, and what that needs.
    pub(super) call: Call,
    /// For Keccak-f, before the other: one that runs while alignment is checked.
    pub(super) keccak: Call,
    pub(super) layout: Layout,
    pub(super) code: *const Code,
    pub(super) flat: *mut Flat,
    /// What the host's code has panicked with.
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

/// Offsets in a [`Context`]; those of its registers are as in the frame.
pub(super) mod context {
    use std::mem::offset_of;

    use super::Context;

    pub(in super::super) const HOSTS: i32 = offset_of!(Context, hosts) as i32;
    pub(in super::super) const MEMORY: i32 = offset_of!(Context, memory) as i32;
    pub(in super::super) const STEPS: i32 = offset_of!(Context, steps) as i32;
    pub(in super::super) const PC: i32 = offset_of!(Context, pc) as i32;
    pub(in super::super) const FAULT: i32 = offset_of!(Context, fault) as i32;
    pub(in super::super) const FAULT_RAX: i32 = offset_of!(Context, fault_rax) as i32;
    pub(in super::super) const CALL: i32 = offset_of!(Context, call) as i32;
    pub(in super::super) const KECCAK: i32 = offset_of!(Context, keccak) as i32;
}
