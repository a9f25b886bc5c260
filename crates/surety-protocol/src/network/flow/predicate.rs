//! Predicates of filters: EQ, GT, GTE, LT, LTE, CONTAINS, and AND, OR, NOT of these.

use super::{
    MAX_PREDICATE_DEPTH,
    definition::{Fields, FlowError, Place},
    expression::{Expression, Missing, Reference},
};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::cmp::Ordering;
use surety_primitives::value::{MAX_VALUE_BYTES, Value};

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same value of the same kind.
    Eq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// A string contains another, a list an element, an object a key.
    Contains,
}

/// What a filter asks. Written `{"left": …, "is": "GT", "right": …}`, `{"and": [...]}`, `{"or": [...]}` or
/// `{"not": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// Two values compared.
    Compare {
        /// On the left.
        left: Expression,
        /// How.
        is: Comparison,
        /// On the right.
        right: Expression,
    },
    /// All of them; of none, true.
    And(Vec<Predicate>),
    /// One of them at least; of none, false.
    Or(Vec<Predicate>),
    /// Not so.
    Not(Box<Predicate>),
}

impl Predicate {
    pub(super) fn read(value: &Value, place: &Place) -> Result<Self, FlowError> {
        Self::read_level(value, place, MAX_PREDICATE_DEPTH)
    }

    fn read_level(value: &Value, place: &Place, levels: usize) -> Result<Self, FlowError> {
        let Some(below) = levels.checked_sub(1) else {
            return Err(FlowError::PredicateTooDeep { place: place.clone() });
        };
        let mut fields = Fields::of(value, place)?;
        let several = |value: &Value, place: &Place| {
            let Value::List(elements) = value else {
                return Err(FlowError::kind(place, value, "a list"));
            };
            let element = |(at, value): (usize, &Value)| Self::read_level(value, &place.element(at), below);
            elements.iter().enumerate().map(element).collect::<Result<Vec<_>, _>>()
        };
        let predicate = if let Some(value) = fields.take("and") {
            Self::And(several(value, &place.field("and"))?)
        } else if let Some(value) = fields.take("or") {
            Self::Or(several(value, &place.field("or"))?)
        } else if let Some(value) = fields.take("not") {
            Self::Not(Box::new(Self::read_level(value, &place.field("not"), below)?))
        } else {
            let is = fields.need("is")?;
            let at = place.field("is");
            let is = match Fields::string(is, &at)? {
                "EQ" => Comparison::Eq,
                "GT" => Comparison::Gt,
                "GTE" => Comparison::Gte,
                "LT" => Comparison::Lt,
                "LTE" => Comparison::Lte,
                "CONTAINS" => Comparison::Contains,
                found => {
                    return Err(FlowError::Comparison {
                        place: at,
                        found: found.into(),
                    });
                }
            };
            Self::Compare {
                left: Expression::read(fields.need("left")?, &place.field("left"))?,
                is,
                right: Expression::read(fields.need("right")?, &place.field("right"))?,
            }
        };
        fields.end()?;
        Ok(predicate)
    }

    pub(super) fn references<'a>(&'a self, found: &mut Vec<&'a Reference>) {
        match self {
            Self::Compare { left, right, .. } => {
                left.references(found);
                right.references(found);
            }
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.references(found)),
            Self::Not(one) => one.references(found),
        }
    }

    /// `None` if it depends on what this node can't read.
    pub(super) fn holds(&self, outputs: &BTreeMap<&str, Option<&Value>>) -> Option<bool> {
        match self {
            Self::Compare { left, is, right } => {
                let [left, right] = [left, right].map(|side| side.evaluate(outputs, MAX_VALUE_BYTES));
                match (left, right) {
                    (Ok(left), Ok(right)) => Some(is.holds(&left, &right)),
                    (Err(Missing::Unreadable), _) | (_, Err(Missing::Unreadable)) => None,
                    // What is no value compares with nothing.
                    (Err(Missing::TooLarge), _) | (_, Err(Missing::TooLarge)) => Some(false),
                }
            }
            // One that is known can decide, whatever the others are.
            Self::And(all) => decide(all, outputs, false),
            Self::Or(all) => decide(all, outputs, true),
            Self::Not(one) => one.holds(outputs).map(|holds| !holds),
        }
    }
}

/// `stop` if one is `stop`; otherwise unknown if one is unknown.
fn decide(all: &[Predicate], outputs: &BTreeMap<&str, Option<&Value>>, stop: bool) -> Option<bool> {
    let found: Vec<_> = all.iter().map(|one| one.holds(outputs)).collect();
    if found.contains(&Some(stop)) {
        Some(stop)
    } else if found.contains(&None) {
        None
    } else {
        Some(!stop)
    }
}

impl Comparison {
    /// Whether it holds. Values that have no order are neither greater nor less.
    pub fn holds(self, left: &Value, right: &Value) -> bool {
        let order = || order(left, right);
        match self {
            Self::Eq => left == right,
            Self::Gt => order() == Some(Ordering::Greater),
            Self::Gte => order().is_some_and(Ordering::is_ge),
            Self::Lt => order() == Some(Ordering::Less),
            Self::Lte => order().is_some_and(Ordering::is_le),
            Self::Contains => match (left, right) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (Value::List(elements), _) => elements.contains(right),
                (Value::Object(fields), Value::String(key)) => fields.contains_key(key),
                _ => false,
            },
        }
    }
}

/// Numbers by size. Strings that are decimal integers are integers, since that is how large ones are carried, and
/// compare with whole numbers too; other strings by their bytes.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.get().partial_cmp(&right.get()),
        (Value::String(a), Value::String(b)) => match (Integer::parse(a), Integer::parse(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => Some(a.cmp(b)),
        },
        (Value::Number(number), Value::String(text)) => {
            let number = number.get();
            // Without an exponent, and with a point only if it is not whole; then all of its digits.
            if alloc::format!("{number}").contains('.') {
                return None;
            }
            let digits = alloc::format!("{number:.0}");
            Some(Integer::parse(&digits)?.cmp(&Integer::parse(text)?))
        }
        (Value::String(_), Value::Number(_)) => order(right, left).map(Ordering::reverse),
        _ => None,
    }
}

/// A decimal integer of any size.
#[derive(PartialEq, Eq)]
struct Integer<'a> {
    negative: bool,
    digits: &'a str,
}

impl<'a> Integer<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0');
        Some(Self {
            negative: negative && !digits.is_empty(),
            digits,
        })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| (a.digits.len(), a.digits).cmp(&(b.digits.len(), b.digits));
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}
