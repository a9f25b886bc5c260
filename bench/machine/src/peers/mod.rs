//! The engines that are measured, one module each.

mod engine;
mod interpreter;
mod polkavm;
mod process;
mod wasmtime;

use crate::isolation::Isolated;
use crate::peer::Peer;
use process::Process;

/// All columns, in the order of a round.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = vec![Box::new(Process::NATIVE), Box::new(Process::NATIVE_VECTORISED)];
    let inner = in_process()
        .into_iter()
        .map(|peer| Box::new(Isolated(peer)) as Box<dyn Peer>);
    all.extend(inner);
    all.push(Box::new(Process::QEMU));
    all
}

/// Those that run inside of a process.
pub(crate) fn in_process() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(engine::Engine { metered: true }),
        Box::new(engine::Engine { metered: false }),
        Box::new(wasmtime::Wasmtime { fuel: false }),
        Box::new(wasmtime::Wasmtime { fuel: true }),
        Box::new(polkavm::PolkaVm { gas: false }),
        Box::new(polkavm::PolkaVm { gas: true }),
        Box::new(interpreter::Interpreter),
    ]
}
