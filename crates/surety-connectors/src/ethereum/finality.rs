//! Blocks that are final, from an endpoint whose answers may come from different machines: behind a load balancer one
//! machine's head says nothing about another one's blocks. So a block is final only if headers lead from a block that is
//! deep enough above it down to it, each the parent of the next: that holds whoever answered which question.

use alloy::{eips::BlockNumberOrTag, primitives::B256};
use futures_util::{StreamExt, TryStreamExt, stream};
use surety_chain::Rpc;

/// Headers asked for at a time.
const CONCURRENCY: usize = 16;
/// Most blocks on top of one that may be asked for.
pub(super) const MAX_CONFIRMATIONS: u64 = 1_024;

/// Why a block can't be told to be final (yet). Asking again later may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotFinal {
    /// the endpoint doesn't answer
    #[error("{0}")]
    Endpoint(String),
    /// a block isn't there, though the head is above it
    #[error("the endpoint has no block {0}, though its head is above; it is behind itself")]
    Absent(u64),
    /// two of its blocks don't fit
    #[error("the endpoint's block {0} is not on top of its block before; its answers are of different chains")]
    Apart(u64),
}

/// Number and hash of the blocks from `from` to `to` that have `confirmations` blocks on top; fewer, or none, if the
/// head is not high enough.
pub(super) async fn final_blocks(
    rpc: &Rpc,
    confirmations: u64,
    from: u64,
    to: u64,
) -> Result<Vec<(u64, B256)>, NotFinal> {
    let head = rpc.latest().await.map_err(|e| NotFinal::Endpoint(e.to_string()))?;
    let Some(last) = head
        .header
        .number
        .checked_sub(confirmations)
        .filter(|last| *last >= from)
    else {
        return Ok(Vec::new());
    };
    let last = last.min(to);
    let headers: Vec<(u64, B256, B256)> = stream::iter(from..=last.saturating_add(confirmations))
        .map(|number| async move {
            let block = rpc.block(BlockNumberOrTag::Number(number)).await;
            let block = block.map_err(|e| NotFinal::Endpoint(e.to_string()))?;
            let header = block
                .filter(|block| block.header.number == number)
                .map(|block| block.header);
            let header = header.ok_or(NotFinal::Absent(number))?;
            Ok((number, header.hash, header.parent_hash))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    linked(&headers)?;
    let blocks = headers.into_iter().map(|(number, hash, _)| (number, hash));
    Ok(blocks.take_while(|(number, _)| *number <= last).collect())
}

/// Whether each header is the parent of the next.
fn linked(headers: &[(u64, B256, B256)]) -> Result<(), NotFinal> {
    let pairs = headers.iter().zip(headers.iter().skip(1));
    for ((_, hash, _), (number, _, parent)) in pairs {
        if hash != parent {
            return Err(NotFinal::Apart(*number));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_two_chains_are_no_chain() {
        let hash = B256::repeat_byte;
        let one = [(7, hash(7), hash(6)), (8, hash(8), hash(7)), (9, hash(9), hash(8))];
        assert_eq!(linked(&one), Ok(()));
        let two = [
            (7, hash(7), hash(6)),
            (8, hash(0x88), hash(0x77)),
            (9, hash(9), hash(0x88)),
        ];
        assert_eq!(linked(&two), Err(NotFinal::Apart(8)));
        assert_eq!(linked(&[]), Ok(()));
    }
}
