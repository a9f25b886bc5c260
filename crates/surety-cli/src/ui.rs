//! What people and programs see: results on stdout, everything else on stderr.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::exit::Failure;

/// Where a command says things.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// results as JSON
    pub json: bool,
    /// progress lines; only on a terminal
    pub progress: bool,
}

impl Ui {
    /// For the process's own streams.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            progress: std::io::stderr().is_terminal(),
        }
    }

    /// The command's result: one JSON document, or the text.
    pub fn result(&self, text: &str, value: &Value) {
        if self.json {
            out(&serde_json::to_string_pretty(value).unwrap_or_default());
        } else {
            out(text);
        }
    }

    /// One of many results that come over time: with `--json` one document a line.
    pub fn line(&self, text: &str, value: &Value) {
        if self.json {
            out(&value.to_string());
        } else {
            out(text);
        }
    }

    /// Something worth knowing that is not the result.
    pub fn note(&self, text: &str) {
        err(text);
    }

    /// A failure, and what to do next.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let value = json!({"error": {
                "exit_code": failure.code, "message": failure.message, "next": failure.next,
            }});
            err(&value.to_string());
        } else {
            err(&format!("error: {}", failure.message));
            err(&format!("next:  {}", failure.next));
        }
    }

    /// A line that is rewritten while something takes long; nothing unless stderr is a terminal.
    pub fn progress(&self) -> Progress {
        Progress {
            enabled: self.progress,
            start: Instant::now(),
            shown: None,
        }
    }
}

/// See [`Ui::progress`].
#[derive(Debug)]
pub struct Progress {
    enabled: bool,
    start: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Shows the line, from the first second on and at most five times a second.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let due = self.shown.map_or(self.start.elapsed() > Duration::from_secs(1), |s| {
            s.elapsed() > Duration::from_millis(200)
        });
        if self.enabled && due {
            let mut stderr = std::io::stderr().lock();
            let _gone = write!(stderr, "\r\x1b[2K{}", text()).and_then(|()| stderr.flush());
            self.shown = Some(Instant::now());
        }
    }

    /// Since it was made.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _gone = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// A reader that went away (`| head`) is no error of ours.
fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _gone = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

fn err(text: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{text}");
}

/// A large number with thin separators: `1,000,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}
