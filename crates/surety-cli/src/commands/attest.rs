//! `surety attest`: what the chain's state proves of a service's container.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{consensus::Header, eips::BlockNumberOrTag, primitives::B256, rlp::Decodable};
use clap::Args;
use serde_json::json;
use surety_chain::{
    Contracts,
    integrity::{DeploymentProof, Standing, verify_deployment_proof},
};

use crate::{
    commands::integrity,
    context::ChainArgs,
    exit::{Failure, code},
    ui::Ui,
};

/// Longest proof that is read, bytes.
const MAX_PROOF: u64 = 1 << 20;

/// Arguments of `surety attest`.
#[derive(Debug, Args)]
pub struct Command {
    /// The service: its address, or its name.
    service: String,
    /// Which of its deployments; the last one if not given.
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Most seconds since the end of the last epoch recorded; two epochs and 30 seconds if not given.
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// A proof from somewhere else (a node's /v1/deployments/ID/proof; - for stdin) instead of the endpoint's. Its block
    /// must be one of the chain's.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Verifies the state proof; exit code 0 only if the deployment is intact and its last record is recent.
pub async fn run(args: Command, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    let id = integrity::find(&contracts, service, args.number).await?;
    let (block_hash, proof) = match &args.proof {
        Some(path) => {
            let proof = read(path)?;
            (block_of(&contracts, &proof).await?, proof)
        }
        None => {
            let hash = contracts.rpc().latest().await?.header.hash;
            (hash, contracts.deployment_proof(id, hash).await?)
        }
    };
    let proved = verify_deployment_proof(block_hash, &proof, contracts.deployment().integrity, id).map_err(|e| {
        Failure::new(e, "ask another endpoint or node: what this one gave does not verify").with_code(code::CERTIFICATE)
    })?;
    let state = &proved.state;
    let most = args.max_age.unwrap_or_else(|| state.usual_age());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs());
    let standing = state.standing(now, most);
    let number = id.number().unwrap_or_default();
    let (word, text, exit) = match standing {
        Standing::Intact { age } => (
            "intact",
            format!("intact {age} s ago, epoch {}", state.last_epoch),
            None,
        ),
        Standing::Stale { age, most } => (
            "stale",
            format!("the last record is {age} s old, at most {most} s wanted"),
            Some(code::STALE),
        ),
        Standing::Fresh => (
            "fresh",
            "running, but no epoch is recorded yet".to_owned(),
            Some(code::STALE),
        ),
        Standing::Unanswered { epochs } => (
            "unanswered",
            format!("its host has not answered in the last {epochs} epochs recorded"),
            Some(code::NOT_INTACT),
        ),
        Standing::Not(status) => (
            integrity::name(status),
            integrity::name(status).to_owned(),
            Some(code::NOT_INTACT),
        ),
    };
    ui.result(
        &format!(
            "deployment {number} of {service}: {text}\nproved by the state of block {} ({block_hash})",
            proved.block
        ),
        &json!({"service": service, "deployment": id.to_string(), "number": number, "deployments": proved.count,
            "standing": word, "intact": exit.is_none(), "block": proved.block, "block_hash": block_hash,
            "block_time": proved.time, "proof": proof.kind, "state": integrity::fields(state),
            "verify": "the block's hash is the chain endpoint's; header, account and storage are proved from it"}),
    );
    match exit {
        None => Ok(()),
        Some(exit) => Err(Failure::new(
            format!("deployment {number} of {service} is not attested: {text}"),
            format!("surety integrity show {} {number}", args.service),
        )
        .with_code(exit)),
    }
}

fn read(path: &Path) -> Result<DeploymentProof, Failure> {
    let fail = |cause: String| {
        Failure::new(
            format!("the proof {}: {cause}", path.display()),
            "take it from a node: /v1/deployments/ID/proof",
        )
        .with_code(code::CERTIFICATE)
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_PROOF).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_PROOF).read_to_string(&mut text))
    };
    read.map_err(|e| fail(e.to_string()))?;
    let mut value: serde_json::Value = serde_json::from_str(&text).map_err(|e| fail(format!("no JSON: {e}")))?;
    // A node's answer says more than the proof.
    if let Some(inner) = value.get_mut("proof").filter(|inner| inner.is_object()) {
        value = inner.take();
    }
    serde_json::from_value(value).map_err(|e| fail(e.to_string()))
}

/// Hash of the chain's block with the number that the proof's header has.
async fn block_of(contracts: &Contracts, proof: &DeploymentProof) -> Result<B256, Failure> {
    let refused = |cause: String| Failure::new(cause, "take another proof").with_code(code::CERTIFICATE);
    let mut bytes: &[u8] = &proof.header;
    let header = Header::decode(&mut bytes).map_err(|e| refused(format!("the proof's header: {e}")))?;
    let block = contracts.rpc().block(BlockNumberOrTag::Number(header.number)).await?;
    let block = block.ok_or_else(|| refused(format!("the chain has no block {}", header.number)))?;
    Ok(block.header.hash)
}
