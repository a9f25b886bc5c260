//! The plan's container, made of exactly the bytes that were checked.
//!
//! [`Specification::new`] says what the engine is to be told, from plan and image; [`Channel::deploy`](crate::channel::Channel::deploy) has
//! the agent of a host load the image and create the container. The same deployment twice is one container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use surety_protocol::manifest::container::{Container, ExecPolicy, Mount, MountKind, Port, Restart};

use crate::image::{Configuration, Digest, Health, Image, archive::Contents};

/// What the engine is told: the plan, with what it leaves to the image filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// names the container: `surety-<deployment>`; letters, digits, at most 66
    pub deployment: String,
    /// what the image is made of
    pub contents: Contents,
    /// DiffIDs of its layers, by which the engine's copy is known
    pub diff_ids: Vec<Digest>,
    /// program and first arguments
    pub entrypoint: Vec<String>,
    /// further arguments
    pub command: Vec<String>,
    /// by name
    pub environment: BTreeMap<String, String>,
    /// user, and after a colon group
    pub user: String,
    /// working directory
    pub working_dir: String,
    /// `none`, `bridge` or `host`
    pub network: String,
    /// `no`, `on-failure`, `always` or `unless-stopped`
    pub restart: String,
    /// of `on-failure`; 0: no limit
    pub restart_limit: u32,
    /// whether the root file system is read-only
    pub read_only: bool,
    /// published: container's port with protocol (`8080/tcp`), host's port
    pub ports: Vec<(String, u16)>,
    /// what is mounted
    pub mounts: Vec<MountPoint>,
    /// bytes; 0: no limit
    pub memory: u64,
    /// thousandths of a CPU; 0: no limit
    pub cpus_milli: u32,
    /// processes and threads; 0: no limit
    pub pids: u32,
    /// capabilities given
    pub capabilities_added: Vec<String>,
    /// capabilities taken
    pub capabilities_dropped: Vec<String>,
    /// the image's health check, if the plan lets it run
    pub health: Option<Health>,
}

/// Something mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountPoint {
    /// `volume`, `tmpfs` or `bind`
    pub kind: String,
    /// a volume's name, a bind's path on the host
    pub source: String,
    /// in the container
    pub target: String,
    /// whether it can only be read
    pub read_only: bool,
}

impl Specification {
    /// What plan and image say. Where the plan is silent, the image decides; a plan's entry point without a command has
    /// no arguments.
    pub fn new(deployment: &str, plan: &Container, image: &Image) -> Self {
        let Configuration { run, diff_ids, .. } = &image.configuration;
        let command = match (&plan.command, &plan.entrypoint) {
            (Some(command), _) => command.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => run.cmd.clone(),
        };
        let mut environment: BTreeMap<String, String> = run
            .env
            .iter()
            .map(|variable| variable.split_once('=').unwrap_or((variable, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        environment.extend(plan.environment.clone());
        let (restart, restart_limit) = match plan.restart {
            Restart::No => ("no", 0),
            Restart::OnFailure(limit) => ("on-failure", limit.unwrap_or_default()),
            Restart::Always => ("always", 0),
            Restart::UnlessStopped => ("unless-stopped", 0),
        };
        Self {
            deployment: deployment.into(),
            contents: image.contents(),
            diff_ids: diff_ids.clone(),
            entrypoint: plan.entrypoint.clone().unwrap_or_else(|| run.entrypoint.clone()),
            command,
            environment,
            user: plan.user.clone().unwrap_or_else(|| run.user.clone()),
            working_dir: plan.working_dir.clone().unwrap_or_else(|| run.working_dir.clone()),
            network: plan.network.name().into(),
            restart: restart.into(),
            restart_limit,
            read_only: plan.read_only,
            ports: plan
                .ports
                .iter()
                .map(
                    |Port {
                         container,
                         host,
                         protocol,
                     }| (format!("{container}/{protocol}"), *host),
                )
                .collect(),
            mounts: plan
                .mounts
                .iter()
                .map(
                    |Mount {
                         target,
                         kind,
                         source,
                         read_only,
                     }| MountPoint {
                        kind: kind.name().into(),
                        source: if *kind == MountKind::Tmpfs {
                            String::new()
                        } else {
                            source.clone()
                        },
                        target: target.clone(),
                        read_only: *read_only,
                    },
                )
                .collect(),
            memory: plan
                .resources
                .memory_mib
                .map_or(0, |mebibytes| u64::from(mebibytes) << 20),
            cpus_milli: plan.resources.cpus_milli.unwrap_or_default(),
            pids: plan.resources.pids.unwrap_or_default(),
            capabilities_added: plan.capabilities.add.clone(),
            capabilities_dropped: plan.capabilities.drop.clone(),
            health: run
                .healthcheck
                .clone()
                .filter(|_| plan.policy.exec != ExecPolicy::Forbid),
        }
    }

    /// The container's name.
    pub fn name(&self) -> String {
        format!("surety-{}", self.deployment)
    }
}
