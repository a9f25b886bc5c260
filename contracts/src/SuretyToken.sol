// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @title SuretyToken
/// @notice A plain ERC-20 of 18 decimals. One contract, fixed at deployment, can mint (`Issuance`); nobody else ever.
contract SuretyToken is ERC20 {
    address public immutable minter;

    error NotMinter(address caller, address minter);

    /// @param minter_ can mint, for ever; its address can be predicted where it is not deployed yet
    /// @param holder gets what there is at first
    /// @param supply what there is at first, in wei
    constructor(address minter_, address holder, uint256 supply) {
        minter = minter_;
        _mint(holder, supply);
    }

    /// @notice Mints `amount` wei to `to`. Callable by the minter.
    function mint(address to, uint256 amount) external {
        if (msg.sender != minter) revert NotMinter(msg.sender, minter);
        _mint(to, amount);
    }

    function name() public pure override returns (string memory) {
        return "Surety";
    }

    function symbol() public pure override returns (string memory) {
        return "SURETY";
    }
}
