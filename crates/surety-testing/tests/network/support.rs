//! A laboratory: one service whose events and tasks a test drives by files, and what tests look at.

use std::{
    fs,
    future::Future,
    path::PathBuf,
    pin::Pin,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    rpc::types::Filter,
    signers::local::PrivateKeySigner,
    sol_types::SolEvent,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use surety_chain::{
    Actions,
    bindings::{IFaults, ITasks, Step},
};
use surety_client::network::{nodes_hash, parse_flow, steps_of, trigger_of};
use surety_primitives::{
    certificate::{Proven, Quorum},
    set::Set,
    value::{Number, Value},
    vote::{VoteKind, event_key, run_id, task_id},
};
use surety_testing::network::{NetworkDevnet, NetworkDevnetConfig};

/// For each stage of a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The service.
pub(crate) const LAB: &str = r#"
name = "lab"
min_bond = "32"

[events.seen]
id = ["number"]
window = 40

[events.seen.data]
number = "Number"
text = "String"

[tasks.write]
verification = "verify"
validators = 2
window = 12
price = { per_call = "0.01" }
inputs = { text = "String" }
outputs = { row = "String" }

[tasks.join]
verification = "deterministic"
validators = 2
window = 12
price = { per_call = "0.01" }
inputs = { left = "String", right = "String" }
outputs = { text = "String" }
"#;

/// What a test does with its network.
pub(crate) type Play<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Sets a network up, plays, and shows what everybody wrote if that failed.
pub(crate) async fn play(
    config: NetworkDevnetConfig,
    story: impl for<'a> FnOnce(&'a mut Lab) -> Play<'a>,
) -> Result<()> {
    let start = Instant::now();
    let mut lab = Lab::start(config).await?;
    eprintln!("[{:5.1} s] set up", start.elapsed().as_secs_f64());
    lab.start = start;
    let outcome = story(&mut lab).await;
    lab.tell(if outcome.is_ok() { "over" } else { "failed" });
    if outcome.is_err() {
        let logs = lab.net.logs();
        // The end is what matters, and a flood of lines helps nobody.
        let from = logs.len().saturating_sub(1 << 20);
        let from = (from..logs.len()).find(|at| logs.is_char_boundary(*at)).unwrap_or(0);
        eprintln!("{}", &logs[from..]);
    }
    outcome
}

/// A network with one service, and the files that drive it.
pub(crate) struct Lab {
    /// the network
    pub(crate) net: NetworkDevnet,
    /// the service
    pub(crate) service: Address,
    /// who pays
    pub(crate) application: PrivateKeySigner,
    effects: PathBuf,
    start: Instant,
}

/// A set of `operators` nodes with the laboratory's service.
pub(crate) fn with(operators: u32) -> NetworkDevnetConfig {
    NetworkDevnetConfig {
        operators,
        services: vec![LAB.into()],
        relay_pause: 1,
        ..NetworkDevnetConfig::default()
    }
}

impl Lab {
    async fn start(config: NetworkDevnetConfig) -> Result<Self> {
        let net = NetworkDevnet::start(&config).await?;
        let effects = net.folder().join("effects");
        fs::create_dir_all(&effects)?;
        let application = net.user(1, tokens(1_000)).await?;
        net.actions(&application).await?.fund_tasks(tokens(900)).await?;
        Ok(Self {
            service: net.service("lab")?.address,
            application,
            effects,
            start: Instant::now(),
            net,
        })
    }

    /// Says how far the test is.
    pub(crate) fn tell(&self, line: &str) {
        eprintln!("[{:5.1} s] {line}", self.start.elapsed().as_secs_f64());
    }

    /// All operators.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.net.operators.len()).collect()
    }

    /// Starts everybody's node and honest connector, and waits until they are connected.
    pub(crate) async fn start_everything(&mut self) -> Result<()> {
        let all = self.all();
        for index in &all {
            self.net.start_node(*index).await?;
            self.connector(*index, &[])?;
        }
        self.ready(&all).await?;
        self.tell("everybody is connected");
        Ok(())
    }

    /// Waits until these nodes are connected to each other and have their connectors.
    pub(crate) async fn ready(&self, nodes: &[usize]) -> Result<()> {
        self.net.connected(nodes, nodes.len() - 1).await?;
        self.net
            .until(PATIENCE, "connectors and sets", async || {
                for index in nodes {
                    let status = self.status(*index).await?;
                    if status["connectors"].as_array().is_none_or(Vec::is_empty) || status["services"][0]["set"] == 0 {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            })
            .await
    }

    /// Starts an operator's connector; `more` are arguments such as `--lie`.
    pub(crate) fn connector(&mut self, index: usize, more: &[&str]) -> Result<()> {
        let operator = &self.net.operators[index];
        let control = operator.home.join("control");
        fs::create_dir_all(&control)?;
        let arguments: Vec<String> = [
            ("--node", format!("http://{}", operator.connectors)),
            ("--token", operator.home.join("connector.token").display().to_string()),
            ("--service", "lab".to_owned()),
            ("--feed", self.net.folder().join("feed").display().to_string()),
            ("--effects", self.effects.display().to_string()),
            ("--control", control.display().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(more.iter().map(ToString::to_string))
        .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.net.start_beside(index, "lab", "lab-connector", &arguments)
    }

    /// Lets everybody's connector see an event.
    pub(crate) fn emit(&self, number: u64, text: &str) -> Result<()> {
        use std::io::Write;
        let line = json!({"event": "seen", "data": {"number": number, "text": text}});
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.net.folder().join("feed"))?;
        file.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }

    /// Key and data of an event.
    pub(crate) fn event(&self, number: u64, text: &str) -> Result<(B256, Value)> {
        let number = Value::Number(Number::from_integer(number.into()).context("a number")?);
        let key = event_key(self.service, "seen", Value::list([number.clone()]).hash()?);
        Ok((key, Value::object([("number", number), ("text", Value::from(text))])))
    }

    /// The certificate that a node has of an event: of just this data, and good.
    pub(crate) async fn certificate(&self, node: usize, number: u64, text: &str) -> Result<Option<Proven>> {
        let (key, data) = self.event(number, text)?;
        let answer = self
            .net
            .ask(
                node,
                "network_certified",
                json!([self.service, VoteKind::Event as u8, key]),
            )
            .await?;
        if answer.is_null() {
            return Ok(None);
        }
        let bytes: alloy::primitives::Bytes = serde_json::from_value(answer)?;
        let proven = Proven::from_rlp(&bytes)?;
        let set = self.set(proven.certificate.ballot.set).await?;
        let quorum = self.net.contracts().quorum_at(self.service, set.number()).await?;
        proven.verify_quorum(&self.net.deployment.ballot_domain(), &set, Quorum::new(quorum)?)?;
        ensure!(
            proven.vote.subject == key && proven.vote.value == data.hash()?,
            "event {number}: something else is certified"
        );
        Ok(Some(proven))
    }

    /// Waits until these nodes have certificates of these events.
    pub(crate) async fn certified(
        &self,
        nodes: &[usize],
        numbers: impl IntoIterator<Item = u64>,
        text: &str,
    ) -> Result<()> {
        for number in numbers {
            for node in nodes {
                self.net
                    .until(
                        PATIENCE,
                        &format!("event {number} is certified at node {node}"),
                        async || self.certificate(*node, number, text).await,
                    )
                    .await?;
            }
        }
        Ok(())
    }

    /// One of the service's sets.
    pub(crate) async fn set(&self, number: u64) -> Result<Set> {
        Ok(surety_client::network::set(&self.net.contracts(), self.service, number).await?)
    }

    /// `network_status` of a node.
    pub(crate) async fn status(&self, node: usize) -> Result<Json> {
        self.net.ask(node, "network_status", json!([])).await
    }

    /// Everybody's bond.
    pub(crate) async fn bonds(&self) -> Result<Vec<U256>> {
        let mut bonds = Vec::new();
        for operator in &self.net.operators {
            bonds.push(
                self.net
                    .contracts()
                    .operator(self.service, operator.address())
                    .await?
                    .bond,
            );
        }
        Ok(bonds)
    }

    /// All logs of a kind.
    pub(crate) async fn logs<E: SolEvent>(&self, at: Address) -> Result<Vec<E>> {
        let filter = Filter::new().address(at).event_signature(E::SIGNATURE_HASH);
        let found = self
            .net
            .contracts()
            .history(filter, self.net.deployment.from_block)
            .await?;
        found.iter().map(|log| Ok(E::decode_log(&log.inner)?.data)).collect()
    }

    /// P1: nobody was reported but these, and nobody else has lost anything.
    pub(crate) async fn only_guilty(&self, guilty: &[usize]) -> Result<()> {
        let guilty: Vec<Address> = guilty
            .iter()
            .map(|index| self.net.operators[*index].address())
            .collect();
        for reported in self.logs::<IFaults::Reported>(self.net.deployment.faults).await? {
            ensure!(
                guilty.contains(&reported.operator),
                "{} was reported: {reported:?}",
                reported.operator
            );
        }
        for (operator, bond) in self.net.operators.iter().zip(self.bonds().await?) {
            let guilty = guilty.contains(&operator.address());
            ensure!(
                guilty || bond == self.net.bond,
                "{} has a bond of {bond}",
                operator.address()
            );
        }
        Ok(())
    }

    /// Waits until an operator has lost some of its bond.
    pub(crate) async fn slashed(&self, index: usize) -> Result<U256> {
        let service = self.service;
        let operator = self.net.operators[index].address();
        self.net
            .until(PATIENCE, "the liar is slashed", async || {
                let bond = self.net.contracts().operator(service, operator).await?.bond;
                Ok((bond < self.net.bond).then(|| self.net.bond - bond))
            })
            .await
    }

    /// Actions of the application.
    pub(crate) async fn actions(&self) -> Result<Actions> {
        self.net.actions(&self.application).await
    }

    /// Creates a flow, and waits until all of `nodes` know it.
    pub(crate) async fn create_flow(&self, text: &str, nodes: &[usize]) -> Result<U256> {
        let flow = parse_flow(text, |name| self.net.service(name).ok().map(|s| s.address))
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let (trigger, steps) = (trigger_of(&flow).context("nothing starts the flow")?, steps_of(&flow));
        let definition = flow.to_json().as_bytes().to_vec().into();
        let (number, _) = self.actions().await?.create_flow(definition, trigger, steps).await?;
        for node in nodes {
            self.net
                .until(PATIENCE, "the flow is known", async || {
                    let status = self.status(*node).await?;
                    let flows = status["flows"].as_array().context("flows")?;
                    Ok(flows.contains(&json!(number.to_string())).then_some(()))
                })
                .await?;
        }
        Ok(number)
    }

    /// The run that an event starts.
    pub(crate) fn run_of(&self, flow: U256, number: u64) -> Result<B256> {
        Ok(run_id(flow, self.event(number, "")?.0))
    }

    /// Asks for a task with inputs that anybody may read, through a node.
    pub(crate) async fn request(
        &self,
        node: usize,
        task: &str,
        inputs: Json,
        validators: u8,
        window: u32,
        named: &[Address],
    ) -> Result<B256> {
        let hash: B256 = serde_json::from_value(self.net.ask(node, "network_putValue", json!([inputs])).await?)?;
        if !named.is_empty() {
            self.net.ask(node, "network_putNodes", json!([named])).await?;
        }
        let step = Step {
            service: self.service,
            task: keccak256(task),
            validators,
            window,
            most: tokens(1).to(),
            nodes: nodes_hash(named),
        };
        Ok(self.actions().await?.request_task(step, hash).await?.0)
    }

    /// `network_run` of a node, once it knows who executes every step up to `step`.
    pub(crate) async fn drawn(&self, node: usize, run: B256, step: usize) -> Result<(usize, Vec<usize>)> {
        self.net
            .until(PATIENCE, "the step is drawn", async || {
                let status = self.net.ask(node, "network_run", json!([run])).await?;
                let step = &status["steps"][step];
                if step["executor"].is_null() || step["committee"].is_null() {
                    return Ok(None);
                }
                let executor = self.index(serde_json::from_value(step["executor"].clone())?)?;
                let committee: Vec<Address> = serde_json::from_value(step["committee"].clone())?;
                let committee = committee
                    .into_iter()
                    .map(|who| self.index(who))
                    .collect::<Result<_>>()?;
                Ok(Some((executor, committee)))
            })
            .await
    }

    /// Which operator this is.
    pub(crate) fn index(&self, who: Address) -> Result<usize> {
        let found = self.net.operators.iter().position(|o| o.address() == who);
        found.with_context(|| format!("{who} is no operator"))
    }

    /// How the steps of a run were settled, as far as they were: step, attempt, who executed.
    pub(crate) async fn settlements(&self, run: B256) -> Result<Vec<ITasks::Settled>> {
        let all = self.logs::<ITasks::Settled>(self.net.deployment.tasks).await?;
        Ok(all.into_iter().filter(|settled| settled.run == run).collect())
    }

    /// Waits until a run has so many settled steps; each of them once.
    pub(crate) async fn settled(&self, run: B256, steps: usize) -> Result<Vec<ITasks::Settled>> {
        let found = self
            .net
            .until(PATIENCE, &format!("{steps} steps are settled"), async || {
                let found = self.settlements(run).await?;
                Ok((found.len() >= steps).then_some(found))
            })
            .await?;
        let mut numbers: Vec<u8> = found.iter().map(|s| s.step).collect();
        numbers.sort_unstable();
        ensure!(
            numbers.windows(2).all(|pair| pair[0] != pair[1]),
            "a step was settled twice: {numbers:?}"
        );
        ensure!(
            found.len() == steps,
            "found {} settled steps, expected {steps}",
            found.len()
        );
        Ok(found)
    }

    /// What `write` has done for a step.
    pub(crate) fn row(&self, run: B256, step: u8) -> Option<String> {
        fs::read_to_string(self.effects.join(format!("{:#x}", task_id(run, step)))).ok()
    }

    /// How many rows there are in all.
    pub(crate) fn rows(&self) -> Result<usize> {
        Ok(fs::read_dir(&self.effects)?.count())
    }

    /// Holds an operator's connector at a point: `before`, `after` (executing) or `validate`.
    pub(crate) fn hold(&self, index: usize, point: &str) -> Result<()> {
        Ok(fs::write(
            self.net.operators[index].home.join("control").join(point),
            "",
        )?)
    }

    /// Lets it go on.
    pub(crate) fn release(&self, index: usize, point: &str) -> Result<()> {
        Ok(fs::remove_file(
            self.net.operators[index].home.join("control").join(point),
        )?)
    }

    /// Points that an operator's connector has reached for a step.
    pub(crate) fn trace(&self, index: usize, run: B256, step: u8) -> Vec<Json> {
        let text = fs::read_to_string(self.net.operators[index].home.join("control").join("trace"));
        let task = json!(format!("{:#x}", task_id(run, step)));
        let lines = text.unwrap_or_default();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.filter(|line| line["task"] == task).collect()
    }

    /// Waits until an operator's connector is at a point for a step.
    pub(crate) async fn reached(&self, index: usize, run: B256, step: u8, point: &str) -> Result<()> {
        self.net
            .until(PATIENCE, &format!("operator {index} is at {point}"), async || {
                Ok(self
                    .trace(index, run, step)
                    .iter()
                    .any(|l| l["at"] == point)
                    .then_some(()))
            })
            .await
    }

    /// Physical memory of an operator's node, bytes.
    pub(crate) fn memory(&self, index: usize) -> Result<u64> {
        let pid = self.net.operators[index].pid().context("it does not run")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes << 10)
    }
}

/// Whole tokens.
pub(crate) fn tokens(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10).pow(U256::from(18))
}

/// Loses every transaction that waits for a block.
pub(crate) async fn drop_waiting(rpc: &surety_chain::Rpc) -> Result<()> {
    let dropped = rpc
        .provider()
        .raw_request::<_, Json>("anvil_dropAllTransactions".into(), ())
        .await?;
    ensure!(dropped.is_null(), "anvil answers {dropped}");
    Ok(())
}
