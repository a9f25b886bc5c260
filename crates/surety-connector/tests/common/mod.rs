//! A trial and a client that knows nothing but the wire.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "no test uses all of it, and a test may panic"
)]

use std::{path::PathBuf, time::Duration};

use surety_connector::{
    host::{Assignment, Kind},
    sdk,
    server::{Limits, Listen},
    trial::{Trial, TrialError},
    wire::{self, connector_client::ConnectorClient, emit_response::Outcome, refusal::Code},
};
use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::Network;
use tempfile::TempDir;
use tonic::{Request, transport::Channel};

pub(crate) const MOST: Duration = Duration::from_secs(20);
pub(crate) const SERVICE: Address = Address::repeat_byte(0x11);
pub(crate) const MANIFEST: &str = include_str!("../../examples/service.toml");

pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub(crate) async fn trial_at(&self, listen: &Listen, limits: Limits) -> Result<Trial, TrialError> {
        self.trial_of(MANIFEST, listen, limits).await
    }

    pub(crate) async fn trial_of(&self, manifest: &str, listen: &Listen, limits: Limits) -> Result<Trial, TrialError> {
        let network = Network::parse(manifest, &[]).unwrap();
        Trial::start(network, SERVICE, listen, &self.token_file(), limits).await
    }

    pub(crate) async fn trial(&self) -> Trial {
        self.trial_at(&any(), Limits::default()).await.unwrap()
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.token_file()).unwrap().trim().to_owned()
    }

    /// A client that knows nothing but the wire.
    pub(crate) async fn client(&self, trial: &Trial) -> Raw {
        let channel = Channel::from_shared(trial.address().url())
            .unwrap()
            .connect()
            .await
            .unwrap();
        Raw {
            client: ConnectorClient::new(channel),
            token: self.token(),
        }
    }

    pub(crate) fn config(&self, trial: &Trial, name: &str) -> sdk::Config {
        let mut config = sdk::Config::new(trial.address().url(), self.token_file(), "greeter", name)
            .event("visited")
            .task("greet");
        config.pause = Duration::from_millis(20);
        config
    }
}

pub(crate) struct Raw {
    pub(crate) client: ConnectorClient<Channel>,
    pub(crate) token: String,
}

impl Raw {
    pub(crate) fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    pub(crate) async fn register(&mut self, connector: &str) -> Result<wire::RegisterResponse, tonic::Status> {
        let request = self.with(wire::RegisterRequest {
            service: "greeter".to_owned(),
            connector: connector.to_owned(),
            events: vec![wire::EventDeclaration {
                name: "visited".to_owned(),
                ..Default::default()
            }],
            tasks: vec![wire::TaskDeclaration {
                name: "greet".to_owned(),
                ..Default::default()
            }],
        });
        Ok(self.client.register(request).await?.into_inner())
    }

    pub(crate) async fn emit(&mut self, session: &str, data: prost_types::Struct) -> Outcome {
        let request = self.with(wire::EmitRequest {
            session: session.to_owned(),
            event: "visited".to_owned(),
            data: Some(data),
            sequence: 7,
        });
        let response = self.client.emit(request).await.unwrap().into_inner();
        assert_eq!(response.sequence, 7);
        response.outcome.unwrap()
    }
}

pub(crate) fn any() -> Listen {
    Listen::parse("127.0.0.1:0").unwrap()
}

pub(crate) fn visit(number: u32, visitor: &str) -> Value {
    Value::object([("number", Value::from(number)), ("visitor", Value::from(visitor))])
}

pub(crate) fn wire_value(value: &Value) -> prost_types::Struct {
    surety_connector::convert::to_struct(value)
}

pub(crate) fn refused(outcome: Outcome) -> (Code, String) {
    match outcome {
        Outcome::Refused(refusal) => (refusal.code(), refusal.message),
        Outcome::Accepted(key) => panic!("found {key}, expected a refusal"),
    }
}

pub(crate) fn greet(number: u8, visitor: &str) -> Assignment {
    Assignment {
        service: SERVICE,
        task: B256::repeat_byte(number),
        attempt: 0,
        name: "greet".to_owned(),
        inputs: Value::object([("visitor", visitor)]),
        kind: Kind::Execute,
        deadline_ms: u64::MAX,
    }
}
