//! What authors of connectors get wrong, and what the trial tells them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::{MOST, Place, Raw, SERVICE, any, greet, visit, wire_value};
use surety_connector::{
    host::{Assignment, Kind},
    server::{Limits, Listen},
    trial::{Trial, TrialError, console},
    wire::{self, emit_response::Outcome, refusal::Code, submit_request::Answer},
};
use surety_primitives::{B256, value::Value};
use tokio::sync::mpsc;
use tonic::{Code as Status, Streaming, transport::Channel};

/// One task of each verification, whose values may be anything.
const ANYTHING: &str = r#"
name = "greeter"
[events.visited]
id = ["number"]
data = { number = "Number" }
[tasks.greet]
verification = "verify"
window = 600
inputs = { text = "Any" }
outputs = { text = "Any" }
[tasks.repeat]
verification = "deterministic"
inputs = { text = "Any" }
outputs = { text = "Any" }
[tasks.trust]
verification = "none"
"#;

async fn tasks(raw: &mut Raw, session: &str) -> Streaming<wire::Assignment> {
    let session = session.to_owned();
    let request = raw.with(wire::TasksRequest { session });
    raw.client.tasks(request).await.unwrap().into_inner()
}

async fn submit(raw: &mut Raw, session: &str, task: B256, answer: Answer) -> Option<(Code, String)> {
    let request = raw.with(wire::SubmitRequest {
        session: session.to_owned(),
        task: format!("{task:#x}"),
        attempt: 0,
        answer: Some(answer),
    });
    let refused = raw.client.submit(request).await.unwrap().into_inner().refused;
    refused.map(|refusal| (refusal.code(), refusal.message))
}

fn output(field: &str, text: &str) -> Answer {
    Answer::Output(wire_value(&Value::object([(field, text)])))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_late_although_the_stream_stayed_open() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let session = raw.register("raw").await.unwrap().session;
    let mut stream = tasks(&mut raw, &session).await;
    let deadline_ms = now_ms() + 1_000;
    let assignment = Assignment {
        deadline_ms,
        ..greet(1, "Ada")
    };
    trial.handle().assign(assignment).unwrap();
    stream.message().await.unwrap().unwrap();
    while now_ms() <= deadline_ms {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let late = submit(&mut raw, &session, B256::repeat_byte(1), output("greeting", "Hello")).await;
    assert_eq!(late.unwrap().0, Code::Late);
    // What the trial has given up on is taken back.
    let ada = Value::object([("visitor", "Ada")]);
    let most = Duration::from_millis(300);
    let gone = trial.ask(B256::repeat_byte(2), "greet", ada, Kind::Execute, most).await;
    assert!(matches!(gone, Err(TrialError::TooLate { .. })), "{gone:?}");
    let late = submit(&mut raw, &session, B256::repeat_byte(2), output("greeting", "Hello")).await;
    assert_eq!(late.unwrap().0, Code::Late);
    assert_eq!((trial.submissions().len(), trial.handle().unanswered(SERVICE)), (0, 0));
}

/// An `EmitRequest` whose event's name is bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(string, tag = "1")]
    session: String,
    #[prost(bytes = "vec", tag = "2")]
    event: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    data: Option<prost_types::Struct>,
    #[prost(uint64, tag = "4")]
    sequence: u64,
}

#[tokio::test]
async fn a_string_that_is_no_utf8_is_the_senders_fault() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let session = raw.register("raw").await.unwrap().session;
    let message = |sequence: u64, event: &[u8]| Bytes {
        session: session.clone(),
        event: event.to_vec(),
        data: Some(wire_value(&visit(1, "Ada"))),
        sequence,
    };
    let channel = Channel::from_shared(trial.address().url()).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let codec = tonic_prost::ProstCodec::<Bytes, wire::EmitResponse>::default;
    let path = |name: &str| format!("/surety.connector.v1.Connector/{name}").parse().unwrap();

    grpc.ready().await.unwrap();
    let poison = raw.with(message(1, b"visited\xff"));
    let status = grpc.unary(poison, path("Emit"), codec()).await.unwrap_err();
    assert_eq!(status.code(), Status::InvalidArgument, "{status:?}");

    grpc.ready().await.unwrap();
    let three = [&b"visited"[..], b"visited\xff", b"visited"];
    let three: Vec<Bytes> = (1..)
        .zip(three)
        .map(|(sequence, event)| message(sequence, event))
        .collect();
    let stream = raw.with(tokio_stream::iter(three));
    let mut answers = grpc
        .streaming(stream, path("EmitStream"), codec())
        .await
        .unwrap()
        .into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert!(matches!(first.outcome, Some(Outcome::Accepted(_))), "{first:?}");
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Status::InvalidArgument, "{status:?}");
    // The session goes on.
    assert!(matches!(
        raw.emit(&session, wire_value(&visit(2, "Bob"))).await,
        Outcome::Accepted(_)
    ));
}

#[tokio::test]
async fn an_output_that_validators_could_not_be_given_is_refused() {
    let place = Place::new();
    let trial = place.trial_of(ANYTHING, &any(), Limits::default()).await.unwrap();
    let mut raw = place.client(&trial).await;
    let request = raw.with(wire::RegisterRequest {
        service: "greeter".to_owned(),
        connector: "raw".to_owned(),
        events: Vec::new(),
        tasks: ["greet", "repeat"].map(named).to_vec(),
    });
    let session = raw.client.register(request).await.unwrap().into_inner().session;
    let half = "x".repeat(600_000);
    for (number, name) in [(1, "greet"), (2, "repeat")] {
        let assignment = Assignment {
            name: name.to_owned(),
            inputs: Value::object([("text", half.as_str())]),
            ..greet(number, "")
        };
        trial.handle().assign(assignment).unwrap();
    }
    let refused = submit(&mut raw, &session, B256::repeat_byte(1), output("text", &half)).await;
    let (code, message) = refused.unwrap();
    assert_eq!(code, Code::Invalid);
    assert!(
        message.starts_with("output: found 1201") && message.contains("expected at most 1048576"),
        "{message}"
    );
    // Another answer is still taken; and validators of a deterministic task are given the inputs alone.
    let taken = submit(&mut raw, &session, B256::repeat_byte(1), output("text", "x")).await;
    assert_eq!(taken, None);
    let taken = submit(&mut raw, &session, B256::repeat_byte(2), output("text", &half)).await;
    assert_eq!(taken, None);
}

fn named(name: &str) -> wire::TaskDeclaration {
    wire::TaskDeclaration {
        name: name.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_second_task_stream_of_a_session_takes_the_place_of_the_first() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let session = raw.register("raw").await.unwrap().session;
    trial.handle().assign(greet(1, "Ada")).unwrap();
    let mut first = tasks(&mut raw, &session).await;
    let assigned = first.message().await.unwrap().unwrap();
    let mut second = tasks(&mut raw, &session).await;
    assert_eq!(first.message().await.unwrap_err().code(), Status::Aborted);
    assert_eq!(second.message().await.unwrap().unwrap(), assigned);
    assert!(trial.handle().serves(SERVICE, "greet"));
    trial.handle().assign(greet(2, "Bob")).unwrap();
    second.message().await.unwrap().unwrap();
    drop(second);
    trial
        .wait("no stream", MOST, |trial| !trial.handle().serves(SERVICE, "greet"))
        .await
        .unwrap();
}

#[tokio::test]
async fn inputs_are_what_the_manifest_says_and_names_asked_for_twice_count_once() {
    let place = Place::new();
    let trial = place.trial().await;
    let mut raw = place.client(&trial).await;
    let event = wire::EventDeclaration {
        name: "visited".to_owned(),
        ..Default::default()
    };
    let request = raw.with(wire::RegisterRequest {
        service: "greeter".to_owned(),
        connector: "raw".to_owned(),
        events: vec![event.clone(), event],
        tasks: vec![named("greet"), named("greet")],
    });
    let registered = raw.client.register(request).await.unwrap().into_inner();
    assert_eq!((registered.events.len(), registered.tasks.len()), (1, 1));
    let registrations = trial.registrations();
    assert_eq!(registrations[0].events, ["visited"]);
    assert_eq!(registrations[0].tasks, ["greet"]);
    // A node's other parts may assign anything: it ends there.
    let unfit = Assignment {
        inputs: Value::object([("visitor", Value::Null)]),
        ..greet(1, "")
    };
    trial.handle().assign(unfit).unwrap();
    trial.handle().assign(greet(2, "Ada")).unwrap();
    let mut stream = tasks(&mut raw, &registered.session).await;
    let assigned = stream.message().await.unwrap().unwrap();
    assert_eq!(assigned.task, format!("{:#x}", B256::repeat_byte(2)));
    assert_eq!(trial.handle().unanswered(SERVICE), 1);
}

#[tokio::test]
async fn both_reflections_answer_and_list_everything() {
    use tonic_reflection::pb::{v1, v1alpha};

    let place = Place::new();
    let trial = place.trial().await;
    let channel = Channel::from_shared(trial.address().url()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut lists = Vec::new();
    let asked = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([asked])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    if let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) = answer.message_response {
        lists.push(list.service.into_iter().map(|service| service.name).collect::<Vec<_>>());
    }
    let asked = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::iter([asked])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    if let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    {
        lists.push(list.service.into_iter().map(|service| service.name).collect());
    }
    for list in &mut lists {
        list.sort();
    }
    let all = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "surety.connector.v1.Connector",
    ];
    assert_eq!(lists, [all, all]);
}

/// The trial by hand.
struct Console {
    trial: Arc<Trial>,
    lines: Option<mpsc::Sender<String>>,
    said: Arc<Mutex<Vec<String>>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Console {
    fn new(trial: Trial) -> Self {
        let (lines, line) = mpsc::channel(16);
        let (trial, said) = (Arc::new(trial), Arc::new(Mutex::new(Vec::new())));
        let collected = Arc::clone(&said);
        let say = move |text| collected.lock().unwrap().push(text);
        Self {
            ended: tokio::spawn(console::serve(Arc::clone(&trial), line, say)),
            lines: Some(lines),
            trial,
            said,
        }
    }

    async fn line(&self, line: &str) {
        self.lines.as_ref().unwrap().send(line.to_owned()).await.unwrap();
    }

    async fn hears(&self, what: &str) -> String {
        let find = || {
            self.said
                .lock()
                .unwrap()
                .iter()
                .find(|said| said.contains(what))
                .cloned()
        };
        self.trial.wait(what, MOST, |_| find().is_some()).await.unwrap();
        find().unwrap()
    }
}

#[tokio::test]
async fn the_trial_works_on_lines_side_by_side_and_refuses_what_a_node_would() {
    let before = now_ms();
    let place = Place::new();
    let console = Console::new(place.trial_of(ANYTHING, &any(), Limits::default()).await.unwrap());
    let mut raw = place.client(&console.trial).await;
    let request = raw.with(wire::RegisterRequest {
        service: "greeter".to_owned(),
        connector: "raw".to_owned(),
        events: Vec::new(),
        tasks: vec![named("greet"), named("repeat")],
    });
    let session = raw.client.register(request).await.unwrap().into_inner().session;
    let mut stream = tasks(&mut raw, &session).await;
    console.hears("registered raw: events [], tasks [greet, repeat]").await;

    // Two that stay unanswered don't keep the third waiting; what a number names comes one after another.
    for line in [
        r#"execute greet {"text":1}"#,
        r#"5 execute greet {"text":2}"#,
        r#"5 validate repeat {"text":2} {"text":3}"#,
        r#"execute greet {"text":4}"#,
    ] {
        console.line(line).await;
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(stream.message().await.unwrap().unwrap());
    }
    assert!(open.iter().all(|assignment| assignment.name == "greet"));
    // The window is the manifest's.
    assert!(open[0].deadline_ms - before >= 600_000, "{}", open[0].deadline_ms);
    let five = B256::left_padding_from(&[5]);
    let new: B256 = open
        .iter()
        .map(|it| it.task.parse().unwrap())
        .find(|task| *task != five)
        .unwrap();
    assert!(new >= B256::left_padding_from(&before.to_be_bytes()), "{new}");
    assert_eq!(submit(&mut raw, &session, new, output("text", "a")).await, None);
    console.hears(r#"output {"text":"a"}"#).await;
    let retry = Answer::Error(wire::TaskError {
        message: "away".to_owned(),
        retry: true,
    });
    assert_eq!(submit(&mut raw, &session, five, retry).await, None);
    assert_eq!(
        console.hears("task 5:").await,
        "task 5: error (a node would ask again): away"
    );
    // A deterministic task is validated by doing it.
    let again = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (again.name.as_str(), again.kind()),
        ("repeat", wire::assignment::Kind::Execute)
    );
    assert_eq!(submit(&mut raw, &session, five, output("text", "b")).await, None);
    console.hears(r#"task 5: INVALID: the output is {"text":"b"}"#).await;

    for (line, said) in [
        (
            "6 execute nothing {}",
            "task 6: task `nothing` is not declared; declared are: greet,",
        ),
        (
            "7 execute greet {}",
            "task 7: task `greet`: inputs: text: found nothing, expected Any",
        ),
        (
            "8 validate greet {\"text\":1} {}",
            "task 8: task `greet`: output: text: found nothing, expected Any",
        ),
        (
            "9 validate trust {} {}",
            "task 9: task `trust` is not validated: its verification is \"none\"",
        ),
        ("bogus", "found `bogus`, expected [NUMBER] execute TASK INPUTS"),
        (
            "execute greet {\"text\":1e999}",
            "inputs: number at byte 8 is too large for a double",
        ),
    ] {
        console.line(line).await;
        console.hears(said).await;
    }
    // At the end of the input what is open is waited for.
    let Console {
        mut lines, ended, said, ..
    } = console;
    lines.take();
    let last = open
        .iter()
        .map(|it| it.task.parse().unwrap())
        .rfind(|task| ![new, five].contains(task))
        .unwrap();
    assert_eq!(submit(&mut raw, &session, last, output("text", "c")).await, None);
    tokio::time::timeout(MOST, ended).await.unwrap().unwrap();
    assert!(
        said.lock()
            .unwrap()
            .iter()
            .any(|said| said.ends_with(r#"output {"text":"c"}"#))
    );
}

#[tokio::test]
async fn an_address_in_use_is_told_plainly() {
    let place = Place::new();
    let trial = place.trial().await;
    let second = place.trial_at(trial.address(), Limits::default()).await.err().unwrap();
    let Listen::Tcp(address) = trial.address() else {
        panic!("tcp")
    };
    assert_eq!(
        second.to_string(),
        format!("connectors' address http://{address}: another process listens there")
    );
}
