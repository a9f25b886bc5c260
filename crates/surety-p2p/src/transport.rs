//! TCP, Noise, Yamux; and connections that end when they are told to.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent},
        transport::{Boxed, timeout::TransportTimeout},
        upgrade::Version,
    },
    identity::Keypair,
    noise, tcp, yamux,
};

/// Yamux streams on one connection: gossip, direct, identify, ping and kad take a dozen; requests the rest.
const STREAMS: usize = 256;
/// Time to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How connections are made, each within `handshake`.
pub(crate) fn transport(key: &Keypair, handshake: Duration) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS);
    let connections = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Mortal { muxer, goodbye: None })));
    Ok(TransportTimeout::new(connections, handshake).boxed())
}

/// A muxer whose goodbye takes a second at most. Yamux's waits until the other side has taken all that was written to
/// it: one that reads nothing would keep its connection, and what is queued on it, as long as TCP retries.
struct Mortal<M> {
    muxer: M,
    goodbye: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Mortal<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.muxer).poll_inbound(context)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.muxer).poll_outbound(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(done) = Pin::new(&mut self.muxer).poll_close(context) {
            return Poll::Ready(done);
        }
        let goodbye = self
            .goodbye
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(GOODBYE)));
        goodbye.as_mut().poll(context).map(Ok)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.muxer).poll(context)
    }
}
