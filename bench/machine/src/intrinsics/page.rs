//! The intrinsics in words.

use serde_json::Value;
use std::fmt::Write;

/// Where the section begins in `machine.md`. It goes to the end.
pub(crate) const HEADING: &str = "## Intrinsics";

/// What is to be reached, a line each; and what goes with it.
pub(crate) fn lines(figures: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, to_reach) in [
        ("matmul_i8", " (to reach: 0.5 or more)"),
        ("matmul_i8_192", ""),
        ("matmul_i8_64", ""),
        ("matmul_i8_row", ""),
    ] {
        let matrix = &figures[name];
        if let Some(share) = matrix["of_peak"]["median"].as_f64() {
            lines.push(format!(
                "int8 matrix product ({} x {} x {}), a guest's whole calls, of what this host can do with `{}`: \
                 **{share}**{to_reach}; {} products a nanosecond of {}",
                matrix["rows"],
                matrix["columns"],
                matrix["depth"],
                word(&matrix["instruction"]),
                matrix["guest_products_per_ns"]["median"],
                matrix["peak_products_per_ns"]["median"],
            ));
        } else {
            lines.push("int8 matrix product: the engine knows no vector instruction of this host".into());
            break;
        }
    }
    for name in ["keccak256_long", "keccak256_short"] {
        let keccak = &figures[name];
        let mut line = format!(
            "keccak-256 of {} bytes, a guest's whole calls, over `{}`, the fastest crate: **{}** (to reach: 1.2 or less); {} \
             ns a hash",
            keccak["bytes"],
            word(&keccak["fastest"]),
            keccak["engine_over_fastest"]["median"],
            keccak["engine_ns"]["median"],
        );
        for (name, found) in keccak["crates"].as_object().into_iter().flatten() {
            let _ = write!(line, ", `{name}` {} {}", word(&found["version"]), found["ns"]["median"]);
        }
        lines.push(line);
    }
    lines.push(format!(
        "the engine's Keccak permutation by itself, as a guest's call runs it: {} ns",
        figures["keccak_f_ns"]["median"]
    ));
    let pairs = &figures["keccak256_pairs"];
    lines.push(format!(
        "keccak-256 of {} pairs of hashes on the host, {} at a time: **{}** ns a hash; one by one {}",
        pairs["pairs"], pairs["lanes"], pairs["ns_a_hash"]["median"], pairs["ns_a_hash_one_by_one"]["median"],
    ));
    lines
}

/// The section of `machine.md`.
pub(crate) fn section(figures: &Value) -> String {
    let mut text = format!("{HEADING}\n\nRoutines of `surety-guest` that the engine runs as host code. ");
    let _ = writeln!(
        text,
        "{} rounds, {} time, {}; `make bench-machine ARGUMENTS='--only intrinsics'` rewrites this section.\n",
        figures["rounds"],
        word(&figures["clock"]),
        word(&figures["machine"]["processor"]),
    );
    for line in lines(figures) {
        let _ = writeln!(text, "- {line}");
    }
    text.push('\n');
    text.push_str(
        "Nanoseconds of a guest program for each call, with the engine's intrinsics and without (median of the rounds):\n\n",
    );
    text.push_str("| program | size | steps a call | with, ns | without, ns | without / with |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|\n");
    for row in rows(figures) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push_str("\nThe programs:\n\n");
    let mut programs: Vec<(&str, Vec<String>)> = Vec::new();
    for row in figures["routines"].as_array().into_iter().flatten() {
        let (about, name) = (word(&row["about"]), format!("`{}`", word(&row["name"])));
        match programs.iter_mut().find(|(found, _)| *found == about) {
            Some((_, names)) => names.push(name),
            None => programs.push((about, vec![name])),
        }
    }
    for (about, names) in programs {
        let _ = writeln!(text, "- {}: {about}.", names.join(", "));
    }
    text
}

fn rows(figures: &Value) -> impl Iterator<Item = [String; 6]> {
    figures["routines"].as_array().into_iter().flatten().map(|row| {
        let ratio = &row["without_over_with"];
        let number =
            |value: &Value, digits: usize| value.as_f64().map_or("-".into(), |value| format!("{value:.digits$}"));
        [
            word(&row["name"]).to_owned(),
            word(&row["size"]).to_owned(),
            number(&row["steps_a_call"], 0),
            number(&row["with_ns"]["median"], 1),
            number(&row["without_ns"]["median"], 1),
            format!(
                "{} ({} to {})",
                number(&ratio["median"], 2),
                number(&ratio["least"], 2),
                number(&ratio["greatest"], 2)
            ),
        ]
    })
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
