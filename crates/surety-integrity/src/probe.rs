//! How each thing is looked at.
