// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ClaimDetail, Signed, Statement} from "../types/Statement.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @title Responses
/// @notice Hashes of statements and of signed responses (`docs/spec/dispute.md`, section 1).
library Responses {
    /// EIP-712 type hash of a response.
    bytes32 internal constant TYPEHASH = keccak256(
        "Response(address service,bytes32 program,bytes32 input,uint64 budget,bytes32 request,address requester,bytes32 result)"
    );

    /// @return statementId: keccak-256 of abi.encode(statement)
    function id(Statement memory statement) internal pure returns (bytes32) {
        return EfficientHashLib.hash(
            uint256(uint160(statement.service)),
            uint256(statement.program),
            uint256(statement.input),
            uint256(statement.budget)
        );
    }

    /// @return id of the opener's dispute about the statement: keccak-256 of abi.encode(statementId, opener)
    function disputeId(Statement memory statement, address opener) internal pure returns (bytes32) {
        return EfficientHashLib.hash(uint256(id(statement)), uint256(uint160(opener)));
    }

    /// @return EIP-712 struct hash of what the operator signed
    function structHash(Statement memory statement, Signed calldata response) internal pure returns (bytes32) {
        return EfficientHashLib.hash(
            uint256(TYPEHASH),
            uint256(uint160(statement.service)),
            uint256(statement.program),
            uint256(statement.input),
            uint256(statement.budget),
            uint256(response.request),
            uint256(uint160(response.requester)),
            uint256(response.result)
        );
    }

    /// @return hash keccak-256 of abi.encode(opener, claims): what a dispute keeps of them
    function detailsHash(address opener, ClaimDetail[] calldata claims) internal pure returns (bytes32 hash) {
        // Assembly, because abi.encode copies word by word. Dirty upper bits give another hash than was kept.
        assembly ("memory-safe") {
            let encoded := mload(0x40)
            mstore(encoded, shr(96, shl(96, opener)))
            mstore(add(encoded, 32), 64)
            mstore(add(encoded, 64), claims.length)
            calldatacopy(add(encoded, 96), claims.offset, shl(7, claims.length))
            hash := keccak256(encoded, add(96, shl(7, claims.length)))
        }
    }
}
