//! Declarations of a manifest on the wire, and what a connector believes about them held to what they are.

use std::collections::BTreeMap;

use surety_protocol::manifest::{Event, Fields, Kind, Network, Task, Type, Verification};

use crate::wire;

/// Complains about what a connector asked to serve; empty if it may. The lines say what was found and expected.
pub fn mismatches(network: &Network, request: &wire::RegisterRequest) -> Vec<String> {
    let mut wrong = Vec::new();
    for asked in &request.events {
        match network.event(&asked.name) {
            Err(unknown) => wrong.push(unknown.to_string()),
            Ok(event) => compare(
                &format!("event {}: data", asked.name),
                asked.data.as_ref(),
                &event.data,
                &mut wrong,
            ),
        }
    }
    for asked in &request.tasks {
        match network.task(&asked.name) {
            Err(unknown) => wrong.push(unknown.to_string()),
            Ok(task) => {
                compare(
                    &format!("task {}: inputs", asked.name),
                    asked.inputs.as_ref(),
                    &task.inputs,
                    &mut wrong,
                );
                compare(
                    &format!("task {}: outputs", asked.name),
                    asked.outputs.as_ref(),
                    &task.outputs,
                    &mut wrong,
                );
            }
        }
    }
    wrong
}

fn compare(at: &str, asked: Option<&wire::Fields>, declared: &Fields, wrong: &mut Vec<String>) {
    if let Some(asked) = asked {
        same(at, &asked.fields, &fields(declared).fields, wrong);
    }
}

fn same(
    at: &str,
    asked: &BTreeMap<String, wire::Type>,
    declared: &BTreeMap<String, wire::Type>,
    wrong: &mut Vec<String>,
) {
    for (name, declared) in declared {
        match asked.get(name) {
            None => wrong.push(format!("{at}.{name}: found nothing, expected {}", shown(declared))),
            Some(asked) => {
                if shown(asked) != shown(declared) {
                    wrong.push(format!(
                        "{at}.{name}: found {}, expected {}",
                        shown(asked),
                        shown(declared)
                    ));
                }
                same(&format!("{at}.{name}"), &asked.fields, &declared.fields, wrong);
            }
        }
    }
    for (name, asked) in asked {
        if !declared.contains_key(name) {
            wrong.push(format!("{at}.{name}: found {}, expected no such field", shown(asked)));
        }
    }
}

fn shown(found: &wire::Type) -> String {
    let kind = match found.kind() {
        wire::r#type::Kind::Unspecified => "no kind",
        wire::r#type::Kind::String => "String",
        wire::r#type::Kind::Number => "Number",
        wire::r#type::Kind::Boolean => "Boolean",
        wire::r#type::Kind::Object => "Object",
        wire::r#type::Kind::Any => "Any",
    };
    let optional = if found.optional { "optional " } else { "" };
    let list = if found.repeated { "list of " } else { "" };
    format!("{optional}{list}{kind}")
}

/// An event's declaration.
pub fn event(name: &str, event: &Event) -> wire::EventDeclaration {
    wire::EventDeclaration {
        name: name.to_owned(),
        data: Some(fields(&event.data)),
        id: event.id.iter().map(ToString::to_string).collect(),
        window_seconds: event.window,
    }
}

/// A task's declaration.
pub fn task(name: &str, task: &Task) -> wire::TaskDeclaration {
    let verification = match task.verification {
        Verification::None => wire::task_declaration::Verification::None,
        Verification::Deterministic => wire::task_declaration::Verification::Deterministic,
        Verification::Verify => wire::task_declaration::Verification::Verify,
    };
    wire::TaskDeclaration {
        name: name.to_owned(),
        inputs: Some(fields(&task.inputs)),
        outputs: Some(fields(&task.outputs)),
        verification: verification.into(),
        window_seconds: task.window,
    }
}

/// Typed fields.
pub fn fields(fields: &Fields) -> wire::Fields {
    wire::Fields {
        fields: fields
            .iter()
            .map(|(name, field)| (name.clone(), typed(field)))
            .collect(),
    }
}

fn typed(field: &Type) -> wire::Type {
    let (kind, inner) = match &field.kind {
        Kind::String => (wire::r#type::Kind::String, None),
        Kind::Number => (wire::r#type::Kind::Number, None),
        Kind::Boolean => (wire::r#type::Kind::Boolean, None),
        Kind::Any => (wire::r#type::Kind::Any, None),
        Kind::Object(inner) => (wire::r#type::Kind::Object, Some(inner)),
    };
    wire::Type {
        kind: kind.into(),
        optional: field.optional,
        repeated: field.repeated,
        fields: inner.map(|inner| fields(inner).fields).unwrap_or_default(),
    }
}
