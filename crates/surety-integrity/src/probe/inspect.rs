//! Reading the engine's JSON without believing in its shape: what is missing or of another type is empty.

use serde_json::Value as Json;

/// An answer of the engine.
#[derive(Debug, Clone, Copy)]
pub struct Inspect<'a>(pub &'a Json);

impl<'a> Inspect<'a> {
    /// What is at a path of names with dots between.
    pub fn at(&self, path: &str) -> Option<&'a Json> {
        path.split('.')
            .try_fold(self.0, |value, name| value.get(name))
            .filter(|value| !value.is_null())
    }

    /// A text; empty if it is none.
    pub fn text(&self, path: &str) -> &'a str {
        self.at(path).and_then(Json::as_str).unwrap_or_default()
    }

    /// Texts; empty if they are none. A text alone is a list of itself.
    pub fn texts(&self, path: &str) -> Vec<String> {
        match self.at(path) {
            Some(Json::Array(list)) => list
                .iter()
                .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
                .collect(),
            Some(Json::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }

    /// Whether it is `true`.
    pub fn flag(&self, path: &str) -> bool {
        self.at(path).and_then(Json::as_bool).unwrap_or_default()
    }

    /// A number; 0 if it is none.
    pub fn number(&self, path: &str) -> u64 {
        self.at(path).and_then(Json::as_u64).unwrap_or_default()
    }

    /// A number with a sign; 0 if it is none.
    pub fn signed(&self, path: &str) -> i64 {
        self.at(path).and_then(Json::as_i64).unwrap_or_default()
    }

    /// Names of an object's fields.
    pub fn names(&self, path: &str) -> Vec<String> {
        self.at(path)
            .and_then(Json::as_object)
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Elements of a list.
    pub fn list(&self, path: &str) -> Vec<Inspect<'a>> {
        self.at(path)
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .map(Inspect)
            .collect()
    }
}
