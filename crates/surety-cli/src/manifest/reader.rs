//! Reading the programs' part of `service.toml`, and all parts together.

use std::{borrow::Cow, ops::Range};

use alloy::primitives::{Address, U256};
use surety_protocol::manifest::{Network, Problem, Problems, container::Container};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Build, Contract, Manifest, ProgramEntry};
use crate::{abi, values::amount};

/// Most steps of a request made on-chain: what a dispute can be about.
const MAX_BUDGET: u64 = 1 << 45;

/// Smallest bond, in tokens, of a service that has no programs and does not say.
const DEFAULT_MIN_BOND: &str = "32";

/// A value of the text with its place.
type At<'a, 'i> = &'a Spanned<DeValue<'i>>;

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

/// All parts, or all that is wrong with any, in the order of the text.
pub(super) fn manifest(text: &str) -> Result<Manifest, Problems> {
    let network = Network::parse(text, Network::PROGRAM_KEYS);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Told by the network's reader; what follows a syntax error would be told as missing.
        return Err(network.err().unwrap_or(Problems(Vec::new())));
    }
    let container = Container::parse(text);
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let top = document.get_ref();
    let programs = reader.programs(top);
    let uses_network = ["events", "tasks"].iter().any(|key| top.contains_key(*key));
    if !top.contains_key("program") && !uses_network && !top.contains_key("container") {
        let message =
            "found no [[program]], no [events.*], no [tasks.*] and no [container], expected one of them at least";
        reader.say(&(0..0), "", message.to_owned());
    }
    let min_bond = reader.min_bond(top.get("min_bond"), top.contains_key("program"));
    let max_budget = reader.max_budget(top.get("max_budget"), top.contains_key("program"));
    let verdict = reader.address(top.get("verdict"), "verdict");
    let build = reader.build(top.get("build"));
    let contract = reader.contract(top.get("contract"));
    let mut problems = reader.problems;
    let network = match network {
        Ok(network) => Some(network),
        Err(others) => {
            problems.extend(others.0);
            None
        }
    };
    let container = container.unwrap_or_else(|others| {
        problems.extend(others.0);
        None
    });
    match network {
        Some(network) if problems.is_empty() => Ok(Manifest {
            name: network.name.clone(),
            min_bond,
            max_budget,
            verdict: verdict.unwrap_or_default(),
            build,
            contract,
            programs,
            network,
            container,
        }),
        _ => {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(Problems(problems))
        }
    }
}

impl Reader<'_> {
    fn say(&mut self, span: &Range<usize>, path: &str, message: String) {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column = before.get(line_start..).map_or(0, |rest| rest.chars().count());
        self.problems.push(Problem {
            line: before.matches('\n').count().saturating_add(1),
            column: column.saturating_add(1),
            path: path.to_owned(),
            message,
        });
    }

    fn table<'a, 'i>(&mut self, found: At<'a, 'i>, path: &str, known: &[&str]) -> Option<&'a DeTable<'i>> {
        let DeValue::Table(table) = found.get_ref() else {
            self.say(&found.span(), path, format!("found {}, expected a table", what(found)));
            return None;
        };
        for key in table.keys() {
            let name: &Cow<'_, str> = key.get_ref();
            if !known.contains(&name.as_ref()) {
                let message = format!("unknown key, expected {}", known.join(", "));
                self.say(&key.span(), &format!("{path}.{name}"), message);
            }
        }
        Some(table)
    }

    fn string(&mut self, found: Option<At<'_, '_>>, path: &str, expected: &str) -> Option<String> {
        let found = found?;
        match found.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.to_string()),
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

    fn min_bond(&mut self, found: Option<At<'_, '_>>, needed: bool) -> U256 {
        let expected = "expected tokens as text, such as \"32\" or \"0.5\", less than 2^96 wei";
        let Some(found) = found else {
            if needed {
                self.say(&(0..0), "min_bond", format!("missing; {expected}"));
            }
            return amount(DEFAULT_MIN_BOND).unwrap_or_default();
        };
        let wei = match found.get_ref() {
            DeValue::String(text) => amount(text).ok().filter(|wei| wei.bit_len() <= 96),
            _ => None,
        };
        if wei.is_none() {
            self.say(&found.span(), "min_bond", format!("found {}, {expected}", what(found)));
        }
        wei.unwrap_or_default()
    }

    fn max_budget(&mut self, found: Option<At<'_, '_>>, needed: bool) -> u64 {
        let expected = "expected the step budget of a request made on-chain, 0 to 2^45";
        let Some(found) = found else {
            if needed {
                self.say(&(0..0), "max_budget", format!("missing; {expected}"));
            }
            return 0;
        };
        let budget = match found.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let budget = budget.filter(|budget| *budget <= MAX_BUDGET);
        if budget.is_none() {
            self.say(
                &found.span(),
                "max_budget",
                format!("found {}, {expected}", what(found)),
            );
        }
        budget.unwrap_or_default()
    }

    fn address(&mut self, found: Option<At<'_, '_>>, path: &str) -> Option<Address> {
        let found = found?;
        let address = match found.get_ref() {
            DeValue::String(text) => text.parse().ok(),
            _ => None,
        };
        if address.is_none() {
            self.say(
                &found.span(),
                path,
                format!("found {}, expected an address: 0x and 40 hex digits", what(found)),
            );
        }
        address
    }

    fn build(&mut self, found: Option<At<'_, '_>>) -> Build {
        let Some(table) = found.and_then(|found| self.table(found, "build", &["command"])) else {
            return Build::default();
        };
        Build {
            command: self.string(table.get("command"), "build.command", "a shell command"),
        }
    }

    fn contract(&mut self, found: Option<At<'_, '_>>) -> Contract {
        let Some(table) = found.and_then(|found| self.table(found, "contract", &["artifact", "address"])) else {
            return Contract::default();
        };
        let artifact = self.string(
            table.get("artifact"),
            "contract.artifact",
            "the name of forge's JSON file",
        );
        Contract {
            artifact: artifact.map(Into::into),
            address: self.address(table.get("address"), "contract.address"),
        }
    }

    fn programs(&mut self, top: &DeTable<'_>) -> Vec<ProgramEntry> {
        let Some(found) = top.get("program") else {
            return Vec::new();
        };
        let DeValue::Array(list) = found.get_ref() else {
            let message = format!("found {}, expected [[program]] tables", what(found));
            self.say(&found.span(), "program", message);
            return Vec::new();
        };
        if list.is_empty() {
            self.say(&found.span(), "program", "found none, expected one at least".to_owned());
        }
        let mut seen = Vec::new();
        let mut programs = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let path = format!("program[{index}]");
            let Some(table) = self.table(entry, &path, &["elf", "methods"]) else {
                continue;
            };
            let elf_path = format!("{path}.elf");
            if !table.contains_key("elf") {
                self.say(
                    &entry.span(),
                    &elf_path,
                    "missing; expected the name of the ELF file".to_owned(),
                );
            }
            let elf = self.string(table.get("elf"), &elf_path, "the name of the ELF file");
            let methods = self.methods(entry, table.get("methods"), &format!("{path}.methods"), &mut seen);
            programs.push(ProgramEntry {
                elf: elf.unwrap_or_default().into(),
                methods,
            });
        }
        programs
    }

    fn methods(
        &mut self,
        entry: At<'_, '_>,
        found: Option<At<'_, '_>>,
        path: &str,
        seen: &mut Vec<[u8; 4]>,
    ) -> Vec<String> {
        let expected = "expected signatures, such as [\"add(uint32,uint32)(uint32)\"]";
        let Some(found) = found else {
            self.say(&entry.span(), path, format!("missing; {expected}"));
            return Vec::new();
        };
        let DeValue::Array(list) = found.get_ref() else {
            self.say(&found.span(), path, format!("found {}, {expected}", what(found)));
            return Vec::new();
        };
        let mut methods = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(text) = self.string(
                Some(entry),
                &path,
                "a signature, such as \"add(uint32,uint32)(uint32)\"",
            ) else {
                continue;
            };
            match abi::method(&text) {
                Ok(method) if seen.contains(&method.selector().0) => {
                    self.say(
                        &entry.span(),
                        &path,
                        format!("method {} is there twice", method.signature()),
                    );
                }
                Ok(method) => {
                    seen.push(method.selector().0);
                    methods.push(text);
                }
                Err(failure) => self.say(&entry.span(), &path, format!("{failure}, {expected}")),
            }
        }
        methods
    }
}

/// A value as people recognise it.
fn what(found: At<'_, '_>) -> String {
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
