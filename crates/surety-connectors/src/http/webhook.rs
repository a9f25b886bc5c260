//! A signed POST of a JSON object becomes an event.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;
use surety_connector::{
    sdk::{EmitError, Emitter},
    wire::refusal::Code,
};
use surety_primitives::value::Value;
use tokio::{net::TcpListener, sync::Semaphore};

use super::{Config, DIGEST, Webhook};
use crate::config::Loaded;

/// How long a sender waits for the node.
const WAIT: Duration = Duration::from_secs(10);
/// Webhooks in progress at a time.
const CONCURRENCY: usize = 64;

struct Hook {
    config: Webhook,
    secret: String,
}

struct Shared {
    hooks: BTreeMap<String, Hook>,
    emitter: Emitter,
    free: Semaphore,
}

pub(super) async fn serve(loaded: &Loaded, config: &Config, emitter: Emitter) -> Result<()> {
    let Some(listen) = config.listen else {
        ensure!(config.webhooks.is_empty(), "http: webhooks need `listen`");
        return std::future::pending().await;
    };
    let mut hooks = BTreeMap::new();
    let mut router = Router::new();
    for webhook in &config.webhooks {
        let path = &webhook.path;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        ensure!(
            path.starts_with('/') && path.chars().all(plain),
            "http: found the webhook path `{path}`, expected `/` and letters, digits, `/`, `-`, `_`, `.`"
        );
        ensure!(
            (1..=1 << 20).contains(&webhook.max_body),
            "http: webhook {path}: found max_body {}, expected at most 1048576",
            webhook.max_body
        );
        let secret = loaded.secret(&webhook.secret_file)?;
        ensure!(
            secret.len() >= 16,
            "http: webhook {path}: the secret is shorter than 16 bytes"
        );
        let hook = Hook {
            config: webhook.clone(),
            secret,
        };
        ensure!(
            hooks.insert(path.clone(), hook).is_none(),
            "http: webhook {path} is there twice"
        );
        router = router.route(path, post(received).layer(DefaultBodyLimit::max(webhook.max_body)));
    }
    let shared = Arc::new(Shared {
        hooks,
        emitter,
        free: Semaphore::new(CONCURRENCY),
    });
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("http: listen on {listen}"))?;
    tracing::info!(%listen, "webhooks");
    axum::serve(listener, router.with_state(shared)).await.context("http")
}

/// 202 with the event's key; 400, 401, 409, 413, 422, 503 with the reason.
async fn received(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let say = |status: StatusCode, error: String| answer(status, &json!({ "error": error }));
    let Some(hook) = shared.hooks.get(uri.path()) else {
        return say(StatusCode::NOT_FOUND, "no such webhook".to_owned());
    };
    let signature = headers.get(&hook.config.signature_header).map(|value| value.as_bytes());
    if !signed(&hook.secret, &body, signature.unwrap_or_default()) {
        return say(
            StatusCode::UNAUTHORIZED,
            format!(
                "header {}: found {}, expected the HMAC-SHA-256 of the body",
                hook.config.signature_header,
                if signature.is_some() {
                    "another signature"
                } else {
                    "none"
                }
            ),
        );
    }
    let data = match data(&body, hook.config.trusted_sender) {
        Ok(data) => data,
        Err(error) => return say(StatusCode::BAD_REQUEST, error),
    };
    let Ok(_permit) = shared.free.try_acquire() else {
        return say(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many at a time; send it again".to_owned(),
        );
    };
    match tokio::time::timeout(WAIT, shared.emitter.emit(&hook.config.event, &data)).await {
        Ok(Ok(key)) => answer(StatusCode::ACCEPTED, &json!({ "event": key })),
        Ok(Err(EmitError::Refused { code, message, .. })) => match code {
            Code::Conflict => say(StatusCode::CONFLICT, message),
            _ => say(StatusCode::UNPROCESSABLE_ENTITY, message),
        },
        Ok(Err(EmitError::Ended)) | Err(_) => say(
            StatusCode::SERVICE_UNAVAILABLE,
            "the node does not answer; send it again".to_owned(),
        ),
    }
}

/// The event's data: the body, and unless the sender is trusted its hash, which makes it an event of its own whatever
/// else the id has.
fn data(body: &[u8], trusted: bool) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    let value = Value::from_json(text).map_err(|e| e.to_string())?;
    let digest = value.hash().map_err(|e| e.to_string())?;
    match value {
        Value::Object(_) if trusted => Ok(value),
        Value::Object(mut fields) => {
            let hash = Value::String(alloy::hex::encode_prefixed(digest));
            if fields.insert(DIGEST.to_owned(), hash).is_some() {
                return Err(format!(
                    "found the field `{DIGEST}`, expected none: the connector adds it"
                ));
            }
            Ok(Value::Object(fields))
        }
        other => Err(format!("found {}, expected an object", other.kind())),
    }
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// Whether the signature is the body's, in a time that doesn't depend on where it differs.
fn signed(secret: &str, body: &[u8], signature: &[u8]) -> bool {
    let hex = signature.strip_prefix(b"sha256=").unwrap_or(signature);
    let Ok(signature) = alloy::hex::decode(hex) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}
