//! A node without a network, to try a connector with:
//! `cargo run -p surety-connector --example trial -- service.toml [127.0.0.1:50051] [node.token]`.
//! It prints what connectors say, and reads what they shall do, a line each:
//! `execute TASK INPUTS` or `validate TASK INPUTS OUTPUT`, the last ones as JSON without spaces between them; a word
//! before them (`7 execute …`) gives the task's number, so that it can be assigned again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::{error::Error, io::BufRead, net::Ipv4Addr, path::Path, time::Duration};

use surety_connector::{
    host::Kind,
    server::{Limits, Listen},
    trial::Trial,
};
use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::Network;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let manifest = arguments
        .first()
        .ok_or("usage: trial service.toml [ADDRESS] [TOKEN_FILE]")?;
    let listen = match arguments.get(1) {
        Some(text) => Listen::parse(text)?,
        None => Listen::Tcp((Ipv4Addr::LOCALHOST, 50_051).into()),
    };
    let token = arguments.get(2).map_or("node.token", String::as_str);
    // What the command line reads of a service's other parts is left alone here.
    let network = Network::parse(&std::fs::read_to_string(manifest)?, Network::PROGRAM_KEYS)?;
    let trial = Trial::start(
        network,
        Address::repeat_byte(0x11),
        &listen,
        Path::new(token),
        Limits::default(),
    )
    .await?;
    println!("listening on {}, token in {token}", trial.address().url());

    let (lines, mut line) = tokio::sync::mpsc::channel::<String>(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let (mut registered, mut emitted, mut number) = (0, 0, 0u8);
    loop {
        tokio::select! {
            line = line.recv() => {
                let Some(line) = line else { return Ok(()) };
                number = number.wrapping_add(1);
                match ask(&trial, &line, number).await {
                    Ok(answer) => println!("{answer}"),
                    Err(error) => println!("{error}"),
                }
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        for new in trial.registrations().iter().skip(registered) {
            registered += 1;
            println!(
                "registered {}: events {:?}, tasks {:?}",
                new.connector, new.events, new.tasks
            );
        }
        for new in trial.emissions().iter().skip(emitted) {
            emitted += 1;
            println!("{} emitted {} {}", new.connector, new.event, new.data);
        }
    }
}

async fn ask(trial: &Trial, line: &str, number: u8) -> Result<String, Box<dyn Error>> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let number = match words.first().and_then(|word| word.parse().ok()) {
        Some(given) => {
            words.remove(0);
            given
        }
        None => number,
    };
    let (name, inputs, kind) = match words.as_slice() {
        ["execute", name, inputs] => (name, inputs, Kind::Execute),
        ["validate", name, inputs, output] => {
            let output = Value::from_json(output)?;
            (name, inputs, Kind::Validate { output })
        }
        _ => return Err("expected: execute TASK INPUTS, or: validate TASK INPUTS OUTPUT".into()),
    };
    let inputs = Value::from_json(inputs)?;
    let task = B256::with_last_byte(number);
    let answer = trial.ask(task, name, inputs, kind, Duration::from_secs(60)).await?;
    Ok(format!("task {number}: {answer:?}"))
}
