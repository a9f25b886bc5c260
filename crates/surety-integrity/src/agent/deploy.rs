//! Loads an image and creates a deployment's container, and nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use bollard::{
    Docker,
    errors::Error as EngineError,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, HealthConfig, HostConfig, Mount,
        MountType, PortBinding, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, ImportImageOptionsBuilder, ListContainersOptionsBuilder, StartContainerOptions,
    },
};
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::timeout};

use super::{Body, Grants, Plans, Reason, Refusal};
use crate::{
    deploy::Specification,
    image::{
        Digest,
        archive::{Check, Contents},
    },
};

/// Seconds for one request to the engine.
const ENGINE_SECONDS: u64 = 120;
/// For one piece of a body to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of an image.
const MAX_IMAGE: u64 = 16 << 30;
/// What Docker gives a container unless told otherwise: granting these takes nothing from the host's owner.
const USUAL: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What a deployer asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// what there is of a deployment
    Find(Box<Specification>),
    /// takes an image's blobs, which follow in the order of [`Contents::order`], each hashed on its way to the engine
    Load(Contents),
    /// creates and starts the container; one that is there already and matches is left as it is
    Create(Box<Specification>),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// the engine's id of the deployment's container, if there is one
    pub container: Option<String>,
    /// whether the engine has the image
    pub image: bool,
}

fn engine(error: EngineError) -> Refusal {
    Refusal::new(Reason::Engine, error)
}

pub(super) async fn answer(socket: &Path, grants: &Grants, request: Request, body: Body) -> Result<Answer, Refusal> {
    let path = socket
        .to_str()
        .ok_or_else(|| Refusal::new(Reason::Engine, "the socket's path is no text"))?;
    let docker = Docker::connect_with_unix(path, ENGINE_SECONDS, bollard::API_DEFAULT_VERSION)
        .map_err(engine)?
        .negotiate_version()
        .await
        .map_err(engine)?;
    match request {
        Request::Find(specification) => {
            check(&specification, grants)?;
            let image = image(&docker, &specification).await?;
            let container = find(&docker, &specification, image.as_deref()).await?;
            Ok(Answer {
                container: container.map(|(id, _)| id),
                image: image.is_some(),
            })
        }
        Request::Load(contents) => {
            check_contents(&contents, grants)?;
            load(&docker, &contents, body).await?;
            Ok(Answer {
                container: None,
                image: true,
            })
        }
        Request::Create(specification) => {
            check(&specification, grants)?;
            let container = create(&docker, &specification, grants.deployments).await?;
            Ok(Answer {
                container: Some(container),
                image: true,
            })
        }
    }
}

/// The deployment's number aside.
fn is_plan(plan: &Specification, wanted: &Specification) -> bool {
    let wanted = Specification {
        deployment: plan.deployment.clone(),
        ..wanted.clone()
    };
    wanted == *plan
}

/// Images fill the disk: only those of plans are taken.
fn check_contents(contents: &Contents, grants: &Grants) -> Result<(), Refusal> {
    match &grants.plans {
        Plans::Only(plans) if !plans.iter().any(|plan| plan.contents == *contents) => Err(Refusal::new(
            Reason::Denied,
            "found an image that the host's owner has not agreed to; expected that of a plan given to its agent",
        )),
        _ => Ok(()),
    }
}

/// Whether the host's owner lets it be.
fn check(wanted: &Specification, grants: &Grants) -> Result<(), Refusal> {
    let denied = |text: String| Err(Refusal::new(Reason::Denied, text));
    let name = &wanted.deployment;
    if name.is_empty() || name.len() > 66 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Refusal::new(
            Reason::Request,
            format!("found deployment {name:?}; expected letters and digits"),
        ));
    }
    if let Plans::Only(plans) = &grants.plans
        && !plans.iter().any(|plan| is_plan(plan, wanted))
    {
        return denied(
            "found a plan that the host's owner has not agreed to; expected one of those given to its agent".into(),
        );
    }
    for mount in &wanted.mounts {
        match mount.kind.as_str() {
            "volume" => {
                // A path would be a bind.
                let named = mount
                    .source
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
                if !named || mount.source.is_empty() || mount.source.starts_with('.') {
                    return Err(Refusal::new(
                        Reason::Request,
                        format!("found volume {:?}; expected a name", mount.source),
                    ));
                }
            }
            "tmpfs" => {}
            "bind" => {
                let path = Path::new(&mount.source);
                let plain = path.is_absolute() && !mount.source.split('/').any(|part| part == ".." || part == ".");
                // Where the path leads counts, not how it is written.
                let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                if !plain || !grants.binds.iter().any(|granted| real.starts_with(granted)) {
                    return denied(format!(
                        "found a mount of the host's {:?}; expected one that its owner grants",
                        mount.source
                    ));
                }
            }
            other => {
                return Err(Refusal::new(
                    Reason::Request,
                    format!("found a mount of kind {other:?}"),
                ));
            }
        }
    }
    for capability in &wanted.capabilities_added {
        let capability = capability.trim_start_matches("CAP_");
        if !USUAL.contains(&capability) && !grants.capabilities.iter().any(|granted| granted == capability) {
            return denied(format!(
                "found capability {capability}; expected one that the host's owner grants"
            ));
        }
    }
    match wanted.network.as_str() {
        "none" | "bridge" => Ok(()),
        "host" if grants.host_network => Ok(()),
        "host" => denied("found the host's network; expected that its owner grants it".into()),
        other => Err(Refusal::new(Reason::Request, format!("found network {other:?}"))),
    }
}

/// The engine's own id of the image. Docker before 29 calls an image by its configuration, later ones (and the
/// containerd store) by its manifest; either way its layers must be those of the specification.
async fn image(docker: &Docker, wanted: &Specification) -> Result<Option<String>, Refusal> {
    for digest in [wanted.contents.config.digest, wanted.contents.manifest.digest] {
        let found = match docker.inspect_image(&digest.to_string()).await {
            Ok(found) => found,
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => continue,
            Err(error) => return Err(engine(error)),
        };
        let layers = found.root_fs.and_then(|root| root.layers).unwrap_or_default();
        let expected: Vec<String> = wanted.diff_ids.iter().map(Digest::to_string).collect();
        if layers == expected {
            return Ok(Some(found.id.unwrap_or_else(|| digest.to_string())));
        }
        return Err(Refusal::new(
            Reason::Engine,
            format!("the engine's {digest} has layers {layers:?}; expected {expected:?}"),
        ));
    }
    Ok(None)
}

/// The container of that name, if it is the one specified.
async fn find(
    docker: &Docker,
    wanted: &Specification,
    image: Option<&str>,
) -> Result<Option<(String, ContainerInspectResponse)>, Refusal> {
    let found = match docker.inspect_container(&wanted.name(), None).await {
        Ok(found) => found,
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
        Err(error) => return Err(engine(error)),
    };
    let Some(image) = image else {
        let text = format!(
            "{} is there, of image {:?}; expected the plan's image",
            wanted.name(),
            found.image
        );
        return Err(Refusal::new(Reason::Conflict, text));
    };
    let (is, should) = (Outline::of_found(&found), Outline::of_wanted(&body(wanted, image)));
    if let Some((field, is, should)) = is.difference(&should) {
        let text = format!("{} is there, with {field} {is}; expected {should}", wanted.name());
        return Err(Refusal::new(Reason::Conflict, text));
    }
    let id = found
        .id
        .clone()
        .ok_or_else(|| Refusal::new(Reason::Engine, "a container without an id"))?;
    Ok(Some((id, found)))
}

/// Containers of deployments that are here, running or not.
async fn deployments(docker: &Docker) -> Result<usize, Refusal> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let all = docker.list_containers(Some(options)).await.map_err(engine)?;
    let is = |name: &String| super::measure::is_deployment(name);
    Ok(all.iter().filter(|it| it.names.iter().flatten().any(is)).count())
}

async fn create(docker: &Docker, wanted: &Specification, most: usize) -> Result<String, Refusal> {
    let image = image(docker, wanted).await?.ok_or_else(|| {
        Refusal::new(
            Reason::Request,
            "the engine does not have the image; expected that it is loaded first",
        )
    })?;
    let id = match find(docker, wanted, Some(&image)).await? {
        // What ran and ended is not started again: that is for the restart policy, and for the monitors to see.
        Some((id, found)) => {
            let status = found.state.and_then(|state| state.status);
            if status != Some(ContainerStateStatusEnum::CREATED) {
                return Ok(id);
            }
            id
        }
        None => {
            let there = deployments(docker).await?;
            if there >= most {
                return Err(Refusal::new(
                    Reason::Denied,
                    format!(
                        "found {there} containers of deployments; expected fewer than {most}: remove those that are over"
                    ),
                ));
            }
            let options = CreateContainerOptionsBuilder::new().name(&wanted.name()).build();
            docker
                .create_container(Some(options), body(wanted, &image))
                .await
                .map_err(engine)?
                .id
        }
    };
    docker
        .start_container(&id, None::<StartContainerOptions>)
        .await
        .map_err(engine)?;
    Ok(id)
}

/// What the engine is told: the specification, the least of privileges, and the engine's defaults for the rest.
fn body(wanted: &Specification, image: &str) -> ContainerCreateBody {
    let mounts = wanted
        .mounts
        .iter()
        .map(|mount| Mount {
            target: Some(mount.target.clone()),
            source: Some(mount.source.clone()).filter(|source| !source.is_empty()),
            typ: Some(match mount.kind.as_str() {
                "volume" => MountType::VOLUME,
                "tmpfs" => MountType::TMPFS,
                _ => MountType::BIND,
            }),
            read_only: Some(mount.read_only),
            ..Mount::default()
        })
        .collect();
    let bindings: HashMap<String, Option<Vec<PortBinding>>> = wanted
        .ports
        .iter()
        .map(|(port, host)| {
            let binding = PortBinding {
                host_ip: None,
                host_port: Some(host.to_string()),
            };
            (port.clone(), Some(vec![binding]))
        })
        .collect();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let host_config = HostConfig {
        network_mode: Some(wanted.network.clone()),
        restart_policy: Some(RestartPolicy {
            name: Some(match wanted.restart.as_str() {
                "always" => RestartPolicyNameEnum::ALWAYS,
                "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
                "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
                _ => RestartPolicyNameEnum::NO,
            }),
            maximum_retry_count: Some(i64::from(wanted.restart_limit)),
        }),
        readonly_rootfs: Some(wanted.read_only),
        privileged: Some(false),
        cap_add: Some(wanted.capabilities_added.clone()),
        cap_drop: Some(wanted.capabilities_dropped.clone()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        mounts: Some(mounts),
        port_bindings: Some(bindings),
        memory: Some(number(wanted.memory)),
        nano_cpus: Some(i64::from(wanted.cpus_milli).saturating_mul(1_000_000)),
        pids_limit: (wanted.pids > 0).then_some(i64::from(wanted.pids)),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(image.into()),
        entrypoint: Some(wanted.entrypoint.clone()),
        cmd: Some(wanted.command.clone()),
        env: Some(
            wanted
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        user: Some(wanted.user.clone()),
        working_dir: Some(wanted.working_dir.clone()),
        exposed_ports: Some(wanted.ports.iter().map(|(port, _)| port.clone()).collect()),
        healthcheck: Some(health(wanted)),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn health(wanted: &Specification) -> HealthConfig {
    let number = |value: u64| i64::try_from(value).ok().filter(|value| *value > 0);
    match &wanted.health {
        Some(health) => HealthConfig {
            test: Some(health.test.clone()),
            interval: number(health.interval),
            timeout: number(health.timeout),
            start_period: number(health.start_period),
            retries: number(health.retries),
            ..HealthConfig::default()
        },
        None => HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        },
    }
}

/// What two containers are compared by. The monitors compare everything; this tells a deployment that was made already
/// from something else that took its name.
#[derive(Debug, PartialEq, Eq)]
struct Outline(BTreeMap<&'static str, String>);

impl Outline {
    fn of_wanted(body: &ContainerCreateBody) -> Self {
        let environment = body.env.clone();
        Self::of(
            body.image.as_deref(),
            [body.entrypoint.as_ref(), body.cmd.as_ref(), environment.as_ref()],
            [body.user.as_deref(), body.working_dir.as_deref()],
            body.host_config.as_ref(),
        )
    }

    fn of_found(found: &ContainerInspectResponse) -> Self {
        let config = found.config.as_ref();
        Self::of(
            found.image.as_deref(),
            [
                config.and_then(|config| config.entrypoint.as_ref()),
                config.and_then(|config| config.cmd.as_ref()),
                config.and_then(|config| config.env.as_ref()),
            ],
            [
                config.and_then(|config| config.user.as_deref()),
                config.and_then(|config| config.working_dir.as_deref()),
            ],
            found.host_config.as_ref(),
        )
    }

    fn of(
        image: Option<&str>,
        [entrypoint, command, environment]: [Option<&Vec<String>>; 3],
        [user, working_dir]: [Option<&str>; 2],
        host: Option<&HostConfig>,
    ) -> Self {
        let default = HostConfig::default();
        let host = host.unwrap_or(&default);
        let words = |words: Option<&Vec<String>>| format!("{:?}", words.cloned().unwrap_or_default());
        let sorted = |list: Option<&Vec<String>>| {
            let mut list = list.cloned().unwrap_or_default();
            list.sort();
            format!("{list:?}")
        };
        let mut mounts: Vec<String> = host
            .mounts
            .iter()
            .flatten()
            .map(|mount| {
                format!(
                    "{:?} {:?} {:?} {:?}",
                    mount.typ,
                    mount.source,
                    mount.target,
                    mount.read_only.unwrap_or_default()
                )
            })
            .collect();
        mounts.sort();
        let mut ports: Vec<String> = host
            .port_bindings
            .iter()
            .flatten()
            .flat_map(|(port, bindings)| bindings.iter().flatten().map(move |binding| (port, binding)))
            .map(|(port, binding)| format!("{port} {:?}", binding.host_port))
            .collect();
        ports.sort();
        let restart = host.restart_policy.as_ref();
        Self(BTreeMap::from([
            ("image", image.unwrap_or_default().to_owned()),
            ("entry point", words(entrypoint)),
            ("command", words(command)),
            ("environment", sorted(environment)),
            ("user", user.unwrap_or_default().to_owned()),
            ("working directory", working_dir.unwrap_or_default().to_owned()),
            ("network", host.network_mode.clone().unwrap_or_default()),
            (
                "restart policy",
                format!(
                    "{:?} {}",
                    restart.and_then(|it| it.name),
                    restart.and_then(|it| it.maximum_retry_count).unwrap_or_default()
                ),
            ),
            ("read-only root", host.readonly_rootfs.unwrap_or_default().to_string()),
            ("privileged", host.privileged.unwrap_or_default().to_string()),
            ("capabilities added", sorted(host.cap_add.as_ref())),
            ("capabilities dropped", sorted(host.cap_drop.as_ref())),
            ("security options", sorted(host.security_opt.as_ref())),
            ("mounts", format!("{mounts:?}")),
            ("binds", sorted(host.binds.as_ref())),
            ("ports", format!("{ports:?}")),
            ("memory", host.memory.unwrap_or_default().to_string()),
            ("CPUs", host.nano_cpus.unwrap_or_default().to_string()),
            ("processes", host.pids_limit.unwrap_or_default().max(0).to_string()),
        ]))
    }

    fn difference<'a>(&'a self, other: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        self.0.iter().find_map(|(field, is)| {
            let should = other.0.get(field)?;
            (is != should).then_some((*field, is.as_str(), should.as_str()))
        })
    }
}

/// Hands the engine an archive made of the blobs that come, each checked before its last piece goes on.
async fn load(docker: &Docker, contents: &Contents, mut body: Body) -> Result<(), Refusal> {
    if contents.size() > MAX_IMAGE || contents.layers.len() > 128 {
        return Err(Refusal::new(
            Reason::Request,
            format!("an image of {} bytes; expected at most {MAX_IMAGE}", contents.size()),
        ));
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let mut answers = std::pin::pin!(docker.import_image(options, bollard::body_try_stream(pieces), None));
    let feed = async {
        let result = feed(contents, &mut body, &sender).await;
        if let Err(refusal) = &result {
            // Breaks the request off: the engine takes no half of an archive.
            drop(sender.send(Err(std::io::Error::other(refusal.to_string()))).await);
        }
        drop(sender);
        result
    };
    let drain = async {
        while let Some(answer) = answers.next().await {
            if let Some(error) = answer.map_err(engine)?.error_detail {
                return Err(Refusal::new(Reason::Engine, error.message.unwrap_or_default()));
            }
        }
        Ok(())
    };
    // An engine that refuses early ends the feeding too.
    let (fed, loaded) = futures::future::join(feed, drain).await;
    match (fed, loaded) {
        (Err(refusal), _) if refusal.reason != Reason::Busy => Err(refusal),
        (_, Err(refusal)) | (Err(refusal), _) => Err(refusal),
        (Ok(()), Ok(())) => Ok(()),
    }
}

type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

async fn give(sender: &Pieces, bytes: Vec<u8>) -> Result<(), Refusal> {
    // Why it no longer listens, the engine's own answer says.
    sender
        .send(Ok(bytes.into()))
        .await
        .map_err(|_| Refusal::new(Reason::Busy, "the engine stopped listening"))
}

async fn feed(contents: &Contents, body: &mut Body, sender: &Pieces) -> Result<(), Refusal> {
    let bad = |problem: String| Refusal::new(Reason::Request, problem);
    let archive = |error: std::io::Error| bad(error.to_string());
    give(sender, contents.head().map_err(archive)?).await?;
    let mut rest: Vec<u8> = Vec::new();
    for blob in contents.order() {
        give(sender, blob.head().map_err(archive)?).await?;
        let mut check = Check::new(blob);
        if blob.size == 0 {
            check.take(&[]).map_err(|error| bad(error.to_string()))?;
        }
        while check.left() > 0 {
            if rest.is_empty() {
                rest = match timeout(PATIENCE, body.recv()).await {
                    Ok(Some(Some(piece))) => piece,
                    Ok(_) => return Err(bad(format!("{}: {} bytes are missing", blob.digest, check.left()))),
                    Err(_) => {
                        return Err(bad(format!(
                            "{}: nothing came for {} s",
                            blob.digest,
                            PATIENCE.as_secs()
                        )));
                    }
                };
            }
            let count = usize::try_from(check.left()).unwrap_or(usize::MAX).min(rest.len());
            let later = rest.split_off(count);
            check.take(&rest).map_err(|error| bad(error.to_string()))?;
            give(sender, std::mem::replace(&mut rest, later)).await?;
        }
        give(sender, blob.padding()).await?;
    }
    if !rest.is_empty() {
        return Err(bad(format!("found {} bytes after the last blob", rest.len())));
    }
    give(sender, Contents::end()).await
}
