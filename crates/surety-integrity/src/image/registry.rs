//! The pulling half of the OCI distribution protocol.
//!
//! Our own, on an HTTP library: clients that exist read a whole manifest into memory however long it is, and a registry
//! is not trusted here. Nothing is returned from here that its caller does not hash.

use std::{fmt, net::IpAddr, time::Duration};

use futures::{Stream, StreamExt};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use surety_protocol::manifest::container::Image as Reference;
use tokio::sync::Mutex;

use super::{Digest, Error, manifest};

/// Longest token that is taken from an authorization service, and longest answer of it.
const MAX_TOKEN: u64 = 64 << 10;
/// Most redirects of a request: registries send to their storage.
const MAX_REDIRECTS: usize = 5;
/// Slowest transfer that is waited for, bytes a second.
const SLOWEST: u64 = 64 << 10;
/// For connecting, and between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Attempts at what may pass, and the pause after the first, which doubles.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// A user of a registry.
#[derive(Clone)]
pub struct Credentials {
    /// registry that it is for (`host` or `host:port`); no other is told
    pub registry: String,
    /// name
    pub username: String,
    /// password or token
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// registries (`host` or `host:port`) spoken to without TLS, besides those on the loopback interface. Content is
    /// safe all the same, since it is asked for by digest; credentials are not
    pub plain: Vec<String>,
    /// certificates, PEM, of further authorities
    pub authorities: Vec<Vec<u8>>,
    /// user for a registry that wants one
    pub credentials: Option<Credentials>,
    /// most bytes of an image's layers, as they travel
    pub max_image: u64,
}

impl Default for Options {
    /// Nothing special, images of at most 8 GiB.
    fn default() -> Self {
        Self {
            plain: Vec::new(),
            authorities: Vec::new(),
            credentials: None,
            max_image: 8 << 30,
        }
    }
}

/// A repository of a registry.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    host: String,
    base: Url,
    credentials: Option<Credentials>,
    token: Mutex<Option<String>>,
}

impl Registry {
    pub(super) fn new(reference: &Reference, options: &Options) -> Result<Self, Error> {
        let host = reference.registry.clone();
        let scheme = if is_loopback(&host) || options.plain.contains(&host) {
            "http"
        } else {
            "https"
        };
        // Docker's own name of its registry is not where it answers.
        let address = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            &host
        };
        let base = Url::parse(&format!("{scheme}://{address}/v2/{}/", reference.repository))
            .map_err(|error| Error::Format(format!("registry {host:?}: {error}")))?;
        let mut client = Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            // What is hashed is what the server sends, not what a library unpacked.
            .user_agent(concat!("surety/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(|attempt| {
                let downgraded = attempt.previous().iter().any(|url| url.scheme() == "https")
                    && attempt.url().scheme() != "https";
                if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error("too many redirects")
                } else if downgraded {
                    attempt.error("a redirect from https to http")
                } else {
                    attempt.follow()
                }
            }));
        for authority in &options.authorities {
            let certificate = reqwest::Certificate::from_pem(authority)
                .map_err(|error| Error::Format(format!("authority of registry {host}: {error}")))?;
            client = client.add_root_certificate(certificate);
        }
        let client = client
            .build()
            .map_err(|error| Error::Format(format!("registry {host}: {error}")))?;
        Ok(Self {
            client,
            host,
            base,
            // The registry is named by whoever wrote the plan.
            credentials: options
                .credentials
                .clone()
                .filter(|user| user.registry == reference.registry),
            token: Mutex::new(None),
        })
    }

    /// A manifest by digest or tag; not hashed.
    pub(super) async fn manifest(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut attempt = 0;
        loop {
            let result = match self.get(&format!("manifests/{name}"), limit).await {
                Ok(response) => self.whole(response, "a manifest", limit).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if error.retryable() && attempt + 1 < ATTEMPTS => pause(&mut attempt).await,
                result => return result,
            }
        }
    }

    /// A blob, piece by piece; not hashed. One attempt.
    pub(super) async fn blob(
        &self,
        digest: Digest,
        size: u64,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, Error>> + use<>, Error> {
        let response = self.get(&format!("blobs/{digest}"), size).await?;
        let host = self.host.clone();
        Ok(response
            .bytes_stream()
            .map(move |piece| piece.map_err(|error| unreachable(&host, &error))))
    }

    async fn get(&self, path: &str, size: u64) -> Result<Response, Error> {
        let url = self
            .base
            .join(path)
            .map_err(|error| Error::Format(format!("{path}: {error}")))?;
        let mut token = self.token.lock().await;
        let mut response = self.send(&url, token.as_deref(), size).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = response
                .headers()
                .get(reqwest::header::WWW_AUTHENTICATE)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            *token = Some(self.authorization(&challenge).await?);
            response = self.send(&url, token.as_deref(), size).await?;
        }
        drop(token);
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Error::Status {
                registry: self.host.clone(),
                what: path.to_owned(),
                status: status.as_u16(),
            }),
        }
    }

    async fn send(&self, url: &Url, authorization: Option<&str>, size: u64) -> Result<Response, Error> {
        let mut request = self
            .client
            .get(url.clone())
            .timeout(PATIENCE.saturating_add(Duration::from_secs(size / SLOWEST)))
            .header(reqwest::header::ACCEPT, manifest::accepted());
        if let Some(authorization) = authorization {
            request = request.header(reqwest::header::AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| unreachable(&self.host, &error))
    }

    /// What to put into the `Authorization` header for a challenge of the registry.
    async fn authorization(&self, challenge: &str) -> Result<String, Error> {
        let refused = || Error::Status {
            registry: self.host.clone(),
            what: "this user".into(),
            status: 401,
        };
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            use base64::Engine as _;
            let user = self.credentials.as_ref().ok_or_else(refused)?;
            let pair = format!("{}:{}", user.username, user.password);
            return Ok(format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            ));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let parameters = parameters(rest);
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.as_str())
        };
        let realm = parameter("realm").ok_or_else(refused)?;
        let mut url = Url::parse(realm).map_err(|error| Error::Format(format!("realm {realm:?}: {error}")))?;
        if url.scheme() != "https" && self.base.scheme() == "https" {
            return Err(Error::Format(format!(
                "realm {realm:?}: expected https, as the registry's"
            )));
        }
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.client.get(url).timeout(PATIENCE);
        if let Some(user) = &self.credentials {
            request = request.basic_auth(&user.username, Some(&user.password));
        }
        let response = request.send().await.map_err(|error| unreachable(&self.host, &error))?;
        if response.status() != StatusCode::OK {
            return Err(refused());
        }
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = self.whole(response, "a token", MAX_TOKEN).await?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| Error::Format(format!("token: {error}")))?;
        token
            .token
            .or(token.access_token)
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(refused)
    }

    async fn whole(&self, response: Response, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| unreachable(&self.host, &error))?;
            if (bytes.len() as u64).saturating_add(piece.len() as u64) > limit {
                return Err(Error::TooLarge {
                    what: format!("{what} of registry {}", self.host),
                    limit,
                });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// Waits before the next attempt.
pub(super) async fn pause(attempt: &mut u32) {
    tokio::time::sleep(PAUSE.saturating_mul(1 << *attempt)).await;
    *attempt += 1;
}

/// Whether another attempt is worth it after this many.
pub(super) const fn again(attempt: u32) -> bool {
    attempt + 1 < ATTEMPTS
}

fn unreachable(host: &str, error: &reqwest::Error) -> Error {
    // The cause says more than the library's own words.
    let mut problem = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        problem = inner.to_string();
        cause = inner.source();
    }
    Error::Unreachable {
        registry: host.into(),
        problem,
    }
}

/// `name="value",...`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name, value.to_owned()));
        rest = next;
    }
    found
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{is_loopback, parameters};

    #[test]
    fn challenges_are_read() {
        let found = parameters(r#"realm="https://auth.example/token",service="a, b", scope="repository:x:pull""#);
        let expected = [
            ("realm", "https://auth.example/token"),
            ("service", "a, b"),
            ("scope", "repository:x:pull"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn loopback_is_known() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "registry.example",
            "localhost.example:5000",
            "10.0.0.1:5000",
            "[fe80::1]:5000",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
