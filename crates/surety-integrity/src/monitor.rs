//! One container, measured again and again: what the monitor knows beforehand (plan, image, baseline), what it has seen
//! so far (files, events), and what the host says now make a [`Measurement`].

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use alloy_primitives::B256;
use async_trait::async_trait;
use surety_primitives::value::Value;
use surety_protocol::manifest::container::{Container, ExecPolicy, FilePolicy, MemoryPolicy, Policy};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    agent::measure::{
        Cursor, Entry, Events, Facts, FilesRequest, Listing, Measurer, Request, Tree, TreeDigest, WatchRequest, digest,
    },
    finding::{Finding, Kind},
    measurement::Measurement,
    probe::{self, Context, events::Accounting, files, identity, inspect::Inspect, reference::Reference},
};

/// How long a measurement may take, unless the monitor is told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Of how many files one is read again at each measurement although nothing says that it has changed.
const AGAIN: u32 = 1_024;
/// How often, and how far apart, facts are asked for that a start in between has spoilt.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(150);
/// Longest listing that a host may tell.
const MAX_LISTING: usize = 400_000;

/// Why there is no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreachable: {why}")]
pub struct Unreachable {
    /// what happened
    pub why: String,
}

impl Unreachable {
    fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string().chars().take(500).collect(),
        }
    }
}

/// Who answers for a host: its agent over a channel, or the engine of this machine.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// The facts about a container.
    ///
    /// # Errors
    /// Why there are none, in words.
    async fn facts(&self, request: &Request) -> Result<Facts, String>;

    /// Events of a container, as soon as there are any.
    ///
    /// # Errors
    /// Why they are not known, in words.
    async fn watch(&self, request: &WatchRequest) -> Result<Events, String>;
}

#[async_trait]
impl Source for Measurer {
    async fn facts(&self, request: &Request) -> Result<Facts, String> {
        self.facts(request).await.map_err(|error| error.to_string())
    }

    async fn watch(&self, request: &WatchRequest) -> Result<Events, String> {
        self.watch(request).await.map_err(|error| error.to_string())
    }
}

/// What is to be measured.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// the engine's id of the container (or its name, where an operator looks at what happens to run)
    pub container: String,
    /// the name it must have, if it must
    pub name: Option<String>,
    /// what should run; `None`: whatever the engine was told
    pub plan: Option<Arc<Container>>,
    /// the image, as the monitor itself has hashed it; `None`: nothing is compared with it
    pub image: Option<Arc<Reference>>,
    /// the measurement root at deployment, once there is one
    pub baseline: Option<B256>,
}

/// Measures one container.
#[derive(Debug)]
pub struct Monitor<S: ?Sized> {
    target: Target,
    patience: Duration,
    state: Mutex<State>,
    source: Arc<S>,
}

#[derive(Debug, Default)]
struct State {
    cursor: Option<Cursor>,
    /// Whether events were lost since the measurement before.
    gap: bool,
    events: u64,
    accounting: Accounting,
    listing: BTreeMap<String, Entry>,
    digest: Option<TreeDigest>,
    /// What comparing the listing with the image gave, and for which listing and mounts.
    compared: Option<(TreeDigest, u64, Vec<Finding>)>,
}

impl<S: Source + ?Sized> Monitor<S> {
    /// For a container that a source can tell about.
    pub fn new(source: Arc<S>, target: Target) -> Self {
        Self {
            target,
            patience: PATIENCE,
            state: Mutex::default(),
            source,
        }
    }

    /// With another time that a measurement may take.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What it measures.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Compares with this baseline from now on.
    pub fn set_baseline(&mut self, root: B256) {
        self.target.baseline = Some(root);
    }

    /// Measures now. What events have shown stays in all measurements that follow.
    ///
    /// # Errors
    /// The host does not answer, not in time, not sensibly, or the container does not run though nobody ended it.
    pub async fn measure(&self) -> Result<Measurement, Unreachable> {
        // One at a time: each continues where the one before was.
        let mut state = self.state.lock().await;
        match timeout(self.patience, self.attempt(&mut state)).await {
            Ok(result) => result,
            Err(_) => Err(Unreachable::new(format_args!("no answer for {:?}", self.patience))),
        }
    }

    /// Returns when the engine tells of something that calls for a measurement, or after this time.
    ///
    /// # Errors
    /// The host does not answer.
    pub async fn changed(&self, within: Duration) -> Result<bool, Unreachable> {
        let after = self.state.lock().await.cursor;
        let wait = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = WatchRequest {
            container: self.target.container.clone(),
            after,
            wait,
        };
        let patience = within.saturating_add(self.patience);
        let events = match timeout(patience, self.source.watch(&request)).await {
            Ok(events) => events.map_err(Unreachable::new)?,
            Err(_) => return Err(Unreachable::new(format_args!("no events for {patience:?}"))),
        };
        Ok(!events.events.is_empty() || !events.complete)
    }

    async fn attempt(&self, state: &mut State) -> Result<Measurement, Unreachable> {
        let policy = self.policy();
        for attempt in 0..TRIES {
            let request = Request {
                container: self.target.container.clone(),
                after: state.cursor,
                memory: policy.memory != MemoryPolicy::Off,
                files: (policy.files != FilePolicy::Off && self.target.image.is_some()).then(|| FilesRequest {
                    known: state.digest,
                    except: self
                        .target
                        .plan
                        .as_ref()
                        .map(|plan| plan.writable.clone())
                        .unwrap_or_default(),
                    again: AGAIN,
                }),
            };
            let mut facts = self.source.facts(&request).await.map_err(Unreachable::new)?;
            facts.check().map_err(Unreachable::new)?;
            let Some(inspect) = facts.inspect.take() else {
                return self.missing(state, &facts);
            };
            let tree = facts.kernel.as_mut().and_then(|kernel| kernel.tree.take());
            let it = Inspect(&inspect);
            let running = it.flag("State.Running") && !it.flag("State.Restarting");
            let spoilt = match facts.kernel.as_ref().map(|kernel| kernel.processes.first()) {
                Some(Some(first)) => u64::from(first.pid) != it.number("State.Pid"),
                Some(None) => true,
                None => running,
            };
            let context = Context {
                facts: &facts,
                inspect: it,
                plan: self.target.plan.as_deref(),
                image: self.target.image.as_deref(),
                policy,
            };
            // What it did is taken in, whatever it is now.
            state.gap |= !facts.events.complete;
            let by_events = state.accounting.look(&context);
            state.cursor = Some(facts.events.next);
            state.events = state
                .events
                .saturating_add(u64::try_from(facts.events.events.len()).unwrap_or(u64::MAX));
            if spoilt && attempt.saturating_add(1) < TRIES {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if spoilt && facts.kernel.is_none() && by_events.is_empty() {
                return Err(Unreachable::new(
                    "the engine says that it runs, and the kernel that it does not",
                ));
            }
            if facts.kernel.is_none()
                && by_events.is_empty()
                && identity::look(&context).is_empty()
                && !it.flag("State.Restarting")
            {
                let (status, code) = (it.text("State.Status"), it.signed("State.ExitCode"));
                return Err(Unreachable::new(format_args!(
                    "the container does not run: {status:?}, exit code {code}"
                )));
            }
            let mut findings = by_events;
            if let Some(tree) = tree {
                findings.extend(state.files(&context, tree)?);
            } else if request.files.is_some() && facts.kernel.is_some() {
                return Err(Unreachable::new("the host left out the files"));
            }
            return self.judge(state, &context, findings);
        }
        Err(Unreachable::new(
            "the container was started again and again while it was looked at",
        ))
    }

    fn policy(&self) -> Policy {
        // Without a plan the health check is what everybody has.
        let own = Policy {
            exec: ExecPolicy::Health,
            ..Policy::default()
        };
        self.target.plan.as_ref().map_or(own, |plan| plan.policy)
    }

    fn judge(
        &self,
        state: &mut State,
        context: &Context<'_>,
        mut findings: Vec<Finding>,
    ) -> Result<Measurement, Unreachable> {
        findings.extend(probe::look(context));
        let identity = identity::identity(context);
        let id = context.inspect.text("Id");
        if self.target.container.len() == 64 && id != self.target.container {
            findings.push(Finding::new(Kind::Container, "id", self.target.container.as_str(), id));
        }
        if let Some(name) = &self.target.name {
            let found = context.inspect.text("Name").trim_start_matches('/');
            if found != name {
                findings.push(Finding::new(Kind::Container, "name", name.as_str(), found));
            }
        }
        if let Some(baseline) = self.target.baseline {
            let root = identity.hash().map_err(Unreachable::new)?;
            if root != baseline {
                findings.push(Finding::new(
                    Kind::Identity,
                    "root",
                    baseline.to_string(),
                    root.to_string(),
                ));
            }
        }
        let complete = !std::mem::take(&mut state.gap);
        let evidence = evidence(state, context, complete);
        Measurement::new(identity, findings, evidence).map_err(Unreachable::new)
    }

    /// The engine says that there is no such container: an identity of nothing.
    fn missing(&self, state: &mut State, facts: &Facts) -> Result<Measurement, Unreachable> {
        let nothing = serde_json::Value::Null;
        let context = Context {
            facts,
            inspect: Inspect(&nothing),
            plan: None,
            image: self.target.image.as_deref(),
            policy: self.policy(),
        };
        let mut findings = state.accounting.look(&context);
        state.cursor = Some(facts.events.next);
        findings.push(Finding::new(
            Kind::Container,
            "id",
            self.target.container.as_str(),
            "no such container",
        ));
        let complete = facts.events.complete && !std::mem::take(&mut state.gap);
        Measurement::new(
            identity::identity(&context),
            findings,
            evidence(state, &context, complete),
        )
        .map_err(Unreachable::new)
    }
}

impl State {
    /// Takes in what the host says of the files, and compares if anything is new.
    fn files(&mut self, context: &Context<'_>, tree: Tree) -> Result<Vec<Finding>, Unreachable> {
        // Before anything is made of it.
        let told = match &tree.listing {
            Listing::Same => 0,
            Listing::Full(entries) => entries.len(),
            Listing::Delta { changed, gone } => changed.len().max(gone.len()),
        };
        if told > MAX_LISTING {
            return Err(Unreachable::new(format_args!("more than {MAX_LISTING} files")));
        }
        match tree.listing {
            Listing::Same if self.digest == Some(tree.digest) => {}
            Listing::Same => return Err(Unreachable::new("the host calls unknown files known")),
            Listing::Full(entries) => {
                self.listing = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
                self.digest = None;
            }
            Listing::Delta { changed, gone } => {
                for path in gone {
                    self.listing.remove(&path);
                }
                self.listing
                    .extend(changed.into_iter().map(|entry| (entry.path.clone(), entry)));
                self.digest = None;
            }
        }
        if self.listing.len() > MAX_LISTING {
            *self = Self {
                cursor: self.cursor,
                gap: self.gap,
                accounting: std::mem::take(&mut self.accounting),
                ..Self::default()
            };
            return Err(Unreachable::new(format_args!("more than {MAX_LISTING} files")));
        }
        if self.digest.is_none() {
            if digest(self.listing.values()) != tree.digest {
                self.listing.clear();
                return Err(Unreachable::new("the host's list of files is not the one it names"));
            }
            self.digest = Some(tree.digest);
        }
        let mounts = context.kernel().map(|kernel| &kernel.mounts);
        let targets: Vec<&str> = mounts
            .into_iter()
            .flatten()
            .map(|mount| mount.target.as_str())
            .collect();
        let mounts = std::hash::BuildHasher::hash_one(
            &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default(),
            &targets,
        );
        if let Some((of, with, findings)) = &self.compared
            && (*of, *with) == (tree.digest, mounts)
        {
            return Ok(findings.clone());
        }
        let findings = files::compare(context, &self.listing);
        self.compared = Some((tree.digest, mounts, findings.clone()));
        Ok(findings)
    }
}

fn evidence(state: &State, context: &Context<'_>, complete: bool) -> Value {
    let mut programs: BTreeMap<&str, u32> = BTreeMap::new();
    for process in context
        .kernel()
        .map(|kernel| kernel.processes.as_slice())
        .unwrap_or_default()
    {
        let count = programs.entry(process.program.as_str()).or_default();
        *count = count.saturating_add(1);
    }
    let programs = programs
        .into_iter()
        .take(256)
        .map(|(program, count)| Value::object([("program", Value::from(program)), ("count", count.into())]));
    let number = |number: u64| Value::from(u32::try_from(number).unwrap_or(u32::MAX));
    Value::object([
        ("status", Value::from(context.inspect.text("State.Status"))),
        ("started", context.inspect.text("State.StartedAt").into()),
        ("restarts", number(context.inspect.number("RestartCount"))),
        (
            "events",
            Value::object([("seen", number(state.events)), ("complete", complete.into())]),
        ),
        ("processes", Value::list(programs)),
        (
            "files",
            Value::object([
                ("count", number(u64::try_from(state.listing.len()).unwrap_or(u64::MAX))),
                (
                    "digest",
                    state
                        .digest
                        .map_or(Value::Null, |digest| format!("sha256:{digest}").into()),
                ),
            ]),
        ),
        ("host_microseconds", number(context.facts.took)),
    ])
}
