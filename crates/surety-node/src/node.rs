//! The daemon put together: opened, running, stopped.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use surety_chain::{Actions, Contracts, Deployment, Rpc, Sender, SenderConfig, bindings::IDisputes};
use surety_engine::Kind;
use surety_primitives::Domain;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::{
    chain::{ChainClient, EthereumChain},
    config::{Config, ConfigError},
    events::{ChainFeed, RpcFeed},
    executor::{Executor, MachineExecutor},
    forced::Forced,
    keystore::{self, KeystoreError},
    metrics::Metrics,
    metrics_server::MetricsServer,
    network::{self, NetworkError, NetworkHandle},
    player::{PlayerDriver, Tools},
    pool::{Pool, PoolLimits},
    preimages::{Sources, SourcesError},
    programs::Programs,
    provider::{Provider, Shared},
    rpc::RpcServer,
    store::{CommitHook, Identity, OpenOptions, Store, StoreError},
    trace::{MachineTracer, Tracer},
    watcher::Watcher,
};

/// How long open connections may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// After this long without inclusion a transaction is given up and the wish for it looked at anew.
const TRANSACTION_TIME: Duration = Duration::from_secs(180);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key cannot be had.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A preimage source cannot be set up.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// The L1 or the deployment is not what it should be.
    #[error(transparent)]
    Chain(#[from] surety_chain::Error),
    /// The network part.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A file, thread or address cannot be had.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The daemon. Made with [`Node::start`], or with [`Node::builder`] for tests.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node from its configuration: opens the key, the store and the sources, checks the deployment, listens,
    /// follows the chain.
    pub async fn start(config: Config) -> Result<NodeHandle, NodeError> {
        Self::builder(config).start().await
    }

    /// A node some of whose parts are given by code. Nothing of this can be reached from a configuration.
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder {
            config,
            signer: None,
            executor: None,
            tracer: None,
            chain: None,
            hook: None,
        }
    }
}

/// The chain a node is given instead of an endpoint: reads and transactions, logs, and the deployment.
pub struct ChainParts {
    /// Reads and transactions.
    pub client: Arc<dyn ChainClient>,
    /// Logs; `None`: the chain is not followed.
    pub feed: Option<Box<dyn ChainFeed>>,
    /// Chain id and addresses.
    pub deployment: Deployment,
    /// The contract's clock, seconds.
    pub clock: u64,
}

type MakeTracer = Box<dyn FnOnce(Arc<dyn Tracer>) -> Arc<dyn Tracer> + Send>;

/// Parts of a node, for tests: a dishonest executor or tracer, another chain, crashes at commits.
pub struct NodeBuilder {
    config: Config,
    signer: Option<PrivateKeySigner>,
    executor: Option<Arc<dyn Executor>>,
    tracer: Option<MakeTracer>,
    chain: Option<ChainParts>,
    hook: Option<CommitHook>,
}

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl NodeBuilder {
    /// Uses this key instead of the keystore's.
    #[must_use]
    pub fn signer(mut self, signer: PrivateKeySigner) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Runs programs with this executor.
    #[must_use]
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Wraps the tracer that disputes are played with.
    #[must_use]
    pub fn tracer(mut self, wrap: impl FnOnce(Arc<dyn Tracer>) -> Arc<dyn Tracer> + Send + 'static) -> Self {
        self.tracer = Some(Box::new(wrap));
        self
    }

    /// Uses this chain instead of the endpoint's.
    #[must_use]
    pub fn chain(mut self, chain: ChainParts) -> Self {
        self.chain = Some(chain);
        self
    }

    /// Calls this before and after every commit of the store.
    #[must_use]
    pub fn commit_hook(mut self, hook: CommitHook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Starts the node.
    pub async fn start(self) -> Result<NodeHandle, NodeError> {
        let Self {
            config,
            signer,
            executor,
            tracer,
            chain,
            hook,
        } = self;
        config.check()?;
        let signer = match signer {
            Some(signer) => signer,
            None => {
                let operator = config.operator.clone();
                // The key derivation takes a second of work on purpose.
                blocking(move || keystore::open(&operator)).await??
            }
        };
        let (chain, sender) = match chain {
            Some(chain) => (chain, None),
            None => {
                let (chain, sender) = connect(&config, &signer).await?;
                (chain, Some(sender))
            }
        };
        let deployment = chain.deployment.clone();
        let domain = Domain {
            chain_id: deployment.chain_id,
            verifying_contract: deployment.disputes,
        };
        let data_dir = config.data_dir.clone();
        std::fs::create_dir_all(&data_dir).map_err(|source| NodeError::System {
            what: format!("data_dir {}", data_dir.display()),
            source,
        })?;
        let options = OpenOptions {
            identity: Identity {
                operator: signer.address(),
                chain_id: domain.chain_id,
                disputes: domain.verifying_contract,
            },
            max_bytes: config.limits.store_bytes,
            hook,
        };
        let (path, hook) = (data_dir.join("store.redb"), options.hook.clone());
        let store = Arc::new(blocking(move || Store::open(&path, options)).await??);
        let (shared_store, preimages, dir) = (store.clone(), config.preimages.clone(), data_dir.clone());
        let sources = Arc::new(blocking(move || Sources::open(&preimages, &dir, shared_store)).await??);
        let (dirs, memory) = (config.program_dirs.clone(), config.limits.program_memory);
        let programs = blocking(move || Programs::open(&dirs, memory))
            .await?
            .map_err(|source| NodeError::System {
                what: "program_dirs".into(),
                source,
            })?;
        let programs = Arc::new(programs);
        if programs.hashes().is_empty() && !config.services.is_empty() {
            tracing::warn!(dirs = ?config.program_dirs, "no programs yet: requests will be declined");
        }
        let metrics = Arc::new(Metrics::default());
        let codes = config.engine.codes(&data_dir);
        if let (Kind::Interpreter, Err(reason)) = (codes.kind(), surety_engine::translated_here()) {
            tracing::warn!(reason, "programs run in the interpreter, some ten times slower");
        }
        let executor = executor.unwrap_or_else(|| Arc::new(MachineExecutor::new(codes.clone())));
        let limits = PoolLimits {
            workers: config.limits.workers as usize,
            queue: config.limits.queue as usize,
            run_time: config.limits.program_time(),
            preimage_bytes: config.limits.run_preimage_bytes,
        };
        let runtime = Handle::current();
        let pool = Pool::start(
            executor.clone(),
            sources.clone(),
            limits,
            runtime.clone(),
            metrics.clone(),
        )
        .map_err(|source| NodeError::System {
            what: "worker threads".into(),
            source,
        })?;
        let pool = Arc::new(pool);

        let shared = Shared {
            domain,
            signer: signer.clone(),
            store: store.clone(),
            pool: pool.clone(),
            programs: programs.clone(),
            sources: sources.clone(),
            chain: chain.client.clone(),
            limits: config.limits.clone(),
            metrics: metrics.clone(),
        };
        let mut providers = Vec::new();
        let mut servers = Vec::new();
        for service in &config.services {
            let provider = Arc::new(Provider::new(service.address, shared.clone()));
            providers.push(provider.clone());
            let server = RpcServer::start(provider, service.listen, &service.cors_origins)
                .await
                .map_err(|source| NodeError::System {
                    what: format!("service.listen {}", service.listen),
                    source,
                })?;
            tracing::info!(service = %service.address, listen = %server.address(), "serving");
            servers.push((service.address, server));
        }
        let metrics_server = match &config.metrics {
            None => None,
            Some(at) => {
                let (m, p, s) = (metrics.clone(), pool.clone(), store.clone());
                let render = move || {
                    let (queued, running) = p.load();
                    m.render(&[
                        ("surety_queue_length", "Runs waiting for a thread", queued as u64),
                        ("surety_runs_active", "Runs under way", running as u64),
                        (
                            "surety_store_bytes",
                            "Bytes stored, as counted against the bound",
                            s.bytes().unwrap_or(0),
                        ),
                    ])
                };
                let server = MetricsServer::start(at.listen, Arc::new(render))
                    .await
                    .map_err(|source| NodeError::System {
                        what: format!("metrics.listen {}", at.listen),
                        source,
                    })?;
                Some(server)
            }
        };

        let honest: Arc<dyn Tracer> = Arc::new(MachineTracer::new(
            programs.clone(),
            codes,
            sources.clone(),
            runtime.clone(),
            config.limits.run_preimage_bytes,
            config.player.checkpoint_bytes,
        ));
        let tracer = match tracer {
            Some(wrap) => wrap(honest),
            None => honest,
        };
        let player = config.player.fitted(chain.clock);
        if player != config.player {
            tracing::warn!(
                clock = chain.clock,
                resend_seconds = player.resend_seconds,
                max_backoff_seconds = player.max_backoff_seconds,
                "player.resend_seconds and player.max_backoff_seconds are too long for the clock of this deployment; \
                 using shorter ones"
            );
        }
        let (stop, stopped) = watch::channel(false);
        let max_pause = Duration::from_secs(player.max_backoff_seconds);
        let watcher = chain.feed.map(|feed| {
            let tools = Tools {
                chain: chain.client.clone(),
                tracer,
                executor,
                store: store.clone(),
                programs,
                sources,
                signer: signer.clone(),
                domain,
                services: config.services.iter().map(|s| s.address).collect(),
                config: player,
                limits: config.limits.clone(),
                metrics: metrics.clone(),
                runtime,
            };
            let watcher = Watcher {
                feed,
                disputes: deployment.disputes,
                player: PlayerDriver::new(tools, chain.clock),
                forced: Forced::new(
                    &providers,
                    chain.client.clone(),
                    metrics.clone(),
                    max_pause,
                    &config.forced,
                ),
                store: store.clone(),
                metrics: metrics.clone(),
                poll: Duration::from_millis(config.chain.poll_ms),
                max_pause,
                first_block: deployment.from_block,
            };
            tokio::spawn(watcher.run(stopped))
        });
        let network = match (config.network, sender) {
            (Some(network), Some(sender)) => {
                let parts = network::Parts {
                    config: network,
                    integrity: config.integrity,
                    data_dir,
                    signer: signer.clone(),
                    contracts: Contracts::new(sender.rpc().clone(), deployment.clone()),
                    actions: Actions::new(sender, deployment),
                    poll: Duration::from_millis(config.chain.poll_ms),
                    hook,
                    stop: stop.subscribe(),
                };
                Some(network::start(parts).await?)
            }
            _ => None,
        };
        Ok(NodeHandle {
            network,
            operator: signer.address(),
            servers,
            metrics_server,
            watcher,
            stop,
            pool,
            store,
            metrics,
        })
    }
}

async fn connect(config: &Config, signer: &PrivateKeySigner) -> Result<(ChainParts, Sender), NodeError> {
    let deployment = Deployment::load(&config.chain.deployment)?;
    let rpc = Rpc::new(&config.chain.rpc)?;
    deployment.check(&rpc).await?;
    let clock = u64::from(rpc.call(deployment.disputes, IDisputes::clockCall {}).await?);
    // One transaction that is stuck keeps the others waiting; it must not take a match's clock with it.
    let give_up_after = TRANSACTION_TIME.min(Duration::from_secs(clock) / 4);
    let defaults = SenderConfig::default();
    let sender_config = SenderConfig {
        give_up_after,
        replace_after: defaults.replace_after.min(give_up_after / 3),
        ..defaults
    };
    let sender = Sender::with_config(rpc.clone(), signer.clone(), sender_config).await?;
    let client = EthereumChain::new(rpc.clone(), sender.clone(), deployment.clone());
    let addresses = std::iter::once(deployment.disputes)
        .chain(config.services.iter().map(|s| s.address))
        .collect();
    let feed = RpcFeed::new(rpc, addresses, deployment.from_block);
    let parts = ChainParts {
        client: Arc::new(client),
        feed: Some(Box::new(feed)),
        deployment,
        clock,
    };
    Ok((parts, sender))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| NodeError::System {
        what: "start-up".into(),
        source: std::io::Error::other(e),
    })
}

/// A running node. Dropping it stops it without grace; [`NodeHandle::stop`] lets it finish what is under way.
#[derive(Debug)]
pub struct NodeHandle {
    network: Option<NetworkHandle>,
    operator: Address,
    servers: Vec<(Address, RpcServer)>,
    metrics_server: Option<MetricsServer>,
    watcher: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    pool: Arc<Pool>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl NodeHandle {
    /// Who signs.
    pub fn operator(&self) -> Address {
        self.operator
    }

    /// Services and where they are served: the real addresses, also where port 0 was asked for.
    pub fn endpoints(&self) -> Vec<(Address, SocketAddr)> {
        self.servers
            .iter()
            .map(|(service, server)| (*service, server.address()))
            .collect()
    }

    /// The network part, if the node has one.
    pub fn network(&self) -> Option<&NetworkHandle> {
        self.network.as_ref()
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_server.as_ref().map(MetricsServer::address)
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops to accept, gives up runs, lets answers that are being stored finish, closes the store.
    pub async fn stop(mut self) {
        // Nobody listens when the chain is not followed.
        let _unfollowed = self.stop.send(true);
        if let Some(watcher) = self.watcher.take()
            && tokio::time::timeout(GRACE, watcher).await.is_err()
        {
            tracing::warn!("the chain watcher did not stop in time");
        }
        if let Some(network) = self.network.take() {
            network.stop().await;
        }
        let pool = self.pool.clone();
        // Runs that are given up answer their requests with an error, which lets the connections finish.
        let stopped = tokio::task::spawn_blocking(move || pool.stop()).await;
        if stopped.is_err() {
            tracing::error!("the worker threads did not stop");
        }
        for (_, server) in self.servers.drain(..) {
            server.stop(GRACE).await;
        }
        let store = self.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store did not close");
        }
        tracing::info!("stopped");
    }

    /// Waits for SIGINT or SIGTERM, then stops. Stops with an error when the chain is not followed any more: a node that
    /// answers but does not defend its answers is in danger.
    pub async fn run_until_signal(mut self) -> Result<(), NodeError> {
        let watcher = self.watcher.as_mut();
        let ended = async {
            match watcher {
                Some(watcher) => watcher.await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = wait_for_signal() => None,
            ended = ended => Some(ended),
        };
        if ended.is_some() {
            self.watcher = None;
        }
        tracing::info!("stopping");
        self.stop().await;
        let cause = match ended {
            None => return Ok(()),
            Some(Ok(())) => std::io::Error::other("it returned"),
            Some(Err(error)) => std::io::Error::other(error),
        };
        tracing::error!(%cause, "the chain watcher ended by itself");
        Err(NodeError::System {
            what: "the chain watcher ended by itself".into(),
            source: cause,
        })
    }
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without handlers the process simply ends, which is safe at any point.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Where a node keeps its store.
pub fn store_path(config: &Config) -> PathBuf {
    config.data_dir.join("store.redb")
}
