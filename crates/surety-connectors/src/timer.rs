//! Ticks at the multiples of an interval since 1970. Tick n is the same for everybody, whenever it is emitted: a node
//! that starts late begins with the next one and says the same about it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use surety_connector::sdk::{Connector, EmitError, Emitter, Nothing};
use surety_primitives::value::{Number, Value};

use crate::{Kind, config::Loaded};

/// `[timer]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// the event: data `tick` and `time` (Unix seconds), both Number; id `tick`
    pub event: String,
    /// seconds between ticks, 1 to 86,400
    pub interval: u32,
}

/// The data of tick `number`.
pub fn tick(number: u64, interval: u32) -> Option<Value> {
    let time = number.checked_mul(u64::from(interval))?;
    Some(Value::object([
        ("tick", Value::Number(Number::from_integer(i128::from(number))?)),
        ("time", Value::Number(Number::from_integer(i128::from(time))?)),
    ]))
}

pub(crate) async fn run(config: &Loaded) -> Result<()> {
    let timer = config.section(Kind::Timer, &config.file.timer)?;
    ensure!(
        (1..=86_400).contains(&timer.interval),
        "timer.interval: found {}, expected 1 to 86400 seconds",
        timer.interval
    );
    let connector = Connector::new(config.node(Kind::Timer).event(&timer.event), Nothing)?;
    tokio::select! {
        ended = connector.run() => Ok(ended?),
        ended = ticks(connector.emitter(), timer) => ended,
    }
}

async fn ticks(emitter: Emitter, timer: &Config) -> Result<()> {
    let interval = Duration::from_secs(u64::from(timer.interval));
    let mut last = since_1970()?.as_secs() / interval.as_secs();
    loop {
        let next = Duration::from_secs(last.saturating_add(1).saturating_mul(interval.as_secs()));
        // Slept in pieces: a clock that is set meanwhile moves the ticks with it.
        let left = next.saturating_sub(since_1970()?);
        if !left.is_zero() {
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            continue;
        }
        // After a pause of the machine only the tick of now: the others' windows are over.
        last = since_1970()?.as_secs() / interval.as_secs();
        let data = tick(last, timer.interval).context("the time is out of range")?;
        match emitter.emit(&timer.event, &data).await {
            Ok(key) => tracing::info!(tick = last, key, "emitted"),
            Err(refused @ EmitError::Refused { .. }) => tracing::error!(%refused, "the tick was not taken"),
            Err(ended) => return Err(ended.into()),
        }
    }
}

fn since_1970() -> Result<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")
}
