// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Service} from "../Service.sol";
import {IDisputes} from "../interfaces/IDisputes.sol";

/// @title Explorer
/// @notice Example service: a verifiable block explorer. The program is `programs/explorer`; it reads the header, the
/// proof's nodes and the receipts as preimages and checks every hash itself.
contract Explorer is Service {
    constructor(address owner_, IDisputes disputes_) Service(owner_, disputes_) {}

    /// @notice Balance of `account`, in wei, after the block.
    function balanceOf(bytes32 blockHash, address account) external request returns (uint256 balance) {}

    /// @notice The block's receipt number `index` (EIP-2718).
    /// @return kind type of the transaction
    /// @return success whether it did not revert
    /// @return cumulativeGasUsed gas used in the block up to and including this transaction
    /// @return logs number of logs
    /// @return raw the receipt as it is in the receipts trie
    function receipt(bytes32 blockHash, uint256 index)
        external
        request
        returns (uint8 kind, bool success, uint256 cumulativeGasUsed, uint256 logs, bytes memory raw)
    {}
}
