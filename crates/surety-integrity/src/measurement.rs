//! What is measured (`docs/spec/integrity.md`, section 3): a canonical document of two parts. `identity` is the same
//! whoever measures the same container, whenever; its value hash is the measurement root. `evidence` is the rest:
//! findings, and what they were found in.

use alloy_primitives::B256;
use surety_primitives::value::{JsonError, Value, ValueError};

use crate::finding::{self, Finding, FindingError, MAX_FINDINGS};

/// Version of the document.
pub const VERSION: u8 = 1;

/// The fields of an identity, in order.
pub const IDENTITY_FIELDS: &[&str] = &[
    "container",
    "health",
    "image",
    "mounts",
    "ports",
    "process",
    "resources",
    "restart",
    "security",
    "version",
];

/// A measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    identity: Value,
    findings: Vec<Finding>,
    evidence: Value,
}

/// Why something is no measurement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// Not JSON of a value.
    #[error("not JSON: {0}")]
    Json(#[from] JsonError),
    /// Not an encoding of a value, or too long for one.
    #[error("not a value: {0}")]
    Value(#[from] ValueError),
    /// A finding is none.
    #[error("finding {index}: {why}")]
    Finding {
        /// Which.
        index: usize,
        /// What is wrong.
        why: FindingError,
    },
    /// Fields are missing, or there are others.
    #[error("found {found}, expected {expected}")]
    Shape {
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
}

impl Measurement {
    /// Of an identity, what was found, and other evidence (an object; its field `findings` is overwritten).
    ///
    /// # Errors
    /// Too long for a value, or not of the shape of a measurement.
    pub fn new(identity: Value, findings: Vec<Finding>, evidence: Value) -> Result<Self, MeasurementError> {
        check_identity(&identity)?;
        let findings = finding::normalise(findings);
        let Value::Object(mut fields) = evidence else {
            return Err(shape(&evidence, "evidence to be an object"));
        };
        fields.insert(
            "findings".into(),
            Value::List(findings.iter().map(Finding::to_value).collect()),
        );
        let it = Self {
            identity,
            findings,
            evidence: Value::Object(fields),
        };
        it.to_value().encode()?;
        Ok(it)
    }

    /// What is the same whoever measures.
    pub const fn identity(&self) -> &Value {
        &self.identity
    }

    /// What differs: sorted, without doubles.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The rest; has the findings too.
    pub const fn evidence(&self) -> &Value {
        &self.evidence
    }

    /// Value hash of the identity.
    ///
    /// # Errors
    /// None of a measurement that was made or decoded here.
    pub fn root(&self) -> Result<B256, ValueError> {
        self.identity.hash()
    }

    /// Whether the engine's events are known without a gap since the measurement before (or since the container's
    /// creation, as far as the engine remembers): without that nobody may call a container intact.
    pub fn events_complete(&self) -> bool {
        let complete = self
            .evidence
            .field("events")
            .and_then(|events| events.field("complete"));
        complete.and_then(Value::as_bool) == Some(true)
    }

    /// As a value: an object of `identity` and `evidence`.
    pub fn to_value(&self) -> Value {
        Value::object([("identity", self.identity.clone()), ("evidence", self.evidence.clone())])
    }

    /// From a value, strictly.
    ///
    /// # Errors
    /// Anything but the shape that [`Self::to_value`] gives, findings in another order included.
    pub fn from_value(value: &Value) -> Result<Self, MeasurementError> {
        const EXPECTED: &str = "an object of identity and evidence";
        let fields = value.as_object().filter(|fields| fields.len() == 2);
        let (Some(identity), Some(evidence)) = (
            fields.and_then(|fields| fields.get("identity")),
            fields.and_then(|fields| fields.get("evidence")),
        ) else {
            return Err(shape(value, EXPECTED));
        };
        check_identity(identity)?;
        let list = evidence.field("findings").and_then(Value::as_list);
        let list = list.filter(|list| list.len() <= MAX_FINDINGS);
        let list = list.ok_or_else(|| shape(evidence, "evidence with at most 256 findings"))?;
        let findings = list
            .iter()
            .enumerate()
            .map(|(index, value)| Finding::from_value(value).map_err(|why| MeasurementError::Finding { index, why }))
            .collect::<Result<Vec<_>, _>>()?;
        if !findings.is_sorted_by(|one, other| one < other) {
            return Err(MeasurementError::Shape {
                found: "findings out of order, or twice".into(),
                expected: "them in ascending order",
            });
        }
        Ok(Self {
            identity: identity.clone(),
            findings,
            evidence: evidence.clone(),
        })
    }

    /// The canonical encoding.
    ///
    /// # Errors
    /// None of a measurement that was made or decoded here.
    pub fn encode(&self) -> Result<Vec<u8>, ValueError> {
        self.to_value().encode()
    }

    /// From its canonical encoding.
    ///
    /// # Errors
    /// As [`Self::from_value`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MeasurementError> {
        Self::from_value(&Value::decode(bytes)?)
    }

    /// As JSON, without spaces.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// From JSON.
    ///
    /// # Errors
    /// As [`Self::from_value`].
    pub fn from_json(text: &str) -> Result<Self, MeasurementError> {
        Self::from_value(&Value::from_json(text)?)
    }
}

fn check_identity(identity: &Value) -> Result<(), MeasurementError> {
    let keys = identity.as_object().map(|fields| fields.keys().map(String::as_str));
    if keys.is_some_and(|keys| keys.eq(IDENTITY_FIELDS.iter().copied()))
        && identity.field("version").and_then(Value::as_number) == Some(f64::from(VERSION))
    {
        return Ok(());
    }
    Err(shape(identity, "an identity of version 1 with exactly its fields"))
}

fn shape(found: &Value, expected: &'static str) -> MeasurementError {
    let found = match found.as_object() {
        Some(fields) => format!(
            "an object of {:?}",
            fields
                .keys()
                .take(16)
                .map(|key| key.chars().take(64).collect::<String>())
                .collect::<Vec<_>>()
        ),
        None => found.kind().to_string(),
    };
    MeasurementError::Shape { found, expected }
}
