//! The plan's container, made of exactly the bytes that were checked.
