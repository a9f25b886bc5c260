//! A request: an ordinary signed EIP-1559 transaction.

use crate::{Budget, BudgetError, InputHash, RequestHash, SignatureError, signature};
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rlp::{Decodable, Header};
use alloy_sol_types::SolValue;

/// Most bytes of call data in a request: 96 KiB, the longest preimage that one transaction can show on-chain.
pub const MAX_DATA_BYTES: usize = 96 * 1024;

/// Most bytes of a raw request: the data and at most 1 KiB around it.
pub const MAX_REQUEST_BYTES: usize = MAX_DATA_BYTES + 1024;

/// The EIP-2718 type of an EIP-1559 transaction.
const EIP1559: u8 = 2;

/// A checked request to a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Hash of the transaction.
    pub hash: RequestHash,
    /// Who signed it.
    pub requester: Address,
    /// The service asked.
    pub service: Address,
    /// The sender's count; free, it only makes equal requests distinct.
    pub nonce: u64,
    /// Steps the program may take.
    pub budget: Budget,
    /// The call, selector included: the whole input of the program.
    pub data: Bytes,
}

/// Why a raw transaction is not a request to this service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing there.
    #[error("request is empty, expected an EIP-1559 transaction (type 2)")]
    Empty,
    /// Above [`MAX_REQUEST_BYTES`].
    #[error("request of {found} bytes is above the limit of {MAX_REQUEST_BYTES}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Another kind of transaction; a first byte of 0xc0 or above is a legacy one.
    #[error("transaction begins with {found:#04x}, expected an EIP-1559 transaction (type 2)")]
    Type {
        /// First byte found.
        found: u8,
    },
    /// Not RLP, or not that of a signed EIP-1559 transaction.
    #[error("transaction field `{field}` is malformed: {error}")]
    Rlp {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        error: alloy_rlp::Error,
    },
    /// Bytes after the transaction, or after its last field.
    #[error("{found} bytes follow the {after}, expected none")]
    Trailing {
        /// Bytes found.
        found: usize,
        /// After what.
        after: &'static str,
    },
    /// For another chain.
    #[error("chain id is {found}, expected the service's, {expected}")]
    ChainId {
        /// In the transaction.
        found: u64,
        /// The service's.
        expected: u64,
    },
    /// For another contract.
    #[error("recipient is {found}, expected the service, {expected}")]
    To {
        /// In the transaction.
        found: Address,
        /// The service.
        expected: Address,
    },
    /// Creates a contract.
    #[error("transaction creates a contract, expected a call of {expected}")]
    Create {
        /// The service.
        expected: Address,
    },
    /// Sends value.
    #[error("value is {found} wei, expected 0")]
    Value {
        /// In the transaction.
        found: U256,
    },
    /// Has an access list.
    #[error("access list has {found} bytes, expected an empty one")]
    AccessList {
        /// Bytes of its entries.
        found: usize,
    },
    /// No steps at all.
    #[error("gas limit is 0, expected at least 1 (a thousand steps)")]
    NoGas,
    /// More steps than a dispute can settle.
    #[error("gas limit {gas_limit} (in thousands of steps) is too high: {error}")]
    Budget {
        /// In the transaction.
        gas_limit: u64,
        /// The limit.
        error: BudgetError,
    },
    /// Above [`MAX_DATA_BYTES`].
    #[error("data of {found} bytes is above the limit of {MAX_DATA_BYTES}")]
    DataTooLong {
        /// Bytes found.
        found: usize,
    },
    /// No signer.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Request {
    /// Decodes a raw (EIP-2718) transaction and checks that it is a request to `service`, whose chain id is
    /// `chain_id` (see [`crate::service_chain_id`]). Every encoding but the one canonical one is refused, so a
    /// request has one hash.
    pub fn decode(raw: &[u8], chain_id: u64, service: Address) -> Result<Self, RequestError> {
        if raw.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong { found: raw.len() });
        }
        let (kind, mut rest) = raw.split_first().ok_or(RequestError::Empty)?;
        if *kind != EIP1559 {
            return Err(RequestError::Type { found: *kind });
        }
        let payload = list(&mut rest, "transaction")?;
        trailing(rest, "transaction")?;

        let buf = &mut &payload[..];
        let found = field::<u64>(buf, "chainId")?;
        if found != chain_id {
            return Err(RequestError::ChainId {
                found,
                expected: chain_id,
            });
        }
        let nonce = field::<u64>(buf, "nonce")?;
        // Fees are free; they only have to be numbers.
        field::<u128>(buf, "maxPriorityFeePerGas")?;
        field::<u128>(buf, "maxFeePerGas")?;
        let gas_limit = field::<u64>(buf, "gasLimit")?;
        match field::<TxKind>(buf, "to")? {
            TxKind::Create => return Err(RequestError::Create { expected: service }),
            TxKind::Call(found) if found != service => {
                return Err(RequestError::To {
                    found,
                    expected: service,
                });
            }
            TxKind::Call(_) => {}
        }
        let value = field::<U256>(buf, "value")?;
        if !value.is_zero() {
            return Err(RequestError::Value { found: value });
        }
        let data = field::<Bytes>(buf, "data")?;
        if data.len() > MAX_DATA_BYTES {
            return Err(RequestError::DataTooLong { found: data.len() });
        }
        let access_list = list(buf, "accessList")?;
        if !access_list.is_empty() {
            return Err(RequestError::AccessList {
                found: access_list.len(),
            });
        }
        let unsigned = payload
            .get(..payload.len().saturating_sub(buf.len()))
            .unwrap_or_default();
        let parity = field::<bool>(buf, "yParity")?;
        let r = field::<U256>(buf, "r")?;
        let s = field::<U256>(buf, "s")?;
        trailing(buf, "signature")?;

        if gas_limit == 0 {
            return Err(RequestError::NoGas);
        }
        let budget = Budget::from_gas_limit(gas_limit).map_err(|error| RequestError::Budget { gas_limit, error })?;
        let requester = signature::recover(r, s, parity, &signing_hash(unsigned))?;
        Ok(Self {
            hash: keccak256(raw).into(),
            requester,
            service,
            nonce,
            budget,
            data,
        })
    }

    /// Hash of the program's input.
    pub fn input_hash(&self) -> InputHash {
        keccak256(&self.data).into()
    }

    /// The method called; `None` where there are fewer than four bytes of data.
    pub fn selector(&self) -> Option<[u8; 4]> {
        self.data.first_chunk().copied()
    }
}

/// Hash of a request made on-chain: keccak256(abi.encode(L1 chain id, service, id)), where `id` is the service's
/// own count (`docs/spec/wire.md`, section 1).
pub fn forced_request_hash(l1: u64, service: Address, id: U256) -> RequestHash {
    keccak256((U256::from(l1), service, id).abi_encode_params()).into()
}

/// keccak256(0x02 ‖ rlp([fields])). Fields were decoded canonically, so their bytes are their encoding.
fn signing_hash(fields: &[u8]) -> B256 {
    let mut bytes = Vec::with_capacity(fields.len().saturating_add(10));
    bytes.push(EIP1559);
    Header {
        list: true,
        payload_length: fields.len(),
    }
    .encode(&mut bytes);
    bytes.extend_from_slice(fields);
    keccak256(bytes)
}

fn field<T: Decodable>(buf: &mut &[u8], field: &'static str) -> Result<T, RequestError> {
    T::decode(buf).map_err(|error| RequestError::Rlp { field, error })
}

/// The payload of a list.
fn list<'a>(buf: &mut &'a [u8], field: &'static str) -> Result<&'a [u8], RequestError> {
    Header::decode_bytes(buf, true).map_err(|error| RequestError::Rlp { field, error })
}

fn trailing(rest: &[u8], after: &'static str) -> Result<(), RequestError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(RequestError::Trailing {
            found: rest.len(),
            after,
        })
    }
}
