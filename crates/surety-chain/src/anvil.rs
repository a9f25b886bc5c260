//! A development chain: Foundry's `anvil` as a child process.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    signers::local::PrivateKeySigner,
};

use crate::{error::Error, rpc::Rpc};

/// How a development chain is set up.
#[derive(Debug, Clone)]
pub struct AnvilConfig {
    /// The program; `None` looks for it ([`find`]).
    pub program: Option<PathBuf>,
    /// Address it listens on; [`Anvil::url`] names 127.0.0.1, so that or 0.0.0.0.
    pub host: Ipv4Addr,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Chain id.
    pub chain_id: u64,
    /// Seconds a block; `None` mines a block for every transaction at once.
    pub block_time: Option<u64>,
}

impl Default for AnvilConfig {
    fn default() -> Self {
        Self {
            program: None,
            host: Ipv4Addr::LOCALHOST,
            port: 0,
            chain_id: 31_337,
            block_time: None,
        }
    }
}

/// A running anvil; killed when dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
    chain_id: u64,
}

/// Looks for anvil: the variable `ANVIL`, then npm's packages in this directory and those above it and above the
/// running program, then `PATH`. Of npm's package the program itself is taken, not its JavaScript wrapper, so that
/// killing it kills it.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ANVIL").map(PathBuf::from) {
        return Some(path);
    }
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    for start in starts.into_iter().flatten() {
        for folder in start.ancestors() {
            let modules = folder.join("node_modules");
            let platforms = std::fs::read_dir(modules.join("@foundry-rs"))
                .into_iter()
                .flatten()
                .flatten();
            let native = platforms
                .filter(|e| e.file_name().to_string_lossy().starts_with("anvil-"))
                .map(|e| e.path().join("bin").join("anvil"))
                .find(|p| p.is_file());
            if let Some(path) = native {
                return Some(path);
            }
            let linked = modules.join(".bin").join("anvil");
            if linked.is_file() {
                return Some(linked);
            }
        }
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("anvil"))
        .find(|p| p.is_file())
}

impl Anvil {
    /// Starts anvil and waits, at most 30 s, until it listens.
    pub fn start(config: &AnvilConfig) -> Result<Self, Error> {
        let program = config.program.clone().or_else(find).ok_or_else(|| {
            Error::Local(
                "anvil is not there; run `npm install` in the repository, or install Foundry, or set ANVIL to it"
                    .to_owned(),
            )
        })?;
        let fail = |cause: String| Error::Local(format!("{} cannot be started: {cause}", program.display()));
        let mut command = Command::new(&program);
        command
            .args(["--host", &config.host.to_string(), "--hardfork", "osaka"])
            .args(["--port", &config.port.to_string()])
            .args(["--chain-id", &config.chain_id.to_string()])
            .args(["--accounts", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(seconds) = config.block_time {
            command.args(["--block-time", &seconds.to_string()]);
        }
        let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
        let Some(stdout) = child.stdout.take() else {
            return Err(fail("it has no standard output".to_owned()));
        };
        let mut anvil = Self {
            child,
            url: String::new(),
            chain_id: config.chain_id,
        };
        // The port is in what it prints. The rest is read too, for ever: a full pipe would stop it.
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.trim().strip_prefix("Listening on ") {
                    let _receiver_gone = send.send(address.to_owned());
                }
            }
        });
        let address = receive.recv_timeout(Duration::from_secs(30)).map_err(|_| {
            let ended = anvil.child.try_wait().ok().flatten();
            fail(match ended {
                Some(status) => format!("it ended with {status}; is port {} taken?", config.port),
                None => "it does not listen after 30 s".to_owned(),
            })
        })?;
        let port = address.rsplit(':').next().unwrap_or_default();
        anvil.url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        Ok(anvil)
    }

    /// Its JSON-RPC endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its chain id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an account this much ether, in wei.
    pub async fn fund(&self, rpc: &Rpc, account: Address, wei: U256) -> Result<(), Error> {
        rpc.ask("anvil_setBalance", None, || async {
            rpc.provider()
                .raw_request::<_, Option<bool>>("anvil_setBalance".into(), (account, wei))
                .await
                .map(|_| ())
        })
        .await
    }

    /// From now on a block every so many seconds instead of one for every transaction.
    pub async fn mine_every(&self, rpc: &Rpc, seconds: u64) -> Result<(), Error> {
        rpc.ask("evm_setIntervalMining", None, || async {
            rpc.provider()
                .raw_request::<_, Option<bool>>("evm_setIntervalMining".into(), (seconds,))
                .await
                .map(|_| ())
        })
        .await
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ended_by_itself = self.child.kill();
        let _no_zombie = self.child.wait();
    }
}

/// Development key number `index`: keccak-256 of `surety development key <index>`. Public, so never put anything of
/// worth there.
pub fn dev_key(index: u32) -> Result<PrivateKeySigner, Error> {
    key(keccak256(format!("surety development key {index}")))
}

/// Whether a path can be executed at all; for `surety doctor`.
pub fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

/// A key from its 32 bytes; for tests.
pub fn key(secret: B256) -> Result<PrivateKeySigner, Error> {
    PrivateKeySigner::from_bytes(&secret).map_err(|e| Error::Local(format!("not a key: {e}")))
}
