//! The engine of the harness is real, separate, and gone afterwards, however the test ends.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, process::Command};

use surety_testing::{
    engine::{Engine, EngineConfig, Storage},
    images,
};

/// Processes that name `folder` in their arguments.
fn processes_of(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

#[tokio::test]
async fn containers_run_and_nothing_is_left() {
    for storage in [Storage::Overlay2, Storage::Vfs] {
        let engine = Engine::start_with(EngineConfig {
            storage,
            ..EngineConfig::default()
        })
        .unwrap();
        let folder = engine.socket().parent().unwrap().to_owned();
        let image = images::busybox().unwrap();
        engine.load(&image).await.unwrap();
        let id = engine.run("one", &image, |_| {}).await.unwrap();
        let found = engine
            .docker()
            .await
            .unwrap()
            .inspect_container(&id, None)
            .await
            .unwrap();
        assert_eq!(found.image.as_deref(), Some(image.config_digest().as_str()));
        assert_eq!(found.state.unwrap().running, Some(true));
        assert!(!processes_of(&folder).is_empty());
        drop(engine);
        assert_eq!(processes_of(&folder), Vec::<String>::new());
        assert!(
            !fs::read_to_string("/proc/self/mounts")
                .unwrap()
                .contains(folder.to_str().unwrap())
        );
        assert!(!folder.exists());
    }
}

async fn pid(engine: &Engine, id: &str) -> Option<i64> {
    engine
        .docker()
        .await
        .unwrap()
        .inspect_container(id, None)
        .await
        .unwrap()
        .state
        .unwrap()
        .pid
}

#[tokio::test]
async fn containers_outlive_a_restarted_engine_if_wanted() {
    let mut engine = Engine::start_with(EngineConfig {
        live_restore: true,
        ..EngineConfig::default()
    })
    .unwrap();
    let image = images::busybox().unwrap();
    engine.load(&image).await.unwrap();
    let id = engine.run("one", &image, |_| {}).await.unwrap();
    let before = pid(&engine, &id).await;
    engine.restart().unwrap();
    assert_eq!(pid(&engine, &id).await, before);
    engine.kill().unwrap();
    assert_eq!(pid(&engine, &id).await, before);
    let folder = engine.socket().parent().unwrap().to_owned();
    drop(engine);
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(
        Command::new("kill")
            .args(["-0", &before.unwrap().to_string()])
            .status()
            .unwrap()
            .code(),
        Some(1)
    );
}
