//! How a node gets its input: constants, references, and lists and objects of these.

use super::definition::{Fields, FlowError, Place};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use surety_primitives::value::{MAX_DEPTH, MAX_VALUE_BYTES, Path, Value};

/// A node's output, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Key of the node.
    pub node: String,
    /// Where in its output; empty for all of it.
    pub path: Path,
}

/// What a value is made from. Written as a value itself, where an object with the only field `ref` is a reference
/// (`{"ref": "node.path"}`), and one with the only field `const` is what is in it, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// The value itself.
    Constant(Value),
    /// What a node gave.
    Reference(Reference),
    /// Elements.
    List(Vec<Expression>),
    /// Fields.
    Object(BTreeMap<String, Expression>),
}

impl Reference {
    pub(super) fn parse(text: &str, place: &Place) -> Result<Self, FlowError> {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (node, path) = text.split_at(end);
        let path = path.strip_prefix('.').unwrap_or(path);
        let path = path.parse().map_err(|error| FlowError::Path {
            place: place.clone(),
            error,
        })?;
        Ok(Self {
            node: node.into(),
            path,
        })
    }
}

impl Expression {
    pub(super) fn read(value: &Value, place: &Place) -> Result<Self, FlowError> {
        match value {
            Value::Object(fields) => match (fields.len(), fields.get("ref"), fields.get("const")) {
                (1, Some(reference), _) => {
                    let place = place.field("ref");
                    let text = Fields::string(reference, &place)?;
                    Ok(Self::Reference(Reference::parse(text, &place)?))
                }
                (1, _, Some(constant)) => Ok(Self::Constant(constant.clone())),
                _ => {
                    let field =
                        |(key, value): (&String, &Value)| Ok((key.clone(), Self::read(value, &place.field(key))?));
                    Ok(Self::Object(
                        fields.iter().map(field).collect::<Result<_, FlowError>>()?,
                    ))
                }
            },
            Value::List(elements) => {
                let element = |(at, value): (usize, &Value)| Self::read(value, &place.element(at));
                Ok(Self::List(
                    elements.iter().enumerate().map(element).collect::<Result<_, _>>()?,
                ))
            }
            plain => Ok(Self::Constant(plain.clone())),
        }
    }

    pub(super) fn references<'a>(&'a self, found: &mut Vec<&'a Reference>) {
        match self {
            Self::Constant(_) => {}
            Self::Reference(reference) => found.push(reference),
            Self::List(elements) => elements.iter().for_each(|element| element.references(found)),
            Self::Object(fields) => fields.values().for_each(|field| field.references(found)),
        }
    }

    /// Its value, of at most so many bytes when encoded. A path that leads nowhere is null.
    pub(super) fn evaluate(
        &self,
        outputs: &BTreeMap<&str, Option<&Value>>,
        most_bytes: usize,
    ) -> Result<Value, Missing> {
        let mut room = most_bytes.min(MAX_VALUE_BYTES);
        self.make(outputs, MAX_DEPTH, &mut room)
    }

    /// Nothing is copied before there is room for it: what refers twice to what refers twice doubles with every node.
    fn make(
        &self,
        outputs: &BTreeMap<&str, Option<&Value>>,
        levels: usize,
        room: &mut usize,
    ) -> Result<Value, Missing> {
        match self {
            Self::Constant(value) => copy(value, levels, room),
            Self::Reference(Reference { node, path }) => {
                let output = outputs.get(node.as_str()).copied().flatten();
                let found = output.ok_or(Missing::Unreadable)?.at(path);
                copy(found.unwrap_or(&Value::Null), levels, room)
            }
            Self::List(elements) => {
                let below = levels.checked_sub(1).ok_or(Missing::TooLarge)?;
                take(room, LENGTH_BYTES)?;
                let elements = elements.iter().map(|element| element.make(outputs, below, room));
                elements.collect::<Result<_, _>>().map(Value::List)
            }
            Self::Object(fields) => {
                let below = levels.checked_sub(1).ok_or(Missing::TooLarge)?;
                take(room, LENGTH_BYTES)?;
                let field = |(key, field): (&String, &Self)| {
                    take(room, LENGTH_BYTES - 1 + key.len())?;
                    Ok((key.clone(), field.make(outputs, below, room)?))
                };
                fields.iter().map(field).collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It refers to what is sealed for others.
    Unreadable,
    /// It would be larger or deeper than values are.
    TooLarge,
}

/// Tag and length of a string, a list and an object.
const LENGTH_BYTES: usize = 5;

fn copy(value: &Value, levels: usize, room: &mut usize) -> Result<Value, Missing> {
    charge(value, levels, room)?;
    Ok(value.clone())
}

fn take(room: &mut usize, bytes: usize) -> Result<(), Missing> {
    *room = room.checked_sub(bytes).ok_or(Missing::TooLarge)?;
    Ok(())
}

/// What it takes when encoded.
fn charge(value: &Value, levels: usize, room: &mut usize) -> Result<(), Missing> {
    let below = levels.checked_sub(1).ok_or(Missing::TooLarge)?;
    match value {
        Value::Null | Value::Boolean(_) => take(room, 1),
        Value::Number(_) => take(room, 9),
        Value::String(text) => take(room, LENGTH_BYTES + text.len()),
        Value::List(elements) => {
            take(room, LENGTH_BYTES)?;
            elements.iter().try_for_each(|element| charge(element, below, room))
        }
        Value::Object(fields) => {
            take(room, LENGTH_BYTES)?;
            fields.iter().try_for_each(|(key, field)| {
                take(room, LENGTH_BYTES - 1 + key.len())?;
                charge(field, below, room)
            })
        }
    }
}
