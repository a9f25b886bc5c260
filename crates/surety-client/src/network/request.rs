//! What an application puts together to ask for a task.

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use rand::{CryptoRng, Rng};
use surety_chain::{Contracts, bindings::Price};
use surety_primitives::{
    sealed::{PublicKey, Sealed, Sealing},
    value::Value,
};

use super::{Draw, NetworkError};

/// Kilobytes of inputs and output that [`price_for`] allows for beyond the inputs at hand.
pub const KILOBYTES: u64 = 16;

/// What stands on-chain for the nodes that may be drawn: zero for all, or the hash of `abi.encode(address[])`.
pub fn nodes_hash(nodes: &[Address]) -> B256 {
    if nodes.is_empty() {
        B256::ZERO
    } else {
        keccak256(nodes.to_vec().abi_encode())
    }
}

/// A bill that a task cannot exceed while it takes all of its window and its output no more than [`KILOBYTES`]:
/// wei of the token.
pub fn price_for(price: &Price, window: u32, input_bytes: usize) -> U256 {
    let kilobytes = u64::try_from(input_bytes.div_ceil(1_000)).unwrap_or(u64::MAX);
    let kilobytes = U256::from(kilobytes.saturating_add(KILOBYTES));
    U256::from(price.perCall)
        .saturating_add(U256::from(price.perSecond).saturating_mul(U256::from(window)))
        .saturating_add(U256::from(price.perKilobyte).saturating_mul(kilobytes))
}

/// Inputs that only those who are drawn may read. On-chain is their hash with a salt, so that they cannot be guessed.
/// With them goes the key that the output is sealed for.
pub struct PrivateInputs {
    value: Value,
    salt: B256,
    hash: B256,
}

impl PrivateInputs {
    /// With a random salt. The output will be sealed for `account`, with its key `reply`
    /// (`surety_primitives::keys::encryption_secret` of the account's secret).
    pub fn new(
        inputs: Value,
        account: Address,
        reply: PublicKey,
        rng: &mut (impl Rng + CryptoRng),
    ) -> Result<Self, NetworkError> {
        let value = Value::object([
            ("inputs", inputs),
            ("account", Value::String(format!("{account:#x}"))),
            ("reply", Value::String(format!("{:#x}", reply.to_word()))),
        ]);
        let salt = B256::from(rng.random::<[u8; 32]>());
        let hash = value.salted_hash(&salt)?;
        Ok(Self { value, salt, hash })
    }

    /// What `Tasks.request` is told.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The salt, for who must prove what the inputs were.
    pub fn salt(&self) -> B256 {
        self.salt
    }

    /// Seals them for exactly those who are drawn: executor, committee, and the executors that would replace it.
    pub async fn seal(
        &self,
        contracts: &Contracts,
        draw: &Draw,
        rng: &mut (impl Rng + CryptoRng),
    ) -> Result<Sealing, NetworkError> {
        let recipients = draw.recipients(contracts).await?;
        let seed = rng.random::<[u8; 32]>();
        Ok(Sealed::seal_salted(
            &seed,
            self.salt,
            draw.task,
            &self.value,
            recipients,
        )?)
    }
}

impl std::fmt::Debug for PrivateInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateInputs")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
