// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Draws} from "../src/libraries/Draws.sol";
import {Selection} from "../src/libraries/Selection.sol";
import {Test} from "forge-std/Test.sol";

contract SelectionTest is Test {
    /// `docs/spec/network.md`, section 6, word for word.
    function plain(bytes32 seed, uint256[] memory weights, uint256 ranks) private pure returns (uint8[] memory) {
        uint8[] memory order = new uint8[](weights.length);
        uint256 drawn;
        for (uint256 k; k < ranks; ++k) {
            uint256 total;
            for (uint256 i; i < weights.length; ++i) {
                total += weights[i];
            }
            if (total == 0) break;
            uint256 r = uint256(keccak256(abi.encode(seed, uint256(k)))) % total;
            uint256 running;
            for (uint256 i; i < weights.length; ++i) {
                running += weights[i];
                if (running > r) {
                    order[drawn++] = uint8(i);
                    weights[i] = 0;
                    break;
                }
            }
        }
        uint8[] memory cut = new uint8[](drawn);
        for (uint256 i; i < drawn; ++i) {
            cut[i] = order[i];
        }
        return cut;
    }

    function copy(uint256[] memory list) private pure returns (uint256[] memory same) {
        same = new uint256[](list.length);
        for (uint256 i; i < list.length; ++i) {
            same[i] = list[i];
        }
    }

    function assertSame(uint8[] memory a, uint8[] memory b) private pure {
        assertEq(keccak256(abi.encode(a)), keccak256(abi.encode(b)));
    }

    function testFuzz_rank_equalsTheReference(bytes32 seed, uint64[] memory drawn, uint8 ranks) public pure {
        uint256[] memory weights = new uint256[](drawn.length % 129);
        for (uint256 i; i < weights.length; ++i) {
            // Of all sizes, with zeros.
            weights[i] = drawn[i] >> (drawn[i] % 65);
        }
        assertSame(Selection.rank(seed, copy(weights), ranks), plain(seed, weights, ranks));
    }

    function test_rank_ends() public pure {
        uint256[] memory weights = new uint256[](3);
        assertEq(Selection.rank("seed", weights, 3).length, 0);
        assertEq(Selection.rank("seed", new uint256[](0), 3).length, 0);
        weights[1] = 1;
        uint8[] memory ranked = Selection.rank("seed", weights, 3);
        assertEq(ranked.length, 1);
        assertEq(ranked[0], 1);
    }

    /// How often each is first, and second given the first, within 5 sigma of the weights.
    function test_rank_distribution() public pure {
        uint256[5] memory given = [uint256(1), 2, 5, 12, 80];
        uint256 total = 100;
        uint256 runs = 20_000;
        uint256[5] memory first;
        uint256[5] memory secondAfterHeaviest;
        for (uint256 run; run < runs; ++run) {
            uint256[] memory weights = new uint256[](5);
            for (uint256 i; i < 5; ++i) {
                weights[i] = given[i];
            }
            uint8[] memory ranked = Selection.rank(keccak256(abi.encode(run)), weights, 2);
            ++first[ranked[0]];
            if (ranked[0] == 4) ++secondAfterHeaviest[ranked[1]];
        }
        for (uint256 i; i < 5; ++i) {
            within(first[i], runs, given[i], total);
            if (i < 4) within(secondAfterHeaviest[i], first[4], given[i], total - given[4]);
        }
    }

    /// `count` of `runs` with a chance of `weight` in `total`: deviation squared at most 25 times the variance.
    function within(uint256 count, uint256 runs, uint256 weight, uint256 total) private pure {
        int256 deviation = int256(count * total) - int256(runs * weight);
        assertLe(uint256(deviation * deviation), 25 * runs * weight * (total - weight), "5 sigma");
    }

    // Draws of members

    function testFuzz_sample(uint256 count, uint256 wanted, bytes32 seed) public pure {
        wanted = bound(wanted, 0, 256);
        count = bound(count, wanted + 1, 1_000_000);
        uint256[] memory drawn = Draws.sample(count, wanted, seed);
        assertEq(drawn.length, wanted);
        for (uint256 i; i < wanted; ++i) {
            assertLt(drawn[i], count);
            if (i != 0) assertGt(drawn[i], drawn[i - 1]);
        }
    }

    function testFuzz_choose(uint256 count, uint256 wanted, bytes32 seed) public pure {
        count = bound(count, 0, 256);
        wanted = bound(wanted, 0, 256);
        uint256 mask = Draws.choose(count, wanted, seed);
        uint256 chosen;
        for (uint256 i; i < 256; ++i) {
            if (mask >> i & 1 == 0) continue;
            assertLt(i, count);
            ++chosen;
        }
        assertEq(chosen, count < wanted ? count : wanted);
    }

    /// A call of its own, with its own memory.
    function draws(bytes32 seed) external pure returns (uint256[] memory, uint256) {
        return (Draws.sample(12, 5, seed), Draws.choose(12, 5, seed));
    }

    function test_draws_distribution() public view {
        uint256 runs = 3000;
        uint256[12] memory sampled;
        uint256[12] memory chosen;
        for (uint256 run; run < runs; ++run) {
            (uint256[] memory drawn, uint256 mask) = this.draws(keccak256(abi.encode("draws", run)));
            for (uint256 i; i < 5; ++i) {
                ++sampled[drawn[i]];
            }
            for (uint256 i; i < 12; ++i) {
                chosen[i] += mask >> i & 1;
            }
        }
        for (uint256 i; i < 12; ++i) {
            within(sampled[i], runs, 5, 12);
            within(chosen[i], runs, 5, 12);
        }
    }
}
