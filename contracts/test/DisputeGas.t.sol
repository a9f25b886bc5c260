// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ClaimDetail, Signed, Statement} from "../src/types/Statement.sol";
import {DisputeFixture} from "./dispute/DisputeFixture.sol";
import {Belief, Trace} from "./dispute/Trace.sol";

/// What a dispute costs, in whole transactions: intrinsic gas, the calldata floor of EIP-7623 and refunds included.
/// The machine is the counter: its step costs next to nothing, so the real one's comes on top (`MachineGasTest`).
contract DisputeGasTest is DisputeFixture {
    uint64 internal constant BUDGET = (1 << 40) - 1;

    function last(string memory name) internal returns (uint256) {
        return vm.snapshotGasLastCall("Disputes", name);
    }

    /// The usual dispute: the user's client opens, one of the two lies, the honest operator settles.
    function test_gas_wholeDisputeBetweenTwo() public {
        Statement memory s = statementOf(BUDGET);
        Belief memory right = Trace.honest(s);
        Belief memory wrong = Trace.liar(keccak256("lie"), 0x5a5a5a5a5a, false);
        Signed[] memory responses = new Signed[](2);
        ClaimDetail[] memory claims = new ClaimDetail[](2);
        responses[0] = sign(s, operators[0], right.result);
        responses[1] = sign(s, operators[1], wrong.result);
        claims[0] = detail(operators[0], right.result);
        claims[1] = detail(operators[1], wrong.result);

        opener = REQUESTER;
        vm.prank(opener);
        bytes32 dispute = disputes.open(s, responses);
        uint256 total = last("open, two claims");

        begin(dispute);
        for (uint256 i; i < 8; ++i) {
            Belief memory belief = i % 2 == 0 ? right : wrong;
            dissectAs(s, operators[i % 2], belief, chooseSegment(s, belief));
            total += last(i == 0 ? "dissect, first move of a match" : "dissect, later move");
        }
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, chooseSegment(s, right));
        uint256 segment = chooseSegment(s, right);
        vm.prank(operators[0]);
        disputes.step(s, opener, history().heads[8], segment, openings, witness);
        total += last("step, without the machine's");

        vm.warp(block.timestamp + JOIN_WINDOW + 1);
        vm.prank(operators[0]);
        disputes.settle(s, REQUESTER, claims);
        total += last("settle, by the winner");
        vm.snapshotValue("Disputes", "whole dispute over 2^40 steps, without the machine's step", total);
        assertEq(bondOf(1), 0);
    }
}
