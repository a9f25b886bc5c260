// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Statement, Signed, ClaimDetail} from "../types/Statement.sol";

/// @title Disputes
/// @notice Settles conflicting signed responses to one statement by a game of dissection that ends in one machine
/// step, executed on-chain. `docs/spec/dispute.md` is the specification.
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
    event Eliminated(bytes32 indexed dispute, uint8 index, address indexed operator, uint64 joinUntil);
    event Settled(bytes32 indexed dispute, bytes32 result, uint256 slashed);

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
        uint32 clockA;
        uint32 clockB;
        uint64 lastMove;
        bytes32 head;
    }

    function open(Statement calldata statement, Signed[] calldata responses) external returns (bytes32 dispute);

    /// @param claims the details of all claims so far, in order (they are kept hashed)
    function join(Statement calldata statement, Signed calldata response, address opener, ClaimDetail[] calldata claims)
        external;

    function dissect(bytes32 dispute, bytes32 head, uint256 segment, bytes32[31] calldata points) external;

    function step(
        bytes32 dispute,
        bytes32 head,
        uint256 segment,
        bytes calldata openings,
        bytes calldata witness
    ) external;

    function expire(bytes32 dispute) external;

    function settle(Statement calldata statement, address opener, ClaimDetail[] calldata claims) external;

    function get(bytes32 dispute) external view returns (View memory);

    function operatorAt(bytes32 dispute, uint8 index) external view returns (address);
}
