//! How a node gets its input: constants, references, and lists and objects of these.

use super::definition::{Fields, FlowError, Place};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use surety_primitives::value::{Path, Value};

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

    /// Its value. A path that leads nowhere is null. `None` if it refers to what this node can't read.
    pub(super) fn evaluate(&self, outputs: &BTreeMap<&str, Option<&Value>>) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Reference(Reference { node, path }) => {
                let output = outputs.get(node.as_str()).copied().flatten()?;
                Some(output.at(path).cloned().unwrap_or_default())
            }
            Self::List(elements) => {
                let elements = elements.iter().map(|element| element.evaluate(outputs));
                elements.collect::<Option<_>>().map(Value::List)
            }
            Self::Object(fields) => {
                let field = |(key, field): (&String, &Self)| Some((key.clone(), field.evaluate(outputs)?));
                fields.iter().map(field).collect::<Option<_>>().map(Value::Object)
            }
        }
    }
}
