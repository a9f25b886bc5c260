//! The transactions that people and nodes send, each with what it needs done before it.

use alloy::{
    primitives::{Address, B256, Bytes, FixedBytes, U256, aliases::U96},
    signers::{SignerSync, local::PrivateKeySigner},
};
use surety_primitives::{ClaimDetail, CompactSignature, DisputeId, OperatorRegistration, Signed, Statement};

use crate::{
    bindings::{IDisputes, IPreimages, IRegistry, IStaking, ServiceParameters},
    deployment::Deployment,
    error::Error,
    sender::{Sender, Sent},
    tokens::{IDevToken, IERC20},
};

/// What a service fixes when it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRegistration {
    /// its contract
    pub service: Address,
    /// keccak-256 of its manifest
    pub manifest: B256,
    /// selector and program hash of every method
    pub methods: Vec<([u8; 4], B256)>,
    /// smallest bond, in wei of the token; below 2^96
    pub min_bond: U256,
    /// step budget of a request made on-chain
    pub max_budget: u64,
    /// an `IVerdict`; zero for none
    pub verdict: Address,
}

/// Transactions of one account to one deployment.
#[derive(Debug, Clone)]
pub struct Actions {
    sender: Sender,
    deployment: Deployment,
}

impl Actions {
    /// Sends as `sender` to `deployment`.
    pub fn new(sender: Sender, deployment: Deployment) -> Self {
        Self { sender, deployment }
    }

    /// The account.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The addresses.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Registers a service. By the owner of the service's contract.
    pub async fn register_service(&self, service: &ServiceRegistration) -> Result<Sent, Error> {
        let call = IRegistry::registerServiceCall {
            service: service.service,
            manifest: service.manifest,
            selectors: service.methods.iter().map(|(s, _)| FixedBytes(*s)).collect(),
            programs: service.methods.iter().map(|(_, p)| *p).collect(),
            parameters: ServiceParameters {
                minBond: amount(service.min_bond)?,
                maxBudget: service.max_budget,
                verdict: service.verdict,
            },
        };
        self.sender.send(self.deployment.registry, &call).await
    }

    /// Sets the program of one method; zero removes it. By the service's owner.
    pub async fn set_program(&self, service: Address, selector: [u8; 4], program: B256) -> Result<Sent, Error> {
        let call = IRegistry::setProgramCall {
            service,
            selector: selector.into(),
            program,
        };
        self.sender.send(self.deployment.registry, &call).await
    }

    /// Replaces a service's manifest. By its owner.
    pub async fn set_manifest(&self, service: Address, manifest: B256) -> Result<Sent, Error> {
        self.sender
            .send(
                self.deployment.registry,
                &IRegistry::setManifestCall { service, manifest },
            )
            .await
    }

    /// Registers an operator's key, owned by the sender. The key signs that it agrees (proof of possession).
    pub async fn register_operator(&self, key: &PrivateKeySigner, endpoint: &str) -> Result<Sent, Error> {
        let registration = OperatorRegistration {
            key: key.address(),
            owner: self.sender.account(),
            endpoint: endpoint.to_owned(),
        };
        let signature = key
            .sign_hash_sync(&registration.digest(&self.deployment.registration_domain()))
            .map_err(|e| Error::Local(format!("the registration cannot be signed: {e}")))?;
        let call = IRegistry::registerOperatorCall {
            operator: key.address(),
            endpoint: endpoint.to_owned(),
            signature: Bytes::copy_from_slice(&CompactSignature::from(signature).to_bytes()),
        };
        self.sender.send(self.deployment.registry, &call).await
    }

    /// Replaces an operator's endpoint. By its owner.
    pub async fn set_endpoint(&self, operator: Address, endpoint: &str) -> Result<Sent, Error> {
        let call = IRegistry::setEndpointCall {
            operator,
            endpoint: endpoint.to_owned(),
        };
        self.sender.send(self.deployment.registry, &call).await
    }

    /// Adds `wei` of the token to an operator's bond for a service, approving the amount first if it is not. By the
    /// operator's owner.
    pub async fn deposit(&self, service: Address, operator: Address, wei: U256) -> Result<Sent, Error> {
        let (owner, spender) = (self.sender.account(), self.deployment.staking);
        let token = self.deployment.token;
        let allowed = self
            .sender
            .rpc()
            .call(token, IERC20::allowanceCall { owner, spender })
            .await?;
        if allowed < wei {
            self.sender
                .send(token, &IERC20::approveCall { spender, amount: wei })
                .await?;
        }
        self.sender
            .send(
                spender,
                &IStaking::depositCall {
                    service,
                    operator,
                    amount: wei,
                },
            )
            .await
    }

    /// Starts leaving a service. By the operator's owner.
    pub async fn leave(&self, service: Address, operator: Address) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.staking, &IStaking::leaveCall { service, operator })
            .await
    }

    /// Takes bond and reward out, after the delay. By the operator's owner.
    pub async fn withdraw_bond(&self, service: Address, operator: Address) -> Result<Sent, Error> {
        self.sender
            .send(
                self.deployment.staking,
                &IStaking::withdrawBondCall { service, operator },
            )
            .await
    }

    /// Takes the reward out. By the operator's owner.
    pub async fn withdraw_reward(&self, service: Address, operator: Address) -> Result<Sent, Error> {
        self.sender
            .send(
                self.deployment.staking,
                &IStaking::withdrawRewardCall { service, operator },
            )
            .await
    }

    /// Takes the sender's credit out (compensation, opener's and settler's parts).
    pub async fn withdraw(&self) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.staking, &IStaking::withdrawCall {})
            .await
    }

    /// Opens a dispute.
    pub async fn open(&self, statement: &Statement, responses: &[Signed]) -> Result<Sent, Error> {
        let call = IDisputes::openCall {
            statement: statement.into(),
            responses: responses.iter().map(Into::into).collect(),
        };
        self.sender.send(self.deployment.disputes, &call).await
    }

    /// Adds a claim to a dispute.
    pub async fn join(
        &self,
        statement: &Statement,
        response: &Signed,
        opener: Address,
        claims: &[ClaimDetail],
    ) -> Result<Sent, Error> {
        let call = IDisputes::joinCall {
            statement: statement.into(),
            response: response.into(),
            opener,
            claims: claims.iter().map(Into::into).collect(),
        };
        self.sender.send(self.deployment.disputes, &call).await
    }

    /// Makes a dissection move. By the operator on move.
    pub async fn dissect(
        &self,
        dispute: DisputeId,
        head: B256,
        segment: u8,
        points: [B256; 31],
    ) -> Result<Sent, Error> {
        let call = IDisputes::dissectCall {
            dispute: dispute.0,
            head,
            segment: U256::from(segment),
            points,
        };
        self.sender.send(self.deployment.disputes, &call).await
    }

    /// Proves the disputed transition. By the operator on move.
    pub async fn step(
        &self,
        statement: &Statement,
        opener: Address,
        head: B256,
        segment: u8,
        openings: Bytes,
        witness: Bytes,
    ) -> Result<Sent, Error> {
        let call = IDisputes::stepCall {
            statement: statement.into(),
            opener,
            head,
            segment: U256::from(segment),
            openings,
            witness,
        };
        self.sender.send(self.deployment.disputes, &call).await
    }

    /// Eliminates the party on move once its clock has run out.
    pub async fn expire(&self, dispute: DisputeId) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.disputes, &IDisputes::expireCall { dispute: dispute.0 })
            .await
    }

    /// Pays out a finished dispute.
    pub async fn settle(&self, statement: &Statement, opener: Address, claims: &[ClaimDetail]) -> Result<Sent, Error> {
        let call = IDisputes::settleCall {
            statement: statement.into(),
            opener,
            claims: claims.iter().map(Into::into).collect(),
        };
        self.sender.send(self.deployment.disputes, &call).await
    }

    /// Shows words of a preimage on-chain, for a READ or INPUT step.
    pub async fn show(&self, data: Bytes, offsets: Vec<u32>) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.preimages, &IPreimages::showCall { data, offsets })
            .await
    }

    /// Makes development tokens.
    pub async fn mint(&self, to: Address, wei: U256) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.token, &IDevToken::mintCall { to, amount: wei })
            .await
    }

    /// Sends tokens.
    pub async fn pay(&self, to: Address, wei: U256) -> Result<Sent, Error> {
        self.sender
            .send(self.deployment.token, &IERC20::transferCall { to, amount: wei })
            .await
    }
}

fn amount(wei: U256) -> Result<U96, Error> {
    if wei.bit_len() > 96 {
        return Err(Error::Local(format!("an amount of {wei} wei does not fit 96 bits")));
    }
    Ok(U96::from(wei))
}
