//! What most commands start from: an endpoint, a deployment, a key, names of services.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use clap::Args;
use serde::{Deserialize, Serialize};
use surety_chain::{Actions, Contracts, Deployment, Rpc, Sender, keys};
use surety_client::{Limits, network::NodeApi};

use crate::exit::Failure;

/// Where `surety dev` writes and every command looks first.
pub const DEV_DIR: &str = "surety-dev";

/// The chain and the contracts.
#[derive(Debug, Clone, Args)]
pub struct ChainArgs {
    /// Ethereum JSON-RPC endpoint.
    #[arg(long, value_name = "URL", env = "SURETY_L1", default_value = "http://127.0.0.1:8545")]
    pub l1: String,
    /// Deployment file: chain id and addresses.
    #[arg(
        long,
        value_name = "FILE",
        env = "SURETY_DEPLOYMENT",
        default_value = "surety-dev/deployment.json"
    )]
    pub deployment: PathBuf,
}

/// The key that signs and pays.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Encrypted keystore of the key that signs and pays.
    #[arg(long, value_name = "FILE", env = "SURETY_KEYSTORE")]
    pub keystore: Option<PathBuf>,
    /// File whose first line is the keystore's password.
    #[arg(long, value_name = "FILE", env = "SURETY_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
}

/// A service by name, as kept beside the deployment file (`services.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownService {
    /// its contract
    pub address: Address,
    /// signatures with what they return: `balanceOf(bytes32,address)(uint256)`
    #[serde(default)]
    pub methods: Vec<String>,
}

impl ChainArgs {
    /// The endpoint, not yet asked anything.
    pub fn rpc(&self) -> Result<Rpc, Failure> {
        Ok(Rpc::new(&self.l1)?)
    }

    /// Reads through the endpoint, which must serve the deployment's chain.
    pub async fn contracts(&self) -> Result<Contracts, Failure> {
        let deployment = Deployment::load(&self.deployment)?;
        let rpc = self.rpc()?;
        rpc.expect_chain(deployment.chain_id).await?;
        Ok(Contracts::new(rpc, deployment))
    }

    /// Transactions with a key.
    pub async fn actions(&self, key: &KeyArgs) -> Result<Actions, Failure> {
        let contracts = self.contracts().await?;
        let signer = key.open()?;
        let sender = Sender::new(contracts.rpc().clone(), signer).await?;
        Ok(Actions::new(sender, contracts.deployment().clone()))
    }

    /// Names of services kept beside the deployment file.
    pub fn services(&self) -> BTreeMap<String, KnownService> {
        known_services(&self.deployment)
    }

    /// A service by address or by name.
    pub fn service(&self, text: &str) -> Result<KnownService, Failure> {
        let known = self.services();
        if let Ok(address) = text.parse::<Address>() {
            let methods = known
                .into_values()
                .find(|s| s.address == address)
                .map(|s| s.methods)
                .unwrap_or_default();
            return Ok(KnownService { address, methods });
        }
        known.get(text).cloned().ok_or_else(|| {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            Failure::new(
                format!(
                    "`{text}` is neither an address nor a known service (known: {})",
                    names.join(", ")
                ),
                format!(
                    "give the service's address, or add it to {}",
                    services_file(&self.deployment).display()
                ),
            )
        })
    }
}

/// A node's API for applications.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    /// URL of a node's API for applications (`network.api` in its configuration).
    #[arg(
        long,
        value_name = "URL",
        env = "SURETY_NODE",
        default_value = "http://127.0.0.1:9620"
    )]
    pub node: String,
}

impl NodeArgs {
    /// The API, not yet asked anything.
    pub fn api(&self) -> Result<NodeApi, Failure> {
        NodeApi::new(&self.node, Limits::default()).map_err(crate::commands::network::node_failure)
    }
}

/// Names of services kept beside a deployment file; none if there is no such file.
pub fn known_services(deployment: &Path) -> BTreeMap<String, KnownService> {
    std::fs::read_to_string(services_file(deployment))
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Where names of services are kept.
pub fn services_file(deployment: &Path) -> PathBuf {
    deployment.with_file_name("services.json")
}

impl KeyArgs {
    /// Opens the keystore.
    pub fn open(&self) -> Result<PrivateKeySigner, Failure> {
        self.open_if_given()?.ok_or_else(|| {
            Failure::usage(
                "no key: this command signs a transaction",
                "give --keystore FILE and --password-file FILE, or set SURETY_KEYSTORE and SURETY_PASSWORD_FILE; \
                 `surety operator key` makes a keystore",
            )
        })
    }

    /// Opens the keystore, if one is named.
    pub fn open_if_given(&self) -> Result<Option<PrivateKeySigner>, Failure> {
        let Some(keystore) = &self.keystore else {
            return Ok(None);
        };
        let Some(password) = &self.password_file else {
            return Err(Failure::usage(
                format!("no password for the keystore {}", keystore.display()),
                "give --password-file FILE, or set SURETY_PASSWORD_FILE to the file's name",
            ));
        };
        Ok(Some(keys::open(keystore, password)?))
    }
}
