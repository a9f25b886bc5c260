//! Deploying through an agent: over the engine's socket and over SSH, within what a role may do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use surety_integrity::{
    agent::{Agent, Grants, Reason, Role, measure},
    channel::{Channel, Error, Identity, ssh_fingerprint},
    deploy::Specification,
    image::{Cache, Digest, Image, Options, Puller},
};
use surety_protocol::manifest::container::Container;
use surety_testing::{devnet::binary, engine::Engine, images, registry::OciRegistry, sshd::Sshd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Pulls busybox for a plan, through a real registry.
async fn pulled(registry: &OciRegistry, folder: &std::path::Path, more: &str) -> (Container, Image) {
    let ours = images::busybox().unwrap();
    let digest = registry.push("team/app", &ours).await.unwrap();
    let text = format!(
        "[container]\nimage = \"{}/team/app@{digest}\"\nnetwork = \"none\"\nread_only = true\n{more}",
        registry.host()
    );
    let plan = Container::parse(&text).unwrap().unwrap();
    let image = Puller::new(Cache::open(folder, 1 << 30).unwrap(), Options::default())
        .pull(&plan)
        .await
        .unwrap();
    (plan, image)
}

fn request(container: &str) -> measure::Request {
    measure::Request {
        container: container.into(),
        after: None,
        memory: false,
        files: None,
    }
}

#[tokio::test]
async fn a_plan_is_deployed_once_and_nothing_else_is_replaced() {
    let engine = Engine::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plan, image) = pulled(&registry, folder.path(), "[container.capabilities]\ndrop = [\"ALL\"]\n").await;
    let deployer = Channel::local(Arc::new(Agent::new(Role::Deployer, engine.socket(), Grants::default())));
    let specification = Specification::new("1", &plan, &image);
    let id = deployer.deploy(&specification, &image).await.unwrap();
    assert_eq!(deployer.deploy(&specification, &image).await.unwrap(), id);
    let found = engine
        .docker()
        .await
        .unwrap()
        .inspect_container("surety-1", None)
        .await
        .unwrap();
    assert_eq!(found.id.as_ref(), Some(&id));
    assert_eq!(found.state.unwrap().running, Some(true));
    let host = found.host_config.unwrap();
    assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".into()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".into()]));
    let other = Specification {
        environment: [("A".into(), "2".into())].into(),
        ..specification.clone()
    };
    match deployer.deploy(&other, &image).await.unwrap_err() {
        Error::Refused(refusal) => assert_eq!(refusal.reason, Reason::Conflict, "{refusal}"),
        error => panic!("{error}"),
    }
    // A role that looks may not deploy, and what the owner did not grant nobody gets.
    let monitor = Channel::local(Arc::new(Agent::new(Role::Monitor, engine.socket(), Grants::default())));
    let denied = |error: Error| matches!(error, Error::Refused(refusal) if refusal.reason == Reason::Denied);
    assert!(denied(monitor.deploy(&specification, &image).await.unwrap_err()));
    assert!(monitor.facts(&request(&id)).await.unwrap().inspect.is_some());
    let two = Specification {
        deployment: "2".into(),
        ..specification.clone()
    };
    for wanted in [
        Specification {
            network: "host".into(),
            ..two.clone()
        },
        Specification {
            capabilities_added: vec!["SYS_ADMIN".into()],
            ..two.clone()
        },
        Specification {
            mounts: vec![surety_integrity::deploy::MountPoint {
                kind: "bind".into(),
                source: "/etc".into(),
                target: "/mnt".into(),
                read_only: true,
            }],
            ..two.clone()
        },
    ] {
        assert!(denied(deployer.deploy(&wanted, &image).await.unwrap_err()));
    }
    // A blob that changed in the cache does not reach the engine.
    let empty = Engine::start().unwrap();
    let layer = &image.layers[0].path;
    let mut bytes = std::fs::read(layer).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(layer, bytes).unwrap();
    let fresh = Channel::local(Arc::new(Agent::new(Role::Deployer, empty.socket(), Grants::default())));
    assert!(matches!(fresh.deploy(&two, &image).await.unwrap_err(), Error::Image(_)));
    assert!(
        empty
            .docker()
            .await
            .unwrap()
            .inspect_image(&Digest::to_string(&image.config_digest))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn over_ssh_one_command_answers_and_another_host_key_is_no_answer() {
    let engine = Engine::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plan, image) = pulled(&registry, folder.path(), "").await;
    let mut sshd = Sshd::start().unwrap();
    let agent = binary("integrity-agent").unwrap();
    let command = |role: &str| format!("{} {role} {}", agent.display(), engine.socket().display());
    let deployer = Identity::load(&sshd.allow("deployer", &command("deployer")).unwrap()).unwrap();
    let monitor = Identity::load(&sshd.allow("monitor", &command("monitor")).unwrap()).unwrap();
    let stranger = Identity::load(&sshd.stranger().unwrap()).unwrap();
    let pinned = ssh_fingerprint(&sshd.host_key().unwrap()).unwrap();
    let endpoint: surety_integrity::channel::Endpoint = sshd.endpoint().parse().unwrap();
    let channel = |identity: &Identity| Channel::ssh(endpoint.clone(), pinned, identity.clone()).unwrap();
    let specification = Specification::new("1", &plan, &image);
    let id = channel(&deployer)
        .deploy(&specification, &image)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", sshd.log()));
    let watching = channel(&monitor);
    assert!(watching.facts(&request(&id)).await.unwrap().inspect.is_some());
    let refused = watching.deploy(&specification, &image).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused(ref refusal) if refusal.reason == Reason::Denied),
        "{refused}"
    );
    // Who stops waiting for an answer leaves the agent nothing to do: it works at 16 requests at once.
    for _ in 0..40 {
        let waiting = measure::WatchRequest {
            container: id.clone(),
            after: Some(watching.facts(&request(&id)).await.unwrap().events.next),
            wait: 30_000,
        };
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, watching.watch(&waiting)).await.is_err());
    }
    assert!(watching.facts(&request(&id)).await.unwrap().inspect.is_some());
    let unknown = channel(&stranger).facts(&request(&id)).await.unwrap_err();
    assert!(matches!(unknown, Error::Unauthorized { .. }), "{unknown}");
    // A connection that broke is made again.
    sshd.restart().unwrap();
    let mut tries = 0;
    while let Err(error) = watching.facts(&request(&id)).await {
        tries += 1;
        assert!(error.retryable() && tries < 50, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sshd.change_host_key().unwrap();
    let found = ssh_fingerprint(&sshd.host_key().unwrap()).unwrap();
    match channel(&monitor).facts(&request(&id)).await.unwrap_err() {
        Error::HostKey { expected, found: shown } => assert_eq!((expected, shown), (pinned, found)),
        error => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_talks_nonsense_or_not_at_all_costs_no_more_than_patience() {
    let hello = br#"{"surety_agent":1,"role":"monitor"}"#;
    let frame = |kind: u8, id: u32, payload: &[u8]| {
        [
            &[kind][..],
            &id.to_be_bytes(),
            &(payload.len() as u32).to_be_bytes(),
            payload,
        ]
        .concat()
    };
    let greeting = frame(0, 0, hello);
    let with = |more: Vec<u8>| [greeting.clone(), more].concat();
    let cases = [
        ("garbage", b"Welcome to this host!\n".to_vec()),
        (
            "another version",
            frame(0, 0, br#"{"surety_agent":2,"role":"monitor"}"#),
        ),
        ("no hello", frame(5, 0, b"{}")),
        ("too long a frame", with([&[5][..], &[0; 4], &[0xff; 4]].concat())),
        ("no JSON", with(frame(5, 0, b"{"))),
        ("another answer", with(frame(5, 0, br#"{"events":{}}"#))),
        ("a second hello", with(greeting.clone())),
    ];
    for (what, bytes) in cases {
        let (ours, mut theirs) = duplex(1 << 16);
        let channel = Channel::over(ours);
        let asked = request("x");
        let asked = channel.facts(&asked);
        let (answer, ()) = tokio::join!(asked, async { theirs.write_all(&bytes).await.unwrap() });
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{what}: {error}");
    }
    // Silence, before and after the hello; the clock is the test's.
    for bytes in [Vec::new(), greeting.clone()] {
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(&bytes).await.unwrap();
        assert!(matches!(
            Channel::over(ours).facts(&request("x")).await.unwrap_err(),
            Error::Late(_)
        ));
    }
    // An answer without end.
    let (ours, theirs) = duplex(1 << 20);
    let (mut reader, mut writer) = tokio::io::split(theirs);
    let channel = Channel::over(ours);
    let endless = async {
        drop(writer.write_all(&greeting).await);
        // Until it was asked.
        let mut head = [0; 9];
        reader.read_exact(&mut head).await.unwrap();
        let part = frame(4, 0, &vec![b' '; 256 << 10]);
        while writer.write_all(&part).await.is_ok() {}
    };
    let asked = request("x");
    tokio::select! {
        answer = channel.facts(&asked) => assert!(matches!(answer.unwrap_err(), Error::Protocol(_))),
        () = endless => panic!("the channel closed without a word"),
    }
}
