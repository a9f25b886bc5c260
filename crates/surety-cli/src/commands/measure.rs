//! `surety integrity measure` and `surety integrity agent`: what an operator runs alone, and what a host runs for its
//! monitors.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use surety_integrity::{
    agent::{Agent, Grants, MAX_DEPLOYMENTS, Plans, Role, serve_stdio},
    channel::{Channel, Endpoint, Fingerprint, Identity},
    deploy::Specification,
    image::{Cache, Image, Options, Puller},
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
    /// A plan that may be deployed here: a file that `surety integrity specification` wrote. May be given more than once;
    /// without any, a deployer can deploy nothing.
    #[arg(long = "plan", value_name = "FILE")]
    plans: Vec<PathBuf>,
    /// Let deployers run whatever they say. Each monitor of each service whose key is let in then runs programs here.
    #[arg(long, conflicts_with = "plans")]
    any_plan: bool,
    /// Containers of deployments that may be here at once, those that are over included.
    #[arg(long, value_name = "N", default_value_t = MAX_DEPLOYMENTS)]
    deployments: usize,
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

/// Arguments of `surety integrity specification`.
#[derive(Debug, Args)]
pub struct SpecificationArgs {
    /// Manifest whose `[container]` part is the plan. Its image is pulled and hashed.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Where it is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder where images are kept, checked.
    #[arg(long, value_name = "DIR", default_value = "surety-images")]
    cache: PathBuf,
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
        _ => {
            let grants = Grants {
                any_container: true,
                ..Grants::default()
            };
            Channel::local(Arc::new(Agent::new(Role::Monitor, &args.socket, grants)))
        }
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
        Some(text) => Some(container(&text)?),
    };
    let image = match &plan {
        None => None,
        Some(plan) => Some(Arc::new(reference(&args.cache, plan).await?)),
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

fn container(text: &str) -> Result<Container, Failure> {
    Container::parse(text)
        .map_err(|problems| Failure::usage(problems, "correct the [container] part, or the image's reference"))?
        .ok_or_else(|| Failure::usage("the manifest has no [container] part", "give another --manifest"))
}

async fn pull(cache: &Path, plan: &Container) -> Result<Image, Failure> {
    let next = "check the registry, the digest and the disk, then try again";
    let cache = Cache::open(cache, CACHE).map_err(|error| Failure::new(error, next))?;
    Puller::new(cache, Options::default())
        .pull(plan)
        .await
        .map_err(|error| Failure::new(error, next))
}

async fn reference(cache: &Path, plan: &Container) -> Result<Reference, Failure> {
    let image = pull(cache, plan).await?;
    let tree = image
        .tree()
        .await
        .map_err(|error| Failure::new(error, "check the disk, then try again"))?;
    Ok(Reference::new(&image, &tree))
}

fn plan(path: &Path) -> Result<Specification, Failure> {
    let next = "make it with `surety integrity specification`";
    let text = std::fs::read(path).map_err(|error| Failure::new(format_args!("{}: {error}", path.display()), next))?;
    serde_json::from_slice(&text).map_err(|error| Failure::new(format_args!("{}: {error}", path.display()), next))
}

/// Writes down what a plan is for an engine: what a host's owner gives to its agent.
pub async fn specification(args: SpecificationArgs, ui: Ui) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&args.manifest).map_err(|error| {
        Failure::new(
            format_args!("{}: {error}", args.manifest.display()),
            "give the file with the [container] part",
        )
    })?;
    let plan = container(&text)?;
    let image = pull(&args.cache, &plan).await?;
    let specification = Specification::new("", &plan, &image);
    let document = serde_json::to_value(&specification).map_err(|error| Failure::new(error, "report this"))?;
    let bytes = serde_json::to_vec_pretty(&document).map_err(|error| Failure::new(error, "report this"))?;
    std::fs::write(&args.out, bytes)
        .map_err(|error| Failure::new(format_args!("{}: {error}", args.out.display()), "give another --out"))?;
    let text = format!(
        "image             {}\nwritten to        {}\nnow               give it to the agent: --plan {}",
        image.digest,
        args.out.display(),
        args.out.display()
    );
    ui.result(
        &text,
        &json!({ "image": image.digest.to_string(), "specification": document }),
    );
    Ok(())
}

/// Answers on standard input and output until they close.
pub async fn agent(args: Serve) -> Result<(), Failure> {
    let plans = if args.any_plan {
        Plans::Any
    } else {
        Plans::Only(args.plans.iter().map(|path| plan(path)).collect::<Result<_, _>>()?)
    };
    let grants = Grants {
        plans,
        deployments: args.deployments,
        any_container: false,
        binds: args.binds,
        capabilities: args.capabilities,
        host_network: args.allow_host_network,
    };
    let agent = Agent::new(args.role, args.socket, grants);
    serve_stdio(Arc::new(agent))
        .await
        .map_err(|error| Failure::new(error, "connect again"))
}
