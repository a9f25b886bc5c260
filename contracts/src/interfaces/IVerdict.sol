// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Statement} from "../types/Statement.sol";

/// @title Verdict
/// @notice Another proof system (validity proof, enclave signature) that can end a dispute without the game. A service
/// names one when it is registered, for ever: its operators stake on the proof system being sound.
interface IVerdict {
    /// @notice Reverts unless `proof` proves what the right result of `statement` is. Must depend on nothing that can
    /// change.
    /// @return result result hash (`docs/spec/machine.md`, section 5)
    function decide(Statement calldata statement, bytes calldata proof) external view returns (bytes32 result);
}
