//! Which processes there are: each runs a file of the image, descends from the container's first process (or from an
//! exec session that is allowed), and is held in as that is. A process that enters from outside with the kernel's own
//! calls has its parent, its control group, its capabilities and its filter of system calls from outside, and cannot
//! give itself less freedom than it has without the engine's help.

use surety_protocol::manifest::container::ProcessPolicy;

use super::{Context, engine};
use crate::finding::{Finding, Kind};

/// Findings of kind `process`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let Some(kernel) = context.kernel() else {
        return Vec::new();
    };
    let Some(first) = kernel.processes.first() else {
        return Vec::new();
    };
    let allowed = engine::bounding(&context.inspect);
    let host_pids = kernel.host_namespaces.iter().any(|name| name == "pid");
    let mut findings = Vec::new();
    for process in &kernel.processes {
        let subject = if process.program.is_empty() {
            process.name.as_str()
        } else {
            process.program.as_str()
        };
        let mut find = |expected: &str, found: String| {
            findings.push(Finding::new(Kind::Process, subject, expected, found));
        };
        let by_exec = context.in_allowed_exec(process);
        if context.policy.processes == ProcessPolicy::Image && !context.may_run(&process.program, process.file) {
            find(
                "a file of the image",
                process
                    .file
                    .map_or_else(|| "unreadable".into(), |file| format!("sha256:{file}")),
            );
        }
        if by_exec {
            continue;
        }
        if !context.descends(process, |pid| pid == first.pid) {
            find(
                "a descendant of the container's first process",
                "a process from outside".into(),
            );
        }
        if !process.in_pid_namespace && !host_pids {
            find("in the container's pid namespace", "in another".into());
        }
        if !process.in_mount_namespace {
            find("in the container's mount namespace", "in another".into());
        }
        if first.in_cgroup && !process.in_cgroup {
            find("in the container's control group", "in another".into());
        }
        if process.bounding & !allowed != 0 {
            find(
                "capabilities as configured",
                format!("also {:#x}", process.bounding & !allowed),
            );
        }
        if first.seccomp != 0 && process.seccomp == 0 {
            find(
                "system calls filtered as those of the first process",
                "no filter".into(),
            );
        }
    }
    findings
}
