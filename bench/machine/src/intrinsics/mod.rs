//! The engine's intrinsics: routines of `surety-guest` that it knows, and runs as host code. What a call of one costs a guest
//! program, against the host's own code and against the same routine translated as any other.

mod cases;
mod guest;
mod keccak;
mod page;
mod peak;

pub(crate) use page::{HEADING, lines, section};

use crate::builds::{Builder, Size};
use crate::clock::Clock;
use crate::statistics::Spread;
use crate::suite;
use anyhow::{Context, Result};
use guest::Guest;
use serde_json::{Map, Value, json};

/// Where `machine.json` holds them.
pub(crate) const KEY: &str = "intrinsics";

/// All of it, as `machine.json` holds it.
pub(crate) fn measure(builder: &Builder, rounds: usize, clock: Clock, machine: &Value) -> Result<Value> {
    let sources = suite::programs(&builder.here.join("programs/intrinsics"), &[])?;
    let (mut headlines, mut details, mut routines) = (Map::new(), Map::new(), Vec::new());
    for case in &cases::ALL {
        eprintln!("bench: intrinsics: {}", case.name);
        let source = sources.iter().find(|source| source.name == case.source);
        let source = source.with_context(|| format!("programs/intrinsics/{}.c is missing", case.source))?;
        let mut guest = Guest::build(case, source, builder)?;
        guest.check(clock)?;
        match case.beside {
            Beside::Nothing => guest.measure(rounds, clock, || Ok(()))?,
            Beside::Peak => {
                let measured = peak::matrix(&mut guest, rounds, clock)?;
                // The first of them is what counts.
                headlines
                    .entry("int8_matrix_of_peak")
                    .or_insert_with(|| measured["of_peak"]["median"].clone());
                details.insert(case.name.into(), measured);
            }
            Beside::Crates { headline } => {
                let measured = keccak::hashes(&mut guest, rounds, clock)?;
                headlines.insert(headline.into(), measured["engine_over_fastest"]["median"].clone());
                details.insert(case.name.into(), measured);
            }
        }
        routines.push(guest.json()?);
    }
    eprintln!("bench: intrinsics: keccak-256 of many pairs");
    details.insert("keccak256_pairs".into(), keccak::pairs(rounds, clock)?);
    details.insert("keccak_f_ns".into(), keccak::permutation(rounds, clock)?);
    headlines.extend(details);
    headlines.insert("routines".into(), routines.into());
    headlines.insert("rounds".into(), json!(rounds));
    headlines.insert("quick".into(), json!(builder.size == Size::Quick));
    headlines.insert("clock".into(), json!(clock.to_string()));
    headlines.insert("machine".into(), machine.clone());
    Ok(headlines.into())
}

/// What is measured in the same rounds as a guest program.
#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    /// The host's fastest multiplication and addition of vectors of bytes.
    Peak,
    /// Published crates that hash the same messages.
    Crates {
        /// The ratio's name in the results.
        headline: &'static str,
    },
}

/// The middle and the ends of some values, scaled.
fn spread(values: &[f64], scale: f64) -> Result<Value> {
    let spread = Spread::of(values.iter().map(|value| value * scale)).context("no rounds")?;
    Ok(spread.json())
}

/// One value over another of the same round.
fn ratios(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one / other).collect()
}
