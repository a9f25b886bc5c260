//! Deploying through an agent: over the engine's socket and over SSH, within what a role may do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use surety_integrity::{
    agent::{Agent, Grants, Plans, Reason, Role, measure},
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

fn any_plan() -> Grants {
    Grants {
        plans: Plans::Any,
        ..Grants::default()
    }
}

fn denied(error: Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.reason == Reason::Denied)
}

/// Deployers are drawn from strangers: without the owner's word they run nothing, and with it the plan, so often.
#[tokio::test]
async fn only_what_the_hosts_owner_agreed_to_is_run() {
    let engine = Engine::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plan, image) = pulled(&registry, folder.path(), "").await;
    let agreed = Specification::new("", &plan, &image);
    let channel = |grants| Channel::local(Arc::new(Agent::new(Role::Deployer, engine.socket(), grants)));
    let of = |number: &str| Specification {
        deployment: number.into(),
        ..agreed.clone()
    };
    let strict = channel(Grants::default());
    assert!(denied(strict.deploy(&of("1"), &image).await.unwrap_err()));
    let deployer = channel(Grants {
        plans: Plans::Only(vec![agreed.clone()]),
        deployments: 2,
        ..Grants::default()
    });
    let other = Specification {
        command: vec!["sh".into(), "-c".into(), "sleep 9".into()],
        ..of("1")
    };
    assert!(denied(deployer.deploy(&other, &image).await.unwrap_err()));
    let docker = engine.docker().await.unwrap();
    assert!(
        docker
            .inspect_image(&Digest::to_string(&image.config_digest))
            .await
            .is_err(),
        "no stranger fills the disk"
    );
    deployer.deploy(&of("1"), &image).await.unwrap();
    // Another image in the name of the plan: its blobs are right, and nobody agreed to them.
    let another = images::Builder::new()
        .layer(images::busybox_layer().unwrap())
        .layer(images::Layer::new().file("miner", 0o755, b"x"))
        .build();
    let digest = registry.push("team/other", &another).await.unwrap();
    let text = format!("[container]\nimage = \"{}/team/other@{digest}\"\n", registry.host());
    let image_of = Container::parse(&text).unwrap().unwrap();
    let cache = Cache::open(folder.path(), 1 << 30).unwrap();
    let image_of = Puller::new(cache, Options::default()).pull(&image_of).await.unwrap();
    let smuggled = Specification {
        contents: image_of.contents(),
        diff_ids: image_of.configuration.diff_ids.clone(),
        ..of("3")
    };
    assert!(denied(deployer.deploy(&smuggled, &image_of).await.unwrap_err()));
    deployer.deploy(&of("2"), &image).await.unwrap();
    assert!(
        denied(deployer.deploy(&of("3"), &image).await.unwrap_err()),
        "the third of two"
    );
    deployer.deploy(&of("2"), &image).await.unwrap();
}

/// A monitor is a stranger to whatever else runs on the host: other containers' environments hold secrets.
#[tokio::test]
async fn what_is_no_deployment_is_nobodys_business() {
    use bollard::{
        models::ContainerCreateBody,
        query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions},
    };
    let engine = Engine::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plan, image) = pulled(&registry, folder.path(), "").await;
    let deployer = Channel::local(Arc::new(Agent::new(Role::Deployer, engine.socket(), any_plan())));
    let ours = deployer
        .deploy(&Specification::new("1", &plan, &image), &image)
        .await
        .unwrap();
    let docker = engine.docker().await.unwrap();
    let body = ContainerCreateBody {
        image: Some(image.config_digest.to_string()),
        cmd: Some(vec!["sleep".into(), "600".into()]),
        env: Some(vec!["PASSWORD=secret".into()]),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name("wallet").build();
    let theirs = docker.create_container(Some(options), body).await.unwrap().id;
    docker
        .start_container(&theirs, None::<StartContainerOptions>)
        .await
        .unwrap();
    let monitor = Channel::local(Arc::new(Agent::new(Role::Monitor, engine.socket(), Grants::default())));
    for name in ["wallet", theirs.as_str()] {
        let facts = monitor.facts(&request(name)).await.unwrap();
        let told = serde_json::to_string(&facts).unwrap();
        assert!(!told.contains("secret") && facts.kernel.is_none(), "{told}");
        let watch = measure::WatchRequest {
            container: name.into(),
            after: None,
            wait: 0,
        };
        assert!(monitor.watch(&watch).await.is_err());
    }
    assert!(monitor.facts(&request(&ours)).await.unwrap().kernel.is_some());
    // Given another name, a deployment's container is told to have it.
    let options = RenameContainerOptionsBuilder::new().name("hidden").build();
    docker.rename_container(&ours, options).await.unwrap();
    let facts = monitor.facts(&request(&ours)).await.unwrap();
    assert_eq!(facts.inspect.unwrap()["Name"], "/hidden");
    assert!(facts.events.events.iter().any(|event| event.action == "rename"));
}

/// What an operator runs alone: one document on the standard output, whatever is found.
#[tokio::test]
async fn measuring_alone_says_in_json_what_runs_and_what_was_done() {
    let engine = Engine::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plan, image) = pulled(&registry, folder.path(), "").await;
    let manifest = folder.path().join("service.toml");
    let text = format!(
        "[container]\nimage = \"{}/team/app@{}\"\nnetwork = \"none\"\nread_only = true\n",
        registry.host(),
        image.digest
    );
    std::fs::write(&manifest, text).unwrap();
    let surety = binary("surety").unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(&surety)
            .arg("integrity")
            .args(arguments)
            .args(["--cache".as_ref(), folder.path().as_os_str(), "--json".as_ref()])
            .output()
            .unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (
            output.status.code(),
            document,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    // What the host's owner agrees to, and what is deployed then.
    let agreed = folder.path().join("plan.json");
    let (code, _, error) = run(&[
        "specification".as_ref(),
        "--manifest".as_ref(),
        manifest.as_os_str(),
        "--out".as_ref(),
        agreed.as_os_str(),
    ]);
    assert_eq!(code, Some(0), "{error}");
    let agreed: Specification = serde_json::from_slice(&std::fs::read(agreed).unwrap()).unwrap();
    assert_eq!(agreed, Specification::new("", &plan, &image));
    let grants = Grants {
        plans: Plans::Only(vec![agreed]),
        ..Grants::default()
    };
    let deployer = Channel::local(Arc::new(Agent::new(Role::Deployer, engine.socket(), grants)));
    let id = deployer
        .deploy(&Specification::new("1", &plan, &image), &image)
        .await
        .unwrap();

    let socket = engine.socket();
    let measure = |more: &[&std::ffi::OsStr]| {
        let mut all: Vec<&std::ffi::OsStr> = vec!["measure".as_ref(), "--socket".as_ref()];
        all.extend([socket.as_os_str(), "--container".as_ref(), "surety-1".as_ref()]);
        all.extend(more);
        run(&all)
    };
    let (code, alone, error) = measure(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        alone["compared"].as_str().unwrap().starts_with("nothing but itself"),
        "{alone}"
    );
    assert_eq!(alone["measurement"]["identity"]["container"], id.as_str());
    assert_eq!(alone["measurement"]["evidence"]["events"]["complete"], true);
    let measurement = surety_integrity::measurement::Measurement::from_json(&alone["measurement"].to_string()).unwrap();
    assert_eq!(
        alone["root"],
        measurement.root().unwrap().to_string(),
        "the root is that of what is told"
    );
    let with_plan = ["--manifest".as_ref(), manifest.as_os_str()];
    let (code, planned, error) = measure(&with_plan);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(planned["compared"], "plan and image");
    assert_eq!(
        planned["measurement"]["identity"]["image"]["manifest"],
        image.digest.to_string()
    );
    assert!(planned["measurement"]["evidence"]["files"]["count"].as_u64() > Some(0));

    let socket = format!("unix://{}", socket.display());
    let status = std::process::Command::new("docker")
        .args(["--host", &socket, "exec", "surety-1", "true"])
        .status()
        .unwrap();
    assert!(status.success());
    let (code, drifted, error) = measure(&with_plan);
    assert_eq!(code, Some(22), "{error}");
    assert_eq!(drifted["root"], planned["root"], "what it is has not changed");
    assert_eq!(drifted["measurement"]["evidence"]["findings"][0]["kind"], "exec");
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"]["exit_code"], 22);

    let (code, none, error) = run(&[
        "measure".as_ref(),
        "--socket".as_ref(),
        "/nowhere/docker.sock".as_ref(),
        "--container".as_ref(),
        "surety-1".as_ref(),
    ]);
    assert_eq!((code, none), (Some(1), serde_json::Value::Null));
    assert!(
        error.contains("does not answer") && !error.contains("engine: engine:"),
        "{error}"
    );
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
    let deployer = Channel::local(Arc::new(Agent::new(Role::Deployer, engine.socket(), any_plan())));
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
    let fresh = Channel::local(Arc::new(Agent::new(Role::Deployer, empty.socket(), any_plan())));
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
