// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../../src/interfaces/IDisputes.sol";
import {ClaimDetail, Statement} from "../../src/types/Statement.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Belief, Trace} from "./Trace.sol";

/// How a claimant plays.
enum Style {
    /// right, and plays right
    Honest,
    /// wrong, and plays as well as one can: the honest strategy with its own trace
    Cunning,
    /// wrong; random segments
    Erratic,
    /// wrong; never moves
    Silent,
    /// wrong; stops in the middle
    Quitter,
    /// right, and loses on purpose
    Thrower
}

struct Seat {
    Style style;
    Belief belief;
}

/// Plays whole disputes between players of all kinds.
abstract contract Simulation is DisputeFixture {
    uint256 private _seed;

    function seedWith(uint256 seed) internal {
        _seed = seed;
    }

    function random(uint256 below) internal returns (uint256) {
        _seed = uint256(keccak256(abi.encode(_seed)));
        return _seed % below;
    }

    function seatOf(Statement memory s, Style style) internal returns (Seat memory seat) {
        seat.style = style;
        if (style == Style.Honest) {
            seat.belief = Trace.honest(s);
        } else {
            // Few different lies, so that some share theirs; any position, the ends of the trace among them.
            bytes32 salt = keccak256(abi.encode("lie", random(3)));
            uint256[4] memory froms = [1 + random(uint256(s.budget) + 1), uint256(s.budget) + 1, 1, 0x1f];
            seat.belief = Trace.liar(salt, froms[random(4)], random(2) == 0);
            if (style == Style.Thrower) seat.belief.result = Trace.rightResult(s);
        }
    }

    /// Plays until no match is running.
    function play(Statement memory s, Seat[] memory seats, ClaimDetail[] memory claims) internal {
        IDisputes.View memory v = disputes.get(idOf(s));
        uint8 live = v.liveBitmap;
        if (v.matchRunning && v.moves == 0) begin(idOf(s));
        while (v.matchRunning) {
            makeMove(s, v, seats[mover(v)], claims);
            v = disputes.get(idOf(s));
            if (v.liveBitmap != live && v.matchRunning) begin(idOf(s));
            live = v.liveBitmap;
        }
    }

    function makeMove(Statement memory s, IDisputes.View memory v, Seat memory seat, ClaimDetail[] memory claims)
        internal
    {
        vm.warp(block.timestamp + random(CLOCK / 8));
        address operator = disputes.operatorAt(idOf(s), mover(v));
        if (seat.style == Style.Silent || seat.style == Style.Quitter && random(4) == 0) return expire(s);
        uint256 segment = seat.style == Style.Erratic || seat.style == Style.Thrower
            ? (v.moves == 0 ? 0 : random(32))
            : chooseSegment(s, seat.belief);
        if (v.moves < v.levels) return dissectAs(s, operator, seat.belief, segment);
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, segment);
        bytes32 head = history().heads[v.moves];
        vm.prank(operator);
        if (seat.style == Style.Honest) return disputes.step(s, opener, head, segment, openings, witness);
        // What the dishonest cannot prove, they lose by the clock; by accident they may be right (against each other).
        try disputes.step(s, opener, head, segment, openings, witness) {}
        catch {
            expire(s);
        }
    }

    function expire(Statement memory s) internal {
        vm.warp(block.timestamp + CLOCK + 1);
        disputes.expire(idOf(s));
    }
}
