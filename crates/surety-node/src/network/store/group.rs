//! What is known about events, committed together: one wait for the disk for all of it.

use std::collections::HashSet;

use alloy::primitives::{Address, B256};
use redb::{ReadableTable, ReadableTableMetadata};
use surety_primitives::vote::Vote;

use super::{CERTIFICATES, CERTIFICATES_BY_AGE, CERTIFIED, NetworkStore, OBSERVED, Observation, certified_key};
use crate::store::StoreError;

macro_rules! io {
    ($e:expr) => {
        $e.map_err(|e| StoreError::Io(e.to_string()))?
    };
}

/// Votes on events of one set.
#[derive(Debug)]
pub(crate) struct EventVotes {
    /// the service
    pub(crate) service: Address,
    /// number of the set
    pub(crate) set: u64,
    /// what is to be signed
    pub(crate) votes: Vec<Vote>,
}

/// Events of a service that are certified, each as it goes over the wire.
#[derive(Debug)]
pub(crate) struct EventCertificates {
    /// the service
    pub(crate) service: Address,
    /// vote and proof
    pub(crate) rows: Vec<(Vote, Vec<u8>)>,
    /// events whose observations stay: a run is to begin with them
    pub(crate) unstarted: HashSet<B256>,
}

/// What is written at once.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// what connectors saw, with the data
    pub(crate) observed: Vec<(Observation, Vec<u8>)>,
    /// votes
    pub(crate) votes: Vec<EventVotes>,
    /// certificates
    pub(crate) certified: Vec<EventCertificates>,
}

impl NetworkStore {
    /// Writes a group in one transaction. All is durable when it returns. An event that is there
    /// already stays as it is; for each of `votes`, those that contradict what was voted before are not recorded and come
    /// back with the value that is. Of what is certified, the data is kept among the values and the observation is
    /// forgotten, but for those a run is to begin with. Certificates are durable too: a connector that tells of a certified event is answered from them, and
    /// does not tell again.
    pub(crate) fn commit_group(&self, group: &Group) -> Result<Vec<Vec<Vote>>, StoreError> {
        let keys: Vec<B256> = group
            .certified
            .iter()
            .flat_map(|certified| certified.rows.iter().map(|(vote, _)| vote.subject))
            .collect();
        self.keep_observed(&keys)?;
        let write = io!(self.inner.db.begin_write());
        let mut refused = Vec::with_capacity(group.votes.len());
        {
            let mut observed = io!(write.open_table(OBSERVED));
            for (observation, data) in &group.observed {
                if io!(observed.get(observation.key.0)).is_none() {
                    let head = alloy_rlp::encode(observation);
                    io!(observed.insert(observation.key.0, (head.as_slice(), data.as_slice())));
                }
            }
            for EventCertificates { rows, unstarted, .. } in &group.certified {
                for (vote, _) in rows.iter().filter(|(vote, _)| !unstarted.contains(&vote.subject)) {
                    io!(observed.remove(vote.subject.0));
                }
            }
        }
        for EventVotes { service, set, votes } in &group.votes {
            refused.push(Self::record_votes(&write, *service, *set, votes)?);
        }
        if !keys.is_empty() {
            let mut table = io!(write.open_table(CERTIFIED));
            let mut ages = io!(write.open_table(CERTIFICATES_BY_AGE));
            let mut next = io!(ages.last()).map_or(0, |(n, _)| n.value().saturating_add(1));
            for EventCertificates { service, rows, .. } in &group.certified {
                for (vote, proven) in rows {
                    let key = certified_key(*service, vote.kind, vote.subject);
                    if io!(table.get(key)).is_some() {
                        continue;
                    }
                    io!(table.insert(key, (next, proven.as_slice())));
                    io!(ages.insert(next, key));
                    next = next.saturating_add(1);
                }
            }
            while io!(ages.len()) > CERTIFICATES {
                let Some(key) = io!(ages.pop_first()).map(|(_, key)| key.value()) else {
                    break;
                };
                io!(table.remove(key));
            }
        }
        self.commit(write)?;
        Ok(refused)
    }
}
