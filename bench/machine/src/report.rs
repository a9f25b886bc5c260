//! The results: a table to look at, JSON to check, a page to read.

use crate::intrinsics;
use crate::measure::Row;
use crate::statistics::{Spread, geometric_mean, rounded};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Everything that was measured.
pub(crate) struct Report {
    /// One for each program.
    pub(crate) rows: Vec<Row>,
    /// The engines' names, in the order of a round.
    pub(crate) peers: Vec<&'static str>,
    /// What is here, and in which version.
    pub(crate) versions: Vec<(&'static str, String)>,
    /// What is not, and why.
    pub(crate) missing: Vec<(&'static str, String)>,
    /// What is measured beside the programs: a name and its value.
    pub(crate) figures: Vec<(&'static str, Value)>,
    /// How often.
    pub(crate) rounds: usize,
    /// Small sizes: the times mean nothing.
    pub(crate) quick: bool,
    /// Which clock.
    pub(crate) clock: String,
    /// Which processor, and how many.
    pub(crate) machine: Value,
}

const BASELINE: &str = "native";
const ENGINE: &str = "engine";
const UNMETERED: &str = "engine_unmetered";

impl Report {
    /// An engine's time over another's: the geometric mean of the programs' medians.
    pub(crate) fn geomean(&self, peer: &str, to: &str) -> Option<f64> {
        geometric_mean(self.rows.iter().filter_map(|row| Some(row.ratio(peer, to)?.median)))
    }

    /// `machine.json`.
    pub(crate) fn json(&self) -> Value {
        let mut root = Map::new();
        root.insert(
            "geomean_vs_native".into(),
            json!(self.geomean(ENGINE, BASELINE).map(rounded)),
        );
        root.insert(
            "metering_cost".into(),
            json!(self.geomean(ENGINE, UNMETERED).map(rounded)),
        );
        for (name, value) in &self.figures {
            root.insert((*name).into(), value.clone());
        }
        let others = self.peers.iter().filter(|&&peer| peer != BASELINE);
        let means: Map<_, _> = others
            .map(|&peer| (peer.to_owned(), json!(self.geomean(peer, BASELINE).map(rounded))))
            .collect();
        root.insert("geomeans_vs_native".into(), means.into());
        let slower = self
            .rows
            .iter()
            .filter(|row| row.ratio(ENGINE, "wasmtime").is_some_and(|ratio| ratio.median > 1.0));
        let slower: Vec<_> = slower.map(|row| row.program.name.clone()).collect();
        root.insert("programs_slower_than_wasmtime".into(), json!(slower));
        root.insert(
            "programs".into(),
            self.rows.iter().map(|row| self.row_json(row)).collect(),
        );
        root.insert("rounds".into(), json!(self.rounds));
        root.insert("quick".into(), json!(self.quick));
        root.insert("clock".into(), json!(self.clock));
        root.insert("machine".into(), self.machine.clone());
        let texts = |pairs: &[(&'static str, String)]| -> Map<String, Value> {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), json!(text)))
                .collect()
        };
        root.insert("versions".into(), texts(&self.versions).into());
        root.insert("missing".into(), texts(&self.missing).into());
        root.into()
    }

    fn row_json(&self, row: &Row) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), json!(row.program.name));
        object.insert("language".into(), json!(row.program.language.name()));
        object.insert("about".into(), json!(row.program.about));
        object.insert("steps".into(), json!(row.steps()));
        object.insert("checksum".into(), json!(format!("{:08x}", row.checksum)));
        for peer in self.columns() {
            object.insert(
                format!("{peer}_s"),
                json!(row.seconds(peer).map(|seconds| rounded(seconds.median))),
            );
        }
        let mut ratios = Map::new();
        let mut put = |peer: &str, to: &str| {
            if let Some(ratio) = row.ratio(peer, to) {
                ratios.insert(format!("{peer}/{to}"), ratio.json());
            }
        };
        for peer in self.columns().into_iter().filter(|&peer| peer != BASELINE) {
            put(peer, BASELINE);
        }
        put(ENGINE, UNMETERED);
        put(ENGINE, "wasmtime");
        object.insert("ratios".into(), ratios.into());
        let errors = row
            .columns
            .iter()
            .filter_map(|column| Some((column.peer.to_owned(), json!(column.error.as_ref()?))));
        let errors: Map<_, _> = errors.collect();
        if !errors.is_empty() {
            object.insert("errors".into(), errors.into());
        }
        object.into()
    }

    /// The names of all columns: those that are always there, then the others.
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![BASELINE, ENGINE, "interpreter", "wasmtime", "qemu"];
        columns.extend(
            self.peers
                .iter()
                .filter(|peer| !columns.contains(*peer))
                .copied()
                .collect::<Vec<_>>(),
        );
        columns
    }

    /// What the terminal shows: seconds of native code, then every engine's time over it.
    pub(crate) fn table(&self) -> String {
        self.lines(|cells| {
            let mut line = String::new();
            for (i, cell) in cells.iter().enumerate() {
                let width = if i == 0 {
                    14
                } else {
                    9.max(self.heading(i).chars().count())
                };
                let _ = if i == 0 {
                    write!(line, "{cell:<width$}")
                } else {
                    write!(line, "  {cell:>width$}")
                };
            }
            line
        })
    }

    fn heading(&self, column: usize) -> &'static str {
        let fixed = ["program", "M steps", "native s"];
        let others = self.peers.iter().filter(|&&peer| peer != BASELINE);
        fixed.into_iter().chain(others.copied()).nth(column).unwrap_or_default()
    }

    fn lines(&self, line: impl Fn(&[String]) -> String) -> String {
        let others: Vec<_> = self.peers.iter().copied().filter(|&peer| peer != BASELINE).collect();
        let mut text = String::new();
        let headings: Vec<_> = (0..others.len() + 3)
            .map(|column| self.heading(column).to_owned())
            .collect();
        let _ = writeln!(text, "{}", line(&headings));
        for row in &self.rows {
            let mut cells = vec![row.program.name.clone()];
            cells.push(
                row.steps()
                    .map_or("-".into(), |steps| format!("{:.0}", steps as f64 / 1e6)),
            );
            cells.push(
                row.seconds(BASELINE)
                    .map_or("-".into(), |seconds| format!("{:.3}", seconds.median)),
            );
            cells.extend(others.iter().map(|peer| ratio(row.ratio(peer, BASELINE))));
            let _ = writeln!(text, "{}", line(&cells));
        }
        let mut cells = vec!["geometric mean".into(), String::new(), String::new()];
        cells.extend(others.iter().map(|peer| {
            self.geomean(peer, BASELINE)
                .map_or("-".to_owned(), |mean| format!("{mean:.2}"))
        }));
        let _ = writeln!(text, "{}", line(&cells));
        text
    }

    /// The figures beside the programs, a line each.
    pub(crate) fn figures_in_words(&self) -> Vec<String> {
        let figure = |name: &str| {
            self.figures
                .iter()
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        let mut lines = Vec::new();
        if let Some(details) = figure("translation") {
            lines.push(format!(
                "translation: **{}** MB of RV32 code a second (to reach: 20 or more); {} bytes of `explorer` become {}",
                details["mb_per_s"]["median"], details["guest_code_bytes"], details["host_code_bytes"]
            ));
        }
        if let Some(start) = figure("warm_start_ms") {
            lines.push(format!(
                "`explorer` from the cache to its first step: **{}** ms (to reach: 5 or less), after {} ms of reading its \
                 ELF; translated anew {} ms",
                start["from_cache"]["median"], start["reading_the_elf"]["median"], start["without_cache"]
            ));
        }
        for (name, dissection) in figure("dissection_over_run")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            lines.push(format!(
                "dissections of `{name}` ({} roots each, {} steps), over the plain run: first **{}** (to reach: 1.3), \
                 second {} and third {} (to reach: 0.1)",
                dissection["roots"],
                dissection["steps"],
                dissection["first"]["median"],
                dissection["second"]["median"],
                dissection["third"]["median"]
            ));
        }
        lines
    }

    /// `machine.md`.
    pub(crate) fn page(&self) -> String {
        let mut text = String::from("# Speed of the machine's engines\n\nWritten by `make bench-machine`; ");
        let _ = write!(
            text,
            "how to read it: [machine/README.md](../machine/README.md). {} rounds, ",
            self.rounds
        );
        let _ = writeln!(text, "{} time.\n", self.clock);
        if self.quick {
            text.push_str("**Small sizes: the times mean nothing.**\n\n");
        }
        for (name, value, target) in [
            (
                "engine against native scalar code, geometric mean",
                self.geomean(ENGINE, BASELINE),
                "1.11",
            ),
            (
                "engine against the same engine with counting compiled out",
                self.geomean(ENGINE, UNMETERED),
                "1.05",
            ),
        ] {
            let value = value.map_or("not measured".into(), |value| format!("**{value:.3}**"));
            let _ = writeln!(text, "- {name}: {value} (to reach: {target} or less)");
        }
        for line in self.figures_in_words() {
            let _ = writeln!(text, "- {line}");
        }
        text.push_str(
            "\nSeconds of native scalar code, then times over it (1.00 is as fast; median of the rounds):\n\n",
        );
        let mut first = true;
        let rule = |line: &str, first: &mut bool| {
            let mut lines = format!("{line}\n");
            if std::mem::take(first) {
                let columns = line.matches('|').count().saturating_sub(1);
                let _ = writeln!(lines, "|---|{}", "---:|".repeat(columns.saturating_sub(1)));
            }
            lines
        };
        for line in self.lines(|cells| format!("| {} |", cells.join(" | "))).lines() {
            text.push_str(&rule(line, &mut first));
        }
        text.push_str("\nThe spread of the engine's ratio over the rounds, and of wasmtime's:\n\n");
        text.push_str("| program | engine | wasmtime |\n|---|---:|---:|\n");
        for row in &self.rows {
            let spread = |peer| row.ratio(peer, BASELINE).map_or("-".into(), spread);
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                row.program.name,
                spread(ENGINE),
                spread("wasmtime")
            );
        }
        text.push_str("\nThe programs:\n\n");
        for row in &self.rows {
            let _ = writeln!(
                text,
                "- `{}` ({}): {}.",
                row.program.name,
                row.program.language.name(),
                row.program.about
            );
        }
        text.push_str("\nMeasured with:\n\n");
        for (name, version) in &self.versions {
            let _ = writeln!(text, "- {name}: {version}");
        }
        let _ = writeln!(
            text,
            "- machine: {}",
            self.machine["processor"].as_str().unwrap_or("unknown")
        );
        for (name, why) in &self.missing {
            let _ = writeln!(text, "- **{name} is missing**: {why}");
        }
        if let Some((_, figures)) = self.figures.iter().find(|(name, _)| *name == intrinsics::KEY) {
            let _ = write!(text, "\n{}", intrinsics::section(figures));
        }
        text
    }
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |spread| format!("{:.2}", spread.median))
}

fn spread(spread: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", spread.median, spread.least, spread.greatest)
}
