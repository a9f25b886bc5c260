// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Dissection} from "../src/libraries/Dissection.sol";
import {Trace} from "./dispute/Trace.sol";
import {Test} from "forge-std/Test.sol";

/// The hashing in assembly against the plain loop.
contract DissectionTest is Test {
    function root(bytes32[31] calldata points) external pure returns (bytes32) {
        return Dissection.rootOf(points);
    }

    function testFuzz_rootAgreesWithPlainLoop(bytes32[31] memory points) public view {
        assertEq(this.root(points), Trace.rootOf(points));
    }

    function test_levels() public pure {
        assertEq(Dissection.levelsOf(0), 1);
        assertEq(Dissection.levelsOf(31), 1);
        assertEq(Dissection.levelsOf(32), 2);
        assertEq(Dissection.levelsOf(1023), 2);
        assertEq(Dissection.levelsOf(1024), 3);
        assertEq(Dissection.levelsOf(1 << 40), 9);
        assertEq(Dissection.levelsOf((1 << 40) - 1), 8);
        assertEq(Dissection.levelsOf(1 << 45), 10);
    }

    function testFuzz_levelsAgreeWithDefinition(uint64 budget) public pure {
        budget = uint64(bound(budget, 0, 1 << 45));
        assertEq(Dissection.levelsOf(budget), Trace.levelsOf(budget));
    }
}
