//! The whole request path driven by tools nobody here wrote: Foundry's cast, and viem.

use std::process::{Command, Output, Stdio};

use alloy::primitives::{U256, hex};
use anyhow::{Context, Result, ensure};
use surety_chain::anvil::dev_key;
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig, repository},
    scenario::{BLOCK, DEPOSIT},
};

const METHOD: &str = "balanceOf(bytes32,address)";

async fn network() -> Result<Devnet> {
    let mut net = Devnet::start(&DevnetConfig {
        operators: 1,
        ..DevnetConfig::default()
    })
    .await?;
    net.start_node(0, Behaviour::Honest).await?;
    Ok(net)
}

/// The balance as an Ethereum node gave it.
fn expected() -> Result<U256> {
    let proof = std::fs::read_to_string(repository().join("testdata/mainnet/proof.json"))?;
    let proof: serde_json::Value = serde_json::from_str(&proof)?;
    let found = proof.get("balance").or_else(|| proof.get("result")?.get("balance"));
    Ok(found.and_then(|v| v.as_str()).context("no balance")?.parse()?)
}

async fn run(mut command: Command) -> Result<Output> {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await?;
    output.with_context(|| format!("{name}: not installed? `make deps` installs it"))
}

fn cast(arguments: &[&str]) -> Command {
    let mut command = Command::new(repository().join("node_modules/.bin/cast"));
    command.args(arguments);
    command
}

async fn cast_prints(arguments: &[&str]) -> Result<String> {
    let output = run(cast(arguments)).await?;
    ensure!(
        output.status.success(),
        "cast {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_call_and_cast_send_work_unchanged() -> Result<()> {
    let net = network().await?;
    let (url, service) = (net.operators[0].url(), net.service.to_string());
    let (block, account) = (BLOCK.to_string(), DEPOSIT.to_string());

    let typed = format!("{METHOD}(uint256)");
    let printed = cast_prints(&["call", "--rpc-url", &url, &service, &typed, &block, &account]).await?;
    let number = printed.split_whitespace().next().context("cast call printed nothing")?;
    ensure!(number.parse::<U256>()? == expected()?, "cast call: {printed}");

    let key = hex::encode_prefixed(dev_key(900)?.to_bytes());
    let sent = cast_prints(&[
        "send",
        "--json",
        "--rpc-url",
        &url,
        "--private-key",
        &key,
        &service,
        METHOD,
        &block,
        &account,
    ])
    .await?;
    let receipt: serde_json::Value = serde_json::from_str(&sent)?;
    ensure!(receipt["status"] == "0x1", "cast send: {sent}");
    let hash = receipt["transactionHash"].as_str().context("no hash")?;
    let response = cast_prints(&["rpc", "--rpc-url", &url, "surety_getResponse", hash]).await?;
    let response: serde_json::Value = serde_json::from_str(&response)?;
    let output = response["output"].as_str().context("no output")?;
    ensure!(output.parse::<U256>()? == expected()?, "surety_getResponse: {response}");
    ensure!(
        response["outcome"]["status"] == "halted",
        "surety_getResponse: {response}"
    );

    // What the program refuses reads as a revert, with its reason.
    let absent = format!("0x{}", "11".repeat(32));
    let refused = run(cast(&["call", "--rpc-url", &url, &service, &typed, &absent, &account])).await?;
    ensure!(!refused.status.success(), "a block nobody has was answered");
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.contains(&absent),
        "the error does not name the missing preimage: {refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_works_unchanged() -> Result<()> {
    let net = network().await?;
    let key = dev_key(901)?;
    let mut node = Command::new("node");
    node.arg(repository().join("crates/surety-testing/tests/tools/viem.mjs"))
        .args([
            net.operators[0].url(),
            net.service.to_string(),
            BLOCK.to_string(),
            DEPOSIT.to_string(),
            hex::encode_prefixed(key.to_bytes()),
        ]);
    let output = run(node).await?;
    ensure!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        net.logs()
    );
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        said["id"] == surety_primitives::service_chain_id(net.deployment.chain_id, net.service),
        "{said}"
    );
    ensure!(said["balance"] == expected()?.to_string(), "{said}");
    ensure!(
        said["output"].as_str().context("no output")?.parse::<U256>()? == expected()?,
        "{said}"
    );
    ensure!(said["status"] == "success", "{said}");
    let address = key.address().to_string().to_lowercase();
    ensure!(
        said["requester"].as_str().map(str::to_lowercase) == Some(address),
        "{said}"
    );
    // The first receipt of the block, as an Ethereum node gave it.
    let receipts = std::fs::read_to_string(repository().join("testdata/mainnet/receipts.json"))?;
    let receipts: serde_json::Value = serde_json::from_str(&receipts)?;
    let list = receipts
        .as_array()
        .or_else(|| receipts.get("result")?.as_array())
        .context("no receipts")?;
    let first = list.first().context("no receipt")?;
    ensure!(said["receipt"]["success"] == (first["status"] == "0x1"), "{said}");
    let gas: U256 = first["cumulativeGasUsed"].as_str().context("no gas")?.parse()?;
    ensure!(said["receipt"]["gas"] == gas.to_string(), "{said}");
    ensure!(
        !said["refused"].as_str().unwrap_or_default().is_empty(),
        "receipt 1000 of 202 was answered: {said}"
    );
    Ok(())
}
