//! What the first process started with. The engine may say one thing and start another: the kernel keeps the
//! environment of a program's start, though the process may write over it.
//!
//! A process that has executed another program (an entry point's script that ends in `exec`) has the environment the
//! script made. Then only variables that make a program load or run something else are looked at.

use super::{Context, identity::variable};
use crate::finding::{Finding, Kind};

/// What makes programs load or run what they otherwise would not.
const DANGEROUS: &[&str] = &[
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "BASH_ENV",
    "ENV",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYOPT",
    "RUBYLIB",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
];

/// What runtimes add by themselves.
const RUNTIME: &[&str] = &["HOME", "HOSTNAME", "TERM", "container"];

/// Findings of kind `environment`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let Some(kernel) = context.kernel() else {
        return Vec::new();
    };
    let Some(first) = kernel.processes.first() else {
        return Vec::new();
    };
    let configured = context.inspect.texts("Config.Env");
    let live = &kernel.environment;
    // A title that a server has written over its environment is no list of variables.
    let whole = live
        .iter()
        .all(|entry| entry.split_once('=').is_some_and(|(name, _)| is_name(name)));
    let started_so = whole && !live.is_empty() && same_program(context, &first.program);
    let mut findings = Vec::new();
    for entry in live {
        let (name, value) = variable(entry);
        if !is_name(&name) || configured.contains(entry) {
            continue;
        }
        let known = configured
            .iter()
            .map(|entry| variable(entry))
            .find(|(other, _)| *other == name);
        let dangerous = DANGEROUS.contains(&name.as_str());
        let alone = known.is_none();
        if alone && (RUNTIME.contains(&name.as_str()) || name == "PATH") || !(started_so || dangerous) {
            continue;
        }
        findings.push(Finding::new(
            Kind::Environment,
            name,
            known.map(|(_, value)| value).unwrap_or_default(),
            value,
        ));
    }
    if started_so {
        for entry in &configured {
            let (name, value) = variable(entry);
            if !live.iter().any(|live| variable(live).0 == name) {
                findings.push(Finding::new(Kind::Environment, name, value, ""));
            }
        }
    }
    findings
}

/// Whether the first process still runs what the engine started.
fn same_program(context: &Context<'_>, program: &str) -> bool {
    let path = context.inspect.text("Path");
    let Some(image) = context.image else {
        return path == program;
    };
    let resolved = |path: &str| {
        let mut path = path.to_owned();
        for _ in 0..8 {
            match image.files.get(&path) {
                Some(entry) if entry.kind == 'l' => {
                    path = match (entry.data.strip_prefix('/'), path.rsplit_once('/')) {
                        (Some(absolute), _) => format!("/{absolute}"),
                        (None, Some((folder, _))) => format!("{folder}/{}", entry.data),
                        (None, None) => return path,
                    };
                }
                _ => return path,
            }
        }
        path
    };
    if path.contains('/') {
        return resolved(path) == program;
    }
    let search = context
        .inspect
        .texts("Config.Env")
        .iter()
        .map(|entry| variable(entry))
        .find(|(name, _)| name == "PATH");
    let search = search.map_or_else(
        || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        |(_, value)| value,
    );
    search
        .split(':')
        .any(|folder| resolved(&format!("{}/{path}", folder.trim_end_matches('/'))) == program)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte == b'-')
}
