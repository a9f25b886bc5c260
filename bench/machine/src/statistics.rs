//! Medians, spreads, geometric means.

use serde_json::{Value, json};

/// A middle and the ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Half of the values lie below it.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The greatest.
    pub(crate) greatest: f64,
}

impl Spread {
    /// Of these values, in any order; none if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&least, &greatest) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.len() % 2 {
            0 => (upper + values.get(middle.checked_sub(1)?)?) / 2.0,
            _ => upper,
        };
        Some(Self {
            median,
            least,
            greatest,
        })
    }

    /// As the results hold it.
    pub(crate) fn json(&self) -> Value {
        json!({ "median": rounded(self.median), "least": rounded(self.least), "greatest": rounded(self.greatest) })
    }
}

/// The geometric mean; none if there are no values.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values
        .into_iter()
        .fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value.ln()));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// Five significant digits: more is noise.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(4 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
