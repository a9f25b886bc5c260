//! One container on one host: reached, measured, made.

use std::{sync::Arc, time::Duration};

use alloy::primitives::B256;
use surety_chain::Contracts;
use surety_integrity::{
    agent::measure::Measurer,
    finding,
    image::Puller,
    monitor::{Monitor, Source, Target},
    probe::reference::Reference,
};
use surety_primitives::value::Value;
use surety_protocol::{manifest::container::Container, network::measure::Seen};
use tokio::sync::{Mutex, OnceCell};

use super::watch::{Subject, findings};

/// How long the engine is listened to at once.
const LISTEN: Duration = Duration::from_secs(20);

/// What all hosts are reached and measured with.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) puller: Puller,
    /// images by platform's manifest: pulled once for all deployments of it
    pub(crate) images: Mutex<std::collections::BTreeMap<(B256, String), Arc<OnceCell<Arc<Reference>>>>>,
    pub(crate) answer: Duration,
}

/// One container on one host.
#[derive(Debug)]
pub(crate) struct Host {
    subject: Subject,
    container: Arc<Container>,
    contracts: Contracts,
    tools: Arc<Tools>,
    monitor: Option<Monitor<dyn Source>>,
    /// since when the engine's events are known without a gap, Unix milliseconds
    since: u64,
    /// it was told that there are events, and they are not fetched yet
    told: bool,
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
            since: crate::network::now_ms(),
            told: false,
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
        self.reach().await?;
        let monitor = self.monitor.as_ref().ok_or("not reached")?;
        let measurement = match monitor.measure().await {
            Ok(measurement) => measurement,
            Err(error) => {
                // The channel may be broken: it is opened anew. What was seen so far is in the monitor, and stays.
                return Err(error.to_string());
            }
        };
        if !measurement.events_complete() {
            self.since = began;
        }
        let document = Arc::new(measurement.to_value());
        let found = measurement.findings();
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

    /// Waits for something that calls for a measurement; false if the host cannot be listened to.
    pub(crate) async fn stirred(&mut self) -> bool {
        if self.told {
            // Until what there is was looked at.
            std::future::pending::<()>().await;
        }
        let Some(monitor) = &self.monitor else {
            return false;
        };
        loop {
            match monitor.changed(LISTEN).await {
                Ok(true) => {
                    self.told = true;
                    return true;
                }
                Ok(false) => {}
                Err(_) => return false,
            }
        }
    }

    async fn image(&self) -> Result<Arc<Reference>, String> {
        let key = (self.subject.image, self.container.platform.to_string());
        let cell = self.tools.images.lock().await.entry(key).or_default().clone();
        let pull = async || -> Result<Arc<Reference>, String> {
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
            Ok(Arc::new(Reference::new(&image, &tree)))
        };
        cell.get_or_try_init(pull).await.cloned()
    }

    async fn reach(&mut self) -> Result<(), String> {
        if self.monitor.is_some() {
            return Ok(());
        }
        let image = self.image().await?;
        let (service, operator) = (self.subject.id.service(), self.subject.host);
        let host = self
            .contracts
            .host(service, operator)
            .await
            .map_err(|e| e.to_string())?;
        let host = host.ok_or_else(|| format!("{operator} is no registered host of the service"))?;
        let name = name_of(&self.subject);
        let target = Target {
            container: name.clone(),
            name: Some(name),
            plan: Some(self.container.clone()),
            image: Some(image),
            baseline: self.subject.baseline,
        };
        let source: Arc<dyn Source> = match host.endpoint.strip_prefix("unix:") {
            Some(socket) => Arc::new(Measurer::new(socket)),
            None => {
                return Err(format!(
                    "the host's endpoint is {}, expected unix: or ssh://",
                    host.endpoint
                ));
            }
        };
        self.monitor = Some(Monitor::new(source, target).with_patience(self.tools.answer));
        Ok(())
    }

    /// Makes the container, unless there is one of its name.
    pub(crate) async fn deploy(&mut self) -> Result<(), String> {
        Err("no way to deploy".into())
    }
}

/// The container's name.
fn name_of(subject: &Subject) -> String {
    format!("surety-{}", subject.id)
}
