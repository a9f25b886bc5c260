//! The network part of a node put together.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map::Entry},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, keccak256},
    signers::local::PrivateKeySigner,
};
use surety_chain::{
    Actions, Contracts,
    bindings::{IQuorum, ITasks},
};
use surety_connector::{
    Token, TokenError,
    server::{Limits, Listen, Server, ServerError},
};
use surety_integrity::{
    channel::Identity as SshIdentity,
    image::{Cache, Options, Puller},
};
use surety_p2p::{BadIdentity, Identity, Members, Network};
use surety_primitives::keys;
use surety_protocol::manifest::{self, container::Container};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
};

use super::{
    api::{Api, ApiServer},
    config::NetworkConfig,
    driver::{COMMANDS, COMPLETIONS, Driver, Service, monitors},
    follow::Follower,
    host::Host,
    relay::Relay,
    store::NetworkStore,
};
use crate::integrity::{self, IntegrityError, config::IntegrityConfig};
use crate::store::{CommitHook, Identity as StoreIdentity, StoreError};

/// Updates of the chain waiting for the driver.
const UPDATES: usize = 1_024;
/// Questions of API callers waiting for the driver; more wait outside.
const QUESTIONS: usize = 64;
/// How long connectors' calls in progress may take at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Why the network part did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A manifest cannot be read.
    #[error("the manifest {path} cannot be read: {source}")]
    Read {
        /// which
        path: PathBuf,
        /// why
        source: std::io::Error,
    },
    /// A manifest is wrong.
    #[error("the manifest {path} is wrong:\n{problems}\ncorrect it; `surety service validate` shows the same")]
    Manifest {
        /// which
        path: PathBuf,
        /// all that is wrong
        problems: manifest::Problems,
    },
    /// A manifest is not the registered one.
    #[error(
        "the manifest {path} has the hash {found}, and {service} is registered with {expected}: get the service's \
         current service.toml"
    )]
    OtherManifest {
        /// which
        path: PathBuf,
        /// the service
        service: Address,
        /// hash of the file
        found: B256,
        /// hash in the registry
        expected: B256,
    },
    /// A service is not registered.
    #[error("{0} is not registered; check network.service.address, or register it with `surety service register`")]
    Unregistered(Address),
    /// An address is none.
    #[error("{key} = {found} is no multiaddress: {cause}; expected such as /ip4/0.0.0.0/tcp/9610")]
    Address {
        /// which key
        key: &'static str,
        /// what was found
        found: String,
        /// why
        cause: String,
    },
    /// The connectors' token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The connectors' server.
    #[error(transparent)]
    Connectors(#[from] ServerError),
    /// The peers.
    #[error("peers: {0}")]
    Peers(#[from] surety_p2p::Error),
    /// The key is no secp256k1 key.
    #[error("the operator's key is no peer identity")]
    Identity(#[from] BadIdentity),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] surety_chain::Error),
    /// The integrity part.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    /// The API cannot listen.
    #[error("network.api {address}: {source}")]
    Api {
        /// where
        address: SocketAddr,
        /// why
        source: std::io::Error,
    },
}

/// What the network part needs of the rest of the node.
pub(crate) struct Parts {
    pub(crate) config: NetworkConfig,
    pub(crate) integrity: Option<IntegrityConfig>,
    pub(crate) data_dir: PathBuf,
    pub(crate) signer: PrivateKeySigner,
    pub(crate) contracts: Contracts,
    pub(crate) actions: Actions,
    pub(crate) poll: Duration,
    pub(crate) hook: Option<CommitHook>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The running network part.
#[derive(Debug)]
pub struct NetworkHandle {
    connectors: Server,
    api: ApiServer,
    attestation: Option<integrity::api::ApiServer>,
    peers: surety_p2p::Handle,
    tasks: Vec<JoinHandle<()>>,
}

impl NetworkHandle {
    /// Where connectors connect.
    pub fn connectors(&self) -> &Listen {
        self.connectors.address()
    }

    /// Where the API listens.
    pub fn api(&self) -> SocketAddr {
        self.api.address()
    }

    /// Where the attestation listens.
    pub fn attestation(&self) -> Option<SocketAddr> {
        self.attestation.as_ref().map(integrity::api::ApiServer::address)
    }

    /// The peers.
    pub fn peers(&self) -> &surety_p2p::Handle {
        &self.peers
    }

    /// Stops it; the node's stop signal was given before.
    pub(crate) async fn stop(self) {
        self.api.stop();
        if let Some(attestation) = self.attestation {
            attestation.stop().await;
        }
        if let Err(error) = self.connectors.stop(GRACE).await {
            tracing::warn!(%error, "connectors");
        }
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the network ended badly");
            }
        }
        self.peers.shutdown().await;
    }
}

fn addresses(key: &'static str, texts: &[String]) -> Result<Vec<surety_p2p::Multiaddr>, NetworkError> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(
                |e: <surety_p2p::Multiaddr as std::str::FromStr>::Err| NetworkError::Address {
                    key,
                    found: text.clone(),
                    cause: e.to_string(),
                },
            )
        })
        .collect()
}

/// Reads a service's manifest and holds it to the registered hash.
async fn manifest_of(contracts: &Contracts, service: Address, path: &PathBuf) -> Result<String, NetworkError> {
    let text = std::fs::read_to_string(path).map_err(|source| NetworkError::Read {
        path: path.clone(),
        source,
    })?;
    let registered = contracts
        .service(service)
        .await?
        .ok_or(NetworkError::Unregistered(service))?;
    let found = keccak256(&text);
    if found != registered.manifest {
        return Err(NetworkError::OtherManifest {
            path: path.clone(),
            service,
            found,
            expected: registered.manifest,
        });
    }
    Ok(text)
}

/// The network part of a manifest.
fn network_of(text: &str, path: &Path) -> Result<Arc<manifest::Network>, NetworkError> {
    let network = manifest::Network::parse(text, manifest::Network::PROGRAM_KEYS);
    network.map(Arc::new).map_err(|problems| NetworkError::Manifest {
        path: path.to_owned(),
        problems,
    })
}

/// The container part of a manifest.
fn container_of(text: &str, path: &Path) -> Result<Arc<Container>, NetworkError> {
    match Container::parse(text) {
        Ok(Some(container)) => Ok(Arc::new(container)),
        Ok(None) => Err(IntegrityError::NoContainer(path.to_owned()).into()),
        Err(problems) => Err(NetworkError::Manifest {
            path: path.to_owned(),
            problems,
        }),
    }
}

/// The services of this node, whose manifests were read.
struct Served {
    services: BTreeMap<Address, Service>,
    hosted: Vec<(Address, Arc<manifest::Network>)>,
    containers: BTreeMap<Address, Arc<Container>>,
}

async fn serve(
    config: &NetworkConfig,
    integrity: Option<&IntegrityConfig>,
    contracts: &Contracts,
    secret: &[u8; 32],
) -> Result<Served, NetworkError> {
    let mut served = Served {
        services: BTreeMap::new(),
        hosted: Vec::new(),
        containers: BTreeMap::new(),
    };
    let take_part = config.services.iter().map(|s| (s.address, &s.manifest));
    for (address, path) in take_part {
        let network = network_of(&manifest_of(contracts, address, path).await?, path)?;
        served.hosted.push((address, network.clone()));
        served.services.insert(address, Service::new(network, secret));
    }
    for service in integrity.iter().flat_map(|integrity| &integrity.services) {
        let (address, path) = (service.address, &service.manifest);
        let text = manifest_of(contracts, address, path).await?;
        served.containers.insert(address, container_of(&text, path)?);
        if let Entry::Vacant(vacant) = served.services.entry(address) {
            vacant.insert(Service::new(network_of(&text, path)?, secret));
        }
    }
    Ok(served)
}

fn identity_of(path: &Path) -> Result<SshIdentity, IntegrityError> {
    SshIdentity::load(path).map_err(|error| IntegrityError::Key {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

/// What hosts are reached and measured with.
fn tools(config: &IntegrityConfig) -> Result<Arc<integrity::host::Tools>, IntegrityError> {
    let cache = Cache::open(&config.image_cache, config.image_cache_bytes).map_err(|error| IntegrityError::Cache {
        path: config.image_cache.clone(),
        cause: error.to_string(),
    })?;
    let options = Options {
        plain: config.plain_registries.clone(),
        ..Options::default()
    };
    Ok(Arc::new(integrity::host::Tools {
        puller: Puller::new(cache, options),
        images: tokio::sync::Mutex::default(),
        identity: config.ssh_key.as_deref().map(identity_of).transpose()?,
        local_engines: config.local_engines.clone(),
        answer: Duration::from_millis(config.answer_ms),
    }))
}

/// Starts the network part.
pub(crate) async fn start(parts: Parts) -> Result<NetworkHandle, NetworkError> {
    let Parts {
        config,
        integrity,
        data_dir,
        signer,
        contracts,
        actions,
        poll,
        hook,
        stop,
    } = parts;
    let secret = signer.to_bytes().0;
    let domain = contracts.deployment().ballot_domain();
    let me = signer.address();
    let identity = StoreIdentity {
        operator: me,
        chain_id: domain.chain_id,
        disputes: domain.verifying_contract,
    };
    let store = NetworkStore::open(&data_dir.join("network.redb"), identity, config.value_bytes, hook)?;

    let Served {
        services,
        hosted,
        containers,
    } = serve(&config, integrity.as_ref(), &contracts, &secret).await?;
    let rpc = contracts.rpc();
    let set_period = rpc
        .call(contracts.deployment().quorum, IQuorum::setPeriodCall {})
        .await?;
    let max_set_age = rpc.call(contracts.deployment().tasks, ITasks::maxSetAgeCall {}).await?;

    let (members, watched) = watch::channel(Arc::new(Members::new()));
    let max_message = config.message_bytes as usize;
    let p2p = surety_p2p::Config {
        listen: addresses("network.listen", &config.listen)?,
        external: addresses("network.external", &config.external)?,
        bootstrap: addresses("network.bootstrap", &config.bootstrap)?,
        // A payload of the largest size, sealed for as many as can be, is answered whole.
        max_message: max_message.saturating_mul(2),
        max_gossip: max_message.min(256 << 10),
        ..surety_p2p::Config::default()
    };
    let (peers, peer_events) = Network::start(p2p, Identity::new(secret)?, watched).await?;

    let (commands, commanded) = mpsc::channel(COMMANDS);
    let (questions, asked) = mpsc::channel(QUESTIONS);
    let (completions, completed) = mpsc::channel(COMPLETIONS);
    let (updates, updated) = mpsc::channel(UPDATES);
    let host = Arc::new(Host {
        services: hosted,
        commands,
    });
    let token = Token::read_or_create(&config.connector_token)?;
    let connectors = Server::start(host, &Listen::Tcp(config.connectors), token, Limits::default()).await?;
    let api = Api {
        store: store.clone(),
        questions,
        peers: peers.clone(),
    };
    let api = ApiServer::start(api, config.api)
        .await
        .map_err(|source| NetworkError::Api {
            address: config.api,
            source,
        })?;
    tracing::info!(
        peer = %peers.peer_id(),
        listen = ?peers.listen_addresses(),
        connectors = %connectors.address().url(),
        api = %api.address(),
        "the network"
    );

    let (queries, queried) = mpsc::channel(QUESTIONS);
    let (attestation, monitored) = match integrity {
        None => (None, None),
        Some(config) => {
            let server = integrity::api::ApiServer::start(&config, queries, contracts.clone(), stop.clone());
            let server = server.await.map_err(|source| IntegrityError::Listen {
                address: config.listen,
                source,
            })?;
            tracing::info!(attestation = %server.address(), monitored = containers.len(), "integrity");
            let monitored = monitors::Integrity {
                contract: integrity::chain::address(contracts.deployment()),
                watchers: integrity::watch::Watchers {
                    tools: tools(&config)?,
                    config: Arc::new(config.clone()),
                    contracts: contracts.clone(),
                    containers,
                },
                config,
                watched: BTreeMap::new(),
            };
            (Some(server), Some(monitored))
        }
    };

    let follower = Follower {
        contracts: contracts.clone(),
        services: services.keys().copied().collect(),
        poll,
        confirmations: config.confirmations,
        updates,
    };
    let relay = Relay::new(
        actions,
        contracts.clone(),
        me,
        Duration::from_secs(config.relay_pause_seconds),
        stop.clone(),
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let driver = Driver {
        me,
        domain,
        encryption: keys::encryption_secret(&secret),
        services,
        ledger: super::ledger::Ledger::default(),
        store,
        peers: peers.clone(),
        members,
        connectors: connectors.handle(),
        contracts,
        relay,
        completions,
        computing: Arc::new(Semaphore::new(cores)),
        max_pending: config.pending_events as usize,
        set_period,
        max_set_age,
        emissions: Vec::new(),
        votes: Vec::new(),
        certificates: Vec::new(),
        unstarted: HashMap::new(),
        committing: false,
        fetching: HashSet::new(),
        missing: HashMap::new(),
        mixes: BTreeMap::new(),
        mixing: HashSet::new(),
        tasks: HashMap::new(),
        flows: HashMap::new(),
        runs: HashMap::new(),
        results: Vec::new(),
        verdicts: Vec::new(),
        stirred: HashSet::new(),
        intents: BTreeMap::new(),
        caught_up: false,
        epoch: 0,
        asking: Arc::new(Semaphore::new(8)),
        integrity: monitored,
    };
    let tasks = vec![
        tokio::spawn(follower.run(stop.clone())),
        tokio::spawn(driver.run(super::driver::Inbox {
            commands: commanded,
            questions: asked,
            queries: queried,
            updates: updated,
            peers: peer_events,
            completions: completed,
            stop,
        })),
    ];
    Ok(NetworkHandle {
        connectors,
        api,
        attestation,
        peers,
        tasks,
    })
}
