//! The network part of service.toml: what is read, everything that is refused and where, values held to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use surety_primitives::value::Value;
use surety_protocol::manifest::{Kind, Network, Price, Unfit, Verification};

const GOOD: &str = r#"
name = "transfers"
quorum = "75%"
min_bond = "1000"

[events.moved]
id = ["block.hash", "index"]
window = 120
[events.moved.data]
block = { type = "Object", fields = { hash = "String", number = "Number" } }
index = "Number"
tags = { type = "String", repeated = true, optional = true }
rest = { type = "Any", optional = true }

[tasks.record]
verification = "verify"
window = 30
price = { per_call = "0.25", per_kilobyte = "0.000000000000000001" }
inputs = { sender = "String", urgent = { type = "Boolean", optional = true } }
outputs = { row = "String" }

[tasks.look]
verification = "deterministic"
validators = 0

[configuration]
ports = [8080]
env = { LOG = "info", SECRET = { required = true } }

[dependencies.database]
image = "postgres:17"
volumes = ["/var/lib/postgresql"]
command = ["postgres", "-c", "fsync=on"]
"#;

fn good() -> Network {
    Network::parse(GOOD, &["min_bond"]).unwrap()
}

/// What is wrong, a line each.
fn problems(text: &str) -> Vec<String> {
    let problems = Network::parse(text, &[]).expect_err(text);
    problems.0.iter().map(ToString::to_string).collect()
}

fn json(text: &str) -> Value {
    Value::from_json(text).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let network = good();
    assert_eq!((network.name.as_str(), network.quorum), ("transfers", 7_500));
    let moved = network.event("moved").unwrap();
    assert_eq!(moved.window, 120);
    assert_eq!(
        moved.id.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["block.hash", "index"]
    );
    assert!(matches!(&moved.data.get("block").unwrap().kind, Kind::Object(fields) if fields.len() == 2));
    let record = network.task("record").unwrap();
    assert_eq!(
        (record.verification, record.validators, record.window),
        (Verification::Verify, 3, 30)
    );
    let price = Price {
        per_call: 250_000_000_000_000_000,
        per_second: 0,
        per_kilobyte: 1,
    };
    assert_eq!(record.price, price);
    let look = network.task("look").unwrap();
    assert_eq!(
        (look.verification, look.validators, look.window),
        (Verification::Deterministic, 0, 60)
    );
    let configuration = network.configuration.as_ref().unwrap();
    assert_eq!(configuration.ports, [8080]);
    assert_eq!(configuration.env.get("SECRET"), Some(&None));
    assert_eq!(network.dependencies.get("database").unwrap().command.len(), 3);
    assert!(Network::parse("name = \"empty\"", &[]).unwrap().is_empty());
    for (text, quorum) in [
        ("6667", 6_667),
        ("10000", 10_000),
        ("\"50.01%\"", 5_001),
        ("\"100%\"", 10_000),
    ] {
        let network = Network::parse(&format!("name = \"a\"\nquorum = {text}"), &[]).unwrap();
        assert_eq!(network.quorum, quorum, "{text}");
    }
}

#[test]
fn everything_wrong_is_said_at_once_and_where() {
    let text = r#"nam = "x"
quorum = 5000
[events.a]
id = ["x", "y", "l", "o.p", "o.q"]
window = 0
[events.a.data]
x = "Strng"
y = { type = "String", optional = true }
l = { type = "Object", repeated = true, fields = { p = "Any" } }
o = { type = "Object", fields = { p = "Number" } }
n = { type = "Number", fields = {} }
[events.b]
[tasks.t]
verification = "maybe"
price = { per_call = 1, per_second = "-1", per_kilobyte = "1208925.819614629174706176" }
[tasks.u]
verification = "none"
validators = 1
inputs = ["String"]
[tasks."bad name"]
verification = "none"
[dependencies.d]
volumes = ["relative", "/a/../b"]
ports = [0]
"#;
    assert_eq!(
        problems(text),
        [
            "1:1: nam: found an unknown key, expected one of name, quorum, events, tasks, configuration, dependencies",
            "1:1: name: missing; expected the service's name",
            "2:10: quorum: found 5000, expected more than half: 5001 to 10000 (1/10,000 of the power), or a text such as \
             \"66.67%\"",
            "4:12: events.a.id[1]: found `y`, but `y` is optional; an id is always there",
            "4:29: events.a.id[4]: found `o.q`, but there is no field `q`; declared are: p",
            "5:10: events.a.window: found 0, expected a whole number from 1 to 86400",
            "7:5: events.a.data.x: found \"Strng\", expected String, Number, Boolean, Object or Any",
            "11:33: events.a.data.n.fields: found fields of a Number, expected them of an Object only",
            "12:1: events.b.id: missing; expected the names of the fields that tell one event from another, such as \
             [\"block\", \"index\"]",
            "14:16: tasks.t.verification: found \"maybe\", expected \"none\", \"deterministic\" or \"verify\"",
            "15:22: tasks.t.price.per_call: found 1, expected tokens as text, such as \"0.25\"",
            "15:38: tasks.t.price.per_second: found \"-1\", expected tokens with at most 18 decimals, such as \"0.25\"",
            "15:59: tasks.t.price.per_kilobyte: found \"1208925.819614629174706176\", expected less than 2^80 wei",
            "18:14: tasks.u.validators: found 1, expected 0: nobody can validate a task with verification \"none\"",
            "19:10: tasks.u.inputs: found a list, expected a table",
            "20:8: tasks.bad name: found the name \"bad name\", expected a letter or `_` and then letters, digits, `_`, \
             `-`, at most 64",
            "22:1: dependencies.d.image: missing; expected an image such as \"redis:8\"",
            "23:12: dependencies.d.volumes[0]: found \"relative\", expected an absolute path without `..`",
            "23:24: dependencies.d.volumes[1]: found \"/a/../b\", expected an absolute path without `..`",
            "24:10: dependencies.d.ports[0]: found 0, expected a whole number from 1 to 65535",
        ]
    );
}

#[test]
fn text_that_is_not_toml_is_located() {
    let found = problems("name = \"a\"\nquorum = = 3\n");
    assert!(found.first().unwrap().starts_with("2:10: not TOML: "), "{found:?}");
    let found = problems("name = \"a\"\nname = \"b\"\n");
    assert!(
        found.first().unwrap().starts_with("2:1: not TOML: duplicate key"),
        "{found:?}"
    );
}

#[test]
fn nesting_and_numbers_of_fields_are_bounded() {
    let mut inner = "\"Any\"".to_owned();
    for _ in 0..14 {
        inner = format!("{{ type = \"Object\", fields = {{ f = {inner} }} }}");
    }
    let text = format!("name = \"a\"\n[events.e]\nid = [\"f\"]\ndata = {{ f = {inner} }}");
    let found = problems(&text);
    assert!(
        found
            .iter()
            .any(|line| line.contains("nested 15 deep, expected at most 14")),
        "{found:?}"
    );
    let fields: String = (0..257).map(|number| format!("f{number} = \"Any\"\n")).collect();
    let text = format!("name = \"a\"\n[events.e]\nid = [\"f0\"]\n[events.e.data]\n{fields}");
    assert!(problems(&text).iter().any(|line| line.contains("more than 256 fields")));
}

#[test]
fn values_are_held_to_their_declaration() {
    let network = good();
    let data = json(r#"{"block":{"hash":"0x1","number":5},"index":2,"tags":["a"],"rest":null}"#);
    let checked = network.check_event("moved", &data).unwrap();
    assert_eq!(checked.data_hash, data.hash().unwrap());
    assert_eq!(checked.id_hash, json(r#"["0x1",2]"#).hash().unwrap());
    // Only the id's fields are in the id.
    let other = network
        .check_event("moved", &json(r#"{"block":{"hash":"0x1","number":6},"index":2}"#))
        .unwrap();
    assert_eq!(other.id_hash, checked.id_hash);
    assert_ne!(other.data_hash, checked.data_hash);

    let wrong = json(r#"{"block":{"hash":1,"extra":true},"tags":["a",2],"index":null,"more":[]}"#);
    let said = network.check_event("moved", &wrong).unwrap_err().to_string();
    assert_eq!(
        said,
        "block.hash: found a number, expected String\n\
         block.number: found nothing, expected Number\n\
         block.extra: found a boolean, expected no such field; declared are: hash, number\n\
         index: found null, expected Number\n\
         tags[1]: found a number, expected String\n\
         more: found a list, expected no such field; declared are: block, index, rest, tags"
    );
    assert_eq!(
        network.check_inputs("record", &json("[]")).unwrap_err().to_string(),
        "found a list, expected an object"
    );
    assert!(network.check_inputs("record", &json(r#"{"sender":"a"}"#)).is_ok());
    // Left out is left out; null is something else.
    assert!(
        network
            .check_inputs("record", &json(r#"{"sender":"a","urgent":null}"#))
            .is_err()
    );
    assert!(network.check_outputs("record", &json(r#"{"row":"1"}"#)).is_ok());
    assert!(network.check_outputs("look", &json("{}")).is_ok());
    assert!(matches!(
        network.check_outputs("gone", &json("{}")),
        Err(Unfit::UnknownTask { .. })
    ));
    assert!(matches!(
        network.check_event("gone", &json("{}")),
        Err(Unfit::UnknownEvent { .. })
    ));
    // What fits may still be too deep to be a value.
    let mut deep = Value::Null;
    for _ in 0..20 {
        deep = Value::list([deep]);
    }
    let data = Value::object([
        ("block", json(r#"{"hash":"0x1","number":5}"#)),
        ("index", Value::from(2)),
        ("rest", deep),
    ]);
    assert!(matches!(network.check_event("moved", &data), Err(Unfit::Value(_))));
}

proptest! {
    /// P4: whatever the text, the answer is a manifest or problems with places in the text.
    #[test]
    fn p4_no_text_breaks_the_reader(at in 0..GOOD.len(), cut in 0..40usize, insert in "[\\[\\]{}=\"'a-z0-9.\n%é-]{0,6}") {
        let (mut from, mut to) = (at, (at + cut).min(GOOD.len()));
        while !GOOD.is_char_boundary(from) { from -= 1; }
        while !GOOD.is_char_boundary(to) { to += 1; }
        let text = format!("{}{insert}{}", &GOOD[..from], &GOOD[to..]);
        if let Err(problems) = Network::parse(&text, &["min_bond"]) {
            prop_assert!(!problems.0.is_empty());
            let lines = text.split('\n').count();
            for problem in problems.0 {
                prop_assert!((1..=lines).contains(&problem.line), "{}", problem);
                let line = text.split('\n').nth(problem.line - 1).unwrap_or_default();
                prop_assert!((1..=line.chars().count() + 2).contains(&problem.column), "{}", problem);
            }
        }
    }
}
