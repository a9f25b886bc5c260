//! One module a noun.

pub mod machine;
