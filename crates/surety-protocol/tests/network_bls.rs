//! The machines with the signatures that the node uses.

use std::sync::Arc;
use surety_primitives::{
    Address, B256, Domain,
    bls::SecretKey,
    certificate::Quorum,
    set::{Member, Set, Signers},
};
use surety_protocol::network::{
    Done, EventConsensus, Roster, Scheme, SignatureBytes, Work,
    crypto_bls::BlsScheme,
    event::{Config, Effect, Input},
};

const DOMAIN: Domain = Domain {
    chain_id: 1,
    verifying_contract: Address::repeat_byte(9),
};

fn secret(index: u8) -> SecretKey {
    SecretKey::generate(&[index + 1; 32])
}

fn set(members: u8) -> Arc<Set> {
    let member = |index: u8| Member {
        operator: Address::repeat_byte(index + 1),
        power: 10,
        weight: 1,
        key: secret(index).public_key(),
    };
    Arc::new(Set::new(Address::repeat_byte(0x5e), 3, 1, (0..members).map(member).collect()).expect("a set"))
}

#[test]
fn garbage_is_found_and_left_out_of_the_sum() {
    let set = set(4);
    let schemes: Vec<_> = (0..4)
        .map(|index| BlsScheme::new(Some(secret(index)), [set.clone()]))
        .collect();
    let digest = B256::repeat_byte(5);
    let mut ballots: Vec<_> = (0..4)
        .map(|at| (at, schemes[at].sign(digest).expect("signs")))
        .collect();
    ballots[1].1 = SignatureBytes::repeat_byte(0xff);
    ballots[2].1 = schemes[2].sign(B256::ZERO).expect("signs");
    let work = Work::Combine {
        set: 3,
        digest,
        ballots,
    };
    let Done::Combined { signature, good, bad } = work.run(&schemes[0]) else {
        panic!("another answer");
    };
    let of = |members: &[usize]| members.iter().copied().collect::<Signers>();
    assert_eq!((good, bad), (of(&[0, 3]), of(&[1, 2])));
    assert!(schemes[1].verify(3, good, digest, &signature.expect("a sum")));
    assert!(
        !schemes[1].verify(2, good, digest, &signature.expect("a sum")),
        "a set that nobody knows"
    );
}

#[test]
fn an_event_is_certified_as_the_contract_takes_it() {
    let set = set(5);
    let roster = Arc::new(Roster::of(&set, DOMAIN, Quorum::DEFAULT));
    let operators: Vec<_> = set.members().iter().map(|member| member.operator).collect();
    let schemes: Vec<_> = (0..5)
        .map(|index| BlsScheme::new(Some(secret(index)), [set.clone()]))
        .collect();
    let config = |me| Config::new(Some(me), 4_000, 5);
    let mut machines: Vec<_> = operators
        .iter()
        .map(|me| EventConsensus::new(config(*me), roster.clone(), 1_000))
        .collect();
    let key = B256::repeat_byte(7);
    let seen = Input::Observed {
        key,
        value: key,
        until: 5_000,
    };
    let mut inputs: Vec<_> = (0..5).map(|index| (index, seen.clone())).collect();
    let mut certified = 0;
    for now in 1_000..1_100 {
        inputs.extend((0..5).map(|index| (index, Input::Tick)));
        for (index, input) in core::mem::take(&mut inputs) {
            for effect in machines[index].step(now, input) {
                let from = operators[index];
                match effect {
                    Effect::Send { to, message } => {
                        let to = roster.index_of(to).expect("a member");
                        inputs.push((to, Input::Message { from, message }));
                    }
                    Effect::Broadcast { message } => {
                        let others = (0..5).filter(|other| *other != index);
                        inputs.extend(others.map(|to| {
                            (
                                to,
                                Input::Message {
                                    from,
                                    message: message.clone(),
                                },
                            )
                        }));
                    }
                    Effect::Store { ticket, .. } => inputs.push((
                        index,
                        Input::Stored {
                            ticket,
                            refused: vec![],
                        },
                    )),
                    Effect::Compute { ticket, work } => {
                        let done = work.run(&schemes[index]);
                        inputs.push((index, Input::Computed { ticket, done }));
                    }
                    Effect::Certified { seal, votes, fresh } => {
                        certified += fresh.len();
                        let votes: Vec<_> = votes.iter().map(|vote| vote.vote()).collect();
                        let proven = surety_protocol::network::Proven::new(seal, &votes, 0).expect("under its root");
                        let proven = proven.to_proven().expect("points");
                        proven
                            .verify_quorum(&DOMAIN, &set, Quorum::DEFAULT)
                            .expect("a quorum signed");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(certified, 5);
}
