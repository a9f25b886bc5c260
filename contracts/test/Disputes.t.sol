// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Disputes} from "../src/Disputes.sol";
import {Staking} from "../src/Staking.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {IStaking} from "../src/interfaces/IStaking.sol";
import {ClaimDetail, Signed, Statement} from "../src/types/Statement.sol";
import {DisputeFixture, ToyService, ToyVerdict} from "./dispute/DisputeFixture.sol";
import {Belief, Trace} from "./dispute/Trace.sol";

/// Every function, every error, every kind of position.
contract DisputesTest is DisputeFixture {
    uint64 private constant BUDGET = 5000;
    Belief private right;
    Belief private wrong;
    Statement private s;
    bytes32 private dispute;
    ClaimDetail[] private claims;

    function setUp() public override {
        super.setUp();
        s = statementOf(BUDGET);
        right = Trace.honest(s);
        wrong = Trace.liar(keccak256("lie"), 3333, false);
    }

    function opened() private {
        ClaimDetail[] memory list;
        (dispute, list) = open(s, two(right.result, wrong.result));
        for (uint256 i; i < list.length; ++i) {
            claims.push(list[i]);
        }
    }

    function responses(bytes32[] memory results) private view returns (Signed[] memory list) {
        list = new Signed[](results.length);
        for (uint256 i; i < list.length; ++i) {
            list[i] = sign(s, operators[i], results[i]);
        }
    }

    function noPoints() private pure returns (bytes32[31] memory points) {}

    // Deployment

    function test_deployment_refusesWrongTimes() public {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongTimes.selector, 0, 1));
        new Disputes(staking, machine, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongTimes.selector, 1 << 21, 1));
        new Disputes(staking, machine, 1 << 21, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongTimes.selector, 1, 0));
        new Disputes(staking, machine, 1, 0);
    }

    function test_deployment_mustBeModule() public {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotModule.selector, next));
        new Disputes(staking, machine, CLOCK, JOIN_WINDOW);
    }

    function test_deployment_leavingMustTakeLongerThanAnyDispute() public {
        address[] memory modules = new address[](1);
        modules[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        Staking short = new Staking(registry, address(token), LEAVE_DELAY - 1, modules);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.LeaveDelayTooShort.selector, LEAVE_DELAY - 1, LEAVE_DELAY - 1));
        new Disputes(short, machine, CLOCK, JOIN_WINDOW);
    }

    function test_deployment_parts() public view {
        assertEq(address(disputes.staking()), address(staking));
        assertEq(address(disputes.registry()), address(registry));
        assertEq(address(disputes.machine()), address(machine));
        assertEq(disputes.domainSeparator(), domainOf(address(disputes)));
    }

    // open

    function test_open_startsMatch() public {
        bytes32 first =
            keccak256(abi.encode(idOf(s), address(disputes), block.chainid, block.timestamp, uint256(0), uint256(1)));
        vm.expectEmit(address(disputes));
        emit IDisputes.Opened(idOf(s), address(service), OPENER, s, uint64(block.timestamp + JOIN_WINDOW));
        vm.expectEmit(address(disputes));
        emit IDisputes.Claimed(idOf(s), 0, operators[0], keccak256("request"), REQUESTER, right.result);
        vm.expectEmit(address(disputes));
        emit IDisputes.Claimed(idOf(s), 1, operators[1], keccak256("request"), REQUESTER, wrong.result);
        vm.expectEmit(address(disputes));
        emit IDisputes.MatchStarted(idOf(s), 0, 1, 3, first);
        opened();
        assertEq(dispute, idOf(s));

        IDisputes.View memory v = disputes.get(dispute);
        assertEq(v.joinUntil, block.timestamp + JOIN_WINDOW);
        assertEq(v.claims, 2);
        assertEq(v.liveBitmap, 3);
        assertTrue(v.matchRunning);
        assertEq(v.a, 0);
        assertEq(v.b, 1);
        assertEq(v.moves, 0);
        assertEq(v.levels, 3);
        assertEq(v.position, 0);
        assertEq(v.clockA, CLOCK);
        assertEq(v.clockB, CLOCK);
        assertEq(v.lastMove, block.timestamp);
        assertEq(v.head, first);
        assertEq(disputes.operatorAt(dispute, 0), operators[0]);
        assertEq(disputes.operatorAt(dispute, 1), operators[1]);
        assertEq(disputes.operatorAt(dispute, 2), address(0));
        assertEq(disputes.operatorAt(dispute, 8), address(0));
        assertEq(staking.stakeOf(address(service), operators[0]).locks, 1);
        assertEq(staking.stakeOf(address(service), operators[1]).locks, 1);
    }

    function test_open_pairsFirstThatDiffers() public {
        open(s, three(right.result, right.result, wrong.result));
        IDisputes.View memory v = disputes.get(idOf(s));
        assertEq(v.a, 0);
        assertEq(v.b, 2);
    }

    function test_open_eightClaims() public {
        bytes32[] memory results = new bytes32[](8);
        for (uint256 i; i < 8; ++i) {
            results[i] = bytes32(i / 2);
        }
        open(s, results);
        IDisputes.View memory v = disputes.get(idOf(s));
        assertEq(v.claims, 8);
        assertEq(v.liveBitmap, 255);
        assertEq(v.b, 2);
        for (uint8 i; i < 8; ++i) {
            assertEq(disputes.operatorAt(idOf(s), i), operators[i]);
        }
    }

    function test_open_refusesTooFewOrTooMany() public {
        Signed[] memory list = responses(new bytes32[](1));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooFewClaims.selector, 1));
        disputes.open(s, list);
        list = responses(new bytes32[](9));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooManyClaims.selector, 9, 8));
        disputes.open(s, list);
    }

    function test_open_refusesBudgetAboveLimit() public {
        s.budget = (1 << 45) + 1;
        Signed[] memory list = responses(two(right.result, wrong.result));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.BudgetTooLarge.selector, s.budget, uint64(1 << 45)));
        disputes.open(s, list);
    }

    function test_open_takesBudgetAtLimit() public {
        s.budget = 1 << 45;
        open(s, two(right.result, wrong.result));
        assertEq(disputes.get(idOf(s)).levels, 10);
    }

    function test_open_refusesAgreement() public {
        Signed[] memory list = responses(three(right.result, right.result, right.result));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoConflict.selector, right.result));
        disputes.open(s, list);
    }

    function test_open_refusesTheSameSignerTwice() public {
        Signed[] memory list = new Signed[](2);
        list[0] = sign(s, operators[0], right.result);
        list[1] = sign(s, operators[0], wrong.result);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyClaimed.selector, operators[0]));
        disputes.open(s, list);
    }

    function test_open_refusesBadSignature() public {
        Signed[] memory list = responses(two(right.result, wrong.result));
        list[1].r = 0;
        vm.expectRevert(IDisputes.InvalidSignature.selector);
        disputes.open(s, list);
    }

    /// Any change of what was signed makes another signer, who has no bond.
    function test_open_refusesOtherThanWasSigned() public {
        for (uint256 i; i < 3; ++i) {
            Signed[] memory list = responses(two(right.result, wrong.result));
            if (i == 0) list[1].request = keccak256("other");
            if (i == 1) list[1].requester = OPENER;
            if (i == 2) list[1].result = keccak256("other");
            address other = disputes.signerOf(s, list[1]);
            assertNotEq(other, operators[1]);
            vm.expectRevert(abi.encodeWithSelector(IStaking.NotBonded.selector, address(service), other));
            disputes.open(s, list);
        }
    }

    function test_open_refusesUnbonded() public {
        uint256 key;
        (operators[1], key) = makeAddrAndKey("nobody");
        keys[operators[1]] = key;
        Signed[] memory list = responses(two(right.result, wrong.result));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotBonded.selector, address(service), operators[1]));
        disputes.open(s, list);
    }

    function test_open_refusesTheSameStatementWhileOpen() public {
        opened();
        Signed[] memory list = responses(two(right.result, wrong.result));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DisputeExists.selector, dispute));
        vm.prank(OPENER);
        disputes.open(s, list);
    }

    function test_signerOf_isTheOperator() public view {
        assertEq(disputes.signerOf(s, sign(s, operators[3], right.result)), operators[3]);
    }

    // join

    function test_join_addsClaim() public {
        opened();
        vm.expectEmit(address(disputes));
        emit IDisputes.Claimed(dispute, 2, operators[2], keccak256("request"), REQUESTER, right.result);
        join(s, claims, 2, right.result);
        IDisputes.View memory v = disputes.get(dispute);
        assertEq(v.claims, 3);
        assertEq(v.liveBitmap, 7);
        assertEq(v.a, 0);
        assertEq(v.b, 1);
        assertEq(disputes.operatorAt(dispute, 2), operators[2]);
        assertEq(staking.stakeOf(address(service), operators[2]).locks, 1);
    }

    function test_join_untilTheVerySecond() public {
        opened();
        Signed memory response = sign(s, operators[2], right.result);
        vm.warp(block.timestamp + JOIN_WINDOW + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JoinClosed.selector, block.timestamp - 1));
        disputes.join(s, response, OPENER, claims);
        vm.warp(block.timestamp - 1);
        disputes.join(s, response, OPENER, claims);
    }

    function test_join_refusesTheSameOperator() public {
        opened();
        Signed memory response = sign(s, operators[0], keccak256("third"));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyClaimed.selector, operators[0]));
        disputes.join(s, response, OPENER, claims);
    }

    function test_join_refusesNinth() public {
        bytes32[] memory results = new bytes32[](8);
        results[7] = right.result;
        (, ClaimDetail[] memory all) = open(s, results);
        Signed memory response = sign(s, operators[8], right.result);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooManyClaims.selector, 9, 8));
        disputes.join(s, response, OPENER, all);
    }

    function test_join_refusesOtherDetails() public {
        Signed memory response = sign(s, operators[2], right.result);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, idOf(s)));
        disputes.join(s, response, OPENER, claims);
        opened();
        bytes32 kept = keccak256(abi.encode(OPENER, claims));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, idOf(s, SETTLER)));
        disputes.join(s, response, SETTLER, claims);
        claims.pop();
        vm.expectRevert(
            abi.encodeWithSelector(IDisputes.WrongDetails.selector, kept, keccak256(abi.encode(OPENER, claims)))
        );
        disputes.join(s, response, OPENER, claims);
    }

    // dissect

    function test_dissect_moves() public {
        opened();
        begin(dispute);
        bytes32[31] memory points = Trace.pointsOf(s, right, 0, 32 ** 2);
        bytes32 head = keccak256(bytes.concat(history().heads[0], bytes1(0), Trace.rootOf(points)));
        vm.warp(block.timestamp + 100);
        vm.expectEmit(address(disputes));
        emit IDisputes.Dissected(dispute, 1, 0, head, points);
        dissect(s, operators[0], 0, points);
        vm.warp(block.timestamp + 30);
        dissectAs(s, operators[1], wrong, 3);
        IDisputes.View memory v = disputes.get(dispute);
        assertEq(v.moves, 2);
        assertEq(v.position, 3);
        assertEq(v.clockA, CLOCK - 100);
        assertEq(v.clockB, CLOCK - 30);
        assertEq(v.lastMove, block.timestamp);
        assertEq(v.head, history().heads[2]);
    }

    function test_dissect_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, idOf(s)));
        disputes.dissect(idOf(s), 0, 0, noPoints());

        opened();
        begin(dispute);
        bytes32 head = history().heads[0];
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongHead.selector, head, keccak256("other")));
        disputes.dissect(dispute, keccak256("other"), 0, noPoints());
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotOnMove.selector, operators[1], operators[0]));
        vm.prank(operators[1]);
        disputes.dissect(dispute, head, 0, noPoints());
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongSegment.selector, 1));
        vm.prank(operators[0]);
        disputes.dissect(dispute, head, 1, noPoints());

        dissectAs(s, operators[0], right, 0);
        head = history().heads[1];
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongSegment.selector, 32));
        vm.prank(operators[1]);
        disputes.dissect(dispute, head, 32, noPoints());
    }

    function test_dissect_refusesMoreThanLevels() public {
        opened();
        (uint8 index,) = playToStep(s, right, wrong);
        bytes32 head = history().heads[3];
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DissectionsOver.selector, 3));
        vm.prank(operators[index]);
        disputes.dissect(dispute, head, 0, noPoints());
    }

    // step

    /// One liar for each kind of position; the honest player, at either seat, wins at each.
    function test_step_everyPosition_noStep() public {
        stepsAt(0);
    }

    function test_step_everyPosition_oneLevelFull() public {
        stepsAt(31);
    }

    function test_step_everyPosition_twoLevels() public {
        stepsAt(1000);
    }

    function test_step_everyPosition_twoLevelsFull() public {
        stepsAt(1023);
    }

    function test_step_everyPosition_threeLevelsFull() public {
        stepsAt(32_767);
    }

    function test_step_everyPosition_fourLevels() public {
        stepsAt(40_000);
    }

    function stepsAt(uint64 budget) private {
        // First position; within a dissection; on either side of its borders; the projection; the identity.
        uint256[8] memory froms = [uint256(1), 2, 31, 32, 33, 1024, uint256(budget), uint256(budget) + 1];
        for (uint256 i; i < froms.length; ++i) {
            if (froms[i] > uint256(budget) + 1 || froms[i] == 0) continue;
            stepAt(budget, froms[i], 0);
            stepAt(budget, froms[i], 1);
        }
    }

    function stepAt(uint64 budget, uint256 liesFrom, uint256 seat) private {
        uint256 snapshot = vm.snapshotState();
        s.budget = budget;
        Belief memory honest = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), liesFrom, false);
        (Belief memory a, Belief memory b) = seat == 0 ? (honest, liar) : (liar, honest);
        (bytes32 id, ClaimDetail[] memory all) = open(s, two(a.result, b.result));
        (uint8 index, uint256 segment) = playToStep(s, a, b);
        if (index == seat) {
            uint256 t = prefix() * 32 + segment;
            if (t > 0) assertTrue(Trace.valueAt(s, honest, t) == pointAt(s, t), "start is true");
            vm.expectEmit(address(disputes));
            emit IDisputes.Stepped(id, uint64(t));
            stepAs(s, operators[index], all, segment);
            IDisputes.View memory v = disputes.get(id);
            assertEq(v.liveBitmap, 1 << seat);
            assertFalse(v.matchRunning);
            assertEq(v.head, 0);
            assertEq(v.joinUntil, block.timestamp + JOIN_WINDOW);
        } else {
            // The liar is to prove a falsehood; no segment lets it.
            for (uint256 d; d < 32; d += d == 0 || d == 30 ? 1 : 5) {
                (bytes memory openings, bytes memory witness) = stepArguments(s, all, d);
                bytes32 head = history().heads[history().heads.length - 1];
                vm.expectRevert();
                vm.prank(operators[index]);
                disputes.step(s, opener, head, d, openings, witness);
            }
        }
        vm.revertToState(snapshot);
    }

    /// The last position: both agree up to the last point of the last dissection.
    function test_step_lastPosition() public {
        // Claims differ, all 31 points of every dissection agree: a lies in its result alone.
        s.budget = 31;
        Belief memory truth = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), 32, false);
        (, ClaimDetail[] memory all) = open(s, two(liar.result, truth.result));
        begin(idOf(s));
        dissectAs(s, operators[0], liar, 0);
        assertEq(chooseSegment(s, truth), 31);
        stepAs(s, operators[1], all, 31);
        assertEq(disputes.get(idOf(s)).liveBitmap, 2);
    }

    function test_step_lastPositionNeedsTheDetails() public {
        s.budget = 31;
        Belief memory truth = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), 32, false);
        (, ClaimDetail[] memory all) = open(s, two(liar.result, truth.result));
        begin(idOf(s));
        dissectAs(s, operators[0], liar, 0);
        bytes32 head = history().heads[1];
        (bytes memory openings, bytes memory witness) = stepArguments(s, all, 31);

        bytes memory cut = new bytes(7 * 32 - 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongOpenings.selector, 223, 224));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 31, cut, witness);

        bytes32 kept = keccak256(abi.encode(OPENER, all));
        vm.expectRevert(
            abi.encodeWithSelector(
                IDisputes.WrongDetails.selector, kept, keccak256(bytes.concat(abi.encode(OPENER, all), hex"00"))
            )
        );
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 31, bytes.concat(openings, hex"00"), witness);

        // Another end than a's result.
        assembly {
            mstore(add(openings, 64), 7)
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongEnd.selector, liar.result, bytes32(uint256(7))));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 31, openings, witness);
    }

    function test_step_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, idOf(s)));
        disputes.step(s, opener, 0, 0, "", "");

        opened();
        begin(dispute);
        bytes32 head = history().heads[0];
        vm.expectRevert(abi.encodeWithSelector(IDisputes.StepTooEarly.selector, 0, 3));
        vm.prank(operators[0]);
        disputes.step(s, opener, head, 0, "", "");

        // The honest player at b's seat, so that it makes the step (move 4).
        vm.warp(block.timestamp + JOIN_WINDOW + CLOCK);
        delete claims;
        s.input = keccak256("other input");
        right = Trace.honest(s);
        ClaimDetail[] memory all;
        (dispute, all) = open(s, two(wrong.result, right.result));
        (uint8 index, uint256 segment) = playToStep(s, wrong, right);
        assertEq(index, 1);
        head = history().heads[3];
        (bytes memory openings, bytes memory witness) = stepArguments(s, all, segment);

        vm.startPrank(operators[1]);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongHead.selector, head, history().heads[2]));
        disputes.step(s, opener, history().heads[2], segment, openings, witness);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongSegment.selector, 32));
        disputes.step(s, opener, head, 32, openings, witness);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongOpenings.selector, openings.length + 32, openings.length));
        disputes.step(s, opener, head, segment, bytes.concat(openings, bytes32(0)), witness);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongOpenings.selector, openings.length + 1, openings.length));
        disputes.step(s, opener, head, segment, bytes.concat(openings, hex"00"), witness);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotOnMove.selector, operators[0], operators[1]));
        vm.prank(operators[0]);
        disputes.step(s, opener, head, segment, openings, witness);

        // Each word of the openings counts.
        for (uint256 i = 1; i <= openings.length / 32; ++i) {
            bytes memory other = bytes.concat(openings);
            assembly {
                let at := add(other, mul(i, 32))
                mstore(at, xor(mload(at), 1))
            }
            vm.expectPartialRevert(IDisputes.OpeningsMismatch.selector);
            vm.prank(operators[1]);
            disputes.step(s, opener, head, segment, other, witness);
        }
        // And so does the start.
        vm.expectPartialRevert(IDisputes.OpeningsMismatch.selector);
        vm.prank(operators[1]);
        disputes.step(s, opener, head, segment, openings, stateAt(s, 17));

        vm.prank(operators[1]);
        disputes.step(s, opener, head, segment, openings, witness);
    }

    function test_step_witnessLengths() public {
        // A lie in the result alone: the projection at t = 31, after one dissection; here by a's honest opponent.
        s.budget = 3;
        Belief memory truth = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), 4, false);
        (, ClaimDetail[] memory all) = open(s, two(liar.result, truth.result));
        begin(idOf(s));
        dissectAs(s, operators[0], liar, 0);
        bytes32 head = history().heads[1];
        assertEq(chooseSegment(s, truth), 3);
        (bytes memory openings, bytes memory witness) = stepArguments(s, all, 3);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongWitness.selector, 264, 263));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 3, openings, bytes.concat(witness, hex"00"));
        (openings, witness) = stepArguments(s, all, 4);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongWitness.selector, 33, 32));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 4, openings, bytes.concat(witness, hex"00"));
    }

    /// At position 0 nothing but the statement says what the start is.
    function test_step_startsFromTheInitialState() public {
        s.budget = 20;
        Belief memory truth = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), 1, false);
        (, ClaimDetail[] memory all) = open(s, two(liar.result, truth.result));
        begin(idOf(s));
        dissectAs(s, operators[0], liar, 0);
        bytes32 head = history().heads[1];
        (bytes memory openings,) = stepArguments(s, all, 0);
        Statement memory other = s;
        other.program = keccak256("other");
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotInitial.selector, other.program, s.input));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 0, openings, stateAt(other, 0));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotInitial.selector, s.program, s.input));
        vm.prank(operators[1]);
        disputes.step(s, opener, head, 0, openings, stateAt(s, 1));
        stepAs(s, operators[1], all, 0);
        assertEq(disputes.get(idOf(s)).liveBitmap, 2);
    }

    /// The player who contests a true end, or defends a false one, is told what it should have been.
    function test_step_losesWhereItIsWrong() public {
        s.budget = 20;
        Belief memory truth = Trace.honest(s);
        Belief memory liar = Trace.liar(keccak256("lie"), 21, false);
        (, ClaimDetail[] memory all) = open(s, two(truth.result, liar.result));
        begin(idOf(s));
        dissectAs(s, operators[0], truth, 0);
        bytes32 head = history().heads[1];
        for (uint256 d; d < 31; ++d) {
            (bytes memory openings, bytes memory witness) = stepArguments(s, all, d);
            bytes32 end = pointAt(s, d + 1);
            vm.expectRevert(abi.encodeWithSelector(IDisputes.StepLost.selector, end, end));
            vm.prank(operators[1]);
            disputes.step(s, opener, head, d, openings, witness);
        }
    }

    // The clock

    function test_clock_lastSecondAndAfter() public {
        opened();
        begin(dispute);
        bytes32 head = history().heads[0];
        vm.warp(block.timestamp + CLOCK);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.ClockRunning.selector, CLOCK, CLOCK));
        disputes.expire(dispute);
        uint256 snapshot = vm.snapshotState();
        dissectAs(s, operators[0], right, 0);
        assertEq(disputes.get(dispute).clockA, 0);
        vm.revertToState(snapshot);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.ClockRanOut.selector, CLOCK + 1, CLOCK));
        vm.prank(operators[0]);
        disputes.dissect(dispute, head, 0, noPoints());
        vm.expectEmit(address(disputes));
        emit IDisputes.Expired(dispute);
        vm.expectEmit(address(disputes));
        emit IDisputes.Eliminated(dispute, 0, operators[0], uint64(block.timestamp + JOIN_WINDOW));
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 2);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
        disputes.expire(dispute);
    }

    /// The time of one's moves adds up; the opponent's does not count.
    function test_clock_isAChessClock() public {
        opened();
        begin(dispute);
        vm.warp(block.timestamp + CLOCK / 2);
        dissectAs(s, operators[0], right, 0);
        vm.warp(block.timestamp + CLOCK - 1);
        dissectAs(s, operators[1], wrong, 3);
        vm.warp(block.timestamp + CLOCK / 2);
        dissectAs(s, operators[0], right, 7);
        assertEq(disputes.get(dispute).clockA, 0);
        assertEq(disputes.get(dispute).clockB, 1);
        vm.warp(block.timestamp + 2);
        disputes.expire(dispute);
        assertEq(disputes.get(dispute).liveBitmap, 1);
    }

    // settle

    function test_settle_paysBetweenTwo() public {
        opened();
        vm.warp(block.timestamp + CLOCK + 1);
        disputes.expire(dispute);
        // Claim 0, the right one, never moved.
        settle(s, claims);
        assertEq(bondOf(0), 0);
        assertEq(bondOf(1), BOND);
        uint256 reward = staking.stakeOf(address(service), operators[1]).reward;
        assertEq(reward, BOND * 20 / 100);
        assertEq(staking.burnt(), BOND * 30 / 100);
        assertEq(staking.creditOf(OPENER), BOND * 5 / 100);
        assertEq(staking.creditOf(SETTLER), BOND * 5 / 100);
        assertEq(staking.creditOf(REQUESTER), BOND - reward - BOND * 30 / 100 - 2 * (BOND * 5 / 100));
        assertConserved();
        assertEq(disputes.get(dispute).claims, 0);
        assertEq(disputes.operatorAt(dispute, 0), address(0));
        assertEq(disputes.operatorAt(dispute, 1), address(0));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, dispute));
        disputes.settle(s, OPENER, claims);
    }

    function test_settle_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, idOf(s)));
        disputes.settle(s, OPENER, claims);
        opened();
        vm.expectRevert(abi.encodeWithSelector(IDisputes.MatchRunning.selector, dispute));
        disputes.settle(s, OPENER, claims);
        vm.warp(block.timestamp + CLOCK + 1);
        disputes.expire(dispute);
        uint256 until = block.timestamp + JOIN_WINDOW;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JoinOpen.selector, until));
        disputes.settle(s, OPENER, claims);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, idOf(s, SETTLER)));
        disputes.settle(s, SETTLER, claims);
        vm.expectPartialRevert(IDisputes.WrongDetails.selector);
        disputes.settle(s, OPENER, new ClaimDetail[](2));
        vm.expectEmit(address(disputes));
        emit IDisputes.Settled(dispute, wrong.result, BOND);
        disputes.settle(s, OPENER, claims);
    }

    // decide

    function test_decide_endsTheGame() public {
        bytes32[] memory results = new bytes32[](4);
        (results[0], results[1], results[2], results[3]) = (wrong.result, right.result, keccak256("x"), right.result);
        (bytes32 id, ClaimDetail[] memory all) = open(s, results);
        vm.expectEmit(address(disputes));
        emit IDisputes.Decided(id, right.result);
        disputes.decide(s, OPENER, all, abi.encode(BUDGET));
        IDisputes.View memory v = disputes.get(id);
        assertEq(v.liveBitmap, 10);
        assertFalse(v.matchRunning);
        settle(s, all);
        assertEq(bondOf(0), 0);
        assertEq(bondOf(1), BOND);
        assertEq(bondOf(2), 0);
        assertEq(bondOf(3), BOND);
        assertConserved();
    }

    /// A lone wrong claim, whose opponents lost, too; then nobody survives and the losers' bonds go to their users.
    function test_decide_mayEliminateAll() public {
        (bytes32 id, ClaimDetail[] memory all) = open(s, two(wrong.result, keccak256("x")));
        vm.warp(block.timestamp + CLOCK + 1);
        disputes.expire(id);
        disputes.decide(s, OPENER, all, abi.encode(BUDGET));
        assertEq(disputes.get(id).liveBitmap, 0);
        // A claim that comes after all others is alone.
        all = join(s, all, 2, keccak256("x"));
        assertFalse(disputes.get(id).matchRunning);
        disputes.decide(s, OPENER, all, abi.encode(BUDGET));
        settle(s, all);
        assertEq(bondOf(0) + bondOf(1) + bondOf(2), 3 * (BOND - BOND * 6666 / 10_000));
        assertConserved();
    }

    function test_decide_duringAMatchWithMoves() public {
        opened();
        begin(dispute);
        dissectAs(s, operators[0], right, 0);
        disputes.decide(s, OPENER, claims, abi.encode(BUDGET));
        bytes32 head = history().heads[1];
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoMatch.selector, dispute));
        vm.prank(operators[1]);
        disputes.dissect(dispute, head, 0, noPoints());
        // Another claim starts a match from scratch.
        join(s, claims, 2, keccak256("x"));
        IDisputes.View memory v = disputes.get(dispute);
        assertEq(v.a, 0);
        assertEq(v.b, 2);
        assertEq(v.moves, 0);
        assertEq(v.position, 0);
        assertEq(v.clockA, CLOCK);
        begin(dispute);
        dissectAs(s, operators[0], right, 0);
    }

    function test_decide_refusals() public {
        opened();
        vm.expectRevert(ToyVerdict.NotProven.selector);
        disputes.decide(s, OPENER, claims, abi.encode(BUDGET + 1));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.UnknownDispute.selector, idOf(s, SETTLER)));
        disputes.decide(s, SETTLER, claims, abi.encode(BUDGET));
        vm.expectPartialRevert(IDisputes.WrongDetails.selector);
        disputes.decide(s, OPENER, new ClaimDetail[](2), abi.encode(BUDGET));
        disputes.decide(s, OPENER, claims, abi.encode(BUDGET));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NothingDecided.selector, right.result));
        disputes.decide(s, OPENER, claims, abi.encode(BUDGET));
    }

    function test_decide_needsAVerdictNamedAtRegistration() public {
        ToyService plain = new ToyService(OWNER, disputes);
        vm.prank(OWNER);
        registry.registerService(
            address(plain), 0, new bytes4[](0), new bytes32[](0), ServiceParameters(1, 1, address(0))
        );
        for (uint256 i; i < 2; ++i) {
            token.mint(owners[i], 10);
            vm.prank(owners[i]);
            staking.deposit(address(plain), operators[i], 10);
        }
        s.service = address(plain);
        (, ClaimDetail[] memory all) = open(s, two(right.result, wrong.result));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NoVerdict.selector, address(plain)));
        disputes.decide(s, OPENER, all, abi.encode(BUDGET));
    }
}
