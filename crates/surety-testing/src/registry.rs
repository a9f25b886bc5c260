//! A real registry for a test: Debian's `docker-registry` on a free port of the loopback interface, with its own
//! storage, and a proxy in front of it that lies.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream as Stream},
    task::JoinHandle,
};

use crate::{
    devnet::free_ports,
    images::{Image, digest, index},
};

/// How long the registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell that starts the registry and ends it when the test's process ends, however that happens.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$@" >/dev/null 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

/// A running registry. Gone when this is dropped.
#[derive(Debug)]
pub struct OciRegistry {
    folder: TempDir,
    port: u16,
    keeper: Child,
    orders: Option<ChildStdin>,
    user: Option<(String, String)>,
}

impl OciRegistry {
    /// Starts an empty one that anybody may use.
    ///
    /// # Errors
    /// If `docker-registry` is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        Self::start_with("", None)
    }

    /// Starts one that wants a user (HTTP basic); `entry` is the user's line of an htpasswd file (bcrypt).
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_for(name: &str, password: &str, entry: &str) -> Result<Self> {
        Self::start_with(entry, Some((name.into(), password.into())))
    }

    fn start_with(entry: &str, user: Option<(String, String)>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("surety-registry-").tempdir()?;
        let port = free_ports(1)?;
        let root = folder.path().display();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {root}/storage\n\
             http:\n  addr: 127.0.0.1:{port}\n"
        );
        if user.is_some() {
            fs::write(folder.path().join("users"), entry)?;
            config.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: surety\n    path: {root}/users\n"
            ));
        }
        fs::write(folder.path().join("config.yml"), config)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "registry-keeper", "docker-registry", "serve"])
            .arg(folder.path().join("config.yml"))
            .stdin(Stdio::piped())
            .spawn()
            .context("starting sh")?;
        let orders = keeper.stdin.take();
        let registry = Self {
            folder,
            port,
            keeper,
            orders,
            user,
        };
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(registry);
            }
            sleep(Duration::from_millis(20));
        }
        bail!("docker-registry does not answer on port {port}")
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps what was pushed.
    pub fn storage(&self) -> &Path {
        self.folder.path()
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = Client::new().request(method, url);
        match &self.user {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        }
    }

    /// Pushes a blob.
    ///
    /// # Errors
    /// If the registry refuses it.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Result<()> {
        let start = format!("http://{}/v2/{repository}/blobs/uploads/", self.host());
        let begun = self.request(Method::POST, &start).send().await?;
        ensure!(begun.status() == StatusCode::ACCEPTED, "{start}: {}", begun.status());
        let place = begun
            .headers()
            .get("location")
            .context("a location")?
            .to_str()?
            .to_owned();
        let sign = if place.contains('?') { '&' } else { '?' };
        let done = self
            .request(Method::PUT, &format!("{place}{sign}digest={}", digest(bytes)))
            .header("content-type", "application/octet-stream")
            .body(bytes.to_vec())
            .send()
            .await?;
        ensure!(done.status() == StatusCode::CREATED, "{place}: {}", done.status());
        Ok(())
    }

    /// Pushes a manifest or an index under a tag or digest; the registry must call it as we do.
    ///
    /// # Errors
    /// If the registry refuses it.
    pub async fn push_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) -> Result<()> {
        let url = format!("http://{}/v2/{repository}/manifests/{name}", self.host());
        let done = self
            .request(Method::PUT, &url)
            .header("content-type", media_type)
            .body(bytes.to_vec())
            .send()
            .await?;
        let called = done
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = done.status();
        ensure!(
            status == StatusCode::CREATED,
            "{url}: {status} {}",
            done.text().await.unwrap_or_default()
        );
        ensure!(
            called == Some(digest(bytes)),
            "{url}: found digest {called:?}; expected {}",
            digest(bytes)
        );
        Ok(())
    }

    /// Pushes an image; its digest.
    ///
    /// # Errors
    /// As [`Self::push_manifest`].
    pub async fn push(&self, repository: &str, image: &Image) -> Result<String> {
        for blob in image.blobs.values() {
            self.push_blob(repository, blob).await?;
        }
        self.push_blob(repository, &image.config).await?;
        self.push_manifest(repository, &image.digest(), &image.media_type, &image.manifest)
            .await?;
        Ok(image.digest())
    }

    /// Pushes images and an index of them; the index's digest.
    ///
    /// # Errors
    /// As [`Self::push_manifest`].
    pub async fn push_index(&self, repository: &str, images: &[&Image]) -> Result<String> {
        for image in images {
            self.push(repository, image).await?;
        }
        let (bytes, media_type) = index(images);
        self.push_manifest(repository, &digest(&bytes), &media_type, &bytes)
            .await?;
        Ok(digest(&bytes))
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.keeper.wait());
    }
}

/// What the proxy does to an answer whose path contains a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// one bit of the body is another
    Flip,
    /// the body ends in the middle, as if that were all of it
    Truncate,
    /// the connection ends in the middle of the body
    BreakOff,
    /// more bytes follow the body
    Append,
    /// the body never ends
    Endless,
    /// another body, with status 200
    Replace(Vec<u8>),
    /// another status, without a body
    Status(u16),
    /// another status, the first so many times
    StatusTimes(u16, u32),
    /// see elsewhere
    Redirect(String),
    /// no answer
    Silence,
}

/// A proxy in front of a registry that lies about some things. Gone when this is dropped.
#[derive(Debug)]
pub struct LyingRegistry {
    port: u16,
    lies: Arc<Mutex<Vec<(String, Lie)>>>,
    task: JoinHandle<()>,
}

impl LyingRegistry {
    /// Starts one that tells the truth so far.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(registry: &OciRegistry) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let lies: Arc<Mutex<Vec<(String, Lie)>>> = Arc::default();
        let (told, host) = (Arc::clone(&lies), registry.host());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, host) = (Arc::clone(&told), host.clone());
                // A client that goes away ends its connection, and that is all.
                tokio::spawn(async move { drop(answer(stream, &host, &told).await) });
            }
        });
        Ok(Self { port, lies, task })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on only this lie is told, about paths that contain `path`.
    pub fn lie(&self, path: &str, lie: Lie) {
        *self.lies.lock().unwrap_or_else(PoisonError::into_inner) = vec![(path.to_owned(), lie)];
    }
}

impl Drop for LyingRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: Stream, host: &str, lies: &Mutex<Vec<(String, Lie)>>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        ensure!(head.len() < 64 << 10, "a head that does not end");
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).context("a path")?;
    let lie = lies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter_mut()
        .find(|(of, _)| path.contains(of.as_str()))
        .and_then(|(_, lie)| match lie {
            Lie::StatusTimes(_, 0) => None,
            Lie::StatusTimes(_, left) => {
                *left -= 1;
                Some(lie.clone())
            }
            lie => Some(lie.clone()),
        });
    let mut request = Client::new().get(format!("http://{host}{path}"));
    for line in head.lines().skip(1) {
        if let Some((name @ ("accept" | "Accept"), value)) = line.split_once(':') {
            request = request.header(name, value.trim());
        }
    }
    let truth = request.send().await?;
    let (mut status, media_type) = (truth.status().as_u16(), truth.headers().get("content-type").cloned());
    let media_type = media_type
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .unwrap_or("text/plain")
        .to_owned();
    let mut body = truth.bytes().await?.to_vec();
    let say = |status: u16, more: &str, length: Option<usize>| {
        let length = length
            .map(|length| format!("content-length: {length}\r\n"))
            .unwrap_or_default();
        format!("HTTP/1.1 {status} So\r\ncontent-type: {media_type}\r\n{length}{more}connection: close\r\n\r\n")
    };
    match lie {
        None => {}
        Some(Lie::Flip) => {
            let middle = body.len() / 2;
            if let Some(byte) = body.get_mut(middle) {
                *byte ^= 1;
            }
        }
        Some(Lie::Truncate) => body.truncate(body.len() / 2),
        Some(Lie::BreakOff) => {
            stream.write_all(say(status, "", Some(body.len())).as_bytes()).await?;
            stream.write_all(body.get(..body.len() / 2).unwrap_or_default()).await?;
            return Ok(());
        }
        Some(Lie::Append) => body.extend_from_slice(b"and more"),
        Some(Lie::Endless) => {
            stream.write_all(say(status, "", None).as_bytes()).await?;
            stream.write_all(&body).await?;
            loop {
                stream.write_all(&[b' '; 64 << 10]).await?;
            }
        }
        Some(Lie::Replace(other)) => {
            // Also of what the registry does not have.
            status = 200;
            body = other;
        }
        Some(Lie::Status(status) | Lie::StatusTimes(status, _)) => {
            stream.write_all(say(status, "", Some(0)).as_bytes()).await?;
            return Ok(());
        }
        Some(Lie::Redirect(place)) => {
            stream
                .write_all(say(307, &format!("location: {place}\r\n"), Some(0)).as_bytes())
                .await?;
            return Ok(());
        }
        Some(Lie::Silence) => {
            // Until the client goes.
            while stream.read(&mut [0; 64]).await? > 0 {}
            return Ok(());
        }
    }
    stream.write_all(say(status, "", Some(body.len())).as_bytes()).await?;
    stream.write_all(&body).await?;
    Ok(())
}
