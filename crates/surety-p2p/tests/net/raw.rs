//! A peer that keeps to libp2p's transport, and to nothing else.

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, gossipsub,
    identity::{Keypair, secp256k1},
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_stream as stream;
use surety_p2p::Address;

use crate::ground::PATIENCE;

pub(crate) const DIRECT: StreamProtocol = StreamProtocol::new("/surety/direct/1");
pub(crate) const REQUEST: StreamProtocol = StreamProtocol::new("/surety/request/1");
pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/surety/kad/1");
pub(crate) const GOSSIP: StreamProtocol = StreamProtocol::new("/meshsub/1.2.0");

/// The key of the node with this index.
pub(crate) fn key(index: u8) -> Keypair {
    let secret = secp256k1::SecretKey::try_from_bytes([index.wrapping_add(1).max(1); 32]).expect("a secret");
    secp256k1::Keypair::from(secret).into()
}

fn swarm<B: NetworkBehaviour>(index: u8, behaviour: impl FnOnce(&Keypair) -> B) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(key(index))
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .expect("a transport")
        .with_behaviour(|key| behaviour(key))
        .unwrap_or_else(|_| unreachable!("it cannot fail"))
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build()
}

/// Polls a swarm until it is connected.
pub(crate) async fn connect<B: NetworkBehaviour>(swarm: &mut Swarm<B>, to: Multiaddr) -> PeerId {
    swarm.dial(to).expect("a dial");
    let wait = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => break peer_id,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("not connected: {error}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a connection in time")
}

/// Connects with the key of `index` and can open any stream. The swarm lives in a task of its own.
pub(crate) async fn streams(index: u8, to: Multiaddr) -> (PeerId, stream::Control) {
    let mut swarm = swarm(index, |_| stream::Behaviour::new());
    let control = swarm.behaviour().new_control();
    let peer = connect(&mut swarm, to).await;
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (peer, control)
}

/// Connects with the key of `index`, takes the streams for one-way messages it is offered, and keeps them unread for as
/// long as the task that is returned runs.
pub(crate) async fn accept_and_hold(index: u8, to: Multiaddr) -> tokio::task::JoinHandle<()> {
    let mut swarm = swarm(index, |_| stream::Behaviour::new());
    let mut control = swarm.behaviour().new_control();
    let mut incoming = control.accept(DIRECT).expect("nobody else accepts");
    connect(&mut swarm, to).await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                Some((_, stream)) = incoming.next() => held.push(stream),
            }
        }
    })
}

/// Speaks gossipsub without this crate's limits.
pub(crate) fn gossip(index: u8) -> Swarm<gossipsub::Behaviour> {
    swarm(index, |key| {
        let config = gossipsub::ConfigBuilder::default()
            .max_transmit_size(16 << 20)
            .connection_handler_queue_len(1 << 20)
            .build()
            .expect("a configuration");
        gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(key.clone()), config).expect("gossipsub")
    })
}

/// The topic of a service, as the specification has it.
pub(crate) fn topic(service: Address) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("surety/1/{service:#x}"))
}
