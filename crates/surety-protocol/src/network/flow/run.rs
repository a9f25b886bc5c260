//! One evaluation of a flow.

use super::{
    MAX_MAPS_BYTES,
    definition::{Flow, Work},
    expression::Missing,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use surety_primitives::value::{MAX_VALUE_BYTES, Value};

/// What happens to a run. The log of these is its whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It was started by a certified event.
    Started {
        /// The event's data.
        data: Value,
    },
    /// The result of a step counts: it is settled, or it has the votes that will settle it.
    Done {
        /// Index of the step.
        step: u8,
        /// Its output; `None` if it is sealed for others.
        output: Option<Value>,
    },
    /// A step has no result and never will.
    Failed {
        /// Index of the step.
        step: u8,
    },
}

/// What the driver shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A step is due.
    RunTask {
        /// Index of the step.
        step: u8,
        /// Its inputs; `None` if they depend on what is sealed for others.
        inputs: Option<Value>,
    },
    /// No step will run: a filter or a failure is before it.
    Skipped {
        /// Index of the step.
        step: u8,
    },
    /// A step had a result already, and this is another one. The first stays.
    Contradicts {
        /// Index of the step.
        step: u8,
    },
    /// Nothing is left to wait for.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Its output; `None` if this node can't read it.
    Done(Option<Value>),
    Skipped,
}

/// The state of one run. Inputs may come in any order and any number of times; each effect comes once.
#[derive(Clone, Debug)]
pub struct Run {
    flow: Arc<Flow>,
    started: Option<Value>,
    results: BTreeMap<u8, State>,
    /// By index of the node.
    states: BTreeMap<usize, State>,
    asked: BTreeSet<u8>,
    skipped: BTreeSet<u8>,
    ended: bool,
}

impl Run {
    /// A run that has not begun.
    pub fn new(flow: Arc<Flow>) -> Self {
        Self {
            flow,
            started: None,
            results: BTreeMap::new(),
            states: BTreeMap::new(),
            asked: BTreeSet::new(),
            skipped: BTreeSet::new(),
            ended: false,
        }
    }

    /// A run from its log, and what is to be done now: effects of steps without a result come again, so that what a
    /// crash swallowed is made up for. The driver knows what is under way by the task's id.
    pub fn replay(flow: Arc<Flow>, log: impl IntoIterator<Item = Input>) -> (Self, Vec<Effect>) {
        let mut run = Self::new(flow);
        let mut effects: Vec<_> = log.into_iter().flat_map(|input| run.step(input)).collect();
        effects.retain(|effect| match effect {
            Effect::RunTask { step, .. } => !run.results.contains_key(step),
            Effect::Contradicts { .. } => false,
            Effect::Skipped { .. } | Effect::Ended => true,
        });
        (run, effects)
    }

    /// Takes an input.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Started { data } => {
                self.started.get_or_insert(data);
            }
            Input::Done { step, output } => self.finish(step, State::Done(output), &mut effects),
            Input::Failed { step } => self.finish(step, State::Skipped, &mut effects),
        }
        self.evaluate(&mut effects);
        effects
    }

    /// Whether nothing is left to wait for.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// The output of a node, if it is done and this node can read it.
    pub fn output(&self, key: &str) -> Option<&Value> {
        let index = self.flow.nodes().iter().position(|node| node.key == key)?;
        match self.states.get(&index)? {
            State::Done(output) => output.as_ref(),
            State::Skipped => None,
        }
    }

    fn finish(&mut self, step: u8, state: State, effects: &mut Vec<Effect>) {
        if usize::from(step) >= self.flow.steps().count() {
            return;
        }
        match (self.results.get_mut(&step), state) {
            (None, state) => {
                self.results.insert(step, state);
            }
            // Opened later by whoever may read it. What was made of it is made anew.
            (Some(State::Done(known @ None)), State::Done(Some(output))) => *known = Some(output),
            (Some(State::Done(_)), State::Done(None)) => {}
            (Some(before), state) if *before != state => effects.push(Effect::Contradicts { step }),
            _ => {}
        }
    }

    /// Every node that can be is done. In the order of the graph one pass is enough.
    fn evaluate(&mut self, effects: &mut Vec<Effect>) {
        let Some(data) = &self.started else { return };
        let flow = self.flow.clone();
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        let index: BTreeMap<&str, usize> = flow
            .nodes()
            .iter()
            .enumerate()
            .map(|(at, node)| (node.key.as_str(), at))
            .collect();
        let maps = flow.nodes().iter().filter(|node| matches!(node.work, Work::Map(_)));
        let map_bytes = MAX_MAPS_BYTES / maps.count().max(1);
        let mut open = false;
        for at in flow.order() {
            let Some(node) = flow.nodes().get(*at) else { continue };
            let before = node.waits_for();
            let found: Vec<_> = before
                .iter()
                .map(|key| index.get(key).and_then(|at| states.get(at)))
                .collect();
            let state = if found.contains(&Some(&State::Skipped)) {
                if let Work::Task { index, .. } = &node.work
                    && self.skipped.insert(*index)
                {
                    effects.push(Effect::Skipped { step: *index });
                }
                Some(State::Skipped)
            } else if found.contains(&None) {
                None
            } else {
                let output = |key: &&str| match index.get(key).and_then(|at| states.get(at)) {
                    Some(State::Done(Some(value))) => Some(value),
                    _ => None,
                };
                let outputs: BTreeMap<&str, Option<&Value>> = before.iter().map(|key| (*key, output(key))).collect();
                match &node.work {
                    Work::Start(_) => Some(State::Done(Some(data.clone()))),
                    Work::Map(expression) => Some(match expression.evaluate(&outputs, map_bytes) {
                        Ok(value) => State::Done(Some(value)),
                        Err(Missing::Unreadable) => State::Done(None),
                        Err(Missing::TooLarge) => State::Skipped,
                    }),
                    Work::Filter(predicate) => predicate.holds(&outputs).map(|holds| match holds {
                        true => State::Done(Some(Value::Null)),
                        false => State::Skipped,
                    }),
                    Work::Task { index, inputs, .. } => {
                        let step = *index;
                        let result = self.results.get(index).cloned();
                        if result.is_some() || self.asked.contains(index) {
                            result
                        } else if self.skipped.contains(index) {
                            Some(State::Skipped)
                        } else {
                            match inputs.evaluate(&outputs, MAX_VALUE_BYTES) {
                                Err(Missing::TooLarge) => {
                                    self.skipped.insert(step);
                                    effects.push(Effect::Skipped { step });
                                    Some(State::Skipped)
                                }
                                inputs => {
                                    self.asked.insert(step);
                                    let inputs = inputs.ok();
                                    effects.push(Effect::RunTask { step, inputs });
                                    None
                                }
                            }
                        }
                    }
                }
            };
            match state {
                Some(state) => {
                    states.insert(*at, state);
                }
                None => open = true,
            }
        }
        self.states = states;
        if !open && !core::mem::replace(&mut self.ended, true) {
            effects.push(Effect::Ended);
        }
    }
}
