//! What the node's tests share: small programs, a chain that only knows which program a method has, a client.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(unreachable_pub, reason = "shared by test binaries that are crates of their own")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    primitives::{Address, B256, Bytes, TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use surety_chain::{Deployment, Error, bindings::IDisputes};
use surety_machine::Program;
use surety_node::{
    ChainClient, ChainParts, Config,
    chain::Receipt,
    config::{
        ChainConfig, ForcedConfig, Limits, MetricsConfig, OperatorConfig, PlayerConfig, PreimageConfig, ServiceConfig,
    },
};
use surety_primitives::{Answer, ClaimDetail, DisputeId, Domain, Signed, Statement, service_chain_id};

pub const L1: u64 = 31_337;

pub fn service() -> Address {
    Address::repeat_byte(0x5e)
}

pub fn disputes() -> Address {
    Address::repeat_byte(0xd1)
}

pub fn domain() -> Domain {
    Domain {
        chain_id: L1,
        verifying_contract: disputes(),
    }
}

pub fn operator() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap()
}

pub fn user() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x22)).unwrap()
}

// A few RV32I encodings.
pub const A0: u32 = 10;
pub const A1: u32 = 11;
pub const A2: u32 = 12;
pub const A7: u32 = 17;
pub const S2: u32 = 18;
pub const T0: u32 = 5;
pub const T1: u32 = 6;
pub const ECALL: u32 = 0x73;

pub fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    ((imm as u32) << 20) | (rs1 << 15) | (rd << 7) | 0x13
}

pub fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    (rs2 << 20) | (rs1 << 15) | (rd << 7) | 0x33
}

pub fn lui(rd: u32, imm: u32) -> u32 {
    (imm << 12) | (rd << 7) | 0x37
}

pub fn sw(rs2: u32, rs1: u32, imm: u32) -> u32 {
    ((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (2 << 12) | ((imm & 31) << 7) | 0x23
}

pub fn bne(rs1: u32, rs2: u32, offset: i32) -> u32 {
    let o = offset as u32;
    ((o >> 12 & 1) << 31)
        | ((o >> 5 & 0x3f) << 25)
        | (rs2 << 20)
        | (rs1 << 15)
        | (1 << 12)
        | ((o >> 1 & 0xf) << 8)
        | ((o >> 11 & 1) << 7)
        | 0x63
}

pub fn call(number: i32) -> [u32; 2] {
    [addi(A7, 0, number), ECALL]
}

pub fn program(parts: &[&[u32]]) -> Vec<u32> {
    parts.concat()
}

/// Reads the input to 0x1000 and writes it out; halts with `exit`.
pub fn echo(exit: i32) -> Vec<u32> {
    program(&[
        &call(4),
        &[addi(T0, A0, 0), addi(A2, A0, 0), addi(A1, 0, 0), lui(A0, 1)],
        &call(3),
        &[lui(A0, 1), addi(A1, T0, 0)],
        &call(2),
        &[addi(A0, 0, exit)],
        &call(1),
    ])
}

/// Never ends.
pub fn spin() -> Vec<u32> {
    vec![0x0000_006f]
}

/// Reads a preimage that nobody has.
pub fn lost() -> Vec<u32> {
    program(&[
        &[addi(S2, 0, 7), addi(A1, 0, 0), addi(A2, 0, 32), lui(A0, 1)],
        &call(3),
        &call(1),
    ])
}

/// Reads 32 bytes of the preimage whose hash is the input's last 32 bytes (after the selector), and writes them.
pub fn fetch() -> Vec<u32> {
    let mut code = program(&[
        &call(4),
        &[addi(A2, A0, 0), addi(A1, 0, 0), lui(A0, 1), addi(A0, A0, 28)],
        &call(3),
        &[lui(T0, 1)],
    ]);
    // lw s2+i, 32+4i(t0)
    code.extend((0..8).map(|i| ((32 + 4 * i) << 20) | (T0 << 15) | (2 << 12) | ((S2 + i) << 7) | 0x03));
    code.extend(program(&[
        &[addi(A1, 0, 0), addi(A2, 0, 32), lui(A0, 2)],
        &call(3),
        &[lui(A0, 2), addi(A1, 0, 32)],
        &call(2),
        &[addi(A0, 0, 0)],
        &call(1),
    ]));
    code
}

/// Counts `rounds` x 4096 rounds of four steps with a store each, then echoes.
pub fn work(rounds: u32) -> Vec<u32> {
    let head = [
        lui(T0, rounds),
        lui(T1, 4),
        addi(T0, T0, -1),
        sw(T0, T1, 0),
        add(A1, A1, T0),
        bne(T0, 0, -12),
    ];
    [&head[..], &echo(0)].concat()
}

/// An ELF file with this code at address 0 and 64 KiB of memory.
pub fn elf(code: &[u32]) -> Vec<u8> {
    let code: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut out = b"\x7fELF\x01\x01\x01".to_vec();
    out.resize(16, 0);
    let half = |out: &mut Vec<u8>, v: u16| out.extend(v.to_le_bytes());
    let word = |out: &mut Vec<u8>, v: u32| out.extend(v.to_le_bytes());
    half(&mut out, 2); // ET_EXEC
    half(&mut out, 243); // EM_RISCV
    word(&mut out, 1);
    word(&mut out, 0); // entry
    word(&mut out, 52); // program headers
    word(&mut out, 0);
    word(&mut out, 0);
    for v in [52, 32, 1, 0, 0, 0] {
        half(&mut out, v);
    }
    let size = code.len() as u32;
    for v in [1, 84, 0, 0, size, size, 5, 4] {
        word(&mut out, v);
    }
    out.extend(code);
    out
}

/// Programs written to a directory; their hashes by name.
pub fn install(dir: &Path, programs: &[(&str, Vec<u32>)]) -> HashMap<String, B256> {
    std::fs::create_dir_all(dir).unwrap();
    programs
        .iter()
        .map(|(name, code)| {
            let file = elf(code);
            std::fs::write(dir.join(format!("{name}.elf")), &file).unwrap();
            ((*name).to_owned(), Program::from_elf(&file).unwrap().hash().into())
        })
        .collect()
}

/// A selector made of a program's name: its first four bytes.
pub fn selector(name: &str) -> [u8; 4] {
    let mut out = [b'_'; 4];
    for (to, from) in out.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    out
}

/// Call data: selector and arguments.
pub fn data(name: &str, arguments: &[u8]) -> Bytes {
    [&selector(name), arguments].concat().into()
}

/// A registry without a chain.
#[derive(Debug, Default)]
pub struct Methods {
    pub programs: HashMap<[u8; 4], B256>,
    pub down: AtomicBool,
    /// Whether it does not answer at all.
    pub silent: AtomicBool,
}

fn unreachable() -> Error {
    Error::Unreachable {
        url: "test".into(),
        method: "eth_call",
        cause: "down".into(),
    }
}

#[async_trait]
impl ChainClient for Methods {
    fn chain_id(&self) -> u64 {
        L1
    }
    async fn program_of(&self, _: Address, selector: [u8; 4]) -> Result<Option<B256>, Error> {
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::Relaxed) {
            return Err(unreachable());
        }
        Ok(self.programs.get(&selector).copied())
    }
    async fn is_bonded(&self, _: Address, _: Address) -> Result<bool, Error> {
        Ok(true)
    }
    async fn dispute(&self, _: DisputeId) -> Result<Option<IDisputes::View>, Error> {
        Ok(None)
    }
    async fn clock(&self) -> Result<u64, Error> {
        Ok(600)
    }
    async fn responded(&self, _: Address, _: B256, _: Address) -> Result<bool, Error> {
        Ok(false)
    }
    async fn is_shown(&self, _: B256, _: u32) -> Result<bool, Error> {
        Ok(false)
    }
    async fn respond(&self, _: &Answer) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn join(&self, _: &Statement, _: &Signed, _: Address, _: &[ClaimDetail]) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn dissect(&self, _: DisputeId, _: B256, _: u8, _: [B256; 31]) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn step(&self, _: &Statement, _: Address, _: B256, _: u8, _: Bytes, _: Bytes) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn show(&self, _: Bytes, _: Vec<u32>) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn expire(&self, _: DisputeId) -> Result<Receipt, Error> {
        Err(unreachable())
    }
    async fn settle(&self, _: &Statement, _: Address, _: &[ClaimDetail]) -> Result<Receipt, Error> {
        Err(unreachable())
    }
}

pub fn deployment() -> Deployment {
    Deployment {
        chain_id: L1,
        from_block: 0,
        token: Address::ZERO,
        registry: Address::ZERO,
        staking: Address::ZERO,
        preimages: Address::ZERO,
        machine: Address::ZERO,
        disputes: disputes(),
        records: Address::ZERO,
        quorum: Address::ZERO,
        tasks: Address::ZERO,
        faults: Address::ZERO,
        new_token: Address::ZERO,
        issuance: Address::ZERO,
        integrity: Address::ZERO,
    }
}

pub fn parts(methods: Arc<Methods>) -> ChainParts {
    ChainParts {
        client: methods,
        feed: None,
        deployment: deployment(),
        clock: 600,
    }
}

/// A configuration with everything in `dir` and free ports.
pub fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.join("data"),
        program_dirs: vec![dir.join("programs")],
        operator: OperatorConfig {
            keystore: dir.join("key"),
            password_file: None,
        },
        chain: ChainConfig {
            rpc: "http://127.0.0.1:1".into(),
            deployment: dir.join("none"),
            poll_ms: 100,
        },
        services: vec![ServiceConfig {
            address: service(),
            listen: "127.0.0.1:0".parse().unwrap(),
            cors_origins: vec!["*".into()],
        }],
        network: None,
        integrity: None,
        preimages: PreimageConfig::default(),
        limits: Limits {
            call_budget: 10_000_000,
            program_seconds: 5,
            request_seconds: 20,
            ..Limits::default()
        },
        player: PlayerConfig {
            max_backoff_seconds: 1,
            resend_seconds: 5,
            grace_seconds: 2,
            ..PlayerConfig::default()
        },
        engine: Default::default(),
        forced: ForcedConfig::default(),
        metrics: Some(MetricsConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
        }),
    }
}

/// A signed request.
pub fn request(nonce: u64, gas_limit: u64, data: Bytes) -> (Bytes, B256) {
    let tx = TxEip1559 {
        chain_id: service_chain_id(L1, service()),
        nonce,
        gas_limit,
        to: TxKind::Call(service()),
        value: U256::ZERO,
        input: data,
        ..TxEip1559::default()
    };
    sign(tx)
}

pub fn sign(tx: TxEip1559) -> (Bytes, B256) {
    let signature = user().sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    (envelope.encoded_2718().into(), *envelope.tx_hash())
}

/// A JSON-RPC client that hides nothing.
#[derive(Debug, Clone)]
pub struct Client {
    pub url: String,
    http: reqwest::Client,
}

impl Client {
    pub fn new(address: std::net::SocketAddr) -> Self {
        Self {
            url: format!("http://{address}"),
            http: reqwest::Client::new(),
        }
    }

    /// Posts a body; returns status and text.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn try_call(&self, method: &str, params: Value) -> Result<Result<Value, (i64, String, Value)>, String> {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.map_err(|e| e.to_string())?;
        let text = response.text().await.map_err(|e| e.to_string())?;
        let v: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        Ok(match v.get("error") {
            Some(e) => Err((
                e["code"].as_i64().unwrap(),
                e["message"].as_str().unwrap().to_owned(),
                e.get("data").cloned().unwrap_or(Value::Null),
            )),
            None => Ok(v["result"].clone()),
        })
    }

    /// Calls; returns the result, or code, message and data of the error.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, (i64, String, Value)> {
        self.try_call(method, params).await.unwrap()
    }

    pub async fn send(&self, raw: &Bytes) -> Result<Value, (i64, String, Value)> {
        self.call("eth_sendRawTransaction", json!([raw])).await
    }

    pub async fn answer(&self, request: B256) -> Answer {
        let value = self.call("surety_getResponse", json!([request])).await.unwrap();
        serde_json::from_value(value).unwrap()
    }

    pub async fn get(&self, url: String) -> String {
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }
}
