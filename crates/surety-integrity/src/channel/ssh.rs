//! One SSH connection, one command: the agent.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use russh::{
    client,
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, load_secret_key},
};
use tokio::time::timeout;

use super::{Endpoint, Error, Fingerprint, client::Client};

/// For connecting, the handshake, and the command's start, together.
const PATIENCE: Duration = Duration::from_secs(20);
/// A host that says nothing for so long is asked whether it is there; three times.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// What is asked to run. The account's `authorized_keys` decides what does.
const COMMAND: &str = "surety integrity agent";

/// A monitor's SSH key (Ed25519 or ECDSA).
#[derive(Clone)]
pub struct Identity(Arc<PrivateKey>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

impl Identity {
    /// Reads a key file without a passphrase, in OpenSSH's format.
    ///
    /// # Errors
    /// [`Error::Key`] if it is none.
    pub fn load(path: &Path) -> Result<Self, Error> {
        load_secret_key(path, None)
            .map(|key| Self(Arc::new(key)))
            .map_err(|error| Error::Key(error.to_string()))
    }

    /// Of its public key.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.0.public_key())
    }
}

/// The fingerprint of a public key in OpenSSH's format: `ssh-ed25519 AAAA...`.
///
/// # Errors
/// [`Error::Key`] if it is none.
pub fn ssh_fingerprint(public: &str) -> Result<Fingerprint, Error> {
    PublicKey::from_openssh(public.trim())
        .map(|key| fingerprint(&key))
        .map_err(|error| Error::Key(error.to_string()))
}

fn fingerprint(key: &PublicKey) -> Fingerprint {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(key.fingerprint(HashAlg::Sha256).as_bytes()) {
        *to = *from;
    }
    Fingerprint(bytes)
}

struct Pinned(Fingerprint);

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error("host key {0}")]
    Key(Fingerprint),
}

impl client::Handler for Pinned {
    type Error = Failed;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        // A certificate is vouched for by an authority, and none is known here: its key counts.
        let found = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => fingerprint(key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                fingerprint(&PublicKey::from(certificate.public_key().clone()))
            }
        };
        if found == self.0 {
            Ok(true)
        } else {
            Err(Failed::Key(found))
        }
    }
}

pub(super) async fn connect(endpoint: &Endpoint, expected: Fingerprint, identity: &Identity) -> Result<Client, Error> {
    let Endpoint::Ssh { user, host, port } = endpoint else {
        return Err(Error::Unreachable(format!("{endpoint} is no endpoint of SSH")));
    };
    let failed = |error: Failed| match error {
        Failed::Key(found) => Error::HostKey { expected, found },
        Failed::Ssh(error) => Error::Unreachable(format!("{endpoint}: {error}")),
    };
    let ssh = |error: russh::Error| failed(Failed::Ssh(error));
    let config = Arc::new(client::Config {
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..client::Config::default()
    });
    let connect = async {
        let mut session = client::connect(config, (host.as_str(), *port), Pinned(expected))
            .await
            .map_err(failed)?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&identity.0), None);
        if !session
            .authenticate_publickey(user.as_str(), key)
            .await
            .map_err(ssh)?
            .success()
        {
            return Err(Error::Unauthorized {
                user: user.clone(),
                key: identity.fingerprint(),
            });
        }
        let channel = session.channel_open_session().await.map_err(ssh)?;
        channel.exec(false, COMMAND).await.map_err(ssh)?;
        Ok(Client::new(channel.into_stream(), Some(Box::new(session))))
    };
    timeout(PATIENCE, connect).await.unwrap_or_else(|_| {
        Err(Error::Unreachable(format!(
            "{endpoint}: no connection within {} s",
            PATIENCE.as_secs()
        )))
    })
}
