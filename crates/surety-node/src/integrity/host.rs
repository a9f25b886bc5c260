//! One container on one host: reached, measured, made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::B256;
use surety_chain::{Contracts, integrity::HostInfo};
use surety_integrity::{
    agent::{Agent, Grants, Plans, Role},
    channel::{Channel, Endpoint, Fingerprint, Identity},
    deploy::Specification,
    finding,
    image::{Image, Puller},
    monitor::{Monitor, Target},
    probe::reference::Reference,
};
use surety_primitives::value::Value;
use surety_protocol::{manifest::container::Container, network::measure::Seen};
use tokio::{
    sync::{Mutex, OnceCell},
    time::Instant,
};

use super::watch::{Subject, findings};

/// How long the engine is listened to at once.
const LISTEN: Duration = Duration::from_secs(20);
/// Pause before a host that could not be listened to is again.
const RECONNECT: Duration = Duration::from_millis(500);

/// Between two calls for a measurement: a host that always has something to tell gets no more of this machine's time.
const STIR: Duration = Duration::from_millis(200);

/// By digest and platform.
type Images = BTreeMap<(B256, String), Arc<OnceCell<Pulled>>>;

/// What all hosts are reached and measured with.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) puller: Puller,
    /// images by platform's manifest: pulled once for all deployments of it
    pub(crate) images: Mutex<Images>,
    /// with which hosts are reached over SSH
    pub(crate) identity: Option<Identity>,
    /// sockets that `unix:` endpoints may name
    pub(crate) local_engines: Vec<PathBuf>,
    pub(crate) answer: Duration,
}

/// An image that was pulled, and what measurements compare with it.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    image: Arc<Image>,
    reference: Arc<Reference>,
}

/// One container on one host.
#[derive(Debug)]
pub(crate) struct Host {
    subject: Subject,
    container: Arc<Container>,
    contracts: Contracts,
    tools: Arc<Tools>,
    monitor: Option<Monitor<Channel>>,
    /// the way to the host, and what was registered of it
    channel: Option<(Arc<Channel>, HostInfo)>,
    /// it did not answer: it may be somewhere else now
    stale: bool,
    /// since when the engine's events are known without a gap, Unix milliseconds
    since: u64,
    /// it was told that there are events, and they are not fetched yet
    told: bool,
    /// until when it calls for nothing more
    quiet: Instant,
}

impl Host {
    /// Not reached yet.
    pub(crate) fn new(subject: Subject, container: Arc<Container>, contracts: Contracts, tools: Arc<Tools>) -> Self {
        Self {
            subject,
            container,
            contracts,
            tools,
            monitor: None,
            channel: None,
            stale: false,
            since: crate::network::now_ms(),
            told: false,
            quiet: Instant::now(),
        }
    }

    /// The measurement root at deployment.
    pub(crate) fn baseline(&mut self, root: B256) {
        self.subject.baseline = Some(root);
        if let Some(monitor) = &mut self.monitor {
            monitor.set_baseline(root);
        }
    }

    /// Measures; with the whole document. The error says why the host did not answer.
    pub(crate) async fn measure(&mut self) -> Result<(Seen, Arc<Value>), String> {
        self.told = false;
        let began = crate::network::now_ms();
        let monitor = self.monitor.as_ref().ok_or("not reached")?;
        let measurement = match monitor.measure().await {
            Ok(measurement) => measurement,
            // What was seen so far is in the monitor, and stays; the channel connects again by itself.
            Err(error) => {
                self.stale = true;
                return Err(error.to_string());
            }
        };
        if !measurement.events_complete() {
            self.since = began;
        }
        let document = Arc::new(measurement.to_value());
        let found = measurement.findings();
        if self.subject.baseline.is_none() && !found.is_empty() {
            // It is not there yet, or about to start. What leads to it is no drift: watching begins anew.
            self.monitor = None;
        }
        let seen = if found.is_empty() {
            Seen::Clean {
                root: measurement.root().map_err(|e| e.to_string())?,
                since: self.since,
            }
        } else {
            Seen::Drifted(findings(found.iter().map(finding::Finding::to_value)))
        };
        Ok((seen, document))
    }

    /// Returns when something calls for a measurement.
    pub(crate) async fn stirred(&mut self) {
        let (Some(monitor), false) = (&self.monitor, self.told) else {
            // Until it is reached, or what there is was looked at.
            return std::future::pending().await;
        };
        tokio::time::sleep_until(self.quiet).await;
        loop {
            match monitor.changed(LISTEN).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(deployment = %self.subject.id, %error, "no events");
                    tokio::time::sleep(RECONNECT).await;
                }
            }
        }
        self.told = true;
        self.quiet = Instant::now() + STIR;
    }

    async fn image(&self) -> Result<Pulled, String> {
        let key = (self.subject.image, self.container.platform.to_string());
        let cell = self.tools.images.lock().await.entry(key).or_default().clone();
        let pull = async || -> Result<Pulled, String> {
            if self.container.image.digest != self.subject.image {
                return Err(format!(
                    "the plan's image is {}, found {} in the manifest",
                    self.subject.image, self.container.image.digest
                ));
            }
            let image = self
                .tools
                .puller
                .pull(&self.container)
                .await
                .map_err(|e| e.to_string())?;
            let tree = image.tree().await.map_err(|e| e.to_string())?;
            Ok(Pulled {
                reference: Arc::new(Reference::new(&image, &tree)),
                image: Arc::new(image),
            })
        };
        cell.get_or_try_init(pull).await.cloned()
    }

    /// Gets what it takes to measure. Errors say nothing about the host.
    pub(crate) async fn prepare(&mut self) -> Result<(), String> {
        if self.monitor.is_some() && !self.stale {
            return Ok(());
        }
        let pulled = self.image().await?;
        let channel = self.channel().await?;
        if self.monitor.is_some() {
            return Ok(());
        }
        let name = self.specification(&pulled).name();
        let target = Target {
            container: name.clone(),
            name: Some(name),
            plan: Some(self.container.clone()),
            image: Some(pulled.reference),
            baseline: self.subject.baseline,
        };
        self.since = crate::network::now_ms();
        self.monitor = Some(Monitor::new(channel, target).with_patience(self.tools.answer));
        Ok(())
    }

    /// The way to the host, as it is registered now.
    async fn channel(&mut self) -> Result<Arc<Channel>, String> {
        if let Some((channel, _)) = self.channel.as_ref().filter(|_| !self.stale) {
            return Ok(channel.clone());
        }
        let (service, operator) = (self.subject.id.service(), self.subject.host);
        let host = self
            .contracts
            .host(service, operator)
            .await
            .map_err(|e| e.to_string())?;
        let host = host.ok_or_else(|| format!("{operator} is no registered host of the service"))?;
        self.stale = false;
        if let Some((channel, _)) = self.channel.as_ref().filter(|(_, known)| *known == host) {
            return Ok(channel.clone());
        }
        let endpoint: Endpoint = host.endpoint.parse().map_err(|e| format!("the host's endpoint: {e}"))?;
        let channel = match endpoint {
            Endpoint::Unix(socket) => self.local(socket)?,
            ssh @ Endpoint::Ssh { .. } => {
                let identity = self.tools.identity.clone();
                let identity = identity.ok_or("the host is reached over SSH, and integrity.ssh_key is not set")?;
                Channel::ssh(ssh, Fingerprint(host.host_key.0), identity).map_err(|e| e.to_string())?
            }
        };
        // Another way is another stream of events.
        self.monitor = None;
        let channel = Arc::new(channel);
        self.channel = Some((channel.clone(), host));
        Ok(channel)
    }

    /// An engine of this machine. Hosts are strangers: without this node's owner's word, what they call theirs would be
    /// run by the monitors themselves.
    fn local(&self, socket: PathBuf) -> Result<Channel, String> {
        expect_allowed(&socket, &self.tools.local_engines)?;
        // What is deployed is what this node makes of the plan itself.
        let grants = Grants {
            plans: Plans::Any,
            ..Grants::default()
        };
        Ok(Channel::local(Arc::new(Agent::new(Role::Deployer, socket, grants))))
    }

    fn specification(&self, pulled: &Pulled) -> Specification {
        Specification::new(&self.subject.id.to_string(), &self.container, &pulled.image)
    }

    /// Makes the container, unless there is one of its name.
    pub(crate) async fn deploy(&mut self) -> Result<(), String> {
        let pulled = self.image().await?;
        let channel = self.channel().await?;
        let specification = self.specification(&pulled);
        let container = channel
            .deploy(&specification, &pulled.image)
            .await
            .map_err(|e| e.to_string())?;
        tracing::info!(deployment = %self.subject.id, container, "the host runs the container");
        Ok(())
    }
}

fn expect_allowed(socket: &Path, engines: &[PathBuf]) -> Result<(), String> {
    if engines.iter().any(|engine| engine == socket) {
        return Ok(());
    }
    Err(format!(
        "the host's endpoint is {} of this machine; expected a host elsewhere, or one of integrity.local_engines",
        socket.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::expect_allowed;

    /// Whoever hosts says where its engine is. It must not be this machine's, unless its owner says so.
    #[test]
    fn an_engine_of_this_machine_is_no_strangers() {
        let docker = Path::new("/var/run/docker.sock");
        assert!(expect_allowed(docker, &[]).is_err());
        assert!(expect_allowed(docker, &[PathBuf::from("/srv/own.sock")]).is_err());
        assert!(expect_allowed(docker, &[docker.to_owned()]).is_ok());
    }
}
