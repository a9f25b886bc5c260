//! The compiled contracts (`contracts/artifacts/*.json`): ABI and creation code, embedded.

use std::{collections::BTreeMap, sync::LazyLock};

use alloy::{
    json_abi::{Error as AbiError, JsonAbi},
    primitives::Bytes,
};
use serde::Deserialize;

/// One compiled contract.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    /// Its interface.
    pub abi: JsonAbi,
    /// Creation code; constructor arguments follow it.
    pub bytecode: Bytes,
    /// Code as it is on-chain, immutables zero.
    #[serde(rename = "deployedBytecode")]
    pub deployed_bytecode: Bytes,
}

macro_rules! artifacts {
    ($($name:literal),* $(,)?) => {
        /// The embedded artefacts, by name.
        const SOURCES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../contracts/artifacts/", $name, ".json")))),*
        ];
    };
}

artifacts!(
    "DevToken",
    "Disputes",
    "Explorer",
    "Faults",
    "Integrity",
    "Issuance",
    "Machine",
    "PlainService",
    "Preimages",
    "Quorum",
    "Records",
    "Registry",
    "Service",
    "Staking",
    "SuretyToken",
    "Tasks",
    "Terms"
);

/// All artefacts. They are committed and checked by a test, so what does not parse is left out rather than a panic.
static ARTIFACTS: LazyLock<BTreeMap<&'static str, Artifact>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .filter_map(|(name, text)| Some((*name, serde_json::from_str(text).ok()?)))
        .collect()
});

static ERRORS: LazyLock<BTreeMap<[u8; 4], AbiError>> = LazyLock::new(|| {
    ARTIFACTS
        .values()
        .flat_map(|a| a.abi.errors())
        .map(|e| (e.selector().0, e.clone()))
        .collect()
});

/// The artefact of a contract, by its name (`Registry`).
pub fn get(name: &str) -> Option<&'static Artifact> {
    ARTIFACTS.get(name)
}

/// Names of the embedded artefacts.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _)| *name)
}

/// The custom error with a selector, of any contract.
pub(crate) fn error_by_selector(selector: &[u8]) -> Option<&'static AbiError> {
    ERRORS.get(<&[u8; 4]>::try_from(selector).ok()?)
}
