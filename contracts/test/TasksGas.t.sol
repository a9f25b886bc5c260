// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Settlement, Step, Trigger} from "../src/interfaces/ITasks.sol";
import {Proven, Vote, VoteKind} from "../src/types/Votes.sol";
import {NetworkFixture} from "./network/NetworkFixture.sol";

/// What the network costs, in whole transactions, with a set of 128: intrinsic gas, the calldata floor of EIP-7623 and
/// refunds included.
contract TasksGasTest is NetworkFixture {
    function size() internal pure override returns (uint256) {
        return 128;
    }

    function last(string memory name) private {
        vm.snapshotGasLastCall("Tasks", name);
    }

    /// All but so many, spread over the set.
    function without(uint256 absent) private view returns (uint256 signers) {
        signers = everybody();
        for (uint256 i; i < absent; ++i) {
            signers &= ~(uint256(1) << (i * 12 + 3));
        }
    }

    function test_gasOfFlowsAndRuns() public {
        Step[] memory steps = new Step[](2);
        (steps[0], steps[1]) = (stepOf(3), stepOf(0));
        vm.prank(APP);
        uint256 flow = tasks.createFlow(new bytes(1000), Trigger(service, EVENT_NAME, FEE), steps);
        last("create a flow of two steps and 1,000 bytes");
        uint256 second = flowOf(steps);

        Proven memory event_ = seen("first", everybody());
        tasks.start(flow, "first", event_);
        last("start by a certificate of 128, nobody absent, the set's first");
        event_ = seen("second", without(10));
        tasks.start(flow, "second", event_);
        last("start by a certificate of 118, 10 absent for the first time");
        event_ = seen("id", without(10));
        bytes32 run = tasks.start(flow, "id", event_);
        last("start by a certificate of 118, 10 absent again");
        Proven memory vote;
        vote.vote = Vote(VoteKind.EVENT, keyOf("id"), event_.vote.value);
        tasks.start(second, "id", vote);
        last("start by an event that is certified");

        bytes memory header = nextBlock("mix");
        uint8[] memory ranked = drawn(run, 0, "mix", 4);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 4));
        tasks.settle(s);
        last("settle with three validators, randomness not pinned, all paid for the first time");
        ranked = drawn(run, 1, "mix", 1);
        s = executedBy(workOn(run, 1, 0, ""), maskOf(ranked, 0, 1));
        tasks.settle(s);
        last("settle without validators, randomness pinned");
        tasks.close(run);
        last("close");
        tasks.collect(service, set, 0);
        last("collect");
        vm.prank(HOLDER);
        tasks.claim(service, operators[0]);
        last("claim");
    }

    function test_gasOfRequests() public {
        vm.prank(APP);
        tasks.request(stepOf(3), "inputs");
        last("request");
    }

    function report(uint256 liars) private returns (bytes32 id) {
        Proven memory lie = voted(VoteKind.EVENT, "subject", "lie", liars);
        Proven memory truth = voted(VoteKind.EVENT, "subject", "truth", everybody() & ~liars);
        vm.prank(REPORTER);
        return faults.reportMinority(lie, truth);
    }

    function punish(bytes32 id) private {
        vm.warp(faults.caseOf(id).until);
        vm.prank(CALLER);
        faults.punish(id);
    }

    function lastOfFaults(string memory name) private {
        vm.snapshotGasLastCall("Faults", name);
    }

    function test_gasOfOneLiar() public {
        bytes32 id = report(1 << 100);
        lastOfFaults("report one against the quorum");
        punish(id);
        lastOfFaults("punish one");
        Proven memory first = voted(VoteKind.EVENT, "double", "a", 1 << 7);
        Proven memory second = voted(VoteKind.EVENT, "double", "b", 1 << 7);
        faults.reportDouble(first, second);
        lastOfFaults("report a double vote");
    }

    /// As many as can lie to a quorum, in one call: within what a transaction may take (2^24).
    function test_gasOfFortyTwoLiars() public {
        bytes32 id = report((1 << 42) - 1);
        lastOfFaults("report 42 of 128 against the quorum");
        punish(id);
        lastOfFaults("punish 42");
    }

    /// Everybody signed two certificates that contradict each other: the most there can be.
    function test_gasOfTheWorstCase() public {
        Proven memory first = voted(VoteKind.EVENT, "double", "a", everybody());
        Proven memory second = voted(VoteKind.EVENT, "double", "b", everybody());
        bytes32 id = faults.reportDouble(first, second);
        lastOfFaults("report 128 double votes");
        punish(id);
        lastOfFaults("punish 128");
    }
}
