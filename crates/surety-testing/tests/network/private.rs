//! Private payloads: only those who are drawn, and who asked, can read them.

use std::{fs, path::Path, process::Stdio};

use alloy::primitives::{Address, B256};
use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use surety_testing::devnet::binary;

use crate::support::{Lab, PATIENCE, play, with};

const MARKER: &str = "the eagle flies at midnight";

/// `surety` as the application uses it.
async fn surety(lab: &Lab, line: &[&str]) -> Result<Json> {
    let folder = lab.net.folder();
    let keystore = folder.join("application.json");
    let password = folder.join("password");
    if !keystore.exists() {
        surety_chain::keys::create(&keystore, &lab.application, "development")?;
    }
    let output = tokio::process::Command::new(binary("surety")?)
        .args(line)
        .arg("--json")
        .env("SURETY_L1", lab.net.rpc.url())
        .env("SURETY_DEPLOYMENT", folder.join("deployment.json"))
        .env("SURETY_KEYSTORE", &keystore)
        .env("SURETY_PASSWORD_FILE", &password)
        .env("SURETY_NODE", format!("http://{}", lab.net.operators[0].api))
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "surety {}: {}\n{}{}",
        line.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("no JSON")
}

/// Files below a folder that hold the text, as it is or in hexadecimal digits.
fn holds(folder: &Path, text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(holds(&path, text)?);
        } else if path.is_file() {
            let bytes = fs::read(&path)?;
            let hex = alloy::hex::encode(text);
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            if has(text.as_bytes()) || has(hex.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(found)
}

/// P7: drawn or named, executor and validators can read the inputs and the application its output; no other node has
/// them in its files, and what the nodes' APIs tell anybody is sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_are_drawn_can_read_private_inputs() -> Result<()> {
    play(with(7), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let inputs = json!({"left": MARKER, "right": "."}).to_string();
            let named = [1, 3, 5].map(|index| lab.net.operators[index].address());
            let list = named.map(|who| format!("{who:#x}")).join(",");
            let service = format!("{:#x}", lab.service);
            for nodes in [None, Some(list.as_str())] {
                let mut line = vec!["task", "request", &service, "join", "--private", "--inputs", &inputs];
                line.extend(["--validators", "1", "--window", "15", "--most", "1"]);
                line.extend(nodes.iter().flat_map(|list| ["--nodes", list]));
                let answer = surety(lab, &line).await?;
                ensure!(
                    answer.to_string().contains(&format!("{MARKER}.")),
                    "the application cannot read its output: {answer:#}"
                );
                let run: B256 = serde_json::from_value(answer["run"].clone())?;
                let executor = lab.index(lab.settled(run, 1).await?[0].executor)?;
                lab.tell("the application has its output");

                // Who is drawn: the executor, the validator, and those who would stand in.
                let status = lab
                    .net
                    .until(PATIENCE, "the executor's node knows the result", async || {
                        let status = lab.net.ask(executor, "network_run", json!([run])).await?;
                        Ok((!status["steps"][0]["output"].is_null()).then_some(status))
                    })
                    .await?;
                let drawn: Vec<Address> = match nodes {
                    Some(_) => named.to_vec(),
                    None => {
                        let contracts = lab.net.contracts();
                        let block = status["block"].as_u64().context("block")?;
                        let draw = surety_client::network::draw(&contracts, lab.service, run, 0, 1, &[], block).await?;
                        let draw = draw.context("not drawn")?;
                        let ranked = draw.roles.ranked().iter();
                        ranked.filter_map(|i| draw.set.member(*i)).map(|m| m.operator).collect()
                    }
                };
                let input: B256 = serde_json::from_value(status["value"].clone())?;
                let output: B256 = serde_json::from_value(status["steps"][0]["output"].clone())?;
                let mut others = 0;
                for index in lab.all() {
                    let operator = lab.net.operators[index].address();
                    let reached = !lab.trace(index, run, 0).is_empty();
                    if !drawn.contains(&operator) {
                        others += 1;
                        ensure!(
                            !reached,
                            "operator {index} was not drawn, and its connector was given the inputs"
                        );
                    }
                    for hash in [input, output] {
                        let answer = lab.net.ask(index, "network_value", json!([hash])).await?;
                        ensure!(
                            answer.is_null() || answer["sealed"].is_string(),
                            "the API of operator {index} tells {answer}"
                        );
                        if let Some(sealed) = answer["sealed"].as_str() {
                            let bytes = alloy::hex::decode(sealed)?;
                            ensure!(
                                !String::from_utf8_lossy(&bytes).contains("eagle"),
                                "sealed with the text in it"
                            );
                        }
                    }
                }
                ensure!(others >= 2, "everybody was drawn: not a test");
            }
            // Nobody keeps it in the clear, not even who may read it.
            for operator in &lab.net.operators {
                let found = holds(&operator.home, MARKER)?;
                ensure!(found.is_empty(), "the text is in {found:?}");
            }
            lab.only_guilty(&[]).await
        })
    })
    .await
}
