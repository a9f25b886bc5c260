//! What an application wrote, and what is wrong with it.

use super::{
    MAX_DEFINITION_BYTES, MAX_NODES, MAX_STEPS,
    expression::{Expression, Reference},
    predicate::Predicate,
};
use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use alloy_primitives::Address;
use core::fmt;
use surety_primitives::{
    selection::MAX_VALIDATORS,
    value::{PathError, Value, ValueError},
};

/// Longest name of a flow, a node, an event or a task in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Longest window of an attempt in seconds: the contract's.
const MAX_WINDOW: u32 = 86_400;

/// Where in a definition: the node, and the path in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Key of the node, or its index where it has none yet; `None` outside of nodes.
    pub node: Option<String>,
    /// From there on.
    pub path: String,
}

impl Place {
    pub(super) fn field(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            node: self.node.clone(),
            path: format!("{}{dot}{name}", self.path),
        }
    }

    pub(super) fn element(&self, index: usize) -> Self {
        Self {
            node: self.node.clone(),
            path: format!("{}[{index}]", self.path),
        }
    }

    fn node(key: &str) -> Self {
        Self {
            node: Some(key.to_owned()),
            path: String::new(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, self.path.is_empty()) {
            (None, true) => f.write_str("flow"),
            (None, false) => write!(f, "`{}`", self.path),
            (Some(node), true) => write!(f, "node `{node}`"),
            (Some(node), false) => write!(f, "node `{node}`, `{}`", self.path),
        }
    }
}

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// A field is not there.
    #[error("{place} is missing")]
    Missing {
        /// Where it should be.
        place: Place,
    },
    /// No field has this name.
    #[error("{place} is not known")]
    Unknown {
        /// Where it is.
        place: Place,
    },
    /// A value of another kind.
    #[error("{place} is {found}, expected {expected}")]
    Kind {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A number out of range.
    #[error("{place} is {found}, expected a whole number from {least} to {most}")]
    Range {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A name with other characters than letters, digits, `_` and `-`, an empty one, or a long one.
    #[error("{place} is `{found}`, expected 1 to {MAX_NAME_BYTES} letters, digits, `_` or `-`")]
    Name {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
    },
    /// Not an address.
    #[error("{place} is `{found}`, expected an address")]
    Address {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
    },
    /// Not a number of wei.
    #[error("{place} is `{found}`, expected wei as a decimal string below 2^96")]
    Amount {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
    },
    /// Two nodes have one key.
    #[error("{place} is there twice")]
    Twice {
        /// Where.
        place: Place,
    },
    /// Too few or too many of something.
    #[error("{place} has {found} {what}, expected {least} to {most}")]
    Count {
        /// Where.
        place: Place,
        /// How many.
        found: usize,
        /// Of what.
        what: &'static str,
        /// At least.
        least: usize,
        /// At most.
        most: usize,
    },
    /// A reference to no node.
    #[error("{place} refers to `{found}`, which is no node")]
    NoSuchNode {
        /// Where.
        place: Place,
        /// The key.
        found: String,
    },
    /// Nodes wait for each other.
    #[error("{place} waits for itself: {}", cycle.join(" -> "))]
    Cycle {
        /// The first of them.
        place: Place,
        /// All, in their order.
        cycle: Vec<String>,
    },
    /// A path that is none.
    #[error("{place}: {error}")]
    Path {
        /// Where.
        place: Place,
        /// What is wrong with it.
        error: PathError,
    },
    /// No comparison has this name.
    #[error("{place} is `{found}`, expected EQ, GT, GTE, LT, LTE or CONTAINS")]
    Comparison {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
    },
    /// A predicate in a predicate in a predicate.
    #[error("{place} is deeper than {} levels", super::MAX_PREDICATE_DEPTH)]
    PredicateTooDeep {
        /// Where.
        place: Place,
    },
    /// More than the contract takes.
    #[error("flow has {found} bytes as JSON, expected at most {MAX_DEFINITION_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// It has no encoding.
    #[error("flow: {0}")]
    Value(#[from] ValueError),
}

impl FlowError {
    pub(super) fn kind(place: &Place, found: &Value, expected: &'static str) -> Self {
        Self::Kind {
            place: place.clone(),
            found: found.kind().to_string(),
            expected,
        }
    }
}

/// The fields of an object, each of which must be taken.
pub(super) struct Fields<'a> {
    place: &'a Place,
    fields: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, place: &'a Place) -> Result<Self, FlowError> {
        let Value::Object(fields) = value else {
            return Err(FlowError::kind(place, value, "an object"));
        };
        let fields = fields.iter().map(|(key, value)| (key.as_str(), value)).collect();
        Ok(Self { place, fields })
    }

    pub(super) fn take(&mut self, name: &str) -> Option<&'a Value> {
        self.fields.remove(name)
    }

    pub(super) fn need(&mut self, name: &str) -> Result<&'a Value, FlowError> {
        self.take(name).ok_or_else(|| FlowError::Missing {
            place: self.place.field(name),
        })
    }

    pub(super) fn end(self) -> Result<(), FlowError> {
        match self.fields.keys().next() {
            Some(name) => Err(FlowError::Unknown {
                place: self.place.field(name),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn string<'v>(value: &'v Value, place: &Place) -> Result<&'v str, FlowError> {
        value.as_str().ok_or_else(|| FlowError::kind(place, value, "a string"))
    }

    fn name(&mut self, field: &str) -> Result<String, FlowError> {
        let place = self.place.field(field);
        let found = Self::string(self.need(field)?, &place)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if found.is_empty() || found.len() > MAX_NAME_BYTES || !found.bytes().all(good) {
            return Err(FlowError::Name {
                place,
                found: found.into(),
            });
        }
        Ok(found.into())
    }

    fn address(value: &Value, place: Place) -> Result<Address, FlowError> {
        let found = Self::string(value, &place)?;
        found.parse().map_err(|_| FlowError::Address {
            place,
            found: found.into(),
        })
    }

    fn integer(&mut self, field: &str, least: u32, most: u32, default: u32) -> Result<u32, FlowError> {
        let Some(value) = self.take(field) else {
            return Ok(default);
        };
        let number = value
            .as_number()
            .filter(|n| *n >= f64::from(least) && *n <= f64::from(most));
        let whole = number
            .map(|number| number as u32)
            .filter(|whole| Some(f64::from(*whole)) == number);
        whole.ok_or_else(|| FlowError::Range {
            place: self.place.field(field),
            found: value.to_string(),
            least: least.into(),
            most: most.into(),
        })
    }

    /// Wei: a decimal string, or a whole number that is exact.
    fn amount(&mut self, field: &str) -> Result<u128, FlowError> {
        let Some(value) = self.take(field) else { return Ok(0) };
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let amount = digits
            .then(|| text.parse().ok())
            .flatten()
            .filter(|amount: &u128| *amount >> 96 == 0);
        amount.ok_or_else(|| FlowError::Amount {
            place: self.place.field(field),
            found: text,
        })
    }

    fn list(&mut self, field: &str) -> Result<&'a [Value], FlowError> {
        match self.take(field) {
            None => Ok(&[]),
            Some(Value::List(elements)) => Ok(elements),
            Some(other) => Err(FlowError::kind(&self.place.field(field), other, "a list")),
        }
    }
}

/// What starts a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A certified event.
    Event {
        /// Of this service.
        service: Address,
        /// Its name.
        event: String,
        /// Wei for the signers of its certificate.
        fee: u128,
    },
    /// A result of another flow or request, which the service's members certify as an event of the task's name with
    /// `.result` after it.
    Result {
        /// Of this service.
        service: Address,
        /// The task's name.
        task: String,
        /// Wei for the signers of its certificate.
        fee: u128,
    },
}

impl Start {
    /// The service whose set certifies it.
    pub fn service(&self) -> Address {
        match self {
            Self::Event { service, .. } | Self::Result { service, .. } => *service,
        }
    }

    /// Name of the event.
    pub fn event_name(&self) -> String {
        match self {
            Self::Event { event, .. } => event.clone(),
            Self::Result { task, .. } => format!("{task}.result"),
        }
    }
}

/// What the contract knows of a task node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of this service.
    pub service: Address,
    /// The task's name.
    pub task: String,
    /// How many validate.
    pub validators: u8,
    /// Seconds of an attempt.
    pub window: u32,
    /// Wei that it costs at most.
    pub most: u128,
    /// Who may be drawn; empty for all.
    pub nodes: Vec<Address>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Starts the run; its output is the event's data.
    Start(Start),
    /// Runs a task; its output is the task's.
    Task {
        /// Index of the step: of tasks, in the order of the definition.
        index: u8,
        /// What the contract knows of it.
        step: Step,
        /// What it gets.
        inputs: Expression,
    },
    /// Makes a value.
    Map(Expression),
    /// Goes on if it holds; its output is null.
    Filter(Predicate),
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its key.
    pub key: String,
    /// What it waits for besides what it refers to.
    pub after: Vec<String>,
    /// What it does.
    pub work: Work,
}

impl Node {
    fn read(value: &Value, position: usize, steps: &mut usize) -> Result<Self, FlowError> {
        let unnamed = Place::node(&position.to_string());
        let key = Fields::of(value, &unnamed)?.name("key")?;
        let place = Place::node(&key);
        let mut fields = Fields::of(value, &place)?;
        fields.take("key");
        let kind = fields.need("type")?;
        let kind = Fields::string(kind, &place.field("type"))?;
        let after = fields.list("after")?.iter().enumerate();
        let after = after.map(|(at, value)| Fields::string(value, &place.field("after").element(at)).map(String::from));
        let after = after.collect::<Result<_, _>>()?;
        let work = match kind {
            "event" => Work::Start(Start::Event {
                service: Fields::address(fields.need("service")?, place.field("service"))?,
                event: fields.name("event")?,
                fee: fields.amount("fee")?,
            }),
            "result" => Work::Start(Start::Result {
                service: Fields::address(fields.need("service")?, place.field("service"))?,
                task: fields.name("task")?,
                fee: fields.amount("fee")?,
            }),
            "task" => {
                let nodes = fields.list("nodes")?.iter().enumerate();
                let nodes = nodes.map(|(at, value)| Fields::address(value, place.field("nodes").element(at)));
                let step = Step {
                    nodes: nodes.collect::<Result<_, _>>()?,
                    service: Fields::address(fields.need("service")?, place.field("service"))?,
                    task: fields.name("task")?,
                    validators: fields.integer("validators", 0, MAX_VALIDATORS.into(), 0)? as u8,
                    window: fields.integer("window", 1, MAX_WINDOW, 60)?,
                    most: fields.amount("most")?,
                };
                let inputs = match fields.take("inputs") {
                    Some(value) => Expression::read(value, &place.field("inputs"))?,
                    None => Expression::Object(BTreeMap::new()),
                };
                let index = *steps;
                *steps += 1;
                Work::Task {
                    index: index.min(MAX_STEPS) as u8,
                    step,
                    inputs,
                }
            }
            "map" => Work::Map(Expression::read(fields.need("output")?, &place.field("output"))?),
            "filter" => Work::Filter(Predicate::read(fields.need("where")?, &place.field("where"))?),
            found => {
                return Err(FlowError::Kind {
                    place: place.field("type"),
                    found: format!("`{found}`"),
                    expected: "event, result, task, map or filter",
                });
            }
        };
        fields.end()?;
        Ok(Self { key, after, work })
    }

    /// What it refers to.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        match &self.work {
            Work::Start(_) => {}
            Work::Task { inputs, .. } => inputs.references(&mut found),
            Work::Map(output) => output.references(&mut found),
            Work::Filter(predicate) => predicate.references(&mut found),
        }
        found
    }

    /// Keys of the nodes that must be done before.
    pub fn waits_for(&self) -> BTreeSet<&str> {
        let named = self.after.iter().map(String::as_str);
        named
            .chain(self.references().into_iter().map(|reference| reference.node.as_str()))
            .collect()
    }
}

/// A checked definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    name: String,
    nodes: Vec<Node>,
    /// Indices of nodes: each after those it waits for.
    order: Vec<usize>,
    json: String,
}

impl Flow {
    /// From `flow.toml` or JSON, read as a value: `{"name": …, "node": [{"key": …, "type": …, …}, …]}`.
    pub fn from_value(value: &Value) -> Result<Self, FlowError> {
        value.encode()?;
        let json = value.to_string();
        if json.len() > MAX_DEFINITION_BYTES {
            return Err(FlowError::TooLong { found: json.len() });
        }
        let place = Place::default();
        let mut fields = Fields::of(value, &place)?;
        let name = fields.name("name")?;
        let values = fields.list("node")?;
        fields.end()?;
        let count = |found, what, least, most| match (least..=most).contains(&found) {
            true => Ok(()),
            false => Err(FlowError::Count {
                place: Place::default(),
                found,
                what,
                least,
                most,
            }),
        };
        count(values.len(), "nodes", 1, MAX_NODES)?;
        let mut steps = 0;
        let nodes = values
            .iter()
            .enumerate()
            .map(|(at, value)| Node::read(value, at, &mut steps));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        count(steps, "tasks", 1, MAX_STEPS)?;
        let starts = nodes.iter().filter(|node| matches!(node.work, Work::Start(_))).count();
        count(starts, "nodes that start it", 1, 1)?;
        let mut keys = BTreeSet::new();
        if let Some(node) = nodes.iter().find(|node| !keys.insert(node.key.as_str())) {
            return Err(FlowError::Twice {
                place: Place::node(&node.key),
            });
        }
        for node in &nodes {
            if let Some(found) = node.waits_for().into_iter().find(|key| !keys.contains(key)) {
                return Err(FlowError::NoSuchNode {
                    place: Place::node(&node.key),
                    found: found.into(),
                });
            }
        }
        let order = order(&nodes)?;
        Ok(Self {
            name,
            nodes,
            order,
            json,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its nodes, as they were written.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// What starts it.
    pub fn start(&self) -> Option<&Start> {
        self.nodes.iter().find_map(|node| match &node.work {
            Work::Start(start) => Some(start),
            _ => None,
        })
    }

    /// Its steps, by index.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.nodes.iter().filter_map(|node| match &node.work {
            Work::Task { step, .. } => Some(step),
            _ => None,
        })
    }

    /// Canonical JSON: keys in the order of their bytes, no spaces. What the contract logs.
    pub fn to_json(&self) -> &str {
        &self.json
    }
}

/// Each node after those it waits for; of several, in the order of the definition.
fn order(nodes: &[Node]) -> Result<Vec<usize>, FlowError> {
    let (mut order, mut done) = (Vec::new(), BTreeSet::new());
    while order.len() < nodes.len() {
        let free = |node: &Node| !done.contains(node.key.as_str()) && node.waits_for().is_subset(&done);
        let Some((at, node)) = nodes.iter().enumerate().find(|(_, node)| free(node)) else {
            return Err(cycle(nodes, &done));
        };
        done.insert(node.key.as_str());
        order.push(at);
    }
    Ok(order)
}

/// Of nodes that all wait for one that is not done: follow them until one comes back.
fn cycle(nodes: &[Node], done: &BTreeSet<&str>) -> FlowError {
    let mut path: Vec<&str> = Vec::new();
    let mut at = nodes.iter().find(|node| !done.contains(node.key.as_str()));
    while let Some(node) = at {
        if let Some(first) = path.iter().position(|key| *key == node.key) {
            path.drain(..first);
            path.push(&node.key);
            break;
        }
        path.push(&node.key);
        let next = node.waits_for().into_iter().find(|key| !done.contains(key));
        at = nodes.iter().find(|node| Some(node.key.as_str()) == next);
    }
    FlowError::Cycle {
        place: Place::node(path.first().copied().unwrap_or_default()),
        cycle: path.into_iter().map(String::from).collect(),
    }
}
