//! How facts are judged (`docs/spec/integrity.md`, section 3): each probe compares one thing that host and kernel say
//! with the plan and with the image as the monitor itself has hashed it.
//!
//! | probe | finds | switched by |
//! |---|---|---|
//! | [`identity`] | fields of the engine's inspect that plan and image do not say | |
//! | [`environment`] | variables that the first process started with and the engine was not told | |
//! | [`processes`] | programs that are not the image's, processes that came from outside | `processes`, `exec` |
//! | [`events`] | exec sessions, copies, starts, stops, pauses, new names | `exec`, `clients`, `restarts` |
//! | [`files`] | files that differ from the layers | `files` |
//! | [`memory`] | executable memory that differs from the layers, or has no file | `memory` |
//! | [`tracer`] | debuggers | |
//! | [`engine`] | contradictions between engine and kernel | |

pub mod engine;
pub mod environment;
pub mod events;
pub mod files;
pub mod identity;
pub mod inspect;
pub mod memory;
pub mod processes;
pub mod reference;
pub mod tracer;

use surety_protocol::manifest::container::{Container, ExecPolicy, FilePolicy, Policy};

use crate::{
    agent::measure::{Facts, Kernel, Process, Sha},
    finding::Finding,
};
use inspect::Inspect;
use reference::Reference;

/// What every probe sees.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// what the host says
    pub facts: &'a Facts,
    /// the engine's inspect
    pub inspect: Inspect<'a>,
    /// what should run; `None`: whatever the engine was told
    pub plan: Option<&'a Container>,
    /// the image, as the monitor has hashed it; `None`: nothing is compared with it
    pub image: Option<&'a Reference>,
    /// which probes report what
    pub policy: Policy,
}

impl Context<'_> {
    /// What the kernel says, if it runs.
    pub const fn kernel(&self) -> Option<&Kernel> {
        self.facts.kernel.as_ref()
    }

    /// Whether this file is the image's, or may be executed although it is not.
    pub(crate) fn may_run(&self, path: &str, file: Option<Sha>) -> bool {
        let Some(image) = self.image else { return true };
        let known = image.files.get(path);
        if known.is_some_and(|known| known.kind == 'f' && file.is_some_and(|file| known.data == file.to_string())) {
            return true;
        }
        self.policy.files != FilePolicy::Strict && self.is_writable(path)
    }

    /// Whether the plan says that files there change.
    pub(crate) fn is_writable(&self, path: &str) -> bool {
        self.plan
            .is_some_and(|plan| plan.writable.iter().any(|folder| is_below(path, folder)))
    }

    /// The command of the health check, if there is one.
    pub(crate) fn health_command(&self) -> Option<Vec<String>> {
        let test = self.inspect.texts("Config.Healthcheck.Test");
        let (kind, rest) = test.split_first()?;
        match kind.as_str() {
            "CMD" => Some(rest.to_vec()),
            "CMD-SHELL" => {
                let mut shell = self.inspect.texts("Config.Shell");
                if shell.is_empty() {
                    shell = vec!["/bin/sh".into(), "-c".into()];
                }
                shell.extend_from_slice(rest);
                Some(shell)
            }
            _ => None,
        }
    }

    /// Whether the policy allows an exec session that the engine describes so.
    pub(crate) fn allows_exec(&self, exec: &Inspect<'_>) -> bool {
        match self.policy.exec {
            ExecPolicy::Allow => true,
            ExecPolicy::Forbid => false,
            ExecPolicy::Health => {
                let mut command = vec![exec.text("ProcessConfig.entrypoint").to_owned()];
                command.extend(exec.texts("ProcessConfig.arguments"));
                let user = exec.text("ProcessConfig.user");
                Some(command) == self.health_command()
                    && !exec.flag("ProcessConfig.privileged")
                    && !exec.flag("ProcessConfig.tty")
                    && !exec.flag("OpenStdin")
                    && (user.is_empty() || user == self.inspect.text("Config.User"))
            }
        }
    }

    /// Whether a process is one of an allowed exec session, or descends from one.
    pub(crate) fn in_allowed_exec(&self, process: &Process) -> bool {
        let roots: Vec<u64> = self
            .facts
            .execs
            .iter()
            .map(Inspect)
            .filter(|exec| self.allows_exec(exec))
            .map(|exec| exec.number("Pid"))
            .filter(|pid| *pid != 0)
            .collect();
        !roots.is_empty() && self.descends(process, |pid| roots.contains(&u64::from(pid)))
    }

    /// Whether a process or one of its forebears in the container is such a one.
    pub(crate) fn descends(&self, process: &Process, is: impl Fn(u32) -> bool) -> bool {
        let processes = self
            .kernel()
            .map(|kernel| kernel.processes.as_slice())
            .unwrap_or_default();
        let mut current = Some(process);
        // Bounded: a host could tell of parents in a circle.
        for _ in 0..=processes.len() {
            let Some(process) = current else { return false };
            if is(process.pid) {
                return true;
            }
            current = processes.iter().find(|other| other.pid == process.parent);
        }
        false
    }
}

/// All that the probes find, except what events say ([`events::Accounting`]) and files ([`files::compare`]), whose
/// state the monitor keeps.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = identity::look(context);
    findings.extend(environment::look(context));
    findings.extend(processes::look(context));
    findings.extend(memory::look(context));
    findings.extend(tracer::look(context));
    findings.extend(engine::look(context));
    findings
}

/// Whether a path is a folder or in it.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
