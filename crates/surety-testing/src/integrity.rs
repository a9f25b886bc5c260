//! A container that is watched, with real parts: a chain, a registry with the image, an engine, an SSH server before it,
//! an operator that hosts, and a node for each monitor.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256},
    signers::local::PrivateKeySigner,
};
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value as Json;
use surety_chain::{
    Actions,
    anvil::dev_key,
    integrity::{DeploymentInfo, EpochRecord, Plan, Status},
};
use surety_integrity::{
    channel::ssh_fingerprint,
    deploy::Specification,
    image::{Cache, Options, Puller},
};
use surety_primitives::measurement::{DeploymentId, Verdict};
use surety_protocol::manifest::container::Container;

use crate::{
    devnet::binary,
    engine::Engine,
    images::Image,
    network::{Monitors, NetworkDevnet, NetworkDevnetConfig, quick},
    registry::OciRegistry,
    sshd::Sshd,
};

/// For each stage.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How it is set up.
#[derive(Debug)]
pub struct IntegrityDevnetConfig {
    /// what runs
    pub image: Image,
    /// operators that monitor
    pub monitors: u32,
    /// further lines of the manifest's `[container]` part
    pub container: String,
    /// seconds of an epoch
    pub epoch: u32,
    /// epochs without an answer that end it
    pub unreachable_after: u16,
    /// whether the host is reached over SSH, or by its socket
    pub ssh: bool,
    /// of the network; its services and monitors are filled in
    pub network: NetworkDevnetConfig,
}

impl IntegrityDevnetConfig {
    /// Four monitors, epochs of 6 s, over SSH.
    pub fn new(image: Image) -> Self {
        Self {
            image,
            monitors: 4,
            container: String::new(),
            epoch: 6,
            unreachable_after: 2,
            ssh: true,
            network: NetworkDevnetConfig {
                relay_pause: 1,
                ..NetworkDevnetConfig::default()
            },
        }
    }
}

/// All of it, running. Everything stops when it is dropped.
#[derive(Debug)]
pub struct IntegrityDevnet {
    /// the chain, and the monitors' nodes; started by [`NetworkDevnet::start_node`]
    pub net: NetworkDevnet,
    /// the host's engine
    pub engine: Engine,
    /// the way to it
    pub sshd: Option<Sshd>,
    /// where the image is
    pub registry: OciRegistry,
    /// the operator that hosts
    pub host: PrivateKeySigner,
    /// the service
    pub service: Address,
    /// its container
    pub container: Container,
}

/// Key of the operator that hosts.
const HOST: u32 = 200;

impl IntegrityDevnet {
    /// Starts everything but the nodes; the plan is registered, and nothing is deployed.
    ///
    /// # Errors
    /// If a part is not installed, or does not start.
    pub async fn start(config: IntegrityDevnetConfig) -> Result<Self> {
        let registry = OciRegistry::start()?;
        let digest = registry.push("service", &config.image).await?;
        let engine = Engine::start()?;
        let manifest = format!(
            "name = \"watched\"\nmin_bond = \"32\"\n\n[container]\nimage = \"{}/service@{digest}\"\n\
             platform = \"linux/amd64\"\nnetwork = \"none\"\n{}\n\n[container.watch]\nperiod = 1\nepoch = {}\n\
             monitors = {}\nunreachable_after = {}\nreward = \"0.01\"\nhost_reward = \"0.02\"\n",
            registry.host(),
            config.container,
            config.epoch,
            config.monitors,
            config.unreachable_after,
        );
        let container = Container::parse(&manifest)
            .map_err(|problems| anyhow!("{problems}"))?
            .context("no container")?;
        let sshd = if config.ssh { Some(Sshd::start()?) } else { None };
        let mut keys = Vec::new();
        if let Some(sshd) = &sshd {
            let agent = binary("integrity-agent")?;
            // What the host's owner agrees to run.
            let folder = tempfile::tempdir()?;
            let cache = Cache::open(folder.path(), 1 << 30)?;
            let image = Puller::new(cache, Options::default()).pull(&container).await?;
            let plan = sshd.folder().join("plan.json");
            std::fs::write(&plan, serde_json::to_vec(&Specification::new("", &container, &image))?)?;
            for index in 0..config.monitors {
                let command = format!(
                    "{} deployer {} {}",
                    agent.display(),
                    engine.socket().display(),
                    plan.display()
                );
                keys.push(sshd.allow(&format!("monitor-{index}"), &command)?);
            }
        }
        let network = NetworkDevnetConfig {
            operators: config.monitors,
            services: vec![manifest],
            monitors: Some(Monitors {
                ssh_keys: keys,
                local_engines: if config.ssh {
                    Vec::new()
                } else {
                    vec![engine.socket().to_owned()]
                },
            }),
            ..config.network
        };
        let net = NetworkDevnet::start(&network).await?;
        let service = net.services.first().context("no service")?.address;

        let host = dev_key(HOST)?;
        let ether = U256::from(10).pow(U256::from(20));
        net.anvil.fund(&net.rpc, host.address(), ether).await?;
        let actions = Actions::new(quick(&net.rpc, host.clone()).await?, net.deployment.clone());
        actions.register_operator(&host, "http://127.0.0.1:1").await?;
        let (endpoint, host_key) = match &sshd {
            Some(sshd) => (sshd.endpoint(), B256::from(ssh_fingerprint(&sshd.host_key()?)?.0)),
            None => (format!("unix:{}", engine.socket().display()), B256::ZERO),
        };
        actions.set_host(service, host.address(), &endpoint, host_key).await?;
        actions.mint(host.address(), net.bond).await?;
        actions.deposit(service, host.address(), net.bond).await?;

        let owner = net.actions(&net.owner.clone()).await?;
        let watch = &container.watch;
        owner
            .set_plan(
                service,
                &Plan {
                    image: container.image.digest,
                    specification: container.to_value().hash()?,
                    epoch: watch.epoch,
                    unreachable_after: watch.unreachable_after,
                    reward: watch.reward,
                    host_reward: watch.host_reward,
                },
            )
            .await?;
        Ok(Self {
            net,
            engine,
            sshd,
            registry,
            host,
            service,
            container,
        })
    }

    /// Starts the nodes, and waits until they have found each other.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start_nodes(&mut self) -> Result<()> {
        let all: Vec<usize> = (0..self.net.operators.len()).collect();
        for index in &all {
            self.net.start_node(*index).await?;
        }
        self.net.connected(&all, all.len().saturating_sub(1)).await
    }

    /// Puts the image into all nodes' caches, for those that cannot reach the registry.
    ///
    /// # Errors
    /// If it cannot be pulled.
    pub async fn pull_for_all(&self) -> Result<()> {
        for operator in &self.net.operators {
            let cache = Cache::open(&operator.home.join("images"), 1 << 30)?;
            let image = Puller::new(cache, Options::default()).pull(&self.container).await?;
            image.tree().await?;
        }
        Ok(())
    }

    /// Asks for a deployment and funds it with so much of the token.
    ///
    /// # Errors
    /// If the contract refuses.
    pub async fn deploy(&self, wei: U256) -> Result<DeploymentId> {
        let owner = self.net.actions(&self.net.owner).await?;
        let (id, _) = owner.deploy_container(self.service, self.host.address()).await?;
        owner.mint(self.net.owner.address(), wei).await?;
        owner.fund_deployment(id, wei).await?;
        Ok(id)
    }

    /// The container's name on the host.
    pub fn name(&self, id: DeploymentId) -> String {
        format!("surety-{id}")
    }

    /// A deployment as the chain has it.
    ///
    /// # Errors
    /// If there is none.
    pub async fn info(&self, id: DeploymentId) -> Result<DeploymentInfo> {
        self.net.contracts().deployed(id).await?.context("no such deployment")
    }

    /// Waits until the chain says something of a deployment.
    ///
    /// # Errors
    /// After [`PATIENCE`], with what the nodes wrote.
    pub async fn until(
        &self,
        what: &str,
        id: DeploymentId,
        mut accept: impl FnMut(&DeploymentInfo) -> bool,
    ) -> Result<DeploymentInfo> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = self.info(id).await?;
            if accept(&info) {
                return Ok(info);
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.net.operators.iter().map(|o| tail(&o.log("node"))).collect();
                return Err(anyhow!("not {what} in time: {info:?}\n{}", logs.join("\n--\n")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for the baseline.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn running(&self, id: DeploymentId) -> Result<DeploymentInfo> {
        self.until("running", id, |info| info.state.status == Status::Running)
            .await
    }

    /// Waits until so many epochs are recorded as intact.
    ///
    /// # Errors
    /// As [`Self::until`], or if another verdict was recorded.
    pub async fn intact(&self, id: DeploymentId, epochs: usize) -> Result<Vec<EpochRecord>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let recorded = self.net.contracts().epochs(id).await?;
            ensure!(
                recorded.iter().all(|epoch| epoch.verdict == Verdict::Intact),
                "not intact: {recorded:?}"
            );
            if recorded.len() >= epochs {
                return Ok(recorded);
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.net.operators.iter().map(|o| tail(&o.log("node"))).collect();
                return Err(anyhow!(
                    "{} of {epochs} epochs: {}",
                    recorded.len(),
                    logs.join("\n--\n")
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the drift is recorded.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn drifted(&self, id: DeploymentId) -> Result<DeploymentInfo> {
        self.until("drifted", id, |info| info.state.status == Status::Drifted)
            .await
    }

    /// Asks a monitor's attestation.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn attested(&self, index: usize, path: &str) -> Result<Json> {
        let operator = self.net.operators.get(index).context("no such operator")?;
        let url = format!("http://{}{path}", operator.attestation);
        let answer = reqwest::get(&url).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{url}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// A folder that lasts as long as this does.
    pub fn folder(&self) -> PathBuf {
        self.net.folder().to_owned()
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(15);
    lines.get(from..).unwrap_or_default().join("\n")
}
