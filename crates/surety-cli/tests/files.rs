//! Commands that need no chain; and the reference, which is generated.

mod common;

use common::{surety, surety_in};

/// `docs/spec/cli.md` is what the grammar says.
#[test]
fn the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/cli.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == surety_cli::markdown::reference(),
        "docs/spec/cli.md is out of date; run: cargo run -p surety-cli -- markdown > docs/spec/cli.md"
    );
}

#[test]
fn the_grammar_is_consistent() {
    use clap::CommandFactory;
    surety_cli::cli::Cli::command().debug_assert();
}

#[test]
fn no_flag_takes_a_secret() {
    let reference = surety_cli::markdown::reference();
    for word in ["--private-key", "--password ", "--mnemonic", "--secret"] {
        assert!(!reference.contains(word), "{word}");
    }
}

#[test]
fn a_service_is_made_and_its_manifest_checked() {
    let dir = tempfile::tempdir().expect("directory");
    let ran = surety_in(dir.path(), &["service", "init", "my-service", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let home = dir.path().join("my-service");
    assert!(home.join("surety/surety.h").is_file() && home.join("program.c").is_file());
    assert!(
        std::fs::read_to_string(home.join("contract.sol"))
            .expect("there")
            .contains("contract MyService is Service")
    );
    assert_eq!(surety_in(dir.path(), &["service", "init", "my-service"]).code, 1);
    assert_eq!(surety_in(dir.path(), &["service", "init", "../x"]).code, 2);
    // Not built yet: the next step is to build.
    let ran = surety_in(&home, &["service", "register", "--json"]);
    assert_eq!(
        (ran.code, ran.error()["next"].as_str()),
        (1, Some("surety service build"))
    );
    // With a program in its place, and the wrong methods.
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../programs/elf/echo.elf"),
        home.join("program.elf"),
    )
    .expect("copy");
    let manifest = std::fs::read_to_string(home.join("service.toml")).expect("there");
    let plain: String = manifest
        .lines()
        .filter(|l| !l.starts_with("command"))
        .map(|l| format!("{l}\n"))
        .collect();
    std::fs::write(home.join("service.toml"), &plain).expect("write");
    let ran = surety_in(&home, &["service", "build"]);
    assert_eq!(ran.code, 17, "{ran:?}");
    std::fs::write(
        home.join("service.toml"),
        plain.replace("add(uint32,uint32)(uint32)", "echo(bytes)(bytes)"),
    )
    .expect("write");
    let ran = surety_in(&home, &["service", "build", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let value = ran.json();
    let inspected = surety_in(&home, &["machine", "inspect", "--elf", "program.elf", "--json"]).json();
    assert_eq!(value["programs"][0]["program_hash"], inspected["program_hash"]);
    for broken in ["", "name = 1", "[[program]]", "nonsense"] {
        std::fs::write(home.join("service.toml"), broken).expect("write");
        assert_eq!(surety_in(&home, &["service", "build"]).code, 1, "{broken}");
    }
}

#[test]
fn a_key_is_made_once() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("password"), "secret\n").expect("write");
    let make = || {
        surety_in(
            dir.path(),
            &[
                "operator",
                "key",
                "--keystore",
                "key.json",
                "--password-file",
                "password",
                "--json",
            ],
        )
    };
    let ran = make();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json()["address"].as_str().expect("text").starts_with("0x"));
    assert_eq!(make().code, 1);
}

#[test]
fn without_a_network_every_command_says_what_to_do() {
    let dir = tempfile::tempdir().expect("directory");
    for arguments in [
        &["call", "0x0000000000000000000000000000000000000001", "f()"][..],
        &["operator", "status", "0x0000000000000000000000000000000000000001"],
        &["dispute", "list"],
        &[
            "dispute",
            "show",
            "0x0000000000000000000000000000000000000000000000000000000000000001",
        ],
        &["service", "show", "0x0000000000000000000000000000000000000001"],
        &["call", "nobody", "f()"],
        &["node", "--config", "none.toml"],
    ] {
        let ran = surety_in(dir.path(), &[&["--json"], arguments].concat());
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        assert!(!ran.error()["next"].as_str().expect("text").is_empty());
    }
    let ran = surety_in(dir.path(), &["dispute", "open", "--evidence", "none.json"]);
    assert_eq!(ran.code, 16, "{ran:?}");
    let ran = surety_in(dir.path(), &["doctor", "--json"]);
    assert_eq!(ran.code, 17);
    assert_eq!(ran.json()["passed"], false);
    let ran = surety(&["node", "--example"]);
    assert!(ran.code == 0 && ran.stdout.contains("[operator]"));
}
