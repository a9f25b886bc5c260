//! A real Docker engine for a test: Debian's `dockerd` on its own socket, with its own data, containers' runtime,
//! bridge and process group. Needs root.
//!
//! A **keeper** (a shell) starts it and watches a pipe that only the test's process holds. However the test ends
//! (also by `SIGKILL`), the pipe closes, and the keeper ends containers and engine, unmounts, and removes the folder.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, ImportImageOptionsBuilder, StartContainerOptions},
};
use futures::StreamExt;
use rand::Rng;

use crate::images::Image;

/// How long an engine may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the engine keeps layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// the kernel's overlay file system: what hosts use
    #[default]
    Overlay2,
    /// a whole copy for each container: works anywhere
    Vfs,
}

impl Storage {
    const fn name(self) -> &'static str {
        match self {
            Self::Overlay2 => "overlay2",
            Self::Vfs => "vfs",
        }
    }
}

/// How an engine is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineConfig {
    /// where it keeps layers
    pub storage: Storage,
    /// whether it has a bridge of its own, so that containers have a network and ports can be published
    pub bridge: bool,
    /// whether containers go on while the engine is restarted
    pub live_restore: bool,
}

/// A running engine. Gone, with all of its containers, when this is dropped.
#[derive(Debug)]
pub struct Engine {
    folder: PathBuf,
    keeper: Child,
    /// Its end tells the keeper to end.
    orders: Option<ChildStdin>,
    answers: Mutex<BufReader<ChildStdout>>,
}

/// `$1` folder, `$2` bridge or nothing, `$3` its address; then the engine's further arguments.
const KEEPER: &str = r#"
folder=$1 bridge=$2 address=$3
shift 3
trap '' INT TERM HUP
if [ -n "$bridge" ]; then
    ip link add name "$bridge" type bridge && ip addr add "$address" dev "$bridge" && ip link set "$bridge" up || exit 1
fi
start() {
    dockerd --host "unix://$folder/docker.sock" --data-root "$folder/root" --exec-root "$folder/exec" \
        --pidfile "$folder/pid" --bridge "${bridge:-none}" --iptables=false --ip6tables=false "$@" \
        >>"$folder/log" 2>&1 </dev/null &
    engine=$!
}
shims() { # those of this engine: its containerd's socket is an argument of theirs
    for file in $(grep -lzaFx -- "$folder/exec/containerd/containerd.sock" /proc/[0-9]*/cmdline 2>/dev/null); do
        process=${file#/proc/} process=${process%/cmdline}
        case $(cat "/proc/$process/comm" 2>/dev/null) in containerd-shim*) echo "$process" ;; esac
    done
}
kill_containers() {
    for shim in $(shims); do
        kill -KILL $(cat "/proc/$shim/task/"*/children 2>/dev/null) 2>/dev/null
    done
}
stop() { # $1: how many tenths of a second it may take
    kill -TERM "$engine" 2>/dev/null
    left=$1
    while kill -0 "$engine" 2>/dev/null && [ "$left" -gt 0 ]; do
        [ -z "$2" ] || kill_containers
        sleep 0.1
        left=$((left - 1))
    done
    if kill -KILL "$engine" 2>/dev/null; then
        kill -KILL "$(cat "$folder/exec/containerd/containerd.pid")" 2>/dev/null
    fi
    wait "$engine" 2>/dev/null
}
start "$@"
while read -r order; do
    case $order in
        restart) stop 300 ''; start "$@"; echo restarted ;;
        kill)
            kill -KILL "$engine" 2>/dev/null
            wait "$engine" 2>/dev/null
            # Its containerd dies with it, but may stay a zombie for which the next engine would wait.
            kill -KILL "$(cat "$folder/exec/containerd/containerd.pid")" 2>/dev/null
            rm -f "$folder/exec/containerd/containerd.pid"
            start "$@"
            echo restarted
            ;;
    esac
done
stop 200 containers
kill_containers
for shim in $(shims); do kill -KILL "$shim" 2>/dev/null; done
# Deepest first.
cut -d' ' -f2 /proc/self/mounts | grep -F "$folder/" | sort -r | while read -r mount; do umount -l "$mount"; done
[ -z "$bridge" ] || ip link del "$bridge"
rm -rf --one-file-system "$folder"
"#;

impl Engine {
    /// Starts one with overlay2 and no bridge: `network = "none"` or `"host"`.
    ///
    /// # Errors
    /// If `dockerd` is not installed, this is not root, or it does not answer within a minute; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_with(EngineConfig::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: EngineConfig) -> Result<Self> {
        // Short: a socket's path has 107 bytes at most. The keeper removes it.
        let folder = tempfile::Builder::new().prefix("surety-engine-").tempdir()?.keep();
        let (bridge, address) = if config.bridge {
            let mut random = rand::rng();
            let (name, second, third): (u32, u8, u8) =
                (random.random(), random.random_range(200..=254), random.random());
            (format!("sty{name:08x}"), format!("10.{second}.{third}.1/24"))
        } else {
            (String::new(), String::new())
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "engine-keeper"])
            .arg(&folder)
            .args([&bridge, &address])
            .args(["--storage-driver", config.storage.name(), "--shutdown-timeout", "1"]);
        if config.live_restore {
            command.arg("--live-restore");
        }
        // Its own group: what ends the test's group must leave the keeper time to tidy up.
        let mut keeper = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("keeper.log"))?)
            .spawn()
            .context("starting sh")?;
        let orders = keeper.stdin.take();
        let answers = keeper.stdout.take().context("the keeper's output")?;
        let mut engine = Self {
            folder,
            keeper,
            orders,
            answers: Mutex::new(BufReader::new(answers)),
        };
        engine.wait()?;
        Ok(engine)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Where it keeps images, containers and volumes.
    pub fn data_root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        ["keeper.log", "log"]
            .iter()
            .map(|name| fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            .collect()
    }

    /// A client for it, speaking the version it has.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn docker(&self) -> Result<Docker> {
        let socket = self.socket();
        let client = Docker::connect_with_unix(
            socket.to_str().context("the socket's path")?,
            60,
            bollard::API_DEFAULT_VERSION,
        )?;
        Ok(client.negotiate_version().await?)
    }

    /// Restarts the engine; containers go on only with [`EngineConfig::live_restore`].
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.order("restart")
    }

    /// Kills the engine (`SIGKILL`; containers are not ended) and starts it again.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn kill(&mut self) -> Result<()> {
        self.order("kill")
    }

    /// Hands it an image's bytes, under no name.
    ///
    /// # Errors
    /// If it refuses them.
    pub async fn load(&self, image: &Image) -> Result<()> {
        let docker = self.docker().await?;
        let body = bollard::body_full(image.archive()?.into());
        let mut answers = docker.import_image(ImportImageOptionsBuilder::new().quiet(true).build(), body, None);
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            if let Some(error) = answer.error_detail {
                bail!("the engine refused the image: {error:?}");
            }
        }
        Ok(())
    }

    /// Creates and starts a container of an image that is loaded ([`Self::load`]), and gives its id. Network none and
    /// otherwise the engine's defaults, unless `adjust` changes that.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn run(
        &self,
        name: &str,
        image: &Image,
        adjust: impl FnOnce(&mut ContainerCreateBody),
    ) -> Result<String> {
        let docker = self.docker().await?;
        let mut body = ContainerCreateBody {
            image: Some(image.config_digest()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        adjust(&mut body);
        let created = docker
            .create_container(Some(CreateContainerOptionsBuilder::new().name(name).build()), body)
            .await?;
        docker
            .start_container(&created.id, None::<StartContainerOptions>)
            .await?;
        Ok(created.id)
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the keeper is gone")?;
        writeln!(orders, "{order}")?;
        let mut line = String::new();
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read_line(&mut line)?;
        ensure!(line.trim() == "restarted", "the keeper answered {line:?}");
        self.wait()
    }

    /// Until it answers.
    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if ping(&self.socket()).is_ok() {
                return Ok(());
            }
            let log = self.log();
            if self.keeper.try_wait()?.is_some() || log.contains("failed to start daemon") {
                bail!("the engine ended at once:\n{log}");
            }
            sleep(Duration::from_millis(50));
        }
        bail!("the engine does not answer:\n{}", self.log())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.orders.take());
        // The keeper's own patience is 20 s, then it kills.
        drop(self.keeper.wait());
    }
}

/// `GET /_ping`.
fn ping(socket: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    ensure!(
        answer.ends_with(b" 200"),
        "it answered {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}
