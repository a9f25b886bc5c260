//! `surety integrity measure` and `surety integrity agent`: what an operator runs alone, and what a host runs for its
//! monitors.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use surety_integrity::{
    agent::{Agent, Grants, Role, serve_stdio},
    channel::{Channel, Endpoint, Fingerprint, Identity},
    image::{Cache, Options, Puller},
    monitor::{Monitor, Target},
    probe::reference::Reference,
};
use surety_protocol::manifest::container::Container;

use crate::{
    exit::{Failure, code},
    ui::Ui,
};

/// Most bytes of images that are kept.
const CACHE: u64 = 16 << 30;

/// Arguments of `surety integrity measure`.
#[derive(Debug, Args)]
pub struct Measure {
    /// The container: id or name.
    #[arg(long, value_name = "CONTAINER")]
    container: String,
    /// The engine's socket on this machine.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/var/run/docker.sock",
        conflicts_with = "host"
    )]
    socket: PathBuf,
    /// The host's endpoint: ssh://user@host:port. Its agent answers.
    #[arg(long, value_name = "URL", requires_all = ["host_key", "identity"])]
    host: Option<Endpoint>,
    /// Fingerprint of the host's SSH key, as `ssh-keygen -l` prints it: SHA256:...
    #[arg(long, value_name = "FINGERPRINT")]
    host_key: Option<Fingerprint>,
    /// File of the SSH key that the host lets in.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Manifest whose `[container]` part says what should run. Its image is pulled and compared with.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Image to compare files, processes and memory with: registry/repository@sha256:... The manifest's, if there is one.
    #[arg(long, value_name = "REFERENCE", conflicts_with = "manifest")]
    image: Option<String>,
    /// Folder where images are kept, checked.
    #[arg(long, value_name = "DIR", default_value = "surety-images")]
    cache: PathBuf,
    /// Seconds that the host may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    timeout: u64,
}

/// Arguments of `surety integrity agent`.
#[derive(Debug, Args)]
pub struct Serve {
    /// What the other end may ask for: `monitor` looks only, `deployer` may create deployments' containers.
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The engine's socket.
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock")]
    socket: PathBuf,
    /// A path of this machine that deployments may mount. May be given more than once.
    #[arg(long = "allow-bind", value_name = "PATH")]
    binds: Vec<PathBuf>,
    /// A capability that deployments may have. May be given more than once.
    #[arg(long = "allow-capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// Whether deployments may use this machine's network.
    #[arg(long)]
    allow_host_network: bool,
}

/// Measures once.
pub async fn measure(args: Measure, ui: Ui) -> Result<(), Failure> {
    let channel = match (&args.host, &args.host_key, &args.identity) {
        (Some(endpoint), Some(key), Some(identity)) => {
            let identity = Identity::load(identity)
                .map_err(|error| Failure::new(error, "give the file of a private key without a passphrase"))?;
            Channel::ssh(endpoint.clone(), *key, identity)
                .map_err(|error| Failure::usage(error, "give --host ssh://user@host:port"))?
        }
        _ => Channel::local(Arc::new(Agent::new(Role::Monitor, &args.socket, Grants::default()))),
    };
    let (text, planned) = match (&args.manifest, &args.image) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(
                    format_args!("{}: {error}", path.display()),
                    "give the file with the [container] part",
                )
            })?;
            (Some(text), true)
        }
        (None, Some(image)) => (Some(format!("[container]\nimage = {}\n", json!(image))), false),
        (None, None) => (None, false),
    };
    let plan = match text {
        None => None,
        Some(text) => Some(
            Container::parse(&text)
                .map_err(|problems| Failure::usage(problems, "correct the [container] part, or the image's reference"))?
                .ok_or_else(|| Failure::usage("the manifest has no [container] part", "give another --manifest"))?,
        ),
    };
    let image = match &plan {
        None => None,
        Some(plan) => Some(Arc::new(reference(&args, plan).await?)),
    };
    let compared = match (planned, &image) {
        (true, _) => "plan and image",
        (false, Some(_)) => "the image",
        (false, None) => "nothing but itself: give --manifest or --image",
    };
    let target = Target {
        container: args.container.clone(),
        plan: plan.filter(|_| planned).map(Arc::new),
        image,
        ..Target::default()
    };
    let monitor = Monitor::new(Arc::new(channel), target).with_patience(Duration::from_secs(args.timeout.max(1)));
    let measurement = monitor.measure().await.map_err(|error| {
        Failure::new(
            error,
            "check that the container runs, and that the engine or agent answers",
        )
    })?;
    let root = measurement.root().map_err(|error| Failure::new(error, "report this"))?;
    let document: Value = serde_json::from_str(&measurement.to_json()).unwrap_or_default();
    let findings = measurement.findings();
    let mut text = format!("measurement root  {root}\ncompared with     {compared}\n");
    if !measurement.events_complete() {
        text += "events            not known since the container's creation: what was done before is not seen\n";
    }
    text += &match findings.len() {
        0 => "intact".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    for finding in findings {
        text += &format!("\n  {finding}");
    }
    ui.result(
        &text,
        &json!({ "root": root.to_string(), "compared": compared, "measurement": document }),
    );
    let Some(first) = findings.first() else { return Ok(()) };
    Err(Failure::new(
        format_args!(
            "the container is not what it should be: {first} ({} in all)",
            findings.len()
        ),
        first.kind().next(),
    )
    .with_code(code::DRIFTED))
}

async fn reference(args: &Measure, plan: &Container) -> Result<Reference, Failure> {
    let next = "check the registry, the digest and the disk, then try again";
    let cache = Cache::open(&args.cache, CACHE).map_err(|error| Failure::new(error, next))?;
    let image = Puller::new(cache, Options::default())
        .pull(plan)
        .await
        .map_err(|error| Failure::new(error, next))?;
    let tree = image.tree().await.map_err(|error| Failure::new(error, next))?;
    Ok(Reference::new(&image, &tree))
}

/// Answers on standard input and output until they close.
pub async fn agent(args: Serve) -> Result<(), Failure> {
    let grants = Grants {
        binds: args.binds,
        capabilities: args.capabilities,
        host_network: args.allow_host_network,
    };
    let agent = Agent::new(args.role, args.socket, grants);
    serve_stdio(Arc::new(agent))
        .await
        .map_err(|error| Failure::new(error, "connect again"))
}
