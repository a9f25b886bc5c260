//! A small sequencer, the realistic thing to run in a container: it orders what is posted to it and appends it to a
//! log. `GET /health` answers `ok`, `GET /head` the number of entries, `POST /` takes one entry.
//!
//! `sequencer --port 8080` serves; `sequencer --check 8080` exits with 0 if one answers there (a health check).
//! `SEQUENCER_LOG` is the log's path (`/data/log`).

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// Bytes of a request's head and of an entry.
const LIMIT: u64 = 64 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let port = arguments.get(1).and_then(|port| port.parse().ok()).unwrap_or(8080);
    let done = match arguments.first().map(String::as_str) {
        Some("--check") => check(port),
        _ => serve(port),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A container's log is its standard error.
            drop(writeln!(std::io::stderr(), "sequencer: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn check(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer.ends_with(b" 200") {
        Ok(())
    } else {
        Err(std::io::Error::other("not healthy"))
    }
}

fn serve(port: u16) -> std::io::Result<()> {
    let path = env::var("SEQUENCER_LOG").unwrap_or_else(|_| "/data/log".into());
    let mut log = fs::OpenOptions::new().create(true).append(true).open(&path)?;
    let mut head = BufReader::new(fs::File::open(&path)?).lines().count();
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    writeln!(std::io::stdout(), "sequencer: port {port}, head {head}")?;
    for stream in listener.incoming() {
        // A client that goes away is its own trouble.
        drop(stream.and_then(|stream| answer(stream, &mut log, &mut head)));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, log: &mut fs::File, head: &mut usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(LIMIT));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut words = first.split_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/health")) => ("200 OK", "ok".to_owned()),
        (Some("GET"), Some("/head")) => ("200 OK", head.to_string()),
        (Some("POST"), Some("/")) => {
            let mut entry = Vec::new();
            reader.take(length as u64).read_to_end(&mut entry)?;
            writeln!(log, "{head} {}", String::from_utf8_lossy(&entry).replace('\n', " "))?;
            writeln!(std::io::stdout(), "sequencer: entry {head}")?;
            *head += 1;
            ("200 OK", (*head - 1).to_string())
        }
        _ => ("404 Not Found", String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
