//! The engines that are measured, one module each.

mod engine;
mod interpreter;
mod polkavm;
mod process;
mod wasmtime;

pub(crate) use wasmtime::locked_version;

use crate::isolation::Isolated;
use crate::peer::Peer;
use engine::Engine;
use process::Process;

/// All columns, in the order of a round.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = vec![Box::new(Process::NATIVE), Box::new(Process::NATIVE_VECTORISED)];
    all.extend(isolated(columns_in_process()));
    all.push(Box::new(Process::QEMU));
    all
}

/// What the engine's routines are measured and checked with: the engine, the engine without them, the interpreter.
pub(crate) fn of_routines() -> [Isolated; 3] {
    [
        Isolated(Box::new(Engine::WHOLE)),
        Isolated(Box::new(Engine::PLAIN)),
        Isolated(Box::new(interpreter::Interpreter)),
    ]
}

/// Those that run inside of a process.
pub(crate) fn in_process() -> Vec<Box<dyn Peer>> {
    let mut all = columns_in_process();
    all.push(Box::new(Engine::PLAIN));
    all
}

fn columns_in_process() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Engine::WHOLE),
        Box::new(Engine::UNMETERED),
        Box::new(wasmtime::Wasmtime { fuel: false }),
        Box::new(wasmtime::Wasmtime { fuel: true }),
        Box::new(polkavm::PolkaVm { gas: false }),
        Box::new(polkavm::PolkaVm { gas: true }),
        Box::new(interpreter::Interpreter),
    ]
}

fn isolated(peers: Vec<Box<dyn Peer>>) -> impl Iterator<Item = Box<dyn Peer>> {
    peers.into_iter().map(|peer| Box::new(Isolated(peer)) as Box<dyn Peer>)
}
