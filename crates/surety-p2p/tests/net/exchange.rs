//! Members exchange messages on topics, one-way messages and requests.

use std::{collections::BTreeSet, time::Duration};

use surety_p2p::{Address, Count, Error, Event, Members, Via, address_of};

use crate::ground::{Node, PATIENCE, SERVICE, config, connected, group, identity, members, operator, retry, until};

#[test]
fn a_peer_id_tells_the_operators_address() {
    // The secret 1: its address is known to everybody.
    let mut secret = [0u8; 32];
    secret[31] = 1;
    let one = surety_p2p::Identity::new(secret).expect("a secret");
    let known: Address = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
        .parse()
        .expect("an address");
    assert_eq!(one.address(), known);
    assert_eq!(address_of(&one.peer()), Some(known));
    assert_eq!(
        address_of(&surety_p2p::PeerId::random()),
        None,
        "the hash of a key is no key"
    );
    assert!(surety_p2p::Identity::new([0; 32]).is_err());
    assert!(surety_p2p::Identity::new([0xff; 32]).is_err());
}

/// Everybody publishes, sends to everybody, asks everybody; everybody gets everything once.
async fn everybody_hears_everybody(count: u8) {
    let mut nodes = group(count, config()).await;
    let others = usize::from(count) - 1;

    for (index, node) in (0..count).zip(&nodes) {
        node.handle
            .publish(SERVICE, vec![b'g', index])
            .await
            .expect("published");
        for to in (0..count).filter(|to| *to != index) {
            node.handle
                .send(operator(to), SERVICE, vec![b'd', index, to])
                .expect("queued");
        }
    }
    for (index, node) in (0..count).zip(&mut nodes) {
        let (mut gossip, mut direct) = (BTreeSet::new(), BTreeSet::new());
        while gossip.len() < others || direct.len() < others {
            let message = node.message().await;
            assert_eq!(message.service, SERVICE);
            let author = message.data[1];
            assert_eq!(message.from, operator(author));
            assert_eq!(message.peer, identity(author).peer());
            match message.via {
                Via::Gossip { .. } => {
                    assert_eq!(message.data, [b'g', author]);
                    assert!(gossip.insert(author), "twice from {author}");
                }
                Via::Direct => {
                    assert_eq!(message.data, [b'd', author, index]);
                    assert!(direct.insert(author), "twice from {author}");
                }
            }
        }
    }

    let handles: Vec<_> = nodes.iter().map(|node| node.handle.clone()).collect();
    let servers: Vec<_> = nodes
        .into_iter()
        .map(|mut node| {
            tokio::spawn(async move {
                while let Some(event) = node.events.recv().await {
                    if let Event::Request(request) = event {
                        let from = request.from.expect("a member");
                        let mut reply = request.data;
                        reply.extend_from_slice(from.as_slice());
                        request.reply.send(reply).expect("a reply");
                    }
                }
            })
        })
        .collect();
    for (index, handle) in (0..count).zip(&handles) {
        for to in (0..count).filter(|to| *to != index) {
            let reply = handle
                .ask(operator(to), vec![index, to], PATIENCE)
                .await
                .expect("a reply");
            assert_eq!(reply[..2], [index, to]);
            assert_eq!(reply[2..], operator(index)[..]);
        }
    }
    for handle in handles {
        handle.shutdown().await;
        assert_eq!(handle.publish(SERVICE, vec![1]).await, Err(Error::Down));
    }
    for server in servers {
        server.await.expect("ends when its network does");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes() {
    everybody_hears_everybody(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes() {
    everybody_hears_everybody(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_nodes() {
    everybody_hears_everybody(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_publishes_and_the_first_who_comes_hears_it() {
    let alone = Node::start(0, config(), members(2)).await;
    for index in 0..3 {
        alone
            .handle
            .publish(SERVICE, vec![index])
            .await
            .expect("nobody is there, and that is no error");
    }
    until("all three are kept", || {
        alone.handle.counters().get(Count::Unheard) == 3
    })
    .await;
    let mut all = members(2);
    all.locate(operator(0), alone.address());
    let mut second = Node::start(1, config(), all).await;
    let heard: BTreeSet<Vec<u8>> = [second.message().await, second.message().await, second.message().await]
        .into_iter()
        .map(|message| message.data)
        .collect();
    assert_eq!(heard, BTreeSet::from([vec![0], vec![1], vec![2]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_messages_keep_their_order_and_large_ones_arrive() {
    let mut nodes = group(2, config()).await;
    let mut second = nodes.pop().expect("two");
    let first = nodes.pop().expect("two");
    let limit = config().max_message;
    first.handle.send(operator(1), SERVICE, vec![7; limit]).expect("queued");
    for index in 0..2_000u32 {
        first
            .handle
            .send(operator(1), SERVICE, index.to_be_bytes().to_vec())
            .expect("queued");
    }
    assert_eq!(second.message().await.data.len(), limit);
    for index in 0..2_000u32 {
        assert_eq!(second.message().await.data, index.to_be_bytes());
    }
    let sent = |peers: Vec<surety_p2p::Peer>| peers.iter().all(|peer| peer.queued_bytes == 0);
    until("nothing is queued any more", || sent(first.handle.peers())).await;
    assert_eq!(
        first.handle.send(operator(1), SERVICE, vec![7; limit + 1]),
        Err(Error::TooLarge {
            what: "a one-way message",
            found: limit + 1,
            limit
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_with_its_key_is_found_again() {
    let mut nodes = group(3, config()).await;
    let gone = nodes.remove(1);
    let address = gone.address();
    gone.handle.shutdown().await;
    drop(gone);
    until("the others notice", || {
        nodes.iter().all(|node| node.handle.operators().len() == 1)
    })
    .await;
    assert_eq!(
        nodes[0].handle.send(operator(1), SERVICE, vec![1]),
        Err(Error::NotConnected(operator(1)))
    );

    let mut all = members(3);
    all.locate(operator(1), address.clone());
    // It comes back where it was, knowing nobody's address: the others dial it.
    let back = Node::start(
        1,
        surety_p2p::Config {
            listen: vec![address],
            ..config()
        },
        all,
    )
    .await;
    nodes.insert(1, back);
    connected(&nodes, 3).await;
    nodes[0]
        .handle
        .publish(SERVICE, b"again".to_vec())
        .await
        .expect("published");
    nodes[0]
        .handle
        .send(operator(1), SERVICE, b"too".to_vec())
        .expect("queued");
    let heard = BTreeSet::from([nodes[1].message().await.data, nodes[1].message().await.data]);
    assert_eq!(heard, BTreeSet::from([b"again".to_vec(), b"too".to_vec()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_without_a_registered_address_find_each_other_through_others() {
    // Node 0 is the only one whose address is known.
    let hub = Node::start(0, config(), members(5)).await;
    let mut all = members(5);
    all.locate(operator(0), hub.address());
    let mut nodes = vec![hub];
    for index in 1..5 {
        nodes.push(Node::start(index, config(), all.clone()).await);
    }
    connected(&nodes, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_peers_introduce_members() {
    let hub = Node::start(0, config(), members(3)).await;
    let boot = surety_p2p::Config {
        bootstrap: vec![hub.address()],
        ..config()
    };
    let nodes = vec![
        hub,
        Node::start(1, boot.clone(), members(3)).await,
        Node::start(2, boot, members(3)).await,
    ];
    connected(&nodes, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_nobody_answers_ends_at_its_deadline() {
    let nodes = group(2, config()).await;
    let peer = nodes[0].handle.peer_of(operator(1)).expect("connected");
    let deadline = Duration::from_millis(200);
    // The other node never takes the event.
    assert_eq!(
        nodes[0].handle.request(peer, vec![1], deadline).await,
        Err(Error::Timeout { peer, deadline })
    );
    let stranger = surety_p2p::PeerId::random();
    assert_eq!(
        nodes[0].handle.request(stranger, vec![1], deadline).await,
        Err(Error::NoSuchPeer(stranger))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_dropped_or_too_large_is_refused() {
    let mut nodes = group(2, config()).await;
    let mut server = nodes.pop().expect("two");
    let asker = nodes.pop().expect("two");
    let limit = config().max_message;
    let serve = tokio::spawn(async move {
        for _ in 0..2 {
            let request = server
                .next(|event| match event {
                    Event::Request(request) => Some(request),
                    _ => None,
                })
                .await;
            if request.data == [1] {
                drop(request.reply);
            } else {
                let too_large = request.reply.send(vec![0; limit + 1]);
                assert_eq!(
                    too_large,
                    Err(Error::TooLarge {
                        what: "a reply",
                        found: limit + 1,
                        limit
                    })
                );
            }
        }
        server
    });
    for data in [vec![1], vec![2]] {
        let refused = asker.handle.ask(operator(1), data, PATIENCE).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    serve.await.expect("served");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_later_is_let_in_and_who_leaves_is_not_heard_any_more() {
    let mut nodes = group(3, config()).await;
    // Node 2 leaves.
    let mut two = members(2);
    two.locate(operator(0), nodes[0].address());
    for node in &nodes {
        node.members.send_replace(two.clone().into());
    }
    until("node 2 is nobody's fellow", || {
        nodes[2].handle.operators().is_empty() && nodes[..2].iter().all(|node| node.handle.operators().len() == 1)
    })
    .await;
    let own = nodes[2].handle.operator();
    assert_eq!(
        nodes[2].handle.publish(SERVICE, vec![1]).await,
        Err(Error::NotAMember {
            service: SERVICE,
            operator: own
        })
    );
    assert_eq!(
        nodes[0].handle.send(own, SERVICE, vec![1]),
        Err(Error::NotAMember {
            service: SERVICE,
            operator: own
        })
    );
    // It comes back.
    let mut three = members(3);
    three.locate(operator(0), nodes[0].address());
    three.locate(operator(1), nodes[1].address());
    for node in &nodes {
        node.members.send_replace(three.clone().into());
    }
    connected(&nodes, 3).await;
    let handle = nodes[2].handle.clone();
    retry("a topic is joined again", || {
        let handle = handle.clone();
        async move { handle.publish(SERVICE, b"back".to_vec()).await }
    })
    .await;
    assert_eq!(nodes[0].message().await.data, b"back");
    assert_eq!(nodes[1].message().await.data, b"back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_address_with_somebody_else_behind_it_is_no_member() {
    let honest = Node::start(0, config(), members(2)).await;
    let mut impostor = Node::start(9, config(), members(2)).await;
    let mut all = Members::clone(&members(2));
    all.locate(operator(1), impostor.address());
    honest.members.send_replace(all.into());
    until("the impostor is refused", || {
        honest.handle.counters().get(Count::ConnectionsRefused) > 0
    })
    .await;
    assert!(honest.handle.operators().is_empty());
    assert!(impostor.drain().iter().all(|event| !matches!(event, Event::Message(_))));
}
