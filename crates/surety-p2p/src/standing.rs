//! How peers behave, and what that costs them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// What a peer can do wrong. The node reports what only it can see ([`crate::Handle::report`]), the network the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Bytes that are no message.
    Malformed,
    /// A message whose content is false in a way an honest node's never is: a wrong signature, another's name.
    Forged,
    /// A message of somebody who may not send it.
    NotAMember,
    /// More than its rate.
    Flood,
    /// It doesn't read what it is sent.
    Slow,
    /// Useless but harmless: repeated, late, not asked for.
    Useless,
}

impl Misbehaviour {
    /// What one instance weighs; [`crate::Config::ban_at`] in all is a ban.
    pub const fn weight(self) -> f64 {
        match self {
            Self::Forged => 50.0,
            Self::Malformed => 20.0,
            Self::Slow => 10.0,
            Self::NotAMember => 5.0,
            Self::Useless => 1.0,
            Self::Flood => 0.1,
        }
    }
}

/// What is remembered of peers' misbehaviour; half of it is forgotten in `forgiveness`.
#[derive(Debug)]
pub(crate) struct Standings {
    peers: HashMap<PeerId, (f64, Instant)>,
    forgiveness: Duration,
    ban_at: f64,
    limit: usize,
}

/// What follows from an instance of misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// All its misbehaviour weighs so much now.
    Weighs(f64),
    /// It is banned, and starts afresh when it comes back.
    Ban,
}

impl Standings {
    pub(crate) fn new(ban_at: f64, forgiveness: Duration, limit: usize) -> Self {
        Self {
            peers: HashMap::new(),
            forgiveness,
            ban_at,
            limit,
        }
    }

    fn decayed(&self, (weight, at): (f64, Instant), now: Instant) -> f64 {
        let halves = now.saturating_duration_since(at).as_secs_f64() / self.forgiveness.as_secs_f64().max(1e-3);
        weight * 0.5f64.powf(halves)
    }

    pub(crate) fn weigh(&mut self, peer: PeerId, weight: f64, now: Instant) -> Verdict {
        let sum = self.peers.get(&peer).map_or(0.0, |entry| self.decayed(*entry, now)) + weight;
        if sum >= self.ban_at {
            self.peers.remove(&peer);
            return Verdict::Ban;
        }
        if self.peers.len() >= self.limit && !self.peers.contains_key(&peer) {
            // Make room: who weighs least is forgotten.
            let least = self
                .peers
                .iter()
                .map(|(peer, entry)| (*peer, self.decayed(*entry, now)));
            if let Some((least, _)) = least.min_by(|one, other| one.1.total_cmp(&other.1)) {
                self.peers.remove(&least);
            }
        }
        self.peers.insert(peer, (sum, now));
        Verdict::Weighs(sum)
    }

    /// All who weigh something, with what they weigh now; those who don't are forgotten.
    pub(crate) fn all(&mut self, now: Instant) -> Vec<(PeerId, f64)> {
        let all: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, entry)| (*peer, self.decayed(*entry, now)))
            .collect();
        self.peers
            .retain(|peer, _| all.iter().any(|(other, weight)| other == peer && *weight >= 0.01));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misbehaviour_adds_up_to_a_ban_and_is_forgotten() {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let mut standings = Standings::new(100.0, minute, 8);
        let peer = PeerId::random();
        assert_eq!(standings.weigh(peer, 60.0, now), Verdict::Weighs(60.0));
        assert_eq!(standings.weigh(peer, 60.0, now + minute), Verdict::Weighs(90.0));
        assert_eq!(standings.weigh(peer, 10.0, now + minute), Verdict::Ban);
        assert_eq!(
            standings.weigh(peer, 10.0, now + minute),
            Verdict::Weighs(10.0),
            "it starts afresh"
        );
        standings.all(now + 20 * minute);
        assert!(standings.all(now + 20 * minute).is_empty());
    }

    #[test]
    fn remembers_a_bounded_number_and_the_worst_of_them() {
        let now = Instant::now();
        let mut standings = Standings::new(100.0, Duration::from_secs(60), 8);
        let worst = PeerId::random();
        standings.weigh(worst, 99.0, now);
        for _ in 0..1_000 {
            standings.weigh(PeerId::random(), 1.0, now);
        }
        assert_eq!(standings.all(now).len(), 8);
        assert_eq!(standings.weigh(worst, 1.0, now), Verdict::Ban);
    }
}
