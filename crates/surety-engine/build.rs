//! Sets `translated` where programs can be translated: x86-64 Linux, unless the feature of that name is off.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(translated)");
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && std::env::var_os("CARGO_FEATURE_TRANSLATED").is_some()
    {
        println!("cargo::rustc-cfg=translated");
    }
}
