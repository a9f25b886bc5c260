// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What a vote is about (`docs/spec/network.md`, section 3). The numbers are part of every leaf.
enum VoteKind {
    NONE,
    /// an event happened with this data
    EVENT,
    /// a task was executed with this result
    RESULT,
    /// a result is valid (1) or invalid (2)
    VALIDATION,
    /// what was measured (`docs/spec/integrity.md`, section 6)
    MEASUREMENT,
    /// this was found (1 is the only value)
    FINDING
}

/// One assertion of a member.
struct Vote {
    VoteKind kind;
    bytes32 subject;
    bytes32 value;
}

/// One or more members' signature under a root of votes. With one bit in `signers` it is a ballot, with more a
/// certificate.
struct Certificate {
    address service;
    /// number of the service's set
    uint64 set;
    /// of the tree over the votes' leaves
    bytes32 root;
    /// bit i is member i of the set
    uint256 signers;
    /// sum of the signers' signatures: 128 bytes, G1 as in EIP-2537
    bytes signature;
}

/// A vote, and the certificate whose root it is under.
struct Proven {
    Certificate certificate;
    Vote vote;
    /// Merkle proof from the vote's leaf to the root, at most 10 hashes
    bytes32[] proof;
}
