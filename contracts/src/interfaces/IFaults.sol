// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Proven} from "../types/Votes.sol";
import {IQuorum} from "./IQuorum.sol";
import {IRecords} from "./IRecords.sol";
import {IStaking} from "./IStaking.sol";
import {ITasks} from "./ITasks.sol";

/// The faults of one service's set about one subject.
struct Case {
    address service;
    uint64 set;
    bytes32 subject;
    /// Unix seconds from when it can be punished; 0 if there is no such case
    uint64 until;
    bool punished;
    address reporter;
    address[] operators;
}

/// @title Faults
/// @notice Turns contradicting votes into slashed bonds: `docs/spec/network.md`, section 4.
interface IFaults {
    event Reported(
        bytes32 indexed id, address indexed service, address indexed operator, uint64 set, bytes32 subject, uint64 until
    );
    event Punished(bytes32 indexed id, uint256 slashed);

    error NotABallot(uint256 signers);
    error NotTheSame(bytes32 first, bytes32 second);
    error NoContradiction(bytes32 value);
    error KindHasNoQuorum(uint8 kind);
    error QuorumNotReached(uint256 power, uint256 total, uint16 quorum);
    error AlreadyReported(bytes32 id, address operator);
    error WindowOver(bytes32 id, uint256 until);
    error WindowOpen(bytes32 id, uint256 until);
    error UnknownCase(bytes32 id);
    error AlreadyPunished(bytes32 id);
    error TooMany(bytes32 id, uint256 limit);

    /// @notice Two ballots of one member: same kind and subject, different values.
    function reportDouble(Proven calldata first, Proven calldata second) external returns (bytes32 id);

    /// @notice A ballot against a vote that the quorum certified.
    function reportMinority(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id);

    /// @notice A RESULT ballot, and (VALIDATION, r, INVALID) certified by the quorum.
    function reportResult(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id);

    /// @notice Slashes everybody in the case, once its window is over.
    function punish(bytes32 id) external;

    /// @return id hash of `abi.encode(service, set, kind, subject)`; a wrong result's kind and subject are RESULT's
    function caseOf(bytes32 id) external view returns (Case memory);

    function quorum() external view returns (IQuorum);
    function staking() external view returns (IStaking);
    function records() external view returns (IRecords);
    function tasks() external view returns (ITasks);
    /// @return seconds in which faults of one case are collected
    function reportWindow() external view returns (uint64);
}
