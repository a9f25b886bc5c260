//! A development network of real processes: anvil, the contracts, the `explorer` service, and a node per operator.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::Rng;
use surety_chain::{
    Actions, Contracts, Deployment, Rpc, Sender,
    anvil::{Anvil, dev_key},
    deploy::DeployParameters,
};
use surety_cli::dev::{self, DevConfig};
use surety_client::{Client, Limits};
use surety_node::Config;
use tempfile::TempDir;

use crate::lie::Lie;

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A binary built beside the running one (`surety`, `lying-node`).
pub fn binary(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    // Tests run from `deps`, binaries from the folder above it.
    let found = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run `cargo build --workspace --bins`"))
}

/// What runs for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// The product: `surety node`.
    Honest,
    /// A node that lies and defends its lie.
    Lying(Lie),
    /// A node that lies and then never moves.
    LyingSilently(Lie),
}

/// How a network is set up.
#[derive(Debug, Clone)]
pub struct DevnetConfig {
    /// nodes
    pub operators: u32,
    /// seconds a party has in each match
    pub clock: u32,
    /// seconds a dispute stays open for joining
    pub join_window: u32,
    /// a folder of preimages every node reads
    pub preimages: PathBuf,
    /// changes every node's configuration
    pub adjust: fn(&mut Config),
}

impl Default for DevnetConfig {
    fn default() -> Self {
        Self {
            operators: 3,
            clock: 60,
            join_window: 5,
            preimages: repository().join("testdata/mainnet/preimages"),
            adjust: |_| {},
        }
    }
}

/// An operator and its node.
#[derive(Debug)]
pub struct Operator {
    /// its key
    pub key: PrivateKeySigner,
    /// its configuration
    pub config: PathBuf,
    /// where its JSON-RPC listens
    pub listen: SocketAddr,
    process: Option<Child>,
}

impl Operator {
    /// Its address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// URL of its JSON-RPC.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ended_by_itself = process.kill();
            let _no_zombie = process.wait();
        }
    }

    fn log_file(&self) -> PathBuf {
        self.config.with_file_name("node.log")
    }

    /// What its node wrote on standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running network. Everything stops when it is dropped.
#[derive(Debug)]
pub struct Devnet {
    /// the operators; their nodes are started by [`Devnet::start_node`]
    pub operators: Vec<Operator>,
    /// the chain's endpoint
    pub rpc: Rpc,
    /// the contracts
    pub deployment: Deployment,
    /// the explorer service
    pub service: Address,
    anvil: Anvil,
    folder: TempDir,
    next_user: std::cell::Cell<u32>,
}

impl Devnet {
    /// Starts a chain, deploys the contracts, registers `explorer`, and lets the operators join. No node runs yet.
    pub async fn start(config: &DevnetConfig) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("surety-devnet-").tempdir()?;
        let parameters = DeployParameters {
            clock: config.clock,
            join_window: config.join_window,
            ..DeployParameters::DEV
        };
        let leave_delay = parameters.leave_delay.max(parameters.longest_dispute() + 1);
        let dev_config = DevConfig {
            dir: folder.path().to_owned(),
            operators: config.operators,
            l1_port: 0,
            first_port: free_ports(u16::try_from(config.operators)?)?,
            block_time: Some(1),
            preimages: vec![config.preimages.clone()],
            ethereum: Vec::new(),
            parameters: DeployParameters {
                leave_delay,
                ..parameters
            },
            nodes: false,
        };
        let net = dev::Devnet::start(&dev_config, |_| {})
            .await
            .map_err(|e| anyhow!("the network does not start: {e:?}"))?;
        let mut operators = Vec::new();
        let urls: Vec<String> = net.operators.iter().map(|o| o.endpoint.clone()).collect();
        for one in net.operators {
            let mut node = Config::load(&one.config)?;
            // Who joins a dispute about a question it was not asked gets the input from who was.
            node.preimages.peers = urls.iter().filter(|url| **url != one.endpoint).cloned().collect();
            (config.adjust)(&mut node);
            fs::write(&one.config, node.to_toml().map_err(|e| anyhow!("{e}"))?)?;
            let listen = node.services.first().context("the node serves nothing")?.listen;
            operators.push(Operator {
                key: one.key,
                config: one.config,
                listen,
                process: None,
            });
        }
        Ok(Self {
            operators,
            rpc: net.rpc,
            deployment: net.deployment,
            service: net.service,
            anvil: net.anvil,
            folder,
            next_user: std::cell::Cell::new(1_000),
        })
    }

    /// Starts an operator's node and waits until it answers. A node that runs is stopped first, hard.
    pub async fn start_node(&mut self, index: usize, behaviour: Behaviour) -> Result<()> {
        let operator = self.operators.get_mut(index).context("no such operator")?;
        operator.kill();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(operator.log_file())?;
        let config = operator.config.clone();
        let mut command = match behaviour {
            Behaviour::Honest => {
                let mut command = Command::new(binary("surety")?);
                command.arg("node").arg("--config").arg(&config);
                command
            }
            Behaviour::Lying(lie) | Behaviour::LyingSilently(lie) => {
                let mut command = Command::new(binary("lying-node")?);
                command.arg("--config").arg(&config).arg("--lie").arg(lie.to_string());
                if matches!(behaviour, Behaviour::LyingSilently(_)) {
                    command.arg("--silent");
                }
                command
            }
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        operator.process = Some(child);
        let (url, deadline) = (operator.url(), Instant::now() + Duration::from_secs(60));
        let rpc = Rpc::new(&url)?;
        loop {
            if let Some(status) = operator.process.as_mut().and_then(|p| p.try_wait().ok().flatten()) {
                bail!("the node of operator {index} ended with {status}:\n{}", operator.log());
            }
            if tokio::net::TcpStream::connect(operator.listen).await.is_ok() && rpc.chain_id().await.is_ok() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the node of operator {index} does not answer:\n{}",
                operator.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A funded account.
    pub async fn user(&self) -> Result<PrivateKeySigner> {
        let index = self.next_user.get();
        self.next_user.set(index + 1);
        let key = dev_key(index)?;
        self.anvil
            .fund(&self.rpc, key.address(), U256::from(10).pow(U256::from(20)))
            .await?;
        Ok(key)
    }

    /// Actions of an account.
    pub async fn actions(&self, key: &PrivateKeySigner) -> Result<Actions> {
        Ok(Actions::new(
            Sender::new(self.rpc.clone(), key.clone()).await?,
            self.deployment.clone(),
        ))
    }

    /// Reads of the contracts.
    pub fn contracts(&self) -> Contracts {
        Contracts::new(self.rpc.clone(), self.deployment.clone())
    }

    /// A client.
    pub fn client(&self) -> Client {
        Client::new(self.contracts(), Limits::default())
    }

    /// URL of the chain's JSON-RPC.
    pub fn chain_url(&self) -> &str {
        self.anvil.url()
    }

    /// Where the deployment file and the operators' folders are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The logs of all nodes, for a failure's message.
    pub fn logs(&self) -> String {
        self.operators
            .iter()
            .enumerate()
            .map(|(i, o)| format!("--- operator {i} {}\n{}", o.address(), o.log()))
            .collect()
    }
}

/// The first of `count` ports in a row that nobody listens on, and that no other call, of this process or another, has
/// been given: whoever gets them opens them later, and must not find somebody else's node there. A port is held by its
/// UDP twin, which nothing here listens on, until the process ends.
pub(crate) fn free_ports(count: u16) -> Result<u16> {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    for _ in 0..100 {
        let first = rand::rng().random_range(20_000..30_000_u16);
        let hold = |port| {
            let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| held)
        };
        if let Some(all) = (first..first.saturating_add(count))
            .map(hold)
            .collect::<Option<Vec<_>>>()
        {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row")
}
