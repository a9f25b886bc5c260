//! Opening a dispute.

use surety_chain::{Actions, Sent};
use surety_primitives::DisputeId;

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
    /// of the statement and this opener
    pub dispute: DisputeId,
    /// the transaction
    pub sent: Sent,
}

/// Opens a dispute with the evidence, which is verified first. Anyone may; no bond is needed,
/// and another account's dispute about the same statement is no hindrance.
pub async fn open(actions: &Actions, evidence: &Evidence) -> Result<Opened, DisputeError> {
    evidence.verify(actions.deployment())?;
    let sent = actions.open(&evidence.statement, &evidence.claims()).await?;
    Ok(Opened {
        dispute: DisputeId::new(evidence.statement.id(), actions.sender().account()),
        sent,
    })
}
