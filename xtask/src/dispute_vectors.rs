//! `vectors/dispute/`: commitments, openings and payouts of the dispute game, for every implementation to agree on. The
//! folder's README says what the fields are.

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use surety_primitives::{Budget, ClaimDetail, DisputeId};
use surety_protocol::dispute::{
    Author, Claim, Geometry, History, Role, Settlement, Transition, encode_details, match_head, open, points_root,
};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let files = [
        ("geometry.json", geometry()?),
        ("matches.json", matches()?),
        ("details.json", details()),
        ("settlements.json", settlements()),
    ];
    crate::vectors::run("dispute", args, &files)
}

fn noise(name: &str) -> B256 {
    keccak256(name)
}

fn some_address(name: &str) -> Address {
    Address::from_word(noise(name))
}

fn geometry() -> Result<Vec<Value>> {
    let mut vectors = Vec::new();
    for steps in [
        0,
        1,
        31,
        32,
        1_023,
        1_024,
        10_000_000,
        (1 << 40) - 1,
        1 << 40,
        Budget::MAX,
    ] {
        let geometry = Geometry::new(Budget::new(steps)?);
        let length = geometry.length();
        let mut positions = vec![
            0,
            1,
            31,
            32,
            33,
            1_024,
            steps.saturating_sub(1),
            steps,
            steps + 1,
            length - 1,
            length,
        ];
        positions.retain(|p| *p <= length);
        positions.sort_unstable();
        positions.dedup();
        let positions: Vec<Value> = positions.into_iter().map(|p| position(&geometry, p)).collect();
        vectors.push(json!({
            "budget": steps, "levels": geometry.levels(), "length": length, "positions": positions,
        }));
    }
    Ok(vectors)
}

/// Who asserted the value (0 for the statement, dissections from 1, 255 for the claim), and what follows from it.
fn position(geometry: &Geometry, position: u64) -> Value {
    let author = match geometry.author(position) {
        Author::Statement => 0,
        Author::Dissection(number) => number,
        Author::Claim => 255,
    };
    let transition = match geometry.transition(position) {
        Transition::Step => "step",
        Transition::Projection => "projection",
        Transition::Identity => "identity",
    };
    json!({ "position": position, "author": author, "transition": transition })
}

/// Whole matches, each with openings at several segments.
fn matches() -> Result<Vec<Value>> {
    let matches: &[(u64, &[u8])] = &[
        (0, &[]),
        (31, &[]),
        (1_000, &[0]),
        (1_000, &[17]),
        (1_000, &[31]),
        (30_000, &[0, 0]),
        (30_000, &[5, 0]),
        (30_000, &[31, 31]),
        (1_000_000, &[7, 31, 31]),
        (1_000_000, &[9, 0, 0]),
        (1_000_000, &[3, 14, 15]),
    ];
    matches
        .iter()
        .enumerate()
        .map(|(i, (steps, digits))| one_match(i, *steps, digits))
        .collect()
}

fn one_match(i: usize, steps: u64, digits: &[u8]) -> Result<Value> {
    let geometry = Geometry::new(Budget::new(steps)?);
    let statement = noise(&format!("statement {i}"));
    let opener = some_address(&format!("opener {i}"));
    let dispute = DisputeId::new(statement.into(), opener);
    let disputes = some_address("disputes");
    let (chain_id, time, a, b) = (31337, 1_700_000_000 + i as u64, 0, 1 + i as u8 % 7);
    let start = match_head(dispute, disputes, chain_id, time, a, b);
    let result = noise(&format!("result of a {i}"));
    let mut history = History::new(geometry, start);
    let mut dissections = Vec::new();
    for number in 1..=geometry.levels() {
        let segment = number
            .checked_sub(2)
            .and_then(|n| digits.get(usize::from(n)))
            .copied()
            .unwrap_or_default();
        let points = core::array::from_fn(|p| noise(&format!("point {i} {number} {p}")));
        let root = points_root(&points);
        let head = history.push(segment, points.into()).context("a dissection too many")?;
        dissections.push(json!({ "segment": segment, "points": points, "root": root, "head": head }));
    }
    let mut openings = Vec::new();
    for segment in [0, 1, 2, 7, 8, 15, 16, 29, 30, 31] {
        let t = history.segment_start(segment);
        // At position 0 the start is no point; any value will do.
        let value = history.value(t).unwrap_or(noise("initial state"));
        let bytes = history.openings(segment, result).context("the step is not next")?;
        let opened = open(&geometry, t, value, &bytes)?;
        anyhow::ensure!(
            opened.head == history.head(),
            "match {i}, segment {segment}: openings lead elsewhere"
        );
        let author = match geometry.author(t + 1) {
            Author::Dissection(number) => number,
            Author::Statement | Author::Claim => 0,
        };
        openings.push(json!({
            "segment": segment, "position": t, "start": value, "end": opened.end, "author": author,
            "openings": hex::encode_prefixed(bytes),
        }));
    }
    Ok(json!({
        "budget": steps, "levels": geometry.levels(), "statement": statement, "opener": opener,
        "dispute": dispute, "disputes": disputes,
        "chainId": chain_id, "time": time, "a": a, "b": b, "start": start, "resultOfA": result,
        "dissections": dissections, "openings": openings,
    }))
}

fn some_claims(live: &[bool]) -> Vec<Claim> {
    let claim = |(i, live): (usize, &bool)| {
        let detail = ClaimDetail {
            operator: some_address(&format!("operator {i}")),
            request: noise(&format!("request {i}")).into(),
            requester: some_address(&format!("requester {}", i % 3)),
            result: noise(if *live { "right" } else { "wrong" }).into(),
        };
        Claim { detail, live: *live }
    };
    live.iter().enumerate().map(claim).collect()
}

fn claims_json(claims: &[Claim]) -> Value {
    claims
        .iter()
        .map(|Claim { detail, live }| {
            json!({
                "operator": detail.operator, "request": detail.request, "requester": detail.requester,
                "result": detail.result, "live": live,
            })
        })
        .collect()
}

fn details() -> Vec<Value> {
    let vector = |live: &[bool]| {
        let claims = some_claims(live);
        let opener = some_address("opener");
        let encoded = encode_details(opener, claims.iter().map(|c| &c.detail));
        let hash = keccak256(&encoded);
        json!({
            "opener": opener, "claims": claims_json(&claims), "encoded": hex::encode_prefixed(encoded), "hash": hash,
        })
    };
    [
        vector(&[true, false]),
        vector(&[true, false, true]),
        vector(&[false; 8]),
    ]
    .into()
}

fn settlements() -> Vec<Value> {
    let vector = |live: &[bool], bonds: &[u64]| {
        let claims = some_claims(live);
        let (opener, settler) = (some_address("opener"), some_address("settler"));
        let bond = |operator| {
            let of = |(claim, bond): (&Claim, _)| (claim.detail.operator == operator).then_some(bond);
            U256::from(claims.iter().zip(bonds).find_map(of).copied().unwrap_or_default())
        };
        let settlement = Settlement::new(&claims, opener, settler, bond);
        let bonds: Vec<_> = bonds.iter().map(u64::to_string).collect();
        let slashes: Vec<_> = settlement
            .slashes
            .iter()
            .map(|s| json!({ "operator": s.operator, "amount": s.amount.to_string() }))
            .collect();
        let role = |role| match role {
            Role::Requester => "requester",
            Role::Survivor => "survivor",
            Role::Opener => "opener",
            Role::Settler => "settler",
        };
        let credits: Vec<_> = settlement
            .credits
            .iter()
            .map(|c| json!({ "to": c.to, "role": role(c.role), "amount": c.amount.to_string() }))
            .collect();
        json!({
            "claims": claims_json(&claims), "opener": opener, "settler": settler, "bonds": bonds,
            "slashes": slashes, "credits": credits, "burnt": settlement.burnt.to_string(),
        })
    };
    vec![
        vector(&[true, false], &[1_000_000; 2]),
        vector(&[false, true], &[1; 2]),
        vector(&[true, false, true], &[999_999_999_999_999_999; 3]),
        vector(&[false, false, true, false], &[1_000_003; 4]),
        vector(&[true, true, true, true, true, true, true, false], &[777; 8]),
        vector(&[false, false], &[1_000; 2]),
        // Accomplices with next to nothing at stake: the big bond is lost whole all the same.
        vector(
            &[false, false, false, true, false, false, false, false],
            &[1, 1, 1_000_003, 7, 1, 1, 1, 1],
        ),
        vector(&[false, true, false, false], &[1_000_003, 5, 999_999, 500_001]),
    ]
}
