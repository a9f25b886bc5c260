//! Executable memory: a file of the image, unchanged, is behind all of it, on disk and page by page; or the policy
//! says that the service makes code while it runs.

use surety_protocol::manifest::container::MemoryPolicy;

use super::Context;
use crate::finding::{Finding, Kind};

/// Findings of the kinds `mapping` and `anonymous`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let policy = context.policy.memory;
    let Some(kernel) = context.kernel().filter(|_| policy != MemoryPolicy::Off) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for process in &kernel.processes {
        for mapping in &process.mappings {
            let name = mapping.name.as_str();
            let writable = mapping.permissions.contains('w');
            let anonymous = name.is_empty() || name.starts_with('[');
            // What compilers at run time use to have one page twice, writable here and executable there.
            let memory_file = name.starts_with("/memfd:") || name.starts_with("/dev/zero") || name.starts_with("/SYSV");
            if writable {
                findings.push(Finding::new(
                    Kind::Anonymous,
                    process.program.as_str(),
                    "no memory that is writable and executable at once",
                    format!("{} {name}", mapping.permissions).trim_end(),
                ));
            } else if (anonymous && name != "[vdso]") || (memory_file && policy == MemoryPolicy::Jit) {
                if policy == MemoryPolicy::Strict {
                    findings.push(Finding::new(
                        Kind::Anonymous,
                        process.program.as_str(),
                        "no executable memory without a file",
                        format!("{} {name}", mapping.permissions).trim_end(),
                    ));
                }
                continue;
            }
            if !anonymous && !context.may_run(name, mapping.file) {
                let found = mapping
                    .file
                    .map_or_else(|| "unreadable".into(), |file| format!("sha256:{file}"));
                findings.push(Finding::new(Kind::Mapping, name, "a file of the image", found));
            }
            for page in &mapping.differ {
                let (subject, expected) = (format!("{name}+{:#x}", page.offset), "what the file holds there");
                findings.push(Finding::new(
                    Kind::Mapping,
                    subject,
                    expected,
                    format!("sha256:{}", page.memory),
                ));
            }
        }
    }
    findings
}
