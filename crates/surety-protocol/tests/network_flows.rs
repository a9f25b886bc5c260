//! Flows: what is wrong is named with its place; a run is its log, in any order, any number of times.

use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use surety_primitives::value::Value;
use surety_protocol::network::flow::{Comparison, Effect, Flow, FlowError, Input, Run};

const SERVICE: &str = "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

fn json(text: &str) -> Value {
    Value::from_json(&text.replace("SERVICE", SERVICE)).expect("JSON")
}

fn flow(nodes: &str) -> Result<Flow, FlowError> {
    Flow::from_value(&json(&format!(r#"{{"name": "transfers", "node": [{nodes}]}}"#)))
}

const SEEN: &str = r#"{"key": "seen", "type": "event", "service": "SERVICE", "event": "Transfer", "fee": "5"}"#;

/// Two rows at once if the amount is large, and a note of both.
fn diamond() -> Arc<Flow> {
    let rest = r#"
        {"key": "large", "type": "filter", "where": {"left": {"ref": "seen.amount"}, "is": "GT", "right": "100000000000000000000"}},
        {"key": "row", "type": "map", "after": ["large"], "output": {"to": {"ref": "seen.to[0]"}, "kind": "large"}},
        {"key": "a", "type": "task", "service": "SERVICE", "task": "insert", "validators": 3, "inputs": {"ref": "row"}},
        {"key": "b", "type": "task", "service": "SERVICE", "task": "send", "after": ["large"], "inputs": {"x": {"const": {"ref": "kept"}}}},
        {"key": "c", "type": "task", "service": "SERVICE", "task": "note", "inputs": [{"ref": "a.id"}, {"ref": "b"}]}"#;
    Arc::new(flow(&format!("{SEEN}, {rest}")).expect("a flow"))
}

fn started(amount: &str) -> Input {
    let data = json(&format!(r#"{{"amount": "{amount}", "to": ["0xabc"]}}"#));
    Input::Started { data }
}

fn done(step: u8, output: &str) -> Input {
    Input::Done {
        step,
        output: Some(json(output)),
    }
}

#[test]
fn tasks_run_side_by_side_where_the_graph_allows() {
    let mut run = Run::new(diamond());
    assert_eq!(
        run.step(started("100000000000000000001")),
        [
            Effect::RunTask {
                step: 0,
                inputs: Some(json(r#"{"kind": "large", "to": "0xabc"}"#))
            },
            Effect::RunTask {
                step: 1,
                inputs: Some(json(r#"{"x": {"ref": "kept"}}"#))
            },
        ]
    );
    assert_eq!(run.step(done(1, "7")), []);
    let inputs = Some(json("[3, 7]"));
    assert_eq!(run.step(done(0, r#"{"id": 3}"#)), [Effect::RunTask { step: 2, inputs }]);
    assert_eq!(run.step(done(2, "null")), [Effect::Ended]);
    assert!(run.is_over());
    assert_eq!(run.step(done(2, "1")), [Effect::Contradicts { step: 2 }]);
}

#[test]
fn what_a_filter_stops_is_skipped() {
    let mut run = Run::new(diamond());
    let skipped = [0, 1, 2].map(|step| Effect::Skipped { step });
    assert_eq!(run.step(started("99")), [&skipped[..], &[Effect::Ended]].concat());
    let mut run = Run::new(diamond());
    run.step(started("100000000000000000001"));
    assert_eq!(run.step(Input::Failed { step: 0 }), [Effect::Skipped { step: 2 }]);
}

#[test]
fn what_is_sealed_for_others_stays_unknown() {
    let mut run = Run::new(diamond());
    run.step(started("100000000000000000001"));
    run.step(Input::Done { step: 0, output: None });
    assert_eq!(run.step(done(1, "1")), [Effect::RunTask { step: 2, inputs: None }]);
}

#[test]
fn comparisons() {
    let cases = [
        ("5", "GT", "4.5", true),
        (r#""10""#, "GT", r#""9""#, true),
        (r#""-10""#, "LT", r#""-9""#, true),
        (
            r#""115792089237316195423570985008687907853269984665640564039457584007913129639935""#,
            "GT",
            "1",
            true,
        ),
        (r#""abc""#, "LT", r#""abd""#, true),
        (r#""5""#, "EQ", "5", false),
        (r#""5""#, "GTE", "5", true),
        (r#""5""#, "LTE", "5", true),
        ("null", "LTE", "null", false),
        (r#"[1, {"a": 2}]"#, "CONTAINS", r#"{"a": 2}"#, true),
        (r#""hay needle""#, "CONTAINS", r#""needle""#, true),
        (r#"{"a": 2}"#, "CONTAINS", r#""a""#, true),
        ("[]", "CONTAINS", "null", false),
        ("1e30", "GT", r#""1000000000000000019884624838655""#, true),
        ("1e30", "LT", r#""1000000000000000019884624838657""#, true),
        ("1.5", "LT", r#""2""#, false),
    ];
    for (left, is, right, expected) in cases {
        let comparison = match is {
            "EQ" => Comparison::Eq,
            "GT" => Comparison::Gt,
            "GTE" => Comparison::Gte,
            "LT" => Comparison::Lt,
            "LTE" => Comparison::Lte,
            _ => Comparison::Contains,
        };
        assert_eq!(
            comparison.holds(&json(left), &json(right)),
            expected,
            "{left} {is} {right}"
        );
    }
}

#[test]
fn errors_name_the_node_and_the_path() {
    let task =
        |rest: &str| format!(r#"{SEEN}, {{"key": "t", "type": "task", "service": "SERVICE", "task": "x"{rest}}}"#);
    let cases = [
        (SEEN.into(), "flow has 0 tasks, expected 1 to 64"),
        (
            task(r#", "validators": 32"#),
            "node `t`, `validators` is 32, expected a whole number from 0 to 31",
        ),
        (
            task(r#", "window": 0.5"#),
            "node `t`, `window` is 0.5, expected a whole number from 1 to 86400",
        ),
        (task(r#", "colour": 1"#), "node `t`, `colour` is not known"),
        (
            task(r#", "inputs": {"a": {"ref": "nobody.x"}}"#),
            "node `t` refers to `nobody`, which is no node",
        ),
        (
            task(r#", "inputs": {"a": [{"ref": "seen..x"}]}"#),
            "node `t`, `inputs.a[0].ref`: path `.x` has an empty name at byte 0",
        ),
        (task(r#", "after": ["t"]"#), "node `t` waits for itself: t -> t"),
        (
            task(r#", "most": "-1""#),
            "node `t`, `most` is `-1`, expected wei as a decimal string below 2^96",
        ),
        (
            format!(
                r#"{}, {{"key": "f", "type": "filter", "where": {{"left": 1, "is": "ABOVE", "right": 2}}}}"#,
                task("")
            ),
            "node `f`, `where.is` is `ABOVE`, expected EQ, GT, GTE, LT, LTE or CONTAINS",
        ),
        (
            format!("{}, {SEEN}", task("")),
            "flow has 2 nodes that start it, expected 1 to 1",
        ),
        (r#"{"type": "map"}"#.into(), "node `0`, `key` is missing"),
        (
            r#"{"key": "m", "type": "maps"}"#.into(),
            "node `m`, `type` is `maps`, expected event, result, task, map or filter",
        ),
        (
            task(r#", "inputs": {"ref": "u"}}, {"key": "u", "type": "map", "output": {"ref": "t.x"}"#),
            "node `t` waits for itself: t -> u -> t",
        ),
    ];
    for (nodes, expected) in cases {
        assert_eq!(flow(&nodes).expect_err(expected).to_string(), expected);
    }
}

#[test]
fn the_json_is_canonical() {
    let flow = diamond();
    let again = Flow::from_value(&Value::from_json(flow.to_json()).unwrap()).unwrap();
    assert_eq!(again, *flow);
    assert_eq!(flow.start().unwrap().event_name(), "Transfer");
    assert_eq!(
        flow.steps().map(|step| step.task.as_str()).collect::<Vec<_>>(),
        ["insert", "send", "note"]
    );
}

/// A layered graph in which tasks wait for some of those before.
fn graph(edges: &[Vec<bool>]) -> Arc<Flow> {
    let mut nodes = SEEN.to_owned();
    for (at, edges) in edges.iter().enumerate() {
        let before = edges.iter().take(at).enumerate().filter(|(_, edge)| **edge);
        let references: Vec<_> = before.map(|(other, _)| format!(r#"{{"ref": "t{other}.v"}}"#)).collect();
        let inputs = references.join(", ");
        nodes += &format!(
            r#", {{"key": "t{at}", "type": "task", "service": "SERVICE", "task": "x", "after": ["seen"], "inputs": [{inputs}]}}"#
        );
    }
    Arc::new(flow(&nodes).expect("a flow"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn p5_a_run_is_its_log_in_any_order_and_any_number_of_times(
        edges in prop::collection::vec(prop::collection::vec(any::<bool>(), 8), 1..8),
        order in any::<u64>(),
    ) {
        use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
        let flow = graph(&edges);
        let mut log = vec![started("1")];
        log.extend((0..edges.len() as u8).map(|step| done(step, &format!(r#"{{"v": {step}}}"#))));
        let collect = |log: &[Input]| {
            let mut run = Run::new(flow.clone());
            let mut asked = BTreeMap::new();
            let mut ended = 0;
            for effect in log.iter().cloned().flat_map(|input| run.step(input)) {
                match effect {
                    Effect::RunTask { step, inputs } => assert!(asked.insert(step, inputs).is_none(), "asked twice"),
                    Effect::Ended => ended += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!(ended <= 1);
            (asked, run)
        };
        let (asked, run) = collect(&log);
        prop_assert!(run.is_over());
        let mut shuffled = [log.clone(), log.clone()].concat();
        shuffled.shuffle(&mut StdRng::seed_from_u64(order));
        let (again, other) = collect(&shuffled);
        prop_assert!(other.is_over());
        // What a result came before was not asked for; what was, was asked for with the same inputs.
        for (step, inputs) in &again {
            prop_assert_eq!(asked.get(step), Some(inputs));
        }
        // A crash after any prefix: what was asked and has no result is asked again.
        for at in 0..log.len() {
            let (replayed, effects) = Run::replay(flow.clone(), log[..at].iter().cloned());
            let open = effects.iter().filter(|effect| matches!(effect, Effect::RunTask { .. })).count();
            let (asked, _) = collect(&log[..at]);
            let expected = asked.keys().filter(|step| usize::from(**step) + 1 >= at).count();
            prop_assert_eq!(open, expected);
            prop_assert!(!replayed.is_over());
        }
    }
}

#[test]
fn p4_a_map_that_doubles_and_doubles_is_skipped_and_not_made() {
    let mut nodes = SEEN.to_owned();
    let mut before = "seen".to_owned();
    for at in 0..60 {
        // Wide, not deep: what is in the one before, twice.
        let text = format!(r#"{{"ref": "{before}.a"}}, {{"ref": "{before}.b"}}"#);
        nodes +=
            &format!(r#", {{"key": "m{at}", "type": "map", "output": {{"a": [{text}], "b": {{"ref": "{before}"}}}}}}"#);
        before = format!("m{at}");
    }
    nodes += &format!(
        r#", {{"key": "t", "type": "task", "service": "SERVICE", "task": "x", "inputs": {{"ref": "{before}"}}}}"#
    );
    nodes += r#", {"key": "u", "type": "task", "service": "SERVICE", "task": "x", "inputs": {"ref": "seen.a"}}"#;
    let mut run = Run::new(Arc::new(flow(&nodes).expect("a flow")));
    let large = Value::object([("a", "x".repeat(200_000)), ("b", "y".repeat(200_000))]);
    let effects = run.step(Input::Started { data: large });
    assert!(effects.contains(&Effect::Skipped { step: 0 }), "made");
    let asked = |effect: &Effect| {
        matches!(
            effect,
            Effect::RunTask {
                step: 1,
                inputs: Some(_)
            }
        )
    };
    assert!(effects.iter().any(asked), "the other task has nothing to do with it");
    let last = |effects: Vec<Effect>| effects.last().cloned();
    assert_eq!(last(run.step(done(1, "1"))), Some(Effect::Ended));
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-20_i64..20).prop_map(|whole| Value::from(whole as i32)),
        any::<i32>().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        "[a-c]{0,3}".prop_map(Value::from),
        (-20_i64..20).prop_map(|whole| Value::from(whole.to_string())),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

/// A predicate as JSON, and whether it holds, by other means than the machine's.
fn predicate() -> impl Strategy<Value = (String, bool)> {
    let numbers = (any::<i16>(), any::<i16>(), 0..5_usize, any::<[bool; 2]>());
    let compare = numbers.prop_map(|(left, right, is, as_text)| {
        let (name, holds) = [
            ("EQ", left == right && as_text[0] == as_text[1]),
            ("GT", left > right),
            ("GTE", left >= right),
            ("LT", left < right),
            ("LTE", left <= right),
        ][is];
        let written = |number: i16, text| {
            if text {
                format!(r#""{number}""#)
            } else {
                number.to_string()
            }
        };
        let (left, right) = (written(left, as_text[0]), written(right, as_text[1]));
        (
            format!(r#"{{"left": {left}, "is": "{name}", "right": {right}}}"#),
            holds,
        )
    });
    compare.prop_recursive(5, 30, 4, |inner| {
        let several = |name: &'static str| {
            move |all: Vec<(String, bool)>| {
                let written: Vec<_> = all.iter().map(|(text, _)| text.as_str()).collect();
                let mut holds = all.iter().map(|(_, holds)| *holds);
                let holds = if name == "and" {
                    holds.all(|one| one)
                } else {
                    holds.any(|one| one)
                };
                (format!(r#"{{"{name}": [{}]}}"#, written.join(", ")), holds)
            }
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(several("and")),
            prop::collection::vec(inner.clone(), 0..4).prop_map(several("or")),
            inner.prop_map(|(text, holds)| (format!(r#"{{"not": {text}}}"#), !holds)),
        ]
    })
}

const TASK: &str = r#"{"key": "t", "type": "task", "service": "SERVICE", "task": "x""#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn filters_let_through_what_holds((written, holds) in predicate()) {
        let nodes = format!(
            r#"{SEEN}, {{"key": "f", "type": "filter", "where": {written}}}, {TASK}, "after": ["f"], "inputs": 1}}"#
        );
        let mut run = Run::new(Arc::new(flow(&nodes).expect("a flow")));
        let ran = run.step(Input::Started { data: Value::Null }).iter().any(|effect| matches!(effect, Effect::RunTask { .. }));
        prop_assert_eq!(ran, holds, "{}", written);
    }

    #[test]
    fn maps_copy_what_they_refer_to_and_nothing_else(data in value(), other in value(), path in "[a-c]{1}(\\[[0-2]\\]|\\.[a-c]){0,2}") {
        let nodes = format!(
            r#"{SEEN}, {{"key": "m", "type": "map", "output": {{"all": {{"ref": "seen"}}, "part": [{{"ref": "seen.{path}"}}], "kept": {{"const": {other}}}}}}},
            {TASK}, "inputs": {{"ref": "m"}}}}"#
        );
        let mut run = Run::new(Arc::new(flow(&nodes).expect("a flow")));
        let part = data.at(&path.parse().expect("a path")).cloned().unwrap_or_default();
        let expected = Value::object([("all", data.clone()), ("part", Value::list([part])), ("kept", other)]);
        let effects = run.step(Input::Started { data });
        prop_assert_eq!(effects, [Effect::RunTask { step: 0, inputs: Some(expected) }]);
    }

    #[test]
    fn orders_are_each_others_mirror(left in value(), right in value()) {
        let holds = |is: Comparison, a: &Value, b: &Value| is.holds(a, b);
        prop_assert_eq!(holds(Comparison::Gt, &left, &right), holds(Comparison::Lt, &right, &left));
        prop_assert_eq!(holds(Comparison::Gte, &left, &right), holds(Comparison::Lte, &right, &left));
        prop_assert!(!(holds(Comparison::Gt, &left, &right) && holds(Comparison::Lte, &left, &right)));
        let ordered = holds(Comparison::Gte, &left, &left);
        prop_assert_eq!(ordered, holds(Comparison::Lte, &left, &left));
        prop_assert!(holds(Comparison::Eq, &left, &left));
    }
}
