//! Translations on disk: used when they are whole and this user's, and made again otherwise.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use support::{
    compare::{INPUT, preimages},
    generate::{Source, program},
};
use surety_engine::{Codes, Kind};
use surety_machine::{Machine, Program, keccak256};

fn check(codes: &Codes, program: &Program) {
    let mut run = codes.run(program, keccak256(INPUT)).unwrap();
    run.run(10_000, &mut preimages()).unwrap();
    let mut reference = Machine::new(program, keccak256(INPUT));
    reference.run(10_000, &mut preimages()).unwrap();
    assert_eq!(run.state_root(), reference.state_root());
}

fn file(directory: &std::path::Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_translation_is_kept_and_used() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("engine");
    let program = program(&mut Source::new(b"kept"));
    check(&Codes::new(Kind::Translated, Some(directory.clone())), &program);
    let path = file(&directory);
    let about = fs::metadata(&path).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    // Used: the file stays the same one.
    let modified = about.modified().unwrap();
    check(&Codes::new(Kind::Translated, Some(directory.clone())), &program);
    assert_eq!(fs::metadata(file(&directory)).unwrap().modified().unwrap(), modified);
}

#[test]
fn p4_damaged_translations_are_made_again() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().to_path_buf();
    let program = program(&mut Source::new(b"damaged"));
    let codes = || Codes::new(Kind::Translated, Some(directory.clone()));
    check(&codes(), &program);
    let path = file(&directory);
    let good = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = vec![vec![], good[..good.len() - 1].to_vec(), [&good[..], &[0]].concat()];
    for at in (0..good.len()).step_by(good.len() / 97 + 1).chain(0..96) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        damaged.push(bytes);
    }
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        check(&codes(), &program);
        // Written again as it should be.
        assert_eq!(fs::read(&path).unwrap(), good);
    }
}

#[test]
fn what_others_can_write_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().to_path_buf();
    let program = program(&mut Source::new(b"others"));
    let codes = || Codes::new(Kind::Translated, Some(directory.clone()));
    check(&codes(), &program);
    let path = file(&directory);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    check(&codes(), &program);
    let after = fs::metadata(file(&directory)).unwrap();
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
    assert!(after.modified().unwrap() >= before);
    // A link to elsewhere is not followed.
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    check(&codes(), &program);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().to_path_buf();
    let program = program(&mut Source::new(b"no file"));
    let codes = move || Codes::new(Kind::Translated, Some(directory.clone()));
    check(&codes(), &program);
    let path = file(home.path());
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        check(&codes(), &program);
        done.send(()).unwrap();
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_cache_that_cannot_be_written_is_none() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    let program = program(&mut Source::new(b"none"));
    check(&Codes::new(Kind::Translated, Some(file.join("engine"))), &program);
}

/// What comes out of the translator, so that whoever changes it gives its files another revision
/// (`cache::REVISION`): old ones would be run.
#[test]
fn the_revision_goes_with_the_code() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().to_path_buf();
    let code = program(&mut Source::new(b"a program of every kind of instruction"));
    check(&Codes::new(Kind::Translated, Some(directory.clone())), &code);
    let bytes = fs::read(file(&directory)).unwrap();
    let revision = u32::from_le_bytes(bytes[16..20].try_into().unwrap());
    let digest: String = bytes[52..60].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((revision, digest.as_str()), (3, "f0e0ec336b28600f"));
}
