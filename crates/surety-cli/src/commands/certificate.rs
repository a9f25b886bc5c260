//! `surety certificate`: fetch a certificate and verify it here, against the chain.

use std::path::PathBuf;

use alloy::{hex, primitives::B256};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use surety_client::network::{self, Checked};
use surety_primitives::{certificate::Proven, value, vote};

use crate::{
    commands::network::network_failure,
    context::{ChainArgs, NodeArgs},
    exit::{Failure, code},
    ui::Ui,
};

/// Longest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Verify what a quorum has signed: the set's keys, power and quorum are read from the chain, nothing is believed.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch the certificate of an event (or of another vote) from a node, and verify it; exit code 18 if it is wrong.
    Show(Show),
    /// Verify a certificate in a file; exit code 18 if it is wrong.
    Verify(Verify),
}

/// Kinds of votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// an event happened
    Event,
    /// a task was executed
    Result,
    /// a result is valid, or invalid
    Validation,
    /// what was measured
    Measurement,
}

/// Arguments of `surety certificate show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The service: its address, or its name.
    service: String,
    /// What the vote is about: the event key; or give --event and --id.
    #[arg(required_unless_present = "event")]
    key: Option<B256>,
    /// Name of the event, instead of its key.
    #[arg(long, value_name = "NAME", requires = "id", conflicts_with = "key")]
    event: Option<String>,
    /// The event's id: the list of its fields that the manifest names, as JSON.
    #[arg(long, value_name = "JSON", requires = "event")]
    id: Option<String>,
    /// Kind of the vote.
    #[arg(long, value_enum, default_value = "event")]
    kind: Kind,
    /// Only of this set.
    #[arg(long, value_name = "NUMBER")]
    set: Option<u64>,
    /// Also write it to this file, for `surety certificate verify`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety certificate verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The file: what `certificate show --out` wrote, its JSON, or the RLP in 0x hex.
    file: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show(args, ui).await,
        Command::Verify(args) => verify(args, ui).await,
    }
}

impl From<Kind> for vote::VoteKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Event => Self::Event,
            Kind::Result => Self::Result,
            Kind::Validation => Self::Validation,
            Kind::Measurement => Self::Measurement,
        }
    }
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let kind = vote::VoteKind::from(args.kind);
    let subject = match (&args.event, &args.id, args.key) {
        (Some(name), Some(id), _) => {
            let usage = |e: &dyn std::fmt::Display| {
                Failure::usage(format!("--id: {e}"), "give a JSON list, such as '[7, \"a\"]'")
            };
            let id: value::Value = id.parse().map_err(|e| usage(&e))?;
            if id.as_list().is_none() {
                return Err(usage(&format!("found {}, expected a list", id.kind())));
            }
            vote::event_key(service, name, id.hash().map_err(|e| usage(&e))?)
        }
        (_, _, Some(key)) => key,
        _ => {
            return Err(Failure::usage(
                "no key",
                "give the event's key, or --event NAME --id JSON",
            ));
        }
    };
    let api = args.node.api()?;
    let contracts = args.chain.contracts().await?;
    let found = api
        .certified(service, kind, subject, args.set)
        .await
        .map_err(network_failure)?;
    let Some(proven) = found else {
        return Err(Failure::new(
            format!("{} has no certificate for {subject} of {service}", api.endpoint()),
            "check the key (`surety network events` lists some), wait for the quorum, or ask another node (--node)",
        ));
    };
    let about = (proven.certificate.ballot.service, proven.vote.kind, proven.vote.subject);
    if about != (service, kind, subject) || args.set.is_some_and(|set| set != proven.certificate.ballot.set) {
        return Err(Failure::new(
            format!("{} sent a certificate about something else: {proven:?}", api.endpoint()),
            "ask another node (--node)",
        )
        .with_code(code::CERTIFICATE));
    }
    let checked = network::check(&contracts, proven).await.map_err(network_failure)?;
    // The data is worth showing where the node has it; its hash is what was signed.
    let data = match kind {
        vote::VoteKind::Event => api.value(checked.proven.vote.value).await.map_err(network_failure)?,
        _ => None,
    };
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&checked.proven).unwrap_or_default();
        std::fs::write(path, text + "\n").map_err(|e| {
            Failure::new(
                format!("{} cannot be written: {e}", path.display()),
                "give a writable --out FILE",
            )
        })?;
    }
    print(&checked, data.as_ref(), ui);
    Ok(())
}

async fn verify(args: Verify, ui: Ui) -> Result<(), Failure> {
    let proven = read(&args.file)?;
    let contracts = args.chain.contracts().await?;
    let checked = network::check(&contracts, proven).await.map_err(network_failure)?;
    print(&checked, None, ui);
    Ok(())
}

/// A proven vote from a file: its JSON, the document of `certificate show --json`, or RLP in hex.
fn read(path: &std::path::Path) -> Result<Proven, Failure> {
    let next = "give a file that `surety certificate show --out` wrote";
    let fail = |cause: String| Failure::new(format!("{}: {cause}", path.display()), next).with_code(code::CERTIFICATE);
    let missing = |e: &dyn std::fmt::Display| Failure::new(format!("{} cannot be read: {e}", path.display()), next);
    let length = std::fs::metadata(path).map_err(|e| missing(&e))?.len();
    if length > MAX_FILE {
        return Err(fail(format!("has {length} bytes, expected at most {MAX_FILE}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| missing(&e))?;
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        let bytes = hex::decode(digits).map_err(|e| fail(format!("is no hex: {e}")))?;
        return Proven::from_rlp(&bytes).map_err(|e| fail(e.to_string()));
    }
    let value: Value = serde_json::from_str(text).map_err(|e| fail(format!("is neither JSON nor 0x hex: {e}")))?;
    if let Some(rlp) = value.get("proven").and_then(Value::as_str) {
        let bytes = hex::decode(rlp).map_err(|e| fail(format!("`proven` is no hex: {e}")))?;
        return Proven::from_rlp(&bytes).map_err(|e| fail(e.to_string()));
    }
    serde_json::from_value(value).map_err(|e| fail(format!("is no certificate: {e}")))
}

fn print(checked: &Checked, data: Option<&value::Value>, ui: Ui) {
    let proven = &checked.proven;
    let (ballot, vote) = (&proven.certificate.ballot, &proven.vote);
    let (signers, absent) = (checked.signers(), checked.absent());
    let names =
        |list: &[alloy::primitives::Address]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut text = vec![
        "verified: signature, Merkle proof and quorum, against the set on the chain".to_owned(),
        format!("service   {}", ballot.service),
        format!("kind      {:?}", vote.kind),
        format!("subject   {}", vote.subject),
        format!("value     {}", vote.value),
        format!("set       {} (fixed at block {})", ballot.set, checked.set.fixed_at()),
        format!(
            "power     {} of {}, needs {}/10000",
            checked.power,
            checked.set.power(),
            checked.quorum.basis_points()
        ),
        format!(
            "signers   {} of {}: {}",
            signers.len(),
            checked.set.members().len(),
            names(&signers)
        ),
    ];
    if !absent.is_empty() {
        text.push(format!("absent    {}", names(&absent)));
    }
    if let Some(data) = data {
        text.push(format!("data      {data}"));
    }
    ui.result(
        &text.join("\n"),
        &json!({"verified": true, "service": ballot.service, "kind": format!("{:?}", vote.kind).to_lowercase(),
            "subject": vote.subject, "value": vote.value, "set": ballot.set, "fixed_at": checked.set.fixed_at(),
            "power": checked.power.to_string(), "total": checked.set.power().to_string(),
            "quorum": checked.quorum.basis_points(), "signers": signers, "absent": absent,
            "data": data.and_then(|d| serde_json::from_str::<Value>(&d.to_string()).ok()),
            "proven": hex::encode_prefixed(proven.to_rlp()),
            "verify": "surety certificate verify FILE, with this document in the file"}),
    );
}
