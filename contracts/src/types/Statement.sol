// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What a response is about: program `program` of `service`, given the input with keccak `input`, after `budget` steps.
struct Statement {
    address service;
    bytes32 program;
    bytes32 input;
    uint64 budget;
}

/// A signed response to a statement, as evidence. The signer is recovered from `(r, vs)` (EIP-2098).
struct Signed {
    /// hash of the request that was answered
    bytes32 request;
    /// who asked; compensated if the result is wrong
    address requester;
    /// result hash: keccak(status, exit, outputRoot)
    bytes32 result;
    bytes32 r;
    bytes32 vs;
}

/// What is kept, hashed, of a claim: re-supplied when it is needed.
struct ClaimDetail {
    address operator;
    bytes32 request;
    address requester;
    bytes32 result;
}
