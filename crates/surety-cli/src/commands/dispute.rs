//! `surety dispute`: list, show, open, expire, settle, withdraw.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::{
    DisputeInfo,
    bindings::IDisputes::{self, View},
};
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
    /// Eliminate the party on move of a dispute's match, whose time has run out. Anyone may.
    Expire(Act),
    /// Settle a dispute that is over: slash the losers, pay the others. Anyone may, and is paid for it.
    Settle(Act),
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
    /// The dispute, by id, as `surety dispute list` shows it.
    #[arg(value_name = "DISPUTE")]
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

/// Arguments of `surety dispute expire` and `surety dispute settle`.
#[derive(Debug, Args)]
pub struct Act {
    /// The dispute, by id, as `surety dispute list` shows it.
    #[arg(value_name = "DISPUTE")]
    id: B256,
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
        Command::Expire(args) => expire(args, ui).await,
        Command::Settle(args) => settle(args, ui).await,
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

/// The last dispute with this id.
async fn find(chain: &ChainArgs, id: B256) -> Result<DisputeInfo, Failure> {
    chain.contracts().await?.dispute(id.into()).await?.ok_or_else(|| {
        Failure::new(
            format!("there is no dispute {id}"),
            "`surety dispute list --all` shows those there are",
        )
    })
}

/// The last dispute with this id, and its state.
async fn find_open(chain: &ChainArgs, id: B256) -> Result<(DisputeInfo, View), Failure> {
    let found = find(chain, id).await?;
    match found.view.clone() {
        Some(view) => Ok((found, view)),
        None => Err(Failure::new(
            format!("dispute {id} is settled"),
            format!("`surety dispute show {id}` shows what came of it"),
        )),
    }
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let found = find(&args.chain, args.id).await?;
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
    if args.check {
        let id = evidence.statement.id();
        let operators: Vec<_> = evidence
            .answers
            .iter()
            .map(|a| json!({"operator": a.operator, "result": a.result}))
            .collect();
        ui.result(
            &format!("{id}: {} signed answers, verified, differ", evidence.answers.len()),
            &json!({"statement_id": id, "answers": operators, "verified": true}),
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

async fn expire(args: Act, ui: Ui) -> Result<(), Failure> {
    let id = args.id;
    let (found, view) = find_open(&args.chain, id).await?;
    if !view.matchRunning {
        return Err(Failure::new(
            format!("no match is running in dispute {id}"),
            format!("`surety dispute settle {id}` ends it once nobody can join any more"),
        ));
    }
    // Moves alternate, and a's is the first (`docs/spec/dispute.md`, section 4).
    let (late, left) = if view.moves.is_multiple_of(2) {
        (view.a, view.clockA)
    } else {
        (view.b, view.clockB)
    };
    let late = found.claims.get(usize::from(late)).map(|c| c.operator);
    let deadline = view.lastMove.saturating_add(left.into());
    let sent = match args.chain.actions(&args.key).await?.expire(id.into()).await {
        Ok(sent) => sent,
        Err(e) => {
            let early = e.revert().is_some_and(|r| r.is::<IDisputes::ClockRunning>());
            let mut failure = Failure::from(e);
            if early {
                failure.next =
                    format!("the party on move has time until {deadline} (Unix seconds); try again after that");
            }
            return Err(failure);
        }
    };
    let who = late.map(|o| format!(", {o} is eliminated")).unwrap_or_default();
    ui.result(
        &format!("{id} expired in {} ({} gas){who}", sent.hash, grouped(sent.gas)),
        &json!({"dispute": id, "eliminated": late, "transaction": sent.hash, "gas": sent.gas, "block": sent.block}),
    );
    Ok(())
}

async fn settle(args: Act, ui: Ui) -> Result<(), Failure> {
    let id = args.id;
    let (found, view) = find_open(&args.chain, id).await?;
    let actions = args.chain.actions(&args.key).await?;
    let sent = match actions.settle(&found.statement, found.opener, &found.claims).await {
        Ok(sent) => sent,
        Err(e) => {
            let running = e.revert().is_some_and(|r| r.is::<IDisputes::MatchRunning>());
            let open = e.revert().is_some_and(|r| r.is::<IDisputes::JoinOpen>());
            let mut failure = Failure::from(e);
            if running {
                failure.next = format!("`surety dispute expire {id}` ends a match whose party on move is out of time");
            } else if open {
                failure.next = format!(
                    "claims can be added until {} (Unix seconds); try again after that",
                    view.joinUntil
                );
            }
            return Err(failure);
        }
    };
    let settled = find(&args.chain, id).await?.settled;
    let slashed = settled
        .map(|(_, s)| format!(", {} slashed", show_amount(s)))
        .unwrap_or_default();
    ui.result(
        &format!("{id} settled in {} ({} gas){slashed}", sent.hash, grouped(sent.gas)),
        &json!({
            "dispute": id, "transaction": sent.hash, "gas": sent.gas, "block": sent.block,
            "result": settled.map(|(result, _)| result), "slashed": settled.map(|(_, s)| s.to_string()),
        }),
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
            let exists = e.revert().is_some_and(|r| r.is::<IDisputes::DisputeExists>());
            let mut failure = Failure::from(e);
            if exists {
                failure.next = "this account has opened it already: `surety dispute list` shows it".to_owned();
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
    format!(
        "{}  by {}  {} claims  {}{slashed}",
        d.id,
        d.opener,
        d.claims.len(),
        state(d)
    )
}

fn dispute_json(d: &DisputeInfo) -> Value {
    json!({
        "id": d.id,
        "state": state(d),
        "statement_id": d.statement.id(),
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
