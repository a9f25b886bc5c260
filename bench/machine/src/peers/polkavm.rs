//! PolkaVM: RV32EM, recompiled by its own linker and compiler. In the sandbox that runs in this process, so that one clock
//! serves for all.

use super::wasmtime::locked_version;
use crate::builds::Target;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::{Context, Result, anyhow, bail};
use polkavm::{
    BackendKind, Config, Engine, GasMeteringKind, InterruptKind, Module, ModuleConfig, ProgramBlob, Reg, SandboxKind,
};
use polkavm_linker::TargetInstructionSet;
use std::fs;
use std::path::Path;

/// PolkaVM, with or without gas.
pub(crate) struct PolkaVm {
    /// Counts, stopping late (`Async`), which is its cheaper way.
    pub(crate) gas: bool,
}

impl Peer for PolkaVm {
    fn name(&self) -> &'static str {
        if self.gas { "polkavm_gas" } else { "polkavm" }
    }

    fn version(&self) -> Result<String> {
        Ok(format!(
            "polkavm {}, compiler, generic sandbox",
            locked_version("polkavm")
        ))
    }

    fn target(&self) -> Target {
        Target::PolkaVm
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        let mut linker = polkavm_linker::Config::default();
        linker.set_strip(true);
        let linked = polkavm_linker::program_from_elf(linker, TargetInstructionSet::Latest, &fs::read(built)?)
            .map_err(|error| anyhow!("its linker: {error}"))?;
        let blob = ProgramBlob::parse(linked.into()).map_err(|error| anyhow!("its program: {error:?}"))?;
        let mut config = Config::new();
        config.set_allow_experimental(true);
        config.set_backend(Some(BackendKind::Compiler));
        config.set_sandbox(Some(SandboxKind::Generic));
        let engine = Engine::new(&config).map_err(|error| anyhow!("{error}"))?;
        let mut options = ModuleConfig::new();
        options.set_gas_metering(self.gas.then_some(GasMeteringKind::Async));
        let module = Module::from_blob(&engine, &options, blob).map_err(|error| anyhow!("{error}"))?;
        Ok(Box::new(Compiled { gas: self.gas, module }))
    }
}

struct Compiled {
    gas: bool,
    module: Module,
}

impl Prepared for Compiled {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let export = self
            .module
            .exports()
            .find(|export| export.symbol() == "run")
            .context("`run` is not exported")?;
        let mut instance = self.module.instantiate().map_err(|error| anyhow!("{error}"))?;
        if self.gas {
            instance.set_gas(i64::MAX);
        }
        instance.prepare_call_untyped(export.program_counter(), &[]);
        let (end, seconds) = clock.time(|| instance.run().map_err(|error| anyhow!("{error}")))?;
        if !matches!(end, InterruptKind::Finished) {
            bail!("expected that the program finishes, found {end:?}");
        }
        Ok(Sample {
            seconds,
            checksum: instance.reg(Reg::A0) as u32,
            steps: None,
        })
    }
}
