// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ClaimDetail, Statement} from "../src/types/Statement.sol";
import {Seat, Simulation, Style} from "./dispute/Simulation.sol";

/// P1, P2 and P7 of the design, on whole disputes between random players.
contract DisputePropertiesTest is Simulation {
    Seat[] private seats;
    ClaimDetail[] private claims;

    /// Up to eight claims, at least one of them honest; some open the dispute, the others join at any time, the honest
    /// ones last of all where it comes so.
    function testFuzz_P1_P2_P7_honestSurviveAndLiarsPay(uint256 seed) public {
        seedWith(seed);
        Statement memory s = statementOf(uint64(random(4) == 0 ? random(40) : random(1 << (1 + random(45)))));
        uint256 total = 2 + random(7);
        uint256 honest = random(total);
        for (uint256 i; i < total; ++i) {
            seats.push(seatOf(s, i == honest ? Style.Honest : Style(random(6))));
        }
        uint256 opening = firstConflict() + 1;
        if (opening > total) {
            // All agree: nothing to open.
            return;
        }
        bytes32[] memory results = new bytes32[](opening);
        for (uint256 i; i < opening; ++i) {
            results[i] = seats[i].belief.result;
        }
        (bytes32 dispute, ClaimDetail[] memory all) = open(s, results);
        for (uint256 i = opening; i < total; ++i) {
            if (random(2) == 0) play(s, seats, all);
            all = join(s, all, i, seats[i].belief.result);
            if (disputes.get(dispute).moves == 0) begin(dispute);
        }
        play(s, seats, all);

        uint8 live = disputes.get(dispute).liveBitmap;
        bytes32 right = seats[honest].belief.result;
        for (uint256 i; i < total; ++i) {
            bool isLive = live & 1 << i != 0;
            if (seats[i].style == Style.Honest) assertTrue(isLive, "P1: an honest claim was eliminated");
            if (seats[i].belief.result != right) assertFalse(isLive, "P2: a wrong claim survived");
        }
        settle(s, all);
        uint256 lost;
        for (uint256 i; i < total; ++i) {
            if (live & 1 << i == 0) ++lost;
        }
        for (uint256 i; i < total; ++i) {
            bool isLive = live & 1 << i != 0;
            uint256 slashed = lost <= 2 ? BOND : BOND * (20_000 / lost) / 10_000;
            assertEq(bondOf(i), isLive ? BOND : BOND - slashed, "bond");
            assertEq(staking.stakeOf(address(service), operators[i]).locks, 0, "lock");
        }
        assertConserved();
    }

    /// The index of the first claim that differs from claim 0's; the number of claims if none does.
    function firstConflict() private view returns (uint256 i) {
        for (i = 1; i < seats.length; ++i) {
            if (seats[i].belief.result != seats[0].belief.result) return i;
        }
    }

    /// Every kind of opponent, at every seat, over every number of levels: exhaustive where fuzzing is thin.
    function test_P1_P2_everyStyleEverySeatEveryDepth() public {
        for (uint256 bits; bits <= 45; bits += 3) {
            for (uint256 style = 1; style < 5; ++style) {
                for (uint256 seat; seat < 2; ++seat) {
                    duel(uint64((uint256(1) << bits) - bits % 2), Style(style), seat);
                }
            }
        }
    }

    function duel(uint64 budget, Style style, uint256 honestSeat) private {
        uint256 snapshot = vm.snapshotState();
        seedWith(uint256(keccak256(abi.encode(budget, style, honestSeat))));
        Statement memory s = statementOf(budget);
        Seat[] memory both = new Seat[](2);
        both[honestSeat] = seatOf(s, Style.Honest);
        both[1 - honestSeat] = seatOf(s, style);
        (bytes32 dispute, ClaimDetail[] memory all) = open(s, two(both[0].belief.result, both[1].belief.result));
        play(s, both, all);
        assertEq(disputes.get(dispute).liveBitmap, 1 << honestSeat);
        settle(s, all);
        assertEq(bondOf(1 - honestSeat), 0);
        vm.revertToState(snapshot);
    }
}
