// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Issuance} from "../src/Issuance.sol";
import {SuretyToken} from "../src/SuretyToken.sol";
import {IIssuance} from "../src/interfaces/IIssuance.sol";
import {Settlement, Step} from "../src/interfaces/ITasks.sol";
import {NetworkFixture} from "./network/NetworkFixture.sol";

contract IssuanceTest is NetworkFixture {
    uint256 private constant AMOUNT = 1000 ether;
    uint64 private constant EPOCH = 1 weeks;
    uint256 private constant FOUNDED = 5 ether;

    SuretyToken private surety;
    Issuance private issuance;

    function setUp() public override {
        super.setUp();
        address minter = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        surety = new SuretyToken(minter, OWNER, FOUNDED);
        issuance = new Issuance(tasks, surety, AMOUNT, EPOCH, 1 ether);
        assertEq(address(issuance), minter);
    }

    /// The member claims `amount` (fees and bills are what they are: here a request without validators pays it).
    function earn(uint256 member, uint96 amount) private {
        Step memory step = stepOf(0);
        step.most = amount;
        address[] memory nodes = new address[](1);
        nodes[0] = operators[member];
        step.nodes = keccak256(abi.encode(nodes));
        vm.prank(APP);
        bytes32 run = tasks.request(step, keccak256("inputs"));
        bytes memory header = nextBlock("mix");
        vm.startPrank(HOLDER);
        tasks.settle(billing(run, header, nodes, member));
        tasks.claim(service, operators[member]);
        vm.stopPrank();
    }

    function billing(bytes32 run, bytes memory header, address[] memory nodes, uint256 member)
        private
        view
        returns (Settlement memory s)
    {
        s = workOn(run, 0, 0, header);
        // More than any step pays.
        s.secondsSpent = type(uint32).max;
        s.nodes = nodes;
        return executedBy(s, 1 << member);
    }

    function points(uint256 epoch, uint256 member) private view returns (uint256) {
        return issuance.pointsOf(epoch, service, operators[member]);
    }

    function nextEpoch() private {
        vm.warp(vm.getBlockTimestamp() + EPOCH);
        // The old set is too old for what comes.
        set = fix();
    }

    function test_token_mintedByItsMinterOnly() public {
        assertEq(surety.balanceOf(OWNER), FOUNDED);
        assertEq(surety.totalSupply(), FOUNDED);
        vm.expectRevert(abi.encodeWithSelector(SuretyToken.NotMinter.selector, address(this), address(issuance)));
        surety.mint(address(this), 1);
        assertEq(surety.symbol(), "SURETY");
        assertEq(surety.name(), "Surety");
    }

    function test_record_countsWhatWasClaimedOnce() public {
        earn(0, 100 ether);
        issuance.record(service, operators[0]);
        // A record without fault, of somebody who came a moment ago: half the weight.
        assertApproxEqRel(points(0, 0), 50 ether, 0.001 ether);
        assertEq(issuance.pointsIn(0), points(0, 0));
        assertEq(issuance.countedOf(service, operators[0]), 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IIssuance.NothingToRecord.selector, service, operators[0]));
        issuance.record(service, operators[0]);
        vm.expectRevert(abi.encodeWithSelector(IIssuance.NothingToRecord.selector, service, operators[1]));
        issuance.record(service, operators[1]);
    }

    function test_mint_byShare() public {
        // More than the epoch gives, so that the shares decide.
        earn(0, 30_000 ether);
        earn(1, 90_000 ether);
        issuance.record(service, operators[0]);
        issuance.record(service, operators[1]);
        vm.expectRevert(abi.encodeWithSelector(IIssuance.EpochNotOver.selector, 0, 0));
        issuance.mint(0, service, operators[0]);
        nextEpoch();
        assertEq(issuance.current(), 1);
        uint256 first = issuance.mint(0, service, operators[0]);
        uint256 second = issuance.mint(0, service, operators[1]);
        assertApproxEqRel(first, AMOUNT / 4, 0.001 ether);
        assertApproxEqRel(second, AMOUNT * 3 / 4, 0.001 ether);
        assertLe(first + second, AMOUNT);
        assertEq(surety.balanceOf(HOLDER), first + second);
        vm.expectRevert(abi.encodeWithSelector(IIssuance.NothingToMint.selector, 0, service, operators[0]));
        issuance.mint(0, service, operators[0]);
    }

    /// Whoever pays itself has burnt at least as much as it gets, alone in the epoch or not.
    function testFuzz_mint_washingNeverPays(uint96 washed, uint96 honest) public {
        washed = uint96(bound(washed, 1, 400_000 ether));
        honest = uint96(bound(honest, 0, 400_000 ether));
        uint256 before = tasks.burnt();
        earn(0, washed);
        uint256 burnt = tasks.burnt() - before;
        issuance.record(service, operators[0]);
        if (honest != 0) {
            earn(1, honest);
            issuance.record(service, operators[1]);
        }
        nextEpoch();
        uint256 minted = points(0, 0) == 0 ? 0 : issuance.mint(0, service, operators[0]);
        assertLe(minted, burnt);
        assertLe(minted, AMOUNT);
    }

    function test_mint_recordCounts() public {
        earn(0, 100 ether);
        earn(1, 100 ether);
        // A fault of member 1.
        vm.prank(address(faults));
        records.incident(service, operators[1], 0);
        issuance.record(service, operators[0]);
        issuance.record(service, operators[1]);
        assertApproxEqRel(points(0, 0), 2 * points(0, 1), 0.001 ether);
    }

    function test_mint_epochsAreApart() public {
        earn(0, 40_000 ether);
        issuance.record(service, operators[0]);
        nextEpoch();
        earn(0, 40_000 ether);
        issuance.record(service, operators[0]);
        nextEpoch();
        assertEq(issuance.mint(0, service, operators[0]), AMOUNT);
        assertEq(issuance.mint(1, service, operators[0]), AMOUNT);
        assertEq(surety.totalSupply(), FOUNDED + 2 * AMOUNT);
    }

    function test_epochLengthZero() public {
        vm.expectRevert(IIssuance.EpochLengthZero.selector);
        new Issuance(tasks, surety, AMOUNT, 0, 1 ether);
    }
}
