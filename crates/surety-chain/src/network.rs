//! The contracts of the network (`docs/spec/network.md`): sets, flows, runs, faults. Reads of [`Contracts`] and
//! transactions of [`Actions`].

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U256},
    rlp::Encodable,
    rpc::types::Filter,
    sol_types::SolEvent,
};

use crate::{
    actions::Actions,
    bindings::{IFaults, IQuorum, IRegistry, ITasks, ITerms, Price, Proven, Settlement, Step, Trigger},
    contracts::Contracts,
    error::Error,
    sender::Sent,
    tokens::IERC20,
};

/// A set as the contract announced it, with its roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRecord {
    /// the service
    pub service: Address,
    /// its number, from 1
    pub set: u64,
    /// block it was fixed at
    pub fixed_at: u64,
    /// Unix seconds of that block
    pub time: u64,
    /// how many members it has
    pub members: u8,
    /// pages of the roll (`docs/spec/network.md`, section 2)
    pub roll: [Bytes; 2],
}

/// An operator's keys for the network, as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkKeys {
    /// BLS public key, 256 bytes; empty if none is registered
    pub bls: Bytes,
    /// X25519 public key
    pub encryption: B256,
    /// multiaddress, possibly empty
    pub peer_address: String,
}

/// `prevrandao` of a block, and its header, which proves it to the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Randomness {
    /// the block
    pub block: u64,
    /// its `mixHash`
    pub mix: B256,
    /// RLP of its header
    pub header: Bytes,
}

impl Contracts {
    /// All sets of a service from a block on, oldest first, without their rolls: number, block, pages.
    pub async fn sets(&self, service: Address, from_block: u64) -> Result<Vec<(u64, u64, [Address; 2])>, Error> {
        let filter = Filter::new()
            .address(self.deployment().quorum)
            .event_signature(IQuorum::SetFixed::SIGNATURE_HASH)
            .topic1(service.into_word());
        let logs = self.history(filter, from_block).await?;
        Ok(logs
            .iter()
            .filter_map(|log| {
                let event = IQuorum::SetFixed::decode_log(&log.inner).ok()?;
                Some((event.set, log.block_number?, event.pages))
            })
            .collect())
    }

    /// Reads the pages of a set's roll: the code of the data contracts that hold it.
    pub async fn roll(&self, pages: [Address; 2]) -> Result<[Bytes; 2], Error> {
        let mut roll = [Bytes::new(), Bytes::new()];
        for (page, bytes) in pages.into_iter().zip(&mut roll) {
            if !page.is_zero() {
                *bytes = self.rpc().code(page).await?;
            }
        }
        Ok(roll)
    }

    /// Number of the newest set of a service; 0 if it has none.
    pub async fn set_count(&self, service: Address) -> Result<u64, Error> {
        self.rpc()
            .call(self.deployment().quorum, IQuorum::setCountCall { service })
            .await
    }

    /// An operator's keys.
    pub async fn network_keys(&self, operator: Address) -> Result<NetworkKeys, Error> {
        let keys = self
            .rpc()
            .call(self.deployment().registry, IRegistry::keysOfCall { operator })
            .await?;
        Ok(NetworkKeys {
            bls: keys.blsKey,
            encryption: keys.encryptionKey,
            peer_address: keys.peerAddress,
        })
    }

    /// The quorum that counts for a set of a service, in 1/10,000 of the power.
    pub async fn quorum_at(&self, service: Address, set: u64) -> Result<u16, Error> {
        self.rpc()
            .call(self.deployment().terms(), ITerms::quorumAtCall { service, set })
            .await
    }

    /// What a task costs in runs that are recorded from now on.
    pub async fn price_of(&self, service: Address, task: B256) -> Result<Price, Error> {
        self.rpc()
            .call(self.deployment().terms(), ITerms::priceOfCall { service, task })
            .await
    }

    /// What can be spent or taken out of an application's deposit, in wei of the token.
    pub async fn application_deposit(&self, application: Address) -> Result<U256, Error> {
        self.rpc()
            .call(self.deployment().tasks, ITasks::depositOfCall { application })
            .await
    }

    /// What a member of a set earned with its signatures and was not collected, in wei of the token.
    pub async fn uncollected(&self, service: Address, set: u64, index: u8) -> Result<U256, Error> {
        let call = ITasks::uncollectedOfCall { service, set, index };
        self.rpc().call(self.deployment().tasks, call).await
    }

    /// What an operator earned for a service and has not taken out, what is not collected left out; in wei of the token.
    pub async fn earned(&self, service: Address, operator: Address) -> Result<U256, Error> {
        self.rpc()
            .call(self.deployment().tasks, ITasks::earnedOfCall { service, operator })
            .await
    }

    /// What runs recorded in `block` are drawn with: `prevrandao` of the block after it, and the block's own time in
    /// Unix seconds. `None` while there is no block after it.
    pub async fn draw(&self, block: u64) -> Result<Option<(B256, u64)>, Error> {
        let Some(after) = self
            .rpc()
            .block(BlockNumberOrTag::Number(block.saturating_add(1)))
            .await?
        else {
            return Ok(None);
        };
        let of = self.rpc().block(BlockNumberOrTag::Number(block)).await?;
        Ok(of.map(|of| (after.header.inner.mix_hash, of.header.inner.timestamp)))
    }

    /// The randomness of a block with the header that proves it; `None` while there is no such block.
    pub async fn randomness(&self, block: u64) -> Result<Option<Randomness>, Error> {
        let Some(found) = self.rpc().block(BlockNumberOrTag::Number(block)).await? else {
            return Ok(None);
        };
        let mut header = Vec::new();
        found.header.inner.encode(&mut header);
        Ok(Some(Randomness {
            block,
            mix: found.header.inner.mix_hash,
            header: header.into(),
        }))
    }
}

impl Actions {
    async fn tasks<C: alloy::sol_types::SolCall>(&self, call: &C) -> Result<Sent, Error> {
        self.sender().send(self.deployment().tasks, call).await
    }

    /// Registers an operator's keys for votes and private payloads, and where its peer is found. By its owner.
    pub async fn set_keys(
        &self,
        operator: Address,
        bls_key: Bytes,
        proof: Bytes,
        encryption_key: B256,
        peer_address: &str,
    ) -> Result<Sent, Error> {
        let call = IRegistry::setKeysCall {
            operator,
            blsKey: bls_key,
            proof,
            encryptionKey: encryption_key,
            peerAddress: peer_address.to_owned(),
        };
        self.sender().send(self.deployment().registry, &call).await
    }

    /// Fixes a service's next set.
    pub async fn fix_set(&self, service: Address) -> Result<Sent, Error> {
        self.sender()
            .send(self.deployment().quorum, &IQuorum::fixCall { service })
            .await
    }

    /// Sets a service's quorum, in 1/10,000 of the power. By its owner.
    pub async fn set_terms(&self, service: Address, quorum: u16) -> Result<Sent, Error> {
        let call = ITerms::setTermsCall { service, quorum };
        self.sender().send(self.deployment().terms(), &call).await
    }

    /// Sets the price of a task. By the service's owner.
    pub async fn set_price(&self, service: Address, task: B256, price: Price) -> Result<Sent, Error> {
        let call = ITerms::setPriceCall { service, task, price };
        self.sender().send(self.deployment().terms(), &call).await
    }

    /// Adds `wei` of the token to the sender's deposit for tasks, approving the amount first if it is not.
    pub async fn fund_tasks(&self, wei: U256) -> Result<Sent, Error> {
        let (owner, spender) = (self.sender().account(), self.deployment().tasks);
        let token = self.deployment().token;
        let rpc = self.sender().rpc();
        let allowed = rpc.call(token, IERC20::allowanceCall { owner, spender }).await?;
        if allowed < wei {
            self.sender()
                .send(token, &IERC20::approveCall { spender, amount: wei })
                .await?;
        }
        self.tasks(&ITasks::depositCall { amount: wei }).await
    }

    /// Takes `wei` out of the sender's deposit for tasks.
    pub async fn withdraw_from_tasks(&self, wei: U256) -> Result<Sent, Error> {
        self.tasks(&ITasks::withdrawCall { amount: wei }).await
    }

    /// Creates a flow; its number is in the log `FlowCreated`.
    pub async fn create_flow(
        &self,
        definition: Bytes,
        trigger: Trigger,
        steps: Vec<Step>,
    ) -> Result<(U256, Sent), Error> {
        let call = ITasks::createFlowCall {
            definition,
            trigger,
            steps,
        };
        let sent = self.tasks(&call).await?;
        let flow = sent
            .receipt
            .inner
            .logs()
            .iter()
            .find_map(|log| ITasks::FlowCreated::decode_log(&log.inner).ok())
            .map(|event| event.flow)
            .ok_or_else(|| Error::Local(format!("the receipt of {} has no FlowCreated", sent.hash)))?;
        Ok((flow, sent))
    }

    /// Ends a flow. By its owner.
    pub async fn delete_flow(&self, flow: U256) -> Result<Sent, Error> {
        self.tasks(&ITasks::deleteFlowCall { flow }).await
    }

    /// Asks for one task; the run is in the log `Requested`.
    pub async fn request_task(&self, step: Step, inputs: B256) -> Result<(B256, Sent), Error> {
        let sent = self.tasks(&ITasks::requestCall { step, inputs }).await?;
        let run = sent
            .receipt
            .inner
            .logs()
            .iter()
            .find_map(|log| ITasks::Requested::decode_log(&log.inner).ok())
            .map(|event| event.run)
            .ok_or_else(|| Error::Local(format!("the receipt of {} has no Requested", sent.hash)))?;
        Ok((run, sent))
    }

    /// Starts a flow's run from a certified event.
    pub async fn start_run(&self, flow: U256, id_hash: B256, certified: Proven) -> Result<Sent, Error> {
        self.tasks(&ITasks::startCall {
            flow,
            idHash: id_hash,
            certified,
        })
        .await
    }

    /// Stores a block's randomness.
    pub async fn pin_randomness(&self, block: u64, header: Bytes) -> Result<Sent, Error> {
        self.tasks(&ITasks::pinCall { block_: block, header }).await
    }

    /// Has a result paid.
    pub async fn settle_task(&self, settlement: Settlement) -> Result<Sent, Error> {
        self.tasks(&ITasks::settleCall { settlement }).await
    }

    /// Returns what a run still holds to its owner.
    pub async fn close_run(&self, run: B256) -> Result<Sent, Error> {
        self.tasks(&ITasks::closeCall { run }).await
    }

    /// Takes out what an operator earned for a service and was collected. By its owner.
    pub async fn claim(&self, service: Address, operator: Address) -> Result<Sent, Error> {
        self.tasks(&ITasks::claimCall { service, operator }).await
    }

    /// Collects what a member of a set earned with its signatures.
    pub async fn collect(&self, service: Address, set: u64, index: u8) -> Result<Sent, Error> {
        self.tasks(&ITasks::collectCall { service, set, index }).await
    }

    /// Reports two contradicting votes of one member.
    pub async fn report_double(&self, first: Proven, second: Proven) -> Result<Sent, Error> {
        let call = IFaults::reportDoubleCall { first, second };
        self.sender().send(self.deployment().faults, &call).await
    }

    /// Reports a vote against the quorum's.
    pub async fn report_minority(&self, ballot: Proven, certified: Proven) -> Result<Sent, Error> {
        let call = IFaults::reportMinorityCall { ballot, certified };
        self.sender().send(self.deployment().faults, &call).await
    }

    /// Reports a result that the quorum found invalid.
    pub async fn report_result(&self, ballot: Proven, certified: Proven) -> Result<Sent, Error> {
        let call = IFaults::reportResultCall { ballot, certified };
        self.sender().send(self.deployment().faults, &call).await
    }

    /// Slashes those in a case whose window is over.
    pub async fn punish(&self, case: B256) -> Result<Sent, Error> {
        self.sender()
            .send(self.deployment().faults, &IFaults::punishCall { id: case })
            .await
    }
}

impl From<&surety_primitives::certificate::Certificate> for crate::bindings::Certificate {
    fn from(c: &surety_primitives::certificate::Certificate) -> Self {
        Self {
            service: c.ballot.service,
            set: c.ballot.set,
            root: c.ballot.root,
            signers: c.signers.to_u256(),
            signature: Bytes::copy_from_slice(&c.signature.to_eip2537()),
        }
    }
}

impl From<&surety_primitives::certificate::Proven> for Proven {
    fn from(p: &surety_primitives::certificate::Proven) -> Self {
        Self {
            certificate: (&p.certificate).into(),
            vote: crate::bindings::Vote {
                kind: crate::bindings::VoteKind::try_from(p.vote.kind as u8).unwrap_or(crate::bindings::VoteKind::NONE),
                subject: p.vote.subject,
                value: p.vote.value,
            },
            proof: p.proof.clone(),
        }
    }
}
