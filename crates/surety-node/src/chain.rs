//! What the node wants of the L1, as a trait, and its implementation over `surety-chain`.

use alloy::primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use surety_chain::{
    Actions, Contracts, Deployment, Error, Rpc, Sender,
    bindings::{IDisputes, IPreimages, IService},
};
use surety_primitives::{Answer, ClaimDetail, DisputeId, Signed, Statement};

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its hash.
    pub hash: B256,
    /// Gas it used.
    pub gas: u64,
    /// The block it is in.
    pub block: u64,
}

/// The L1 as the node needs it: reads at the latest block, and transactions of the operator's account that return when
/// they are in a block. A transaction that would revert is never sent; it comes back as [`Error::Reverted`].
#[async_trait]
pub trait ChainClient: Send + Sync {
    /// The chain id of the L1.
    fn chain_id(&self) -> u64;
    /// The program of a service's method; `None` if it has no such method.
    async fn program_of(&self, service: Address, selector: [u8; 4]) -> Result<Option<B256>, Error>;
    /// Whether the operator's bond reaches the service's minimum and is not leaving.
    async fn is_bonded(&self, service: Address, operator: Address) -> Result<bool, Error>;
    /// A dispute's state; `None` if there is none or it is settled.
    async fn dispute(&self, id: DisputeId) -> Result<Option<IDisputes::View>, Error>;
    /// Seconds a party has in each match.
    async fn clock(&self) -> Result<u64, Error>;
    /// Whether an operator's response to a forced request is posted.
    async fn responded(&self, service: Address, request: B256, operator: Address) -> Result<bool, Error>;
    /// Wei in the operator's account. As good as any amount where there is no gas to pay.
    async fn balance(&self) -> Result<U256, Error> {
        Ok(U256::MAX)
    }

    /// Whether a part of a preimage has been shown to the `Preimages` contract.
    async fn is_shown(&self, hash: B256, offset: u32) -> Result<bool, Error>;

    /// Posts the answer to a forced request.
    async fn respond(&self, answer: &Answer) -> Result<Receipt, Error>;
    /// Adds our claim to a dispute.
    async fn join(
        &self,
        statement: &Statement,
        response: &Signed,
        opener: Address,
        claims: &[ClaimDetail],
    ) -> Result<Receipt, Error>;
    /// A dissecting move.
    async fn dissect(&self, id: DisputeId, head: B256, segment: u8, points: [B256; 31]) -> Result<Receipt, Error>;
    /// The last move.
    async fn step(
        &self,
        statement: &Statement,
        opener: Address,
        head: B256,
        segment: u8,
        openings: Bytes,
        witness: Bytes,
    ) -> Result<Receipt, Error>;
    /// Shows a preimage.
    async fn show(&self, data: Bytes, offsets: Vec<u32>) -> Result<Receipt, Error>;
    /// Eliminates a party whose clock ran out.
    async fn expire(&self, id: DisputeId) -> Result<Receipt, Error>;
    /// Pays out a finished dispute.
    async fn settle(&self, statement: &Statement, opener: Address, claims: &[ClaimDetail]) -> Result<Receipt, Error>;
}

/// The L1 over JSON-RPC.
#[derive(Debug, Clone)]
pub struct EthereumChain {
    contracts: Contracts,
    actions: Actions,
}

impl EthereumChain {
    /// Reads and sends through `rpc`, as the sender's account.
    pub fn new(rpc: Rpc, sender: Sender, deployment: Deployment) -> Self {
        Self {
            contracts: Contracts::new(rpc, deployment.clone()),
            actions: Actions::new(sender, deployment),
        }
    }

    fn deployment(&self) -> &Deployment {
        self.contracts.deployment()
    }
}

fn receipt(sent: surety_chain::Sent) -> Receipt {
    Receipt {
        hash: sent.hash,
        gas: sent.gas,
        block: sent.block,
    }
}

#[async_trait]
impl ChainClient for EthereumChain {
    fn chain_id(&self) -> u64 {
        self.deployment().chain_id
    }

    async fn program_of(&self, service: Address, selector: [u8; 4]) -> Result<Option<B256>, Error> {
        self.contracts.program_of(service, selector).await
    }

    async fn is_bonded(&self, service: Address, operator: Address) -> Result<bool, Error> {
        Ok(self.contracts.operator(service, operator).await?.bonded)
    }

    async fn dispute(&self, id: DisputeId) -> Result<Option<IDisputes::View>, Error> {
        self.contracts.dispute_view(id).await
    }

    async fn clock(&self) -> Result<u64, Error> {
        Ok(self
            .contracts
            .rpc()
            .call(self.deployment().disputes, IDisputes::clockCall {})
            .await?
            .into())
    }

    async fn responded(&self, service: Address, request: B256, operator: Address) -> Result<bool, Error> {
        self.contracts
            .rpc()
            .call(service, IService::respondedCall { request, operator })
            .await
    }

    async fn balance(&self) -> Result<U256, Error> {
        let account = self.actions.sender().account();
        self.contracts.rpc().balance(account).await
    }

    async fn is_shown(&self, hash: B256, offset: u32) -> Result<bool, Error> {
        match self
            .contracts
            .rpc()
            .call(self.deployment().preimages, IPreimages::wordCall { hash, offset })
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Reverted { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn respond(&self, answer: &Answer) -> Result<Receipt, Error> {
        let call = IService::respondCall {
            statement: (&answer.statement).into(),
            response: (&Signed::from(answer)).into(),
            outcome: surety_chain::bindings::Outcome {
                status: answer.outcome.status as u8,
                exit: answer.outcome.exit,
                output: Bytes::copy_from_slice(answer.output.bytes()),
                chunks: answer.output.chunks().map(Bytes::copy_from_slice).unwrap_or_default(),
            },
        };
        self.actions
            .sender()
            .send(answer.statement.service, &call)
            .await
            .map(receipt)
    }

    async fn join(
        &self,
        statement: &Statement,
        response: &Signed,
        opener: Address,
        claims: &[ClaimDetail],
    ) -> Result<Receipt, Error> {
        self.actions
            .join(statement, response, opener, claims)
            .await
            .map(receipt)
    }

    async fn dissect(&self, id: DisputeId, head: B256, segment: u8, points: [B256; 31]) -> Result<Receipt, Error> {
        self.actions.dissect(id, head, segment, points).await.map(receipt)
    }

    async fn step(
        &self,
        statement: &Statement,
        opener: Address,
        head: B256,
        segment: u8,
        openings: Bytes,
        witness: Bytes,
    ) -> Result<Receipt, Error> {
        self.actions
            .step(statement, opener, head, segment, openings, witness)
            .await
            .map(receipt)
    }

    async fn show(&self, data: Bytes, offsets: Vec<u32>) -> Result<Receipt, Error> {
        self.actions.show(data, offsets).await.map(receipt)
    }

    async fn expire(&self, id: DisputeId) -> Result<Receipt, Error> {
        self.actions.expire(id).await.map(receipt)
    }

    async fn settle(&self, statement: &Statement, opener: Address, claims: &[ClaimDetail]) -> Result<Receipt, Error> {
        self.actions.settle(statement, opener, claims).await.map(receipt)
    }
}
