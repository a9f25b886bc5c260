//! Values and JSON (RFC 8259).

use super::{MAX_DEPTH, MAX_VALUE_BYTES, Number, Value};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, str::FromStr};

/// Longest JSON text that is read: escapes take up to six bytes for one.
const MAX_JSON_BYTES: usize = 6 * MAX_VALUE_BYTES;

/// Why text is no JSON of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More text than any value needs.
    #[error("JSON has {found} bytes, expected at most {MAX_JSON_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// More than [`MAX_DEPTH`] levels.
    #[error("JSON at byte {at} has more than {MAX_DEPTH} levels")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// Not the grammar of JSON.
    #[error("JSON at byte {at}: expected {expected}")]
    Syntax {
        /// Where.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// An integer that no double is, or a number beyond all doubles. Carried as a decimal string it keeps its value.
    #[error("number at byte {at} is too large for a double or between two, expected it as a decimal string")]
    Number {
        /// Where.
        at: usize,
    },
    /// A key that the object has already.
    #[error("key at byte {at} is in its object twice")]
    Twice {
        /// Where.
        at: usize,
    },
}

impl Value {
    /// From JSON text, strictly: keys are unique, and a number written as an integer must be exactly a double, never
    /// rounded in silence. Fractions become the nearest double, as everywhere.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        if text.len() > MAX_JSON_BYTES {
            return Err(JsonError::TooLong { found: text.len() });
        }
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(MAX_DEPTH)?;
        reader.space();
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(reader.expected("the end"))
        }
    }
}

impl FromStr for Value {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        Self::from_json(text)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, expected }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes past `byte` if it is next, after any space.
    fn skips(&mut self, byte: u8) -> bool {
        self.space();
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn value(&mut self, levels: usize) -> Result<Value, JsonError> {
        self.space();
        let below = levels.checked_sub(1).ok_or(JsonError::TooDeep { at: self.at })?;
        match self.peek() {
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Boolean(true)),
            Some(b'f') => self.word("false", Value::Boolean(false)),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'[') => self.list(below),
            Some(b'{') => self.object(below),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, below: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut list = Vec::new();
        if self.skips(b']') {
            return Ok(Value::List(list));
        }
        loop {
            list.push(self.value(below)?);
            if self.skips(b']') {
                return Ok(Value::List(list));
            }
            if !self.skips(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn object(&mut self, below: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut object = BTreeMap::new();
        if self.skips(b'}') {
            return Ok(Value::Object(object));
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key"));
            }
            let key = self.string()?;
            if !self.skips(b':') {
                return Err(self.expected("`:`"));
            }
            let value = self.value(below)?;
            if object.insert(key, value).is_some() {
                return Err(JsonError::Twice { at });
            }
            if self.skips(b'}') {
                return Ok(Value::Object(object));
            }
            if !self.skips(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    /// After the opening quote, to the closing one.
    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let end = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or(JsonError::Syntax {
                    at: self.text.len(),
                    expected: "`\"`",
                })?;
            let (plain, _) = rest.split_at(end);
            out.push_str(plain);
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.expected("no control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// After `\u`: one code unit, or two that make a pair.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.expected("a character"));
        }
        if first >= 0xdc00 || !self.rest().starts_with("\\u") {
            return Err(self.expected("a pair of surrogates"));
        }
        self.at += 2;
        let second = self.code_unit()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.expected("a pair of surrogates"));
        }
        let character = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(character).ok_or_else(|| self.expected("a character"))
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn digits(&mut self) -> Result<usize, JsonError> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at - from {
            0 => Err(self.expected("a digit")),
            many => Ok(many),
        }
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let zero = self.peek() == Some(b'0');
        if self.digits()? > 1 && zero {
            return Err(JsonError::Syntax {
                at: from,
                expected: "a number without leading zeros",
            });
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        let number = if integer {
            text.parse::<i128>().ok().and_then(Number::from_integer)
        } else {
            text.parse::<f64>().ok().and_then(Number::new)
        };
        number.ok_or(JsonError::Number { at: from })
    }
}

/// JSON. What is written is read again as the same number: beyond 2^53 with an exponent, which claims no exactness.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.get().abs();
        if magnitude != 0.0 && !(1e-6..=9_007_199_254_740_992.0).contains(&magnitude) {
            write!(f, "{:e}", self.get())
        } else {
            write!(f, "{}", self.get())
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(it) => write!(f, "{it}"),
            Self::Number(it) => write!(f, "{it}"),
            Self::String(it) => quoted(it, f),
            Self::List(list) => {
                f.write_str("[")?;
                for (at, value) in list.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
            Self::Object(object) => {
                f.write_str("{")?;
                for (at, (key, value)) in object.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quoted(key, f)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (plain, special) = rest.split_at(at);
        f.write_str(plain)?;
        let mut characters = special.chars();
        match characters.next() {
            Some('"') => f.write_str("\\\"")?,
            Some('\\') => f.write_str("\\\\")?,
            Some('\n') => f.write_str("\\n")?,
            Some('\r') => f.write_str("\\r")?,
            Some('\t') => f.write_str("\\t")?,
            Some(control) => write!(f, "\\u{:04x}", u32::from(control))?,
            None => {}
        }
        rest = characters.as_str();
    }
    f.write_str(rest)?;
    f.write_str("\"")
}
