//! Reading the network part of `service.toml`: everything wrong is collected with its place.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use surety_primitives::value::{Path, Segment};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Container, DEFAULT_QUORUM, DEFAULT_VALIDATORS, DEFAULT_WINDOW, Event, Fields, Kind, MAX_DECLARATIONS, MAX_DEPTH,
    MAX_FIELDS, MAX_MANIFEST, MAX_VALIDATORS, MAX_WINDOW, Network, Price, Problem, Problems, Task, Type, Verification,
};

/// Longest name of anything.
const MAX_NAME: usize = 64;
/// Longest other text: an image, a path, an argument.
const MAX_TEXT: usize = 4_096;
/// Most elements of a list in a container.
const MAX_LIST: usize = 256;
/// Problems after which reading on helps nobody.
const MAX_PROBLEMS: usize = 100;

/// A value of the text with its place.
pub(super) type At<'a, 'i> = &'a Spanned<DeValue<'i>>;

/// What is read so far, and what was wrong.
pub(super) struct Reader<'t> {
    text: &'t str,
    problems: Vec<(usize, Problem)>,
}

/// A table being read: which keys were asked for tells which ones are unknown.
pub(super) struct Table<'a, 'i> {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) entries: &'a DeTable<'i>,
}

pub(super) fn network(text: &str, others: &[&str]) -> Result<Network, Problems> {
    read(text, |reader, top| reader.network(top, others))
}

/// Reads a manifest's text with `part`, or says why it is no TOML.
pub(super) fn read<T>(text: &str, part: impl FnOnce(&mut Reader<'_>, &Table<'_, '_>) -> T) -> Result<T, Problems> {
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    if text.len() > MAX_MANIFEST {
        reader.say(
            &(0..0),
            "",
            format!("found {} bytes, expected at most {MAX_MANIFEST}", text.len()),
        );
        return reader.end(None);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.say(
            &error.span().unwrap_or(0..0),
            "",
            format!("not TOML: {}", error.message()),
        );
    }
    // What follows a syntax error would be reported as missing.
    if !reader.problems.is_empty() {
        return reader.end(None);
    }
    let table = Table {
        path: String::new(),
        span: 0..0,
        entries: document.get_ref(),
    };
    let found = part(&mut reader, &table);
    reader.end(Some(found))
}

impl Reader<'_> {
    pub(super) fn say(&mut self, span: &Range<usize>, path: &str, message: String) {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let line = before.matches('\n').count().saturating_add(1);
        let column = before
            .get(line_start..)
            .map_or(0, |rest| rest.chars().count())
            .saturating_add(1);
        let problem = Problem {
            line,
            column,
            path: path.to_owned(),
            message,
        };
        self.problems.push((start, problem));
    }

    fn end<T>(mut self, found: Option<T>) -> Result<T, Problems> {
        match found {
            Some(found) if self.problems.is_empty() => Ok(found),
            _ => {
                self.problems.sort_by_key(|(at, _)| *at);
                self.problems.truncate(MAX_PROBLEMS);
                Err(Problems(
                    self.problems.into_iter().map(|(_, problem)| problem).collect(),
                ))
            }
        }
    }

    fn network(&mut self, top: &Table<'_, '_>, others: &[&str]) -> Network {
        let known: Vec<&str> = Network::KEYS.iter().chain(others).copied().collect();
        self.keys(top, &known);
        let name = match top.get("name") {
            Some(found) => self.name(found, "name").unwrap_or_default(),
            None => {
                self.say(&(0..0), "name", "missing; expected the service's name".to_owned());
                String::new()
            }
        };
        let quorum = top
            .get("quorum")
            .and_then(|found| self.quorum(found))
            .unwrap_or(DEFAULT_QUORUM);
        let events = self.declarations(top, "events", Self::event);
        let tasks = self.declarations(top, "tasks", Self::task);
        let configuration = top.get("configuration").and_then(|found| {
            let table = self.table(found, "configuration")?;
            Some(self.container(&table, false))
        });
        let dependencies = self.declarations(top, "dependencies", |reader, table| reader.container(table, true));
        Network {
            name,
            quorum,
            events,
            tasks,
            configuration,
            dependencies,
        }
    }

    /// Named tables below `key`.
    fn declarations<T>(
        &mut self,
        top: &Table<'_, '_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &Table<'_, '_>) -> T,
    ) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        let Some(value) = top.get(key) else { return found };
        let Some(table) = self.table(value, key) else {
            return found;
        };
        if table.entries.len() > MAX_DECLARATIONS {
            let count = table.entries.len();
            self.say(
                &table.span,
                key,
                format!("found {count} entries, expected at most {MAX_DECLARATIONS}"),
            );
            return found;
        }
        for (name, value) in table.entries {
            let path = table.below(name.get_ref());
            self.check_name(name.get_ref(), &name.span(), &path);
            if let Some(entry) = self.table(value, &path) {
                found.insert(name.get_ref().to_string(), read(self, &entry));
            }
        }
        found
    }

    fn event(&mut self, table: &Table<'_, '_>) -> Event {
        self.keys(table, &["data", "id", "window"]);
        let data = self.fields_of(table, "data");
        let id = self.id(table, &data);
        Event {
            data,
            id,
            window: self.window(table),
        }
    }

    fn id(&mut self, table: &Table<'_, '_>, data: &Fields) -> Vec<Path> {
        let path = table.below("id");
        let expected =
            "expected the names of the fields that tell one event from another, such as [\"block\", \"index\"]";
        let Some(found) = table.get("id") else {
            self.say(&table.span, &path, format!("missing; {expected}"));
            return Vec::new();
        };
        let DeValue::Array(list) = found.get_ref() else {
            self.say(&found.span(), &path, format!("found {}, {expected}", what(found)));
            return Vec::new();
        };
        if list.is_empty() {
            self.say(&found.span(), &path, format!("found none, {expected}"));
        }
        let mut seen = BTreeSet::new();
        let mut paths = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let DeValue::String(text) = entry.get_ref() else {
                self.say(
                    &entry.span(),
                    &path,
                    format!("found {}, expected a field's name", what(entry)),
                );
                continue;
            };
            let names: Path = match text.parse() {
                Ok(names) => names,
                Err(error) => {
                    self.say(&entry.span(), &path, format!("{error}"));
                    continue;
                }
            };
            if let Err(message) = always_there(data, &names) {
                self.say(&entry.span(), &path, message);
            } else if !seen.insert(names.clone()) {
                self.say(&entry.span(), &path, format!("`{text}` is there twice"));
            } else {
                paths.push(names);
            }
        }
        paths
    }

    fn task(&mut self, table: &Table<'_, '_>) -> Task {
        self.keys(
            table,
            &["inputs", "outputs", "verification", "validators", "window", "price"],
        );
        let inputs = self.fields_of(table, "inputs");
        let outputs = self.fields_of(table, "outputs");
        let path = table.below("verification");
        let expected = "expected \"none\", \"deterministic\" or \"verify\"";
        let verification = match table.get("verification") {
            None => {
                self.say(&table.span, &path, format!("missing; {expected}"));
                Verification::None
            }
            Some(found) => match found.get_ref() {
                DeValue::String(text) if text == "none" => Verification::None,
                DeValue::String(text) if text == "deterministic" => Verification::Deterministic,
                DeValue::String(text) if text == "verify" => Verification::Verify,
                _ => {
                    self.say(&found.span(), &path, format!("found {}, {expected}", what(found)));
                    Verification::None
                }
            },
        };
        let path = table.below("validators");
        let validators = match (table.get("validators"), verification) {
            (None, Verification::None) => 0,
            (None, _) => DEFAULT_VALIDATORS,
            (Some(found), _) => {
                let most = u64::from(MAX_VALIDATORS);
                let count = self.integer(found, &path, 0, most).unwrap_or_default();
                if verification == Verification::None && count > 0 {
                    self.say(
                        &found.span(),
                        &path,
                        format!("found {count}, expected 0: nobody can validate a task with verification \"none\""),
                    );
                }
                u8::try_from(count).unwrap_or_default()
            }
        };
        let price = table
            .get("price")
            .and_then(|found| self.price(found, &table.below("price")))
            .unwrap_or_default();
        Task {
            inputs,
            outputs,
            verification,
            validators,
            window: self.window(table),
            price,
        }
    }

    fn window(&mut self, table: &Table<'_, '_>) -> u32 {
        let path = table.below("window");
        table
            .get("window")
            .and_then(|found| self.integer(found, &path, 1, u64::from(MAX_WINDOW)))
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(DEFAULT_WINDOW)
    }

    fn price(&mut self, found: At<'_, '_>, path: &str) -> Option<Price> {
        let table = self.table(found, path)?;
        self.keys(&table, &["per_call", "per_second", "per_kilobyte"]);
        let mut amount = |key: &str, bits: u32| -> u128 {
            let path = table.below(key);
            let Some(found) = table.get(key) else { return 0 };
            let DeValue::String(text) = found.get_ref() else {
                self.say(
                    &found.span(),
                    &path,
                    format!("found {}, expected tokens as text, such as \"0.25\"", what(found)),
                );
                return 0;
            };
            match tokens(text) {
                Some(wei) if wei.checked_shr(bits) == Some(0) => wei,
                Some(_) => {
                    self.say(
                        &found.span(),
                        &path,
                        format!("found \"{text}\", expected less than 2^{bits} wei"),
                    );
                    0
                }
                None => {
                    self.say(
                        &found.span(),
                        &path,
                        format!(
                            "found \"{}\", expected tokens with at most 18 decimals, such as \"0.25\"",
                            short(text)
                        ),
                    );
                    0
                }
            }
        };
        Some(Price {
            per_call: amount("per_call", 96),
            per_second: amount("per_second", 80),
            per_kilobyte: amount("per_kilobyte", 80),
        })
    }

    /// Basis points as an integer, or a percentage as text.
    fn quorum(&mut self, found: At<'_, '_>) -> Option<u16> {
        let expected = "expected more than half: 5001 to 10000 (1/10,000 of the power), or a text such as \"66.67%\"";
        let points = match found.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => text
                .strip_suffix('%')
                .and_then(|percent| decimal(percent.trim(), 2))
                .and_then(|points| u64::try_from(points).ok()),
            _ => None,
        };
        let quorum = points.and_then(|points| u16::try_from(points).ok());
        let quorum = quorum.filter(|quorum| (5_001..=10_000).contains(quorum));
        if quorum.is_none() {
            self.say(&found.span(), "quorum", format!("found {}, {expected}", what(found)));
        }
        quorum
    }

    fn fields_of(&mut self, table: &Table<'_, '_>, key: &str) -> Fields {
        let mut left = MAX_FIELDS;
        let path = table.below(key);
        match table.get(key) {
            Some(found) => self.fields(found, &path, 1, &mut left),
            None => Fields::new(),
        }
    }

    /// Fields of an object at nesting `depth`; `left` fields may still be declared.
    fn fields(&mut self, found: At<'_, '_>, path: &str, depth: usize, left: &mut usize) -> Fields {
        let mut fields = Fields::new();
        let Some(table) = self.table(found, path) else {
            return fields;
        };
        if depth > MAX_DEPTH {
            self.say(
                &table.span,
                path,
                format!("found objects nested {depth} deep, expected at most {MAX_DEPTH}"),
            );
            return fields;
        }
        for (name, value) in table.entries {
            let path = table.below(name.get_ref());
            let Some(rest) = left.checked_sub(1) else {
                self.say(&name.span(), &path, format!("found more than {MAX_FIELDS} fields"));
                return fields;
            };
            *left = rest;
            self.check_name(name.get_ref(), &name.span(), &path);
            // What couldn't be read is there all the same, so that an id that names it isn't wrong too.
            let typed = self.typed(value, &path, depth, left).unwrap_or(Type {
                kind: Kind::Any,
                optional: false,
                repeated: false,
            });
            fields.insert(name.get_ref().to_string(), typed);
        }
        fields
    }

    /// `"String"`, or a table with `type`, `optional`, `repeated`, `fields`.
    fn typed(&mut self, found: At<'_, '_>, path: &str, depth: usize, left: &mut usize) -> Option<Type> {
        if let DeValue::String(_) = found.get_ref() {
            return Some(Type {
                kind: self.kind(found, path, None)?,
                optional: false,
                repeated: false,
            });
        }
        let table = match found.get_ref() {
            DeValue::Table(_) => self.table(found, path)?,
            _ => {
                let expected =
                    "expected a type such as \"String\", or a table such as { type = \"String\", optional = true }";
                self.say(&found.span(), path, format!("found {}, {expected}", what(found)));
                return None;
            }
        };
        self.keys(&table, &["type", "optional", "repeated", "fields"]);
        let optional = self.flag(&table, "optional");
        let repeated = self.flag(&table, "repeated");
        let inner = table.get("fields").map(|fields| {
            (
                fields.span(),
                self.fields(fields, &table.below("fields"), depth.saturating_add(1), left),
            )
        });
        let Some(kind) = table.get("type") else {
            self.say(
                &table.span,
                &table.below("type"),
                "missing; expected String, Number, Boolean, Object or Any".to_owned(),
            );
            return None;
        };
        let kind = self.kind(kind, &table.below("type"), inner)?;
        Some(Type {
            kind,
            optional,
            repeated,
        })
    }

    fn kind(&mut self, found: At<'_, '_>, path: &str, fields: Option<(Range<usize>, Fields)>) -> Option<Kind> {
        let name = match found.get_ref() {
            DeValue::String(text) => text.as_ref(),
            _ => "",
        };
        let kind = match name {
            "Object" => {
                if fields.is_none() {
                    self.say(
                        &found.span(),
                        path,
                        "found Object without fields, expected `fields = { NAME = TYPE, ... }`; Any takes any object"
                            .to_owned(),
                    );
                }
                return fields.map(|(_, fields)| Kind::Object(fields));
            }
            "String" => Kind::String,
            "Number" => Kind::Number,
            "Boolean" => Kind::Boolean,
            "Any" => Kind::Any,
            _ => {
                self.say(
                    &found.span(),
                    path,
                    format!("found {}, expected String, Number, Boolean, Object or Any", what(found)),
                );
                return None;
            }
        };
        if let Some((span, _)) = fields {
            let path = path
                .strip_suffix("type")
                .map_or(path.to_owned(), |table| format!("{table}fields"));
            self.say(
                &span,
                &path,
                format!("found fields of a {name}, expected them of an Object only"),
            );
        }
        Some(kind)
    }

    fn container(&mut self, table: &Table<'_, '_>, needs_image: bool) -> Container {
        self.keys(table, &["image", "volumes", "ports", "command", "env"]);
        let image = table
            .get("image")
            .and_then(|found| self.text(found, &table.below("image"), "an image such as \"redis:8\""));
        if needs_image && table.get("image").is_none() {
            self.say(
                &table.span,
                &table.below("image"),
                "missing; expected an image such as \"redis:8\"".to_owned(),
            );
        }
        let volumes = self.list(table, "volumes", |reader, found, path| {
            let volume = reader.text(found, path, "an absolute path in the container")?;
            if !volume.starts_with('/') || volume.split('/').any(|part| part == "..") {
                reader.say(
                    &found.span(),
                    path,
                    format!("found \"{}\", expected an absolute path without `..`", short(&volume)),
                );
            }
            Some(volume)
        });
        let ports = self.list(table, "ports", |reader, found, path| {
            let port = reader.integer(found, path, 1, 65_535)?;
            u16::try_from(port).ok()
        });
        let command = self.list(table, "command", |reader, found, path| {
            reader.text(found, path, "the program or an argument")
        });
        let mut env = BTreeMap::new();
        if let Some(entries) = table
            .get("env")
            .and_then(|found| self.table(found, &table.below("env")))
        {
            for (name, value) in entries.entries {
                let path = entries.below(name.get_ref());
                self.check_name(name.get_ref(), &name.span(), &path);
                let value = match value.get_ref() {
                    DeValue::String(_) => self.text(value, &path, "a text"),
                    DeValue::Table(_) => {
                        if let Some(table) = self.table(value, &path) {
                            self.keys(&table, &["required"]);
                            if !self.flag(&table, "required") {
                                self.say(
                                    &table.span,
                                    &path,
                                    "expected a default as text, or { required = true }".to_owned(),
                                );
                            }
                        }
                        None
                    }
                    _ => {
                        let found = what(value);
                        self.say(
                            &value.span(),
                            &path,
                            format!("found {found}, expected a default as text, or {{ required = true }}"),
                        );
                        None
                    }
                };
                env.insert(name.get_ref().to_string(), value);
            }
        }
        Container {
            image,
            volumes,
            ports,
            command,
            env,
        }
    }

    // Pieces.

    pub(super) fn table<'a, 'i>(&mut self, found: At<'a, 'i>, path: &str) -> Option<Table<'a, 'i>> {
        match found.get_ref() {
            DeValue::Table(entries) => Some(Table {
                path: path.to_owned(),
                span: found.span(),
                entries,
            }),
            _ => {
                self.say(&found.span(), path, format!("found {}, expected a table", what(found)));
                None
            }
        }
    }

    pub(super) fn keys(&mut self, table: &Table<'_, '_>, known: &[&str]) {
        for name in table.entries.keys() {
            if !known.contains(&name.get_ref().as_ref()) {
                let path = table.below(name.get_ref());
                self.say(
                    &name.span(),
                    &path,
                    format!("found an unknown key, expected one of {}", known.join(", ")),
                );
            }
        }
    }

    pub(super) fn list<T>(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        mut read: impl FnMut(&mut Self, At<'_, '_>, &str) -> Option<T>,
    ) -> Vec<T> {
        let path = table.below(key);
        let Some(found) = table.get(key) else { return Vec::new() };
        let DeValue::Array(list) = found.get_ref() else {
            self.say(&found.span(), &path, format!("found {}, expected a list", what(found)));
            return Vec::new();
        };
        if list.len() > MAX_LIST {
            let count = list.len();
            self.say(
                &found.span(),
                &path,
                format!("found {count} elements, expected at most {MAX_LIST}"),
            );
            return Vec::new();
        }
        let read = |(index, entry)| read(self, entry, &format!("{path}[{index}]"));
        list.iter().enumerate().filter_map(read).collect()
    }

    pub(super) fn text(&mut self, found: At<'_, '_>, path: &str, expected: &str) -> Option<String> {
        match found.get_ref() {
            DeValue::String(text) if text.len() <= MAX_TEXT && !text.contains('\0') => Some(text.to_string()),
            DeValue::String(text) => {
                let length = text.len();
                self.say(
                    &found.span(),
                    path,
                    format!(
                        "found a text of {length} bytes, expected {expected}: at most {MAX_TEXT}, none of them zero"
                    ),
                );
                None
            }
            _ => {
                self.say(
                    &found.span(),
                    path,
                    format!("found {}, expected {expected}", what(found)),
                );
                None
            }
        }
    }

    fn name(&mut self, found: At<'_, '_>, path: &str) -> Option<String> {
        let text = self.text(found, path, "a name")?;
        self.check_name(&text, &found.span(), path);
        Some(text)
    }

    fn check_name(&mut self, name: &str, span: &Range<usize>, path: &str) {
        let first = name.chars().next();
        let good = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && name.len() <= MAX_NAME
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !good {
            self.say(
                span,
                path,
                format!(
                    "found the name \"{}\", expected a letter or `_` and then letters, digits, `_`, `-`, at most {MAX_NAME}",
                    short(name)
                ),
            );
        }
    }

    pub(super) fn flag(&mut self, table: &Table<'_, '_>, key: &str) -> bool {
        match table.get(key).map(|found| (found, found.get_ref())) {
            None => false,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((found, _)) => {
                self.say(
                    &found.span(),
                    &table.below(key),
                    format!("found {}, expected true or false", what(found)),
                );
                false
            }
        }
    }

    pub(super) fn integer(&mut self, found: At<'_, '_>, path: &str, least: u64, most: u64) -> Option<u64> {
        let number = match found.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.say(
                &found.span(),
                path,
                format!("found {}, expected a whole number from {least} to {most}", what(found)),
            );
        }
        number
    }
}

impl<'a, 'i> Table<'a, 'i> {
    pub(super) fn get(&self, key: &str) -> Option<At<'a, 'i>> {
        self.entries.get(key)
    }

    pub(super) fn below(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// Whether a path leads to a field that every event has exactly once.
fn always_there(data: &Fields, path: &Path) -> Result<(), String> {
    let mut fields = data;
    let mut left = path.segments().len();
    for segment in path.segments() {
        left = left.saturating_sub(1);
        let Segment::Key(name) = segment else {
            return Err(format!(
                "found `{path}`, expected names of fields, no elements of lists"
            ));
        };
        let Some(field) = fields.get(name) else {
            let declared: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(format!(
                "found `{path}`, but there is no field `{}`; declared are: {}",
                short(name),
                declared.join(", ")
            ));
        };
        if field.optional {
            return Err(format!(
                "found `{path}`, but `{name}` is optional; an id is always there"
            ));
        }
        if left == 0 {
            return Ok(());
        }
        fields = match &field.kind {
            Kind::Object(inner) if !field.repeated => inner,
            _ => return Err(format!("found `{path}`, but `{name}` is {field}, expected an Object")),
        };
    }
    Err("found an empty name, expected a field's".to_owned())
}

/// What stands there, for a message.
pub(super) fn what(found: At<'_, '_>) -> String {
    match found.get_ref() {
        DeValue::String(text) => format!("\"{}\"", short(text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A text's beginning, for a message.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Wei of a decimal number of tokens.
fn tokens(text: &str) -> Option<u128> {
    decimal(text, 18)
}

/// A decimal number times 10^`places`, if it has at most that many decimals.
pub(super) fn decimal(text: &str, places: usize) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    let scale = 10u128.checked_pow(u32::try_from(places).ok()?)?;
    let rest = 10u128.checked_pow(u32::try_from(places.checked_sub(fraction.len())?).ok()?)?;
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(rest)?;
    whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction)
}
