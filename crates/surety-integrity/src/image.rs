//! Images by digest.
