//! Against a real anvil: deployment, transactions, reads, events over a reorganisation.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    signers::{SignerSync, local::PrivateKeySigner},
};
use surety_chain::{
    Actions, ChainEvent, Contracts, Cursor, Deployment, Error, EventConfig, EventSource, Rpc, Sender, SenderConfig,
    ServiceRegistration, Severity,
    anvil::{Anvil, AnvilConfig, dev_key},
    bindings::{IDisputes, IRegistry, IStaking},
    deploy::{DeployParameters, deploy, deploy_explorer, dev_bond},
};
use surety_primitives::{Budget, CompactSignature, DisputeId, Response, Signed, Statement};

struct Net {
    anvil: Anvil,
    rpc: Rpc,
    deployment: Deployment,
    deployer: Sender,
    service: Address,
    operators: Vec<PrivateKeySigner>,
}

const SELECTOR: [u8; 4] = [1, 2, 3, 4];

fn ether(n: u64) -> U256 {
    U256::from(n) * U256::from(10).pow(U256::from(18))
}

fn quick() -> SenderConfig {
    SenderConfig {
        poll: Duration::from_millis(20),
        ..SenderConfig::default()
    }
}

async fn net(operators: u32) -> Net {
    let anvil = Anvil::start(&AnvilConfig::default()).expect("anvil starts");
    let rpc = Rpc::new(anvil.url()).expect("url");
    let owner = dev_key(0).expect("key");
    anvil.fund(&rpc, owner.address(), ether(1000)).await.expect("funded");
    let deployer = Sender::with_config(rpc.clone(), owner.clone(), quick())
        .await
        .expect("sender");
    let deployed = deploy(&deployer, &DeployParameters::DEV).await.expect("deployed");
    let deployment = deployed.deployment;
    deployment.check(&rpc).await.expect("code everywhere");
    let (service, _) = deploy_explorer(&deployer, &deployment, owner.address())
        .await
        .expect("explorer");
    let actions = Actions::new(deployer.clone(), deployment.clone());
    actions
        .register_service(&ServiceRegistration {
            service,
            manifest: keccak256("manifest"),
            methods: vec![(SELECTOR, keccak256("program"))],
            min_bond: dev_bond(),
            max_budget: 1 << 36,
            verdict: Address::ZERO,
        })
        .await
        .expect("registered");
    let mut keys = Vec::new();
    for i in 1..=operators {
        let key = dev_key(i).expect("key");
        actions
            .register_operator(&key, &format!("http://127.0.0.1:{i}"))
            .await
            .expect("operator registered");
        actions.mint(owner.address(), dev_bond()).await.expect("minted");
        actions
            .deposit(service, key.address(), dev_bond())
            .await
            .expect("deposited");
        keys.push(key);
    }
    Net {
        anvil,
        rpc,
        deployment,
        deployer,
        service,
        operators: keys,
    }
}

fn signed(net: &Net, key: &PrivateKeySigner, statement: Statement, result: B256) -> Signed {
    let response = Response {
        statement,
        request: keccak256("request").into(),
        requester: Address::repeat_byte(9),
        result: result.into(),
    };
    let signature = key
        .sign_hash_sync(&response.digest(&net.deployment.response_domain()))
        .expect("signs");
    Signed {
        request: response.request,
        requester: response.requester,
        result: response.result,
        signature: CompactSignature::from(signature),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_works_from_registration_to_dispute() {
    let net = net(2).await;
    let contracts = Contracts::new(net.rpc.clone(), net.deployment.clone());

    let info = contracts.service(net.service).await.expect("read").expect("registered");
    assert_eq!(info.min_bond, dev_bond());
    let on_chain = net
        .rpc
        .call(
            net.deployment.registry,
            IRegistry::chainIdOfCall { service: net.service },
        )
        .await;
    assert_eq!(on_chain.expect("read"), info.chain_id);
    assert_eq!(
        contracts.program_of(net.service, SELECTOR).await.expect("read"),
        Some(keccak256("program"))
    );
    assert_eq!(contracts.program_of(net.service, [9; 4]).await.expect("read"), None);
    assert_eq!(contracts.services(10).await.expect("read"), [net.service]);

    let operators = contracts.operators(net.service, 10).await.expect("read");
    assert_eq!(operators.len(), 2);
    assert!(
        operators
            .iter()
            .all(|o| o.bonded && o.bond == dev_bond() && o.endpoint.starts_with("http://"))
    );

    // Refusals come typed, and nothing is paid for them.
    let actions = Actions::new(net.deployer.clone(), net.deployment.clone());
    let again = actions
        .register_operator(&net.operators[0], "http://x")
        .await
        .expect_err("registered twice");
    assert!(
        again.revert().is_some_and(|r| r.is::<IRegistry::OperatorExists>()),
        "{again}"
    );
    assert_eq!(again.severity(), Severity::Reset);

    // A dispute, from two signatures.
    let statement = Statement {
        service: net.service,
        program: keccak256("program").into(),
        input: keccak256("input").into(),
        budget: Budget::new(1000).expect("small"),
    };
    let claims = [
        signed(&net, &net.operators[0], statement, keccak256("right")),
        signed(&net, &net.operators[1], statement, keccak256("wrong")),
    ];
    let none = actions.open(&statement, &claims[..1]).await.expect_err("one claim");
    assert!(
        none.revert().is_some_and(|r| r.is::<IDisputes::TooFewClaims>()),
        "{none}"
    );
    let sent = actions.open(&statement, &claims).await.expect("opens");
    assert!(sent.gas > 21_000);
    let id = DisputeId::new(statement.id(), actions.sender().account());
    let dispute = contracts.dispute(id).await.expect("read").expect("there");
    assert_eq!(dispute.id, id);
    assert_eq!(dispute.statement, statement);
    assert_eq!(dispute.opener, net.deployer.account());
    assert_eq!(dispute.claims.len(), 2);
    assert_eq!(dispute.claims[0].operator, net.operators[0].address());
    let view = dispute.view.expect("running");
    assert!(view.matchRunning && view.claims == 2);
    assert_eq!(contracts.disputes(0).await.expect("read").len(), 1);
    let locked = contracts
        .operator(net.service, net.operators[0].address())
        .await
        .expect("read");
    assert_eq!(locked.locks, 1);

    // Leaving starts, and the client's flag says so.
    actions
        .leave(net.service, net.operators[0].address())
        .await
        .expect("leaves");
    let leaving = contracts
        .operator(net.service, net.operators[0].address())
        .await
        .expect("read");
    assert!(leaving.leaving_until.is_some() && !leaving.bonded);
    let early = actions
        .withdraw_bond(net.service, net.operators[0].address())
        .await
        .expect_err("committed");
    let revert = early.revert().expect("reverts");
    assert!(
        revert.is::<IStaking::Locked>() || revert.is::<IStaking::Committed>(),
        "{early}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_follow_a_reorganisation() {
    let net = net(1).await;
    let provider = net.rpc.provider();
    let actions = Actions::new(net.deployer.clone(), net.deployment.clone());
    let mut source = EventSource::new(
        net.rpc.clone(),
        vec![net.deployment.registry],
        EventConfig::default(),
        Cursor::from_block(net.deployment.from_block),
    );
    let mut logs = 0;
    while let events = source.poll().await.expect("polls")
        && !events.is_empty()
    {
        logs += events.iter().filter(|e| matches!(e, ChainEvent::Log(_))).count();
    }
    // Service, its program, operator.
    assert!(logs >= 3, "{logs}");
    let head = source.cursor().next - 1;

    let snapshot: U256 = provider.raw_request("evm_snapshot".into(), ()).await.expect("snapshot");
    actions
        .set_endpoint(net.operators[0].address(), "http://one")
        .await
        .expect("set");
    let events = source.poll().await.expect("polls");
    assert_eq!(events.iter().filter(|e| matches!(e, ChainEvent::Log(_))).count(), 1);
    // A restart between: the cursor is all there is to keep.
    let kept: Cursor = serde_json::from_str(&serde_json::to_string(source.cursor()).expect("writes")).expect("reads");
    let mut source = EventSource::new(
        net.rpc.clone(),
        vec![net.deployment.registry],
        EventConfig::default(),
        kept,
    );

    // Another history: the same height, another block.
    let _: bool = provider
        .raw_request("evm_revert".into(), (snapshot,))
        .await
        .expect("revert");
    let _: Option<String> = provider
        .raw_request("evm_increaseTime".into(), (7,))
        .await
        .unwrap_or_default();
    actions
        .set_endpoint(net.operators[0].address(), "http://two")
        .await
        .expect("set");
    let events = source.poll().await.expect("polls");
    assert_eq!(events.first(), Some(&ChainEvent::Rollback { to: head }), "{events:?}");
    assert_eq!(events.iter().filter(|e| matches!(e, ChainEvent::Log(_))).count(), 1);
    assert!(source.poll().await.expect("polls").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_of_one_key_do_not_lose_a_transaction() {
    // Different amounts: the same call with the same nonce would be one and the same transaction.
    let net = net(0).await;
    let one = Actions::new(net.deployer.clone(), net.deployment.clone());
    let other = Sender::with_config(net.rpc.clone(), dev_key(0).expect("key"), quick())
        .await
        .expect("sender");
    let other = Actions::new(other, net.deployment.clone());
    let to = Address::repeat_byte(7);
    for _ in 0..4 {
        let (a, b) = tokio::join!(one.mint(to, U256::from(1)), other.mint(to, U256::from(2)));
        a.expect("one");
        b.expect("other");
    }
    let contracts = Contracts::new(net.rpc.clone(), net.deployment.clone());
    assert_eq!(contracts.token_balance(to).await.expect("read"), U256::from(4 + 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_endpoint_is_temporary_and_a_wrong_one_is_named() {
    let net = net(0).await;
    let other = Deployment {
        chain_id: 1,
        ..net.deployment.clone()
    };
    assert!(matches!(
        other.check(&net.rpc).await,
        Err(Error::WrongChain {
            expected: 1,
            found: 31_337
        })
    ));
    let empty = Deployment {
        disputes: Address::repeat_byte(1),
        ..net.deployment.clone()
    };
    assert!(matches!(
        empty.check(&net.rpc).await,
        Err(Error::NoCode { name: "Disputes", .. })
    ));

    let config = surety_chain::RpcConfig {
        retries: 1,
        backoff: Duration::from_millis(1),
        ..surety_chain::RpcConfig::default()
    };
    let rpc = Rpc::with_config(net.anvil.url(), config).expect("url");
    drop(net);
    let error = rpc.chain_id().await.expect_err("anvil is gone");
    assert_eq!(error.severity(), Severity::Temporary, "{error}");
}
