//! What the engine did: exec sessions, copies, starts and stops. An event is over when it is told, so what it means is
//! kept: a container that had an exec session stays one that had it.

use surety_protocol::manifest::container::{ClientPolicy, ExecPolicy, Restart, RestartPolicy};

use super::{Context, Inspect, identity::most_restarts};
use crate::{
    agent::measure::Event,
    finding::{Finding, Kind, normalise},
};

/// Signals that an engine ends containers with.
const ENDING: &[&str] = &["9", "15", "SIGKILL", "SIGTERM", "KILL", "TERM"];

/// What the events so far mean.
#[derive(Debug, Clone, Default)]
pub struct Accounting {
    findings: Vec<Finding>,
    /// Whether it has been seen to run.
    started: bool,
    /// Exit code of the last end, until it starts again.
    ended: Option<i64>,
    /// Whether somebody ended it.
    by_hand: bool,
    /// Whether it was stopped, and by whom is not yet known: an engine that ends stops its containers.
    stopped: bool,
    /// When it was last started, as the engine says.
    started_at: String,
}

impl Accounting {
    /// Takes events in, and gives all that was found so far.
    pub fn look(&mut self, context: &Context<'_>) -> Vec<Finding> {
        let events = &context.facts.events;
        let mut starts = false;
        if self.stopped && events.events.is_empty() && events.complete {
            // The engine has answered since, so it did not end.
            self.stopped_by_hand(context);
        }
        for event in &events.events {
            starts |= event.action == "start";
            self.event(context, event);
        }
        let started_at = context.inspect.text("State.StartedAt");
        if !self.started_at.is_empty() && self.started_at != started_at && !starts && !events.complete {
            // Started while nobody could tell who did it: an engine that comes back starts what its policy says.
            let restart = self.restart(context);
            if matches!(restart, Restart::No) || context.policy.restarts == RestartPolicy::None {
                self.unaccounted(
                    context,
                    "start",
                    "no start",
                    "a start while the engine's events were not known",
                );
            }
        }
        if !started_at.is_empty() {
            started_at.clone_into(&mut self.started_at);
            self.started |= context.inspect.flag("State.Running");
        }
        let count = context.inspect.number("RestartCount");
        let most = most_restarts(self.restart(context));
        if context.policy.restarts != RestartPolicy::Any && most.is_some_and(|most| count > most) {
            let most = most.unwrap_or_default().to_string();
            self.keep(Finding::new(Kind::Restart, "count", format!("at most {most}"), "more"));
        }
        let mut findings = self.findings.clone();
        findings.extend(self.state(context));
        findings
    }

    fn restart(&self, context: &Context<'_>) -> Restart {
        let it = &context.inspect;
        context.plan.map_or_else(
            || match it.text("HostConfig.RestartPolicy.Name") {
                "always" => Restart::Always,
                "unless-stopped" => Restart::UnlessStopped,
                "on-failure" => match it.number("HostConfig.RestartPolicy.MaximumRetryCount") {
                    0 => Restart::OnFailure(None),
                    most => Restart::OnFailure(u32::try_from(most).ok()),
                },
                _ => Restart::No,
            },
            |plan| plan.restart,
        )
    }

    fn event(&mut self, context: &Context<'_>, event: &Event) {
        let (action, rest) = event.action.split_once(':').unwrap_or((&event.action, ""));
        let policy = context.policy;
        if self.stopped && action != "gap" {
            self.stopped_by_hand(context);
        }
        match action {
            "exec_create" | "exec_start" => self.exec(context, event, rest.trim_start()),
            // Who is attached to a container that reads its input speaks to the service.
            "attach" if context.inspect.flag("Config.OpenStdin") && policy.exec != ExecPolicy::Allow => {
                self.keep(Finding::new(
                    Kind::Exec,
                    "attach",
                    "no exec session",
                    "attached to its input",
                ));
            }
            "extract-to-dir" if policy.clients == ClientPolicy::Forbid => {
                self.keep(Finding::new(
                    Kind::Copy,
                    "archive",
                    "no copies into the container",
                    "a copy into the container",
                ));
            }
            "rename" => self.keep(Finding::new(Kind::Container, "name", "the name it had", "another")),
            "start" => {
                if self.started {
                    self.again(context);
                }
                (self.started, self.ended, self.by_hand) = (true, None, false);
            }
            "die" => self.ended = Some(event.exit.unwrap_or_default()),
            "stop" => {
                (self.by_hand, self.stopped) = (true, true);
            }
            // The engine ended or was not heard for a while; what it stopped then, it stopped itself.
            "gap" if self.stopped => (self.by_hand, self.stopped) = (false, false),
            "restart" => self.unaccounted(
                context,
                "restart",
                "started by the restart policy only",
                "restarted through the engine",
            ),
            "pause" => self.unaccounted(context, "pause", "paused by nobody", "paused through the engine"),
            "kill" => {
                let signal = event.signal.as_deref().unwrap_or("9");
                self.by_hand |= ENDING.contains(&signal) || signal == context.inspect.text("Config.StopSignal");
            }
            _ => {}
        }
    }

    fn again(&mut self, context: &Context<'_>) {
        let accounted = match context.policy.restarts {
            RestartPolicy::Any => true,
            RestartPolicy::None => false,
            RestartPolicy::Policy => {
                !self.by_hand
                    && match self.restart(context) {
                        Restart::No => false,
                        Restart::OnFailure(_) => self.ended.is_none_or(|code| code != 0),
                        Restart::Always | Restart::UnlessStopped => true,
                    }
            }
        };
        if !accounted {
            self.unaccounted(
                context,
                "start",
                "started by the restart policy only",
                "started through the engine",
            );
        }
    }

    fn exec(&mut self, context: &Context<'_>, event: &Event, command: &str) {
        let allowed = match context.policy.exec {
            ExecPolicy::Allow => true,
            ExecPolicy::Forbid => false,
            ExecPolicy::Health => {
                let session = context
                    .facts
                    .execs
                    .iter()
                    .map(Inspect)
                    .find(|exec| Some(exec.text("ID")) == event.exec.as_deref());
                // The engine forgets sessions that are over; the command is what is left of them.
                context
                    .health_command()
                    .is_some_and(|health| health.join(" ") == command)
                    && session.is_none_or(|session| context.allows_exec(&session))
            }
        };
        if !allowed {
            let expected = match context.policy.exec {
                ExecPolicy::Health => "the health check only",
                _ => "no exec session",
            };
            self.keep(Finding::new(Kind::Exec, command, expected, "an exec session"));
        }
    }

    fn state(&self, context: &Context<'_>) -> Option<Finding> {
        if context.policy.restarts == RestartPolicy::Any {
            return None;
        }
        let it = &context.inspect;
        let status = it.text("State.Status");
        let finding = |found: &str| Some(Finding::new(Kind::Restart, "state", "running", found));
        match status {
            "paused" => finding("paused"),
            "exited" | "dead" => {
                let failed = it.signed("State.ExitCode") != 0;
                let again = match self.restart(context) {
                    Restart::Always | Restart::UnlessStopped => true,
                    Restart::OnFailure(most) => {
                        failed && most.is_none_or(|most| it.number("RestartCount") < u64::from(most))
                    }
                    Restart::No => false,
                };
                if again { finding(status) } else { None }
            }
            _ => None,
        }
    }

    fn stopped_by_hand(&mut self, context: &Context<'_>) {
        self.stopped = false;
        self.unaccounted(context, "stop", "stopped by nobody", "stopped through the engine");
    }

    fn unaccounted(&mut self, context: &Context<'_>, subject: &str, expected: &str, found: &str) {
        if context.policy.restarts != RestartPolicy::Any {
            self.keep(Finding::new(Kind::Restart, subject, expected, found));
        }
    }

    fn keep(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.findings = normalise(std::mem::take(&mut self.findings));
    }
}
