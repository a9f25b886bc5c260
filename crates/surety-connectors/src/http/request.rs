//! Requests out, to origins that are listed and nowhere else, and what remains of a response so that two who ask get
//! the same.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::{
    Client, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use surety_connector::sdk::{Failure, Job, Verdict};
use surety_primitives::value::{Path, Value};

use super::RequestConfig;

/// Most paths a task may select.
const MAX_SELECT: usize = 64;

pub(super) struct Requests {
    client: Client,
    /// scheme, host, port
    origins: Vec<(String, String, u16)>,
    methods: Vec<Method>,
    config: RequestConfig,
}

fn origin(url: &Url) -> Option<(String, String, u16)> {
    Some((
        url.scheme().to_owned(),
        url.host_str()?.to_ascii_lowercase(),
        url.port_or_known_default()?,
    ))
}

impl Requests {
    pub(super) fn new(config: &RequestConfig) -> Result<Self> {
        ensure!(
            !config.origins.is_empty() && config.origins.len() <= 256,
            "http.request: found {} origins, expected 1 to 256",
            config.origins.len()
        );
        ensure!(
            (1..=512 << 10).contains(&config.max_response),
            "http.request: found max_response {}, expected at most 524288",
            config.max_response
        );
        ensure!(
            (1..=300).contains(&config.timeout),
            "http.request: timeout: expected 1 to 300 seconds"
        );
        let mut origins = Vec::new();
        for text in &config.origins {
            let expected = "expected one such as https://api.example.com, without a path";
            let url: Url = text.parse().with_context(|| format!("origin `{text}`"))?;
            ensure!(
                matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none(),
                "http.request: found the origin `{text}`, {expected}"
            );
            origins.push(origin(&url).with_context(|| format!("origin `{text}`: {expected}"))?);
        }
        let methods = config.methods.iter().map(|name| match name.as_str() {
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" => Ok(name.parse()?),
            _ => {
                anyhow::bail!("http.request: found the method `{name}`, expected GET, HEAD, POST, PUT, DELETE or PATCH")
            }
        });
        let client = Client::builder()
            // A redirect could lead anywhere, and a proxy resolves names its own way.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Public {
                all: config.private_addresses,
            })
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(u64::from(config.timeout)))
            .user_agent(concat!("surety-connector/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("http.request")?;
        Ok(Self {
            client,
            origins,
            methods: methods.collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    pub(super) async fn perform(&self, job: &Job) -> Result<Value, Failure> {
        let text = |name: &str| match job.inputs.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(Failure::never(format!(
                "{name}: found {}, expected a string",
                other.kind()
            ))),
        };
        let url = text("url")?.ok_or_else(|| Failure::never("url: found nothing, expected a string"))?;
        let url: Url = url.parse().map_err(|e| Failure::never(format!("url: {e}")))?;
        let allowed = origin(&url).is_some_and(|origin| self.origins.contains(&origin));
        if !allowed || !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::never(format!(
                "url: found {}, expected one of {} and no user",
                url.origin().ascii_serialization(),
                self.config.origins.join(", ")
            )));
        }
        let method = text("method")?.unwrap_or("GET");
        let method = self
            .methods
            .iter()
            .find(|known| known.as_str() == method)
            .ok_or_else(|| {
                Failure::never(format!(
                    "method: found `{}`, expected one of {}",
                    method.chars().take(20).collect::<String>(),
                    self.config.methods.join(", ")
                ))
            })?;
        let select = selection(&job.inputs)?;
        let mut request = self
            .client
            .request(method.clone(), url)
            .header("accept", "application/json, text/plain;q=0.9, */*;q=0.1");
        if !matches!(*method, Method::GET | Method::HEAD) {
            request = request.header("idempotency-key", &job.task);
        }
        if let Some(body) = text("body")? {
            let json = Value::from_json(body).is_ok();
            let kind = if json {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            };
            request = request.header("content-type", kind).body(body.to_owned());
        }
        let later = |e: reqwest::Error| Failure::later(format!("{}: {e}", job.name));
        let mut response = request.send().await.map_err(later)?;
        let status = response.status().as_u16();
        if status >= 500 || status == 429 {
            return Err(Failure::later(format!("found status {status}")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(later)? {
            if body.len().saturating_add(chunk.len()) > self.config.max_response {
                return Err(Failure::never(format!(
                    "found a response of more than {} bytes",
                    self.config.max_response
                )));
            }
            body.extend_from_slice(&chunk);
        }
        normalise(status, &body, &select).map_err(Failure::never)
    }

    pub(super) async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        let method = job.inputs.field("method").and_then(Value::as_str).unwrap_or("GET");
        if !matches!(method, "GET" | "HEAD") {
            return Verdict::Unknown(format!("a {method} can't be validated by looking"));
        }
        match self.perform(job).await {
            Ok(found) if found == *output => Verdict::Valid,
            Ok(_) if self.config.immutable => Verdict::Invalid("the response is another".to_owned()),
            Ok(_) => Verdict::Unknown("the response is another now; it may have changed".to_owned()),
            Err(failure) => Verdict::Unknown(failure.message),
        }
    }
}

fn selection(inputs: &Value) -> Result<Vec<Path>, Failure> {
    let Some(found) = inputs.field("select") else {
        return Ok(Vec::new());
    };
    let wrong = || {
        Failure::never(format!(
            "select: expected at most {MAX_SELECT} paths such as `data.price`"
        ))
    };
    let list = found
        .as_list()
        .filter(|list| list.len() <= MAX_SELECT)
        .ok_or_else(wrong)?;
    list.iter()
        .map(|path| path.as_str().and_then(|path| path.parse().ok()).ok_or_else(wrong))
        .collect()
}

/// What of a response is the same for everybody who asks: no headers; JSON as a value, so that neither order nor
/// white space count, and of it only what was selected (`null` where there is nothing); other text with one kind of
/// line break and without white space at the end; other bytes as `0x` hex.
pub fn normalise(status: u16, body: &[u8], select: &[Path]) -> Result<Value, String> {
    let text = std::str::from_utf8(body);
    let json = text.ok().and_then(|text| Value::from_json(text).ok());
    let body = match (json, text) {
        (Some(json), _) if select.is_empty() => json,
        (Some(json), _) => Value::object(
            select
                .iter()
                .map(|path| (path.to_string(), json.at(path).cloned().unwrap_or_default())),
        ),
        (None, _) if !select.is_empty() => {
            return Err("found a response that is not JSON, expected it to select from".to_owned());
        }
        (None, Ok(text)) => Value::String(text.replace("\r\n", "\n").trim_end().to_owned()),
        (None, Err(_)) => Value::String(alloy::hex::encode_prefixed(body)),
    };
    Ok(Value::object([("status", Value::from(status)), ("body", body)]))
}

/// Resolves names, to public addresses only unless all are allowed: a listed name must not lead into the private
/// network (or to a cloud's metadata) because its owner points it there.
struct Public {
    all: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let all = self.all;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|address| all || public(address.ip())).collect();
            if found.is_empty() {
                let text = format!("{} has no public address", name.as_str());
                return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is somewhere on the public internet.
fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a == 192 && b == 0 && v4.octets().get(2) == Some(&0)))
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            // Mapped and compatible ones are what they hold; ::1 is too, and is not public either way.
            Some(v4) => public(IpAddr::V4(v4)),
            None => {
                // Only 2000::/3 is given out; not its documentation, Teredo and 6to4 parts.
                let [first, second, ..] = v6.segments();
                (first & 0xe000) == 0x2000 && !(first == 0x2001 && (second == 0x0db8 || second == 0)) && first != 0x2002
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_not_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "ff02::1",
            "64:ff9b::a00:1",
        ] {
            assert!(!public(inside.parse().expect(inside)), "{inside}");
        }
        for outside in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "192.0.1.1", "172.32.0.1"] {
            assert!(public(outside.parse().expect(outside)), "{outside}");
        }
    }

    #[test]
    fn order_and_white_space_of_json_do_not_count() {
        let a = normalise(200, br#"{ "b": 1, "a": [true, null] }"#, &[]).expect("a");
        let b = normalise(200, b"{\"a\":[true,null],\n\"b\":1.0}\n", &[]).expect("b");
        assert_eq!(a, b);
        assert_ne!(a, normalise(201, br#"{"a":[true,null],"b":1}"#, &[]).expect("c"));
        let path: Path = "a[0]".parse().expect("path");
        let gone: Path = "c".parse().expect("path");
        let selected = normalise(200, br#"{"a":[true],"t":1}"#, &[path.clone(), gone]).expect("selected");
        assert_eq!(selected.to_string(), r#"{"body":{"a[0]":true,"c":null},"status":200}"#);
        assert!(normalise(200, b"text", &[path]).is_err());
        assert_eq!(
            normalise(200, b"a\r\nb \n", &[]).expect("text").to_string(),
            r#"{"body":"a\nb","status":200}"#
        );
        assert_eq!(
            normalise(200, &[0xff, 0], &[]).expect("bytes").to_string(),
            r#"{"body":"0xff00","status":200}"#
        );
    }
}
