// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IService} from "../interfaces/IService.sol";

/// @title Results
/// @notice From an output to the result hash (`docs/spec/machine.md`, sections 5 and 6).
library Results {
    /// @return result hash: keccak-256(status ‖ exit ‖ outputRoot), 37 bytes
    function hash(uint8 status, uint32 exit, bytes32 outputRoot) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(status, exit, outputRoot));
    }

    /// @notice Folds the output's chunks into its root.
    /// @param chunks the length of each chunk, one byte each; empty for the canonical chunking (32 bytes each, the last
    /// one shorter)
    function fold(bytes calldata output, bytes calldata chunks) internal pure returns (bytes32 root) {
        uint256 at;
        if (chunks.length == 0) {
            while (at < output.length) {
                uint256 end = at + 32 < output.length ? at + 32 : output.length;
                root = keccak256(bytes.concat(root, output[at:end]));
                at = end;
            }
            return root;
        }
        for (uint256 i; i < chunks.length; ++i) {
            uint256 length = uint8(chunks[i]);
            uint256 end = at + length;
            if (length == 0 || length > 32 || end > output.length) revert IService.WrongChunks(end, output.length);
            root = keccak256(bytes.concat(root, output[at:end]));
            at = end;
        }
        if (at != output.length) revert IService.WrongChunks(at, output.length);
    }
}
