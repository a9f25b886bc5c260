// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Selection
/// @notice Weighted draws without replacement: `docs/spec/network.md`, section 6.
library Selection {
    /// @param weights of at most 256 members, which sum up to less than 2^256; used up
    /// @return ranked indices of the members drawn, in order: `ranks`, or fewer if the weights run out
    function rank(bytes32 seed, uint256[] memory weights, uint256 ranks) internal pure returns (uint8[] memory ranked) {
        uint256 total;
        uint256 drawable;
        for (uint256 i; i < weights.length; ++i) {
            total += weights[i];
            if (weights[i] != 0) ++drawable;
        }
        ranked = new uint8[](ranks < drawable ? ranks : drawable);
        for (uint256 k; k < ranked.length; ++k) {
            uint256 left = uint256(keccak256(abi.encode(seed, k))) % total;
            uint256 weight;
            uint256 index;
            assembly ("memory-safe") {
                // Ends before the weights do: `left` is below their sum.
                let at := add(weights, 0x20)
                weight := mload(at)
                for {} iszero(lt(left, weight)) {} {
                    left := sub(left, weight)
                    at := add(at, 0x20)
                    weight := mload(at)
                }
                mstore(at, 0)
                index := sub(shr(5, sub(at, weights)), 1)
            }
            total -= weight;
            // At most 256 members.
            // forge-lint: disable-next-line(unsafe-typecast)
            ranked[k] = uint8(index);
        }
    }
}
