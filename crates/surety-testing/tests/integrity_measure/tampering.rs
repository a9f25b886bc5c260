//! Ways to change a container: each is found, and nothing before it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use surety_integrity::finding::Kind;
use surety_testing::engine::Engine;

use crate::setting::{Outsider, Subject, body, explain, image, kinds};

type Tamper = fn(&mut Subject) -> Result<Option<Outsider>>;

struct Row {
    name: &'static str,
    tamper: Tamper,
    found: &'static [Kind],
}

macro_rules! rows {
    ($($name:literal => [$($kind:ident),+] $tamper:expr;)+) => {
        &[$(Row { name: $name, tamper: $tamper, found: &[$(Kind::$kind),+] }),+]
    };
}

const SHELL: &[&str] = &["/bin/busybox", "sh", "-c", "sleep 20"];

const ROWS: &[Row] = rows! {
    "exec-shell" => [Exec, Process] |it| {
        let exec = it.send("POST", &format!("/containers/{}/exec", it.id), &json!({ "Cmd": ["sh", "-c", "sleep 20"] }))?;
        it.send("POST", &format!("/exec/{}/start", exec["Id"].as_str().unwrap_or_default()), &json!({ "Detach": true }))?;
        sleep(Duration::from_millis(300));
        Ok(None)
    };
    "exec-and-gone" => [Exec] |it| it.exec(&["true"]).map(|()| None);
    "exec-created-never-started" => [Exec] |it| {
        it.send("POST", &format!("/containers/{}/exec", it.id), &json!({ "Cmd": ["true"] }))?;
        Ok(None)
    };
    "exec-privileged-as-root" => [Exec] |it| {
        let exec = it.send("POST", &format!("/containers/{}/exec", it.id), &json!({ "Cmd": ["true"], "Privileged": true, "User": "0" }))?;
        // Some machines may not give that much; that it was tried is told all the same.
        drop(it.send("POST", &format!("/exec/{}/start", exec["Id"].as_str().unwrap_or_default()), &json!({ "Detach": true })));
        Ok(None)
    };
    "binary-by-copy" => [Copy, File] |it| it.copy("/bin", "sleep", 0o755, b"#!/bin/sh\nexec /bin/busybox sleep 1\n").map(|()| None);
    "new-file-by-copy" => [Copy, File] |it| it.copy("/etc", "more.conf", 0o644, b"x").map(|()| None);
    "copy-into-writable" => [Copy] |it| it.copy("/data", "more", 0o644, b"x").map(|()| None);
    "config-changed" => [File] |it| Ok(fs::write(it.root("/etc/service.conf")?, "mode=thief!\n").map(|()| None)?);
    "config-swapped-with-times" => [File] |it| {
        let with = tempfile::NamedTempFile::new()?;
        fs::write(with.path(), "mode=thieve\n")?;
        it.tamper("swap", &["--path", "/etc/service.conf", "--with", with.path().to_str().unwrap_or_default()])?;
        Ok(None)
    };
    "library-swapped-with-times" => [File] |it| {
        let with = tempfile::NamedTempFile::new()?;
        fs::write(with.path(), "librarx")?;
        it.tamper("swap", &["--path", "/lib/libservice.so", "--with", with.path().to_str().unwrap_or_default()])?;
        Ok(None)
    };
    "binary-swapped-with-times" => [File] |it| {
        it.tamper("swap", &["--path", "/bin/busybox", "--with", "/bin/true"])?;
        Ok(None)
    };
    "file-in-the-upper-folder" => [File] |it| {
        let inspect = it.inspect()?;
        let upper = inspect["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap_or_default().to_owned();
        fs::write(Path::new(&upper).join("implant"), "x")?;
        Ok(None)
    };
    "file-deleted" => [File] |it| Ok(fs::remove_file(it.root("/etc/service.conf")?).map(|()| None)?);
    "folder-deleted" => [File] |it| Ok(fs::remove_dir_all(it.root("/lib")?).map(|()| None)?);
    "set-user-id" => [File] |it| Ok(fs::set_permissions(it.root("/bin/busybox")?, fs::Permissions::from_mode(0o4755)).map(|()| None)?);
    "owner-changed" => [File] |it| Ok(std::os::unix::fs::chown(it.root("/etc/service.conf")?, Some(1_000), None).map(|()| None)?);
    "link-turned" => [File] |it| {
        let path = it.root("/bin/cat")?;
        fs::remove_file(&path)?;
        Ok(std::os::unix::fs::symlink("/tmp/cat", path).map(|()| None)?)
    };
    "program-dropped-and-run" => [Process, Mapping] |it| {
        fs::copy("/bin/busybox", it.root("/tmp/busybox2")?)?;
        let mut bytes = fs::read(it.root("/tmp/busybox2")?)?;
        bytes.push(0);
        fs::write(it.root("/tmp/busybox2")?, bytes)?;
        it.enter(&["-a"], &["/tmp/busybox2", "sleep", "20"]).map(Some)
    };
    "program-run-and-deleted" => [Process, Mapping] |it| {
        fs::copy("/bin/busybox", it.root("/tmp/busybox-gone")?)?;
        let outsider = it.enter(&["-a"], &["/tmp/busybox-gone", "sleep", "20"])?;
        fs::remove_file(it.root("/tmp/busybox-gone")?)?;
        Ok(Some(outsider))
    };
    "program-from-memory" => [Process, Mapping] |it| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tamper"))
            .args(["memfd", "--pid", &it.pid()?.to_string(), "/bin/busybox", "sleep", "5"])
            .spawn()?;
        sleep(Duration::from_millis(700));
        std::thread::spawn(move || child.wait());
        Ok(None)
    };
    "entered-all-namespaces" => [Process] |it| it.enter(&["-a"], SHELL).map(Some);
    "entered-mount-namespace" => [Process] |it| it.enter(&["-m"], SHELL).map(Some);
    "entered-pid-namespace" => [Process] |it| it.enter(&["-p"], SHELL).map(Some);
    "entered-root-folder" => [Process] |it| {
        let root = format!("-r/proc/{}/root", it.pid()?);
        it.enter(&[&root], SHELL).map(Some)
    };
    "entered-and-orphaned" => [Process] |it| it.enter(&["-a"], &["/bin/busybox", "sh", "-c", "(sleep 20) & exit 0"]).map(Some);
    "code-patched-by-debugger" => [Mapping] |it| it.tamper("patch", &["--how", "ptrace"]).map(|()| None);
    "code-patched-by-mem" => [Mapping] |it| it.tamper("patch", &["--how", "mem"]).map(|()| None);
    "anonymous-rwx" => [Anonymous] |it| it.tamper("inject", &["rwx"]).map(|()| None);
    "anonymous-executable" => [Anonymous] |it| it.tamper("inject", &["rx"]).map(|()| None);
    "code-made-writable" => [Anonymous] |it| it.tamper("inject", &["wx"]).map(|()| None);
    "debugger-attached" => [Tracer] |it| {
        let child = Command::new(env!("CARGO_BIN_EXE_tamper"))
            .args(["trace", "--pid", &it.pid()?.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        sleep(Duration::from_millis(300));
        Ok(Some(Outsider::of(child)))
    };
    "replaced-under-its-name" => [Container] |it| {
        let body = body(&it.image, &it.plan);
        it.send("DELETE", &format!("/containers/{}?force=true", it.id), &Value::Null)?;
        let id = it.create(&it.name, &body)?;
        it.post(&format!("/containers/{id}/start"))?;
        Ok(None)
    };
    "removed" => [Container] |it| it.send("DELETE", &format!("/containers/{}?force=true", it.id), &Value::Null).map(|_| None);
    "renamed" => [Container] |it| it.post(&format!("/containers/{}/rename?name={}-old", it.id, it.name)).map(|_| None);
    "renamed-and-back" => [Container] |it| {
        it.post(&format!("/containers/{}/rename?name={}-x", it.id, it.name))?;
        it.post(&format!("/containers/{}/rename?name={}", it.id, it.name)).map(|_| None)
    };
    "resources-updated" => [Identity] |it| {
        it.send("POST", &format!("/containers/{}/update", it.id), &json!({ "CpuShares": 2 })).map(|_| None)
    };
    "restart-policy-updated" => [Identity] |it| {
        it.send("POST", &format!("/containers/{}/update", it.id), &json!({ "RestartPolicy": { "Name": "no" } })).map(|_| None)
    };
    "paused" => [Restart] |it| it.post(&format!("/containers/{}/pause", it.id)).map(|_| None);
    "paused-and-back" => [Restart] |it| {
        it.post(&format!("/containers/{}/pause", it.id))?;
        it.post(&format!("/containers/{}/unpause", it.id)).map(|_| None)
    };
    "frozen-behind-the-engine" => [Engine] |it| {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", it.pid()?))?;
        let line = groups.lines().find(|line| line.contains(":freezer:")).or_else(|| groups.lines().next());
        let path = line.and_then(|line| line.rsplit(':').next()).unwrap_or_default();
        let old = format!("/sys/fs/cgroup/freezer{path}/freezer.state");
        if Path::new(&old).exists() { fs::write(old, "FROZEN")? } else { fs::write(format!("/sys/fs/cgroup{path}/cgroup.freeze"), "1")? }
        sleep(Duration::from_millis(200));
        Ok(None)
    };
    "restarted-by-hand" => [Restart] |it| it.post(&format!("/containers/{}/restart?t=1", it.id)).map(|_| None);
    "stopped-by-hand" => [Restart] |it| it.post(&format!("/containers/{}/stop?t=1", it.id)).map(|_| None);
    "killed-and-started-by-hand" => [Restart] |it| {
        it.post(&format!("/containers/{}/kill", it.id))?;
        sleep(Duration::from_millis(500));
        it.post(&format!("/containers/{}/start", it.id)).map(|_| None)
    };
    "mounted-over-behind-the-engine" => [Engine] |it| {
        let status = Command::new("nsenter")
            .args(["-t", &it.pid()?.to_string(), "-m", "--", "/bin/busybox", "mount", "-t", "tmpfs", "none", "/lib"])
            .status()?;
        ensure!(status.success());
        Ok(None)
    };
};

/// Name, what is found, and what is changed in the engine's request.
type Recreated = (&'static str, Kind, fn(&mut Value));

/// Changes before the container is made: what an insider gets who recreates it and has the monitors told its id.
const RECREATED: &[Recreated] = &[
    ("environment-added", Kind::Identity, |body| {
        body["Env"] = json!(["PATH=/bin", "MODE=thief"])
    }),
    ("preload-added", Kind::Identity, |body| {
        body["Env"] = json!(["PATH=/bin", "MODE=honest", "LD_PRELOAD=/tmp/x.so"])
    }),
    ("privileged", Kind::Identity, |body| {
        body["HostConfig"]["Privileged"] = json!(true)
    }),
    ("capability-added", Kind::Identity, |body| {
        body["HostConfig"]["CapAdd"] = json!(["NET_ADMIN"])
    }),
    ("unconfined", Kind::Identity, |body| {
        body["HostConfig"]["SecurityOpt"] = json!(["seccomp=unconfined"])
    }),
    ("paths-unmasked", Kind::Identity, |body| {
        body["HostConfig"]["MaskedPaths"] = json!([])
    }),
    ("bind-added", Kind::Identity, |body| {
        body["HostConfig"]["Binds"] = json!(["/tmp:/host"])
    }),
    ("tmpfs-added", Kind::Identity, |body| {
        body["HostConfig"]["Tmpfs"] = json!({ "/lib": "" })
    }),
    ("device-added", Kind::Identity, |body| {
        body["HostConfig"]["Devices"] =
            json!([{ "PathOnHost": "/dev/null", "PathInContainer": "/dev/zero2", "CgroupPermissions": "rwm" }]);
    }),
    ("network-of-the-host", Kind::Identity, |body| {
        body["HostConfig"]["NetworkMode"] = json!("host")
    }),
    ("pids-of-the-host", Kind::Identity, |body| {
        body["HostConfig"]["PidMode"] = json!("host")
    }),
    ("ipc-of-the-host", Kind::Identity, |body| {
        body["HostConfig"]["IpcMode"] = json!("host")
    }),
    ("user-changed", Kind::Identity, |body| body["User"] = json!("0:1")),
    ("entry-point-changed", Kind::Identity, |body| {
        body["Entrypoint"] = json!(["/bin/busybox", "env"])
    }),
    ("command-changed", Kind::Identity, |body| {
        body["Cmd"] = json!(["sh", "-c", "touch /data/count; sleep 1000"])
    }),
    ("working-folder-changed", Kind::Identity, |body| {
        body["WorkingDir"] = json!("/tmp")
    }),
    ("restart-policy-dropped", Kind::Identity, |body| {
        body["HostConfig"]["RestartPolicy"] = json!({ "Name": "no" })
    }),
    ("host-name-added", Kind::Identity, |body| {
        body["HostConfig"]["ExtraHosts"] = json!(["bank.example:10.0.0.1"])
    }),
    ("input-kept-open", Kind::Identity, |body| {
        body["OpenStdin"] = json!(true)
    }),
    ("limit-removed", Kind::Identity, |body| {
        body["HostConfig"]["Ulimits"] = json!([{ "Name": "core", "Soft": -1, "Hard": -1 }])
    }),
];

#[tokio::test]
async fn p6_what_is_done_to_a_running_container_is_found() {
    let engine = Engine::start().unwrap();
    let image = image();
    let only = std::env::var("ROW").ok();
    let mut missed = String::new();
    for row in ROWS
        .iter()
        .filter(|row| only.as_deref().is_none_or(|only| row.name == only))
    {
        let mut subject = Subject::start(&engine, row.name, &image, "", |_| {}).await.unwrap();
        subject.up().await.unwrap();
        let before = subject.kinds().await.unwrap();
        assert!(
            before.is_empty(),
            "{}: found before: {before:?}{}",
            row.name,
            explain(&subject).await
        );
        let outsider = (row.tamper)(&mut subject).unwrap_or_else(|error| panic!("{}: {error:#}", row.name));
        let found = subject.kinds().await.unwrap();
        if !row.found.iter().all(|kind| found.contains(kind)) {
            missed += &format!(
                "\n{}: expected {:?}, found {found:?}{}",
                row.name,
                row.found,
                explain(&subject).await
            );
        }
        drop(outsider);
        drop(subject.post(&format!("/containers/{}/unpause", subject.id)));
        drop(subject.send(
            "DELETE",
            &format!("/containers/{}?force=true", subject.id),
            &Value::Null,
        ));
    }
    assert!(missed.is_empty(), "{missed}");
}

#[tokio::test]
async fn p6_a_container_made_otherwise_is_found() {
    let engine = Engine::start().unwrap();
    let image = image();
    let mut missed = String::new();
    for (name, kind, adjust) in RECREATED {
        let subject = Subject::start(&engine, name, &image, "", adjust)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        // Not all of them run the service.
        sleep(Duration::from_millis(300));
        match kinds(subject.measure().await) {
            Ok(found) if found.contains(kind) => {}
            other => {
                missed += &format!(
                    "\n{name}: expected {kind:?}, found {other:?}{}",
                    explain(&subject).await
                )
            }
        }
        subject
            .send(
                "DELETE",
                &format!("/containers/{}?force=true", subject.id),
                &Value::Null,
            )
            .unwrap();
    }
    assert!(missed.is_empty(), "{missed}");
}

/// The same name, tag and plan, but the image is another one: layers and files tell.
#[tokio::test]
async fn p6_another_image_is_found() {
    let engine = Engine::start().unwrap();
    let honest = image();
    let other = surety_testing::images::Builder::new()
        .layer(surety_testing::images::busybox_layer().unwrap())
        .layer(
            surety_testing::images::Layer::new()
                .file("etc/service.conf", 0o644, b"mode=other!\n")
                .file("lib/libservice.so", 0o644, b"library"),
        )
        .environment(&["PATH=/bin", "MODE=honest"])
        .command(&["sh", "-c", crate::setting::SERVICE])
        .build();
    engine.load(&other).await.unwrap();
    let subject = Subject::start(&engine, "other", &honest, "", |body| {
        body["Image"] = json!(other.config_digest())
    })
    .await
    .unwrap();
    subject.up().await.unwrap();
    let found = subject.kinds().await.unwrap();
    assert!(
        found.contains(&Kind::Identity) && found.contains(&Kind::File),
        "{found:?}"
    );
}

/// A container that was committed with its changes and run again has another id and other layers.
#[tokio::test]
async fn p6_a_committed_container_is_found() {
    let engine = Engine::start().unwrap();
    let image = image();
    let subject = Subject::start(&engine, "one", &image, "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let committed = subject
        .post(&format!("/commit?container={}&pause=false", subject.id))
        .unwrap();
    let mut body = body(&image, &subject.plan);
    body["Image"] = committed["Id"].clone();
    subject
        .send(
            "DELETE",
            &format!("/containers/{}?force=true", subject.id),
            &Value::Null,
        )
        .unwrap();
    let mut again = Subject {
        id: subject.create("one", &body).unwrap(),
        ..subject
    };
    again.post(&format!("/containers/{}/start", again.id)).unwrap();
    again.monitor = again.another_monitor();
    again.up().await.unwrap();
    assert!(
        again.kinds().await.unwrap().contains(&Kind::Identity),
        "{}",
        explain(&again).await
    );
}

/// The engine's own files are changed while it is down: it believes them, the kernel does not.
#[tokio::test]
async fn p6_engine_files_changed_behind_its_back_are_found() {
    let mut engine = Engine::start().unwrap();
    let image = image();
    let subject = Subject::start(&engine, "one", &image, "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    assert_eq!(subject.kinds().await.unwrap(), [], "{}", explain(&subject).await);
    let path = engine
        .data_root()
        .join("containers")
        .join(&subject.id)
        .join("config.v2.json");
    let changed = fs::read_to_string(&path).unwrap().replace("MODE=honest", "MODE=thieve");
    fs::write(&path, &changed).unwrap();
    engine.kill().unwrap();
    fs::write(&path, &changed).unwrap();
    engine.restart().unwrap();
    for _ in 0..50 {
        if subject.pid().is_ok() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let found = subject.kinds().await.unwrap();
    assert!(
        found.contains(&Kind::Identity) || found.contains(&Kind::Environment),
        "{found:?}{}",
        explain(&subject).await
    );
}

/// Below the overlay, in the image's own layer, which all its containers share: the engine's list of changes is empty.
#[tokio::test]
async fn p6_a_file_changed_in_the_layer_is_found() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    assert_eq!(subject.kinds().await.unwrap(), []);
    let inspect = subject.inspect().unwrap();
    let lower = inspect["GraphDriver"]["Data"]["LowerDir"].as_str().unwrap();
    let folder = lower
        .split(':')
        .find(|folder| Path::new(folder).join("etc/service.conf").exists())
        .unwrap();
    fs::write(Path::new(folder).join("etc/service.conf"), "mode=below!\n").unwrap();
    assert_eq!(
        subject.kinds().await.unwrap(),
        [Kind::File],
        "{}",
        explain(&subject).await
    );
}
