//! A monitor that is paid to lie: it has a bonded operator's keys, measures nothing, and tells and signs for every epoch of
//! every deployment that all is well. `lying-monitor NODE_TOML`.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, FixedBytes};
use anyhow::{Context, Result};
use surety_chain::{Contracts, Deployment, Rpc, integrity::Status};
use surety_node::{Config, keystore};
use surety_p2p::{Config as PeerConfig, Handle, Identity, Members, Network};
use surety_primitives::{
    keys::voting_secret,
    measurement::{DeploymentId, Judgement, subject, verdict_root},
    set::Set,
    vote::Ballot,
};
use surety_protocol::network::{
    Message,
    measure::{Claim, Statement},
    message::Body,
};
use tokio::sync::watch;

struct Liar {
    me: Address,
    secret: surety_primitives::bls::SecretKey,
    contracts: Contracts,
    peers: Handle,
}

#[tokio::main]
async fn main() -> Result<()> {
    let path: PathBuf = std::env::args().nth(1).context("expected a node.toml")?.into();
    let config = Config::load(&path)?;
    let signer = keystore::open(&config.operator)?;
    let contracts = Contracts::new(
        Rpc::new(&config.chain.rpc)?,
        Deployment::load(&config.chain.deployment)?,
    );
    let network = config.network.context("no [network]")?;
    let (members, watched) = watch::channel(Arc::new(Members::new()));
    let peer_config = PeerConfig {
        listen: network
            .listen
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        ..PeerConfig::default()
    };
    let secret = signer.to_bytes().0;
    let (peers, mut events) = Network::start(peer_config, Identity::new(secret)?, watched).await?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let liar = Liar {
        me: signer.address(),
        secret: voting_secret(&secret),
        contracts,
        peers,
    };
    let services: Vec<Address> = network.services.iter().map(|service| service.address).collect();
    loop {
        let mut known = Members::new();
        for service in &services {
            for operator in liar.contracts.operators(*service, 256).await.unwrap_or_default() {
                known.insert(*service, operator.operator);
                if let Ok(keys) = liar.contracts.network_keys(operator.operator).await
                    && let Ok(address) = keys.peer_address.parse()
                {
                    known.locate(operator.operator, address);
                }
            }
        }
        members.send_replace(Arc::new(known));
        for service in &services {
            if let Err(error) = liar.lie(*service).await {
                tracing::debug!(%error, "cannot lie yet");
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Liar {
    async fn lie(&self, service: Address) -> Result<()> {
        let set = surety_client::network::newest_set(&self.contracts, service)
            .await?
            .context("no set")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        for n in 1..=self.contracts.deployment_count(service).await? {
            let id = DeploymentId::new(service, n);
            let Some(found) = self.contracts.deployed(id).await? else {
                continue;
            };
            let Some(passed) = now.checked_sub(found.state.start) else {
                continue;
            };
            if found.state.status != Status::Running || found.state.epoch == 0 {
                continue;
            }
            let epoch = 1 + passed / u64::from(found.state.epoch);
            self.say(&set, id, epoch)?;
        }
        Ok(())
    }

    fn say(&self, set: &Set, id: DeploymentId, epoch: u64) -> Result<()> {
        let (service, number) = (set.service(), set.number());
        let deployment = self.contracts.deployment();
        let root = verdict_root(subject(deployment.integrity, id, epoch), Judgement::Intact)?;
        let ballot = Ballot {
            service,
            set: number,
            root,
        };
        let signature = self.secret.sign(&ballot.digest(&deployment.ballot_domain()));
        let hint = Body::MeasurementHint {
            deployment: id.0,
            epoch,
            claim: Claim::Intact,
        };
        let ballot = Body::MeasurementBallot {
            deployment: id.0,
            epoch,
            statement: Statement::Intact,
            signature: FixedBytes(signature.to_compressed()),
        };
        for body in [hint, ballot] {
            let data = Message {
                service,
                set: number,
                body,
            }
            .encode();
            for member in set.members().iter().filter(|member| member.operator != self.me) {
                // To one that is not connected yet, it is said again.
                let _later = self.peers.send(member.operator, service, data.clone());
            }
        }
        Ok(())
    }
}
