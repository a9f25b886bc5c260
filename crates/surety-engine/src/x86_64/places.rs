//! Where guest registers are: in which host register, or in the frame.

use super::assembler::{RAX, Reg};

/// No host register.
const HOME: Reg = 0xff;

/// For each guest register, its host register if it has one; the others are in the frame. No two share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Places([Reg; 32]);

/// What takes registers from one set of places to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A host register into a guest register's place in the frame.
    Store { guest: u8, from: Reg },
    /// A guest register's place in the frame into a host register.
    Load { guest: u8, to: Reg },
    /// One host register into another.
    Copy { from: Reg, to: Reg },
}

impl Default for Places {
    fn default() -> Self {
        Places([HOME; 32])
    }
}

impl Places {
    /// The host register of a guest register.
    pub(super) fn host(&self, guest: u8) -> Option<Reg> {
        self.0.get(usize::from(guest)).copied().filter(|host| *host != HOME)
    }

    /// Puts a guest register into a host register, or with `None` into the frame.
    pub(super) fn put(&mut self, guest: u8, host: Option<Reg>) {
        if let Some(place) = self.0.get_mut(usize::from(guest)) {
            *place = host.unwrap_or(HOME);
        }
    }

    /// The guest registers that have a host register, with it.
    pub(super) fn held(&self) -> impl Iterator<Item = (u8, Reg)> {
        (0_u8..).zip(self.0).filter(|(_, host)| *host != HOME)
    }

    /// What the 32 bytes of a file mean; `None` if two share a register or it is none of `hosts`.
    pub(super) fn from_bytes(bytes: [u8; 32], hosts: &[Reg]) -> Option<Self> {
        let mut seen = 0_u16;
        for host in bytes.into_iter().filter(|host| *host != HOME) {
            let bit = hosts.contains(&host).then(|| 1 << host)?;
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
        }
        Some(Places(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What takes all registers from here to `to`, in this order. The flags stay, RAX may not.
    pub(super) fn moves(&self, to: &Places) -> Vec<Move> {
        let mut moves = Vec::new();
        if self == to {
            return moves;
        }
        for (guest, from) in self.held() {
            if to.host(guest).is_none() {
                moves.push(Move::Store { guest, from });
            }
        }
        let mut copies: Vec<(Reg, Reg)> = self
            .held()
            .filter_map(|(guest, from)| Some((from, to.host(guest)?)))
            .filter(|(from, to)| from != to)
            .collect();
        while !copies.is_empty() {
            // One whose target nobody reads any more; where there is none, all that is left are circles.
            match copies
                .iter()
                .position(|(_, to)| copies.iter().all(|(from, _)| from != to))
            {
                Some(at) => {
                    let (from, to) = copies.swap_remove(at);
                    moves.push(Move::Copy { from, to });
                }
                None => {
                    if let Some((from, _)) = copies.first_mut() {
                        moves.push(Move::Copy { from: *from, to: RAX });
                        *from = RAX;
                    }
                }
            }
        }
        for (guest, to) in to.held() {
            if self.host(guest).is_none() {
                moves.push(Move::Load { guest, to });
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every register is where it belongs after the moves, circles included.
    #[test]
    fn moves_take_every_register_to_its_place() {
        const HOSTS: [Reg; 5] = [1, 3, 5, 6, 7];
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut places = |count: usize| {
            let mut places = Places::default();
            let mut hosts = HOSTS.to_vec();
            let mut guests: Vec<u8> = (1..8).collect();
            for _ in 0..count {
                let host = hosts.swap_remove(random(hosts.len() as u64) as usize);
                let guest = guests.swap_remove(random(guests.len() as u64) as usize);
                places.put(guest, Some(host));
            }
            places
        };
        let mut circles = 0;
        for round in 0..20_000 {
            let (from, to) = (places(round % 6), places(round / 6 % 6));
            let mut hosts = [0_u8; 16];
            let mut frame = [0_u8; 32];
            for guest in 1..8 {
                match from.host(guest) {
                    Some(host) => hosts[usize::from(host)] = guest,
                    None => frame[usize::from(guest)] = guest,
                }
            }
            for step in from.moves(&to) {
                match step {
                    Move::Store { guest, from } => frame[usize::from(guest)] = hosts[usize::from(from)],
                    Move::Load { guest, to } => hosts[usize::from(to)] = frame[usize::from(guest)],
                    Move::Copy { from, to } => {
                        circles += u32::from(to == RAX);
                        hosts[usize::from(to)] = hosts[usize::from(from)];
                    }
                }
            }
            for guest in 1..8 {
                let found = match to.host(guest) {
                    Some(host) => hosts[usize::from(host)],
                    None => frame[usize::from(guest)],
                };
                assert_eq!(found, guest, "{from:?} to {to:?}");
            }
        }
        assert!(circles > 100, "{circles} circles: not a test");
    }
}
