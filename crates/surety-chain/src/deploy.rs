//! Deploying the contracts. They are immutable and name each other, so addresses are predicted from the deployer's
//! nonce (`CREATE`) before anything is sent, and compared afterwards.

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::Provider,
    sol_types::SolValue,
};

use crate::{
    artifacts,
    deployment::Deployment,
    error::Error,
    sender::{Sender, Sent},
};

/// Most claims in a dispute (`docs/spec/dispute.md`, section 2).
const MAX_CLAIMS: u64 = 8;

/// What is fixed for ever when the contracts are deployed. All times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployParameters {
    /// The ERC-20 that bonds are in; `None` deploys the worthless development token.
    pub token: Option<Address>,
    /// What each party of a match has for all its moves.
    pub clock: u32,
    /// For how long a dispute can be joined, from its opening and from each elimination.
    pub join_window: u32,
    /// From leaving to withdrawing the bond; above [`DeployParameters::longest_dispute`].
    pub leave_delay: u64,
    /// Least number of blocks between two sets of a service.
    pub set_period: u64,
    /// For how long the faults about one subject are collected before they are punished.
    pub report_window: u64,
    /// Most that is minted to operators in an epoch, in whole tokens.
    pub issued: u64,
    /// How long an epoch of issuance lasts.
    pub issuance_epoch: u64,
}

impl DeployParameters {
    /// For a development network: disputes are over in seconds, and a silent player loses in two minutes.
    pub const DEV: Self = Self {
        token: None,
        clock: 120,
        join_window: 5,
        leave_delay: 3_600,
        set_period: 10,
        report_window: 6,
        issued: 1_000,
        issuance_epoch: 3_600,
    };

    /// For a network where a player must be able to be down for a day: 1 day of clock, 1 day to join, and 30 days to
    /// leave.
    pub const PUBLIC: Self = Self {
        token: None,
        clock: 86_400,
        join_window: 86_400,
        leave_delay: 30 * 86_400,
        // A day of blocks.
        set_period: 7_200,
        report_window: 86_400,
        issued: 100_000,
        issuance_epoch: 7 * 86_400,
    };

    /// The longest a dispute can take, as `Disputes` computes it.
    pub fn longest_dispute(&self) -> u64 {
        let (clock, window) = (u64::from(self.clock), u64::from(self.join_window));
        window.saturating_add((MAX_CLAIMS - 1).saturating_mul(clock.saturating_mul(2).saturating_add(window)))
    }

    fn check(&self) -> Result<(), Error> {
        if self.clock == 0 || self.clock >= 1 << 21 || self.join_window == 0 {
            return Err(Error::Local(format!(
                "clock is {} s and join window {} s, expected 1 to 2097151 s and at least 1 s",
                self.clock, self.join_window
            )));
        }
        if self.leave_delay <= self.longest_dispute() {
            return Err(Error::Local(format!(
                "leaving takes {} s, expected more than the longest dispute, {} s",
                self.leave_delay,
                self.longest_dispute()
            )));
        }
        Ok(())
    }
}

/// What a deployment cost.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// the addresses
    pub deployment: Deployment,
    /// contract and gas of its transaction
    pub gas: Vec<(&'static str, u64)>,
}

/// Creation code of an embedded artefact with its arguments.
fn creation(name: &'static str, arguments: &[u8]) -> Result<Bytes, Error> {
    let artifact = artifacts::get(name)
        .filter(|a| !a.bytecode.is_empty())
        .ok_or_else(|| Error::Local(format!("the artefact of {name} is missing; run `make artifacts`")))?;
    Ok([artifact.bytecode.as_ref(), arguments].concat().into())
}

/// Deploys all contracts. Nothing else may send from the account meanwhile.
pub async fn deploy(sender: &Sender, parameters: &DeployParameters) -> Result<Deployed, Error> {
    parameters.check()?;
    let rpc = sender.rpc();
    let chain_id = rpc.chain_id().await?;
    let from_block = rpc.latest().await?.header.number;
    let account = sender.account();
    let first = rpc
        .ask("eth_getTransactionCount", None, || async {
            rpc.provider().get_transaction_count(account).await
        })
        .await?;
    let mut nonce = first;
    let mut next = || {
        let address = account.create(nonce);
        nonce += 1;
        address
    };
    let token = match parameters.token {
        Some(token) => token,
        None => next(),
    };
    let (registry, preimages, machine, staking, disputes) = (next(), next(), next(), next(), next());
    let (records, quorum, tasks, faults) = (next(), next(), next(), next());
    let (new_token, issuance, integrity) = (next(), next(), next());
    let token_unit = U256::from(10_u64).pow(U256::from(18_u64));
    let deployment = Deployment {
        chain_id,
        from_block,
        token,
        registry,
        staking,
        preimages,
        machine,
        disputes,
        records,
        quorum,
        tasks,
        faults,
        new_token,
        issuance,
        integrity,
    };
    let terms = deployment.terms();

    let mut plan: Vec<(&'static str, Address, Vec<u8>)> = Vec::new();
    if parameters.token.is_none() {
        plan.push(("DevToken", token, Vec::new()));
    }
    plan.extend([
        ("Registry", registry, Vec::new()),
        ("Preimages", preimages, Vec::new()),
        ("Machine", machine, (preimages,).abi_encode_params()),
        (
            "Staking",
            staking,
            (
                registry,
                token,
                parameters.leave_delay,
                vec![disputes, faults, integrity],
            )
                .abi_encode_params(),
        ),
        (
            "Disputes",
            disputes,
            (staking, machine, parameters.clock, parameters.join_window).abi_encode_params(),
        ),
        (
            "Records",
            records,
            (vec![quorum, tasks, faults, integrity],).abi_encode_params(),
        ),
        (
            "Quorum",
            quorum,
            (registry, staking, records, parameters.set_period).abi_encode_params(),
        ),
        ("Tasks", tasks, (registry, quorum, records, token).abi_encode_params()),
        (
            "Faults",
            faults,
            (staking, quorum, records, tasks, parameters.report_window).abi_encode_params(),
        ),
        (
            "SuretyToken",
            new_token,
            (issuance, account, U256::ZERO).abi_encode_params(),
        ),
        (
            "Issuance",
            issuance,
            (
                tasks,
                new_token,
                token_unit.saturating_mul(U256::from(parameters.issued)),
                parameters.issuance_epoch,
                // One new token at most for each that was burnt.
                token_unit,
            )
                .abi_encode_params(),
        ),
        (
            "Integrity",
            integrity,
            (staking, quorum, records, terms).abi_encode_params(),
        ),
    ]);
    let mut gas = Vec::new();
    for (name, expected, arguments) in plan {
        let (address, sent) = sender.deploy(creation(name, &arguments)?).await?;
        if address != expected {
            return Err(Error::Local(format!(
                "{name} is at {address}, expected {expected}: another program sent from {account} meanwhile; deploy again"
            )));
        }
        gas.push((name, sent.gas));
    }
    Ok(Deployed { deployment, gas })
}

/// Deploys a service's contract: creation code whose constructor takes the owner and `Disputes`, as `Service` does.
pub async fn deploy_service(
    sender: &Sender,
    deployment: &Deployment,
    code: &Bytes,
    owner: Address,
) -> Result<(Address, Sent), Error> {
    let arguments = (owner, deployment.disputes).abi_encode_params();
    sender.deploy([code.as_ref(), &arguments].concat().into()).await
}

/// Deploys a service that answers for whatever methods are registered (`PlainService`).
pub async fn deploy_plain_service(
    sender: &Sender,
    deployment: &Deployment,
    owner: Address,
) -> Result<(Address, Sent), Error> {
    deploy_service(sender, deployment, &creation("PlainService", &[])?, owner).await
}

/// Deploys the example service `Explorer`.
pub async fn deploy_explorer(
    sender: &Sender,
    deployment: &Deployment,
    owner: Address,
) -> Result<(Address, Sent), Error> {
    deploy_service(sender, deployment, &creation("Explorer", &[])?, owner).await
}

/// A reasonable bond on a development network: 32 tokens.
pub fn dev_bond() -> U256 {
    U256::from(32_u64).saturating_mul(U256::from(10_u64).pow(U256::from(18_u64)))
}
