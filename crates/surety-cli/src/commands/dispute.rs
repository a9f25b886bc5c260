//! `surety dispute`: list, show, open.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::DisputeInfo;
use surety_client::{Evidence, dispute};

use crate::{
    context::{ChainArgs, KeyArgs},
    exit::{Failure, code},
    ui::{Ui, grouped},
    values::show_amount,
};

/// Take differing answers to the chain, and follow what comes of it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List disputes.
    List(List),
    /// Show a dispute: claims, match, outcome.
    Show(Show),
    /// Open a dispute with an evidence file of `surety call`.
    Open(Open),
    /// Pay out what is credited to an account (compensation, opener's and settler's parts).
    Withdraw(Withdraw),
}

/// Arguments of `surety dispute list`.
#[derive(Debug, Args)]
pub struct List {
    /// Also those that are settled.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety dispute show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The dispute: the statement's id.
    id: B256,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety dispute open`.
#[derive(Debug, Args)]
pub struct Open {
    /// The evidence: a file that `surety call` wrote.
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Only verify the evidence.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety dispute withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, ui).await,
        Command::Show(args) => show(args, ui).await,
        Command::Open(args) => open(args, ui).await,
        Command::Withdraw(args) => withdraw(args, ui).await,
    }
}

async fn list(args: List, ui: Ui) -> Result<(), Failure> {
    let contracts = args.chain.contracts().await?;
    let mut all = contracts.disputes(contracts.deployment().from_block).await?;
    all.retain(|d| args.all || d.settled.is_none());
    let lines: Vec<String> = all.iter().map(line).collect();
    let text = if lines.is_empty() {
        "no disputes".to_owned()
    } else {
        lines.join("\n")
    };
    ui.result(
        &text,
        &json!({"disputes": all.iter().map(dispute_json).collect::<Vec<_>>()}),
    );
    Ok(())
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let contracts = args.chain.contracts().await?;
    let found = contracts.dispute(args.id.into()).await?.ok_or_else(|| {
        Failure::new(
            format!("there is no dispute {}", args.id),
            "`surety dispute list --all` shows those there are",
        )
    })?;
    let mut text = vec![line(&found)];
    text.push(format!("  service   {}", found.statement.service));
    text.push(format!("  program   {}", found.statement.program));
    text.push(format!("  input     {}", found.statement.input));
    text.push(format!("  budget    {} steps", grouped(found.statement.budget.steps())));
    text.push(format!("  opener    {}", found.opener));
    for (i, claim) in found.claims.iter().enumerate() {
        let live = match &found.view {
            Some(view) if view.liveBitmap >> i & 1 == 1 => "live",
            Some(_) => "eliminated",
            None => match &found.settled {
                Some((result, _)) if *result == claim.result.0 => "right",
                _ => "lost",
            },
        };
        text.push(format!(
            "  claim {i}   {} by {} for {}: {live}",
            claim.result, claim.operator, claim.requester
        ));
    }
    if let Some(view) = &found.view {
        if view.matchRunning {
            text.push(format!(
                "  match     claim {} against claim {}, {} of {} moves, clocks {} s and {} s",
                view.a,
                view.b,
                view.moves,
                u16::from(view.levels) + 1,
                view.clockA,
                view.clockB
            ));
        }
        text.push(format!("  join until {} (Unix seconds)", view.joinUntil));
    }
    ui.result(&text.join("\n"), &dispute_json(&found));
    Ok(())
}

async fn open(args: Open, ui: Ui) -> Result<(), Failure> {
    let evidence = Evidence::load(&args.evidence)
        .map_err(|e| Failure::new(e, "give a file that `surety call` wrote").with_code(code::EVIDENCE))?;
    let contracts = args.chain.contracts().await?;
    evidence
        .verify(contracts.deployment())
        .map_err(|e| dispute_failure(e.into()))?;
    let id = evidence.statement.id();
    if args.check {
        let operators: Vec<_> = evidence
            .answers
            .iter()
            .map(|a| json!({"operator": a.operator, "result": a.result}))
            .collect();
        ui.result(
            &format!("{id}: {} signed answers, verified, differ", evidence.answers.len()),
            &json!({"dispute": id, "answers": operators, "verified": true}),
        );
        return Ok(());
    }
    let actions = args.chain.actions(&args.key).await?;
    let opened = dispute::open(&actions, &evidence).await.map_err(dispute_failure)?;
    ui.result(
        &format!("{} opened in {} ({} gas)", opened.dispute, opened.sent.hash, grouped(opened.sent.gas)),
        &json!({"dispute": opened.dispute, "transaction": opened.sent.hash, "gas": opened.sent.gas, "block": opened.sent.block}),
    );
    Ok(())
}

async fn withdraw(args: Withdraw, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let account = actions.sender().account();
    let credit = args.chain.contracts().await?.credit(account).await?;
    if credit.is_zero() {
        return Err(Failure::new(
            format!("nothing is credited to {account}"),
            "credits come when a dispute is settled: `surety dispute list --all`",
        ));
    }
    let sent = actions.withdraw().await?;
    ui.result(
        &format!("{} paid to {account}", show_amount(credit)),
        &json!({"paid": credit.to_string(), "to": account, "transaction": sent.hash}),
    );
    Ok(())
}

/// A dispute that could not be opened.
pub fn dispute_failure(error: dispute::DisputeError) -> Failure {
    match error {
        dispute::DisputeError::Evidence(e) => {
            Failure::new(e, "ask again with `surety call -k 2` or more").with_code(code::EVIDENCE)
        }
        dispute::DisputeError::Chain(e) => {
            use surety_chain::bindings::IDisputes;
            let exists = e.revert().is_some_and(|r| r.is::<IDisputes::DisputeExists>());
            let mut failure = Failure::from(e);
            if exists {
                failure.next = "it is open already: `surety dispute list` shows it".to_owned();
            }
            failure
        }
    }
}

fn state(d: &DisputeInfo) -> &'static str {
    match (&d.settled, &d.view) {
        (Some(_), _) => "settled",
        (None, Some(view)) if view.matchRunning => "match running",
        (None, Some(_)) => "waiting to settle",
        (None, None) => "unknown",
    }
}

fn line(d: &DisputeInfo) -> String {
    let slashed = d
        .settled
        .map(|(_, s)| format!(", {} slashed", show_amount(s)))
        .unwrap_or_default();
    format!("{}  {} claims  {}{slashed}", d.id, d.claims.len(), state(d))
}

fn dispute_json(d: &DisputeInfo) -> Value {
    json!({
        "id": d.id,
        "state": state(d),
        "statement": d.statement,
        "opener": d.opener,
        "opened_at": d.opened_at,
        "claims": d.claims.iter().enumerate().map(|(i, c)| json!({
            "operator": c.operator, "request": c.request, "requester": c.requester, "result": c.result,
            "live": d.view.as_ref().map(|v| v.liveBitmap >> i & 1 == 1),
        })).collect::<Vec<_>>(),
        "match": d.view.as_ref().filter(|v| v.matchRunning).map(|v| json!({
            "a": v.a, "b": v.b, "moves": v.moves, "levels": v.levels, "position": v.position,
            "clock_a": v.clockA, "clock_b": v.clockB, "last_move": v.lastMove, "head": v.head,
        })),
        "join_until": d.view.as_ref().map(|v| v.joinUntil),
        "settled": d.settled.map(|(result, slashed)| json!({"result": result, "slashed": slashed.to_string()})),
    })
}
