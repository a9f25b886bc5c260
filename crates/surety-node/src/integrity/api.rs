//! Attestation: anybody asks how deployments are, over REST (`openapi/integrity.json`). Every answer has a field
//! `verify` that says how to check it without trusting this node (P10).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy::primitives::Address;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value as Document, json};
use surety_chain::Contracts;
use surety_primitives::measurement::DeploymentId;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
};
use tower_http::{cors::CorsLayer, timeout::TimeoutLayer};

use super::{config::IntegrityConfig, quotes};

/// The description of these routes.
pub const OPENAPI: &str = include_str!("../../../../openapi/integrity.json");

/// Questions under way at once; more are told to come back.
const CONCURRENT: usize = 64;
/// Longest a question may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest body of a question: there is none.
const BODY: usize = 1_024;

/// What the driver is asked.
#[derive(Debug)]
pub(crate) enum Query {
    /// A service, with its deployments.
    Service(Address, oneshot::Sender<Option<Document>>),
    /// A deployment.
    Deployment(DeploymentId, oneshot::Sender<Option<Document>>),
    /// Its recorded epochs.
    History(DeploymentId, oneshot::Sender<Option<Document>>),
    /// The last measurement of this node.
    Measurement(DeploymentId, oneshot::Sender<Option<Document>>),
}

#[derive(Clone)]
struct Api {
    queries: mpsc::Sender<Query>,
    contracts: Contracts,
    turns: Arc<Semaphore>,
    simulated: bool,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct ApiServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl ApiServer {
    /// Listens until told to stop.
    pub(crate) async fn start(
        config: &IntegrityConfig,
        queries: mpsc::Sender<Query>,
        contracts: Contracts,
        mut stop: watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let api = Api {
            queries,
            contracts,
            turns: Arc::new(Semaphore::new(CONCURRENT)),
            simulated: config.simulated_quotes,
        };
        let router = router(api).layer(cors(&config.cors_origins));
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _stopping = stop.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "attestation");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has stopped; at most a moment, since connections may stay open for long.
    pub(crate) async fn stop(self) {
        let abort = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(2), self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new().allow_methods([Method::GET]);
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(tower_http::cors::Any);
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    layer.allow_origin(origins)
}

/// The routes, with the paths of the description.
const ROUTES: [&str; 7] = [
    "/v1/services/{service}",
    "/v1/deployments/{id}",
    "/v1/deployments/{id}/history",
    "/v1/deployments/{id}/measurement",
    "/v1/deployments/{id}/proof",
    "/v1/monitors/{operator}/quote",
    "/openapi.json",
];

fn router(api: Api) -> Router {
    let [
        service_path,
        deployment_path,
        history_path,
        measurement_path,
        proof_path,
        quote_path,
        openapi_path,
    ] = ROUTES;
    Router::new()
        .route(service_path, get(service))
        .route(deployment_path, get(deployment))
        .route(history_path, get(history))
        .route(measurement_path, get(measurement))
        .route(proof_path, get(proof))
        .route(quote_path, get(quote))
        .route(openapi_path, get(openapi))
        .fallback(async || {
            problem(
                StatusCode::NOT_FOUND,
                "no such path; /openapi.json says which there are",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, DEADLINE))
        .with_state(api)
}

fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let body = json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail.into() });
    let mut response = (status, Json(body)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl Api {
    async fn ask(&self, query: impl FnOnce(oneshot::Sender<Option<Document>>) -> Query, what: String) -> Response {
        let Ok(_turn) = self.turns.try_acquire() else {
            return problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many questions; ask again in a moment",
            );
        };
        let (reply, answer) = oneshot::channel();
        if self.queries.send(query(reply)).await.is_err() {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping");
        }
        match answer.await {
            Ok(Some(found)) => Json(found).into_response(),
            Ok(None) => problem(StatusCode::NOT_FOUND, what),
            Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
        }
    }
}

fn id_of(text: &str) -> Result<DeploymentId, Box<Response>> {
    text.parse().map_err(|_| {
        let detail = format!("deployment is {text:?}, expected 0x and 64 hexadecimal digits");
        Box::new(problem(StatusCode::BAD_REQUEST, detail))
    })
}

async fn service(State(api): State<Api>, Path(service): Path<String>) -> Response {
    let Ok(address) = service.parse::<Address>() else {
        let detail = format!("service is {service:?}, expected 0x and 40 hexadecimal digits");
        return problem(StatusCode::BAD_REQUEST, detail);
    };
    let unknown = format!("{address} is not followed by this node");
    api.ask(|reply| Query::Service(address, reply), unknown).await
}

async fn deployment(State(api): State<Api>, Path(id): Path<String>) -> Response {
    match id_of(&id) {
        Ok(id) => api.ask(|reply| Query::Deployment(id, reply), unknown(id)).await,
        Err(response) => *response,
    }
}

async fn history(State(api): State<Api>, Path(id): Path<String>) -> Response {
    match id_of(&id) {
        Ok(id) => api.ask(|reply| Query::History(id, reply), unknown(id)).await,
        Err(response) => *response,
    }
}

async fn measurement(State(api): State<Api>, Path(id): Path<String>) -> Response {
    match id_of(&id) {
        Ok(id) => {
            let missing = format!("this node has no measurement of {id}");
            api.ask(|reply| Query::Measurement(id, reply), missing).await
        }
        Err(response) => *response,
    }
}

async fn proof(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let id = match id_of(&id) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    let Ok(_turn) = api.turns.try_acquire() else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many questions; ask again in a moment",
        );
    };
    match state_proof(&api.contracts, id).await {
        Ok(proof) => Json(proof).into_response(),
        Err(error) => problem(StatusCode::BAD_GATEWAY, format!("the chain's endpoint: {error}")),
    }
}

/// How to check a state proof.
const VERIFY: &str = "keccak256 of `proof.header` must be the hash of a block of the chain, asked from an endpoint of your \
    own; `account` and `storage` are Merkle proofs from the header's state root; docs/spec/integrity.md, section 9, says \
    what the words are. `surety attest` does all of this";

async fn state_proof(contracts: &Contracts, id: DeploymentId) -> Result<Document, surety_chain::Error> {
    let latest = contracts.rpc().latest().await?;
    let proof = contracts.deployment_proof(id, latest.header.hash).await?;
    Ok(json!({
        "deployment": id.to_string(),
        "chainId": contracts.deployment().chain_id,
        "contract": contracts.deployment().integrity,
        "block": latest.header.number,
        "blockHash": latest.header.hash,
        "proof": proof,
        "verify": VERIFY,
    }))
}

async fn quote(State(api): State<Api>, Path(operator): Path<String>) -> Response {
    let Ok(operator) = operator.parse::<Address>() else {
        let detail = format!("operator is {operator:?}, expected 0x and 40 hexadecimal digits");
        return problem(StatusCode::BAD_REQUEST, detail);
    };
    let Ok(_turn) = api.turns.try_acquire() else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many questions; ask again in a moment",
        );
    };
    match quotes::of(&api.contracts, operator, api.simulated).await {
        Ok(Some(quote)) => Json(quote).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, format!("{operator} has registered no quote")),
        Err(error) => problem(StatusCode::BAD_GATEWAY, format!("the chain's endpoint: {error}")),
    }
}

async fn openapi() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], OPENAPI).into_response()
}

fn unknown(id: DeploymentId) -> String {
    format!("{id} is no deployment that this node follows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_of_these_routes() {
        let document: Document = serde_json::from_str(OPENAPI).expect("JSON");
        assert_eq!(document.get("openapi").and_then(Document::as_str), Some("3.1.0"));
        let paths = document.get("paths").and_then(Document::as_object).expect("paths");
        let described: Vec<_> = paths.keys().map(String::as_str).collect();
        let mut routes = ROUTES.to_vec();
        routes.sort_unstable();
        assert_eq!(described, routes);
        for (path, operations) in paths {
            let get = operations.get("get").expect("GET");
            let content = get
                .pointer("/responses/200/content/application~1json/schema")
                .expect("an answer");
            if path == "/openapi.json" {
                continue;
            }
            let name = content.get("$ref").and_then(Document::as_str).expect("a schema");
            let schema = document.pointer(name.trim_start_matches('#')).expect("the schema");
            let required = schema
                .get("required")
                .and_then(Document::as_array)
                .expect("required fields");
            assert!(
                required.iter().any(|field| field == "verify"),
                "{path} does not say how to verify"
            );
            for parameter in path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            {
                let named = get.get("parameters").and_then(Document::as_array).into_iter().flatten();
                assert!(
                    named.filter_map(|p| p.get("name")).any(|name| name == parameter),
                    "{path}: {parameter}"
                );
            }
        }
    }

    #[test]
    fn p4_what_is_no_deployment_is_refused() {
        assert!(id_of("surety").is_err());
        assert!(id_of("0x01").is_err());
        let id = DeploymentId::new(Address::repeat_byte(3), 9);
        assert_eq!(id_of(&id.to_string()).ok(), Some(id));
    }
}
