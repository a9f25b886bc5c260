//! `flow.toml`: a flow as people write it. Services by name or address, amounts in tokens; everything that is wrong is
//! told with its line and column.
//!
//! What stands on-chain is the canonical JSON of the same: addresses, wei.

use std::{collections::BTreeMap, ops::Range};

use alloy::primitives::{Address, U256, aliases::U96, keccak256, utils::parse_units};
use surety_chain::bindings;
use surety_primitives::value::{Number, Value};
use surety_protocol::{
    manifest::{Problem, Problems},
    network::flow::{Flow, FlowError, Place},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::nodes_hash;

/// Longest `flow.toml`, bytes.
pub const MAX_FLOW_FILE: usize = 256 << 10;

/// Most tasks of a flow that `Tasks` takes.
pub const MAX_FLOW_STEPS: usize = 32;

/// Reads a `flow.toml`. `named` says which service has a name.
///
/// Beyond the definition (`docs/spec/network.md`, section 9), `service` and the elements of `nodes` may be names of
/// services respectively must be addresses, and `fee` and `most` are texts: tokens (`"0.25"`) or wei (`"250wei"`).
pub fn parse_flow(text: &str, named: impl Fn(&str) -> Option<Address>) -> Result<Flow, Problems> {
    let mut reader = Reader {
        text,
        named: &named,
        problems: Vec::new(),
    };
    if text.len() > MAX_FLOW_FILE {
        reader.say(
            &(0..0),
            "",
            format!("found {} bytes, expected at most {MAX_FLOW_FILE}", text.len()),
        );
        return Err(reader.end());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        reader.say(&span, "", format!("not TOML: {}", error.message()));
    }
    if !reader.problems.is_empty() {
        return Err(reader.end());
    }
    let value = reader.document(document.get_ref());
    if !reader.problems.is_empty() {
        return Err(reader.end());
    }
    let flow = match Flow::from_value(&value) {
        Ok(flow) => flow,
        Err(error) => {
            let (span, path) = locate(document.get_ref(), &error);
            reader.say(&span, &path, error.to_string());
            return Err(reader.end());
        }
    };
    let steps = flow.steps().count();
    if steps > MAX_FLOW_STEPS {
        reader.say(
            &(0..0),
            "node",
            format!("found {steps} tasks, expected at most {MAX_FLOW_STEPS}"),
        );
        return Err(reader.end());
    }
    Ok(flow)
}

/// What `Tasks.createFlow` is told of a flow besides its definition. `None` if nothing starts it, which no [`Flow`] is.
pub fn trigger_of(flow: &Flow) -> Option<bindings::Trigger> {
    use surety_protocol::network::flow::Start;
    let start = flow.start()?;
    let (Start::Event { fee, .. } | Start::Result { fee, .. }) = start;
    Some(bindings::Trigger {
        service: start.service(),
        eventName: keccak256(start.event_name()),
        fee: U96::from(*fee),
    })
}

/// The steps that `Tasks.createFlow` is told of.
pub fn steps_of(flow: &Flow) -> Vec<bindings::Step> {
    let step = |step: &surety_protocol::network::flow::Step| bindings::Step {
        service: step.service,
        task: keccak256(&step.task),
        validators: step.validators,
        window: step.window,
        most: U96::from(step.most),
        nodes: nodes_hash(&step.nodes),
    };
    flow.steps().map(step).collect()
}

/// Most that one run of a flow can cost: fee and every step's most, in wei of the token.
pub fn cost_of_run(trigger: &bindings::Trigger, steps: &[bindings::Step]) -> U256 {
    let steps = steps.iter().map(|step| U256::from(step.most));
    steps.fold(U256::from(trigger.fee), U256::saturating_add)
}

/// An amount as people write it, in wei: tokens with at most 18 decimals (`0.25`), or `250wei`.
pub fn parse_amount(text: &str) -> Option<U256> {
    if let Some(wei) = text.strip_suffix("wei") {
        return wei.trim().parse().ok();
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // More decimals than a wei has would be cut off in silence.
    if text.split_once('.').is_some_and(|(_, fraction)| fraction.len() > 18) {
        return None;
    }
    parse_units(text, 18).ok().map(|units| units.get_absolute())
}

struct Reader<'t> {
    text: &'t str,
    named: &'t dyn Fn(&str) -> Option<Address>,
    problems: Vec<(usize, Problem)>,
}

impl Reader<'_> {
    fn say(&mut self, span: &Range<usize>, path: &str, message: String) {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column = before.get(line_start..).map_or(0, |rest| rest.chars().count());
        let problem = Problem {
            line: before.matches('\n').count().saturating_add(1),
            column: column.saturating_add(1),
            path: path.to_owned(),
            message,
        };
        self.problems.push((start, problem));
    }

    fn end(mut self) -> Problems {
        self.problems.sort_by_key(|(at, _)| *at);
        Problems(self.problems.into_iter().map(|(_, problem)| problem).collect())
    }

    /// The document as a value, with names and amounts of nodes replaced.
    fn document(&mut self, table: &DeTable<'_>) -> Value {
        let mut fields = BTreeMap::new();
        for (key, found) in table {
            let key: &str = key.get_ref();
            let value = match (key, found.get_ref()) {
                ("node", DeValue::Array(nodes)) => {
                    let mut list = Vec::new();
                    for (index, node) in nodes.iter().enumerate() {
                        let path = format!("node[{index}]");
                        list.push(match node.get_ref() {
                            DeValue::Table(node) => self.node(node, &path),
                            _ => self.value(node, &path),
                        });
                    }
                    Value::List(list)
                }
                _ => self.value(found, key),
            };
            fields.insert(key.to_owned(), value);
        }
        Value::Object(fields)
    }

    fn node(&mut self, node: &DeTable<'_>, path: &str) -> Value {
        let mut fields = BTreeMap::new();
        for (key, found) in node {
            let key: &str = key.get_ref();
            let path = format!("{path}.{key}");
            let value = match (key, found.get_ref()) {
                ("service", DeValue::String(name)) => self.service(name, &found.span(), &path),
                ("fee" | "most", _) => self.amount(found, &path),
                _ => self.value(found, &path),
            };
            fields.insert(key.to_owned(), value);
        }
        Value::Object(fields)
    }

    fn service(&mut self, name: &str, span: &Range<usize>, path: &str) -> Value {
        let address = name.parse::<Address>().ok().or_else(|| (self.named)(name));
        match address {
            Some(address) => Value::String(address.to_string().to_lowercase()),
            None => {
                let shown: String = name.chars().take(64).collect();
                self.say(
                    span,
                    path,
                    format!("found \"{shown}\", expected an address or the name of a known service"),
                );
                Value::Null
            }
        }
    }

    fn amount(&mut self, found: &Spanned<DeValue<'_>>, path: &str) -> Value {
        let wei = match found.get_ref() {
            DeValue::String(text) => parse_amount(text).filter(|wei| wei.bit_len() <= 96),
            _ => None,
        };
        match wei {
            Some(wei) => Value::String(wei.to_string()),
            None => {
                let expected = "expected tokens as text, such as \"0.25\", or \"250wei\"; less than 2^96 wei";
                self.say(&found.span(), path, format!("found {}, {expected}", what(found)));
                Value::Null
            }
        }
    }

    fn value(&mut self, found: &Spanned<DeValue<'_>>, path: &str) -> Value {
        let number = match found.get_ref() {
            DeValue::String(text) => return Value::String(text.to_string()),
            DeValue::Boolean(it) => return Value::Boolean(*it),
            DeValue::Array(list) => {
                let element =
                    |(index, value): (usize, &Spanned<DeValue<'_>>)| self.value(value, &format!("{path}[{index}]"));
                return Value::List(list.iter().enumerate().map(element).collect());
            }
            DeValue::Table(table) => {
                let field = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                    let key = key.get_ref().to_string();
                    let value = self.value(value, &format!("{path}.{key}"));
                    (key, value)
                };
                return Value::Object(table.iter().map(field).collect());
            }
            DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .and_then(Number::from_integer),
            DeValue::Float(float) => float.as_str().parse().ok().and_then(Number::new),
            DeValue::Datetime(_) => None,
        };
        match number {
            Some(number) => Value::Number(number),
            None => {
                let expected = "expected a finite number that a double holds exactly, a text, true, false, a list or a \
                                table";
                self.say(&found.span(), path, format!("found {}, {expected}", what(found)));
                Value::Null
            }
        }
    }
}

/// A value as people recognise it.
fn what(found: &Spanned<DeValue<'_>>) -> String {
    match found.get_ref() {
        DeValue::String(text) => format!("\"{}\"", text.chars().take(64).collect::<String>()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(it) => it.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Where in the text what an error is about is: as near as there is something.
fn locate(document: &DeTable<'_>, error: &FlowError) -> (Range<usize>, String) {
    let Some(place) = place_of(error) else {
        return (0..0, String::new());
    };
    let mut path = String::new();
    let mut span = 0..0;
    let mut at: Option<&DeTable<'_>> = Some(document);
    if let Some(key) = &place.node {
        at = None;
        if let Some(DeValue::Array(nodes)) = document.get("node").map(Spanned::get_ref) {
            let found = nodes.iter().enumerate().rfind(|(index, node)| match node.get_ref() {
                DeValue::Table(table) => match table.get("key").map(Spanned::get_ref) {
                    Some(DeValue::String(found)) => found == key.as_str(),
                    _ => index.to_string() == *key,
                },
                _ => index.to_string() == *key,
            });
            if let Some((index, node)) = found {
                path = format!("node[{index}]");
                span = node.span();
                if let DeValue::Table(table) = node.get_ref() {
                    at = Some(table);
                    // The header of an array's table has no place of its own in every version: the key is there.
                    span = table.get("key").map_or(span, |key| key.span());
                }
            }
        }
    }
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    let names = place.path.replace('[', ".[");
    for name in names.split('.').filter(|name| !name.is_empty()) {
        let next = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(index) => match (value.map(Spanned::get_ref), index.parse::<usize>()) {
                (Some(DeValue::Array(list)), Ok(index)) => list.get(index),
                _ => None,
            },
            None => match (value.map(Spanned::get_ref), at) {
                (Some(DeValue::Table(table)), _) => table.get(name),
                (None, Some(table)) => table.get(name),
                _ => None,
            },
        };
        let dot = if path.is_empty() || name.starts_with('[') {
            ""
        } else {
            "."
        };
        path = format!("{path}{dot}{name}");
        match next {
            Some(found) => {
                span = found.span();
                value = Some(found);
            }
            None => break,
        }
    }
    (span, path)
}

fn place_of(error: &FlowError) -> Option<&Place> {
    use FlowError as E;
    match error {
        E::Missing { place }
        | E::Unknown { place }
        | E::Kind { place, .. }
        | E::Range { place, .. }
        | E::Name { place, .. }
        | E::Address { place, .. }
        | E::Amount { place, .. }
        | E::Twice { place }
        | E::Count { place, .. }
        | E::NoSuchNode { place, .. }
        | E::Cycle { place, .. }
        | E::Path { place, .. }
        | E::Comparison { place, .. }
        | E::PredicateTooDeep { place } => Some(place),
        E::TooLong { .. } | E::Value(_) => None,
    }
}
