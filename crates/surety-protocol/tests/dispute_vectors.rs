//! The shared vectors, against this implementation; other languages check the same files.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde_json::Value;
use surety_primitives::{Budget, ClaimDetail, DisputeId};
use surety_protocol::dispute::*;

macro_rules! vectors {
    ($file:literal) => {
        serde_json::from_str::<Vec<Value>>(include_str!(concat!("../../../vectors/dispute/", $file))).unwrap()
    };
}

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().unwrap().parse::<Bytes>().unwrap().to_vec()
}

fn amount(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn byte(value: &Value) -> u8 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn geometry_of(value: &Value) -> Geometry {
    let geometry = Geometry::new(Budget::new(value["budget"].as_u64().unwrap()).unwrap());
    assert_eq!(geometry.levels(), byte(&value["levels"]));
    geometry
}

fn claims(value: &Value) -> Vec<Claim> {
    let claim = |v: &Value| Claim {
        detail: ClaimDetail {
            operator: address(&v["operator"]),
            request: hash(&v["request"]).into(),
            requester: address(&v["requester"]),
            result: hash(&v["result"]).into(),
        },
        live: v["live"].as_bool().unwrap(),
    };
    value.as_array().unwrap().iter().map(claim).collect()
}

#[test]
fn geometry() {
    for v in vectors!("geometry.json") {
        let geometry = geometry_of(&v);
        assert_eq!(geometry.length(), v["length"].as_u64().unwrap());
        for p in v["positions"].as_array().unwrap() {
            let position = p["position"].as_u64().unwrap();
            let author = match geometry.author(position) {
                Author::Statement => 0,
                Author::Dissection(number) => number,
                Author::Claim => 255,
            };
            assert_eq!(author, byte(&p["author"]), "position {position} of {v}");
            let transition = match geometry.transition(position) {
                Transition::Step => "step",
                Transition::Projection => "projection",
                Transition::Identity => "identity",
            };
            assert_eq!(p["transition"], transition);
        }
    }
}

#[test]
fn matches() {
    for v in vectors!("matches.json") {
        let dispute = DisputeId::new(hash(&v["statement"]).into(), address(&v["opener"]));
        assert_eq!(dispute.0, hash(&v["dispute"]));
        let start = match_head(
            dispute,
            address(&v["disputes"]),
            v["chainId"].as_u64().unwrap(),
            v["time"].as_u64().unwrap(),
            byte(&v["a"]),
            byte(&v["b"]),
        );
        assert_eq!(start, hash(&v["start"]));
        let mut history = History::new(geometry_of(&v), start);
        for d in v["dissections"].as_array().unwrap() {
            let points: Vec<B256> = d["points"].as_array().unwrap().iter().map(hash).collect();
            let points: Points = points.try_into().unwrap();
            assert_eq!(points_root(&points), hash(&d["root"]));
            let head = next_head(history.head(), byte(&d["segment"]), hash(&d["root"]));
            assert_eq!(head, hash(&d["head"]));
            assert_eq!(history.push(byte(&d["segment"]), Box::new(points)), Some(head));
        }
        for o in v["openings"].as_array().unwrap() {
            let openings = history.openings(byte(&o["segment"]), hash(&v["resultOfA"])).unwrap();
            assert_eq!(openings, bytes(&o["openings"]));
            let t = o["position"].as_u64().unwrap();
            let opened = open(history.geometry(), t, hash(&o["start"]), &openings).unwrap();
            assert_eq!((opened.head, opened.end), (history.head(), hash(&o["end"])));
        }
    }
}

#[test]
fn details() {
    for v in vectors!("details.json") {
        let claims = claims(&v["claims"]);
        let encoded = encode_details(address(&v["opener"]), claims.iter().map(|c| &c.detail));
        assert_eq!(encoded, bytes(&v["encoded"]));
        assert_eq!(keccak256(encoded), hash(&v["hash"]));
    }
}

#[test]
fn p7_settlements() {
    for v in vectors!("settlements.json") {
        let claims = claims(&v["claims"]);
        let bonds: Vec<_> = v["bonds"].as_array().unwrap().iter().map(amount).collect();
        assert_eq!(bonds.len(), claims.len());
        let bond = |operator| {
            let index = claims.iter().position(|c| c.detail.operator == operator);
            bonds[index.unwrap()]
        };
        let settlement = Settlement::new(&claims, address(&v["opener"]), address(&v["settler"]), bond);
        let slashes = v["slashes"].as_array().unwrap();
        assert_eq!(settlement.slashes.len(), slashes.len());
        for (found, expected) in settlement.slashes.iter().zip(slashes) {
            assert_eq!(
                (found.operator, found.amount),
                (address(&expected["operator"]), amount(&expected["amount"]))
            );
        }
        let credits = v["credits"].as_array().unwrap();
        assert_eq!(settlement.credits.len(), credits.len());
        for (found, expected) in settlement.credits.iter().zip(credits) {
            assert_eq!(
                (found.to, found.amount),
                (address(&expected["to"]), amount(&expected["amount"]))
            );
        }
        let paid: U256 = settlement.credits.iter().map(|c| c.amount).sum();
        assert_eq!(settlement.burnt, amount(&v["burnt"]));
        assert_eq!(paid + settlement.burnt, settlement.slashed());
    }
}
