//! The ERC-20 that bonds and fees are in.

#![allow(missing_docs, reason = "documented by EIP-20")]

use alloy::sol;

sol! {
    #![sol(all_derives)]

    interface IERC20 {
        event Transfer(address indexed from, address indexed to, uint256 value);

        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
    }

    /// The development token: anybody can make some.
    interface IDevToken {
        function mint(address to, uint256 amount) external;
    }
}
