//! The server with real clients: registration, events, assignments, limits, lost connections.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::{MOST, Place, SERVICE, any, greet, refused, visit, wire_value};
use surety_connector::{
    host::{Answer, Assignment, Kind, Verdict},
    sdk,
    server::{AssignError, Delivery, Limits, Listen, ServerError},
    trial::TrialError,
    wire::{self, emit_response::Outcome, refusal::Code},
};
use surety_primitives::{B256, value::Value};
use tokio::sync::Semaphore;
use tonic::{Code as Status, transport::Channel};

/// Greets; counts; waits for permission if it shall.
struct Greeter {
    started: Semaphore,
    gate: Semaphore,
}

impl Greeter {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            started: Semaphore::new(0),
            gate: Semaphore::new(permits),
        })
    }
}

struct Shared(Arc<Greeter>);

#[tonic::async_trait]
impl sdk::Work for Shared {
    async fn execute(&self, job: &sdk::Job) -> Result<Value, sdk::Failure> {
        self.0.started.add_permits(1);
        self.0.gate.acquire().await.unwrap().forget();
        let visitor = job.inputs.field("visitor").and_then(Value::as_str).unwrap();
        match visitor {
            "nobody" => Err(sdk::Failure::never("nobody is there")),
            "wrong" => Ok(Value::object([("greetings", "Hello")])),
            _ => Ok(Value::object([("greeting", format!("Hello, {visitor}!"))])),
        }
    }

    async fn validate(&self, job: &sdk::Job, output: &Value) -> sdk::Verdict {
        let visitor = job.inputs.field("visitor").and_then(Value::as_str).unwrap();
        match output.field("greeting").and_then(Value::as_str) {
            Some(found) if found == format!("Hello, {visitor}!") => sdk::Verdict::Valid,
            Some("?") => sdk::Verdict::Unknown("who knows".to_owned()),
            _ => sdk::Verdict::Invalid("not the greeting".to_owned()),
        }
    }
}

#[tokio::test]
async fn a_registration_that_does_not_fit_hears_everything_that_is_wrong() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let field = |kind: wire::r#type::Kind| wire::Type {
        kind: kind.into(),
        ..Default::default()
    };
    let fields = |fields: Vec<(&str, wire::Type)>| wire::Fields {
        fields: fields
            .into_iter()
            .map(|(name, field)| (name.to_owned(), field))
            .collect(),
    };
    let request = wire::RegisterRequest {
        service: "greeter".to_owned(),
        connector: "raw".to_owned(),
        events: vec![
            wire::EventDeclaration {
                name: "visited".to_owned(),
                data: Some(fields(vec![
                    ("number", field(wire::r#type::Kind::String)),
                    ("extra", field(wire::r#type::Kind::Any)),
                ])),
                ..Default::default()
            },
            wire::EventDeclaration {
                name: "left".to_owned(),
                ..Default::default()
            },
        ],
        tasks: vec![wire::TaskDeclaration {
            name: "part".to_owned(),
            ..Default::default()
        }],
    };
    let status = raw.client.register(raw.with(request.clone())).await.unwrap_err();
    assert_eq!(status.code(), Status::InvalidArgument);
    let lines: Vec<&str> = status.message().lines().collect();
    assert_eq!(
        lines,
        [
            "event visited: data.number: found String, expected Number",
            "event visited: data.visitor: found nothing, expected String",
            "event visited: data.extra: found Any, expected no such field",
            "event `left` is not declared; declared are: visited",
            "task `part` is not declared; declared are: greet",
        ]
    );
    let other = wire::RegisterRequest {
        service: "another".to_owned(),
        ..request.clone()
    };
    let status = raw.client.register(raw.with(other)).await.unwrap_err();
    assert_eq!(
        status.message(),
        format!("service: found `another`, expected one that this node serves: greeter ({SERVICE})")
    );
    let unnamed = wire::RegisterRequest {
        connector: "a b".to_owned(),
        ..request
    };
    let status = raw.client.register(raw.with(unnamed)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Status::InvalidArgument,
            "connector: found a name of 3 bytes with ' ' in it, expected 1 to 64 of the letters a to z and A to Z, \
             digits, `-`, `_`, `.`"
        )
    );
    // The one that fits gets all that the manifest says.
    let registered = raw.register("raw").await.unwrap();
    assert_eq!(registered.service, SERVICE.to_string());
    assert_eq!(registered.events.first().unwrap().id, ["number"]);
    let task = registered.tasks.first().unwrap();
    assert_eq!(
        (task.window_seconds, task.verification()),
        (30, wire::task_declaration::Verification::Verify)
    );
    assert_eq!(trial.registrations().len(), 1);
}

#[tokio::test]
async fn events_are_held_to_their_declaration() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let session = raw.register("raw").await.unwrap().session;
    let data = visit(1, "Ada");
    let Outcome::Accepted(key) = raw.emit(&session, wire_value(&data)).await else {
        panic!("refused")
    };
    assert_eq!(
        raw.emit(&session, wire_value(&data)).await,
        Outcome::Accepted(key.clone())
    );
    let seen = trial.emissions();
    let [emission] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(emission.data, data);
    assert_eq!(emission.data_hash, data.hash().unwrap());
    assert_eq!(emission.id_hash, Value::list([Value::from(1)]).hash().unwrap());
    assert_eq!(
        key,
        format!(
            "{:#x}",
            surety_primitives::vote::event_key(SERVICE, "visited", emission.id_hash)
        )
    );

    assert_eq!(
        refused(raw.emit(&session, wire_value(&visit(1, "Eve"))).await).0,
        Code::Conflict
    );
    let wrong = Value::object([("number", Value::Null), ("x", Value::from(1))]);
    let (code, message) = refused(raw.emit(&session, wire_value(&wrong)).await);
    assert_eq!(code, Code::Invalid);
    assert_eq!(
        message,
        "number: found null, expected Number\nvisitor: found nothing, expected String\n\
         x: found a number, expected no such field; declared are: number, visitor"
    );
    for number in [f64::NAN, f64::INFINITY] {
        let mut bad = wire_value(&data);
        let number = prost_types::Value {
            kind: Some(prost_types::value::Kind::NumberValue(number)),
        };
        bad.fields.insert("number".to_owned(), number);
        assert_eq!(refused(raw.emit(&session, bad).await).0, Code::Invalid);
    }
    let mut bad = wire_value(&data);
    bad.fields
        .insert("number".to_owned(), prost_types::Value { kind: None });
    assert_eq!(refused(raw.emit(&session, bad).await).0, Code::Invalid);
    let status = raw
        .client
        .emit(raw.with(wire::EmitRequest {
            session: "nobody's".to_owned(),
            ..Default::default()
        }))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Status::FailedPrecondition);
    assert_eq!(trial.emissions().len(), 1);
}

#[tokio::test]
async fn a_stream_of_events_is_answered_in_order() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let session = raw.register("raw").await.unwrap().session;
    let count = 5_000u32;
    let requests = (0..count).map(move |number| wire::EmitRequest {
        session: session.clone(),
        // Every tenth is not an event of this connector: a refusal doesn't end the stream.
        event: if number % 10 == 9 { "left" } else { "visited" }.to_owned(),
        data: Some(wire_value(&visit(number, "Ada"))),
        sequence: u64::from(number),
    });
    let request = raw.with(tokio_stream::iter(requests));
    let mut answers = raw.client.emit_stream(request).await.unwrap().into_inner();
    for number in 0..count {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.sequence, u64::from(number));
        match answer.outcome.unwrap() {
            Outcome::Accepted(_) => assert_ne!(number % 10, 9),
            Outcome::Refused(refusal) => assert_eq!((number % 10, refusal.code()), (9, Code::Unknown)),
        }
    }
    assert!(answers.message().await.unwrap().is_none());
    assert_eq!(trial.emissions().len(), 4_500);
}

#[tokio::test]
async fn nobody_without_the_token_gets_in_and_health_is_open() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    for token in [
        String::new(),
        "0".repeat(64),
        place.token()[1..].to_owned(),
        format!("{}0", place.token()),
    ] {
        raw.token = token;
        assert_eq!(raw.register("raw").await.unwrap_err().code(), Status::Unauthenticated);
    }
    let status = raw.client.register(wire::RegisterRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Status::Unauthenticated);
    // What is written otherwise is told apart from what is another token.
    for (written, message) in [
        (place.token(), "found another form, expected `Bearer TOKEN`"),
        (format!("bearer {}", place.token()), "found another form"),
        (format!("Bearer  {}", place.token()), "found another form"),
        ("Bearer 0000".to_owned(), "found another token than this node's"),
    ] {
        let mut request = tonic::Request::new(wire::RegisterRequest::default());
        request.metadata_mut().insert("authorization", written.parse().unwrap());
        let status = raw.client.register(request).await.unwrap_err();
        assert_eq!(status.code(), Status::Unauthenticated);
        assert!(status.message().contains(message), "{written}: {}", status.message());
        assert!(!status.message().contains(&place.token()));
    }
    let channel = Channel::from_shared(trial.address().url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest {
        service: "surety.connector.v1.Connector".to_owned(),
    };
    let found = health.check(request).await.unwrap().into_inner();
    assert_eq!(
        found.status(),
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );
    // A token that others can read, or that is none, is not taken.
    let file = place.folder.path().join("open");
    std::fs::write(&file, "0".repeat(64)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        surety_connector::Token::read(&file),
        Err(surety_connector::TokenError::Mode { .. })
    ));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(surety_connector::Token::read(&file).is_ok());
    std::fs::write(&file, "short").unwrap();
    assert!(surety_connector::Token::read(&file).is_err());
}

#[tokio::test]
async fn only_this_machine_is_listened_to_and_a_socket_works_too() {
    let place = Place::new();
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = place.trial_at(&Listen::Tcp(everywhere), Limits::default()).await;
    assert!(matches!(
        refused.err(),
        Some(TrialError::Server(ServerError::NotLoopback(_)))
    ));

    let listen = Listen::parse(&format!("unix:{}", place.folder.path().join("node.sock").display())).unwrap();
    let trial = place.trial_at(&listen, Limits::default()).await.unwrap();
    let connector = sdk::Connector::new(place.config(&trial, "socket"), Shared(Greeter::new(9))).unwrap();
    let emitter = connector.emitter();
    let running = tokio::spawn(async move { connector.run().await });
    emitter.emit("visited", &visit(1, "Ada")).await.unwrap();
    running.abort();
    trial.stop().await.unwrap();
    // What a killed node left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(place.folder.path().join("node.sock")).unwrap());
    place.trial_at(&listen, Limits::default()).await.unwrap();
}

#[tokio::test]
async fn tasks_are_done_validated_and_answered() {
    let place = Place::new();
    let trial = place.trial().await;
    let connector = sdk::Connector::new(place.config(&trial, "sdk"), Shared(Greeter::new(99))).unwrap();
    let running = tokio::spawn(async move { connector.run().await });
    let ask = |number: u8, visitor: &'static str, kind: Kind| {
        let trial = &trial;
        async move {
            let inputs = Value::object([("visitor", visitor)]);
            trial
                .ask(B256::repeat_byte(number), "greet", inputs, kind, MOST)
                .await
                .unwrap()
        }
    };
    let output = Value::object([("greeting", "Hello, Ada!")]);
    assert_eq!(ask(1, "Ada", Kind::Execute).await, Answer::Output(output.clone()));
    let failed = ask(2, "nobody", Kind::Execute).await;
    assert_eq!(
        failed,
        Answer::Failed {
            message: "nobody is there".to_owned(),
            retry: false
        }
    );
    for (number, claimed, expected) in [
        (3, "Hello, Ada!", Verdict::Valid),
        (4, "Bye", Verdict::Invalid),
        (5, "?", Verdict::Unknown),
    ] {
        let output = Value::object([("greeting", claimed)]);
        let Answer::Verdict { verdict, .. } = ask(number, "Ada", Kind::Validate { output }).await else {
            panic!("expected a verdict")
        };
        assert_eq!(verdict, expected);
    }
    // An output that isn't what the manifest says never reaches the host; the assignment stays until it is answered.
    trial.handle().assign(greet(6, "wrong")).unwrap();
    trial.be_busy(3);
    assert_eq!(ask(7, "Ada", Kind::Execute).await, Answer::Output(output));
    assert!(
        trial
            .submissions()
            .iter()
            .all(|submission| submission.task != B256::repeat_byte(6))
    );
    assert_eq!(trial.handle().unanswered(SERVICE), 1);
    assert!(trial.handle().withdraw(SERVICE, B256::repeat_byte(6), 0));
    assert!(!trial.handle().withdraw(SERVICE, B256::repeat_byte(6), 0));
    running.abort();
}

#[tokio::test]
async fn p5_a_connector_that_comes_back_gets_unanswered_tasks_again() {
    let place = Place::new();
    let trial = place.trial().await;
    assert_eq!(trial.handle().assign(greet(1, "Ada")).unwrap(), Delivery::Waiting);
    // The same again is the same.
    assert_eq!(trial.handle().assign(greet(1, "Eve")).unwrap(), Delivery::Waiting);
    assert_eq!(trial.handle().unanswered(SERVICE), 1);
    for _ in 0..3 {
        let mut raw = place.client(&trial).await;
        let session = raw.register("raw").await.unwrap().session;
        let mut tasks = raw
            .client
            .tasks(raw.with(wire::TasksRequest { session }))
            .await
            .unwrap()
            .into_inner();
        let assignment = tasks.message().await.unwrap().unwrap();
        assert_eq!(assignment.task, format!("{:#x}", B256::repeat_byte(1)));
        assert_eq!(
            surety_connector::convert::from_struct(assignment.inputs).unwrap(),
            Value::object([("visitor", "Ada")])
        );
        // Gone without an answer.
    }
    let mut raw = place.client(&trial).await;
    let first = raw.register("raw").await.unwrap().session;
    let mut old = raw
        .client
        .tasks(raw.with(wire::TasksRequest { session: first.clone() }))
        .await
        .unwrap()
        .into_inner();
    old.message().await.unwrap().unwrap();
    assert!(trial.handle().serves(SERVICE, "greet"));
    // Registering again takes over: the old stream ends and the old session with it.
    let session = raw.register("raw").await.unwrap().session;
    assert_eq!(old.message().await.unwrap_err().code(), Status::FailedPrecondition);
    let mut tasks = raw
        .client
        .tasks(raw.with(wire::TasksRequest {
            session: session.clone(),
        }))
        .await
        .unwrap()
        .into_inner();
    tasks.message().await.unwrap().unwrap();
    let submit = |session: &str| wire::SubmitRequest {
        session: session.to_owned(),
        task: format!("{:#x}", B256::repeat_byte(1)),
        attempt: 0,
        answer: Some(wire::submit_request::Answer::Output(wire_value(&Value::object([(
            "greeting", "Hello",
        )])))),
    };
    assert_eq!(
        raw.client.submit(raw.with(submit(&first))).await.unwrap_err().code(),
        Status::FailedPrecondition
    );
    assert_eq!(
        raw.client
            .submit(raw.with(submit(&session)))
            .await
            .unwrap()
            .into_inner()
            .refused,
        None
    );
    let again = raw
        .client
        .submit(raw.with(submit(&session)))
        .await
        .unwrap()
        .into_inner()
        .refused
        .unwrap();
    assert_eq!(again.code(), Code::Late);
    assert_eq!(trial.submissions().len(), 1);
    assert_eq!(trial.handle().unanswered(SERVICE), 0);
}

#[tokio::test]
async fn p5_a_node_that_restarts_loses_no_event_and_no_answer() {
    let place = Place::new();
    let trial = place.trial().await;
    let listen = trial.address().clone();
    let greeter = Greeter::new(0);
    let connector = sdk::Connector::new(place.config(&trial, "sdk"), Shared(Arc::clone(&greeter))).unwrap();
    let emitter = connector.emitter();
    let running = tokio::spawn(async move { connector.run().await });
    emitter.emit("visited", &visit(1, "Ada")).await.unwrap();
    trial.handle().assign(greet(1, "Ada")).unwrap();
    greeter.started.acquire().await.unwrap().forget();
    trial.stop().await.unwrap();
    // Emitted and done while there is no node.
    let pending = tokio::spawn(async move { emitter.emit("visited", &visit(2, "Bob")).await });
    greeter.gate.add_permits(1);
    let trial = place.trial_at(&listen, Limits::default()).await.unwrap();
    // A node pushes again what it has not got an answer to; the connector is still at it or does it again.
    greeter.gate.add_permits(1);
    trial.handle().assign(greet(1, "Ada")).unwrap();
    pending.await.unwrap().unwrap();
    trial
        .wait("the answer", MOST, |trial| !trial.submissions().is_empty())
        .await
        .unwrap();
    assert_eq!(trial.emissions().len(), 1);
    assert_eq!(trial.registrations().len(), 1);
    running.abort();
}

#[tokio::test]
async fn a_refused_connector_ends_and_says_why() {
    let place = Place::new();
    let trial = place.trial().await;
    let config = place.config(&trial, "sdk").event("left");
    let ended = sdk::Connector::new(config, sdk::Nothing)
        .unwrap()
        .run()
        .await
        .unwrap_err();
    assert!(
        ended
            .to_string()
            .contains("event `left` is not declared; declared are: visited"),
        "{ended}"
    );
}

#[tokio::test]
async fn p4_limits_hold() {
    let place = Place::new();
    let limits = Limits {
        connectors: 2,
        assignments: 2,
        connections: 3,
        ..Limits::default()
    };
    let trial = place.trial_at(&any(), limits).await.unwrap();
    let handle = trial.handle();
    handle.assign(greet(1, "Ada")).unwrap();
    handle.assign(greet(2, "Ada")).unwrap();
    assert!(matches!(
        handle.assign(greet(3, "Ada")),
        Err(AssignError::Full { limit: 2, .. })
    ));
    assert!(matches!(
        handle.assign(Assignment {
            deadline_ms: 1,
            ..greet(3, "Ada")
        }),
        Err(AssignError::Late { .. })
    ));
    let long = greet(4, &"x".repeat(surety_connector::MAX_MESSAGE));
    assert!(matches!(handle.assign(long), Err(AssignError::TooLarge { .. })));

    let mut raw = place.client(&trial).await;
    let mut streams = Vec::new();
    for name in ["a", "b"] {
        let session = raw.register(name).await.unwrap().session;
        let mut stream = raw
            .client
            .tasks(raw.with(wire::TasksRequest { session }))
            .await
            .unwrap()
            .into_inner();
        // Each gets one of the two: what one holds the other doesn't see.
        if name == "a" {
            stream.message().await.unwrap().unwrap();
        }
        streams.push(stream);
    }
    trial
        .wait("both connected", MOST, |trial| trial.handle().connectors().len() == 2)
        .await
        .unwrap();
    assert_eq!(raw.register("c").await.unwrap_err().code(), Status::ResourceExhausted);
    // A connector that went away makes room.
    drop(streams);
    for _ in 0.. {
        if raw.register("c").await.is_ok() {
            break;
        }
    }
    // A message above the limit is refused before it is read, and the connection goes on.
    let session = raw.register("c").await.unwrap().session;
    let large = visit(1, &"x".repeat(surety_connector::MAX_MESSAGE));
    let request = raw.with(wire::EmitRequest {
        session: session.clone(),
        event: "visited".to_owned(),
        data: Some(wire_value(&large)),
        sequence: 0,
    });
    assert_eq!(raw.client.emit(request).await.unwrap_err().code(), Status::OutOfRange);
    assert!(matches!(
        raw.emit(&session, wire_value(&visit(1, "Ada"))).await,
        Outcome::Accepted(_)
    ));
    // Two more connections are served, the fourth has to wait until one ends.
    let second = place.client(&trial).await;
    let third = place.client(&trial).await;
    let mut fourth = place.client(&trial).await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), fourth.register("d")).await;
    assert!(
        waiting.is_err(),
        "found an answer, expected none while three others are connected"
    );
    drop((second, third));
    tokio::time::timeout(MOST, fourth.register("a")).await.unwrap().unwrap();
}

#[tokio::test]
async fn p4_garbage_and_a_reader_that_does_not_read_leave_others_alone() {
    use tokio::io::AsyncWriteExt;

    let place = Place::new();
    let trial = place.trial().await;
    let Listen::Tcp(address) = trial.address().clone() else {
        panic!("tcp")
    };
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let _refused = stream.write_all(garbage).await;
    }
    // Malformed protobuf under a right header.
    let mut raw = place.client(&trial).await;
    let mut grpc = tonic::client::Grpc::new(
        Channel::from_shared(trial.address().url())
            .unwrap()
            .connect()
            .await
            .unwrap(),
    );
    grpc.ready().await.unwrap();
    // A Fields message where a RegisterRequest is expected: the length-delimited map entry is no service's name.
    let wrong = wire::EmitResponse {
        sequence: u64::MAX,
        outcome: Some(Outcome::Accepted("\u{1}".to_owned())),
    };
    let codec = tonic_prost::ProstCodec::<wire::EmitResponse, wire::RegisterResponse>::default();
    let path = "/surety.connector.v1.Connector/Register".parse().unwrap();
    let status = grpc.unary(raw.with(wrong), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Status::InvalidArgument, "{status:?}");

    // A connector that opens its stream and never reads: what it holds is bounded, the rest goes to who reads.
    let session = raw.register("sleeper").await.unwrap().session;
    let sleeper = raw
        .client
        .tasks(raw.with(wire::TasksRequest { session }))
        .await
        .unwrap()
        .into_inner();
    trial
        .wait("the sleeper", MOST, |trial| trial.handle().serves(SERVICE, "greet"))
        .await
        .unwrap();
    let text = "x".repeat(60_000);
    for number in 0..200 {
        trial.handle().assign(greet(number, &text)).unwrap();
    }
    let connector = sdk::Connector::new(place.config(&trial, "reader"), Shared(Greeter::new(999))).unwrap();
    let running = tokio::spawn(async move { connector.run().await });
    trial
        .wait("many answers", MOST, |trial| trial.submissions().len() >= 80)
        .await
        .unwrap();
    // And when it goes, everything.
    drop(sleeper);
    trial
        .wait("all answers", MOST, |trial| trial.handle().unanswered(SERVICE) == 0)
        .await
        .unwrap();
    assert_eq!(trial.submissions().len(), 200);
    running.abort();
}
