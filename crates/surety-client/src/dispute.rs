//! Opening a dispute.

use surety_chain::{Actions, Sent};
use surety_primitives::StatementId;

use crate::evidence::{Evidence, EvidenceError};

/// Why a dispute was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DisputeError {
    /// The evidence is none.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The chain refused, or could not be reached.
    #[error(transparent)]
    Chain(#[from] surety_chain::Error),
}

/// A dispute that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// also the statement's id
    pub dispute: StatementId,
    /// the transaction
    pub sent: Sent,
}

/// Opens a dispute with the evidence, which is verified first. Anyone may; no bond is needed.
pub async fn open(actions: &Actions, evidence: &Evidence) -> Result<Opened, DisputeError> {
    evidence.verify(actions.deployment())?;
    let sent = actions.open(&evidence.statement, &evidence.claims()).await?;
    Ok(Opened {
        dispute: evidence.statement.id(),
        sent,
    })
}
