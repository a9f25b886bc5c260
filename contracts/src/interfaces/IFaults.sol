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
    /// Unix seconds from when it can be punished; 0 if there is no such case
    uint64 until;
    /// whether those below have been slashed; a later report begins anew
    bool punished;
    /// members ever reported in this case: bit i is member i of the set
    uint256 reported;
    /// who is to be slashed
    address[] operators;
    /// who brought the evidence against each
    address[] reporters;
}

/// @title Faults
/// @notice Turns contradicting votes into slashed bonds: `docs/spec/network.md`, section 4.
/// @dev Bonds are locked when they are reported, and all that is reported within `reportWindow` is slashed in one call,
/// so that the severity rule of `Staking` sees how many they are. Who is reported later (of a case that a liar opened and
/// closed before the others lied, say) is slashed in a later round; nobody twice in a case. All rounds together take no
/// more than one would have: twice the largest bond.
///
/// Evidence counts while the set is younger than `Staking.leaveDelay`: until then every member that signed in it has its
/// bond or has lost it. Whoever is gone has nothing to lose, so its signature proves nothing.
///
/// The victim of a loss is who brought the evidence against that operator. A lie that the quorum outvoted cost no
/// application anything: the event stands, or the task is done again and paid once. What it cost is watching, and
/// watching is what must pay. Each reporter is rewarded for the operators it reported and for nobody else's, so that a liar
/// who opens the case against itself does not earn what others find. Reporting oneself gets back at most 70 %: `Staking` burns the rest.
/// No winners are named: those who voted right are as many as the set, and are paid for it by `Tasks`; their part goes
/// to the reporter.
interface IFaults {
    event Reported(
        bytes32 indexed id,
        address indexed service,
        address indexed operator,
        uint64 set,
        uint8 kind,
        bytes32 subject,
        address reporter,
        uint64 until
    );
    event Punished(bytes32 indexed id, address[] operators, uint256 slashed);

    error NotABallot(uint256 signers);
    error NotTheSame(bytes32 first, bytes32 second);
    error NoContradiction(bytes32 value);
    error KindHasNoQuorum(uint8 kind);
    error WrongKind(uint8 found, uint8 expected);
    error WrongVote(bytes32 found, bytes32 expected);
    error QuorumNotReached(uint256 power, uint256 total, uint16 quorum);
    error SetTooOld(address service, uint64 set, uint256 age, uint256 limit);
    error NobodyNew(bytes32 id, uint256 signers);
    error WindowOver(bytes32 id, uint256 until);
    error WindowOpen(bytes32 id, uint256 until);
    error UnknownCase(bytes32 id);
    error AlreadyPunished(bytes32 id);

    /// @notice Two ballots of one member: same kind and subject, different values. Of certificates of several, those who
    /// signed both are reported.
    function reportDouble(Proven calldata first, Proven calldata second) external returns (bytes32 id);

    /// @notice A ballot (of one or more) against a vote that the quorum certified.
    function reportMinority(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id);

    /// @notice A RESULT ballot, and (VALIDATION, r, INVALID) certified by the quorum.
    function reportResult(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id);

    /// @notice Slashes everybody in the case, once its window is over. Anyone may.
    function punish(bytes32 id) external;

    /// @return id hash of `abi.encode(service, set, kind, subject)`; a wrong result's kind and subject are RESULT's
    function idOf(address service, uint64 set, uint8 kind, bytes32 subject) external pure returns (bytes32 id);

    function caseOf(bytes32 id) external view returns (Case memory);

    function quorum() external view returns (IQuorum);
    function staking() external view returns (IStaking);
    function records() external view returns (IRecords);
    function tasks() external view returns (ITasks);
    /// @return seconds in which faults of one case are collected
    function reportWindow() external view returns (uint64);
}
