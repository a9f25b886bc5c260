//! Sets: who may vote for a service, fixed at a block (`docs/spec/network.md`, section 2).

use crate::bls::{BlsError, PublicKey};
use alloc::{collections::BTreeSet, vec::Vec};
use alloy_primitives::{Address, U256, U512, uint};
use core::fmt;

/// Most members of a set.
pub const MAX_MEMBERS: usize = 128;

/// Bytes of a member in the roll: operator (20), power (8), weight (8), key (192).
pub const MEMBER_BYTES: usize = 228;

/// Members in the first page of a roll.
pub const PAGE_MEMBERS: usize = 64;

/// Bytes of the sum of all keys, at the start of the roll.
const KEY_BYTES: usize = 192;

/// Bytes of the head of the first page: power and number of members (32), the negated sum of all keys (256).
const HEAD_BYTES: usize = 288;

/// The prime of the field of BLS12-381.
const P: U512 =
    uint!(0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab_U512);

/// One member of a set. It never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Address of the operator's key.
    pub operator: Address,
    /// Bond / 10^9 when the set was fixed.
    pub power: u64,
    /// Weight in selections ([`crate::selection::Record::weight`]).
    pub weight: u64,
    /// What its votes are verified with.
    pub key: PublicKey,
}

impl Member {
    /// The member's part of the roll.
    pub fn to_bytes(&self) -> [u8; MEMBER_BYTES] {
        let mut out = [0; MEMBER_BYTES];
        let (operator, rest) = out.split_at_mut(20);
        let (power, rest) = rest.split_at_mut(8);
        let (weight, key) = rest.split_at_mut(8);
        operator.copy_from_slice(self.operator.as_slice());
        power.copy_from_slice(&self.power.to_be_bytes());
        weight.copy_from_slice(&self.weight.to_be_bytes());
        key.copy_from_slice(&self.key.to_unpadded());
        out
    }

    fn from_bytes(index: usize, bytes: &[u8; MEMBER_BYTES]) -> Result<Self, SetError> {
        let (operator, rest) = split::<20>(bytes)?;
        let (power, rest) = split::<8>(rest)?;
        let (weight, rest) = split::<8>(rest)?;
        let (key, _) = split::<KEY_BYTES>(rest)?;
        Ok(Self {
            operator: Address::from(operator),
            power: u64::from_be_bytes(*power),
            weight: u64::from_be_bytes(*weight),
            key: PublicKey::from_unpadded(key).map_err(|error| SetError::Key { index, error })?,
        })
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), SetError> {
    bytes
        .split_first_chunk::<N>()
        .ok_or(SetError::Length { found: bytes.len() })
}

/// Why bytes are no roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Not the sum of the keys followed by whole members.
    #[error("roll has {found} bytes, expected {KEY_BYTES} and a multiple of {MEMBER_BYTES}")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// A page's code starts with a byte that stops the EVM.
    #[error("page {page} starts with {found:?}, expected 0")]
    Page {
        /// Which page.
        page: usize,
        /// Its first byte, if any.
        found: Option<u8>,
    },
    /// The second page begins when the first is full.
    #[error("first page has {found} members and there is a second, expected {PAGE_MEMBERS}")]
    FirstPage {
        /// Members in it.
        found: usize,
    },
    /// 1 to [`MAX_MEMBERS`].
    #[error("set has {found} members, expected 1 to {MAX_MEMBERS}")]
    Members {
        /// How many there are.
        found: usize,
    },
    /// An operator has one seat.
    #[error("operator {operator} is a member twice")]
    Twice {
        /// Who.
        operator: Address,
    },
    /// A member's key is none.
    #[error("key of member {index}: {error}")]
    Key {
        /// Which member.
        index: usize,
        /// What is wrong with it.
        error: BlsError,
    },
    /// The sum at the start of the roll is not a key, or not that of the members' keys.
    #[error("sum of the keys is not what the roll says")]
    Sum,
}

/// A set of a service. Made once, checked once; what it holds is consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    service: Address,
    number: u64,
    fixed_at: u64,
    members: Vec<Member>,
    power: u128,
    key: PublicKey,
}

impl Set {
    /// The set of these members, in this order.
    pub fn new(service: Address, number: u64, fixed_at: u64, members: Vec<Member>) -> Result<Self, SetError> {
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(SetError::Members { found: members.len() });
        }
        let mut seen = BTreeSet::new();
        if let Some(member) = members.iter().find(|member| !seen.insert(member.operator)) {
            return Err(SetError::Twice {
                operator: member.operator,
            });
        }
        Ok(Self {
            service,
            number,
            fixed_at,
            power: members.iter().map(|member| u128::from(member.power)).sum(),
            key: PublicKey::sum(members.iter().map(|member| &member.key)).map_err(|_| SetError::Sum)?,
            members,
        })
    }

    /// From the roll: the sum of the keys, then the members.
    pub fn from_roll(service: Address, number: u64, fixed_at: u64, roll: &[u8]) -> Result<Self, SetError> {
        let (sum, members) = roll
            .split_first_chunk::<KEY_BYTES>()
            .ok_or(SetError::Length { found: roll.len() })?;
        let (members, rest) = members.as_chunks::<MEMBER_BYTES>();
        if !rest.is_empty() {
            return Err(SetError::Length { found: roll.len() });
        }
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(SetError::Members { found: members.len() });
        }
        let members = members.iter().enumerate();
        let members = members
            .map(|(index, bytes)| Member::from_bytes(index, bytes))
            .collect::<Result<_, _>>()?;
        let set = Self::new(service, number, fixed_at, members)?;
        if set.key.to_unpadded() == *sum {
            Ok(set)
        } else {
            Err(SetError::Sum)
        }
    }

    /// From the code of the roll's data contracts, which starts with a zero byte; in the first, the head is next. An absent
    /// second page is empty.
    pub fn from_pages(service: Address, number: u64, fixed_at: u64, pages: [&[u8]; 2]) -> Result<Self, SetError> {
        let [first, second] = pages;
        let first = page(0, first)?;
        let (head, roll) = first
            .split_at_checked(HEAD_BYTES)
            .ok_or(SetError::Length { found: first.len() })?;
        let mut roll = roll.to_vec();
        if !second.is_empty() {
            let found = roll.len().saturating_sub(KEY_BYTES) / MEMBER_BYTES;
            if roll.len() != KEY_BYTES + PAGE_MEMBERS * MEMBER_BYTES {
                return Err(SetError::FirstPage { found });
            }
            let second = page(1, second)?;
            if second.len() > (MAX_MEMBERS - PAGE_MEMBERS) * MEMBER_BYTES {
                return Err(SetError::Length {
                    found: roll.len().saturating_add(second.len()),
                });
            }
            roll.extend_from_slice(second);
        } else if roll.len() > KEY_BYTES + PAGE_MEMBERS * MEMBER_BYTES {
            return Err(SetError::Length { found: roll.len() });
        }
        let set = Self::from_roll(service, number, fixed_at, &roll)?;
        if set.head() == head {
            Ok(set)
        } else {
            Err(SetError::Sum)
        }
    }

    /// The first page's head: a word of power and, in the lowest byte, number of members; the negated sum of all keys.
    fn head(&self) -> Vec<u8> {
        let word = (U256::from(self.power) << 8_usize) | U256::from(self.members.len());
        let mut head = word.to_be_bytes::<32>().to_vec();
        let key = self.key.to_eip2537();
        let (x, y) = key.split_at(128);
        head.extend_from_slice(x);
        for coordinate in y.chunks_exact(64) {
            let coordinate = U512::from_be_slice(coordinate);
            let negated = if coordinate.is_zero() {
                coordinate
            } else {
                P.wrapping_sub(coordinate)
            };
            head.extend_from_slice(&negated.to_be_bytes::<64>());
        }
        head
    }

    /// The roll, as [`Set::from_roll`] reads it.
    pub fn to_roll(&self) -> Vec<u8> {
        let mut roll = self.key.to_unpadded().to_vec();
        roll.extend(self.members.iter().flat_map(Member::to_bytes));
        roll
    }

    /// Code of the roll's data contracts; the second is empty for up to [`PAGE_MEMBERS`] members.
    pub fn to_pages(&self) -> [Vec<u8>; 2] {
        let roll = self.to_roll();
        let (first, second) = roll.split_at(roll.len().min(KEY_BYTES + PAGE_MEMBERS * MEMBER_BYTES));
        let second = if second.is_empty() {
            Vec::new()
        } else {
            [&[0], second].concat()
        };
        [[&[0], self.head().as_slice(), first].concat(), second]
    }

    /// The service.
    pub fn service(&self) -> Address {
        self.service
    }

    /// Number of the set, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Block of the L1 it was fixed at.
    pub fn fixed_at(&self) -> u64 {
        self.fixed_at
    }

    /// Its members, in order: 1 to [`MAX_MEMBERS`].
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this index.
    pub fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// The operator's index, if it is a member.
    pub fn index_of(&self, operator: Address) -> Option<usize> {
        self.members.iter().position(|member| member.operator == operator)
    }

    /// Power of all members together.
    pub fn power(&self) -> u128 {
        self.power
    }

    /// Power of some members together; bits beyond the last member count nothing.
    pub fn power_of(&self, members: Signers) -> u128 {
        let power = |index| self.member(index).map_or(0, |member| u128::from(member.power));
        members.iter().map(power).sum()
    }

    /// Sum of all members' keys.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Sum of some members' keys, by whichever takes less: adding theirs, or taking away the others'.
    /// `None` if there are none, or one is no member; or if the sum is infinity.
    pub fn key_of(&self, members: Signers) -> Option<PublicKey> {
        if members.is_empty() || !self.all().contains_all(members) {
            return None;
        }
        let keys = |of: Signers| {
            of.iter()
                .filter_map(|index| self.member(index))
                .map(|member| &member.key)
        };
        let absent = self.all().without(members);
        if absent.len() < members.len() {
            self.key.without(keys(absent)).ok()
        } else {
            PublicKey::sum(keys(members)).ok()
        }
    }

    /// A bit for every member.
    pub fn all(&self) -> Signers {
        (0..self.members.len()).collect()
    }

    /// Weights in selections, in order.
    pub fn weights(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.weight).collect()
    }

    /// The members among `operators`, for selections among named nodes.
    pub fn among(&self, operators: &[Address]) -> Signers {
        let named = |(index, member): (usize, &Member)| operators.contains(&member.operator).then_some(index);
        self.members.iter().enumerate().filter_map(named).collect()
    }
}

fn page(page: usize, code: &[u8]) -> Result<&[u8], SetError> {
    match code.split_first() {
        Some((0, rest)) => Ok(rest),
        other => Err(SetError::Page {
            page,
            found: other.map(|(first, _)| *first),
        }),
    }
}

/// Members of a set, as a bitmap: bit i is member i.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signers(u128);

impl Signers {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// From the bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// As the contracts have it.
    pub fn to_u256(self) -> U256 {
        U256::from(self.0)
    }

    /// The member with this index alone; `None` from [`MAX_MEMBERS`].
    pub fn only(index: usize) -> Option<Self> {
        (index < MAX_MEMBERS).then(|| Self(1 << index))
    }

    /// Adds a member. False if it was there, or the index is [`MAX_MEMBERS`] or more.
    pub fn insert(&mut self, index: usize) -> bool {
        let Some(bit) = Self::only(index) else { return false };
        let fresh = self.0 & bit.0 == 0;
        self.0 |= bit.0;
        fresh
    }

    /// Takes a member away. False if it was not there.
    pub fn remove(&mut self, index: usize) -> bool {
        let Some(bit) = Self::only(index) else { return false };
        let there = self.0 & bit.0 != 0;
        self.0 &= !bit.0;
        there
    }

    /// Whether the member is in it.
    pub fn contains(self, index: usize) -> bool {
        Self::only(index).is_some_and(|bit| self.0 & bit.0 != 0)
    }

    /// Whether all of `others` are in it.
    pub const fn contains_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Those in either.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those in both.
    #[must_use]
    pub const fn common(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are not in `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// How many they are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is nobody.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their indices, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_MEMBERS).filter(move |index| self.contains(*index))
    }
}

impl FromIterator<usize> for Signers {
    /// Indices of [`MAX_MEMBERS`] and more are left out.
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        let mut signers = Self::NONE;
        for index in indices {
            signers.insert(index);
        }
        signers
    }
}

/// `Err` with the bitmap itself if it names a member beyond the last possible one.
impl TryFrom<U256> for Signers {
    type Error = U256;

    fn try_from(bits: U256) -> Result<Self, U256> {
        u128::try_from(bits).map(Self).map_err(|_| bits)
    }
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
