//! The calls: what comes in is held to the manifest before the host sees it.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use surety_primitives::{B256, value::Value};
use surety_protocol::manifest::Verification;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Limits, decoded,
    desk::{Desk, Session, askable},
};
use crate::{
    MAX_MESSAGE, convert, declarations,
    host::{Answer, ConnectorHost, Emission, MAX_REASON, Refusal, Registration, Submission, Verdict},
    wire::{self, connector_server::Connector, emit_response::Outcome, refusal::Code, submit_request, verdict},
};

/// Longest name in a request, bytes.
const MAX_NAME: usize = 64;
/// Most events and tasks of one registration.
const MAX_DECLARATIONS: usize = 256;

pub(super) struct Rpc<H> {
    inner: Arc<Inner<H>>,
    stopped: watch::Receiver<bool>,
}

struct Inner<H> {
    host: Arc<H>,
    desk: Arc<Desk>,
    limits: Limits,
}

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl<H: ConnectorHost> Rpc<H> {
    pub(super) fn new(host: Arc<H>, desk: Arc<Desk>, limits: Limits, stopped: watch::Receiver<bool>) -> Self {
        Self {
            inner: Arc::new(Inner { host, desk, limits }),
            stopped,
        }
    }
}

impl<H: ConnectorHost> Inner<H> {
    fn session(&self, id: &str) -> Result<Arc<Session>, Status> {
        self.desk
            .session(id)
            .ok_or_else(|| Status::failed_precondition("no such session: register (again)"))
    }

    async fn register(&self, request: wire::RegisterRequest) -> Result<wire::RegisterResponse, Status> {
        let name = &request.connector;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let odd = name.chars().find(|c| !good(*c));
        if name.is_empty() || name.len() > MAX_NAME || odd.is_some() {
            let with = odd.map(|c| format!(" with {c:?} in it")).unwrap_or_default();
            return Err(Status::invalid_argument(format!(
                "connector: found a name of {} bytes{with}, expected 1 to {MAX_NAME} of the letters a to z and A to Z, \
                 digits, `-`, `_`, `.`",
                name.len()
            )));
        }
        if request.events.len().max(request.tasks.len()) > MAX_DECLARATIONS {
            return Err(Status::invalid_argument(format!(
                "found {} events and {} tasks, expected at most {MAX_DECLARATIONS} each",
                request.events.len(),
                request.tasks.len()
            )));
        }
        let served = self.within(self.host.service(&request.service)).await?;
        let Some(served) = served else {
            let shown: String = request.service.chars().take(MAX_NAME).collect();
            let all = self.within(self.host.services()).await?;
            let all: Vec<String> = all
                .iter()
                .map(|(name, address)| format!("{name} ({address})"))
                .collect();
            let message = format!(
                "service: found `{shown}`, expected one that this node serves: {}",
                all.join(", ")
            );
            return Err(Status::invalid_argument(clip(message, 4 * MAX_REASON)));
        };
        let wrong = declarations::mismatches(&served.network, &request);
        if !wrong.is_empty() {
            return Err(Status::invalid_argument(clip(wrong.join("\n"), 4 * MAX_REASON)));
        }
        // What is asked for twice is served once.
        let events: BTreeSet<String> = request.events.into_iter().map(|event| event.name).collect();
        let tasks: BTreeSet<String> = request.tasks.into_iter().map(|task| task.name).collect();
        let registration = Registration {
            service: served.service,
            connector: request.connector,
            events: events.into_iter().collect(),
            tasks: tasks.into_iter().collect(),
        };
        let network = Arc::clone(&served.network);
        let session = self
            .desk
            .register(&registration, Arc::clone(&network))
            .ok_or_else(|| Status::resource_exhausted("this node has as many connectors as it may have"))?;
        tracing::info!(service = %served.service, connector = registration.connector, "a connector has registered");
        self.within(self.host.registered(registration)).await?;
        let events = session.events.iter();
        let tasks = session.tasks.iter();
        Ok(wire::RegisterResponse {
            session: session.id.clone(),
            service: served.service.to_string(),
            events: events
                .filter_map(|name| Some(declarations::event(name, network.events.get(name)?)))
                .collect(),
            tasks: tasks
                .filter_map(|name| Some(declarations::task(name, network.tasks.get(name)?)))
                .collect(),
        })
    }

    /// What the host answers, if it does in time.
    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        tokio::time::timeout(self.limits.deadline, work)
            .await
            .map_err(|_| Status::unavailable("the node is too slow; connect again"))
    }

    async fn emit(&self, request: wire::EmitRequest) -> Result<wire::EmitResponse, Status> {
        let session = self.session(&request.session)?;
        let sequence = request.sequence;
        let outcome = match self.record(&session, request).await {
            Ok(key) => Outcome::Accepted(format!("{key:#x}")),
            Err(refusal) => Outcome::Refused(refused(refusal)),
        };
        Ok(wire::EmitResponse {
            sequence,
            outcome: Some(outcome),
        })
    }

    async fn record(&self, session: &Session, request: wire::EmitRequest) -> Result<B256, Refusal> {
        if !session.events.contains(&request.event) {
            let shown: String = request.event.chars().take(MAX_NAME).collect();
            let message = format!("event `{shown}` is not one that this connector registered for");
            return Err(Refusal::new(Code::Unknown, message));
        }
        let data = object(request.data, "data")?;
        let checked = session
            .network
            .check_event(&request.event, &data)
            .map_err(|unfit| Refusal::new(Code::Invalid, unfit.to_string()))?;
        let emission = Emission {
            service: session.service,
            connector: session.connector.clone(),
            event: request.event,
            data,
            id_hash: checked.id_hash,
            data_hash: checked.data_hash,
        };
        self.in_time(self.host.emit(emission)).await
    }

    async fn submit(&self, request: wire::SubmitRequest) -> Result<wire::SubmitResponse, Status> {
        let session = self.session(&request.session)?;
        let refused = self.answer(&session, request).await.err().map(refused);
        Ok(wire::SubmitResponse { refused })
    }

    async fn answer(&self, session: &Session, request: wire::SubmitRequest) -> Result<(), Refusal> {
        let task: B256 = request.task.parse().map_err(|_| {
            Refusal::new(
                Code::Invalid,
                format!(
                    "task: found {} bytes, expected 0x and 64 hex digits",
                    request.task.len()
                ),
            )
        })?;
        let attempt = request.attempt;
        let found = self.desk.find(session.service, task, attempt);
        let found = found.ok_or_else(|| {
            Refusal::new(
                Code::Late,
                format!("task {task:#x}, attempt {attempt}: nobody waits for it (any more)"),
            )
        })?;
        if !session.tasks.contains(&found.name) {
            let message = format!("task `{}` is not one that this connector registered for", found.name);
            return Err(Refusal::new(Code::Unknown, message));
        }
        let answer = match request.answer {
            Some(submit_request::Answer::Output(output)) if !found.validates => {
                let output = object(Some(output), "output")?;
                session
                    .network
                    .check_outputs(&found.name, &output)
                    .map_err(|unfit| Refusal::new(Code::Invalid, unfit.to_string()))?;
                let declared = session.network.tasks.get(&found.name);
                if declared.is_some_and(|task| task.verification == Verification::Verify) {
                    askable(task, &found.name, found.inputs, output.clone()).map_err(|size| {
                        let message = format!(
                            "output: found {size} bytes with the task's inputs, expected at most {MAX_MESSAGE}: \
                             validators are given both in one message"
                        );
                        Refusal::new(Code::Invalid, message)
                    })?;
                }
                Answer::Output(output)
            }
            Some(submit_request::Answer::Verdict(verdict)) if found.validates => Answer::Verdict {
                verdict: match verdict.answer() {
                    verdict::Answer::Valid => Verdict::Valid,
                    verdict::Answer::Invalid => Verdict::Invalid,
                    verdict::Answer::Unknown => Verdict::Unknown,
                    verdict::Answer::Unspecified => {
                        let message = "verdict: found none, expected VALID, INVALID or UNKNOWN";
                        return Err(Refusal::new(Code::Invalid, message));
                    }
                },
                reason: clip(verdict.reason, MAX_REASON),
            },
            Some(submit_request::Answer::Error(error)) => Answer::Failed {
                message: clip(error.message, MAX_REASON),
                retry: error.retry,
            },
            _ if found.validates => {
                let message = "answer: expected a verdict or an error: the task was to be validated";
                return Err(Refusal::new(Code::Invalid, message));
            }
            _ => {
                let message = "answer: expected an output or an error: the task was to be executed";
                return Err(Refusal::new(Code::Invalid, message));
            }
        };
        let submission = Submission {
            service: session.service,
            connector: session.connector.clone(),
            task,
            attempt,
            answer,
            took: found.took,
        };
        let answering = self.desk.answering(session.service, task, attempt).ok_or_else(|| {
            Refusal::new(
                Code::Busy,
                format!("task {task:#x}, attempt {attempt}: it is being answered already"),
            )
        })?;
        let result = self.in_time(self.host.submit(submission)).await;
        let again = matches!(&result, Err(refusal) if matches!(refusal.code, Code::Busy | Code::Internal));
        if !again {
            answering.done();
        }
        result
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        match tokio::time::timeout(self.limits.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::new(
                Code::Busy,
                format!("not recorded within {} s", self.limits.deadline.as_secs()),
            )),
        }
    }
}

fn object(found: Option<prost_types::Struct>, what: &str) -> Result<Value, Refusal> {
    convert::from_struct(found).map_err(|error| Refusal::new(Code::Invalid, format!("{what}: {error}")))
}

fn refused(refusal: Refusal) -> wire::Refusal {
    wire::Refusal {
        code: refusal.code.into(),
        message: clip(refusal.message, 4 * MAX_REASON),
    }
}

/// The beginning of a text, cut between characters.
fn clip(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
    }
    text
}

#[tonic::async_trait]
impl<H: ConnectorHost> Connector for Rpc<H> {
    type EmitStreamStream = Outgoing<wire::EmitResponse>;
    type TasksStream = Outgoing<wire::Assignment>;

    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        self.inner.register(request.into_inner()).await.map(Response::new)
    }

    async fn emit(&self, request: Request<wire::EmitRequest>) -> Result<Response<wire::EmitResponse>, Status> {
        self.inner.emit(request.into_inner()).await.map(Response::new)
    }

    async fn emit_stream(
        &self,
        request: Request<Streaming<wire::EmitRequest>>,
    ) -> Result<Response<Self::EmitStreamStream>, Status> {
        let inner = Arc::clone(&self.inner);
        let mut stopped = self.stopped.clone();
        let emissions = inner.limits.emissions;
        let answers = request
            .into_inner()
            .map(move |request| {
                let inner = Arc::clone(&inner);
                async move { inner.emit(request.map_err(decoded::status)?).await }
            })
            // In order; the stream is not read while so many are being recorded.
            .buffered(emissions)
            .take_until(async move {
                let _sender_gone = stopped.wait_for(|stop| *stop).await;
            });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn tasks(&self, request: Request<wire::TasksRequest>) -> Result<Response<Self::TasksStream>, Status> {
        let session = self.inner.session(&request.into_inner().session)?;
        let (send, receive) = mpsc::channel(self.inner.limits.queue);
        let desk = Arc::clone(&self.inner.desk);
        let mut stopped = self.stopped.clone();
        let stream = desk.opened(&session);
        tokio::spawn(async move {
            let mut newest = session.newest.subscribe();
            let mut over = session.over.subscribe();
            let deliver = async {
                loop {
                    // Armed before looking, so that nothing is missed in between.
                    let changed = desk.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    let Ok(permit) = send.reserve().await else { return };
                    match desk.take(&session, stream) {
                        Some(message) => permit.send(Ok(message)),
                        None => changed.await,
                    }
                }
            };
            let goodbye = tokio::select! {
                () = deliver => None,
                () = send.closed() => None,
                _ = over.wait_for(|over| *over) => {
                    Some(Status::failed_precondition("another connector has registered under this name"))
                }
                _ = newest.wait_for(|newest| *newest > stream) => {
                    Some(Status::aborted("another Tasks call of this session has taken the place of this one"))
                }
                _ = stopped.wait_for(|stop| *stop) => Some(Status::unavailable("the node is stopping")),
            };
            if let Some(status) = goodbye {
                let _full_or_gone = send.try_send(Err(status));
            }
            desk.closed(&session, stream);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Result<Response<wire::SubmitResponse>, Status> {
        self.inner.submit(request.into_inner()).await.map(Response::new)
    }
}
