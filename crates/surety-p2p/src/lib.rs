//! The peer-to-peer network of operators: who may speak, how much, and to whom.
