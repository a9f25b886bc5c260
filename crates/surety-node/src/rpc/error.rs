//! JSON-RPC errors: codes of docs/spec/wire.md, section 3, and what each of the node's errors becomes.

use jsonrpsee::types::ErrorObjectOwned;
use surety_machine::TrapCause;
use surety_primitives::{RequestError, Status};

use crate::{
    executor::{Run, RunFailure},
    pool::PoolError,
    provider::ProviderError,
    store::StoreError,
};

/// Error codes beside JSON-RPC's own.
pub mod code {
    /// The run reverted; data: its output. The code Ethereum nodes use.
    pub const REVERTED: i32 = 3;
    /// The queue or the store is full; ask later, or another.
    pub const BUSY: i32 = -32005;
    /// A preimage cannot be found; data: its hash.
    pub const MISSING_PREIMAGE: i32 = -32010;
    /// The budget is above the provider's limit, or the run above its bounds.
    pub const BUDGET: i32 = -32011;
    /// Not this service or chain.
    pub const NOT_THIS_SERVICE: i32 = -32012;
    /// No such method of the service.
    pub const UNKNOWN_METHOD: i32 = -32013;
    /// The parameters are not what the method takes.
    pub const INVALID_PARAMS: i32 = -32602;
    /// A fault of the node.
    pub const INTERNAL: i32 = -32603;
}

/// What a caller is told.
pub(super) fn object(error: &ProviderError) -> ErrorObjectOwned {
    let code = match error {
        ProviderError::Request(e) => match e {
            RequestError::ChainId { .. } | RequestError::To { .. } | RequestError::Create { .. } => {
                code::NOT_THIS_SERVICE
            }
            RequestError::Budget { .. } => code::BUDGET,
            _ => code::INVALID_PARAMS,
        },
        ProviderError::NotThisService { .. } => code::NOT_THIS_SERVICE,
        ProviderError::NoSelector { .. } | ProviderError::UnknownMethod { .. } => code::UNKNOWN_METHOD,
        ProviderError::NoProgram(_) => code::INTERNAL,
        ProviderError::Budget { .. } | ProviderError::CallBudget { .. } => code::BUDGET,
        ProviderError::Pool(PoolError::Busy { .. }) | ProviderError::Store(StoreError::Full { .. }) => code::BUSY,
        ProviderError::Pool(PoolError::Run(failure)) => match failure {
            RunFailure::MissingPreimage(hash) => {
                return ErrorObjectOwned::owned(code::MISSING_PREIMAGE, error.to_string(), Some(hash));
            }
            RunFailure::OutputLimit { .. } | RunFailure::PreimageLimit { .. } | RunFailure::TimedOut { .. } => {
                code::BUDGET
            }
            RunFailure::Cancelled => code::BUSY,
            RunFailure::Memory(_) => {
                tracing::warn!(%error, "a request failed for want of memory");
                return ErrorObjectOwned::owned(code::BUSY, "no memory for the run now; retry later", None::<()>);
            }
            RunFailure::Internal(_) => return inside(error),
        },
        ProviderError::Chain(_) => {
            // The endpoint's URL may hold a key.
            tracing::warn!(%error, "a request failed for the L1 endpoint");
            return ErrorObjectOwned::owned(code::BUSY, "the registry cannot be read now; retry later", None::<()>);
        }
        ProviderError::Store(_) | ProviderError::Internal(_) => return inside(error),
    };
    ErrorObjectOwned::owned(code, error.to_string(), None::<()>)
}

/// Paths, differences of engines and the like are for the operator, not for strangers.
fn inside(error: &ProviderError) -> ErrorObjectOwned {
    tracing::error!(%error, "a request failed inside");
    ErrorObjectOwned::owned(
        code::INTERNAL,
        "internal error; the operator's log has the cause",
        None::<()>,
    )
}

/// A run that did not halt with 0, as Ethereum's tools expect it: error 3 with the output as data.
pub(super) fn reverted(run: &Run) -> Option<ErrorObjectOwned> {
    let message = match (run.outcome.status, run.outcome.exit) {
        (Status::Halted, 0) => return None,
        (Status::Halted, exit) => format!("execution reverted: the program halted with code {exit}"),
        (Status::Trapped, cause) => {
            let name = TrapCause::from_exit(cause).map_or("unknown", TrapCause::name);
            format!("execution reverted: the program trapped ({name})")
        }
        (Status::OutOfSteps, _) => "execution reverted: out of steps".into(),
    };
    let data = alloy::primitives::hex::encode_prefixed(run.output.bytes());
    Some(ErrorObjectOwned::owned(code::REVERTED, message, Some(data)))
}

pub(super) fn invalid(message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code::INVALID_PARAMS, message, None::<()>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_not_told_of_the_l1_endpoint() {
        let inner = surety_chain::Error::Unreachable {
            url: "https://user:secret@l1.example:8545/v3/secret?key=secret".into(),
            method: "eth_call",
            cause: "lost".into(),
        };
        let words = inner.to_string();
        assert!(words.contains("https://l1.example:8545"), "{words}");
        assert!(!words.contains("secret"), "{words}");
        let told = object(&ProviderError::Chain(words));
        assert_eq!(told.code(), code::BUSY);
        assert_eq!(told.message(), "the registry cannot be read now; retry later");
    }

    #[test]
    fn strangers_are_not_told_how_a_run_failed() {
        let failure = RunFailure::Internal("the engines differ after step 7".into());
        let told = object(&ProviderError::Pool(PoolError::Run(failure)));
        assert_eq!(told.code(), code::INTERNAL);
        assert_eq!(told.message(), "internal error; the operator's log has the cause");
        let short = RunFailure::Memory("the host gives no memory for code: os error 12".into());
        let told = object(&ProviderError::Pool(PoolError::Run(short)));
        assert_eq!(told.code(), code::BUSY);
        assert_eq!(told.message(), "no memory for the run now; retry later");
    }
}
