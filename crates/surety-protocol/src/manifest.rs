//! A service's manifest, `service.toml`. Its network part: events and tasks with typed values, how they are verified,
//! what they cost, and what its containers need. Its [`container`] part: what a host runs and monitors measure.
//!
//! [`Network::parse`] reads it and reports everything that is wrong at once, each with line, column and path;
//! [`Network::check_event`], [`Network::check_inputs`] and [`Network::check_outputs`] hold values to it.

mod check;
pub mod container;
mod parse;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use surety_primitives::value::Path;

pub use check::{Checked, Mismatch, Mismatches, Unfit, check};

/// Longest manifest, bytes.
pub const MAX_MANIFEST: usize = 1 << 20;
/// Most events, and most tasks, of a service.
pub const MAX_DECLARATIONS: usize = 256;
/// Most fields of one value, those of objects in it included.
pub const MAX_FIELDS: usize = 256;
/// Deepest nesting of a declared value: what a value may have, less the outermost object and a list.
pub const MAX_DEPTH: usize = 14;
/// Longest window of an event or a task, seconds.
pub const MAX_WINDOW: u32 = 86_400;
/// Most validators a task may have.
pub const MAX_VALIDATORS: u8 = 31;
/// Validators of a task that is verified and doesn't say how many it wants.
pub const DEFAULT_VALIDATORS: u8 = 3;
/// Seconds an event or a task has if its manifest doesn't say.
pub const DEFAULT_WINDOW: u32 = 60;
/// Quorum of a service that doesn't say, in 1/10,000 of the power.
pub const DEFAULT_QUORUM: u16 = 6_667;

/// What a manifest says to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// the service's short name
    pub name: String,
    /// power a certificate needs, in 1/10,000 of the set's: above 5,000, at most 10,000
    pub quorum: u16,
    /// events by name
    pub events: BTreeMap<String, Event>,
    /// tasks by name
    pub tasks: BTreeMap<String, Task>,
    /// what the service's own container needs, if it has one
    pub configuration: Option<Container>,
    /// containers it depends on, by name
    pub dependencies: BTreeMap<String, Container>,
}

/// Fields of an object, by name.
pub type Fields = BTreeMap<String, Type>;

/// How one value is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// what it is
    pub kind: Kind,
    /// may be left out; null isn't left out
    pub optional: bool,
    /// a list of such values
    pub repeated: bool,
}

/// Kinds of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// text
    String,
    /// a finite IEEE 754 double
    Number,
    /// true or false
    Boolean,
    /// an object with exactly these fields
    Object(Fields),
    /// any value
    Any,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// what is known of it
    pub data: Fields,
    /// paths of the fields that tell one event from another, in the manifest's order; the data must follow from them
    pub id: Vec<Path>,
    /// seconds within which a quorum must have seen it
    pub window: u32,
}

/// Something that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// what it takes
    pub inputs: Fields,
    /// what it returns
    pub outputs: Fields,
    /// how others find out whether it was done
    pub verification: Verification,
    /// validators wanted where an application doesn't say
    pub validators: u8,
    /// seconds an executor has
    pub window: u32,
    /// what it costs
    pub price: Price,
}

/// How others find out whether a task was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// nobody does
    None,
    /// they do the same and compare the outputs
    Deterministic,
    /// their connectors have a method for it
    Verify,
}

/// What a task costs, in wei of the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// once; below 2^96
    pub per_call: u128,
    /// for every second it took; below 2^80
    pub per_second: u128,
    /// for every 1,000 bytes of inputs and output begun; below 2^80
    pub per_kilobyte: u128,
}

/// What a container needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// the image; a dependency has one, the service's own container may be built otherwise
    pub image: Option<String>,
    /// paths in it that outlive it
    pub volumes: Vec<String>,
    /// ports it listens on
    pub ports: Vec<u16>,
    /// what it runs, and with which arguments
    pub command: Vec<String>,
    /// environment: a default, or nothing where the operator must give the value
    pub env: BTreeMap<String, Option<String>>,
}

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// line, from 1
    pub line: usize,
    /// column in characters, from 1
    pub column: usize,
    /// keys from the top, with dots; empty for the document itself
    pub path: String,
    /// what was found and what was expected
    pub message: String,
}

/// Everything that is wrong with a manifest, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Deterministic => "deterministic",
            Self::Verify => "verify",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.kind, self.repeated) {
            (Kind::String, false) => "String",
            (Kind::Number, false) => "Number",
            (Kind::Boolean, false) => "Boolean",
            (Kind::Object(_), false) => "Object",
            (Kind::Any, false) => "Any",
            (Kind::String, true) => "list of String",
            (Kind::Number, true) => "list of Number",
            (Kind::Boolean, true) => "list of Boolean",
            (Kind::Object(_), true) => "list of Object",
            (Kind::Any, true) => "list of Any",
        })
    }
}

impl Network {
    /// Top-level keys this reads. Whoever reads the other parts of a `service.toml` leaves these alone, and names its
    /// own keys in [`Network::parse`].
    pub const KEYS: &[&str] = &["name", "quorum", "events", "tasks", "configuration", "dependencies"];

    /// Top-level keys of the program part and of [`container::Container`], for whoever reads the network part of a whole `service.toml`.
    pub const PROGRAM_KEYS: &[&str] = &[
        "min_bond",
        "max_budget",
        "verdict",
        "build",
        "contract",
        "program",
        "container",
    ];

    /// Reads a manifest. Top-level keys in `others` are somebody else's and not looked at; any other unknown key is a
    /// problem. A manifest without events and tasks is a valid one.
    pub fn parse(text: &str, others: &[&str]) -> Result<Self, Problems> {
        parse::network(text, others)
    }

    /// Whether the service has events or tasks at all.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.tasks.is_empty()
    }
}
