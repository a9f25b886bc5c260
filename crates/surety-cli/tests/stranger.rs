//! The guides `services.md` and `operators.md`, walked through from nothing by somebody who has only the program: make a
//! service, build it, register it, run a node for it, bond, ask it, change it, leave.

mod common;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::Filter,
    sol,
    sol_types::{SolCall, SolEvent, SolValue},
};
use common::{Ran, command, ran};
use surety_chain::{Actions, Call, Sender, anvil::dev_key, bindings::IService, deploy::DeployParameters};
use surety_cli::dev::{DevConfig, Devnet};

sol! {
    function add(uint32 a, uint32 b) external returns (uint32 sum);
}

const PATIENCE: Duration = Duration::from_secs(60);

/// A node that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_by_itself = self.0.kill();
        let _no_zombie = self.0.wait();
    }
}

/// A stranger's shell: a directory, and the two variables that say where the chain is.
struct Shell<'a> {
    net: &'a Devnet,
    dir: &'a Path,
}

impl Shell<'_> {
    fn command(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = command(&words);
        command
            .env("SURETY_L1", self.net.rpc.url())
            .env("SURETY_DEPLOYMENT", self.net.dir.join("deployment.json"))
            .current_dir(self.dir);
        command
    }

    /// Runs `surety`, words apart by spaces.
    async fn any(&self, line: &str) -> Ran {
        let mut command = self.command(line);
        let output = tokio::task::spawn_blocking(move || command.output());
        ran(output.await.expect("joins").expect("starts"))
    }

    /// The same, and it must succeed.
    async fn surety(&self, line: &str) -> Ran {
        let ran = self.any(line).await;
        assert_eq!(ran.code, 0, "surety {line}: {ran:?}");
        ran
    }

    /// A new key with ether and bond tokens.
    async fn key(&self, name: &str) -> Address {
        let made = self
            .surety(&format!(
                "operator key --keystore {name}.json --password-file password --json"
            ))
            .await;
        let address: Address = made.json()["address"].as_str().expect("text").parse().expect("address");
        let ether = U256::from(10).pow(U256::from(20));
        self.net
            .anvil
            .fund(&self.net.rpc, address, ether)
            .await
            .expect("funded");
        let minter = dev_key(70).expect("key");
        self.net
            .anvil
            .fund(&self.net.rpc, minter.address(), ether)
            .await
            .expect("funded");
        let sender = Sender::new(self.net.rpc.clone(), minter).await.expect("sender");
        Actions::new(sender, self.net.deployment.clone())
            .mint(address, self.net.bond)
            .await
            .expect("minted");
        address
    }
}

async fn devnet(dir: &Path) -> Devnet {
    let config = DevConfig {
        dir: dir.join("net"),
        operators: 1,
        l1_port: 0,
        first_port: 0,
        block_time: Some(1),
        nodes: true,
        parameters: DeployParameters {
            clock: 5,
            join_window: 2,
            ..DeployParameters::DEV
        },
        ..DevConfig::default()
    };
    Devnet::start(&config, |_| {}).await.unwrap_or_else(|e| panic!("{e:?}"))
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("private");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_makes_a_service_and_runs_it() {
    let home = tempfile::tempdir().expect("directory");
    let net = devnet(home.path()).await;
    let dir = home.path().join("stranger");
    std::fs::create_dir(&dir).expect("made");
    let shell = Shell { net: &net, dir: &dir };
    private(&dir.join("password"), "a stranger's password\n");
    shell.key("owner").await;
    let operator = shell.key("operator").await;

    // docs/guides/services.md
    shell.surety("service init adder").await;
    let built = shell.surety("service build --dir adder --json").await.json();
    let program = built["programs"][0]["program_hash"].as_str().expect("text").to_owned();
    let input = alloy::hex::encode_prefixed(addCall { a: 2, b: 3 }.abi_encode());
    let tried = shell
        .surety(&format!("machine run --elf adder/program.elf --input {input} --json"))
        .await;
    assert_eq!(
        tried.json()["output"],
        alloy::hex::encode_prefixed(U256::from(5).abi_encode()),
        "{tried:?}"
    );
    let register = "service register --dir adder --keystore owner.json --password-file password --json";
    let registered = shell.surety(register).await.json();
    let service: Address = registered["service"].as_str().expect("text").parse().expect("address");
    let shown = shell.surety("service show adder --dir adder --json").await.json();
    assert!(shown.to_string().contains(&program), "{shown}");
    // Again: nothing differs, nothing is sent, and no second contract is made.
    let again = shell.surety(register).await.json();
    assert_eq!(again["service"], registered["service"]);
    assert_eq!(again["transactions"], serde_json::json!([]));

    // docs/guides/operators.md
    let listen = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("address")
    };
    let example = shell.surety("node --example").await.stdout;
    let config = example
        .replace("http://127.0.0.1:8545", net.rpc.url())
        .replace("\"deployment.json\"", &format!("{:?}", net.dir.join("deployment.json")))
        .replace("0x0000000000000000000000000000000000000005", &service.to_string())
        .replace("127.0.0.1:9650", &listen.to_string())
        .replace("\"operator.password\"", "\"password\"")
        .replace("[metrics]", "")
        .replace("listen = \"127.0.0.1:9651\"", "");
    std::fs::write(dir.join("node.toml"), config).expect("written");
    shell.surety("node --config node.toml --check").await;
    std::fs::create_dir(dir.join("programs")).expect("made");
    std::fs::copy(dir.join("adder/program.elf"), dir.join("programs/adder.elf")).expect("copied");
    let log = std::fs::File::create(dir.join("node.log")).expect("log");
    let mut node = shell.command("node --config node.toml");
    let _node = Node(node.stdout(Stdio::null()).stderr(log).spawn().expect("starts"));
    let said = || std::fs::read_to_string(dir.join("node.log")).unwrap_or_default();
    let start = Instant::now();
    while tokio::net::TcpStream::connect(listen).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "the node does not listen: {}", said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let joined = shell
        .surety(&format!(
            "operator join adder --endpoint http://{listen} --keystore operator.json --password-file password --json"
        ))
        .await;
    assert_eq!(joined.json()["bonded"], true);
    let status = shell.surety("operator status adder --json").await.json();
    assert_eq!(status["operators"][0]["up"], true, "{status}");
    let doctor = shell.surety("doctor --config node.toml --json").await;
    assert_eq!(doctor.json()["passed"], true, "{doctor:?}");

    // docs/guides/applications.md
    let called = shell.surety("call adder add(uint32,uint32) 2 3 --json").await;
    assert_eq!(called.json()["decoded"][0], "5", "{called:?}\n{}", said());
    let unfit = shell.any("call adder add(uint32,uint32) 4294967295 1 --json").await;
    assert!(unfit.stdout.contains("halted") || unfit.code != 0, "{unfit:?}");

    // On-chain, any method that is registered is a request, and no provider can suppress it.
    let user = dev_key(71).expect("key");
    let ether = U256::from(10).pow(U256::from(20));
    net.anvil.fund(&net.rpc, user.address(), ether).await.expect("funded");
    let sender = Sender::new(net.rpc.clone(), user).await.expect("sender");
    let sent = sender
        .send_call(Call::new(service, &addCall { a: 20, b: 22 }))
        .await
        .expect("a request");
    let filter = Filter::new()
        .address(service)
        .event_signature(IService::Responded::SIGNATURE_HASH)
        .from_block(sent.block);
    let start = Instant::now();
    let answer = loop {
        if let Some(log) = net.rpc.logs(&filter).await.expect("logs").first() {
            break IService::Responded::decode_log(&log.inner).expect("an answer").data;
        }
        assert!(start.elapsed() < PATIENCE, "not answered on-chain: {}", said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((answer.operator, answer.exit), (operator, 0));
    assert_eq!(U256::abi_decode(&answer.output).expect("a number"), U256::from(42));

    // A change: other program, same service.
    let source = std::fs::read_to_string(dir.join("adder/program.c")).expect("source");
    std::fs::write(dir.join("adder/program.c"), source.replace("a + b);", "a + b + 1);")).expect("written");
    shell.surety("service build --dir adder").await;
    assert_eq!(shell.any("service show adder --dir adder").await.code, 17);
    let changed = shell.surety(register).await.json();
    assert_eq!(changed["service"], registered["service"]);
    assert_eq!(changed["transactions"].as_array().expect("list").len(), 1);
    shell.surety("service show adder --dir adder").await;

    // Leaving.
    let key = "--keystore operator.json --password-file password";
    shell.surety(&format!("operator leave adder {key}")).await;
    let early = shell.any(&format!("operator withdraw adder {key} --json")).await;
    assert_eq!(early.code, 1, "{early:?}");
    let _seconds: serde_json::Value = net
        .rpc
        .provider()
        .raw_request("evm_increaseTime".into(), (7_200_u64,))
        .await
        .expect("later");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let withdrawn = shell.surety(&format!("operator withdraw adder {key} --json")).await;
    assert_eq!(withdrawn.json()["paid"], net.bond.to_string(), "{withdrawn:?}");
    net.stop().await;
}
