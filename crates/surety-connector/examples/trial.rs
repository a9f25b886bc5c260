//! A node without a network, to try a connector with. It prints what connectors say, and reads what they shall do:
//! `cargo run -p surety-connector --example trial -- --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::{io::BufRead, net::Ipv4Addr, path::Path, process::ExitCode, sync::Arc};

use surety_connector::{
    server::{Limits, Listen},
    trial::{Trial, console},
};
use surety_primitives::Address;
use surety_protocol::manifest::Network;
use tokio::sync::mpsc;

const HELP: &str = "\
A node without a network, to try a connector with.

usage: trial MANIFEST [ADDRESS] [TOKEN_FILE]

  MANIFEST    the service's service.toml
  ADDRESS     where connectors connect: HOST:PORT on loopback, or unix:/PATH (127.0.0.1:50051)
  TOKEN_FILE  made if it isn't there (node.token)

Lines of standard input, worked on side by side (those of one number one after another):

  [NUMBER] execute TASK INPUTS
  [NUMBER] validate TASK INPUTS OUTPUT

INPUTS and OUTPUT are JSON without spaces between the parts. NUMBER names the task, so that it can be assigned again;
without one it gets a number that is new, also after a restart. It ends with its input.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let (Some(manifest), true) = (arguments.first(), arguments.len() <= 3) else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let address = arguments.get(1).map(String::as_str);
    let token = arguments.get(2).map_or("node.token", String::as_str);
    match start(manifest, address, token).await {
        Ok(trial) => {
            println!("listening on {}, token in {token}", trial.address().url());
            console::serve(Arc::new(trial), input(), |line| println!("{line}")).await;
            eprintln!("the input has ended, and so does the trial");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(manifest: &str, address: Option<&str>, token: &str) -> Result<Trial, String> {
    let listen = match address {
        Some(text) => Listen::parse(text)?,
        None => Listen::Tcp((Ipv4Addr::LOCALHOST, 50_051).into()),
    };
    let text = std::fs::read_to_string(manifest).map_err(|cause| format!("{manifest}: {cause}"))?;
    // What the command line reads of a service's other parts is left alone here.
    let network = Network::parse(&text, Network::PROGRAM_KEYS).map_err(|cause| format!("{manifest}: {cause}"))?;
    let service = Address::repeat_byte(0x11);
    Trial::start(network, service, &listen, Path::new(token), Limits::default())
        .await
        .map_err(|error| error.to_string())
}

/// The lines of standard input.
fn input() -> mpsc::Receiver<String> {
    let (lines, line) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    line
}
