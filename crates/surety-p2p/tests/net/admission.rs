//! Who may speak, and how much.

use std::time::{Duration, Instant};

use libp2p_stream::OpenStreamError;
use surety_p2p::{Config, Count, Error, Event, Handle, Members, Misbehaviour, Multiaddr, Rate, Via};
use tokio::task::JoinHandle;

use crate::{
    ground::{Node, OTHER, PATIENCE, SERVICE, config, group, identity, members, operator, until},
    raw,
};

/// Answers every request with "member" or "stranger" until its network ends. Returns what else happened.
fn serve(mut node: Node) -> JoinHandle<Vec<Event>> {
    tokio::spawn(async move {
        let mut rest = Vec::new();
        while let Some(event) = node.events.recv().await {
            match event {
                Event::Request(request) => {
                    let who = if request.from.is_some() { "member" } else { "stranger" };
                    request.reply.send(who.into()).expect("a reply");
                }
                other => rest.push(other),
            }
        }
        rest
    })
}

/// A client: a key that is nobody's operator, without a socket to listen on.
async fn client(index: u8) -> Node {
    Node::start(
        index,
        Config {
            listen: Vec::new(),
            ..config()
        },
        Members::new(),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_served_and_publish_nothing() {
    let mut nodes = group(2, config()).await;
    let node = nodes.remove(0);
    let (handle, address) = (node.handle.clone(), node.address());
    let served = serve(node);

    let client = client(100).await;
    let peer = client
        .handle
        .dial(address.clone())
        .await
        .expect("strangers may connect");
    assert_eq!(peer, handle.peer_id());
    assert_eq!(
        client.handle.request(peer, vec![1], PATIENCE).await.expect("a reply"),
        b"stranger"
    );
    assert_eq!(
        nodes[0]
            .handle
            .ask(operator(0), vec![1], PATIENCE)
            .await
            .expect("a reply"),
        b"member"
    );

    // Not even the protocols are offered.
    let (peer, mut control) = raw::streams(101, address.clone()).await;
    for protocol in [raw::DIRECT, raw::KAD, raw::GOSSIP] {
        let refused = control.open_stream(peer, protocol.clone()).await;
        assert!(
            matches!(refused, Err(OpenStreamError::UnsupportedProtocol(_))),
            "{protocol}"
        );
    }
    control
        .open_stream(peer, raw::REQUEST)
        .await
        .expect("requests are offered");

    // A swarm that insists on publishing has nobody to publish to.
    let mut swarm = raw::gossip(102);
    swarm
        .behaviour_mut()
        .subscribe(&raw::topic(SERVICE))
        .expect("subscribed");
    raw::connect(&mut swarm, address).await;
    let insist = async {
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            let _ = swarm.behaviour_mut().publish(raw::topic(SERVICE), vec![1]);
            let next = futures::StreamExt::next(&mut swarm);
            let _ = tokio::time::timeout(Duration::from_millis(20), next).await;
        }
    };
    insist.await;
    handle.shutdown().await;
    let events = served.await.expect("served");
    assert!(
        events.iter().all(|event| !matches!(event, Event::Message(_))),
        "{events:?}"
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::PeerConnected { operator: None, .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_another_service_cannot_publish_to_this_one() {
    // Node 0 serves both, node 1 both, node 2 only the other one.
    let mut truth = members(2);
    for index in 0..3 {
        truth.insert(OTHER, operator(index));
    }
    let mut honest = Node::start(0, config(), truth.clone()).await;
    let mut third = Node::start(1, config(), truth.clone()).await;
    // Node 2 believes in itself.
    let mut lie = truth.clone();
    lie.insert(SERVICE, operator(2));
    for (index, node) in [(0, &honest), (1, &third)] {
        lie.locate(operator(index), node.address());
        truth.locate(operator(index), node.address());
    }
    third.members.send_replace(truth.clone().into());
    let liar = Node::start(2, config(), lie).await;
    until("all are connected", || {
        [&honest, &third, &liar]
            .iter()
            .all(|node| node.handle.operators().len() == 2)
    })
    .await;

    liar.handle
        .publish(SERVICE, b"lie".to_vec())
        .await
        .expect("it thinks it may");
    liar.handle
        .send(operator(0), SERVICE, b"lie".to_vec())
        .expect("it thinks it may");
    until("both lies are refused", || {
        let counters = honest.handle.counters();
        counters.get(Count::GossipNotMember) > 0 && counters.get(Count::ReceivedNotMember) > 0
    })
    .await;
    // The lies came before the truth on the same ways, and did not arrive.
    liar.handle.publish(OTHER, b"truth".to_vec()).await.expect("it may");
    liar.handle.send(operator(0), OTHER, b"truth".to_vec()).expect("it may");
    for _ in 0..2 {
        let message = honest.message().await;
        assert_eq!(
            (message.from, message.service, message.data),
            (operator(2), OTHER, b"truth".to_vec())
        );
    }
    assert_eq!(third.message().await.service, OTHER);
    until("it is counted", || {
        third.handle.counters().get(Count::GossipAccepted) > 0
    })
    .await;
    assert_eq!(third.handle.counters().get(Count::GossipAccepted), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_requests_are_fewer_and_members_are_served_meanwhile() {
    let rate = Rate {
        messages: 5.0,
        bytes: 1e6,
        burst: 1.0,
    };
    let mut nodes = group(
        2,
        Config {
            stranger_rate: rate,
            ..config()
        },
    )
    .await;
    let node = nodes.remove(0);
    let (handle, address) = (node.handle.clone(), node.address());
    let served = serve(node);
    // Two keys, one address: together they are one stranger.
    let clients = [client(100).await, client(101).await];
    let mut answered = 0;
    let start = Instant::now();
    for client in &clients {
        let peer = client.handle.dial(address.clone()).await.expect("connected");
        for _ in 0..40 {
            answered += u32::from(client.handle.request(peer, vec![1], PATIENCE).await.is_ok());
        }
    }
    let allowed = 5.0 * (1.0 + start.elapsed().as_secs_f64()) + 1.0;
    assert!(f64::from(answered) <= allowed, "{answered} answered, {allowed} allowed");
    assert!(answered >= 5, "{answered}");
    assert_eq!(handle.counters().get(Count::RequestsRefused), 80 - u64::from(answered));
    for _ in 0..40 {
        nodes[0]
            .handle
            .ask(operator(0), vec![1], PATIENCE)
            .await
            .expect("members are served");
    }
    handle.shutdown().await;
    served.await.expect("served");
}

async fn is_in(node: &Handle, client: &Handle, address: &Multiaddr) -> bool {
    let Ok(peer) = client.dial(address.clone()).await else {
        return false;
    };
    // The other side may refuse a connection that this side has: then it closes at once.
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if node.peers().iter().any(|one| one.peer == client.peer_id()) {
            return true;
        }
        if !client.peers().iter().any(|one| one.peer == peer) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("neither in nor out");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_take_the_members_places() {
    let limits = Config {
        max_connections: 6,
        reserved_connections: 3,
        ..config()
    };
    let node = Node::start(0, limits, members(2)).await;
    let address = node.address();
    let mut clients = Vec::new();
    let mut inside = 0;
    for index in 100..108 {
        let client = client(index).await;
        inside += u32::from(is_in(&node.handle, &client.handle, &address).await);
        clients.push(client);
    }
    assert_eq!(inside, 3);
    assert!(node.handle.counters().get(Count::ConnectionsRefused) >= 5);
    let mut all = members(2);
    all.locate(operator(0), address);
    let member = Node::start(1, config(), all).await;
    until("the member is in", || {
        member.handle.operators().len() == 1 && node.handle.operators().len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ip_address_and_one_key_have_few_places() {
    let node = Node::start(
        0,
        Config {
            max_per_ip: 2,
            max_per_peer: 3,
            ..config()
        },
        members(2),
    )
    .await;
    let address = node.address();
    let mut inside = 0;
    let mut clients = Vec::new();
    for index in 100..105 {
        let client = client(index).await;
        inside += u32::from(is_in(&node.handle, &client.handle, &address).await);
        clients.push(client);
    }
    assert_eq!(inside, 2);

    // A member is exempt from the limit on its address, not from that on its key.
    let member = Node::start(
        1,
        Config {
            redial: Duration::from_secs(600),
            max_per_peer: 16,
            ..config()
        },
        members(2),
    )
    .await;
    for _ in 0..6 {
        member.handle.dial(address.clone()).await.expect("dialled");
    }
    until("three connections of the member stay", || {
        let of = |handle: &Handle, other: &Handle| {
            handle
                .peers()
                .iter()
                .find(|one| one.peer == other.peer_id())
                .map_or(0, |one| one.remote.len())
        };
        of(&node.handle, &member.handle) == 3 && of(&member.handle, &node.handle) == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_misbehaves_is_banned_and_comes_back_later() {
    let ban = Duration::from_secs(2);
    let mut nodes = group(3, Config { ban, ..config() }).await;
    let bad = nodes[1].handle.peer_id();
    for _ in 0..3 {
        nodes[0]
            .handle
            .report(bad, Misbehaviour::Forged)
            .await
            .expect("reported");
    }
    until("it is out", || !nodes[0].handle.operators().contains(&operator(1))).await;
    let start = Instant::now();
    assert_eq!(nodes[0].handle.counters().get(Count::Banned), 1);
    assert_eq!(
        nodes[0].handle.send(operator(1), SERVICE, vec![1]),
        Err(Error::NotConnected(operator(1)))
    );
    // It knocks, in vain, and what it says does not come through others either.
    nodes[1]
        .handle
        .publish(SERVICE, b"banned".to_vec())
        .await
        .expect("published");
    let message = nodes[2].message().await;
    assert_eq!(message.data, b"banned");
    let knocks = |node: &Node| node.handle.counters().get(Count::ConnectionsRefused) > 0;
    until("it knocks in vain", || knocks(&nodes[0])).await;
    until("it is back", || nodes[0].handle.operators().contains(&operator(1))).await;
    assert!(
        start.elapsed() >= ban - Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    until("it knows that it is back", || {
        nodes[1].handle.operators().contains(&operator(0))
    })
    .await;
    nodes[1]
        .handle
        .send(operator(0), SERVICE, b"back".to_vec())
        .expect("queued");
    let message = nodes[0].message().await;
    assert_eq!(
        (message.data, message.via),
        (b"back".to_vec(), Via::Direct),
        "what it said while banned is not heard"
    );
    assert_eq!(message.peer, identity(1).peer());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_contradicts_itself_is_refused() {
    let good = config();
    for wrong in [
        Config {
            event_queue: 0,
            ..good.clone()
        },
        Config {
            event_bytes: 1,
            ..good.clone()
        },
        Config {
            max_per_peer: 0,
            ..good.clone()
        },
        Config {
            reserved_connections: good.max_connections + 1,
            ..good.clone()
        },
        Config {
            ping: Duration::ZERO,
            ..good.clone()
        },
        Config {
            direct_rate: Rate {
                messages: f64::NAN,
                ..good.direct_rate
            },
            ..good.clone()
        },
        Config {
            stranger_rate: Rate {
                messages: 0.1,
                bytes: 1.0,
                burst: 1.0,
            },
            ..good.clone()
        },
    ] {
        let (_, receiver) = tokio::sync::watch::channel(Members::new().into());
        let refused = surety_p2p::Network::start(wrong, identity(0), receiver).await;
        assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    }
    let (_, receiver) = tokio::sync::watch::channel(Members::new().into());
    // An address that is for documentation, and no machine's.
    let wrong = Config {
        listen: vec!["/ip4/203.0.113.1/tcp/9900".parse().expect("a multiaddress")],
        ..good
    };
    let refused = surety_p2p::Network::start(wrong, identity(0), receiver).await;
    assert!(matches!(refused, Err(Error::Listen { .. })), "{refused:?}");
}
