//! P4: what a host says is bounded before anything is made of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use surety_integrity::{
    agent::measure::{Events, Facts, Kernel, Mapping, MountPoint, Process, Request, WatchRequest},
    monitor::{Monitor, Source, Target},
};

#[derive(Debug)]
struct Host(Facts);

#[async_trait]
impl Source for Host {
    async fn facts(&self, _: &Request) -> Result<Facts, String> {
        Ok(self.0.clone())
    }

    async fn watch(&self, _: &WatchRequest) -> Result<Events, String> {
        Ok(Events::default())
    }
}

fn process(pid: u32, parent: u32) -> Process {
    Process {
        pid,
        parent,
        inner: pid,
        name: "app".into(),
        program: "/app".into(),
        file: None,
        tracer: 0,
        uid: 0,
        bounding: 0,
        seccomp: 2,
        in_pid_namespace: true,
        in_mount_namespace: true,
        in_cgroup: true,
        mappings: Vec::new(),
    }
}

fn facts() -> Facts {
    Facts {
        inspect: Some(json!({
            "Id": "a".repeat(64), "Name": "/surety-1",
            "State": { "Running": true, "Pid": 2, "Status": "running" },
        })),
        image: None,
        execs: Vec::new(),
        events: Events::default(),
        kernel: Some(Kernel {
            cgroups: Vec::new(),
            mounts: Vec::new(),
            environment: Vec::new(),
            host_namespaces: Vec::new(),
            frozen: None,
            processes: vec![process(2, 1)],
            tree: None,
        }),
        took: 0,
    }
}

async fn measured(facts: Facts) -> Result<(), String> {
    let target = Target {
        container: "surety-1".into(),
        ..Target::default()
    };
    let monitor = Monitor::new(Arc::new(Host(facts)), target);
    monitor.measure().await.map(drop).map_err(|error| error.why)
}

#[tokio::test]
async fn p4_a_host_that_tells_too_much_is_not_listened_to() {
    assert_eq!(measured(facts()).await, Ok(()));
    let with = |change: &dyn Fn(&mut Facts, &mut Kernel)| {
        let mut told = facts();
        let mut kernel = told.kernel.take().unwrap();
        change(&mut told, &mut kernel);
        told.kernel = Some(kernel);
        told
    };
    let mapping = Mapping {
        name: "/app".into(),
        permissions: "r-xp".into(),
        offset: 0,
        length: 4_096,
        file: None,
        differ: Vec::new(),
    };
    let mount = MountPoint {
        root: "/".into(),
        target: "/x".into(),
        options: String::new(),
        kind: "tmpfs".into(),
        source: String::new(),
        filesystem: String::new(),
    };
    // A chain of parents takes the square of its length.
    let processes = with(&|_, kernel| kernel.processes = (2..300_000).map(|pid| process(pid, pid - 1)).collect());
    let mappings = with(&|_, kernel| kernel.processes[0].mappings = vec![mapping.clone(); 100_000]);
    let mounts = with(&|_, kernel| kernel.mounts = vec![mount.clone(); 100_000]);
    let variables = with(&|_, kernel| kernel.environment = vec!["A=1".into(); 100_000]);
    let sessions = with(&|told, _| told.execs = vec![json!({}); 100_000]);
    let inspect = with(&|told, _| told.inspect = Some(json!({ "HostConfig": { "MaskedPaths": vec!["/x"; 100_000] } })));
    let deep = (0..100).fold(Value::Null, |inner, _| json!([inner, inner_list()]));
    let nested = with(&|told, _| told.inspect = Some(json!({ "Config": deep })));
    for (what, told) in [
        ("processes", processes),
        ("mappings", mappings),
        ("mounts", mounts),
        ("variables", variables),
        ("exec sessions", sessions),
        ("values", inspect),
        ("values", nested),
    ] {
        let why = measured(told).await.unwrap_err();
        assert!(why.contains(what), "{what}: {why}");
    }
}

fn inner_list() -> Value {
    json!(vec![0; 1_000])
}
