//! Measuring again and again.
