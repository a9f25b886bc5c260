// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ClaimDetail, Signed, Statement} from "../types/Statement.sol";
import {IMachine} from "./IMachine.sol";
import {IRegistry} from "./IRegistry.sol";
import {IStaking} from "./IStaking.sol";

/// @title Disputes
/// @notice Settles conflicting signed responses to one statement by a game of dissection that ends in one machine
/// step, executed on-chain. `docs/spec/dispute.md` is the specification.
/// A dispute's id is keccak-256 of abi.encode(statementId, opener): everyone has their own dispute about a statement, so
/// that nobody can shut out another's evidence by opening one first.
interface IDisputes {
    event Opened(
        bytes32 indexed dispute, address indexed service, address indexed opener, Statement statement, uint64 joinUntil
    );
    event Claimed(
        bytes32 indexed dispute,
        uint8 index,
        address indexed operator,
        bytes32 request,
        address requester,
        bytes32 result
    );
    event MatchStarted(bytes32 indexed dispute, uint8 a, uint8 b, uint8 levels, bytes32 head);
    event Dissected(bytes32 indexed dispute, uint8 move, uint8 segment, bytes32 head, bytes32[31] points);
    event Stepped(bytes32 indexed dispute, uint64 position);
    event Expired(bytes32 indexed dispute);
    /// A proof showed that `result` is right; the claims that differ are eliminated, one event each.
    event Decided(bytes32 indexed dispute, bytes32 result);
    event Eliminated(bytes32 indexed dispute, uint8 index, address indexed operator, uint64 joinUntil);
    event Settled(bytes32 indexed dispute, bytes32 result, uint256 slashed);

    error BudgetTooLarge(uint64 budget, uint64 limit);
    error DisputeExists(bytes32 dispute);
    error UnknownDispute(bytes32 dispute);
    error TooFewClaims(uint256 claims);
    error TooManyClaims(uint256 claims, uint256 limit);
    error NoConflict(bytes32 result);
    error AlreadyClaimed(address operator);
    error InvalidSignature();
    error WrongDetails(bytes32 kept, bytes32 given);
    error JoinClosed(uint256 joinUntil);
    error NoMatch(bytes32 dispute);
    error WrongHead(bytes32 head, bytes32 given);
    error NotOnMove(address caller, address mover);
    error ClockRanOut(uint256 used, uint256 limit);
    error ClockRunning(uint256 used, uint256 limit);
    error WrongSegment(uint256 segment);
    error DissectionsOver(uint256 moves);
    error StepTooEarly(uint256 moves, uint256 levels);
    error WrongOpenings(uint256 length, uint256 expected);
    error WrongWitness(uint256 length, uint256 expected);
    /// Start, end and openings lead to another head than the one named.
    error OpeningsMismatch(bytes32 head, bytes32 computed);
    /// At position 0: the witness's state is not the statement's initial state.
    error NotInitial(bytes32 program, bytes32 input);
    /// At the last position: the end of the whole trace is claim a's result.
    error WrongEnd(bytes32 end, bytes32 given);
    /// The step proves the opponent right.
    error StepLost(bytes32 next, bytes32 end);
    error NoVerdict(address service);
    /// No live claim differs from the verdict's result.
    error NothingDecided(bytes32 result);
    error MatchRunning(bytes32 dispute);
    error JoinOpen(uint256 joinUntil);
    /// (deployment) leaving must take longer than the longest dispute
    error LeaveDelayTooShort(uint256 leaveDelay, uint256 longest);
    /// (deployment) the clock must be above zero and below 2^21 seconds, the join window above zero
    error WrongTimes(uint256 clock, uint256 joinWindow);
    /// (deployment) this contract must be one of the staking contract's modules
    error NotModule(address disputes);

    struct View {
        uint64 joinUntil;
        uint8 claims;
        uint8 liveBitmap;
        bool matchRunning;
        uint8 a;
        uint8 b;
        /// moves made in the running match
        uint8 moves;
        uint8 levels;
        /// digits chosen so far, base 32
        uint64 position;
        /// seconds a has left, as of `lastMove`
        uint32 clockA;
        uint32 clockB;
        /// time of the last move (or of the match's start)
        uint64 lastMove;
        /// M of the last move; 0 while no match is running
        bytes32 head;
    }

    /// @notice Opens a dispute with 2 to 8 responses to one statement, from different operators with bonds, with at
    /// least two different results. Anyone may, once at a time about one statement; others' disputes about it do not
    /// count.
    /// @return dispute keccak-256 of abi.encode(statementId, opener); the opener is the caller
    function open(Statement calldata statement, Signed[] calldata responses) external returns (bytes32 dispute);

    /// @notice Adds a claim, until `joinUntil`. Anyone who has the signed response may.
    /// @param opener who opened the dispute
    /// @param claims the details of all claims so far, in order (they are kept hashed)
    function join(Statement calldata statement, Signed calldata response, address opener, ClaimDetail[] calldata claims)
        external;

    /// @notice Chooses segment `segment` of the previous dissection and dissects it. By the operator on move.
    /// @param head the move that is answered
    /// @param segment 0 to 31; 0 for the first move, which dissects the whole trace
    /// @param points the trace's values at the 31 inner points
    function dissect(bytes32 dispute, bytes32 head, uint256 segment, bytes32[31] calldata points) external;

    /// @notice Chooses segment `segment` of the last dissection, one transition long, and proves it. By the operator on
    /// move. Reverts, and changes nothing, unless it proves the caller right.
    /// @param opener who opened the dispute
    /// @param openings what ties the segment's start and end to the head (`docs/spec/dispute.md`, section 5)
    /// @param witness the start itself, and what the transition needs
    function step(
        Statement calldata statement,
        address opener,
        bytes32 head,
        uint256 segment,
        bytes calldata openings,
        bytes calldata witness
    ) external;

    /// @notice Eliminates the party on move once its clock has run out. Anyone may.
    function expire(bytes32 dispute) external;

    /// @notice Ends the game by the proof system that the service named when it was registered: eliminates all live
    /// claims that differ from the proven result. Anyone may.
    function decide(Statement calldata statement, address opener, ClaimDetail[] calldata claims, bytes calldata proof)
        external;

    /// @notice Pays, once no live claims differ and `joinUntil` has passed. Anyone may; the caller is paid for it.
    function settle(Statement calldata statement, address opener, ClaimDetail[] calldata claims) external;

    /// @return all zero if there is no such dispute
    function get(bytes32 dispute) external view returns (View memory);

    /// @return operator of claim `index`; zero if there is none
    function operatorAt(bytes32 dispute, uint8 index) external view returns (address);

    /// @return operator the signer of a response (`docs/spec/dispute.md`, section 1); reverts if the signature is none
    function signerOf(Statement calldata statement, Signed calldata response) external view returns (address operator);

    /// @return EIP-712 domain separator that responses are signed under
    function domainSeparator() external view returns (bytes32);

    /// @return seconds each party has in each match
    function clock() external view returns (uint32);

    /// @return seconds in which claims can be added after opening, and at least after each elimination
    function joinWindow() external view returns (uint32);

    function staking() external view returns (IStaking);

    function registry() external view returns (IRegistry);

    function machine() external view returns (IMachine);
}
