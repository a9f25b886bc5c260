//! A development network in one process: anvil, the contracts, a service and its operators' nodes.
//!
//! Everything is in one directory: `deployment.json`, `services.json`, encrypted keystores and their password, one
//! `node.toml` for each operator. Keys are derived from public text: nothing here is worth anything.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    signers::local::PrivateKeySigner,
};
use surety_chain::{
    Actions, Deployment, Rpc, Sender, SenderConfig, ServiceRegistration,
    anvil::{Anvil, AnvilConfig, dev_key},
    deploy::{DeployParameters, deploy, deploy_explorer, dev_bond},
    keys,
};
use surety_machine::Program;
use surety_node::{
    Config, Node, NodeHandle,
    config::{ChainConfig, ForcedConfig, Limits, OperatorConfig, PlayerConfig, PreimageConfig, ServiceConfig},
};

use crate::{
    context::{KnownService, services_file},
    exit::Failure,
};

/// The example program, so that a development network needs no file.
pub const EXPLORER_ELF: &[u8] = include_bytes!("../../../programs/elf/explorer.elf");

/// Signatures of the example service, with what they return.
pub const EXPLORER_METHODS: [&str; 2] = [
    "balanceOf(bytes32,address)(uint256)",
    "receipt(bytes32,uint256)(uint8,bool,uint256,uint256,bytes)",
];

/// Password of every development keystore.
const PASSWORD: &str = "development";

/// How a development network is set up.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// Where everything is written. What an earlier network left there is replaced.
    pub dir: PathBuf,
    /// How many operators serve the example service.
    pub operators: u32,
    /// Port of anvil; 0 takes a free one.
    pub l1_port: u16,
    /// Port of the first operator's JSON-RPC, the others follow; 0 takes free ones.
    pub first_port: u16,
    /// Seconds a block once everything is set up; `None` mines a block for every transaction.
    pub block_time: Option<u64>,
    /// Directories of preimages that the nodes read.
    pub preimages: Vec<PathBuf>,
    /// Ethereum endpoints that the nodes fetch preimages from.
    pub ethereum: Vec<String>,
    /// Times of the contracts.
    pub parameters: DeployParameters,
    /// Whether nodes are started; otherwise only their configurations are written, with fixed ports.
    pub nodes: bool,
}

impl Default for DevConfig {
    fn default() -> Self {
        Self {
            dir: crate::context::DEV_DIR.into(),
            operators: 3,
            l1_port: 8545,
            first_port: 9651,
            block_time: Some(1),
            preimages: Vec::new(),
            ethereum: Vec::new(),
            parameters: DeployParameters::DEV,
            nodes: true,
        }
    }
}

/// One operator of a development network.
#[derive(Debug)]
pub struct DevOperator {
    /// its key, which also owns its bond
    pub key: PrivateKeySigner,
    /// the keystore with that key
    pub keystore: PathBuf,
    /// its `node.toml`
    pub config: PathBuf,
    /// URL of its JSON-RPC
    pub endpoint: String,
    /// its node, if one was started
    pub node: Option<NodeHandle>,
}

/// A running development network; [`Devnet::stop`] ends it cleanly, dropping it at once.
#[derive(Debug)]
pub struct Devnet {
    /// the chain; last to be dropped is not needed, nodes cope with its loss
    pub anvil: Anvil,
    /// its endpoint
    pub rpc: Rpc,
    /// addresses
    pub deployment: Deployment,
    /// the example service
    pub service: Address,
    /// program hash of the example service
    pub program: B256,
    /// owner of the service, deployer of the contracts
    pub owner: PrivateKeySigner,
    /// a user with ether
    pub user: PrivateKeySigner,
    /// the operators
    pub operators: Vec<DevOperator>,
    /// bond of each, in wei of the token
    pub bond: U256,
    /// where the files are
    pub dir: PathBuf,
    /// password file of the keystores
    pub password_file: PathBuf,
}

/// 1,000 ether: enough for any number of disputes.
fn allowance() -> U256 {
    U256::from(1000_u64).saturating_mul(U256::from(10_u64).pow(U256::from(18_u64)))
}

fn file_failure(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |e| {
        Failure::new(
            format!("{} cannot be written: {e}", path.display()),
            "choose another --dir",
        )
    }
}

/// A sender that looks for receipts often: blocks are quick here.
async fn sender(rpc: &Rpc, key: PrivateKeySigner) -> Result<Sender, Failure> {
    let config = SenderConfig {
        poll: std::time::Duration::from_millis(50),
        ..SenderConfig::default()
    };
    Ok(Sender::with_config(rpc.clone(), key, config).await?)
}

impl Devnet {
    /// Starts everything. `stage` is told each stage as it begins.
    pub async fn start(config: &DevConfig, mut stage: impl FnMut(&str)) -> Result<Self, Failure> {
        let dir = config.dir.clone();
        std::fs::create_dir_all(&dir).map_err(file_failure(&dir))?;
        let dir = dir.canonicalize().map_err(file_failure(&dir))?;
        let program = Program::from_elf(EXPLORER_ELF)
            .map_err(|e| Failure::new(format!("the embedded program: {e}"), "rebuild surety"))?;

        stage("starting anvil");
        let anvil = Anvil::start(&AnvilConfig {
            port: config.l1_port,
            ..AnvilConfig::default()
        })?;
        let rpc = Rpc::new(anvil.url())?;
        let (owner, user) = (dev_key(0)?, dev_key(1)?);
        let mut keys = Vec::new();
        for i in 0..config.operators {
            keys.push(dev_key(i.saturating_add(2))?);
        }
        for key in keys.iter().chain([&owner, &user]) {
            anvil.fund(&rpc, key.address(), allowance()).await?;
        }

        stage("deploying the contracts");
        let owner_sender = sender(&rpc, owner.clone()).await?;
        let deployment = deploy(&owner_sender, &config.parameters).await?.deployment;
        let (service, _) = deploy_explorer(&owner_sender, &deployment, owner.address()).await?;
        let actions = Actions::new(owner_sender, deployment.clone());
        let bond = dev_bond();
        let methods = EXPLORER_METHODS.map(|m| (selector(m), B256::from(program.hash())));
        actions
            .register_service(&ServiceRegistration {
                service,
                manifest: keccak256(EXPLORER_METHODS.join("\n")),
                methods: methods.to_vec(),
                min_bond: bond,
                max_budget: 1 << 36,
                verdict: Address::ZERO,
            })
            .await?;

        let deployment_file = dir.join("deployment.json");
        deployment.save(&deployment_file)?;
        let known = KnownService {
            address: service,
            methods: EXPLORER_METHODS.map(str::to_owned).to_vec(),
        };
        write(
            &services_file(&deployment_file),
            &json(&BTreeMap::from([("explorer", known)])),
        )?;
        let password_file = dir.join("password");
        write(&password_file, PASSWORD)?;
        keys::restrict(&password_file)?;
        let program_dir = dir.join("programs");
        std::fs::create_dir_all(&program_dir).map_err(file_failure(&program_dir))?;
        let elf = program_dir.join("explorer.elf");
        std::fs::write(&elf, EXPLORER_ELF).map_err(file_failure(&elf))?;
        keystore(&dir.join("owner.json"), &owner)?;
        keystore(&dir.join("user.json"), &user)?;

        let mut operators = Vec::new();
        for (i, key) in keys.into_iter().enumerate() {
            let number = i.saturating_add(1);
            stage(&format!("starting operator {number} of {}", config.operators));
            let port = match config.first_port {
                0 => 0,
                first => first.saturating_add(u16::try_from(i).unwrap_or(u16::MAX)),
            };
            let files = Files {
                dir: &dir,
                deployment: &deployment_file,
                programs: &program_dir,
                password: &password_file,
            };
            operators.push(operator(config, &files, &rpc, &deployment, service, number, port, key, bond).await?);
        }
        if let Some(seconds) = config.block_time {
            anvil.mine_every(&rpc, seconds).await?;
        }
        Ok(Self {
            anvil,
            rpc,
            deployment,
            service,
            program: program.hash().into(),
            owner,
            user,
            operators,
            bond,
            dir,
            password_file,
        })
    }

    /// Stops the nodes, then the chain.
    pub async fn stop(self) {
        for operator in self.operators {
            if let Some(node) = operator.node {
                node.stop().await;
            }
        }
        drop(self.anvil);
    }
}

struct Files<'a> {
    dir: &'a Path,
    deployment: &'a Path,
    programs: &'a Path,
    password: &'a Path,
}

#[allow(
    clippy::too_many_arguments,
    reason = "one caller; each is one of the network's parts"
)]
async fn operator(
    config: &DevConfig,
    files: &Files<'_>,
    rpc: &Rpc,
    deployment: &Deployment,
    service: Address,
    number: usize,
    port: u16,
    key: PrivateKeySigner,
    bond: U256,
) -> Result<DevOperator, Failure> {
    let home = files.dir.join(format!("operator-{number}"));
    let data = home.join("data");
    // The store belongs to a deployment; this is a new one.
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(file_failure(&data))?;
    }
    std::fs::create_dir_all(&data).map_err(file_failure(&data))?;
    let store = home.join("keystore.json");
    keystore(&store, &key)?;
    let node_config = Config {
        data_dir: data,
        program_dirs: vec![files.programs.to_owned()],
        operator: OperatorConfig {
            keystore: store.clone(),
            password_file: Some(files.password.to_owned()),
        },
        chain: ChainConfig {
            rpc: rpc.url().to_owned(),
            deployment: files.deployment.to_owned(),
            poll_ms: 200,
        },
        services: vec![ServiceConfig {
            address: service,
            listen: ([127, 0, 0, 1], port).into(),
            cors_origins: vec!["*".to_owned()],
        }],
        network: None,
        integrity: None,
        preimages: PreimageConfig {
            directories: config
                .preimages
                .iter()
                .map(|p| p.canonicalize().unwrap_or_else(|_| p.clone()))
                .collect(),
            ethereum: config.ethereum.clone(),
            ..PreimageConfig::default()
        },
        limits: Limits::default(),
        player: PlayerConfig::default(),
        engine: Default::default(),
        forced: ForcedConfig::default(),
        metrics: None,
    };
    let path = home.join("node.toml");
    let text = node_config
        .to_toml()
        .map_err(|e| Failure::new(e, "this is a defect of surety; please report it"))?;
    write(&path, &text)?;
    let mut endpoint = format!("http://127.0.0.1:{port}");
    let node = if config.nodes {
        let node = Node::start(node_config)
            .await
            .map_err(|e| Failure::new(format!("operator {number}: {e}"), "free the port, or choose --port"))?;
        if let Some((_, address)) = node.endpoints().first() {
            endpoint = format!("http://{address}");
        }
        Some(node)
    } else {
        None
    };
    let actions = Actions::new(sender(rpc, key.clone()).await?, deployment.clone());
    actions.register_operator(&key, &endpoint).await?;
    actions.mint(key.address(), bond).await?;
    actions.deposit(service, key.address(), bond).await?;
    Ok(DevOperator {
        key,
        keystore: store,
        config: path,
        endpoint,
        node,
    })
}

/// Writes a keystore, over one of an earlier network: the keys are the same.
fn keystore(path: &Path, key: &PrivateKeySigner) -> Result<(), Failure> {
    if path.exists() {
        std::fs::remove_file(path).map_err(file_failure(path))?;
    }
    Ok(keys::create(path, key, PASSWORD)?)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, format!("{text}\n")).map_err(file_failure(path))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Selector of a signature with what it returns.
fn selector(signature: &str) -> [u8; 4] {
    crate::abi::method(signature)
        .map(|f| f.selector().0)
        .unwrap_or_default()
}
