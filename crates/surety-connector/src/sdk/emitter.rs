//! Sending until it is taken or refused, over however many connections that takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use surety_primitives::value::Value;
use tokio::sync::watch;
use tonic::Code as StatusCode;

use super::session::{Session, status_text};
use crate::{
    convert,
    wire::{self, emit_response::Outcome, refusal::Code, submit_request},
};

/// Emits events. Cheap to clone; call it from several tasks to have several on their way.
#[derive(Clone)]
pub struct Emitter {
    sessions: watch::Receiver<Option<Session>>,
    pause: Duration,
}

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// the node refused it, and would again
    #[error("event `{event}` was refused: {}: {message}", code.as_str_name())]
    Refused {
        /// the event's name
        event: String,
        /// what kind of reason
        code: Code,
        /// what was found and expected
        message: String,
    },
    /// the connector has ended
    #[error("the connector has ended")]
    Ended,
}

impl Emitter {
    pub(super) fn new(sessions: watch::Receiver<Option<Session>>, pause: Duration) -> Self {
        Self { sessions, pause }
    }

    /// Tells the node of an event; waits until the node has recorded it, reconnecting as needed. The event's key.
    pub async fn emit(&self, event: &str, data: &Value) -> Result<String, EmitError> {
        let request = wire::EmitRequest {
            session: String::new(),
            event: event.to_owned(),
            data: Some(convert::to_struct(data)),
            sequence: 0,
        };
        let mut pause = self.pause;
        loop {
            let mut session = self.session().await.ok_or(EmitError::Ended)?;
            match session.emit(request.clone()).await {
                Ok(response) => match response.outcome {
                    Some(Outcome::Accepted(key)) => return Ok(key),
                    Some(Outcome::Refused(refusal)) if again(&refusal) => {
                        tracing::warn!(event, cause = refusal.message, "not recorded; emitting it again");
                    }
                    Some(Outcome::Refused(refusal)) => {
                        return Err(EmitError::Refused {
                            event: event.to_owned(),
                            code: refusal.code(),
                            message: refusal.message,
                        });
                    }
                    None => tracing::warn!(event, "the node answered nothing; emitting it again"),
                },
                Err(status) if unreadable(&status) => {
                    return Err(EmitError::Refused {
                        event: event.to_owned(),
                        code: Code::Invalid,
                        message: status_text(&status),
                    });
                }
                Err(status) => tracing::warn!(event, cause = status_text(&status), "emitting it again"),
            }
            tokio::time::sleep(pause).await;
            pause = self.longer(pause);
        }
    }

    /// Answers an assignment until the answer is taken or refused, or its time is over.
    pub(super) async fn submit(&self, task: &str, attempt: u32, answer: submit_request::Answer, deadline_ms: u64) {
        let request = wire::SubmitRequest {
            session: String::new(),
            task: task.to_owned(),
            attempt,
            answer: Some(answer),
        };
        let mut pause = self.pause;
        while now_ms() < deadline_ms {
            let left = Duration::from_millis(deadline_ms.saturating_sub(now_ms()));
            let Ok(Some(mut session)) = tokio::time::timeout(left, self.session()).await else {
                break;
            };
            match session.submit(request.clone()).await {
                Ok(response) => match response.refused {
                    None => return,
                    Some(refusal) if again(&refusal) => {
                        tracing::warn!(task, cause = refusal.message, "not recorded; answering again");
                    }
                    Some(refusal) => {
                        tracing::warn!(
                            task,
                            code = refusal.code().as_str_name(),
                            cause = refusal.message,
                            "refused"
                        );
                        return;
                    }
                },
                Err(status) if unreadable(&status) => {
                    tracing::warn!(task, cause = status_text(&status), "the answer cannot be read");
                    return;
                }
                Err(status) => tracing::warn!(task, cause = status_text(&status), "answering again"),
            }
            tokio::time::sleep(pause).await;
            pause = self.longer(pause);
        }
        tracing::warn!(task, "its time is over; not answered");
    }

    fn longer(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.pause.saturating_mul(30))
    }

    /// The current session, or the next one; nothing when the connector has ended.
    async fn session(&self) -> Option<Session> {
        let mut sessions = self.sessions.clone();
        let found = sessions.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }
}

fn again(refusal: &wire::Refusal) -> bool {
    matches!(refusal.code(), Code::Busy | Code::Internal)
}

/// A message over the limit, or one that can't be decoded, is refused before the service sees it, and would be again.
fn unreadable(status: &tonic::Status) -> bool {
    matches!(status.code(), StatusCode::OutOfRange | StatusCode::InvalidArgument)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
