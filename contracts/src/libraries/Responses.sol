// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Signed, Statement} from "../types/Statement.sol";

/// @title Responses
/// @notice Hashes of statements and of signed responses (`docs/spec/dispute.md`, section 1).
library Responses {
    /// EIP-712 type hash of a response.
    bytes32 internal constant TYPEHASH = keccak256(
        "Response(address service,bytes32 program,bytes32 input,uint64 budget,bytes32 request,address requester,bytes32 result)"
    );

    /// @return statementId, which is also the dispute's id
    function id(Statement calldata statement) internal pure returns (bytes32) {
        return keccak256(abi.encode(statement));
    }

    /// @return EIP-712 struct hash of what the operator signed
    function structHash(Statement calldata statement, Signed calldata response) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                TYPEHASH,
                statement.service,
                statement.program,
                statement.input,
                statement.budget,
                response.request,
                response.requester,
                response.result
            )
        );
    }
}
