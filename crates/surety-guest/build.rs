//! Lets a program link with `-Tsurety.ld`, wherever this crate lies.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rustc-link-search={here}");
    println!("cargo:rerun-if-changed=surety.ld");
    println!("cargo:rerun-if-changed=build.rs");
}
