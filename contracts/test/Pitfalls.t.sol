// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IStaking} from "../src/interfaces/IStaking.sol";
import {ClaimDetail, Signed, Statement} from "../src/types/Statement.sol";
import {Seat, Simulation, Style} from "./dispute/Simulation.sol";
import {Belief, Trace} from "./dispute/Trace.sol";

/// A requester that would break a payment pushed to it.
contract HostileRequester {
    IStaking private immutable staking;

    constructor(IStaking staking_) {
        staking = staking_;
    }

    fallback() external {
        // Re-enters, and then takes all the gas.
        staking.withdraw();
        while (true) {}
    }

    function withdraw() external {
        staking.withdraw();
    }
}

/// The known ways in which dispute games went wrong elsewhere: moves that race (7), clocks that race (8), payees that
/// break payments (9), and players who lose on purpose (10).
contract PitfallsTest is Simulation {
    uint64 private constant BUDGET = 5000;
    Statement private s;
    Belief private right;
    Belief private wrong;

    function setUp() public override {
        super.setUp();
        s = statementOf(BUDGET);
        right = Trace.honest(s);
        wrong = Trace.liar(keccak256("lie"), 3333, false);
    }

    function points(Belief memory belief) private view returns (bytes32[31] memory) {
        return Trace.pointsOf(s, belief, 0, 32 ** 2);
    }

    // 7: reorganised, front-run and duplicate moves

    function test_pitfall07_duplicateMoveChangesNothing() public {
        (bytes32 dispute,) = open(s, two(right.result, wrong.result));
        begin(dispute);
        bytes32 head = history().heads[0];
        bytes32[31] memory list = points(right);
        dissect(s, operators[0], 0, list);
        IDisputes.View memory before = disputes.get(dispute);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongHead.selector, before.head, head));
        vm.prank(operators[0]);
        disputes.dissect(dispute, head, 0, list);
        assertEq(keccak256(abi.encode(disputes.get(dispute))), keccak256(abi.encode(before)));
    }

    /// The opponent's move is replaced under the answer in flight: the answer does not apply to the other move.
    function test_pitfall07_reorganisedMoveInvalidatesItsAnswer() public {
        (bytes32 dispute,) = open(s, two(wrong.result, right.result));
        begin(dispute);
        uint256 snapshot = vm.snapshotState();
        dissectAs(s, operators[0], wrong, 0);
        bytes32 seen = history().heads[1];
        vm.revertToState(snapshot);
        dissectAs(s, operators[0], Trace.liar(keccak256("other lie"), 10, false), 0);
        bytes32[31] memory answer = Trace.pointsOf(s, right, 3, 32);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongHead.selector, history().heads[1], seen));
        vm.prank(operators[1]);
        disputes.dissect(dispute, seen, 3, answer);
    }

    /// A front-runner that copies a move from the mempool is not on move.
    function test_pitfall07_frontRunMoveIsRefused() public {
        (bytes32 dispute,) = open(s, two(right.result, wrong.result));
        begin(dispute);
        bytes32 head = history().heads[0];
        bytes32[31] memory list = points(right);
        address[3] memory others = [operators[1], operators[2], OPENER];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDisputes.NotOnMove.selector, others[i], operators[0]));
            vm.prank(others[i]);
            disputes.dissect(dispute, head, 0, list);
        }
        dissect(s, operators[0], 0, list);
    }

    /// The same two players, the same claims: neither another match nor a dispute reopened has the same head.
    function test_pitfall07_headsOfTwoMatchesDiffer() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(right.result, wrong.result));
        bytes32 head = disputes.get(dispute).head;
        expire(s);
        settle(s, claims);
        fund(0);
        open(s, two(right.result, wrong.result));
        assertNotEq(disputes.get(dispute).head, head);
    }

    function test_pitfall07_openRacesOpen() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(right.result, wrong.result));
        Signed[] memory list = new Signed[](2);
        (list[0], list[1]) = (sign(s, operators[2], right.result), sign(s, operators[1], wrong.result));
        // Who came second has a dispute of its own, and can join the first one too.
        vm.prank(SETTLER);
        assertEq(disputes.open(s, list), idOf(s, SETTLER));
        assertNotEq(idOf(s, SETTLER), dispute);
        assertNotEq(disputes.get(idOf(s, SETTLER)).head, disputes.get(dispute).head);
        join(s, claims, 2, right.result);
        assertEq(staking.stakeOf(address(service), operators[1]).locks, 2);
        assertEq(staking.stakeOf(address(service), operators[2]).locks, 2);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DisputeExists.selector, dispute));
        vm.prank(OPENER);
        disputes.open(s, list);
    }

    // 8: clocks, timeouts and resolution

    function test_pitfall08_bothSilent_exactlyThePartyOnMoveLoses() public {
        (bytes32 dispute,) = open(s, two(right.result, wrong.result));
        begin(dispute);
        dissectAs(s, operators[0], right, 0);
        // Far beyond both clocks together.
        vm.warp(block.timestamp + 100 * uint256(CLOCK));
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 1);
    }

    /// A timeout can be claimed however late: nothing wraps, nothing is subtracted from the winner.
    function test_pitfall08_timeoutNeverGoesStale() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(right.result, wrong.result));
        vm.warp(block.timestamp + 400 * 365 days);
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 2);
        settle(s, claims);
        assertConserved();
    }

    /// Proof and timeout in one block, either order: in time, the proof holds and there is nothing to expire; out of
    /// time, the proof is refused.
    function test_pitfall08_proofRacesTimeout() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, right.result));
        (uint8 index, uint256 segment) = playToStep(s, wrong, right);
        assertEq(index, 1);
        bytes32 head = history().heads[3];
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, segment);
        uint256 snapshot = vm.snapshotState();

        vm.warp(block.timestamp + disputes.get(dispute).clockB);
        vm.expectPartialRevert(IDisputes.ClockRunning.selector);
        disputes.expire(dispute);
        vm.prank(operators[1]);
        disputes.step(s, opener, head, segment, openings, witness);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 2);

        vm.revertToState(snapshot);
        vm.warp(block.timestamp + disputes.get(dispute).clockB + 1);
        vm.expectPartialRevert(IDisputes.ClockRanOut.selector);
        vm.prank(operators[1]);
        disputes.step(s, opener, head, segment, openings, witness);
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 1);
    }

    function test_pitfall08_noMoveAfterResolution() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, right.result));
        (, uint256 segment) = playToStep(s, wrong, right);
        bytes32 head = history().heads[3];
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, segment);
        stepAs(s, operators[1], claims, segment);
        bytes32[31] memory list = points(wrong);
        for (uint256 i; i < 2; ++i) {
            vm.startPrank(operators[i]);
            vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
            disputes.step(s, opener, head, segment, openings, witness);
            vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
            disputes.dissect(dispute, head, 0, list);
            vm.stopPrank();
        }
        settle(s, claims);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, segment, openings, witness);
    }

    function test_pitfall08_settleOnce() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, right.result));
        expire(s);
        settle(s, claims);
        uint256 credit = staking.creditOf(REQUESTER);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, dispute));
        disputes.settle(s, OPENER, claims);
        assertEq(staking.creditOf(REQUESTER), credit);
    }

    // 9: payees

    function test_pitfall09_hostilePayeeHarmsOnlyItself() public {
        HostileRequester hostile = new HostileRequester(staking);
        Signed[] memory list = new Signed[](2);
        ClaimDetail[] memory claims = new ClaimDetail[](2);
        Belief[2] memory beliefs = [right, wrong];
        opener = address(hostile);
        for (uint256 i; i < 2; ++i) {
            list[i] = sign(s, operators[i], beliefs[i].result);
            list[i].requester = address(hostile);
            (list[i].r, list[i].vs) = vm.signCompact(keys[operators[i]], digestOf(s, list[i]));
            claims[i] = ClaimDetail(operators[i], list[i].request, address(hostile), list[i].result);
        }
        vm.prank(address(hostile));
        bytes32 dispute = disputes.open(s, list);
        expire(s);
        vm.warp(block.timestamp + JOIN_WINDOW + 1);
        vm.prank(SETTLER);
        disputes.settle(s, address(hostile), claims);
        assertEq(disputes.get(dispute).claims, 0);
        // Victim and opener in one: compensation and opener's part, and it can be had.
        uint256 credit = staking.creditOf(address(hostile));
        assertEq(credit, BOND - BOND * 20 / 100 - BOND * 30 / 100 - BOND * 5 / 100);
        assertEq(owed() + credit, token.balanceOf(address(staking)));
        hostile.withdraw();
        assertEq(token.balanceOf(address(hostile)), credit);
        assertConserved();
    }

    /// Too little gas for the sub-calls reverts the whole transaction; nothing half done stays.
    function test_pitfall09_littleGasLeavesNothingHalfDone() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, right.result));
        (, uint256 segment) = playToStep(s, wrong, right);
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, segment);
        bytes memory call = abi.encodeCall(IDisputes.step, (s, opener, history().heads[3], segment, openings, witness));
        bytes32 before = keccak256(abi.encode(disputes.get(dispute)));
        uint256 failed;
        for (uint256 gas = 2000; gas < 100_000; gas += 1500) {
            vm.prank(operators[1]);
            (bool success,) = address(disputes).call{gas: gas}(call);
            if (success) break;
            ++failed;
            assertEq(keccak256(abi.encode(disputes.get(dispute))), before);
        }
        assertGt(failed, 0);
        assertEq(disputes.get(dispute).liveBitmap, 2);
    }

    // 10: deliberate losers, both wrong, many disputes

    /// Claims 0 and 1: the right one throws its match. An honest provider then joins with the same right answer and
    /// wins.
    function test_pitfall10_rightClaimLostOnPurpose_honestJoinsAfterwards() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(right.result, wrong.result));
        expire(s);
        assertEq(disputes.get(dispute).liveBitmap, 2);
        vm.warp(block.timestamp + JOIN_WINDOW);
        claims = join(s, claims, 2, right.result);
        Seat[] memory seats = new Seat[](3);
        seats[1] = Seat(Style.Cunning, wrong);
        seats[2] = Seat(Style.Honest, right);
        play(s, seats, claims);
        assertEq(disputes.get(dispute).liveBitmap, 4);
        settle(s, claims);
        assertEq(bondOf(2), BOND);
        // Who lost on purpose lost as a loser does.
        assertEq(bondOf(0), 0);
        assertEq(bondOf(1), 0);
        assertConserved();
    }

    /// An elimination leaves the join window open anew, however often.
    function test_pitfall10_everyEliminationLeavesTimeToJoin() public {
        bytes32[] memory results = new bytes32[](7);
        for (uint256 i; i < 7; ++i) {
            results[i] = keccak256(abi.encode(i));
        }
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, results);
        for (uint256 i; i < 6; ++i) {
            expire(s);
            assertEq(disputes.get(dispute).joinUntil, block.timestamp + JOIN_WINDOW);
        }
        assertEq(disputes.get(dispute).liveBitmap, 64);
        vm.warp(block.timestamp + JOIN_WINDOW);
        claims = join(s, claims, 7, right.result);
        Seat[] memory seats = new Seat[](8);
        seats[6] = Seat(Style.Cunning, Trace.liar("x", 3000, false));
        seats[7] = Seat(Style.Honest, right);
        play(s, seats, claims);
        assertEq(disputes.get(dispute).liveBitmap, 128);
        settle(s, claims);
        assertEq(bondOf(7), BOND);
        assertConserved();
    }

    function test_pitfall10_bothWrong_honestJoinsAndBothLose() public {
        Belief memory other = Trace.liar(keccak256("other lie"), 40, true);
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, other.result));
        claims = join(s, claims, 2, right.result);
        Seat[] memory seats = new Seat[](3);
        seats[0] = Seat(Style.Cunning, wrong);
        seats[1] = Seat(Style.Cunning, other);
        seats[2] = Seat(Style.Honest, right);
        play(s, seats, claims);
        assertEq(disputes.get(dispute).liveBitmap, 4);
        settle(s, claims);
        assertEq(bondOf(0), bondOf(1));
        assertLt(bondOf(0), BOND);
        assertEq(bondOf(2), BOND);
    }

    /// Both wrong, nobody honest: one survives, but is not thereby proven; what it did can be disputed again.
    function test_pitfall10_survivorIsNotProven() public {
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, two(wrong.result, keccak256("x")));
        expire(s);
        settle(s, claims);
        assertEq(bondOf(1), BOND);
        // Later, an honest provider answers the same question.
        Signed[] memory list = new Signed[](2);
        (list[0], list[1]) = (sign(s, operators[1], keccak256("x")), sign(s, operators[2], right.result));
        vm.prank(OPENER);
        assertEq(disputes.open(s, list), dispute);
        begin(dispute);
        expire(s);
        ClaimDetail[] memory again = new ClaimDetail[](2);
        (again[0], again[1]) = (detail(operators[1], keccak256("x")), detail(operators[2], right.result));
        settle(s, again);
        assertEq(bondOf(1), 0);
        assertEq(bondOf(2), BOND);
        assertConserved();
    }

    /// A liar fills a dispute about the statement with eight of its own, so that nobody can join it. Who has the evidence
    /// disputes the same statement apart, and wins there, whatever becomes of the first dispute.
    function test_P2_aBlockedStatementCanStillBeDisputed() public {
        bytes32[] memory results = new bytes32[](8);
        for (uint256 i; i < 8; ++i) {
            results[i] = i == 0 ? keccak256("x") : wrong.result;
        }
        (bytes32 blocked, ClaimDetail[] memory blocking) = open(s, results);
        Signed memory late = sign(s, operators[8], right.result);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooManyClaims.selector, 9, 8));
        disputes.join(s, late, OPENER, blocking);

        Signed[] memory list = new Signed[](2);
        ClaimDetail[] memory claims = new ClaimDetail[](2);
        (list[0], list[1]) = (sign(s, operators[1], wrong.result), late);
        (claims[0], claims[1]) = (detail(operators[1], wrong.result), detail(operators[8], right.result));
        opener = REQUESTER;
        vm.prank(REQUESTER);
        bytes32 dispute = disputes.open(s, list);
        assertNotEq(dispute, blocked);
        Seat[] memory seats = new Seat[](2);
        (seats[0], seats[1]) = (Seat(Style.Cunning, wrong), Seat(Style.Honest, right));
        play(s, seats, claims);
        assertEq(disputes.get(dispute).liveBitmap, 2);
        settle(s, claims);
        assertEq(bondOf(1), 0);
        assertEq(bondOf(8), BOND);
        assertConserved();

        // The first dispute ends too; the bond of its liar is gone, its lock is released.
        opener = OPENER;
        expire(s);
        settle(s, blocking);
        assertEq(staking.stakeOf(address(service), operators[1]).locks, 0);
        assertConserved();
    }

    /// Eight signers, four answers, the honest one last.
    function test_pitfall10_eightSigners() public {
        Seat[] memory seats = new Seat[](8);
        bytes32[] memory results = new bytes32[](8);
        Style[8] memory styles = [
            Style.Thrower,
            Style.Cunning,
            Style.Erratic,
            Style.Cunning,
            Style.Silent,
            Style.Quitter,
            Style.Cunning,
            Style.Honest
        ];
        seedWith(7);
        for (uint256 i; i < 8; ++i) {
            seats[i] = seatOf(s, styles[i]);
            results[i] = seats[i].belief.result;
        }
        (bytes32 dispute, ClaimDetail[] memory claims) = open(s, results);
        play(s, seats, claims);
        uint8 live = disputes.get(dispute).liveBitmap;
        for (uint256 i; i < 8; ++i) {
            if (results[i] != right.result) assertEq(live & 1 << i, 0);
        }
        assertEq(live & 128, 128);
        settle(s, claims);
        assertConserved();
    }

    /// Many disputes at once: each has its own clocks, and the bond stays locked until the last is settled.
    function test_pitfall10_manyDisputesAtOnce() public {
        Statement[] memory list = new Statement[](5);
        ClaimDetail[] memory claims;
        for (uint256 i; i < 5; ++i) {
            list[i] = s;
            list[i] = Statement(s.service, s.program, keccak256(abi.encode(i)), s.budget);
            (, claims) = open(list[i], two(wrong.result, right.result));
        }
        assertEq(staking.stakeOf(address(service), operators[1]).locks, 5);
        vm.prank(owners[0]);
        staking.leave(address(service), operators[0]);
        vm.warp(block.timestamp + LEAVE_DELAY);
        for (uint256 i; i < 5; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IStaking.Locked.selector, address(service), operators[0], 5 - i));
            vm.prank(owners[0]);
            staking.withdrawBond(address(service), operators[0]);
            expire(list[i]);
            settle(list[i], claims);
            assertEq(bondOf(0), 0);
            assertConserved();
        }
        assertEq(bondOf(1), BOND);
        assertEq(staking.stakeOf(address(service), operators[1]).locks, 0);
    }

    /// Leaving does not save a liar: neither before the dispute nor after its delay has passed, while the bond is there.
    function test_pitfall10_leavingRacesTheDispute() public {
        vm.prank(owners[1]);
        staking.leave(address(service), operators[1]);
        vm.warp(block.timestamp + LEAVE_DELAY + 1);
        (, ClaimDetail[] memory claims) = open(s, two(right.result, wrong.result));
        vm.expectRevert(abi.encodeWithSelector(IStaking.Locked.selector, address(service), operators[1], 1));
        vm.prank(owners[1]);
        staking.withdrawBond(address(service), operators[1]);
        begin(idOf(s));
        dissectAs(s, operators[0], right, 0);
        expire(s);
        settle(s, claims);
        assertEq(bondOf(1), 0);
    }

    function fund(uint256 index) private {
        token.mint(owners[index], BOND);
        vm.prank(owners[index]);
        staking.deposit(address(service), operators[index], BOND);
    }
}
