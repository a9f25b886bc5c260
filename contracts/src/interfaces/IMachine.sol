// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPreimages} from "./IPreimages.sol";

/// @title Machine
/// @notice One step of the RV32IM machine of `docs/spec/machine.md`, from a witness (section 7 there).
/// @dev Every valid witness has a next state; everything a program can do wrong is a trap, which is a state too. A
/// witness that is not valid reverts with one of the errors below, or with one of `IPreimages` when a READ or INPUT
/// needs what was not shown. For a given state exactly one witness is valid, up to how all-zero subtrees are written.
interface IMachine {
    /// The witness (or state) is shorter or longer than it must be, in bytes.
    error WitnessLength(uint256 found, uint256 expected);
    /// A tree higher than 27 levels.
    error HeightTooLarge(uint8 codeHeight, uint8 memHeight, uint8 max);
    /// A proof gives a sibling at or above the root.
    error BitmapAboveHeight(uint32 bitmap, uint8 height);
    /// The code proof does not lead to the state's `codeRoot`.
    error CodeRootMismatch(bytes32 found, bytes32 expected);
    /// The memory proof does not lead to the state's `memRoot`.
    error MemoryRootMismatch(bytes32 found, bytes32 expected);

    /// @notice Where shown preimages are kept.
    function preimages() external view returns (IPreimages);

    /// @notice Take one step.
    /// @param witness state ‖ code proof ‖ memory proof, of which the proofs only where the step needs them
    /// @return pre the root of the witness's state
    /// @return post the root of the state after the step; `pre` again when the machine is not running
    function step(bytes calldata witness) external view returns (bytes32 pre, bytes32 post);

    /// @notice Project a state on what its run came to (section 5).
    /// @param state 263 bytes
    /// @return root the state root
    /// @return resultHash keccak-256(status ‖ exit ‖ outputRoot)
    function result(bytes calldata state) external pure returns (bytes32 root, bytes32 resultHash);

    /// @notice What a state starts, if it is an initial state (section 1).
    /// @param state 263 bytes
    /// @return program the program hash, with `pc` as the entry
    /// @return input the hash of the input
    /// @return fresh whether everything that program and input do not determine is zero, as it must be in an initial state
    function initial(bytes calldata state) external pure returns (bytes32 program, bytes32 input, bool fresh);
}
