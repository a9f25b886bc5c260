// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @title DevToken
/// @notice FOR DEVELOPMENT NETWORKS ONLY. ANYONE CAN MINT ANY AMOUNT: A BOND IN THIS TOKEN IS WORTH NOTHING.
contract DevToken is ERC20 {
    /// @notice Mints `amount` wei to `to`. Anyone may: see above.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function name() public pure override returns (string memory) {
        return "Surety development token (worthless)";
    }

    function symbol() public pure override returns (string memory) {
        return "DEV";
    }
}
