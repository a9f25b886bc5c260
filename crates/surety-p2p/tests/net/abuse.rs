//! What hostile and broken peers do: memory stays bounded, honest traffic goes on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use surety_p2p::{Config, Count, Error, Event, Rate, Via};
use tokio::io::AsyncWriteExt as _;

use crate::{
    ground::{Node, SERVICE, config, group, members, operator, retry, until},
    raw,
};

/// Resident memory of this process, bytes. Every test runs in a process of its own.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    status
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .expect("pages")
        * 4096
}

/// Two honest members exchange a message on the topic and a one-way message, both ways.
async fn honest_traffic(nodes: &mut [Node], round: u32) {
    for (from, to) in [(0usize, 1usize), (1, 0)] {
        let text = |how: &str| format!("{how} {round} {from}").into_bytes();
        nodes[from]
            .handle
            .publish(SERVICE, text("gossip"))
            .await
            .expect("published");
        let own = nodes[to].handle.operator();
        nodes[from].handle.send(own, SERVICE, text("direct")).expect("queued");
        let mut missing = BTreeSet::from([text("gossip"), text("direct")]);
        while !missing.is_empty() {
            let message = nodes[to].message().await;
            missing.remove(&message.data);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_messages_harm_nobody() {
    let seed = 0x5eed;
    let mut random = StdRng::seed_from_u64(seed);
    let mut nodes = group(2, config()).await;
    // Node 2 is a member too, so that every protocol is open to it; 100 is a stranger.
    for node in &nodes {
        let mut all = members(3);
        for (index, other) in (0..).zip(&nodes) {
            all.locate(operator(index), other.address());
        }
        node.members.send_replace(all.into());
    }
    let address = nodes[0].address();

    for round in 0..8 {
        // Before the handshake.
        let port = address.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let mut tcp = tokio::net::TcpStream::connect(("127.0.0.1", port.expect("a port")))
            .await
            .expect("connected");
        let mut garbage = vec![0u8; random.random_range(1..100_000)];
        random.fill_bytes(&mut garbage);
        // The other side may close first.
        let _ = tcp.write_all(&garbage).await;
        drop(tcp);

        // After it, on every protocol.
        for index in [2u8, 100] {
            let (peer, mut control) = raw::streams(index, address.clone()).await;
            for protocol in [raw::GOSSIP, raw::DIRECT, raw::KAD, raw::REQUEST] {
                let Ok(mut stream) = control.open_stream(peer, protocol.clone()).await else {
                    continue;
                };
                let mut garbage = vec![0u8; random.random_range(1..5_000)];
                random.fill_bytes(&mut garbage);
                if round % 2 == 0 {
                    // A length that fits, in front of nonsense.
                    let tail = garbage.len() - 1;
                    garbage[0] = u8::try_from(tail % 128).expect("below 128");
                }
                let _ = stream.write_all(&garbage).await;
                let _ = stream.close().await;
            }
        }
        honest_traffic(&mut nodes, round).await;
    }
    let counters = nodes[0].handle.counters();
    until("a broken handshake is noticed", || {
        counters.get(Count::HandshakesFailed) > 0
    })
    .await;
    until("a malformed frame is noticed", || {
        counters.get(Count::ReceivedMalformed) > 0
    })
    .await;
    until("a malformed request is noticed", || {
        counters.get(Count::RequestsMalformed) > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let mut nodes = group(3, config()).await;
    let limits = config();
    let handle = nodes[0].handle.clone();
    for (result, limit) in [
        (
            handle.publish(SERVICE, vec![0; limits.max_gossip + 1]).await,
            limits.max_gossip,
        ),
        (
            handle.send(operator(1), SERVICE, vec![0; limits.max_message + 1]),
            limits.max_message,
        ),
        (
            handle
                .ask(operator(1), vec![0; limits.max_request + 1], limits.request_timeout)
                .await
                .map(drop),
            limits.max_request,
        ),
    ] {
        assert!(
            matches!(result, Err(Error::TooLarge { limit: found, .. }) if found == limit),
            "{result:?}"
        );
    }
    // The largest that is allowed arrives.
    nodes[0]
        .handle
        .publish(SERVICE, vec![1; limits.max_gossip])
        .await
        .expect("published");
    assert_eq!(nodes[1].message().await.data.len(), limits.max_gossip);

    // A node whose limits are larger.
    nodes[2].handle.shutdown().await;
    let mut all = members(3);
    for index in [0u8, 1] {
        all.locate(operator(index), nodes[usize::from(index)].address());
    }
    let large = Config {
        max_gossip: 2 << 20,
        max_message: 8 << 20,
        max_request: 2 << 20,
        send_bytes: 32 << 20,
        ..config()
    };
    nodes[2] = Node::start(2, large, all).await;
    until("it is connected", || nodes[2].handle.operators().len() == 2).await;
    let counters = nodes[0].handle.counters();
    let before = counters.get(Count::ReceivedMalformed);
    retry("a one-way message that is too large is noticed", || {
        // It is cut off each time, and connects again.
        let _ = nodes[2].handle.send(operator(0), SERVICE, vec![0; (1 << 20) + 1]);
        let noticed = counters.get(Count::ReceivedMalformed) > before;
        async move { if noticed { Ok(()) } else { Err("not yet") } }
    })
    .await;
    retry("a request that is too large is refused", || {
        let handle = nodes[2].handle.clone();
        async move {
            match handle
                .ask(operator(1), vec![0; (64 << 10) + 1], Duration::from_secs(5))
                .await
            {
                Err(Error::Refused { .. }) => Ok(()),
                other => Err(other),
            }
        }
    })
    .await;
    nodes[2]
        .handle
        .publish(SERVICE, vec![2; 1 << 20])
        .await
        .expect("its own limit allows it");
    honest_traffic(&mut nodes[..2], 0).await;
    for node in &mut nodes[..2] {
        let oversized = |event: &Event| matches!(event, Event::Message(message) if message.data.len() > 256 << 10 && message.via != Via::Direct);
        assert!(!node.drain().iter().any(oversized));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_the_topic_does_not_drown_the_others() {
    let slow = Config {
        gossip_rate: Rate {
            messages: 50.0,
            bytes: 4e6,
            burst: 1.0,
        },
        event_queue: 512,
        ban_at: 30.0,
        ..config()
    };
    let mut nodes = group(2, slow.clone()).await;
    for node in &nodes {
        node.members.send_replace(members(3).into());
    }
    let before = resident();

    // A member that knows no limits: 1 KiB messages, as fast as they go.
    let mut swarm = raw::gossip(2);
    swarm
        .behaviour_mut()
        .subscribe(&raw::topic(SERVICE))
        .expect("subscribed");
    let (first, second) = (nodes[0].address(), nodes[1].address());
    raw::connect(&mut swarm, first).await;
    raw::connect(&mut swarm, second).await;
    let flood = tokio::spawn(async move {
        let mut published = 0u64;
        loop {
            for _ in 0..64 {
                published += u64::from(
                    swarm
                        .behaviour_mut()
                        .publish(raw::topic(SERVICE), vec![0u8; 1024])
                        .is_ok(),
                );
            }
            let wait = Duration::from_millis(1);
            while let Ok(Some(_)) = tokio::time::timeout(wait, swarm.next()).await {}
            if swarm.connected_peers().next().is_none() {
                return published;
            }
        }
    });

    let start = Instant::now();
    let mut round = 0;
    let mut most = 0;
    while !flood.is_finished() {
        honest_traffic(&mut nodes, round).await;
        round += 1;
        // Below its own rate.
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(nodes.iter().map(|node| node.events.len()).max().unwrap_or(0));
        let counters = || -> Vec<_> { nodes[0].handle.counters().all().filter(|(_, many)| *many > 0).collect() };
        assert!(
            start.elapsed() < crate::ground::PATIENCE,
            "the flooder is never banned: {:?}",
            counters()
        );
    }
    let published = flood.await.expect("flooded");
    honest_traffic(&mut nodes, round).await;
    assert!(published > 300, "{published}");
    assert!(most <= slow.event_queue);
    for node in &nodes {
        let counters = node.handle.counters();
        assert_eq!(counters.get(Count::Banned), 1);
        assert!(
            counters.get(Count::GossipOverRate) >= 300,
            "{}",
            counters.get(Count::GossipOverRate)
        );
        assert!(node.events.len() <= slow.event_queue);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_no_events_holds_its_senders_back() {
    let small = Config {
        event_queue: 16,
        send_queue: 64,
        send_bytes: 4 << 20,
        event_bytes: 2 << 20,
        ..config()
    };
    let mut nodes = group(2, small.clone()).await;
    let before = resident();
    let mut queued = 0u32;
    // Nobody takes the receiver's events. What fits its queue, the wire and the sender's queue is taken; no more.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let mut data = vec![0u8; 64 << 10];
        data[..4].copy_from_slice(&queued.to_be_bytes());
        match nodes[0].handle.send(operator(1), SERVICE, data) {
            Ok(()) => queued += 1,
            Err(Error::QueueFull(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other}"),
        }
    }
    let peer = &nodes[0].handle.peers()[0];
    assert!(
        peer.queued <= small.send_queue && peer.queued_bytes <= small.send_bytes,
        "{peer:?}"
    );
    assert!(nodes[0].handle.counters().get(Count::SendDropped) > 0);
    assert!(queued < 2_000, "{queued} messages of 64 KiB went somewhere");
    assert!(nodes[1].events.len() <= small.event_queue);
    let grown = resident().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes");
    // Now it takes them: all that were queued arrive, in order.
    for index in 0..queued {
        assert_eq!(nodes[1].message().await.data[..4], index.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fellow_that_never_reads_is_cut_off() {
    let write_timeout = Duration::from_secs(2);
    let limits = Config {
        write_timeout,
        ping: Duration::from_secs(600),
        ..config()
    };
    let mut nodes = group(2, limits.clone()).await;
    for node in &nodes {
        node.members.send_replace(members(3).into());
    }
    let before = resident();
    // It takes the stream for one-way messages, and reads nothing from it.
    let streams = raw::accept_and_hold(2, nodes[0].address()).await;
    until("it is connected", || nodes[0].handle.operators().contains(&operator(2))).await;

    let mut most = 0;
    let mut full = 0;
    let start = Instant::now();
    while nodes[0].handle.counters().get(Count::CutOff) == 0 {
        assert!(start.elapsed() < crate::ground::PATIENCE, "it is never cut off");
        match nodes[0].handle.send(operator(2), SERVICE, vec![0; 128 << 10]) {
            Err(Error::QueueFull(_)) => full += 1,
            Ok(()) | Err(Error::NotConnected(_)) => {}
            Err(other) => panic!("{other}"),
        }
        most = most.max(
            nodes[0]
                .handle
                .peers()
                .iter()
                .map(|peer| peer.queued_bytes)
                .max()
                .unwrap_or(0),
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(streams);
    assert!(full > 0);
    assert!(most <= limits.send_bytes, "{most}");
    honest_traffic(&mut nodes, 0).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_socket_stalls_costs_a_bounded_queue() {
    let limits = Config {
        gossip_queue: 32,
        gossip_rate: Rate {
            messages: 2_000.0,
            bytes: 1e9,
            burst: 2.0,
        },
        write_timeout: Duration::from_secs(2),
        ping: Duration::from_secs(3),
        ..config()
    };
    let mut nodes = group(2, limits).await;
    for node in &nodes {
        node.members.send_replace(members(3).into());
    }
    // It subscribes, and is never polled again: nothing leaves its socket.
    let mut swarm = raw::gossip(2);
    swarm
        .behaviour_mut()
        .subscribe(&raw::topic(SERVICE))
        .expect("subscribed");
    let stalled = raw::connect(&mut swarm, nodes[0].address()).await;
    let subscribed = Instant::now();
    while subscribed.elapsed() < Duration::from_secs(1) {
        let _ = tokio::time::timeout(Duration::from_millis(50), swarm.next()).await;
    }
    assert_eq!(stalled, nodes[0].handle.peer_id());
    let before = resident();
    let mut heard = 0;
    for index in 0..400u32 {
        let mut data = vec![0u8; 200 << 10];
        data[..4].copy_from_slice(&index.to_be_bytes());
        nodes[0].handle.publish(SERVICE, data).await.expect("published");
        // The honest member gets each of them, in time.
        while heard <= index {
            let message = nodes[1].message().await;
            assert_eq!(message.data[..4], heard.to_be_bytes());
            heard += 1;
        }
    }
    assert!(nodes[0].handle.counters().get(Count::Published) == 400);
    until("it is cut off", || nodes[0].handle.counters().get(Count::CutOff) > 0).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 192 << 20, "{grown} bytes");
    drop(swarm);
    honest_traffic(&mut nodes, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_handshakes_do_not_keep_members_out() {
    let limits = Config {
        max_pending: 8,
        handshake: Duration::from_secs(1),
        ..config()
    };
    let node = Node::start(0, limits, members(2)).await;
    let port = node.address().iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(
            tokio::net::TcpStream::connect(("127.0.0.1", port.expect("a port")))
                .await
                .expect("connected"),
        );
    }
    until("most are refused", || {
        node.handle.counters().get(Count::ConnectionsRefused) >= 32
    })
    .await;
    let mut all = members(2);
    all.locate(operator(0), node.address());
    let member = Node::start(1, config(), all).await;
    until("the member is in", || member.handle.operators().len() == 1).await;
    // And those that stayed are let go.
    until("the rest fail", || {
        node.handle.counters().get(Count::HandshakesFailed) >= 4
    })
    .await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_does_not_hold_a_reader_forever() {
    let limits = Config {
        write_timeout: Duration::from_secs(1),
        ..config()
    };
    let mut nodes = group(2, limits).await;
    for node in &nodes {
        node.members.send_replace(members(3).into());
    }
    let (peer, mut control) = raw::streams(2, nodes[0].address()).await;
    let mut stream = control.open_stream(peer, raw::DIRECT).await.expect("a member's stream");
    stream.write_all(&1_000_000u32.to_be_bytes()).await.expect("written");
    stream.flush().await.expect("flushed");
    until("it is noticed", || {
        nodes[0].handle.counters().get(Count::ReceivedMalformed) > 0
    })
    .await;
    let mut rest = Vec::new();
    // Closed, one way or another.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    honest_traffic(&mut nodes, 0).await;
}
