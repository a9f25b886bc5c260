//! What peers ask each other for: payloads by hash, certificates. Everything is checked by who asked.

use alloy::primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header};
use surety_primitives::vote::VoteKind;

/// Version of the questions.
const VERSION: u8 = 1;

/// A question to a peer. The answer is the bytes asked for; empty if the peer does not have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Event data, inputs, outputs: the canonical encoding whose hash this is; or a sealed payload under its
    /// commitment.
    Value(B256),
    /// A certified vote.
    Certified {
        /// the service
        service: Address,
        /// kind of the vote
        kind: VoteKind,
        /// its subject
        subject: B256,
    },
    /// The result with this hash, as `TaskResult` fields.
    Result(B256),
}

impl Ask {
    /// As it goes over the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        VERSION.encode(&mut fields);
        match self {
            Self::Value(hash) => {
                1_u8.encode(&mut fields);
                hash.encode(&mut fields);
            }
            Self::Certified { service, kind, subject } => {
                2_u8.encode(&mut fields);
                service.encode(&mut fields);
                (*kind as u8).encode(&mut fields);
                subject.encode(&mut fields);
            }
            Self::Result(hash) => {
                3_u8.encode(&mut fields);
                hash.encode(&mut fields);
            }
        }
        let mut out = Vec::new();
        Header {
            list: true,
            payload_length: fields.len(),
        }
        .encode(&mut out);
        out.extend_from_slice(&fields);
        out
    }

    /// Reads a question; nothing may follow it.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, alloy_rlp::Error> {
        let bytes = &mut bytes;
        let mut fields = Header::decode_bytes(bytes, true)?;
        if !bytes.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        let fields = &mut fields;
        let version = u8::decode(fields)?;
        if version != VERSION {
            return Err(alloy_rlp::Error::Custom("another version of questions"));
        }
        let ask = match u8::decode(fields)? {
            1 => Self::Value(B256::decode(fields)?),
            2 => Self::Certified {
                service: Address::decode(fields)?,
                kind: VoteKind::try_from(u8::decode(fields)?)
                    .map_err(|_| alloy_rlp::Error::Custom("no such kind of vote"))?,
                subject: B256::decode(fields)?,
            },
            3 => Self::Result(B256::decode(fields)?),
            _ => return Err(alloy_rlp::Error::Custom("no such question")),
        };
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_survive_the_wire_and_nothing_else_does() {
        let certified = Ask::Certified {
            service: Address::repeat_byte(7),
            kind: VoteKind::Event,
            subject: B256::repeat_byte(3),
        };
        for ask in [Ask::Value(B256::repeat_byte(1)), certified, Ask::Result(B256::ZERO)] {
            let bytes = ask.encode();
            assert_eq!(Ask::decode(&bytes), Ok(ask));
            for cut in 0..bytes.len() {
                assert!(Ask::decode(bytes.get(..cut).unwrap_or_default()).is_err());
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(Ask::decode(&longer).is_err());
        }
        assert!(Ask::decode(&[0xc2, 2, 1]).is_err(), "another version");
        assert!(Ask::decode(&[0xc2, 1, 9]).is_err(), "another question");
    }
}
