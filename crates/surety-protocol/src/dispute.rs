//! The dispute game (`docs/spec/dispute.md`): its geometry and commitments, a referee that follows the rules as the
//! `Disputes` contract does, and the honest player.

mod commitment;
#[cfg(feature = "dishonest")]
pub mod dishonest;
mod event;
mod game;
mod geometry;
mod money;
mod player;

pub use commitment::{
    Dissection, History, Opened, OpeningError, encode_details, match_head, next_head, open, points_root,
};
pub use event::{At, Event};
pub use game::{Action, Claim, Clocks, Game, MAX_CLAIMS, Match, Referee, Refused, Rules};
pub use geometry::{ARITY, Author, Geometry, POINTS, Transition};
pub use money::{Credit, Role, Settlement, Slash, severity};
pub use player::{Effect, Input, Player, Policy, PreimagePart};

use alloy_primitives::B256;

/// The values at the 31 inner points of a dissection.
pub type Points = [B256; POINTS];
