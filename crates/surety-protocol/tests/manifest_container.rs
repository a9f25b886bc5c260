//! The container part of service.toml: what is read, everything that is refused and where, and the specification.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use surety_primitives::value::Value;
use surety_protocol::manifest::{
    Network,
    container::{
        Container, ExecPolicy, FilePolicy, MemoryPolicy, MountKind, NetworkMode, Policy, Port, Protocol, Restart, Watch,
    },
};

const DIGEST: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn full() -> String {
    format!(
        r#"
name = "sequencer"

[container]
image = "registry.example:5000/team/sequencer@sha256:{DIGEST}"
platform = "linux/arm/v7"
entrypoint = ["/sequencer"]
command = ["--port", "8080"]
user = "10001:10001"
working_dir = "/"
network = "bridge"
restart = "on-failure:3"
read_only = true
writable = ["/tmp", "/data"]
ports = ["9090/udp", "80:8080/tcp"]
signed_by = """
-----BEGIN PUBLIC KEY-----
MFkw
-----END PUBLIC KEY-----
"""

[container.environment]
RUST_LOG = "info"

[[container.mount]]
target = "/data"
kind = "volume"
source = "sequencer-data"

[[container.mount]]
target = "/cache"
kind = "tmpfs"
read_only = true

[container.resources]
memory_mib = 512
cpus = 1.5
pids = 100

[container.capabilities]
add = ["CAP_NET_ADMIN", "CHOWN"]
drop = ["ALL"]

[container.policy]
exec = "health"
memory = "jit"

[container.watch]
period = 3
epoch = 30
monitors = 4
unreachable_after = 7
reward = "0.01"
host_reward = "0.000000002"
"#
    )
}

fn good(text: &str) -> Container {
    Container::parse(text).unwrap().unwrap()
}

/// What is wrong with a container that has an image and these lines, a line each.
fn problems(lines: &str) -> Vec<String> {
    let text = format!("[container]\nimage = \"r.example/a@sha256:{DIGEST}\"\n{lines}");
    let problems = Container::parse(&text).expect_err(&text);
    problems.0.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_written_is_read() {
    let container = good(&full());
    assert_eq!(
        (container.image.registry.as_str(), container.image.repository.as_str()),
        ("registry.example:5000", "team/sequencer")
    );
    assert_eq!(container.platform.to_string(), "linux/arm/v7");
    assert_eq!(container.restart, Restart::OnFailure(Some(3)));
    assert_eq!(container.writable, ["/data", "/tmp"]);
    let tcp = Port {
        container: 8080,
        host: 80,
        protocol: Protocol::Tcp,
    };
    assert_eq!(container.ports.first(), Some(&tcp));
    let kinds: Vec<_> = container.mounts.iter().map(|mount| mount.kind).collect();
    assert_eq!(kinds, [MountKind::Tmpfs, MountKind::Volume]);
    assert_eq!(container.resources.cpus_milli, Some(1_500));
    assert_eq!(container.capabilities.add, ["CHOWN", "NET_ADMIN"]);
    assert_eq!(
        (container.policy.exec, container.policy.memory),
        (ExecPolicy::Health, MemoryPolicy::Jit)
    );
    assert_eq!(container.policy.files, FilePolicy::Strict);
    let watch = Watch {
        period: 3,
        epoch: 30,
        monitors: 4,
        unreachable_after: 7,
        reward: 10_000_000_000_000_000,
        host_reward: 2_000_000_000,
    };
    assert_eq!(container.watch, watch);
}

#[test]
fn what_is_left_out_is_the_images_or_the_default() {
    let container = good(&format!("[container]\nimage = \"localhost/a@sha256:{DIGEST}\""));
    assert_eq!((container.entrypoint, container.user), (None, None));
    assert_eq!(container.platform.to_string(), "linux/amd64");
    assert_eq!(
        (container.network, container.restart),
        (NetworkMode::Bridge, Restart::No)
    );
    assert_eq!(
        (container.policy, container.watch),
        (Policy::default(), Watch::default())
    );
}

#[test]
fn a_manifest_without_it_has_none() {
    assert_eq!(Container::parse("name = \"a\""), Ok(None));
}

#[test]
fn the_other_parts_leave_it_alone() {
    let network = Network::parse(&full(), Network::PROGRAM_KEYS).unwrap();
    assert!(network.is_empty());
}

#[test]
fn the_specification_is_the_same_however_it_is_written() {
    let image = format!("image = \"r.example/a@sha256:{DIGEST}\"");
    let one =
        format!("[container]\n{image}\nwritable = [\"/a\", \"/b\"]\ncapabilities = {{ drop = [\"ALL\", \"CHOWN\"] }}");
    let other = format!(
        "[container.capabilities]\ndrop = [\"CAP_CHOWN\", \"ALL\", \"ALL\"]\n[container.watch]\nepoch = 12\n[container]\nwritable = [\"/b\", \"/a\"]\n{image}"
    );
    assert_eq!(good(&one).specification_hash(), good(&other).specification_hash());
    let third = one.replace("/b", "/c");
    assert_ne!(good(&one).specification_hash(), good(&third).specification_hash());
}

#[test]
fn the_specification_says_what_the_image_decides() {
    let value = good(&format!("[container]\nimage = \"r.example/a@sha256:{DIGEST}\"")).to_value();
    let text = value.to_string();
    assert_eq!(Value::from_json(&text).unwrap(), value);
    assert!(text.contains("\"entrypoint\":null"), "{text}");
    assert!(text.contains("\"reward\":\"0\""), "{text}");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let found = problems(
        r#"platform = "Linux"
network = "none"
restart = "on-failure:0"
working_dir = "a/../b"
writable = ["/"]
ports = ["0/tcp", "8080/tcp"]
colour = "red"
[container.environment]
"A=B" = "1"
[[container.mount]]
target = "/x"
kind = "bind"
source = "x"
[[container.mount]]
target = "/y"
kind = "tmpfs"
source = "x"
[container.resources]
cpus = 0.0001
[container.policy]
memory = "none"
[container.watch]
period = 20
epoch = 10
monitors = 129
unreachable_after = 0
reward = "281475"
host_reward = "0.0000000001"
"#,
    );
    let expected = [
        "3:12: container.platform: ",
        "5:11: container.restart: ",
        "6:15: container.working_dir: ",
        "7:13: container.writable[0]: ",
        "8:9: container.ports: ",
        "8:10: container.ports[0]: ",
        "9:1: container.colour: ",
        "11:1: container.environment.A=B: ",
        "15:10: container.mount[0].source: ",
        "19:10: container.mount[1].source: ",
        "21:8: container.resources.cpus: ",
        "23:10: container.policy.memory: ",
        "25:10: container.watch.period: ",
        "27:12: container.watch.monitors: ",
        "28:21: container.watch.unreachable_after: ",
        "29:10: container.watch.reward: ",
        "30:15: container.watch.host_reward: ",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "found {found}, expected {expected}");
    }
}

#[test]
fn an_image_has_a_registry_and_a_digest_and_no_tag() {
    for image in [
        format!("busybox@sha256:{DIGEST}"),
        format!("library/busybox@sha256:{DIGEST}"),
        format!("r.example/a:1@sha256:{DIGEST}"),
        format!("r.example/A@sha256:{DIGEST}"),
        format!("r.example/a@sha512:{DIGEST}"),
        format!("r.example/a@sha256:{DIGEST}0"),
        format!("r.example//a@sha256:{DIGEST}"),
        format!("r.example/../a@sha256:{DIGEST}"),
        "r.example/a@sha256:AA".to_owned(),
        "r.example/a:latest".to_owned(),
    ] {
        let found = Container::parse(&format!("[container]\nimage = \"{image}\"")).expect_err(&image);
        assert_eq!(found.0.len(), 1, "{found}");
    }
    let missing = Container::parse("[container]").unwrap_err();
    assert_eq!(missing.0.first().unwrap().path, "container.image");
}

#[test]
fn mounts_have_different_targets() {
    let mount = "[[container.mount]]\ntarget = \"/x\"\nkind = \"tmpfs\"\n";
    assert_eq!(problems(&format!("{mount}{mount}")).len(), 1);
}

#[test]
fn a_port_is_published_once() {
    assert_eq!(problems("ports = [\"80:8080/tcp\", \"81:8080/tcp\"]").len(), 1);
}

proptest! {
    #[test]
    fn p4_no_text_makes_it_panic(text in "\\PC{0,200}", lines in proptest::collection::vec("[a-z_]{1,10} = [\\[{\"0-9a-z.,:/@]{1,20}", 0..8)) {
        let _ = Container::parse(&text);
        let _ = Container::parse(&format!("[container]\n{}", lines.join("\n")));
    }
}
