// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Run, Settlement, Step, Trigger} from "../src/interfaces/ITasks.sol";
import {Price} from "../src/interfaces/ITerms.sol";
import {Proven} from "../src/types/Votes.sol";
import {NetworkFixture} from "./network/NetworkFixture.sol";
import {Test} from "forge-std/Test.sol";

/// Applications, members and strangers that deposit, start, settle, close, collect and claim in any order, rightly and
/// wrongly. What the contracts refuse is refused; what they accept must balance.
contract NetworkHandler is NetworkFixture {
    uint256 private constant IDS = 6;
    uint256 private constant FLOWS = 4;

    address[] public applications;
    bytes32[] public runs;
    /// Set in which each run's members vote.
    mapping(bytes32 run => uint64) private _setOf;
    mapping(bytes32 run => bytes) private _headers;
    mapping(bytes32 run => uint8) private _steps;
    uint256 public settled;
    uint256 public closed;
    uint256 public claimed;
    uint256 public refused;

    function size() internal pure override returns (uint256) {
        return 5;
    }

    function setUp() public override {
        super.setUp();
        applications.push(APP);
        applications.push(makeAddr("another application"));
        fund(applications[1], 500 ether);
        for (uint256 i; i < FLOWS; ++i) {
            Step[] memory steps = new Step[](1 + i % 2);
            for (uint256 j; j < steps.length; ++j) {
                steps[j] = stepOf(uint8((i + j) % 4));
                steps[j].most = uint96(5 ether + i * 9 ether + 1);
            }
            vm.prank(applications[i % 2]);
            tasks.createFlow("{}", Trigger(service, EVENT_NAME, uint96(i * (1 ether + 1))), steps);
        }
    }

    function deposit(uint256 who, uint256 amount) external {
        fund(applications[who % 2], amount % 100 ether);
    }

    function withdraw(uint256 who, uint256 amount) external {
        address application = applications[who % 2];
        amount = amount % (tasks.depositOf(application) + 1);
        // Not all at once: something should happen.
        vm.prank(application);
        tasks.withdraw(amount / 8);
    }

    function setPrice(uint96 perCall, uint80 perSecond) external {
        price(Price(perCall % 20 ether, perSecond % 2 ether, 0.1 ether + 1));
    }

    function start(uint256 flow, uint256 id, uint256 signers) external {
        flow = 1 + flow % FLOWS;
        bytes32 idHash = bytes32(id % IDS);
        uint64 current = set;
        // Sometimes by those of the last set.
        if (signers >> 200 & 3 == 0 && set > 1) set = set - 1;
        Proven memory event_ = seen(idHash, 1 | signers & everybody());
        set = current;
        try tasks.start(flow, idHash, event_) returns (bytes32 run) {
            add(run, uint8(tasks.flowOf(flow).steps.length), signers);
        } catch {
            ++refused;
        }
    }

    function request(uint256 who, uint8 validators, uint256 seed) external {
        Step memory step = stepOf(validators % 4);
        step.most = uint96(seed % 50 ether);
        vm.prank(applications[who % 2]);
        try tasks.request(step, keccak256("inputs")) returns (bytes32 run) {
            add(run, 1, seed);
        } catch {
            ++refused;
        }
    }

    function settle(uint256 which, uint256 seed) external {
        if (runs.length == 0) return;
        bytes32 run = runs[which % runs.length];
        uint8 step = uint8(seed % _steps[run]);
        Settlement memory s = workOn(run, step, uint8((seed >> 8) % 8 < 6 ? 0 : 1 + seed % 3), _headers[run]);
        s.secondsSpent = uint32((seed >> 16) % 40);
        uint64 current = set;
        set = _setOf[run];
        uint256 signers = (seed >> 64) % 4 == 0 ? 1 | seed >> 128 & everybody() : everybody();
        Step memory terms_ = tasks.flowOf(tasks.runOf(run).flow).steps[step];
        s = terms_.validators == 0 ? executedBy(s, signers) : validatedBy(s, signers);
        set = current;
        try tasks.settle(s) {
            ++settled;
        } catch {
            ++refused;
        }
    }

    function close(uint256 which) external {
        if (runs.length == 0) return;
        try tasks.close(runs[which % runs.length]) {
            ++closed;
        } catch {
            ++refused;
        }
    }

    function collect(uint64 which, uint8 index) external {
        try tasks.collect(service, 1 + which % set, index % 6) {}
        catch {
            ++refused;
        }
    }

    function claim(uint256 member) external {
        address operator = operators[member % operators.length];
        uint256 amount = tasks.earnedOf(service, operator);
        uint256 before = token.balanceOf(HOLDER);
        vm.prank(HOLDER);
        try tasks.claim(service, operator) {
            ++claimed;
            assertEq(token.balanceOf(HOLDER) - before, amount - (amount * 500 + 9999) / 10_000);
        } catch {
            ++refused;
        }
    }

    /// A new set, of the same members or with one more.
    function renew(uint256 seed) external {
        if (seed % 4 == 0 && operators.length < 8) addMember();
        set = fix();
    }

    function pass(uint256 time) external {
        vm.warp(vm.getBlockTimestamp() + time % 2 hours);
        vm.roll(vm.getBlockNumber() + 1 + time % 20);
        // As nodes do.
        if (vm.getBlockTimestamp() - quorum.setOf(service, set).time > 1 days) set = fix();
    }

    // What must hold

    function checkConserved() external view {
        assertConserved(applications, runs, set);
    }

    /// A run holds the most of each step that is not settled, until it is closed.
    function checkReserved() external view {
        for (uint256 i; i < runs.length; ++i) {
            Run memory run = tasks.runOf(runs[i]);
            Step[] memory steps = tasks.flowOf(run.flow).steps;
            uint256 expected;
            for (uint256 j; j < steps.length; ++j) {
                if (!run.closed && run.settled >> j & 1 == 0) expected += steps[j].most;
            }
            assertEq(run.reserved, expected);
        }
    }

    function add(bytes32 run, uint8 steps, uint256 seed) private {
        runs.push(run);
        _setOf[run] = set;
        _steps[run] = steps;
        uint64 number = uint64(vm.getBlockNumber()) + 1;
        bytes memory header = nextBlock(keccak256(abi.encode(run)));
        if (seed >> 210 & 1 == 0) tasks.pin(number, header);
        else _headers[run] = header;
    }
}

contract TasksInvariantsTest is Test {
    NetworkHandler private handler;

    function setUp() public {
        handler = new NetworkHandler();
        handler.setUp();
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = NetworkHandler.deposit.selector;
        selectors[1] = NetworkHandler.withdraw.selector;
        selectors[2] = NetworkHandler.setPrice.selector;
        selectors[3] = NetworkHandler.start.selector;
        selectors[4] = NetworkHandler.request.selector;
        selectors[5] = NetworkHandler.settle.selector;
        selectors[6] = NetworkHandler.close.selector;
        selectors[7] = NetworkHandler.collect.selector;
        selectors[8] = NetworkHandler.claim.selector;
        selectors[9] = NetworkHandler.renew.selector;
        selectors[10] = NetworkHandler.pass.selector;
        // Twice as often.
        selectors[11] = NetworkHandler.settle.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    function invariant_P7_moneyIsConserved() public view {
        handler.checkConserved();
        handler.checkReserved();
    }

    /// That the handler gets everywhere, and is refused where it should be.
    function test_P7_handlerReachesEverything() public {
        for (uint256 i; i < 150; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            handler.start(seed >> 8, seed >> 16, seed | 0x1f);
            if (i % 5 == 0) handler.request(seed, uint8(seed >> 8), seed >> 7);
            handler.settle(seed >> 24, seed);
            handler.settle(seed >> 25, seed >> 3);
            handler.settle(seed >> 26, seed >> 5);
            handler.setPrice(uint96(seed), uint80(seed >> 96));
            handler.collect(uint64(seed >> 32), uint8(seed >> 40));
            handler.claim(seed >> 48);
            if (i % 10 == 0) handler.renew(seed >> 56);
            handler.pass(seed >> 64);
            handler.close(seed >> 72);
            handler.deposit(seed >> 80, seed);
            handler.withdraw(seed >> 81, seed);
            handler.checkConserved();
            handler.checkReserved();
        }
        assertGt(handler.settled(), 10);
        assertGt(handler.closed(), 5);
        assertGt(handler.claimed(), 10);
        assertGt(handler.refused(), 50);
    }
}
