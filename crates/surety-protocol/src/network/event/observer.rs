//! What this node saw, and telling the collectors.

use super::{
    B256, BTreeMap, BTreeSet, Body, CERTIFIED_KEEP_MS, Effect, EventConsensus, MAX_SEEN, Refusal, Sighting, Vec,
};
use crate::network::message::MAX_HINTS;

/// After an isolated event the next waits this long for company; under load longer.
const HINT_PACE_MS: u64 = 3;
const HINT_PACE_LOADED_MS: u64 = 12;
const LOADED: usize = 12;

#[derive(Debug, Default)]
pub(super) struct Observer {
    pub(super) seen: BTreeMap<B256, Seen>,
    /// Those without a certificate.
    pub(super) pending: usize,
    /// When to look at one again: its next collector's turn, or its end.
    timers: BTreeSet<(u64, B256)>,
    /// Hints to send, by collector.
    outbox: BTreeMap<usize, Vec<Sighting>>,
    /// Not before this.
    flush_at: u64,
    /// Collectors that let events wait, and until when others are told at once too.
    slow: BTreeMap<usize, u64>,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) value: B256,
    pub(super) until: u64,
    since: u64,
    /// Rank of the collector that is told next.
    rank: u64,
    timer: u64,
    pub(super) certified: bool,
    /// Whether a dissent about it was signed in this set.
    pub(super) dissented: bool,
}

impl EventConsensus {
    pub(super) fn observe(&mut self, Sighting { key, value }: Sighting, until: u64) {
        let refusal = if let Some(certified) = self.ledger.value_of(&key) {
            (certified != value).then_some(Refusal::Outvoted { certified })
        } else if let Some(seen) = self.observer.seen.get(&key) {
            (seen.value != value).then_some(Refusal::Contradicts { held: seen.value })
        } else if until <= self.now {
            Some(Refusal::Late)
        } else if self.observer.seen.len() >= MAX_SEEN {
            Some(Refusal::Full)
        } else {
            let seen = Seen {
                value,
                until,
                since: self.now,
                rank: 0,
                timer: self.now,
                certified: false,
                dissented: false,
            };
            self.observer.seen.insert(key, seen);
            self.observer.timers.insert((self.now, key));
            self.observer.pending += 1;
            self.saw(key);
            None
        };
        if let Some(reason) = refusal {
            self.effects.push(Effect::Refused { key, reason });
        }
    }

    /// Marks it; says whether this node had seen it so.
    pub(super) fn mark_certified(&mut self, key: B256, certified: B256) {
        let until = self.now.saturating_add(CERTIFIED_KEEP_MS);
        let Some(seen) = self.observer.seen.get_mut(&key) else {
            return;
        };
        if !seen.certified {
            seen.certified = true;
            self.observer.pending = self.observer.pending.saturating_sub(1);
            self.observer.timers.remove(&(seen.timer, key));
            (seen.timer, seen.until) = (until, until);
            self.observer.timers.insert((until, key));
            if seen.value != certified {
                let reason = Refusal::Outvoted { certified };
                self.effects.push(Effect::Refused { key, reason });
            }
        }
    }

    /// The store has another value of it than the connector says now: that is what the node vouched for.
    pub(super) fn hold(&mut self, recorded: &Sighting) {
        let key = recorded.key;
        if let Some(seen) = self
            .observer
            .seen
            .get_mut(&key)
            .filter(|seen| seen.value != recorded.value)
        {
            seen.value = recorded.value;
            let reason = Refusal::Contradicts { held: recorded.value };
            self.effects.push(Effect::Refused { key, reason });
        }
    }

    /// Under a new set every pending event is told from the first collector on.
    pub(super) fn tell_again(&mut self) {
        self.observer.outbox.clear();
        self.observer.slow.clear();
        let now = self.now;
        for (key, seen) in self.observer.seen.iter_mut().filter(|(_, seen)| !seen.certified) {
            self.observer.timers.remove(&(seen.timer, *key));
            (seen.since, seen.rank, seen.timer, seen.dissented) = (now, 0, now, false);
            self.observer.timers.insert((now, *key));
        }
    }

    pub(super) fn run_observer(&mut self) {
        while let Some((_, key)) = self.observer.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.observer.timers.pop_first();
            self.look_at(key);
        }
        if self.now >= self.observer.flush_at && !self.observer.outbox.is_empty() {
            self.flush_hints();
        }
    }

    fn look_at(&mut self, key: B256) {
        let Some(seen) = self.observer.seen.get_mut(&key) else {
            return;
        };
        if seen.until <= self.now {
            if !seen.certified {
                self.observer.pending = self.observer.pending.saturating_sub(1);
                self.effects.push(Effect::Expired { key });
            }
            self.observer.seen.remove(&key);
            return;
        }
        let (sighting, slot, rank) = (
            Sighting { key, value: seen.value },
            seen.since / self.config.rotation,
            seen.rank,
        );
        seen.rank += 1;
        let turn = seen
            .since
            .saturating_add(self.config.patience.saturating_mul(seen.rank));
        // After a long pause of the clock, turns that were missed are not made up for.
        seen.timer = turn.max(self.now.saturating_add(1)).min(seen.until);
        self.observer.timers.insert((seen.timer, key));
        if self.me.is_none() {
            return;
        }
        let Some(members) = (self.roster.len() as u64).checked_sub(1).map(|last| last + 1) else {
            return;
        };
        let collector = |rank: u64| (slot.wrapping_add(rank) % members) as usize;
        if rank > 0 {
            let patience = self.config.patience.saturating_mul(8);
            self.observer
                .slow
                .insert(collector(rank - 1), self.now.saturating_add(patience));
            return self.tell(collector(rank), sighting);
        }
        // The first collector, and while it is known to be slow, the first one that is not.
        for rank in 0..members {
            self.tell(collector(rank), sighting);
            let slow = self.observer.slow.get(&collector(rank));
            if slow.is_none_or(|until| *until <= self.now) {
                break;
            }
        }
    }

    fn tell(&mut self, collector: usize, sighting: Sighting) {
        if Some(collector) == self.me {
            self.pool(collector, sighting);
        } else {
            self.observer.outbox.entry(collector).or_default().push(sighting);
        }
    }

    fn flush_hints(&mut self) {
        let outbox = core::mem::take(&mut self.observer.outbox);
        let mut most = 0;
        for (collector, hints) in outbox {
            most = most.max(hints.len());
            for hints in hints.chunks(MAX_HINTS) {
                self.send(collector, Body::Hints(hints.to_vec()));
            }
        }
        let pace = if most >= LOADED {
            HINT_PACE_LOADED_MS
        } else {
            HINT_PACE_MS
        };
        self.observer.flush_at = self.now.saturating_add(pace);
    }

    pub(super) fn next_observer_tick(&self) -> Option<u64> {
        let flush = (!self.observer.outbox.is_empty()).then_some(self.observer.flush_at);
        let timer = self.observer.timers.first().map(|(at, _)| *at);
        [flush, timer].into_iter().flatten().min()
    }
}
