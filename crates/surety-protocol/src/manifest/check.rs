//! Holding values to their declarations.

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use alloy_primitives::B256;
use surety_primitives::value::{Value, ValueError};

use super::{Event, Fields, Kind, Network, Task, Type};

/// Mismatches after which looking on helps nobody.
const MAX_MISMATCHES: usize = 32;

/// Hashes of an event's data that fits its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// value hash of the list of the id's fields, in the manifest's order
    pub id_hash: B256,
    /// value hash of the data
    pub data_hash: B256,
}

/// One place where a value doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// from the value's outermost object; empty for that object itself
    pub path: String,
    /// what is there
    pub found: String,
    /// what is declared
    pub expected: String,
}

/// All places where a value doesn't fit, at most 32. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mismatches(pub Vec<Mismatch>);

/// Why a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// the manifest has no such event
    #[error("event `{found}` is not declared; declared are: {declared}")]
    UnknownEvent {
        /// its name
        found: String,
        /// the names there are
        declared: String,
    },
    /// the manifest has no such task
    #[error("task `{found}` is not declared; declared are: {declared}")]
    UnknownTask {
        /// its name
        found: String,
        /// the names there are
        declared: String,
    },
    /// its shape is another
    #[error(transparent)]
    Mismatches(#[from] Mismatches),
    /// it is too deep or too long
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl Network {
    /// An event's declaration.
    pub fn event(&self, name: &str) -> Result<&Event, Unfit> {
        self.events.get(name).ok_or_else(|| Unfit::UnknownEvent {
            found: name.to_owned(),
            declared: names(&self.events),
        })
    }

    /// A task's declaration.
    pub fn task(&self, name: &str) -> Result<&Task, Unfit> {
        self.tasks.get(name).ok_or_else(|| Unfit::UnknownTask {
            found: name.to_owned(),
            declared: names(&self.tasks),
        })
    }

    /// Holds an event's data to its declaration; the hashes its vote is about.
    pub fn check_event(&self, name: &str, data: &Value) -> Result<Checked, Unfit> {
        let event = self.event(name)?;
        check(&event.data, data)?;
        // A field that is not there was reported above: an id's fields are never optional.
        let id = event.id.iter().map(|path| data.at(path).cloned().unwrap_or_default());
        Ok(Checked {
            id_hash: Value::List(id.collect()).hash()?,
            data_hash: data.hash()?,
        })
    }

    /// Holds a task's inputs to their declaration; their value hash.
    pub fn check_inputs(&self, task: &str, inputs: &Value) -> Result<B256, Unfit> {
        check(&self.task(task)?.inputs, inputs)?;
        Ok(inputs.hash()?)
    }

    /// Holds a task's output to its declaration; its value hash.
    pub fn check_outputs(&self, task: &str, output: &Value) -> Result<B256, Unfit> {
        check(&self.task(task)?.outputs, output)?;
        Ok(output.hash()?)
    }
}

fn names<T>(declared: &BTreeMap<String, T>) -> String {
    if declared.is_empty() {
        return "none".to_owned();
    }
    declared.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Holds a value to an object's fields: each that isn't optional is there, no other is.
pub fn check(fields: &Fields, value: &Value) -> Result<(), Mismatches> {
    let mut found = Vec::new();
    object(fields, value, "", &mut found);
    if found.is_empty() {
        Ok(())
    } else {
        Err(Mismatches(found))
    }
}

fn object(fields: &Fields, value: &Value, path: &str, wrong: &mut Vec<Mismatch>) {
    let Value::Object(entries) = value else {
        return say(wrong, path, value.kind().to_string(), "an object".to_owned());
    };
    for (name, field) in fields {
        match entries.get(name) {
            Some(value) => typed(field, value, &below(path, name), wrong),
            None if field.optional => {}
            None => say(wrong, &below(path, name), "nothing".to_owned(), field.to_string()),
        }
    }
    for (name, value) in entries.iter().filter(|(name, _)| !fields.contains_key(*name)) {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        say(
            wrong,
            &below(path, &shown(name)),
            value.kind().to_string(),
            format!("no such field; declared are: {}", known.join(", ")),
        );
        if wrong.len() >= MAX_MISMATCHES {
            return;
        }
    }
}

fn typed(field: &Type, value: &Value, path: &str, wrong: &mut Vec<Mismatch>) {
    if !field.repeated {
        return single(field, value, path, wrong);
    }
    let Value::List(elements) = value else {
        return say(wrong, path, value.kind().to_string(), field.to_string());
    };
    for (index, element) in elements.iter().enumerate() {
        if wrong.len() >= MAX_MISMATCHES {
            return;
        }
        single(field, element, &format!("{path}[{index}]"), wrong);
    }
}

fn single(field: &Type, value: &Value, path: &str, wrong: &mut Vec<Mismatch>) {
    let fits = match (&field.kind, value) {
        (Kind::Object(fields), Value::Object(_)) => return object(fields, value, path, wrong),
        (Kind::Any, _) => true,
        (Kind::String, Value::String(_)) => true,
        (Kind::Number, Value::Number(_)) => true,
        (Kind::Boolean, Value::Boolean(_)) => true,
        _ => false,
    };
    if !fits {
        let one = Type {
            repeated: false,
            ..field.clone()
        };
        say(wrong, path, value.kind().to_string(), one.to_string());
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A name that somebody else chose, for a message.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

fn say(wrong: &mut Vec<Mismatch>, path: &str, found: String, expected: String) {
    if wrong.len() < MAX_MISMATCHES {
        wrong.push(Mismatch {
            path: path.to_owned(),
            found,
            expected,
        });
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mismatch) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mismatch}")?;
        }
        Ok(())
    }
}
