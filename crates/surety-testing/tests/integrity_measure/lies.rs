//! Engines that lie about one thing, or do not answer: found or unreachable, never intact, and never the end of the
//! monitor.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};
use surety_testing::engine::Engine;

use crate::setting::{Subject, explain, image, kinds};

type Alter = Arc<dyn Fn(&str, &mut Value) + Send + Sync>;

/// A socket in front of an engine that alters its answers. Ends with the process.
struct Liar {
    folder: tempfile::TempDir,
}

impl Liar {
    fn before(engine: &Path, alter: Alter) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let engine = engine.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), alter, engine) = (stream, alter.clone(), engine.clone()) else {
                    return;
                };
                std::thread::spawn(move || relay(stream, &engine, &alter));
            }
        });
        Self { folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

fn head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn relay(mut client: UnixStream, engine: &Path, alter: &Alter) -> Option<()> {
    let request = head(&mut client)?;
    let path = request.split(' ').nth(1)?.to_owned();
    let mut server = UnixStream::connect(engine).ok()?;
    if path.starts_with("/events") {
        server.write_all(request.as_bytes()).ok()?;
        std::io::copy(&mut server, &mut client).ok()?;
        return None;
    }
    // 1.0: not in chunks, and the end is the end.
    server
        .write_all(request.replace("HTTP/1.1", "HTTP/1.0").as_bytes())
        .ok()?;
    let answer = head(&mut server)?;
    let mut body = Vec::new();
    server.read_to_end(&mut body).ok()?;
    let mut value: Value = serde_json::from_slice(&body).ok()?;
    alter(&path, &mut value);
    let body = value.to_string();
    let status = answer.split("\r\n").next()?;
    write!(
        client,
        "{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        status.replace("1.0", "1.1"),
        body.len()
    )
    .ok()?;
    client.shutdown(Shutdown::Write).ok()
}

/// Fields of the inspect, and what is said instead, of a container that is as the plan says.
fn lies() -> Vec<(&'static str, Value)> {
    vec![
        ("/Id", json!("0".repeat(64))),
        ("/Id", json!(7)),
        ("/Name", json!("/another")),
        ("/State/Pid", json!(1)),
        ("/State/Pid", json!(0)),
        ("/State/Pid", json!(4_000_000_000_u64)),
        ("/State/Running", json!(false)),
        ("/State/Status", json!("paused")),
        ("/Path", json!("/bin/other")),
        ("/Args", json!([])),
        ("/Config/Env", json!(["PATH=/bin"])),
        ("/Config/Env", json!("PATH=/bin")),
        ("/Config/Cmd", json!(["sh"])),
        ("/Config/Entrypoint", json!(["/x"])),
        ("/Config/User", json!("1000")),
        ("/Config/WorkingDir", json!("/x")),
        ("/Config/OpenStdin", json!(true)),
        ("/Config/Tty", json!(true)),
        ("/Config/Healthcheck", json!({ "Test": ["CMD", "true"] })),
        ("/HostConfig/Privileged", json!(true)),
        ("/HostConfig/CapAdd", json!(["SYS_ADMIN"])),
        ("/HostConfig/CapDrop", json!(["ALL"])),
        ("/HostConfig/SecurityOpt", json!(["seccomp=unconfined"])),
        ("/HostConfig/ReadonlyRootfs", json!(true)),
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/PidMode", json!("host")),
        ("/HostConfig/IpcMode", json!("host")),
        ("/HostConfig/UTSMode", json!("host")),
        ("/HostConfig/UsernsMode", json!("host")),
        ("/HostConfig/CgroupParent", json!("/x")),
        ("/HostConfig/Sysctls", json!({ "net.ipv4.ip_forward": "1" })),
        ("/HostConfig/Runtime", json!("other")),
        ("/HostConfig/Ulimits", json!([{ "Name": "core", "Soft": 0, "Hard": 0 }])),
        (
            "/HostConfig/Devices",
            json!([{ "PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem" }]),
        ),
        ("/HostConfig/Tmpfs", json!({ "/lib": "" })),
        ("/HostConfig/MaskedPaths", json!([])),
        ("/HostConfig/ReadonlyPaths", json!(null)),
        ("/HostConfig/PortBindings", json!({ "80/tcp": [{ "HostPort": "80" }] })),
        ("/HostConfig/RestartPolicy", json!({ "Name": "no" })),
        ("/HostConfig/Memory", json!(1 << 30)),
        ("/HostConfig/PidsLimit", json!(5)),
        ("/HostConfig", json!(null)),
        (
            "/Mounts",
            json!([{ "Type": "bind", "Source": "/", "Destination": "/host", "RW": true }]),
        ),
        ("/NetworkSettings/Networks", json!({ "bridge": {} })),
        ("/GraphDriver/Data/UpperDir", json!("/tmp/other")),
        ("/HostsPath", json!("/tmp/other")),
        ("/State", json!(null)),
        ("/Config", json!([])),
    ]
}

#[tokio::test]
async fn p6_one_field_of_the_inspect_that_is_a_lie_is_found() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let honest = Liar::before(&subject.socket, Arc::new(|_, _| {}));
    assert_eq!(
        kinds(subject.monitor_at(&honest.socket()).measure().await).unwrap(),
        [],
        "{}",
        explain(&subject).await
    );
    let mut believed = String::new();
    for (field, lie) in lies() {
        let said = lie.clone();
        let liar = Liar::before(
            &subject.socket,
            Arc::new(move |path, value| {
                // Engines leave out what is empty: the parent is always there.
                let (parent, name) = field.rsplit_once('/').unwrap_or_default();
                if path.starts_with("/containers/")
                    && let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut)
                {
                    parent.insert(name.to_owned(), lie.clone());
                }
            }),
        );
        let monitor = subject.monitor_at(&liar.socket()).with_patience(Duration::from_secs(8));
        if let Ok(measurement) = monitor.measure().await
            && measurement.findings().is_empty()
        {
            believed += &format!("\n{field}: {said}");
        }
    }
    assert!(believed.is_empty(), "{believed}");
}

/// The image that the engine has is not the one: its layers are told otherwise.
#[tokio::test]
async fn p6_other_layers_are_found() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let liar = Liar::before(
        &subject.socket,
        Arc::new(|path, value| {
            if path.starts_with("/images/") {
                value["RootFS"]["Layers"] = json!(["sha256:00"]);
            }
        }),
    );
    let found = subject.monitor_at(&liar.socket()).measure().await.unwrap();
    assert_eq!(
        found.findings().first().map(|finding| finding.subject()),
        Some("image.layers")
    );
}

/// What the container is, told as what the plan says it should be: the kernel knows better.
#[tokio::test]
async fn p6_a_change_that_the_engine_hides_is_found() {
    type Adjust = fn(&mut Value);
    let rows: &[(&str, Adjust, Adjust)] = &[
        (
            "capability",
            |body| body["HostConfig"]["CapAdd"] = json!(["NET_ADMIN"]),
            |told| told["HostConfig"]["CapAdd"] = json!(null),
        ),
        (
            "bind",
            |body| body["HostConfig"]["Binds"] = json!(["/tmp:/host"]),
            |told| {
                told["HostConfig"]["Binds"] = json!(null);
                told["Mounts"] = json!([]);
            },
        ),
        (
            "preload",
            |body| body["Env"] = json!(["PATH=/bin", "MODE=honest", "LD_PRELOAD=/tmp/x.so"]),
            |told| {
                told["Config"]["Env"] = json!(["PATH=/bin", "MODE=honest"]);
            },
        ),
        (
            "network",
            |body| body["HostConfig"]["NetworkMode"] = json!("host"),
            |told| {
                told["HostConfig"]["NetworkMode"] = json!("none");
                told["NetworkSettings"]["Networks"] = json!({ "none": {} });
            },
        ),
        (
            "pids",
            |body| body["HostConfig"]["PidMode"] = json!("host"),
            |told| told["HostConfig"]["PidMode"] = json!(""),
        ),
    ];
    let engine = Engine::start().unwrap();
    let image = image();
    let mut believed = String::new();
    for (name, truth, told) in rows {
        let subject = Subject::start(&engine, name, &image, "", truth).await.unwrap();
        subject.up().await.unwrap();
        let told = *told;
        let liar = Liar::before(
            &subject.socket,
            Arc::new(move |path, value| {
                if path.starts_with("/containers/") {
                    told(value);
                }
            }),
        );
        match subject.monitor_at(&liar.socket()).measure().await {
            Ok(measurement) if measurement.findings().is_empty() => believed += &format!("\n{name}"),
            Ok(_) | Err(_) => {}
        }
    }
    assert!(believed.is_empty(), "{believed}");
}

/// An exec session that the engine keeps quiet about: the process is there.
#[tokio::test]
async fn p6_a_hidden_exec_session_is_found() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let exec = subject
        .send(
            "POST",
            &format!("/containers/{}/exec", subject.id),
            &json!({ "Cmd": ["sh", "-c", "sleep 20"] }),
        )
        .unwrap();
    subject
        .send(
            "POST",
            &format!("/exec/{}/start", exec["Id"].as_str().unwrap()),
            &json!({ "Detach": true }),
        )
        .unwrap();
    sleep(Duration::from_millis(300));
    let liar = Liar::before(
        &subject.socket,
        Arc::new(|path, value| {
            if path.starts_with("/containers/") {
                value["ExecIDs"] = json!(null);
            }
        }),
    );
    let found = kinds(subject.monitor_at(&liar.socket()).measure().await).unwrap();
    assert!(found.contains(&surety_integrity::finding::Kind::Process), "{found:?}");
}

/// Engines that do not answer as one: slow, silent, rude, endless, in nonsense.
#[tokio::test]
async fn an_engine_that_does_not_answer_is_unreachable() {
    let answers: &[(&str, &[u8], bool)] = &[
        ("closes", b"", false),
        ("silent", b"", true),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", true),
        (
            "half a body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Id\":",
            true,
        ),
        ("not http", b"\x00\x01\x02 hello\r\n\r\n", false),
        ("not json", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
        ("a list", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", false),
        ("nothing", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false),
        (
            "an error",
            b"HTTP/1.1 500 Oh\r\nContent-Length: 17\r\n\r\n{\"message\":\"no!\"}",
            false,
        ),
        (
            "a proxy's error",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
            false,
        ),
        (
            "more than it can be",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            true,
        ),
        ("deep", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[[[[[[[[[", false),
    ];
    for (name, bytes, keeps) in answers {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let (bytes, keeps) = (bytes.to_vec(), *keeps);
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                drop(head(&mut stream));
                drop(stream.write_all(&bytes));
                if keeps {
                    kept.push(stream);
                }
            }
        });
        let image = image();
        let monitor = surety_integrity::monitor::Monitor::new(
            Arc::new(surety_integrity::agent::measure::Measurer::new(folder.path().join("s"))),
            surety_integrity::monitor::Target {
                container: "0".repeat(64),
                plan: Some(Arc::new(crate::setting::plan(&image, ""))),
                ..Default::default()
            },
        )
        .with_patience(Duration::from_secs(1));
        let measured = monitor.measure().await;
        assert!(measured.is_err(), "{name}: {measured:?}");
    }
}

/// An answer without end is cut off.
#[tokio::test]
async fn an_endless_answer_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("s")).unwrap();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        drop(head(&mut stream));
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"));
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    let agent = surety_integrity::agent::measure::Measurer::new(folder.path().join("s"));
    let target = surety_integrity::monitor::Target {
        container: "0".repeat(64),
        ..Default::default()
    };
    let error = surety_integrity::monitor::Monitor::new(Arc::new(agent), target)
        .measure()
        .await
        .unwrap_err();
    assert!(error.why.contains("limit"), "{error}");
}
