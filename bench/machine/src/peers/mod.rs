//! The engines that are measured, one module each.

mod engine;
mod interpreter;
mod polkavm;
mod process;
mod wasmtime;

use crate::peer::Peer;

/// All columns, in the order of a round.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(process::Process::NATIVE),
        Box::new(engine::Engine { metered: true }),
        Box::new(engine::Engine { metered: false }),
        Box::new(process::Process::NATIVE_VECTORISED),
        Box::new(wasmtime::Wasmtime { fuel: false }),
        Box::new(wasmtime::Wasmtime { fuel: true }),
        Box::new(polkavm::PolkaVm { gas: false }),
        Box::new(polkavm::PolkaVm { gas: true }),
        Box::new(process::Process::QEMU),
        Box::new(interpreter::Interpreter),
    ]
}
