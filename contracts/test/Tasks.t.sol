// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Tasks} from "../src/Tasks.sol";
import {DevToken} from "../src/dev/DevToken.sol";
import {IQuorum} from "../src/interfaces/IQuorum.sol";
import {Record} from "../src/interfaces/IRecords.sol";
import {Flow, ITasks, Run, Settlement, Step, Trigger} from "../src/interfaces/ITasks.sol";
import {ITerms, Price} from "../src/interfaces/ITerms.sol";
import {Proven, Vote, VoteKind} from "../src/types/Votes.sol";
import {NetworkFixture} from "./network/NetworkFixture.sol";

/// Takes one part in a hundred of each transfer.
contract TakingToken is DevToken {
    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _burn(from, amount / 100);
        return super.transferFrom(from, to, amount - amount / 100);
    }
}

contract TasksTest is NetworkFixture {
    function earned(uint256 member) private view returns (uint256) {
        return tasks.earnedOf(service, operators[member]);
    }

    function recordOf(uint256 member) private view returns (Record memory) {
        return records.recordOf(service, operators[member]);
    }

    // Deposits

    function test_deposit_andWithdraw() public {
        assertEq(tasks.depositOf(APP), DEPOSIT);
        vm.expectEmit(address(tasks));
        emit ITasks.Withdrawn(APP, 5);
        vm.prank(APP);
        tasks.withdraw(5);
        assertEq(tasks.depositOf(APP), DEPOSIT - 5);
        assertEq(token.balanceOf(APP), 5);
        vm.expectRevert(abi.encodeWithSelector(ITasks.DepositTooSmall.selector, APP, DEPOSIT - 5, DEPOSIT));
        vm.prank(APP);
        tasks.withdraw(DEPOSIT);
    }

    function test_deposit_refusesFeeOnTransfer() public {
        TakingToken taking = new TakingToken();
        Tasks other = new Tasks(registry, quorum, records, address(taking));
        taking.mint(address(this), 1000);
        taking.approve(address(other), 1000);
        vm.expectRevert(abi.encodeWithSelector(ITasks.FeeOnTransfer.selector, 1000, 990));
        other.deposit(1000);
    }

    // Flows

    function test_createFlow_keepsIt() public {
        Step[] memory steps = new Step[](2);
        (steps[0], steps[1]) = (stepOf(3), stepOf(0));
        steps[1].nodes = keccak256("some");
        uint256 flow = flowOf(steps);
        Flow memory kept = tasks.flowOf(flow);
        assertEq(kept.owner, APP);
        assertTrue(kept.active);
        assertEq(kept.trigger.eventName, EVENT_NAME);
        assertEq(abi.encode(kept.steps), abi.encode(steps));
        assertEq(tasks.flowCount(), 1);
    }

    function test_createFlow_refusals() public {
        Trigger memory trigger = Trigger(service, EVENT_NAME, FEE);
        Step[] memory steps = new Step[](1);
        steps[0] = stepOf(3);
        vm.expectRevert(abi.encodeWithSelector(ITasks.DefinitionTooLong.selector, 16_385, 16_384));
        tasks.createFlow(new bytes(16_385), trigger, steps);
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepsOutOfRange.selector, 0, 32));
        tasks.createFlow("", trigger, new Step[](0));
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepsOutOfRange.selector, 33, 32));
        tasks.createFlow("", trigger, new Step[](33));
        trigger.service = address(1);
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownService.selector, address(1)));
        tasks.createFlow("", trigger, steps);
        trigger.service = service;

        steps[0].service = address(1);
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownService.selector, address(1)));
        tasks.createFlow("", trigger, steps);
        steps[0] = stepOf(32);
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepInvalid.selector, 0));
        tasks.createFlow("", trigger, steps);
        steps[0] = stepOf(3);
        steps[0].window = 9;
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepInvalid.selector, 0));
        tasks.createFlow("", trigger, steps);
        steps[0].window = 86_401;
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepInvalid.selector, 0));
        tasks.createFlow("", trigger, steps);
    }

    /// No run lasts so long that its voters can be gone with their bonds before it is paid.
    function test_createFlow_refusesRunsThatOutliveTheBonds() public {
        uint256 limit = LEAVE_DELAY / 2;
        Step[] memory steps = new Step[](2);
        (steps[0], steps[1]) = (stepOf(3), stepOf(3));
        steps[0].window = uint32((limit - limit / 8) / 4) - WINDOW;
        uint256 flow = flowOf(steps);
        bytes32 run = tasks.start(flow, "id", seen("id", everybody()));
        assertLe(tasks.closableAt(run), block.timestamp + limit);
        steps[0].window += 1;
        Trigger memory trigger = Trigger(service, EVENT_NAME, FEE);
        uint256 found = 4 * (uint256(steps[0].window) + WINDOW) + limit / 8;
        vm.expectRevert(abi.encodeWithSelector(ITasks.FlowTooLong.selector, found, limit));
        tasks.createFlow("", trigger, steps);
        steps[0].window = 86_400;
        found = 4 days + limit / 8;
        vm.expectRevert(abi.encodeWithSelector(ITasks.FlowTooLong.selector, found, limit));
        tasks.request(steps[0], "inputs");
    }

    /// A development network's, with a leave delay of an hour, and a public one's, with 30 days.
    function test_createFlow_fitsSmallAndLargeNetworks() public {
        uint64[2] memory delays = [uint64(3600), 30 days];
        uint32[2] memory windows = [uint32(20), 1 days];
        uint8[2] memory fitting = [19, 3];
        for (uint256 i; i < 2; ++i) {
            vm.mockCall(address(staking), abi.encodeCall(staking.leaveDelay, ()), abi.encode(delays[i]));
            Tasks other = new Tasks(registry, quorum, records, address(token));
            Step[] memory steps = new Step[](fitting[i] + 1);
            for (uint256 j; j < steps.length; ++j) {
                steps[j] = stepOf(3);
                steps[j].window = windows[i];
            }
            Trigger memory trigger = Trigger(service, EVENT_NAME, FEE);
            vm.expectPartialRevert(ITasks.FlowTooLong.selector);
            other.createFlow("", trigger, steps);
            assembly ("memory-safe") {
                mstore(steps, sub(mload(steps), 1))
            }
            other.createFlow("", trigger, steps);
        }
    }

    function test_deleteFlow_startsNothingAnyMore() public {
        uint256 flow = flowOf(3);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotFlowOwner.selector, flow, address(this), APP));
        tasks.deleteFlow(flow);
        vm.prank(APP);
        tasks.deleteFlow(flow);
        Proven memory event_ = seen("id", everybody());
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownFlow.selector, flow));
        tasks.start(flow, "id", event_);
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownFlow.selector, flow));
        vm.prank(APP);
        tasks.deleteFlow(flow);
    }

    // Starting

    function test_start_reservesAndPaysTheSigners() public {
        uint256 flow = flowOf(3);
        // Three of four.
        Proven memory event_ = seen("id", 7);
        bytes32 key = keyOf("id");
        vm.expectEmit(address(tasks));
        emit ITasks.EventCertified(service, key, event_.vote.value, set, 7);
        bytes32 run = tasks.start(flow, "id", event_);
        assertEq(run, keccak256(abi.encode(flow, key)));
        Run memory r = tasks.runOf(run);
        assertEq(r.startedAt, block.number);
        assertEq(r.time, block.timestamp);
        assertEq(r.flow, flow);
        assertEq(r.reserved, MOST);
        assertEq(r.value, event_.vote.value);
        assertEq(tasks.certifiedOf(service, key), event_.vote.value);

        uint256 share = FEE / 4;
        for (uint8 i; i < 4; ++i) {
            assertEq(tasks.uncollectedOf(service, set, i), i < 3 ? share : 0);
            assertEq(recordOf(i).absent, i < 3 ? 0 : 1);
        }
        assertEq(records.callsOf(service), 1);
        // What the absent one would have got stays.
        assertEq(tasks.depositOf(APP), DEPOSIT - MOST - 3 * share);
        assertConserved(run);

        tasks.collect(service, set, 0);
        tasks.collect(service, set, 0);
        tasks.collect(service, set, 3);
        assertEq(earned(0), share);
        assertEq(earned(3), 0);
        assertConserved(run);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotAMember.selector, service, set, 4));
        tasks.collect(service, set, 4);
    }

    function test_start_onceEach_andASecondFlowNeedsNoCertificate() public {
        uint256 first = flowOf(3);
        uint256 second = flowOf(0);
        tasks.start(first, "id", seen("id", 7));
        Proven memory vote;
        vote.vote = Vote(VoteKind.EVENT, keyOf("id"), keccak256(abi.encode("data", bytes32("id"))));
        vm.expectRevert(abi.encodeWithSelector(ITasks.RunExists.selector, keccak256(abi.encode(first, keyOf("id")))));
        tasks.start(first, "id", vote);
        bytes32 run = tasks.start(second, "id", vote);
        // The same signers are paid again; their absence counts once.
        assertEq(tasks.uncollectedOf(service, set, 0), 2 * (FEE / 4));
        assertEq(tasks.uncollectedOf(service, set, 3), 0);
        assertEq(recordOf(3).absent, 1);
        assertEq(records.callsOf(service), 1);
        assertEq(tasks.runOf(run).value, vote.vote.value);
    }

    /// Who collects the signatures gains nothing by leaving some of them out.
    function test_start_leavingOutSignersGainsNobodyAnything() public {
        uint256 flow = flowOf(3);
        tasks.start(flow, "all", seen("all", everybody()));
        uint256 withAll = tasks.uncollectedOf(service, set, 0);
        uint256 before = tasks.depositOf(APP);
        tasks.start(flow, "few", seen("few", 7));
        assertEq(tasks.uncollectedOf(service, set, 0) - withAll, withAll);
        assertEq(before - tasks.depositOf(APP), MOST + 3 * withAll);
    }

    /// What was certified is known to all: a flow made after it must not be paid for by, or pay, who knows.
    function test_start_refusesAnEventFromBeforeTheFlow() public {
        uint256 flow = flowOf(3);
        Proven memory event_ = seen("id", 7);
        tasks.start(flow, "id", event_);
        uint256 certified = vm.getBlockTimestamp();
        vm.warp(certified + 1);
        uint256 later = flowOf(3);
        vm.expectRevert(abi.encodeWithSelector(ITasks.EventTooOld.selector, keyOf("id"), certified, certified + 1));
        tasks.start(later, "id", event_);
        tasks.start(later, "second", seen("second", 7));
    }

    function test_start_refusesWhatContradicts() public {
        uint256 flow = flowOf(3);
        uint256 other = flowOf(3);
        tasks.start(flow, "id", seen("id", 7));
        Proven memory lie = voted(VoteKind.EVENT, keyOf("id"), "lie", everybody());
        vm.expectRevert(
            abi.encodeWithSelector(
                ITasks.ContradictsCertified.selector,
                keyOf("id"),
                bytes32("lie"),
                keccak256(abi.encode("data", bytes32("id")))
            )
        );
        tasks.start(other, "id", lie);
    }

    function test_start_refusesForgedAndReplayedVotes() public {
        uint256 flow = flowOf(3);
        bytes32 key = keyOf("id");
        // Too few.
        Proven memory event_ = seen("id", 3);
        vm.expectRevert(abi.encodeWithSelector(ITasks.QuorumNotReached.selector, 2 * BOND / 1e9, 4 * BOND / 1e9, 6667));
        tasks.start(flow, "id", event_);
        // Others named as signers.
        event_.certificate.signers = 7;
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.start(flow, "id", event_);
        event_.certificate.signers = 31;
        vm.expectPartialRevert(IQuorum.SignersOutOfRange.selector);
        tasks.start(flow, "id", event_);
        event_.certificate.signers = 0;
        vm.expectPartialRevert(IQuorum.NoSigners.selector);
        tasks.start(flow, "id", event_);
        // Another value under the same signature.
        event_ = seen("id", 7);
        event_.vote.value = "lie";
        vm.expectPartialRevert(IQuorum.NotUnderRoot.selector);
        tasks.start(flow, "id", event_);
        event_.vote.value = 0;
        vm.expectPartialRevert(ITasks.WrongVote.selector);
        tasks.start(flow, "id", event_);
        // Of another event, of another kind.
        event_ = seen("other", 7);
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongEvent.selector, keyOf("other"), key));
        tasks.start(flow, "id", event_);
        event_ = voted(VoteKind.VALIDATION, key, VALID, 7);
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongKind.selector, 3, 1));
        tasks.start(flow, "id", event_);
        // Another chain.
        event_ = seen("id", 7);
        uint64 chain = 31_337;
        vm.chainId(chain + 1);
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.start(flow, "id", event_);
        vm.chainId(chain);
        tasks.start(flow, "id", event_);
    }

    function test_start_refusesAnotherServicesCertificate() public {
        address first = service;
        uint256 flow = flowOf(3);
        service = addService(1);
        for (uint256 i; i < 4; ++i) {
            bond(service, operators[i], BOND);
        }
        fix();
        // The same members, the same keys: only the service differs.
        bytes32 key = keccak256(abi.encode(first, EVENT_NAME, bytes32("id")));
        Proven memory event_ = voted(VoteKind.EVENT, key, "value", 7);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 1, 1));
        tasks.start(flow, "id", event_);
        event_.certificate.service = first;
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.start(flow, "id", event_);
    }

    function test_start_setsThatCount() public {
        uint256 flow = flowOf(3);
        Proven memory event_ = seen("id", 7);
        Proven memory second = seen("second", 7);
        Proven memory third = seen("third", 7);
        third.certificate.set = 3;
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 3, 1));
        tasks.start(flow, "third", third);
        third.certificate.set = 0;
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 0, 1));
        tasks.start(flow, "third", third);

        assertEq(fix(), 2);
        // The same members in another set: a signature is for one of them.
        event_.certificate.set = 2;
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.start(flow, "id", event_);
        event_.certificate.set = 1;
        // In force 256 blocks ago, then no more.
        uint256 fixedAt = quorum.setOf(service, 2).fixedAt;
        vm.roll(fixedAt + 255);
        tasks.start(flow, "id", event_);
        vm.roll(fixedAt + 256);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 1, 2));
        tasks.start(flow, "second", second);
    }

    function test_start_refusesASetWhoseMembersMayBeGone() public {
        uint256 flow = flowOf(3);
        Proven memory event_ = seen("id", 7);
        uint256 fixedAt = quorum.setOf(service, set).time;
        assertEq(tasks.maxSetAge(), LEAVE_DELAY / 2);
        vm.warp(fixedAt + LEAVE_DELAY / 2 + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ITasks.SetTooOld.selector, service, set, LEAVE_DELAY / 2 + 1, uint256(LEAVE_DELAY / 2)
            )
        );
        tasks.start(flow, "id", event_);
        vm.warp(fixedAt + LEAVE_DELAY / 2);
        tasks.start(flow, "id", event_);
    }

    function test_start_needsTheDeposit() public {
        uint256 flow = flowOf(3);
        uint256 needed = MOST + FEE / 4 * 3;
        vm.prank(APP);
        tasks.withdraw(DEPOSIT - needed + 1);
        Proven memory event_ = seen("id", 7);
        vm.expectRevert(abi.encodeWithSelector(ITasks.DepositTooSmall.selector, APP, needed - 1, needed));
        tasks.start(flow, "id", event_);
        fund(APP, 1);
        bytes32 run = tasks.start(flow, "id", event_);
        assertEq(tasks.depositOf(APP), 0);
        assertConserved(run);
    }

    function test_start_countsTheServicesQuorum() public {
        uint256 flow = flowOf(3);
        vm.prank(OWNER);
        terms.setTerms(service, 10_000);
        // The set that is there was made under the old one.
        tasks.start(flow, "id", seen("id", 7));
        set = fix();
        Proven memory event_ = seen("second", 7);
        vm.expectPartialRevert(ITasks.QuorumNotReached.selector);
        tasks.start(flow, "second", event_);
        tasks.start(flow, "second", seen("second", 15));
    }

    // Settling

    function test_settle_paysExecutorAndValidators() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint256 afterStart = tasks.depositOf(APP);
        uint8[] memory ranked = drawn(run, 0, mix, 3);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 3));
        uint256 executor = BILL * 7000 / 10_000;
        uint256 each = BILL * 3000 / 10_000 / 2;
        vm.expectEmit(address(tasks));
        emit ITasks.Settled(run, 0, 0, operators[ranked[0]], resultOf(s), uint96(executor + 2 * each));
        tasks.settle(s);
        assertEq(earned(ranked[0]), executor);
        for (uint256 i = 1; i < 3; ++i) {
            assertEq(earned(ranked[i]), each);
            assertEq(recordOf(ranked[i]).done, 1);
        }
        assertEq(recordOf(ranked[0]).done, 1);
        assertEq(tasks.depositOf(APP), afterStart + MOST - executor - 2 * each);
        assertEq(tasks.runOf(run).settled, 1);
        assertEq(tasks.runOf(run).reserved, 0);
        assertConserved(run);

        vm.expectRevert(abi.encodeWithSelector(ITasks.StepSettled.selector, run, 0));
        tasks.settle(s);
        // With other votes, for another attempt: once is once.
        s = validatedBy(workOn(run, 0, 1, header), everybody());
        vm.expectRevert(abi.encodeWithSelector(ITasks.StepSettled.selector, run, 0));
        tasks.settle(s);
    }

    function test_settle_paysOnlyThoseWhoSigned() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(3);
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        uint256 afterStart = tasks.depositOf(APP);
        // A committee without one of its members is none; here it is a quorum, too.
        tasks.settle(validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1) | maskOf(ranked, 2, 4)));
        uint256 each = BILL * 3000 / 10_000 / 4;
        assertEq(tasks.uncollectedOf(service, set, ranked[1]), FEE / 4);
        assertEq(recordOf(ranked[1]).missed, 1);
        assertEq(tasks.uncollectedOf(service, set, ranked[0]), FEE / 4 + each);
        assertEq(tasks.uncollectedOf(service, set, ranked[2]), FEE / 4 + each);
        assertEq(tasks.uncollectedOf(service, set, ranked[3]), FEE / 4 + each);
        assertEq(earned(ranked[0]), BILL * 7000 / 10_000);
        // Nobody gains by the missing one's part.
        assertEq(tasks.depositOf(APP), afterStart + MOST - BILL * 7000 / 10_000 - 3 * each);
        assertConserved(run);
    }

    function test_settle_needsAllOfTheCommitteeAndTheExecutorOrTheQuorum() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        // One of two, and the executor itself.
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 2));
        vm.expectRevert(abi.encodeWithSelector(ITasks.CommitteeNotReached.selector, 2, 3));
        tasks.settle(s);
        // Both, without the executor, whose bond would not answer for it.
        s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 1, 3));
        vm.expectRevert(abi.encodeWithSelector(ITasks.CommitteeNotReached.selector, 2, 3));
        tasks.settle(s);
        s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 2));
        // Another one on top makes the quorum.
        s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 2) | maskOf(ranked, 3, 4));
        tasks.settle(s);
        uint256 each = BILL * 3000 / 10_000 / 4;
        assertEq(tasks.uncollectedOf(service, set, ranked[1]), FEE / 4 + each);
        assertEq(tasks.uncollectedOf(service, set, ranked[2]), FEE / 4);
        assertEq(tasks.uncollectedOf(service, set, ranked[3]), FEE / 4 + each);
        assertEq(recordOf(ranked[2]).missed, 1);
        assertConserved(run);
    }

    function test_settle_refusesForgedAndReplayedVotes() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        uint256 committee = maskOf(ranked, 0, 3);
        Settlement memory good = validatedBy(workOn(run, 0, 0, header), committee);
        bytes32 result = resultOf(good);

        // Another output, bill, step or run than was voted on.
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), committee);
        s.output = "lie";
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongVote.selector, result, resultOf(s)));
        tasks.settle(s);
        s = validatedBy(workOn(run, 0, 0, header), committee);
        s.secondsSpent = 1000;
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongVote.selector, result, resultOf(s)));
        tasks.settle(s);
        s.step = 1;
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownStep.selector, run, 1));
        tasks.settle(s);
        s.run = "other";
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownRun.selector, bytes32("other")));
        tasks.settle(s);
        // Voted invalid; another kind of vote.
        s = workOn(run, 0, 0, header);
        s.votes = voted(VoteKind.VALIDATION, result, INVALID, committee);
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongVote.selector, INVALID, VALID));
        tasks.settle(s);
        s.votes = voted(VoteKind.MEASUREMENT, result, VALID, committee);
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongKind.selector, 4, 3));
        tasks.settle(s);
        s = executedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1));
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongKind.selector, 2, 3));
        tasks.settle(s);
        // Signers who have not signed.
        s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 1, 2));
        s.votes.certificate.signers = committee;
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.settle(s);
        // Another set's, another chain's, another service's.
        s = validatedBy(workOn(run, 0, 0, header), committee);
        s.votes.certificate.set = 2;
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 2, 1));
        tasks.settle(s);
        s.votes.certificate.set = 1;
        s.votes.certificate.service = address(1);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, address(1), 1, 1));
        tasks.settle(s);
        uint64 chain = 31_337;
        vm.chainId(chain + 1);
        vm.expectPartialRevert(IQuorum.WrongSignature.selector);
        tasks.settle(good);
        vm.chainId(chain);
        tasks.settle(good);
    }

    function test_settle_usesTheSetInForceWhenTheRunWasRecorded() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint8[] memory ranked = drawn(run, 0, mix, 3);
        uint256 committee = maskOf(ranked, 0, 3);
        Settlement memory old = validatedBy(workOn(run, 0, 0, header), committee);
        tasks.pin(uint64(tasks.runOf(run).startedAt + 1), header);
        set = fix();
        Settlement memory s = validatedBy(workOn(run, 0, 0, ""), everybody());
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotASet.selector, service, 2, 1));
        tasks.settle(s);
        tasks.settle(old);
    }

    function test_settle_withoutValidatorsByTheExecutorAlone() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(0);
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        Settlement memory s = executedBy(workOn(run, 0, 0, header), maskOf(ranked, 1, 4));
        vm.expectRevert(
            abi.encodeWithSelector(ITasks.ExecutorNotSigned.selector, operators[ranked[0]], maskOf(ranked, 1, 4))
        );
        tasks.settle(s);
        s = validatedBy(workOn(run, 0, 0, header), everybody());
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongKind.selector, 3, 2));
        tasks.settle(s);
        // Signed for another attempt.
        s = executedBy(workOn(run, 0, 1, header), maskOf(ranked, 0, 1));
        s.attempt = 0;
        vm.expectPartialRevert(ITasks.WrongVote.selector);
        tasks.settle(s);
        tasks.settle(executedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1)));
        assertEq(earned(ranked[0]), BILL);
        assertConserved(run);
    }

    function test_settle_attemptsInTime() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint256 time = tasks.runOf(run).time;
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        uint256 committee = maskOf(ranked, 1, 4);
        Settlement memory s = validatedBy(workOn(run, 0, 1, header), committee);
        vm.warp(time + WINDOW - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ITasks.OutOfTime.selector, time + WINDOW - 1, time + WINDOW, tasks.closableAt(run))
        );
        tasks.settle(s);
        Settlement memory beyond = validatedBy(workOn(run, 0, 4, header), committee);
        vm.expectRevert(abi.encodeWithSelector(ITasks.AttemptOutOfRange.selector, 4, 4));
        tasks.settle(beyond);
        // There are four members: nobody is left for a third attempt.
        vm.warp(time + 2 * WINDOW);
        Settlement memory third = validatedBy(workOn(run, 0, 2, header), committee);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NoExecutor.selector, run, 0, 2));
        tasks.settle(third);
        tasks.settle(s);
        assertEq(earned(ranked[3]), BILL * 7000 / 10_000);
        assertEq(earned(ranked[0]), 0);
        assertEq(recordOf(ranked[0]).missed, 1);
        assertEq(recordOf(ranked[3]).done, 1);
        assertConserved(run);
    }

    /// A vote is for one attempt: what the first executor did is not paid to the second, nor the other way round.
    function test_settle_byTheWrongExecutor() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint8[] memory ranked = drawn(run, 0, mix, 4);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 1, 3));
        s.attempt = 1;
        vm.warp(block.timestamp + WINDOW);
        vm.expectPartialRevert(ITasks.WrongVote.selector);
        tasks.settle(s);

        uint256 flow = flowOf(0);
        run = tasks.start(flow, "second", seen("second", everybody()));
        header = nextBlock(mix);
        ranked = drawn(run, 0, mix, 2);
        s = executedBy(workOn(run, 0, 0, header), maskOf(ranked, 1, 2));
        vm.expectPartialRevert(ITasks.ExecutorNotSigned.selector);
        tasks.settle(s);
        // Without validators, lateness is for the chain to see.
        s = executedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1));
        uint256 time = tasks.runOf(run).time;
        vm.warp(time + 2 * WINDOW);
        vm.expectRevert(abi.encodeWithSelector(ITasks.OutOfTime.selector, time + 2 * WINDOW, time, time + 2 * WINDOW));
        tasks.settle(s);
        tasks.settle(executedBy(workOn(run, 0, 1, header), maskOf(ranked, 1, 2)));
        assertEq(recordOf(ranked[0]).missed, 1);
    }

    function test_settle_namedNodes() public {
        Step[] memory steps = new Step[](1);
        steps[0] = stepOf(1);
        address[] memory nodes = new address[](3);
        (nodes[0], nodes[1], nodes[2]) = (operators[2], makeAddr("no member"), operators[1]);
        steps[0].nodes = keccak256(abi.encode(nodes));
        uint256 flow = flowOf(steps);
        bytes32 run = tasks.start(flow, "id", seen("id", everybody()));
        bytes memory header = nextBlock("mix");
        uint8[] memory ranked =
            quorum.select(service, set, keccak256(abi.encode(run, uint256(0), bytes32("mix"))), 6, 5);
        assertEq(ranked.length, 2);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 2));
        vm.expectPartialRevert(ITasks.WrongNodes.selector);
        tasks.settle(s);
        s.nodes = nodes;
        tasks.settle(s);
        assertEq(earned(ranked[0]), BILL * 7000 / 10_000);
        assertConserved(run);
        // Whoever names its own nodes gives them no record by it.
        assertEq(recordOf(ranked[0]).done, 0);
        assertEq(recordOf(ranked[1]).done, 0);
    }

    /// Nor does who pays nothing, and it harms nobody's.
    function test_settle_recordsNothingThatIsNotPaid() public {
        Step memory step = stepOf(2);
        step.most = 0;
        vm.prank(APP);
        bytes32 run = tasks.request(step, keccak256("inputs"));
        bytes memory header = nextBlock("mix");
        uint8[] memory ranked = drawn(run, 0, "mix", 4);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        // The second executor, and a quorum without one of the committee.
        tasks.settle(validatedBy(workOn(run, 0, 1, header), maskOf(ranked, 0, 2) | maskOf(ranked, 3, 4)));
        for (uint256 i; i < 4; ++i) {
            assertEq(recordOf(i).done, 0);
            assertEq(recordOf(i).missed, 0);
        }
        assertEq(tasks.runOf(run).settled, 1);
    }

    /// Members sign for ever; what they sign is paid while they have their bonds.
    function test_settle_endsWhenTheRunCanBeClosed() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint8[] memory ranked = drawn(run, 0, mix, 3);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 3));
        uint256 time = tasks.runOf(run).time;
        uint256 until = tasks.closableAt(run);
        assertLt(until, quorum.setOf(service, set).time + LEAVE_DELAY);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(ITasks.OutOfTime.selector, until, time, until));
        tasks.settle(s);
        vm.warp(until - 1);
        tasks.settle(s);
    }

    function test_settle_capsTheBill() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(1);
        uint8[] memory ranked = drawn(run, 0, mix, 2);
        Settlement memory s = workOn(run, 0, 0, header);
        (s.secondsSpent, s.size) = (type(uint32).max, type(uint32).max);
        tasks.settle(validatedBy(s, maskOf(ranked, 0, 2)));
        assertEq(earned(ranked[0]) + earned(ranked[1]), MOST);
        assertConserved(run);
    }

    function test_settle_atThePriceOfTheRun() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(0);
        price(Price(0, 0, 0));
        uint8[] memory ranked = drawn(run, 0, mix, 1);
        tasks.settle(executedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1)));
        assertEq(earned(ranked[0]), BILL);
    }

    // Randomness

    function test_pin_andItsRefusals() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint64 number = tasks.runOf(run).startedAt + 1;
        bytes memory forged = headerOf(number, "chosen");
        vm.expectRevert(
            abi.encodeWithSelector(ITasks.WrongHeader.selector, number, keccak256(forged), keccak256(header))
        );
        tasks.pin(number, forged);
        vm.expectRevert(abi.encodeWithSelector(ITasks.RandomnessUnknown.selector, block.number));
        tasks.pin(uint64(block.number), header);
        vm.expectEmit(address(tasks));
        emit ITasks.RandomnessPinned(number, mix);
        tasks.pin(number, header);
        assertEq(tasks.randomnessOf(number), mix);
        // From now on nobody needs the header.
        vm.roll(block.number + 10_000);
        uint8[] memory ranked = drawn(run, 0, mix, 3);
        tasks.settle(validatedBy(workOn(run, 0, 0, ""), maskOf(ranked, 0, 3)));
    }

    /// The contract of EIP-2935: a call with a block number returns its hash.
    function test_pin_fromTheHistoryContract() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint64 number = tasks.runOf(run).startedAt + 1;
        uint8[] memory ranked = drawn(run, 0, mix, 3);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 3));
        vm.roll(number + 257);
        vm.etch(0x0000F90827F1C53a10cb7A02335B175320002935, "");
        vm.expectRevert(abi.encodeWithSelector(ITasks.RandomnessUnknown.selector, number));
        tasks.settle(s);
        // What it does: the hash is in slot number % 8,191, if it is not older than that.
        address history = 0x0000F90827F1C53a10cb7A02335B175320002935;
        vm.etch(
            history,
            hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
        );
        vm.store(history, bytes32(uint256(number) % 8191), keccak256(header));
        tasks.settle(s);
        assertEq(tasks.randomnessOf(number), mix);
    }

    function testFuzz_pin_readsTheMix(bytes32 mix, uint24 number) public {
        number = uint24(bound(number, 0x10000, type(uint24).max - 300));
        vm.roll(uint256(number) + 1);
        bytes memory header = headerOf(number, mix);
        vm.setBlockhash(number, keccak256(header));
        tasks.pin(number, header);
        assertEq(tasks.randomnessOf(number), mix);
    }

    // Requests

    function test_request_isPaidForItsInputsOnly() public {
        vm.prank(APP);
        bytes32 run = tasks.request(stepOf(2), keccak256("inputs"));
        assertEq(run, keccak256(abi.encode(tasks.flowCount(), keccak256("inputs"))));
        assertEq(tasks.depositOf(APP), DEPOSIT - MOST);
        bytes memory header = nextBlock("mix");
        uint8[] memory ranked = drawn(run, 0, "mix", 3);
        Settlement memory s = workOn(run, 0, 0, header);
        s.inputs = "others";
        s = validatedBy(s, maskOf(ranked, 0, 3));
        vm.expectRevert(abi.encodeWithSelector(ITasks.WrongInputs.selector, bytes32("others"), keccak256("inputs")));
        tasks.settle(s);
        tasks.settle(validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 3)));
        assertConserved(run);
        // It is no flow that events start.
        uint256 flow = tasks.flowCount();
        Proven memory event_ = seen("id", 7);
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownFlow.selector, flow));
        tasks.start(flow, "id", event_);
    }

    function test_request_needsTheDeposit() public {
        Step memory step = stepOf(2);
        vm.expectRevert(abi.encodeWithSelector(ITasks.DepositTooSmall.selector, address(this), 0, MOST));
        tasks.request(step, 0);
    }

    // Closing

    function test_close_whenAllIsOver() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(2);
        uint256 afterStart = tasks.depositOf(APP);
        uint256 until = tasks.runOf(run).time + 4 * WINDOW + LEAVE_DELAY / 16;
        assertEq(tasks.closableAt(run), until);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(ITasks.RunIsOpen.selector, run, until));
        vm.prank(APP);
        tasks.close(run);
        vm.warp(until);
        vm.expectEmit(address(tasks));
        emit ITasks.RunClosed(run, MOST);
        tasks.close(run);
        assertEq(tasks.depositOf(APP), afterStart + MOST);
        assertConserved(run);

        uint8[] memory ranked = drawn(run, 0, mix, 3);
        Settlement memory s = validatedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 3));
        vm.expectRevert(abi.encodeWithSelector(ITasks.RunIsClosed.selector, run));
        tasks.settle(s);
        vm.expectRevert(abi.encodeWithSelector(ITasks.RunIsClosed.selector, run));
        tasks.close(run);
        vm.expectRevert(abi.encodeWithSelector(ITasks.UnknownRun.selector, bytes32(0)));
        tasks.close(0);
    }

    /// Two steps, of which one is done: the other's can be done as late as if it came after the first's last attempt.
    function test_close_leavesTimeForEveryStep() public {
        Step[] memory steps = new Step[](2);
        (steps[0], steps[1]) = (stepOf(2), stepOf(2));
        uint256 flow = flowOf(steps);
        bytes32 run = tasks.start(flow, "id", seen("id", everybody()));
        bytes memory header = nextBlock("mix");
        uint256 until = tasks.runOf(run).time + 2 * 4 * WINDOW + LEAVE_DELAY / 16;
        uint8[] memory ranked = drawn(run, 1, "mix", 3);
        tasks.settle(validatedBy(workOn(run, 1, 0, header), maskOf(ranked, 0, 3)));
        assertEq(tasks.runOf(run).settled, 2);
        assertEq(tasks.runOf(run).reserved, MOST);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(ITasks.RunIsOpen.selector, run, until));
        tasks.close(run);
        // Done in the last moment is done.
        ranked = drawn(run, 0, "mix", 4);
        tasks.settle(validatedBy(workOn(run, 0, 0, ""), maskOf(ranked, 0, 3)));
        tasks.close(run);
        assertTrue(tasks.runOf(run).closed);
        assertConserved(run);
    }

    // Claims

    function test_claim_paysTheOwnerAndBurnsAPart() public {
        (bytes32 run, bytes memory header, bytes32 mix) = begin(0);
        uint8[] memory ranked = drawn(run, 0, mix, 1);
        tasks.settle(executedBy(workOn(run, 0, 0, header), maskOf(ranked, 0, 1)));
        tasks.collect(service, set, ranked[0]);
        address operator = operators[ranked[0]];
        vm.expectRevert(abi.encodeWithSelector(ITasks.NotOperatorOwner.selector, operator, address(this), HOLDER));
        tasks.claim(service, operator);
        uint256 amount = BILL + FEE / 4;
        assertEq(earned(ranked[0]), amount);
        uint256 before = token.balanceOf(HOLDER);
        vm.prank(HOLDER);
        tasks.claim(service, operator);
        uint256 toNobody = (amount * 500 + 9999) / 10_000;
        assertEq(token.balanceOf(HOLDER) - before, amount - toNobody);
        assertEq(tasks.burnt(), toNobody);
        assertEq(tasks.claimedOf(service, operator), amount);
        assertConserved(run);
        vm.expectRevert(abi.encodeWithSelector(ITasks.NothingToClaim.selector, service, operator));
        vm.prank(HOLDER);
        tasks.claim(service, operator);
    }

    // Terms

    function test_terms_ofTheServicesOwner() public {
        vm.expectRevert(abi.encodeWithSelector(ITerms.NotServiceOwner.selector, service, address(this), OWNER));
        terms.setTerms(service, 7000);
        vm.expectRevert(abi.encodeWithSelector(ITerms.NotServiceOwner.selector, service, address(this), OWNER));
        terms.setPrice(service, TASK, Price(0, 0, 0));
        vm.expectRevert(abi.encodeWithSelector(ITerms.UnknownService.selector, address(1)));
        terms.setTerms(address(1), 7000);
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(ITerms.QuorumOutOfRange.selector, 5000));
        terms.setTerms(service, 5000);
        vm.expectRevert(abi.encodeWithSelector(ITerms.QuorumOutOfRange.selector, 10_001));
        terms.setTerms(service, 10_001);
        assertEq(terms.quorumOf(service), 6667);
        terms.setTerms(service, 5001);
        assertEq(terms.quorumOf(service), 5001);
        assertEq(terms.quorumAt(service, set), 6667);
        assertEq(terms.quorumAt(service, set + 1), 5001);
        terms.setTerms(service, 8000);
        assertEq(terms.quorumAt(service, set + 1), 8000);
        vm.stopPrank();
        fix();
        vm.prank(OWNER);
        terms.setTerms(service, 9000);
        assertEq(terms.quorumAt(service, set + 1), 8000);
        assertEq(terms.quorumAt(service, set + 2), 9000);
    }

    function test_terms_pricesCountFromTheNextBlock() public {
        uint64 number = uint64(block.number);
        price(Price(1, 2, 3));
        price(Price(type(uint96).max, type(uint80).max, 5));
        assertEq(terms.priceAt(service, TASK, number).perCall, 10 ether + 3);
        assertEq(terms.priceAt(service, TASK, number + 1).perCall, type(uint96).max);
        assertEq(terms.priceAt(service, TASK, number + 1).perSecond, type(uint80).max);
        assertEq(terms.priceAt(service, TASK, number + 1).perKilobyte, 5);
        assertEq(terms.priceAt(service, TASK, 1000).perCall, 0);
        assertEq(terms.priceOf(service, TASK).perKilobyte, 5);
    }
}
