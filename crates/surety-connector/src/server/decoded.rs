//! A message that can't be decoded is the sender's fault: INVALID_ARGUMENT rather than tonic's INTERNAL, which reads as
//! if it were worth another try.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

/// The status of a request that came in over a stream and could not be read.
pub(super) fn status(status: Status) -> Status {
    match status.code() {
        Code::Internal => Status::invalid_argument(status.message()),
        _ => status,
    }
}

/// A service that says INTERNAL only of what it could not decode: nothing in it has another reason to.
#[derive(Debug, Clone)]
pub(super) struct Decoded<S>(pub(super) S);

impl<S: NamedService> NamedService for Decoded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, R> Service<R> for Decoded<S>
where
    S: Service<R, Response = http::Response<Body>>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        Answer(self.0.call(request))
    }
}

/// The answer to one call.
pub(super) struct Answer<F>(F);

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<http::Response<Body>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.0).poll(cx))?;
        // An answer that is nothing but a status has it in its headers.
        if let Some(code) = answer.headers_mut().get_mut("grpc-status")
            && Code::from_bytes(code.as_bytes()) == Code::Internal
        {
            *code = http::HeaderValue::from(Code::InvalidArgument as i32);
        }
        Poll::Ready(Ok(answer))
    }
}
