//! One key: the operator's. Its peer id contains the public key, hence the address.

use alloy_primitives::Address;
use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, secp256k1},
};

/// Code of the identity "hash" in a multihash: the digest is the data itself.
const IDENTITY: u64 = 0;

/// An operator's secp256k1 key, as the network uses it.
#[derive(Clone)]
pub struct Identity {
    pub(crate) keypair: Keypair,
    peer: PeerId,
    address: Address,
}

/// The secret is zero or not below the order of secp256k1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is a number from 1 to the order of secp256k1 less one; this one is not")]
pub struct BadIdentity;

impl Identity {
    /// From the operator's 32-byte secret.
    ///
    /// # Errors
    ///
    /// [`BadIdentity`] if it is no secret of secp256k1.
    pub fn new(mut secret: [u8; 32]) -> Result<Self, BadIdentity> {
        let secret = secp256k1::SecretKey::try_from_bytes(&mut secret).map_err(|_| BadIdentity)?;
        let keypair = Keypair::from(secp256k1::Keypair::from(secret));
        let peer = keypair.public().to_peer_id();
        let address = address_of(&peer).ok_or(BadIdentity)?;
        Ok(Self { keypair, peer, address })
    }

    /// The peer id.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The operator's Ethereum address.
    pub fn address(&self) -> Address {
        self.address
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("peer", &self.peer)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The Ethereum address of a peer: that of the secp256k1 key its id contains. `None` if the id holds another kind of
/// key, or only the hash of one.
pub fn address_of(peer: &PeerId) -> Option<Address> {
    let multihash = peer.as_ref();
    if multihash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest())
        .ok()?
        .try_into_secp256k1()
        .ok()?;
    let point = key.to_bytes_uncompressed();
    // 0x04, x, y: the address is made of x and y.
    Some(Address::from_raw_public_key(point.get(1..)?))
}
