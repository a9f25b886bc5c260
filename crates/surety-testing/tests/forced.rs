//! The forced path on a real chain with real nodes: a method called on-chain is answered on-chain, once per operator,
//! whatever is killed in between; and a lie told there can be disputed like any other.

use std::time::{Duration, Instant};

use alloy::{
    consensus::Transaction as _,
    network::TransactionResponse as _,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::Filter,
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolEvent, SolValue},
};
use anyhow::{Context, Result, ensure};
use surety_chain::{Call, bindings::IService, deploy::dev_bond};
use surety_client::{Evidence, Limits, ProviderRpc};
use surety_primitives::{Answer, MAX_DATA_BYTES, Outcome, Output, OutputRoot, Status, forced_request_hash};
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig},
    lie::Lie,
    scenario::{DEPOSIT, bond, open, question},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Wei of the deposit contract in the block of `testdata/mainnet`.
const BALANCE: u128 = 57_657_174_398_349_561_183_621_184;

async fn network(behaviours: &[Behaviour]) -> Result<Devnet> {
    let mut net = Devnet::start(&DevnetConfig {
        operators: u32::try_from(behaviours.len())?,
        // A liar that has to make the step itself cannot; its clock is short so that the test is.
        clock: 25,
        ..DevnetConfig::default()
    })
    .await?;
    for (index, behaviour) in behaviours.iter().enumerate() {
        net.start_node(index, *behaviour).await?;
    }
    Ok(net)
}

/// A request made on-chain.
struct Forced {
    request: IService::Request,
    block: u64,
}

/// Calls the service's method on-chain, as any account may.
async fn call_on_chain(net: &Devnet, user: &PrivateKeySigner) -> Result<Forced> {
    call_with(net, user, question()).await
}

async fn call_with(net: &Devnet, user: &PrivateKeySigner, input: Bytes) -> Result<Forced> {
    let actions = net.actions(user).await?;
    let call = Call {
        to: Some(net.service),
        input,
    };
    let sent = actions.sender().send_call(call).await?;
    let request = sent
        .receipt
        .logs()
        .iter()
        .find_map(|log| IService::Request::decode_log(&log.inner).ok())
        .context("no Request event")?
        .data;
    Ok(Forced {
        request,
        block: sent.block,
    })
}

impl Forced {
    async fn answers(&self, net: &Devnet) -> Result<Vec<IService::Responded>> {
        let filter = Filter::new()
            .address(net.service)
            .event_signature(IService::Responded::SIGNATURE_HASH)
            .topic1(self.request.request)
            .from_block(self.block);
        let logs = net.rpc.logs(&filter).await?;
        logs.iter()
            .map(|log| Ok(IService::Responded::decode_log(&log.inner)?.data))
            .collect()
    }

    /// Waits for `count` answers, and a little for one too many.
    async fn wait(&self, net: &Devnet, count: usize) -> Result<Vec<IService::Responded>> {
        let start = Instant::now();
        while self.answers(net).await?.len() < count {
            ensure!(start.elapsed() < PATIENCE, "not answered\n{}", net.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let answers = self.answers(net).await?;
        ensure!(answers.len() == count, "{} answers, expected {count}", answers.len());
        Ok(answers)
    }

    /// The transactions that posted answers, with what they carry; fails if one of them failed.
    async fn posted(&self, net: &Devnet) -> Result<Vec<IService::respondCall>> {
        let mut all = Vec::new();
        for number in self.block..=net.rpc.latest().await?.header.number {
            let block = net.rpc.provider().get_block_by_number(number.into()).full().await?;
            for transaction in block.context("a block is gone")?.transactions.txns() {
                let Ok(call) = IService::respondCall::abi_decode(transaction.input()) else {
                    continue;
                };
                let hash = transaction.tx_hash();
                let receipt = net.rpc.receipt(hash).await?.context("a receipt is gone")?;
                ensure!(receipt.status(), "{hash} was sent for nothing\n{}", net.logs());
                if call.response.request == self.request.request {
                    all.push(call);
                }
            }
        }
        Ok(all)
    }

    /// The signed answer, from the node that gave it.
    async fn signed(&self, net: &Devnet, operator: usize) -> Result<Answer> {
        let rpc = ProviderRpc::new(&net.operators[operator].url(), Limits::default())?;
        let answer = rpc.response(self.request.request.into()).await?;
        answer.context("the node does not know the answer it posted")
    }
}

async fn mine_every(net: &Devnet, seconds: u64) -> Result<()> {
    let _nothing: Option<bool> = net
        .rpc
        .provider()
        .raw_request("evm_setIntervalMining".into(), (seconds,))
        .await?;
    Ok(())
}

/// Whether a transaction of the account waits for a block.
async fn waits(net: &Devnet, account: Address) -> Result<bool> {
    let provider = net.rpc.provider();
    let mined = provider.get_transaction_count(account).await?;
    Ok(provider.get_transaction_count(account).pending().await? > mined)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operator_answers_once() -> Result<()> {
    let net = network(&[Behaviour::Honest, Behaviour::Honest]).await?;
    let user = net.user().await?;
    // The same question twice is two requests.
    for count in 0..2_u64 {
        let forced = call_on_chain(&net, &user).await?;
        let request = &forced.request;
        let expected = forced_request_hash(net.deployment.chain_id, net.service, U256::from(count));
        ensure!(request.request == expected.0, "request {}", request.request);
        ensure!(request.requester == user.address() && request.input == question());
        let answers = forced.wait(&net, 2).await?;
        for answer in &answers {
            ensure!((answer.status, answer.exit) == (Status::Halted as u8, 0));
            ensure!(
                U256::abi_decode(&answer.output)? == U256::from(BALANCE),
                "{DEPOSIT} has {}",
                answer.output
            );
        }
        let mut operators: Vec<Address> = answers.iter().map(|a| a.operator).collect();
        operators.sort();
        let mut all: Vec<Address> = net.operators.iter().map(|o| o.address()).collect();
        all.sort();
        ensure!(operators == all, "answered by {operators:?}");
        ensure!(forced.posted(&net).await?.len() == 2);
        for index in 0..2 {
            let answer = forced.signed(&net, index).await?;
            answer.verify(&net.deployment.response_domain())?;
            ensure!(answer.requester == user.address() && answer.statement.budget.steps() == request.budget);
        }
    }
    Ok(())
}

/// P5: the request is found again by a node that was dead when it was made, or was killed while it answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_killed_node_answers_once() -> Result<()> {
    let mut net = network(&[Behaviour::Honest]).await?;
    let (user, operator) = (net.user().await?, net.operators[0].address());

    // Killed at some moment after the request.
    for delay in [0, 400, 900] {
        let forced = call_on_chain(&net, &user).await?;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        net.operators[0].kill();
        net.start_node(0, Behaviour::Honest).await?;
        forced.wait(&net, 1).await?;
        ensure!(forced.posted(&net).await?.len() == 1);
    }

    // Dead when it was made.
    net.operators[0].kill();
    let asleep = call_on_chain(&net, &user).await?;
    net.start_node(0, Behaviour::Honest).await?;
    asleep.wait(&net, 1).await?;

    // Killed while its answer waits for a block; it comes back before, or after, the block.
    for back_before in [true, false] {
        net.operators[0].kill();
        let forced = call_on_chain(&net, &user).await?;
        mine_every(&net, 0).await?;
        net.start_node(0, Behaviour::Honest).await?;
        let start = Instant::now();
        while !waits(&net, operator).await? {
            ensure!(start.elapsed() < PATIENCE, "nothing was sent\n{}", net.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        net.operators[0].kill();
        if back_before {
            net.start_node(0, Behaviour::Honest).await?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            mine_every(&net, 1).await?;
        } else {
            mine_every(&net, 1).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            net.start_node(0, Behaviour::Honest).await?;
        }
        forced.wait(&net, 1).await?;
        ensure!(forced.posted(&net).await?.len() == 1);
    }
    // No failed transaction, and none twice, in all that time.
    let first = Forced { block: 1, ..asleep };
    ensure!(first.posted(&net).await?.len() == 1);
    Ok(())
}

/// P1: an answer that a reorganisation undoes is given again, and a request that takes the number, and so the hash, of
/// one that is gone is answered as what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_reorganised_request_is_answered_as_it_stands() -> Result<()> {
    let net = network(&[Behaviour::Honest]).await?;
    let (first, second) = (net.user().await?, net.user().await?);
    let before: String = net.rpc.provider().raw_request("evm_snapshot".into(), ()).await?;
    let gone = call_on_chain(&net, &first).await?;
    let asked: String = net.rpc.provider().raw_request("evm_snapshot".into(), ()).await?;
    gone.wait(&net, 1).await?;

    // Only the answer is undone.
    ensure!(
        net.rpc
            .provider()
            .raw_request::<_, bool>("evm_revert".into(), (asked,))
            .await?
    );
    gone.wait(&net, 1).await?;

    // The request too, and another account's takes its place.
    ensure!(
        net.rpc
            .provider()
            .raw_request::<_, bool>("evm_revert".into(), (before,))
            .await?
    );
    let other = call_on_chain(&net, &second).await?;
    ensure!(other.request.request == gone.request.request, "another number");
    other.wait(&net, 1).await?;
    let answer = other.signed(&net, 0).await?;
    ensure!(
        answer.requester == second.address(),
        "the answer is to {}",
        answer.requester
    );
    answer.verify(&net.deployment.response_domain())?;
    Ok(())
}

/// P1: an input too long to be shown on-chain could not be defended, so it is not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_what_cannot_be_defended_is_not_answered() -> Result<()> {
    let net = network(&[Behaviour::Honest]).await?;
    let user = net.user().await?;
    let mut long = question().to_vec();
    long.resize(MAX_DATA_BYTES, 0);
    let longest = call_with(&net, &user, long.clone().into()).await?;
    longest.wait(&net, 1).await?;
    long.push(0);
    let too_long = call_with(&net, &user, long.into()).await?;
    let next = call_on_chain(&net, &user).await?;
    next.wait(&net, 1).await?;
    too_long.wait(&net, 0).await?;
    Ok(())
}

/// The signed answer as the transaction that posted it carries it: a liar cannot take it back.
fn from_chain(call: &IService::respondCall, operator: Address) -> Result<Answer> {
    let lengths = call.outcome.chunks.iter().map(|n| u64::from(*n));
    let bytes = call.outcome.output.to_vec();
    let output = if call.outcome.chunks.is_empty() {
        Output::canonical(bytes)?
    } else {
        Output::with_chunks(bytes, lengths)?
    };
    let output_root: OutputRoot = output.root();
    Ok(Answer {
        statement: (&call.statement).try_into()?,
        request: call.response.request.into(),
        requester: call.response.requester,
        outcome: Outcome {
            status: Status::try_from(call.outcome.status)?,
            exit: call.outcome.exit,
            output_root,
        },
        result: call.response.result.into(),
        output,
        operator,
        signature: surety_primitives::CompactSignature {
            r: call.response.r,
            vs: call.response.vs,
        },
    })
}

/// P2: a lie told on-chain is disputed with the two signed responses, whether the nodes give them or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_lie_told_on_chain_is_slashed() -> Result<()> {
    let net = network(&[Behaviour::Honest, Behaviour::Lying(Lie::Output)]).await?;
    let (honest, liar) = (net.operators[0].address(), net.operators[1].address());
    let user = net.user().await?;
    let forced = call_on_chain(&net, &user).await?;
    let answers = forced.wait(&net, 2).await?;
    ensure!(answers[0].result != answers[1].result, "nobody lied\n{}", net.logs());

    let domain = net.deployment.response_domain();
    let mut posted = Vec::new();
    for call in forced.posted(&net).await? {
        let statement: surety_primitives::Statement = (&call.statement).try_into()?;
        let signed = answers
            .iter()
            .find(|a| a.result == call.response.result)
            .context("posted something else")?;
        let answer = from_chain(&call, signed.operator)?;
        answer.verify(&domain)?;
        ensure!(statement.budget.steps() == forced.request.budget);
        posted.push(answer);
    }
    // What the nodes say is what they posted.
    for index in 0..2 {
        let said = forced.signed(&net, index).await?;
        ensure!(
            posted.contains(&said),
            "operator {index} says {said:?}, posted {posted:?}"
        );
    }
    let statement = posted[0].statement;
    let evidence = Evidence::new(&net.deployment, statement, question(), posted);
    let open = open(&net, &user, &evidence).await?;
    let (result, slashed) = open.wait(&net, Duration::from_secs(180)).await?;
    ensure!(answers.iter().any(|a| a.operator == honest && a.result == result));
    ensure!(
        bond(&net, honest).await? == dev_bond(),
        "the honest lost\n{}",
        net.logs()
    );
    ensure!(bond(&net, liar).await?.is_zero(), "the liar kept its bond");
    // 40 % are the requester's, and what is the opener's is too.
    let credit = net.contracts().credit(user.address()).await?;
    ensure!(
        credit >= slashed * U256::from(2) / U256::from(5),
        "{credit} of {slashed}"
    );
    Ok(())
}
