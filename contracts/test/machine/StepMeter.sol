// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title What a contract pays for a step of the machine
/// @dev The call itself, to a cold address, is in it; intrinsic gas and calldata of the transaction are not.
contract StepMeter {
    function measure(address machine, bytes calldata callData) external view returns (uint256 gasUsed) {
        bytes memory data = callData;
        uint256 before = gasleft();
        (bool ok,) = machine.staticcall(data);
        gasUsed = before - gasleft();
        require(ok, "the step reverted");
    }
}
