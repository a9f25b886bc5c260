//! The trial by hand: what connectors do, and lines that say what they shall do, as text.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use surety_primitives::{B256, value::Value};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Trial, TrialError};
use crate::host::{Answer, Kind, Verdict};

/// Works on lines side by side, those of one number one after another, until there are no more and all are answered.
/// A line is `[NUMBER] execute TASK INPUTS` or `[NUMBER] validate TASK INPUTS OUTPUT`. The number becomes the task's id;
/// without one it is a new one.
pub async fn serve(
    trial: Arc<Trial>,
    mut lines: mpsc::Receiver<String>,
    say: impl Fn(String) + Clone + Send + Sync + 'static,
) {
    // From the clock: a connector that remembers what it did before a restart would answer 1 with what 1 was then.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut next = u64::try_from(since.as_millis()).unwrap_or_default();
    let mut latest: HashMap<u64, JoinHandle<()>> = HashMap::new();
    let (mut registered, mut emitted, mut ended) = (0, 0, false);
    while !(ended && latest.values().all(JoinHandle::is_finished)) {
        tokio::select! {
            found = lines.recv(), if !ended => match found {
                Some(line) => match Order::read(&line, &mut next) {
                    Ok(Some(order)) => {
                        latest.retain(|_, ask| !ask.is_finished());
                        let (number, earlier) = (order.number, latest.remove(&order.number));
                        let (trial, say) = (Arc::clone(&trial), say.clone());
                        let ask = tokio::spawn(async move {
                            if let Some(earlier) = earlier {
                                let _one_after_another = earlier.await;
                            }
                            if trial.window(&order.name).is_ok() && !trial.handle().serves(trial.service(), &order.name) {
                                say(format!("task {number}: waits for a connector that does `{}`", order.name));
                            }
                            say(format!("task {number}: {}", order.ask(&trial).await));
                        });
                        latest.insert(number, ask);
                    }
                    Ok(None) => {}
                    Err(error) => say(error),
                },
                None => ended = true,
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        for new in trial.registrations().iter().skip(registered) {
            registered = registered.saturating_add(1);
            let (events, tasks) = (new.events.join(", "), new.tasks.join(", "));
            say(format!(
                "registered {}: events [{events}], tasks [{tasks}]",
                new.connector
            ));
        }
        for new in trial.emissions().iter().skip(emitted) {
            emitted = emitted.saturating_add(1);
            say(format!("{} emitted {} {}", new.connector, new.event, new.data));
        }
    }
}

/// One line.
struct Order {
    number: u64,
    name: String,
    inputs: Value,
    /// what is to be validated
    output: Option<Value>,
}

impl Order {
    fn read(line: &str, next: &mut u64) -> Result<Option<Self>, String> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let given = words.first().and_then(|word| word.parse().ok());
        if given.is_some() {
            words.remove(0);
        }
        let (name, inputs, output) = match words.as_slice() {
            [] => return Ok(None),
            ["execute", name, inputs] => (name, inputs, None),
            ["validate", name, inputs, output] => (name, inputs, Some(output)),
            _ => {
                return Err(format!(
                    "found `{line}`, expected [NUMBER] execute TASK INPUTS, or [NUMBER] validate TASK INPUTS OUTPUT \
                     (JSON without spaces between its parts)"
                ));
            }
        };
        let json = |what: &str, text: &str| Value::from_json(text).map_err(|cause| format!("{what}: {cause}"));
        let inputs = json("inputs", inputs)?;
        let output = output.map(|output| json("output", output)).transpose()?;
        let number = given.unwrap_or(*next);
        if given.is_none() {
            *next = next.wrapping_add(1);
        }
        Ok(Some(Self {
            number,
            name: (*name).to_owned(),
            inputs,
            output,
        }))
    }

    async fn ask(self, trial: &Trial) -> String {
        self.answer(trial).await.unwrap_or_else(|error| error.to_string())
    }

    async fn answer(self, trial: &Trial) -> Result<String, TrialError> {
        let window = trial.window(&self.name)?;
        let kind = match self.output.clone() {
            Some(output) => trial.validation(&self.name, output)?,
            None => Kind::Execute,
        };
        let task = B256::left_padding_from(&self.number.to_be_bytes());
        Ok(match trial.ask(task, &self.name, self.inputs, kind, window).await? {
            // A deterministic task was done again.
            Answer::Output(output) => match self.output {
                Some(claimed) if claimed == output => format!("VALID: the same output {output}"),
                Some(_) => format!("INVALID: the output is {output}"),
                None => format!("output {output}"),
            },
            Answer::Verdict { verdict, reason } => {
                let verdict = match verdict {
                    Verdict::Valid => "VALID",
                    Verdict::Invalid => "INVALID",
                    Verdict::Unknown => "UNKNOWN",
                };
                format!("{verdict} {reason}").trim_end().to_owned()
            }
            Answer::Failed { message, retry } => {
                let then = if retry { "a node would ask again" } else { "for good" };
                format!("error ({then}): {message}")
            }
        })
    }
}
