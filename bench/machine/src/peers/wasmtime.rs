//! wasmtime: Cranelift, as it comes; with fuel, it counts as the machine does, though less exactly.

use crate::builds::Target;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::Result;
use std::fs;
use std::path::Path;
use wasmtime::{Config, Engine, Instance, Module, Store};

/// wasmtime, with or without counting.
pub(crate) struct Wasmtime {
    /// Counts.
    pub(crate) fuel: bool,
}

impl Peer for Wasmtime {
    fn name(&self) -> &'static str {
        if self.fuel { "wasmtime_fuel" } else { "wasmtime" }
    }

    fn version(&self) -> Result<String> {
        Ok(format!(
            "wasmtime {}, Cranelift, default options",
            locked_version("wasmtime")
        ))
    }

    fn target(&self) -> Target {
        Target::Wasm
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        let mut config = Config::new();
        config.consume_fuel(self.fuel);
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, &fs::read(built)?)?;
        Ok(Box::new(Compiled {
            fuel: self.fuel,
            engine,
            module,
        }))
    }
}

struct Compiled {
    fuel: bool,
    engine: Engine,
    module: Module,
}

impl Prepared for Compiled {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let mut store = Store::new(&self.engine, ());
        if self.fuel {
            store.set_fuel(u64::MAX)?;
        }
        let instance = Instance::new(&mut store, &self.module, &[])?;
        let run = instance.get_typed_func::<(), u32>(&mut store, "run")?;
        let (checksum, seconds) = clock.time(|| Ok(run.call(&mut store, ())?))?;
        Ok(Sample {
            seconds,
            checksum,
            steps: None,
        })
    }
}

/// The version of a dependency that this was built with.
pub(crate) fn locked_version(name: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let after = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default().to_owned()
}
