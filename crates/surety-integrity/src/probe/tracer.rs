//! Debuggers: a process that is traced does what its tracer wants. A tracer inside the container is the image's own.

use super::Context;
use crate::finding::{Finding, Kind};

/// Findings of kind `tracer`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let Some(kernel) = context.kernel() else {
        return Vec::new();
    };
    let inside = |pid: u32| kernel.processes.iter().any(|process| process.pid == pid);
    kernel
        .processes
        .iter()
        .filter(|process| process.tracer != 0 && !inside(process.tracer))
        .map(|process| {
            Finding::new(
                Kind::Tracer,
                process.program.as_str(),
                "not traced",
                "traced from outside the container",
            )
        })
        .collect()
}
