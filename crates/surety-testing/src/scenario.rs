//! What the end-to-end tests and benchmarks do again and again: ask, be lied to, dispute, wait.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, b256},
    signers::local::PrivateKeySigner,
    sol,
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use surety_client::{Evidence, Policy, Verdict, dispute};
use surety_primitives::{Answer, Budget, DisputeId};

use crate::{
    devnet::Devnet,
    gas::{Spent, spent},
};

sol! {
    /// The explorer's method.
    function balanceOf(bytes32 blockHash, address account) external returns (uint256);
}

/// Ethereum mainnet block 21,925,176 (`testdata/mainnet/block.json`).
pub const BLOCK: B256 = b256!("0x92dabfa3f61ff1c349d12f5fd0dd4c99760a0a41b77dee8f0a80f83efdcb307a");
/// The deposit contract.
pub const DEPOSIT: Address = address!("0x00000000219ab540356cBB839Cbe05303d7705Fa");

/// Call data: what did the deposit contract hold in that block?
pub fn question() -> Bytes {
    balanceOfCall {
        blockHash: BLOCK,
        account: DEPOSIT,
    }
    .abi_encode()
    .into()
}

/// What came of asking everybody.
#[derive(Debug)]
pub enum Asked {
    /// All gave this answer.
    Agreed(Box<Answer>),
    /// They differ.
    Differ(Box<Evidence>),
}

/// Asks `k` providers.
pub async fn ask(net: &Devnet, user: &PrivateKeySigner, budget: Budget, nonce: u64, k: usize) -> Result<Asked> {
    let client = net.client();
    let question = client.question(user, net.service, question(), budget, nonce).await?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(nonce);
    let called = client
        .ask(question, &Policy { k, ..Policy::default() }, &mut rng)
        .await?;
    Ok(match called.verdict {
        Verdict::Agreed(answer) => Asked::Agreed(answer),
        Verdict::Differ(evidence) => Asked::Differ(evidence),
        Verdict::TooFew { verified, reason } => bail!("{verified} of {k} answered: {reason:?}\n{}", net.logs()),
    })
}

/// Asks `k` providers, of whom at least one lies.
pub async fn lied_to(net: &Devnet, user: &PrivateKeySigner, budget: Budget, nonce: u64, k: usize) -> Result<Evidence> {
    match ask(net, user, budget, nonce, k).await? {
        Asked::Differ(evidence) => Ok(*evidence),
        Asked::Agreed(answer) => bail!("everybody answered {}", answer.result),
    }
}

/// Orders the claims: the one of `operator` first or last.
pub fn place(evidence: &mut Evidence, operator: Address, first: bool) {
    evidence.answers.sort_by_key(|a| (a.operator == operator) != first);
}

/// A dispute under way.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// which
    pub dispute: DisputeId,
    /// block before its opening
    pub from: u64,
}

/// Opens a dispute.
pub async fn open(net: &Devnet, user: &PrivateKeySigner, evidence: &Evidence) -> Result<Open> {
    let from = net.rpc.latest().await?.header.number;
    let opened = dispute::open(&net.actions(user).await?, evidence).await?;
    Ok(Open {
        dispute: opened.dispute,
        from,
    })
}

impl Open {
    /// The transactions so far.
    pub async fn transactions(&self, net: &Devnet) -> Result<Vec<Spent>> {
        spent(
            &net.rpc,
            &net.deployment,
            self.from,
            net.rpc.latest().await?.header.number,
        )
        .await
    }

    /// The result that was left, and what was slashed in all, once settled.
    pub async fn settled(&self, net: &Devnet) -> Result<Option<(B256, U256)>> {
        Ok(net
            .contracts()
            .dispute(self.dispute)
            .await?
            .context("the dispute is gone")?
            .settled)
    }

    /// Waits for the settlement.
    pub async fn wait(&self, net: &Devnet, patience: Duration) -> Result<(B256, U256)> {
        let start = Instant::now();
        loop {
            if let Some(settled) = self.settled(net).await? {
                return Ok(settled);
            }
            ensure!(
                start.elapsed() < patience,
                "not settled after {patience:?}\n{}",
                net.logs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Bond of an operator.
pub async fn bond(net: &Devnet, operator: Address) -> Result<U256> {
    Ok(net.contracts().operator(net.service, operator).await?.bond)
}
