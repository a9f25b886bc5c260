//! P6 on a real engine: a changed container is reported, an unchanged one never.

mod lies;
mod ordinary;
mod setting;
mod tampering;
