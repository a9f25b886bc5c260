//! `surety call`: ask a service, verify and compare the answers.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    hex,
    primitives::{Address, Bytes},
    signers::local::PrivateKeySigner,
};
use clap::Args;
use serde_json::{Value, json};
use surety_chain::{Actions, Sender};
use surety_client::{CallError, Called, Client, Failure as Reason, Limits, Policy, Report, Verdict, dispute};
use surety_primitives::{Answer, Budget, Status};

use crate::{
    abi,
    context::{ChainArgs, KeyArgs},
    exit::{Failure, code},
    ui::Ui,
    values::{probability, steps},
};

/// Ask a service: k providers, every answer verified, all compared.
#[derive(Debug, Args)]
pub struct Command {
    /// The service: its address, or its name.
    service: String,
    /// The method: `balanceOf(bytes32,address)`, with `(uint256)` after it to decode what it returns; or 0x call data.
    method: String,
    /// The arguments; tuples as (a,b), arrays as [a,b].
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// How many providers must give the same verified answer.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    k: u16,
    /// Probability of asking one provider more.
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability)]
    audit: f64,
    /// Exactly these operators, instead of a choice by chance.
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',')]
    providers: Vec<Address>,
    /// Step budget; what a provider estimates if not given.
    #[arg(long, value_name = "STEPS", value_parser = steps)]
    budget: Option<u64>,
    /// Nonce of the request; the time if not given. The same request always has the same answer.
    #[arg(long, value_name = "N")]
    nonce: Option<u64>,
    /// Longest wait for a provider.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Where differing answers are written; `evidence-<statement>.json` if not given.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// If the answers differ, open a dispute at once (needs --keystore).
    #[arg(long)]
    dispute: bool,
}

/// Asks and prints.
pub async fn run(args: Command, ui: Ui) -> Result<(), Failure> {
    let known = args.chain.service(&args.service)?;
    let (method, data) = if let Some(digits) = args.method.strip_prefix("0x") {
        let data = hex::decode(digits)
            .map_err(|e| Failure::usage(format!("the call data is not hex: {e}"), "give 0x and hex digits"))?;
        (None, Bytes::from(data))
    } else {
        let mut method = abi::method(&args.method)?;
        if method.outputs.is_empty() {
            // What it returns, where the service is known.
            let same = known.methods.iter().filter_map(|m| abi::method(m).ok());
            if let Some(full) = same.into_iter().find(|m| m.signature() == method.signature()) {
                method = full;
            }
        }
        let data = abi::encode(&method, &args.arguments)?;
        (Some(method), data)
    };
    let signer = match args.key.open_if_given()? {
        Some(signer) => signer,
        None if args.dispute => args.key.open()?,
        None => {
            ui.note("note: no --keystore, so the request is signed by a throwaway key; compensation for a wrong answer would be lost");
            PrivateKeySigner::random()
        }
    };
    let limits = Limits {
        timeout: Duration::from_secs(args.timeout.max(1)),
        ..Limits::default()
    };
    let client = Client::new(args.chain.contracts().await?, limits);
    let budget = match args.budget {
        Some(steps) => Budget::new(steps).map_err(|e| Failure::usage(e, "give a smaller --budget"))?,
        None => {
            let mut providers = client.providers(known.address).await.map_err(call_failure)?;
            providers.retain(|p| args.providers.is_empty() || args.providers.contains(&p.operator));
            client
                .estimate(known.address, signer.address(), &data, &providers)
                .await
                .map_err(call_failure)?
        }
    };
    let nonce = args.nonce.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or_default()
    });
    let question = client
        .question(&signer, known.address, data, budget, nonce)
        .await
        .map_err(call_failure)?;
    let policy = Policy {
        k: args.k.into(),
        audit: args.audit,
        fixed: args.providers.clone(),
    };
    let asked = async {
        let mut progress = ui.progress();
        let mut rng = rand::rng();
        let ask = client.ask(question, &policy, &mut rng);
        tokio::pin!(ask);
        loop {
            tokio::select! {
                called = &mut ask => return called,
                () = tokio::time::sleep(Duration::from_millis(250)) => {
                    let seconds = progress.elapsed().as_secs();
                    progress.show(|| format!("waiting for providers, {seconds} s"));
                }
            }
        }
    };
    let called = asked.await.map_err(call_failure)?;
    let decoded = |answer: &Answer| method.as_ref().and_then(|m| abi::decode(m, answer.output.bytes()));

    let mut value = json!({
        "request": called.question.request,
        "requester": called.question.requester,
        "statement": called.question.statement,
        "statement_id": called.question.statement.id(),
        "wanted": called.wanted,
        "audited": called.audited,
        "providers": called.reports.iter().map(report_json).collect::<Vec<_>>(),
    });
    let mut text = String::new();
    let mut put = |key: &str, v: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(key.to_owned(), v);
        }
    };
    match &called.verdict {
        Verdict::Agreed(answer) => {
            put("verdict", json!("agreed"));
            put("status", json!(answer.outcome.status.as_str()));
            put("exit_code", json!(answer.outcome.exit));
            put("output", json!(hex::encode_prefixed(answer.output.bytes())));
            let values = decoded(answer);
            put("decoded", json!(values));
            for report in &called.reports {
                ui.note(&report_line(report));
            }
            match &values {
                Some(values) => text.push_str(&values.join("\n")),
                None => text.push_str(&hex::encode_prefixed(answer.output.bytes())),
            }
            ui.result(&text, &value);
            if (answer.outcome.status, answer.outcome.exit) == (Status::Halted, 0) {
                return Ok(());
            }
            Err(not_answered(answer))
        }
        Verdict::Differ(evidence) => {
            let id = called.question.statement.id();
            let path = args.evidence.clone().unwrap_or_else(|| {
                let short: String = id.to_string().chars().take(18).collect();
                format!("evidence-{short}.json").into()
            });
            evidence
                .save(&path)
                .map_err(|e| Failure::new(e, "give a writable --evidence FILE"))?;
            put("verdict", json!("differ"));
            put("evidence", json!(path));
            let _infallible = write!(text, "{}", summary(&called));
            let mut next = format!(
                "surety dispute open --evidence {} takes it to the chain; the wrong signers lose their bonds",
                path.display()
            );
            if args.dispute {
                let deployment = client.contracts().deployment().clone();
                let sender = Sender::new(client.contracts().rpc().clone(), signer).await?;
                let opened = dispute::open(&Actions::new(sender, deployment), evidence)
                    .await
                    .map_err(super::dispute::dispute_failure)?;
                put(
                    "dispute",
                    json!({"id": opened.dispute, "transaction": opened.sent.hash, "gas": opened.sent.gas}),
                );
                next = format!("surety dispute show {} follows it", opened.dispute);
            }
            ui.result(&text, &value);
            Err(Failure::new(
                "verified answers differ: at least one operator signed a wrong one",
                next,
            )
            .with_code(code::DIFFER))
        }
        Verdict::TooFew { verified, reason } => {
            put("verdict", json!("too_few"));
            put("verified", json!(verified));
            let _infallible = write!(text, "{}", summary(&called));
            ui.result(&text, &value);
            let message = match reason {
                Some(reason) => format!("{verified} of {} wanted answers verified: {reason}", called.wanted),
                None => format!(
                    "{verified} of {} wanted answers: the service has no more providers",
                    called.wanted
                ),
            };
            let (code, next) = match reason {
                Some(Reason::Refused(refusal)) => (
                    refusal.exit_code(),
                    "ask other operators with --providers; do not use the refused answer",
                ),
                Some(Reason::Unanswered(surety_client::RpcError::Declined { code, .. })) => {
                    (code::TOO_FEW, decline_advice(*code))
                }
                _ => (
                    code::TOO_FEW,
                    "try again later, lower -k, or see `surety operator status`",
                ),
            };
            Err(Failure::new(message, next).with_code(code))
        }
    }
}

fn decline_advice(declined: i64) -> &'static str {
    use surety_client::rpc::code as rpc;
    match declined {
        rpc::BUSY => "try again later",
        rpc::MISSING_PREIMAGE => {
            "give the provider the data: its operator adds a preimage source (docs/guides/operators.md)"
        }
        rpc::BUDGET => "lower --budget",
        rpc::UNKNOWN_METHOD => "check the signature, types included; `surety service show` lists the known methods",
        _ => "read the provider's message; ask others with --providers",
    }
}

/// The program ended otherwise than by halting with 0, and everybody agrees on that.
fn not_answered(answer: &Answer) -> Failure {
    let exit = answer.outcome.exit;
    match answer.outcome.status {
        Status::OutOfSteps => Failure::new("the program ran out of steps (verified)", "give a larger --budget"),
        Status::Trapped => Failure::new(
            format!("the program trapped with cause {exit} (verified)"),
            "correct the arguments, or tell the service's owner",
        ),
        Status::Halted => Failure::new(
            format!("the program refused with exit code {exit} (verified); its output says why"),
            "correct the arguments",
        ),
    }
}

fn report_json(report: &Report) -> Value {
    let mut value = json!({
        "operator": report.operator.operator,
        "endpoint": report.operator.endpoint,
        "seconds": report.time.as_secs_f64(),
        "verified": report.outcome.is_ok(),
    });
    let extra = match &report.outcome {
        Ok(answer) => json!({"result": answer.result, "status": answer.outcome.status.as_str(),
            "exit_code": answer.outcome.exit, "output": hex::encode_prefixed(answer.output.bytes())}),
        Err(Reason::Refused(refusal)) => {
            json!({"refusal": refusal.kind(), "exit_code_of_refusal": refusal.exit_code(), "message": refusal.to_string()})
        }
        Err(other) => json!({"refusal": "unanswered", "message": other.to_string()}),
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), extra) {
        object.extend(more);
    }
    value
}

fn report_line(report: &Report) -> String {
    let who = format!("{} at {}", report.operator.operator, report.operator.endpoint);
    let seconds = report.time.as_secs_f64();
    match &report.outcome {
        Ok(answer) => format!("verified  {who} in {seconds:.3} s: result {}", answer.result),
        Err(reason) => format!("refused   {who} after {seconds:.3} s: {reason}"),
    }
}

fn summary(called: &Called) -> String {
    called.reports.iter().map(report_line).collect::<Vec<_>>().join("\n")
}

/// A call that could not be made.
pub fn call_failure(error: CallError) -> Failure {
    match error {
        CallError::Chain(e) => e.into(),
        CallError::UnknownService(_) => Failure::new(error, "check the address, --deployment and --l1"),
        CallError::UnknownMethod { .. } => Failure::new(error, "check the signature, spaces and types included"),
        CallError::NoSelector(_) => Failure::usage(error, "give a method signature, or call data with its selector"),
        CallError::NoProvider(_) => {
            Failure::new(error, "`surety operator status SERVICE` shows who there is").with_code(code::TOO_FEW)
        }
        CallError::UnknownProvider { .. } => {
            Failure::new(error, "give addresses of registered operators").with_code(code::NOT_BONDED)
        }
        CallError::Budget(_) | CallError::BudgetTooSmall(_) => Failure::usage(error, "give --budget STEPS"),
        CallError::NoEstimate(ref e) => {
            let next = match e {
                surety_client::RpcError::Declined { code, .. } if *code == surety_client::rpc::code::REVERTED => {
                    "the program refuses this call: correct the arguments, or give --budget to get it verified"
                }
                surety_client::RpcError::Declined { code, .. } => decline_advice(*code),
                _ => "give --budget STEPS, or see `surety doctor`",
            };
            Failure::new(error, next)
        }
        CallError::Sign(_) => Failure::new(error, "check the keystore"),
    }
}
