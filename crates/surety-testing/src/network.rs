//! A network of services of real processes: anvil, the contracts, services with events and tasks, a node for each
//! operator, and connectors beside them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, U256, keccak256},
    signers::local::PrivateKeySigner,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value as Json, json};
use surety_chain::{
    Actions, Contracts, Deployment, Rpc, Sender, SenderConfig, ServiceRegistration,
    anvil::{Anvil, AnvilConfig, dev_key},
    bindings::Price,
    deploy::{DeployParameters, deploy, deploy_plain_service, dev_bond},
    keys,
};
use surety_node::{
    Config,
    config::{ChainConfig, ForcedConfig, Limits, OperatorConfig, PlayerConfig, PreimageConfig},
    integrity::config::{IntegrityConfig, IntegrityServiceConfig},
    network::config::{NetworkConfig, NetworkServiceConfig},
};
use surety_primitives::{Domain, keys::KeysRegistration};
use surety_protocol::manifest::{self, container::Container};
use tempfile::TempDir;

use crate::devnet::{binary, free_ports};

/// Password of every keystore.
const PASSWORD: &str = "development";

/// How a network is set up.
#[derive(Debug, Clone)]
pub struct NetworkDevnetConfig {
    /// nodes
    pub operators: u32,
    /// manifests of the services, as text
    pub services: Vec<String>,
    /// seconds a block, once everything is set up
    pub block_time: u64,
    /// times of the contracts
    pub parameters: DeployParameters,
    /// seconds each waits for those before it
    pub relay_pause: u64,
    /// address that each operator's peer listens on
    pub host: fn(u32) -> Ipv4Addr,
    /// address that each operator's API listens on; reached from where the test runs
    pub api_host: fn(u32) -> Ipv4Addr,
    /// address that nodes reach anvil at
    pub chain_host: Ipv4Addr,
    /// each node monitors the services with a container; the key with which it reaches hosts over SSH
    pub monitors: Option<Monitors>,
}

/// What nodes monitor with.
#[derive(Debug, Clone, Default)]
pub struct Monitors {
    /// SSH key of each operator; by index, none for those beyond
    pub ssh_keys: Vec<PathBuf>,
    /// sockets that hosts' `unix:` endpoints may name
    pub local_engines: Vec<PathBuf>,
}

impl Default for NetworkDevnetConfig {
    fn default() -> Self {
        Self {
            operators: 5,
            services: Vec::new(),
            block_time: 1,
            parameters: DeployParameters {
                set_period: 5,
                ..DeployParameters::DEV
            },
            relay_pause: 2,
            host: |_| Ipv4Addr::LOCALHOST,
            api_host: |_| Ipv4Addr::LOCALHOST,
            chain_host: Ipv4Addr::LOCALHOST,
            monitors: None,
        }
    }
}

/// A service of the network.
#[derive(Debug, Clone)]
pub struct NetworkService {
    /// its name
    pub name: String,
    /// its contract
    pub address: Address,
    /// its manifest
    pub manifest: PathBuf,
}

/// An operator with its processes.
#[derive(Debug)]
pub struct NetworkOperator {
    /// its key
    pub key: PrivateKeySigner,
    /// its folder
    pub home: PathBuf,
    /// where its API listens
    pub api: SocketAddr,
    /// where connectors connect
    pub connectors: SocketAddr,
    /// where its peer listens
    pub peer: SocketAddr,
    /// where it attests, if it monitors
    pub attestation: SocketAddr,
    node: Option<Child>,
    beside: Vec<(String, Child)>,
}

impl NetworkOperator {
    /// Its address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// `kill -9` of the node.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.node.take() {
            let _ended_by_itself = process.kill();
            let _no_zombie = process.wait();
        }
    }

    /// `kill -9` of what runs beside it under this name.
    pub fn kill_beside(&mut self, name: &str) {
        self.beside.retain_mut(|(found, process)| {
            if found == name {
                let _ended_by_itself = process.kill();
                let _no_zombie = process.wait();
            }
            found != name
        });
    }

    /// The node's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.node.as_ref().map(Child::id)
    }

    /// What the node, or what is beside it, wrote.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.home.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for NetworkOperator {
    fn drop(&mut self) {
        self.kill();
        for (_, process) in &mut self.beside {
            let _ended_by_itself = process.kill();
            let _no_zombie = process.wait();
        }
    }
}

/// A running network. Everything stops when it is dropped.
#[derive(Debug)]
pub struct NetworkDevnet {
    /// the operators; their nodes are started by [`NetworkDevnet::start_node`]
    pub operators: Vec<NetworkOperator>,
    /// the services, in the order of the manifests
    pub services: Vec<NetworkService>,
    /// the chain's endpoint
    pub rpc: Rpc,
    /// the contracts
    pub deployment: Deployment,
    /// who deployed everything and owns the services
    pub owner: PrivateKeySigner,
    /// bond of each operator for each service, in wei of the token
    pub bond: U256,
    /// the chain; killed and started like the others
    pub anvil: Anvil,
    http: reqwest::Client,
    folder: TempDir,
    namespace: Vec<Option<String>>,
}

impl NetworkDevnet {
    /// Starts a chain, deploys the contracts, registers services and operators with their keys, and fixes the first
    /// sets. No node runs yet.
    pub async fn start(config: &NetworkDevnetConfig) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("surety-network-").tempdir()?;
        let dir = folder.path().to_owned();
        let anvil = Anvil::start(&AnvilConfig {
            // Whoever reaches it otherwise than at 127.0.0.1 is in a network of its own.
            host: if config.chain_host.is_loopback() {
                Ipv4Addr::LOCALHOST
            } else {
                Ipv4Addr::UNSPECIFIED
            },
            ..AnvilConfig::default()
        })?;
        let rpc = Rpc::new(anvil.url())?;
        let owner = dev_key(0)?;
        let ether = U256::from(10).pow(U256::from(21));
        anvil.fund(&rpc, owner.address(), ether).await?;
        let parameters = DeployParameters {
            leave_delay: config
                .parameters
                .leave_delay
                .max(config.parameters.longest_dispute() + 1),
            ..config.parameters
        };
        let sender = quick(&rpc, owner.clone()).await?;
        let deployment = deploy(&sender, &parameters).await?.deployment;
        let deployment_file = dir.join("deployment.json");
        deployment.save(&deployment_file)?;
        let password_file = dir.join("password");
        fs::write(&password_file, PASSWORD)?;
        keys::restrict(&password_file)?;

        let bond = dev_bond();
        let actions = Actions::new(sender.clone(), deployment.clone());
        let mut services = Vec::new();
        let mut monitored = Vec::new();
        for (number, text) in config.services.iter().enumerate() {
            let network = manifest::Network::parse(text, manifest::Network::PROGRAM_KEYS)
                .map_err(|e| anyhow!("manifest {number}: {e}"))?;
            let (address, _) = deploy_plain_service(&sender, &deployment, owner.address()).await?;
            let manifest = dir.join(format!("{}.toml", network.name));
            fs::write(&manifest, text)?;
            actions
                .register_service(&ServiceRegistration {
                    service: address,
                    manifest: keccak256(text),
                    methods: Vec::new(),
                    min_bond: bond,
                    max_budget: 0,
                    verdict: Address::ZERO,
                })
                .await?;
            actions.set_terms(address, network.quorum).await?;
            for (name, task) in &network.tasks {
                let price = Price {
                    perCall: task.price.per_call.try_into()?,
                    perSecond: task.price.per_second.try_into()?,
                    perKilobyte: task.price.per_kilobyte.try_into()?,
                };
                actions.set_price(address, keccak256(name), price).await?;
            }
            let service = NetworkService {
                name: network.name,
                address,
                manifest,
            };
            if let Ok(Some(_)) = Container::parse(text) {
                monitored.push(service.clone());
            }
            services.push(service);
        }

        let domain = Domain {
            chain_id: deployment.chain_id,
            verifying_contract: deployment.registry,
        };
        let mut operators = Vec::new();
        for index in 0..config.operators {
            let key = dev_key(index + 2)?;
            anvil.fund(&rpc, key.address(), ether).await?;
            let host = (config.host)(index);
            let ports = free_ports(4)?;
            let at = |offset: u16| SocketAddr::from((host, ports + offset));
            let home = dir.join(format!("operator-{index}"));
            fs::create_dir_all(&home)?;
            keys::create(&home.join("keystore.json"), &key, PASSWORD)?;
            let operator = NetworkOperator {
                key: key.clone(),
                home: home.clone(),
                api: SocketAddr::from(((config.api_host)(index), ports)),
                connectors: SocketAddr::from((Ipv4Addr::LOCALHOST, ports + 1)),
                peer: at(2),
                attestation: SocketAddr::from(((config.api_host)(index), ports + 3)),
                node: None,
                beside: Vec::new(),
            };
            let port = anvil
                .url()
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned();
            let node = Config {
                data_dir: home.join("data"),
                program_dirs: Vec::new(),
                operator: OperatorConfig {
                    keystore: home.join("keystore.json"),
                    password_file: Some(password_file.clone()),
                },
                chain: ChainConfig {
                    rpc: format!("http://{}:{port}", config.chain_host),
                    deployment: deployment_file.clone(),
                    poll_ms: 200,
                },
                services: Vec::new(),
                network: Some(NetworkConfig {
                    listen: vec![format!("/ip4/{host}/tcp/{}", operator.peer.port())],
                    external: Vec::new(),
                    bootstrap: Vec::new(),
                    connectors: operator.connectors,
                    connector_token: home.join("connector.token"),
                    api: operator.api,
                    services: services
                        .iter()
                        .map(|s: &NetworkService| NetworkServiceConfig {
                            address: s.address,
                            manifest: s.manifest.clone(),
                        })
                        .collect(),
                    value_bytes: 1 << 30,
                    message_bytes: 1 << 20,
                    pending_events: 65_536,
                    confirmations: 1,
                    relay_pause_seconds: config.relay_pause,
                }),
                integrity: config.monitors.as_ref().map(|monitors| IntegrityConfig {
                    listen: operator.attestation,
                    cors_origins: Vec::new(),
                    image_cache: home.join("images"),
                    image_cache_bytes: 8 << 30,
                    ssh_key: monitors.ssh_keys.get(index as usize).cloned(),
                    local_engines: monitors.local_engines.clone(),
                    plain_registries: Vec::new(),
                    simulated_quotes: true,
                    answer_ms: 4_000,
                    deploy_seconds: 120,
                    deployments: 64,
                    services: monitored
                        .iter()
                        .map(|s: &NetworkService| IntegrityServiceConfig {
                            address: s.address,
                            manifest: s.manifest.clone(),
                        })
                        .collect(),
                }),
                preimages: PreimageConfig::default(),
                limits: Limits::default(),
                player: PlayerConfig::default(),
                engine: Default::default(),
                forced: ForcedConfig::default(),
                metrics: None,
            };
            fs::write(home.join("node.toml"), node.to_toml().map_err(|e| anyhow!("{e}"))?)?;
            let mine = Actions::new(quick(&rpc, key.clone()).await?, deployment.clone());
            mine.register_operator(&key, &format!("http://{}", operator.api))
                .await?;
            let registration = KeysRegistration::derive(
                &domain,
                key.address(),
                &key.to_bytes().0,
                format!("/ip4/{host}/tcp/{}", operator.peer.port()),
            )?;
            mine.set_keys(
                key.address(),
                registration.key.to_eip2537().into(),
                registration.proof.to_eip2537().into(),
                registration.encryption_key,
                &registration.peer_address,
            )
            .await?;
            for service in &services {
                mine.mint(key.address(), bond).await?;
                mine.deposit(service.address, key.address(), bond).await?;
            }
            operators.push(operator);
        }
        for service in &services {
            actions.fix_set(service.address).await?;
        }
        anvil.mine_every(&rpc, config.block_time).await?;
        Ok(Self {
            namespace: vec![None; operators.len()],
            operators,
            services,
            rpc,
            deployment,
            owner,
            bond,
            anvil,
            http: reqwest::Client::new(),
            folder,
        })
    }

    /// Runs everything of an operator in a network namespace, which must be there.
    pub fn place(&mut self, index: usize, namespace: &str) {
        if let Some(place) = self.namespace.get_mut(index) {
            *place = Some(namespace.to_owned());
        }
    }

    fn command(&self, index: usize, program: &Path) -> Command {
        match self.namespace.get(index).and_then(Option::as_ref) {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        }
    }

    /// Starts an operator's node, and waits until its API answers.
    pub async fn start_node(&mut self, index: usize) -> Result<()> {
        let program = binary("surety")?;
        let mut command = self.command(index, &program);
        let operator = self.operators.get_mut(index).context("no such operator")?;
        operator.kill();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(operator.home.join("node.log"))?;
        command.arg("node").arg("--config").arg(operator.home.join("node.toml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        operator.node = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.ask(index, "network_status", json!([])).await.is_ok() {
                return Ok(());
            }
            let operator = self.operators.get_mut(index).context("no such operator")?;
            if let Some(status) = operator.node.as_mut().and_then(|p| p.try_wait().ok().flatten()) {
                bail!(
                    "the node of operator {index} ended with {status}:\n{}",
                    operator.log("node")
                );
            }
            ensure!(
                Instant::now() < deadline,
                "the node of operator {index} does not answer:\n{}",
                operator.log("node")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts one of the connectors that come with Surety beside an operator's node. `section` is the connector's part
    /// of the configuration, as TOML.
    pub fn start_connector(&mut self, index: usize, kind: &str, service: &str, section: &str) -> Result<()> {
        let name = format!("{kind}-{service}");
        let config = self.connector_config(index, &name, service, section)?;
        self.start_beside(
            index,
            &name,
            "surety-connector",
            &[kind, "--config", &config.to_string_lossy()],
        )
    }

    /// Writes the configuration of a connector.
    pub fn connector_config(&self, index: usize, name: &str, service: &str, section: &str) -> Result<PathBuf> {
        let operator = self.operators.get(index).context("no such operator")?;
        let text = format!(
            "[node]\naddress = \"http://{}\"\ntoken_file = \"connector.token\"\nservice = \"{service}\"\nconnector = \"{name}\"\n\n{section}\n",
            operator.connectors
        );
        let path = operator.home.join(format!("{name}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a program beside an operator's node.
    pub fn start_beside(&mut self, index: usize, name: &str, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(index, &binary(program)?);
        let operator = self.operators.get_mut(index).context("no such operator")?;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(operator.home.join(format!("{name}.log")))?;
        let child = command
            .args(arguments)
            .current_dir(&operator.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        operator.beside.push((name.to_owned(), child));
        Ok(())
    }

    /// Asks an operator's API.
    pub async fn ask(&self, index: usize, method: &str, params: Json) -> Result<Json> {
        let operator = self.operators.get(index).context("no such operator")?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Json = self
            .http
            .post(format!("http://{}", operator.api))
            .timeout(Duration::from_secs(10))
            .json(&body)
            .send()
            .await?
            .json()
            .await?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        answer.get("result").cloned().context("neither result nor error")
    }

    /// Waits until every node that runs is connected to `peers` others.
    pub async fn connected(&self, indices: &[usize], peers: usize) -> Result<()> {
        self.until(Duration::from_secs(60), "nodes are connected", async || {
            for index in indices {
                let status = self.ask(*index, "network_status", json!([])).await?;
                let known = status["peers"]
                    .as_array()
                    .map_or(0, |all| all.iter().filter(|p| !p["operator"].is_null()).count());
                if known < peers {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Looks until there is something, for at most `patience`.
    pub async fn until<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            let last = match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            ensure!(
                Instant::now() < deadline,
                "{what}: not within {} s{}",
                patience.as_secs(),
                last.map(|e| format!(" ({e:#})")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Actions of an account.
    pub async fn actions(&self, key: &PrivateKeySigner) -> Result<Actions> {
        Ok(Actions::new(
            quick(&self.rpc, key.clone()).await?,
            self.deployment.clone(),
        ))
    }

    /// A funded account with tokens.
    pub async fn user(&self, number: u32, tokens: U256) -> Result<PrivateKeySigner> {
        let key = dev_key(500 + number)?;
        let ether = U256::from(10).pow(U256::from(20));
        self.anvil.fund(&self.rpc, key.address(), ether).await?;
        self.actions(&key).await?.mint(key.address(), tokens).await?;
        Ok(key)
    }

    /// Reads of the contracts.
    pub fn contracts(&self) -> Contracts {
        Contracts::new(self.rpc.clone(), self.deployment.clone())
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Result<&NetworkService> {
        let found = self.services.iter().find(|s| s.name == name);
        found.with_context(|| format!("there is no service {name}"))
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What all nodes and connectors wrote, for a failure's message.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for (index, operator) in self.operators.iter().enumerate() {
            let names = ["node".to_owned()]
                .into_iter()
                .chain(operator.beside.iter().map(|(name, _)| name.clone()));
            for name in names {
                all.push_str(&format!(
                    "--- operator {index} {} {name}\n{}\n",
                    operator.address(),
                    operator.log(&name)
                ));
            }
        }
        all
    }
}

/// A sender that looks for receipts often: blocks are quick here.
pub(crate) async fn quick(rpc: &Rpc, key: PrivateKeySigner) -> Result<Sender> {
    let config = SenderConfig {
        poll: Duration::from_millis(50),
        ..SenderConfig::default()
    };
    Ok(Sender::with_config(rpc.clone(), key, config).await?)
}
