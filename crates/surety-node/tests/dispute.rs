//! Nodes that play disputes by themselves, against the model of the contract in `surety-protocol`: honest ones win
//! against liars wherever the lie is, over restarts after every move, and join when nobody else is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, Bytes, LogData, U256, keccak256},
    rpc::types::Log,
    signers::local::PrivateKeySigner,
    sol_types::SolEvent,
};
use async_trait::async_trait;
use support::*;
use surety_chain::{
    BlockId, ChainEvent, Error, Revert,
    bindings::{IDisputes, IService, Statement as ChainStatement},
};
use surety_machine::{PreimageOracle, State, verify_step};
use surety_node::{
    ChainClient, ChainParts, Node, NodeHandle, Tracer,
    chain::Receipt,
    events::ChainFeed,
    executor::{RunFailure, Stop},
    trace::TraceWitness,
};
use surety_primitives::{Answer, Budget, ClaimDetail, DisputeId, RequestHash, ResultHash, Signed, Statement};
use surety_protocol::dispute::{Action, Event, Game, Referee, Rules, Transition};

const CLOCK: u64 = 600;
const JOIN_WINDOW: u64 = 60;
/// Seconds that pass between two looks at the chain.
const TICK: u64 = 10;

#[derive(Default)]
struct Shown {
    words: HashMap<([u8; 32], u32), [u8; 32]>,
    lengths: HashMap<[u8; 32], u32>,
}

impl PreimageOracle for Shown {
    fn length(&self, hash: &[u8; 32]) -> Option<u32> {
        self.lengths.get(hash).copied()
    }
    fn word(&self, hash: &[u8; 32], offset: u32) -> Option<[u8; 32]> {
        self.words.get(&(*hash, offset)).copied()
    }
}

impl Referee for Shown {
    fn transition(&self, kind: Transition, witness: &[u8]) -> Option<(B256, B256)> {
        match kind {
            Transition::Step => {
                let step = verify_step(witness, self).ok()?;
                Some((step.before.into(), step.after.into()))
            }
            Transition::Projection => {
                let state = State::from_bytes(witness.try_into().ok()?);
                let tail = [&[state.status][..], &state.exit.to_be_bytes(), &state.output_root].concat();
                Some((state.root().into(), keccak256(tail)))
            }
            Transition::Identity => None,
        }
    }

    fn is_initial(&self, statement: &Statement, witness: &[u8]) -> bool {
        let Some(state) = witness.first_chunk::<263>().map(State::from_bytes) else {
            return false;
        };
        let program = [
            &state.code_root[..],
            &[state.code_height],
            &state.memory_root,
            &[state.memory_height],
            &state.pc.to_be_bytes(),
        ];
        keccak256(program.concat()) == statement.program.0
            && state.input_hash == statement.input.0.0
            && state.output_root == [0; 32]
            && state.registers == [0; 32]
            && (state.status, state.exit) == (0, 0)
    }
}

struct World {
    now: u64,
    block: u64,
    game: Option<Game>,
    logs: Vec<Log>,
    shown: Shown,
    /// Who sent what, in order.
    sent: Vec<(Address, &'static str)>,
    /// An operator that can send nothing more, once it has sent a transaction, until it is restarted.
    one_a_start: Option<Address>,
    /// It has sent it.
    had_its_turn: bool,
    methods: HashMap<[u8; 4], B256>,
    /// Wei of every operator.
    balance: U256,
    /// Whether answers to requests made on-chain are taken, and how many were.
    forced: Option<u64>,
}

/// A chain with one dispute on it.
#[derive(Clone)]
struct GameChain(Arc<Mutex<World>>);

impl GameChain {
    fn new(methods: HashMap<[u8; 4], B256>) -> Self {
        let shown = Shown::default();
        Self(Arc::new(Mutex::new(World {
            now: 1_000,
            block: 1,
            game: None,
            logs: vec![],
            shown,
            sent: vec![],
            one_a_start: None,
            had_its_turn: false,
            methods,
            balance: U256::MAX,
            forced: None,
        })))
    }

    fn open(&self, statement: Statement, claims: &[ClaimDetail]) {
        let mut w = self.0.lock().unwrap();
        let rules = Rules {
            disputes: disputes(),
            chain_id: L1,
            clock: CLOCK,
            join_window: JOIN_WINDOW,
        };
        let (game, events) = Game::open(rules, w.now, user().address(), statement, claims).unwrap();
        let id = game.id();
        w.game = Some(game);
        w.emit(id, events);
    }

    /// Disputes of others about inputs that nobody has.
    fn open_unanswerable(&self, count: u64) {
        let mut w = self.0.lock().unwrap();
        let program = *w.methods.values().next().unwrap();
        for n in 0..count {
            let statement = Statement {
                service: service(),
                program: program.into(),
                input: keccak256(n.to_be_bytes()).into(),
                budget: Budget::new(1_000).unwrap(),
            };
            let opened = Event::Opened {
                opener: user().address(),
                statement,
                join_until: 1 << 40,
            };
            let detail = false_claim(Address::repeat_byte(0x77), 0x77);
            w.emit(
                DisputeId::new(statement.id(), user().address()),
                vec![opened, Event::Claimed { index: 0, detail }],
            );
        }
    }

    fn sent(&self) -> Vec<(Address, &'static str)> {
        self.0.lock().unwrap().sent.clone()
    }

    /// Waits until the dispute is settled; returns the addresses of the losers.
    async fn settled(&self) -> HashSet<Address> {
        let begin = Instant::now();
        loop {
            {
                let w = self.0.lock().unwrap();
                if let Some(settlement) = w.game.as_ref().and_then(Game::settlement) {
                    return settlement.slashes.iter().map(|s| s.operator).collect();
                }
                assert!(begin.elapsed() < Duration::from_secs(120), "not settled: {:?}", w.sent);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn parts(&self, operator: Address, trouble: bool) -> ChainParts {
        ChainParts {
            client: Arc::new(Account {
                chain: self.clone(),
                operator,
                calls: AtomicU64::new(0),
                trouble,
            }),
            feed: Some(Box::new(Feed {
                chain: self.clone(),
                next: 0,
                polls: 0,
                trouble,
                lose: None,
            })),
            deployment: deployment(),
            clock: CLOCK,
        }
    }
}

impl World {
    fn emit(&mut self, dispute: DisputeId, events: Vec<Event>) {
        self.block += 1;
        for (i, event) in events.into_iter().enumerate() {
            let inner = alloy::primitives::Log {
                address: disputes(),
                data: encode(dispute.0, event),
            };
            self.logs.push(Log {
                inner,
                block_number: Some(self.block),
                block_timestamp: Some(self.now),
                log_index: Some(i as u64),
                ..Log::default()
            });
        }
    }

    fn act(&mut self, sender: Address, what: &'static str, action: Action) -> Result<Receipt, Error> {
        self.now += 1;
        let now = self.now;
        let refused = || Error::Reverted {
            to: disputes(),
            revert: Revert::new(Bytes::new()),
        };
        let game = self.game.as_mut().ok_or_else(refused)?;
        let id = game.id();
        let events = game
            .apply(now, sender, action, &self.shown, |_| U256::from(1_000))
            .map_err(|_| refused())?;
        self.sent.push((sender, what));
        self.emit(id, events);
        Ok(Receipt {
            hash: keccak256(now.to_be_bytes()),
            gas: 0,
            block: self.block,
        })
    }
}

fn encode(dispute: B256, event: Event) -> LogData {
    match event {
        Event::Opened {
            opener,
            statement,
            join_until,
        } => IDisputes::Opened {
            dispute,
            service: statement.service,
            opener,
            statement: ChainStatement::from(&statement),
            joinUntil: join_until,
        }
        .encode_log_data(),
        Event::Claimed { index, detail } => IDisputes::Claimed {
            dispute,
            index,
            operator: detail.operator,
            request: detail.request.0,
            requester: detail.requester,
            result: detail.result.0,
        }
        .encode_log_data(),
        Event::MatchStarted { a, b, levels, head } => IDisputes::MatchStarted {
            dispute,
            a,
            b,
            levels,
            head,
        }
        .encode_log_data(),
        Event::Dissected {
            number,
            segment,
            head,
            points,
        } => IDisputes::Dissected {
            dispute,
            r#move: number,
            segment,
            head,
            points: *points,
        }
        .encode_log_data(),
        Event::Stepped { position } => IDisputes::Stepped { dispute, position }.encode_log_data(),
        Event::Expired => IDisputes::Expired { dispute }.encode_log_data(),
        Event::Decided { result } => IDisputes::Decided {
            dispute,
            result: result.0,
        }
        .encode_log_data(),
        Event::Eliminated {
            index,
            operator,
            join_until,
        } => IDisputes::Eliminated {
            dispute,
            index,
            operator,
            joinUntil: join_until,
        }
        .encode_log_data(),
        Event::Settled { result, slashed } => IDisputes::Settled {
            dispute,
            result: result.0,
            slashed,
        }
        .encode_log_data(),
    }
}

struct Feed {
    chain: GameChain,
    next: usize,
    polls: u64,
    /// Whether polls fail, and the chain is reorganised, again and again.
    trouble: bool,
    /// A move whose log is lost, once.
    lose: Option<u8>,
}

#[async_trait]
impl ChainFeed for Feed {
    async fn poll(&mut self) -> Result<Vec<ChainEvent>, Error> {
        self.polls += 1;
        if self.trouble && self.polls.is_multiple_of(3) {
            return Err(lost_connection());
        }
        let mut w = self.chain.0.lock().unwrap();
        if self.trouble && self.polls.is_multiple_of(5) && !w.logs.is_empty() {
            // Back to some block, and what came after it comes again: all of it, at times.
            let to = w.logs[self.polls as usize % w.logs.len()].block_number.unwrap() - 1;
            self.next = w
                .logs
                .iter()
                .position(|l| l.block_number.unwrap() > to)
                .unwrap_or(w.logs.len());
            return Ok(vec![ChainEvent::Rollback { to }]);
        }
        w.now += TICK;
        w.block += 1;
        let mut new = w.logs[self.next..].to_vec();
        let lost = new
            .iter()
            .position(|l| IDisputes::Dissected::decode_log(&l.inner).is_ok_and(|e| Some(e.data.r#move) == self.lose));
        if let Some(lost) = lost {
            new.remove(lost);
            self.lose = None;
        }
        let new = new.into_iter().map(|l| ChainEvent::Log(Box::new(l)));
        let head = BlockId {
            number: w.block,
            hash: B256::ZERO,
            timestamp: w.now,
        };
        let events = new.chain([ChainEvent::Head(head)]).collect();
        self.next = w.logs.len();
        Ok(events)
    }
    fn restart(&mut self, from_block: u64) {
        let w = self.chain.0.lock().unwrap();
        self.next = w
            .logs
            .iter()
            .position(|l| l.block_number.unwrap() >= from_block)
            .unwrap_or(w.logs.len());
    }
    async fn time_of(&mut self, _: u64) -> Result<u64, Error> {
        Ok(self.chain.0.lock().unwrap().now)
    }
}

struct Account {
    chain: GameChain,
    operator: Address,
    calls: AtomicU64,
    /// Whether every third call fails, half of those after they were carried out.
    trouble: bool,
}

fn lost_connection() -> Error {
    Error::Unreachable {
        url: "test".into(),
        method: "eth_call",
        cause: "lost".into(),
    }
}

impl Account {
    fn act(&self, what: &'static str, action: Action) -> Result<Receipt, Error> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.trouble && calls.is_multiple_of(4) {
            return Err(lost_connection());
        }
        let done = {
            let mut w = self.chain.0.lock().unwrap();
            let limited = w.one_a_start == Some(self.operator);
            if limited && w.had_its_turn {
                return Err(lost_connection());
            }
            let done = w.act(self.operator, what, action)?;
            w.had_its_turn |= limited;
            done
        };
        // Sent, included, and the answer lost on the way.
        if self.trouble && calls.is_multiple_of(3) {
            Err(lost_connection())
        } else {
            Ok(done)
        }
    }
}

#[async_trait]
impl ChainClient for Account {
    fn chain_id(&self) -> u64 {
        L1
    }
    async fn program_of(&self, _: Address, selector: [u8; 4]) -> Result<Option<B256>, Error> {
        Ok(self.chain.0.lock().unwrap().methods.get(&selector).copied())
    }
    async fn is_bonded(&self, _: Address, _: Address) -> Result<bool, Error> {
        Ok(true)
    }
    async fn dispute(&self, _: DisputeId) -> Result<Option<IDisputes::View>, Error> {
        let w = self.chain.0.lock().unwrap();
        let Some(game) = w.game.as_ref().filter(|g| g.settlement().is_none()) else {
            return Ok(None);
        };
        let running = game.running();
        Ok(Some(IDisputes::View {
            joinUntil: game.join_until(),
            claims: game.claims().len() as u8,
            liveBitmap: 0,
            matchRunning: running.is_some(),
            a: running.map_or(0, |m| m.a),
            b: running.map_or(0, |m| m.b),
            moves: running.map_or(0, |m| m.moves),
            levels: 0,
            position: 0,
            clockA: 0,
            clockB: 0,
            lastMove: 0,
            head: running.map_or(B256::ZERO, |m| m.head),
        }))
    }
    async fn clock(&self) -> Result<u64, Error> {
        Ok(CLOCK)
    }
    async fn responded(&self, _: Address, _: B256, _: Address) -> Result<bool, Error> {
        Ok(self.chain.0.lock().unwrap().forced != Some(0))
    }
    async fn balance(&self) -> Result<U256, Error> {
        Ok(self.chain.0.lock().unwrap().balance)
    }
    async fn is_shown(&self, hash: B256, offset: u32) -> Result<bool, Error> {
        Ok(self.chain.0.lock().unwrap().shown.words.contains_key(&(hash.0, offset)))
    }
    async fn respond(&self, _: &Answer) -> Result<Receipt, Error> {
        let mut w = self.chain.0.lock().unwrap();
        let block = w.block;
        let answers = w.forced.as_mut().ok_or_else(|| Error::Local("no service".into()))?;
        *answers += 1;
        Ok(Receipt {
            hash: B256::ZERO,
            gas: 0,
            block,
        })
    }
    async fn join(&self, s: &Statement, signed: &Signed, _: Address, _: &[ClaimDetail]) -> Result<Receipt, Error> {
        let detail = signed.detail(*s, &domain()).unwrap();
        assert_eq!(detail.operator, self.operator);
        self.act("join", Action::Join(detail))
    }
    async fn dissect(&self, _: DisputeId, head: B256, segment: u8, points: [B256; 31]) -> Result<Receipt, Error> {
        self.act(
            "dissect",
            Action::Dissect {
                head,
                segment: segment.into(),
                points: Box::new(points),
            },
        )
    }
    async fn step(
        &self,
        _: &Statement,
        _: Address,
        head: B256,
        d: u8,
        openings: Bytes,
        witness: Bytes,
    ) -> Result<Receipt, Error> {
        let action = Action::Step {
            head,
            segment: d.into(),
            openings: openings.to_vec(),
            witness: witness.to_vec(),
        };
        self.act("step", action)
    }
    async fn show(&self, data: Bytes, offsets: Vec<u32>) -> Result<Receipt, Error> {
        let mut w = self.chain.0.lock().unwrap();
        let hash = keccak256(&data).0;
        w.shown.lengths.insert(hash, data.len() as u32);
        for offset in offsets {
            let mut word = [0; 32];
            for (to, from) in word.iter_mut().zip(data.iter().skip(offset as usize)) {
                *to = *from;
            }
            w.shown.words.insert((hash, offset), word);
        }
        w.sent.push((self.operator, "show"));
        Ok(Receipt {
            hash: B256::ZERO,
            gas: 0,
            block: w.block,
        })
    }
    async fn expire(&self, _: DisputeId) -> Result<Receipt, Error> {
        self.act("expire", Action::Expire)
    }
    async fn settle(&self, _: &Statement, _: Address, _: &[ClaimDetail]) -> Result<Receipt, Error> {
        self.act("settle", Action::Settle)
    }
}

/// Tells the truth up to a position and another story from there on.
struct Lying {
    honest: Arc<dyn Tracer>,
    from: u64,
}

impl Tracer for Lying {
    fn values(&self, s: &Statement, positions: &[u64], stop: &Stop) -> Result<Vec<B256>, RunFailure> {
        let roots = self.honest.values(s, positions, stop)?;
        Ok(positions
            .iter()
            .zip(roots)
            .map(|(p, r)| if *p >= self.from { keccak256(r) } else { r })
            .collect())
    }
    fn witness(&self, s: &Statement, p: u64, kind: Transition, stop: &Stop) -> Result<TraceWitness, RunFailure> {
        self.honest.witness(s, p, kind, stop)
    }
}

fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(n)).unwrap()
}

async fn start(dir: &Path, chain: &GameChain, key: &PrivateKeySigner, lie_from: Option<u64>) -> NodeHandle {
    start_in_trouble(dir, chain, key, lie_from, false).await
}

async fn start_in_trouble(
    dir: &Path,
    chain: &GameChain,
    key: &PrivateKeySigner,
    lie_from: Option<u64>,
    trouble: bool,
) -> NodeHandle {
    let mut config = config(dir);
    config.program_dirs = vec![dir.parent().unwrap().join("programs")];
    config.metrics = None;
    let mut builder = Node::builder(config)
        .signer(key.clone())
        .chain(chain.parts(key.address(), trouble));
    if let Some(from) = lie_from {
        builder = builder.tracer(move |honest| Arc::new(Lying { honest, from }));
    }
    builder.start().await.unwrap()
}

struct Setup {
    dir: tempfile::TempDir,
    chain: GameChain,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hashes = install(&dir.path().join("programs"), &[("work", work(1))]);
        let methods = hashes.iter().map(|(name, hash)| (selector(name), *hash)).collect();
        Self {
            chain: GameChain::new(methods),
            dir,
        }
    }

    fn dir(&self, name: &str) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

/// Sends the request and gives the node's claim.
async fn ask(node: &NodeHandle) -> (Statement, ClaimDetail) {
    let client = Client::new(node.endpoints()[0].1);
    let (raw, hash) = request(0, 100, data("work", &[7; 60]));
    client.send(&raw).await.unwrap();
    let answer = client.answer(hash).await;
    let (request, requester) = (answer.request, answer.requester);
    (
        answer.statement,
        ClaimDetail {
            operator: answer.operator,
            request,
            requester,
            result: answer.result,
        },
    )
}

fn false_claim(operator: Address, n: u8) -> ClaimDetail {
    ClaimDetail {
        operator,
        request: RequestHash::from(B256::repeat_byte(n)),
        requester: user().address(),
        result: ResultHash::from(B256::repeat_byte(n)),
    }
}

/// Steps before the program reads its input: two, then 4,096 rounds of four.
const LOOP: u64 = 2 + 4 * 4_096;

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_liar_loses_wherever_the_lie_is() {
    // First wrong position: after the first step; in the loop; INPUT; READ, which needs a preimage shown; the end of the
    // budget; nowhere (only the result is wrong).
    for (i, from) in [1, 1_000, LOOP + 2, LOOP + 8, 100_000, u64::MAX]
        .into_iter()
        .enumerate()
    {
        let s = Setup::new();
        let (honest, liar) = (key(1), key(2));
        let h = start(&s.dir("honest"), &s.chain, &honest, None).await;
        let l = start(&s.dir("liar"), &s.chain, &liar, Some(from)).await;
        let (statement, claim) = ask(&h).await;
        ask(&l).await;
        let mut claims = [claim, false_claim(liar.address(), 0x66)];
        if i % 2 == 1 {
            claims.reverse();
        }
        s.chain.open(statement, &claims);
        assert_eq!(
            s.chain.settled().await,
            HashSet::from([liar.address()]),
            "lie from {from}"
        );
        h.stop().await;
        l.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_reorganisations_and_lost_connections_do_not_make_an_honest_node_lose() {
    for (i, from) in [1_000, LOOP + 8].into_iter().enumerate() {
        let s = Setup::new();
        let (honest, liar) = (key(1), key(2));
        let h = start_in_trouble(&s.dir("honest"), &s.chain, &honest, None, true).await;
        let l = start(&s.dir("liar"), &s.chain, &liar, Some(from)).await;
        let (statement, claim) = ask(&h).await;
        ask(&l).await;
        let mut claims = [claim, false_claim(liar.address(), 0x66)];
        if i == 0 {
            claims.reverse();
        }
        s.chain.open(statement, &claims);
        assert_eq!(
            s.chain.settled().await,
            HashSet::from([liar.address()]),
            "lie from {from}"
        );
        h.stop().await;
        l.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disputes_that_nobody_can_answer_do_not_keep_a_node_from_defending_itself() {
    let s = Setup::new();
    let (honest, liar) = (key(1), key(2));
    let h = start(&s.dir("honest"), &s.chain, &honest, None).await;
    let l = start(&s.dir("liar"), &s.chain, &liar, Some(LOOP + 8)).await;
    let (statement, claim) = ask(&h).await;
    ask(&l).await;
    s.chain.open_unanswerable(100);
    // They have all been looked at, and their inputs in vain.
    tokio::time::sleep(Duration::from_secs(1)).await;
    s.chain.open(statement, &[claim, false_claim(liar.address(), 0x66)]);
    assert_eq!(s.chain.settled().await, HashSet::from([liar.address()]));
    h.stop().await;
    l.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_does_not_cost_the_match() {
    let s = Setup::new();
    let (honest, liar) = (key(1), key(2));
    let mut config = config(&s.dir("honest"));
    config.program_dirs = vec![s.dir.path().join("programs")];
    config.metrics = None;
    let mut parts = s.chain.parts(honest.address(), false);
    // The honest one moves first, so this is its opponent's first move.
    parts.feed = Some(Box::new(Feed {
        chain: s.chain.clone(),
        next: 0,
        polls: 0,
        trouble: false,
        lose: Some(2),
    }));
    let h = Node::builder(config)
        .signer(honest.clone())
        .chain(parts)
        .start()
        .await
        .unwrap();
    let l = start(&s.dir("liar"), &s.chain, &liar, Some(LOOP + 8)).await;
    let (statement, claim) = ask(&h).await;
    ask(&l).await;
    s.chain.open(statement, &[claim, false_claim(liar.address(), 0x66)]);
    assert_eq!(s.chain.settled().await, HashSet::from([liar.address()]));
    h.stop().await;
    l.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forced_path_leaves_a_reserve_for_disputes() {
    let s = Setup::new();
    {
        let mut w = s.chain.0.lock().unwrap();
        (w.balance, w.forced) = (U256::from(1), Some(0));
        w.block += 1;
        let request = IService::Request {
            request: B256::repeat_byte(0x42),
            requester: user().address(),
            selector: selector("work").into(),
            program: w.methods[&selector("work")],
            input: data("work", &[7; 60]),
            budget: 100_000,
        };
        let inner = alloy::primitives::Log {
            address: service(),
            data: request.encode_log_data(),
        };
        let log = Log {
            inner,
            block_number: Some(w.block),
            block_timestamp: Some(w.now),
            log_index: Some(0),
            ..Log::default()
        };
        w.logs.push(log);
    }
    let node = start(&s.dir("node"), &s.chain, &key(1), None).await;
    let answers = || s.chain.0.lock().unwrap().forced.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(answers(), 0, "the account holds less than the reserve");
    s.chain.0.lock().unwrap().balance = U256::from(10).pow(U256::from(18));
    let begin = Instant::now();
    while answers() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "not answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

/// A feed that a bug of ours ends.
struct Panicking;

#[async_trait]
impl ChainFeed for Panicking {
    async fn poll(&mut self) -> Result<Vec<ChainEvent>, Error> {
        panic!("a bug")
    }
    fn restart(&mut self, _: u64) {}
    async fn time_of(&mut self, _: u64) -> Result<u64, Error> {
        Ok(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_longer_follows_the_chain_ends_with_an_error() {
    let s = Setup::new();
    let mut config = config(&s.dir("node"));
    config.program_dirs = vec![s.dir.path().join("programs")];
    config.metrics = None;
    let mut parts = s.chain.parts(key(1).address(), false);
    parts.feed = Some(Box::new(Panicking));
    let node = Node::builder(config).signer(key(1)).chain(parts).start().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), node.run_until_signal()).await;
    let error = ended.expect("it ends by itself").unwrap_err().to_string();
    assert!(error.contains("watcher"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_the_player_goes_on_after_a_restart_at_any_move() {
    let s = Setup::new();
    let (honest, liar) = (key(1), key(2));
    let mut h = start(&s.dir("honest"), &s.chain, &honest, None).await;
    let l = start(&s.dir("liar"), &s.chain, &liar, Some(LOOP + 8)).await;
    let (statement, claim) = ask(&h).await;
    ask(&l).await;
    // So that it is restarted between any two moves, however quick it is.
    s.chain.0.lock().unwrap().one_a_start = Some(honest.address());
    s.chain.open(statement, &[claim, false_claim(liar.address(), 0x66)]);
    let mut seen = 0;
    let mut restarts = 0;
    let begin = Instant::now();
    loop {
        let sent = s.chain.sent();
        let moves = sent.iter().filter(|(who, _)| *who == honest.address()).count();
        if sent.last().is_some_and(|(_, what)| *what == "settle") {
            break;
        }
        if moves > seen {
            seen = moves;
            restarts += 1;
            h.stop().await;
            s.chain.0.lock().unwrap().had_its_turn = false;
            h = start(&s.dir("honest"), &s.chain, &honest, None).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{sent:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(s.chain.settled().await, HashSet::from([liar.address()]));
    assert!(restarts >= 3, "{restarts}");
    h.stop().await;
    l.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_one_honest_node_joins_when_nobody_is_right_and_expires_the_silent() {
    let s = Setup::new();
    let (honest, peer) = (key(1), key(9));
    // A third node, that is no party, knows the statement and its input.
    let p = start(&s.dir("peer"), &s.chain, &peer, None).await;
    let (statement, _) = ask(&p).await;
    p.stop().await;
    // The honest one has never been asked, and finds the input in a directory.
    let pre = s.dir("honest").join("pre");
    std::fs::create_dir_all(&pre).unwrap();
    std::fs::write(pre.join("input.bin"), data("work", &[7; 60])).unwrap();
    let mut config = config(&s.dir("honest"));
    config.program_dirs = vec![s.dir.path().join("programs")];
    config.preimages.directories = vec![pre];
    config.metrics = None;
    let h = Node::builder(config)
        .signer(honest.clone())
        .chain(s.chain.parts(honest.address(), false))
        .start()
        .await
        .unwrap();
    // It is busy with others that it cannot answer.
    s.chain.open_unanswerable(100);
    let liars = [key(2).address(), key(3).address()];
    s.chain
        .open(statement, &[false_claim(liars[0], 0x66), false_claim(liars[1], 0x77)]);
    assert_eq!(s.chain.settled().await, HashSet::from(liars));
    let did: Vec<_> = s.chain.sent().into_iter().map(|(_, what)| what).collect();
    assert_eq!(did.first(), Some(&"join"), "{did:?}");
    assert!(did.iter().filter(|d| **d == "expire").count() == 2, "{did:?}");
    h.stop().await;
}
