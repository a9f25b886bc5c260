// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Staking} from "../src/Staking.sol";
import {DevToken} from "../src/dev/DevToken.sol";
import {ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {IStaking, Loss, Stake} from "../src/interfaces/IStaking.sol";
import {DisputeFixture, ToyService} from "./dispute/DisputeFixture.sol";

/// Takes one part in a hundred of each transfer.
contract FeeToken is DevToken {
    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _burn(from, amount / 100);
        return super.transferFrom(from, to, amount - amount / 100);
    }
}

contract StakingTest is DisputeFixture {
    address private operator;
    address private owner;
    address private module;

    function setUp() public override {
        super.setUp();
        (operator, owner, module) = (operators[0], owners[0], address(disputes));
    }

    function stake(uint256 index) private view returns (Stake memory) {
        return staking.stakeOf(address(service), operators[index]);
    }

    function list(uint256 index) private view returns (address[] memory one) {
        one = new address[](1);
        one[0] = operators[index];
    }

    function lock(uint256 index) private {
        vm.prank(module);
        staking.lock(address(service), list(index));
    }

    // Membership

    function test_deposit_joinsAndTopsUp() public {
        assertEq(staking.operatorCount(address(service)), 9);
        address[] memory page = staking.operatorsOf(address(service), 0, 100);
        assertEq(page.length, 9);
        assertEq(page[8], operators[8]);
        assertEq(staking.operatorsOf(address(service), 7, 1)[0], operators[7]);
        assertEq(staking.operatorsOf(address(service), 9, 1).length, 0);
        assertTrue(staking.isBonded(address(service), operator));

        token.mint(owner, 5);
        vm.expectEmit(address(staking));
        emit IStaking.Deposited(address(service), operator, 5, BOND + 5);
        vm.prank(owner);
        staking.deposit(address(service), operator, 5);
        assertEq(stake(0).bond, BOND + 5);
        assertEq(staking.operatorCount(address(service)), 9);
        assertConserved();
    }

    function test_deposit_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotOperatorOwner.selector, operator, address(this), owner));
        staking.deposit(address(service), operator, 1);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IStaking.UnknownService.selector, address(1)));
        staking.deposit(address(1), operator, 1);
        vm.stopPrank();

        (address late, uint256 key) = makeAddrAndKey("late operator");
        bytes memory proof = proofOf(key, late, owner, "");
        vm.startPrank(owner);
        registry.registerOperator(late, "", proof);
        token.mint(owner, MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BondTooSmall.selector, MIN_BOND - 1, MIN_BOND));
        staking.deposit(address(service), late, MIN_BOND - 1);
        staking.deposit(address(service), late, MIN_BOND);
        token.mint(owner, type(uint96).max);
        uint256 held = token.balanceOf(address(staking)) + type(uint96).max;
        vm.expectRevert(abi.encodeWithSelector(IStaking.DepositTooLarge.selector, held, type(uint96).max));
        staking.deposit(address(service), late, type(uint96).max);
        vm.stopPrank();
        assertFalse(staking.isBonded(address(service), address(1)));
        assertFalse(staking.isBonded(address(1), operator));
    }

    function test_deposit_needsSomeBondEvenWhereTheServiceAsksForNone() public {
        ToyService free = new ToyService(OWNER, disputes);
        vm.prank(OWNER);
        registry.registerService(
            address(free), 0, new bytes4[](0), new bytes32[](0), ServiceParameters(0, 1, address(0))
        );
        vm.expectRevert(abi.encodeWithSelector(IStaking.BondTooSmall.selector, 0, 0));
        vm.prank(owner);
        staking.deposit(address(free), operator, 0);
        assertFalse(staking.isBonded(address(free), operator));
    }

    function test_deposit_refusesFeeOnTransfer() public {
        FeeToken fee = new FeeToken();
        Staking other = new Staking(registry, address(fee), 1, new address[](0));
        fee.mint(owner, BOND);
        vm.startPrank(owner);
        fee.approve(address(other), BOND);
        vm.expectRevert(abi.encodeWithSelector(IStaking.FeeOnTransfer.selector, BOND, BOND - BOND / 100));
        other.deposit(address(service), operator, BOND);
        vm.stopPrank();
    }

    function test_leave_thenWithdraw() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotLeaving.selector, address(service), operator));
        staking.withdrawBond(address(service), operator);
        uint256 until = block.timestamp + LEAVE_DELAY;
        vm.expectEmit(address(staking));
        emit IStaking.Leaving(address(service), operator, uint64(until));
        staking.leave(address(service), operator);
        assertEq(stake(0).committedUntil, until);
        assertFalse(staking.isBonded(address(service), operator));
        vm.expectRevert(abi.encodeWithSelector(IStaking.AlreadyLeaving.selector, address(service), operator, until));
        staking.leave(address(service), operator);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Committed.selector, address(service), operator, until));
        staking.withdrawBond(address(service), operator);
        vm.warp(until);
        vm.expectEmit(address(staking));
        emit IStaking.BondWithdrawn(address(service), operator, owner, BOND);
        staking.withdrawBond(address(service), operator);
        vm.stopPrank();
        assertEq(token.balanceOf(owner), BOND);
        assertEq(staking.operatorCount(address(service)), 8);
        assertConserved();
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotBonded.selector, address(service), operator));
        vm.prank(owner);
        staking.leave(address(service), operator);
    }

    function test_leave_ownerOnly() public {
        bytes memory refusal =
            abi.encodeWithSelector(IStaking.NotOperatorOwner.selector, operator, address(this), owner);
        vm.expectRevert(refusal);
        staking.leave(address(service), operator);
        vm.expectRevert(refusal);
        staking.withdrawBond(address(service), operator);
        vm.expectRevert(refusal);
        staking.withdrawReward(address(service), operator);
    }

    function test_leave_depositStays() public {
        vm.startPrank(owner);
        staking.leave(address(service), operator);
        staking.deposit(address(service), operator, 0);
        assertEq(stake(0).committedUntil, 0);
        assertTrue(staking.isBonded(address(service), operator));
        vm.warp(block.timestamp + LEAVE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotLeaving.selector, address(service), operator));
        staking.withdrawBond(address(service), operator);
        vm.stopPrank();
    }

    function test_lock_keepsTheBond() public {
        vm.prank(owner);
        staking.leave(address(service), operator);
        lock(0);
        lock(0);
        vm.warp(block.timestamp + LEAVE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Locked.selector, address(service), operator, 2));
        vm.prank(owner);
        staking.withdrawBond(address(service), operator);
        vm.startPrank(module);
        staking.slash(address(service), new Loss[](0), list(0), OPENER, SETTLER);
        staking.slash(address(service), new Loss[](0), list(0), OPENER, SETTLER);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotLocked.selector, address(service), operator));
        staking.slash(address(service), new Loss[](0), list(0), OPENER, SETTLER);
        vm.stopPrank();
        vm.prank(owner);
        staking.withdrawBond(address(service), operator);
    }

    // Modules

    function test_modules_only() public {
        assertTrue(staking.isModule(module));
        assertFalse(staking.isModule(address(this)));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotModule.selector, address(this)));
        staking.lock(address(service), list(0));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotModule.selector, address(this)));
        staking.slash(address(service), new Loss[](0), list(0), OPENER, SETTLER);
    }

    function test_slash_refusals() public {
        vm.startPrank(module);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operator, REQUESTER);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotLocked.selector, address(service), operator));
        staking.slash(address(service), losses, new address[](0), OPENER, SETTLER);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotBonded.selector, address(service), address(this)));
        address[] memory nobody = new address[](1);
        nobody[0] = address(this);
        staking.lock(address(service), nobody);
        vm.stopPrank();
    }

    function test_lock_countIsBounded() public {
        // 2^24 - 1 locks, written where they lie.
        bytes32 slot = keccak256(abi.encode(operator, keccak256(abi.encode(address(service), uint256(1)))));
        uint256 word = uint256(vm.load(address(staking), slot));
        assertEq(uint96(word), BOND);
        vm.store(address(staking), slot, bytes32(word | uint256(type(uint24).max) << 232));
        assertEq(stake(0).locks, type(uint24).max);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Locked.selector, address(service), operator, type(uint24).max));
        lock(0);
    }

    /// P7: whatever is slashed, in favour of whomever, nothing is made and nothing lost.
    function testFuzz_P7_slashConserves(uint8 losers, uint8 winners, uint8 who, uint96[8] memory extra) public {
        losers = uint8(bound(losers, 1, 8));
        winners = uint8(bound(winners, 0, 9 - losers));
        Loss[] memory losses = new Loss[](losers);
        address[] memory survivors = new address[](winners);
        uint256[] memory bonds = new uint256[](9);
        uint256 sum;
        uint256 most;
        for (uint256 i; i < losers; ++i) {
            topUp(i, extra[i] % (10 * BOND));
            lock(i);
            losses[i] = Loss(operators[i], who & 1 == 0 ? REQUESTER : OPENER);
            bonds[i] = bondOf(i);
            sum += bonds[i];
            if (bonds[i] > most) most = bonds[i];
        }
        uint256 severity = sum <= 2 * most ? 10_000 : 2 * most * 10_000 / sum;
        for (uint256 i; i < winners; ++i) {
            lock(losers + i);
            survivors[i] = operators[losers + i];
        }
        address reporter = who & 2 == 0 || winners == 0 ? OPENER : survivors[0];
        address caller = who & 4 == 0 || winners == 0 ? SETTLER : survivors[winners - 1];
        vm.prank(module);
        uint256 taken = staking.slash(address(service), losses, survivors, reporter, caller);
        assertConserved();
        uint256 lost;
        uint256 burnt;
        for (uint256 i; i < 9; ++i) {
            uint256 loss = bonds[i] * severity / 10_000;
            assertEq(bondOf(i), i < losers ? bonds[i] - loss : BOND);
            assertEq(stake(i).locks, 0);
            lost += loss;
            burnt += loss * 30 / 100;
        }
        assertEq(taken, lost);
        assertEq(staking.burnt(), burnt);
        assertLe(taken, 2 * most);
        // Rounding down: less than one basis point, and one wei each.
        assertGe(taken + sum / 10_000 + losers, sum < 2 * most ? sum : 2 * most);
    }

    /// Accomplices with next to nothing at stake do not make a big liar's loss smaller, however many they are.
    function test_severityDustAccomplicesDoNotHelp() public {
        ToyService free = new ToyService(OWNER, disputes);
        vm.prank(OWNER);
        registry.registerService(
            address(free), 0, new bytes4[](0), new bytes32[](0), ServiceParameters(0, 1, address(0))
        );
        Loss[] memory losses = new Loss[](7);
        address[] memory all = new address[](7);
        for (uint256 i; i < 7; ++i) {
            uint256 amount = i == 3 ? BOND : 1;
            token.mint(owners[i], amount);
            vm.prank(owners[i]);
            staking.deposit(address(free), operators[i], amount);
            losses[i] = Loss(operators[i], REQUESTER);
            all[i] = operators[i];
        }
        vm.startPrank(module);
        staking.lock(address(free), all);
        assertEq(staking.slash(address(free), losses, new address[](0), OPENER, SETTLER), BOND + 6);
        vm.stopPrank();
        assertEq(staking.stakeOf(address(free), operators[3]).bond, 0);
    }

    /// Losers of the same size lose twice one bond in all.
    function test_severityOfEquals() public {
        for (uint256 count = 1; count <= 8; ++count) {
            uint256 snapshot = vm.snapshotState();
            Loss[] memory losses = new Loss[](count);
            for (uint256 i; i < count; ++i) {
                lock(i);
                losses[i] = Loss(operators[i], REQUESTER);
            }
            vm.prank(module);
            staking.slash(address(service), losses, new address[](0), OPENER, SETTLER);
            for (uint256 i; i < count; ++i) {
                assertEq(bondOf(i), BOND - BOND * (count <= 2 ? 10_000 : 20_000 / count) / 10_000);
            }
            vm.revertToState(snapshot);
        }
    }

    /// Every name that is paid is the liar's own; what it gets back is all but what is burnt.
    function test_P2_selfDisputeLosesTheBurntPart() public {
        lock(0);
        lock(1);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operator, owner);
        vm.expectEmit(address(staking));
        emit IStaking.Burnt(address(service), BOND * 30 / 100);
        vm.prank(module);
        staking.slash(address(service), losses, list(1), owner, owner);
        vm.startPrank(owner);
        staking.withdraw();
        vm.stopPrank();
        vm.prank(owners[1]);
        staking.withdrawReward(address(service), operators[1]);
        uint256 back = token.balanceOf(owner) + token.balanceOf(owners[1]);
        assertEq(back, BOND - BOND * 30 / 100);
        assertEq(staking.burnt(), BOND * 30 / 100);
        assertConserved();
    }

    function topUp(uint256 index, uint256 amount) private {
        token.mint(owners[index], amount);
        vm.prank(owners[index]);
        staking.deposit(address(service), operators[index], amount);
    }

    function test_slash_winnerWhoReportedAndCalled() public {
        lock(0);
        lock(1);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operators[1], REQUESTER);
        vm.prank(module);
        staking.slash(address(service), losses, list(0), operator, operator);
        assertEq(stake(0).reward, BOND * 20 / 100 + 2 * (BOND * 5 / 100));
        assertEq(staking.creditOf(operator), 0);
        assertConserved();

        vm.expectEmit(address(staking));
        emit IStaking.RewardWithdrawn(address(service), operator, owner, stake(0).reward);
        vm.prank(owner);
        staking.withdrawReward(address(service), operator);
        assertEq(stake(0).reward, 0);
        assertEq(bondOf(0), BOND);
        assertConserved();
        vm.expectRevert(abi.encodeWithSelector(IStaking.NothingToWithdraw.selector, operator));
        vm.prank(owner);
        staking.withdrawReward(address(service), operator);
    }

    /// The requester who is itself the surviving operator: its compensation is the requester's, not the operator's.
    function test_slash_victimWhoIsReporterAndWinner() public {
        lock(0);
        lock(1);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operators[1], operator);
        vm.prank(module);
        staking.slash(address(service), losses, list(0), operator, SETTLER);
        assertEq(stake(0).reward, BOND * 20 / 100 + BOND * 5 / 100);
        assertEq(staking.creditOf(operator), BOND - stake(0).reward - BOND * 5 / 100 - BOND * 30 / 100);
        assertConserved();
    }

    function test_withdraw_paysCredit() public {
        lock(0);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operator, REQUESTER);
        vm.prank(module);
        staking.slash(address(service), losses, new address[](0), OPENER, SETTLER);
        uint256 credit = staking.creditOf(REQUESTER);
        assertEq(credit, BOND - 2 * (BOND * 5 / 100) - BOND * 30 / 100);
        vm.expectEmit(address(staking));
        emit IStaking.Withdrawn(REQUESTER, credit);
        vm.prank(REQUESTER);
        staking.withdraw();
        assertEq(token.balanceOf(REQUESTER), credit);
        assertConserved();
        vm.expectRevert(abi.encodeWithSelector(IStaking.NothingToWithdraw.selector, REQUESTER));
        vm.prank(REQUESTER);
        staking.withdraw();
    }

    /// A bond of which nothing is left can be filled up again, and the operator counts as before.
    function test_slash_thenDepositAgain() public {
        lock(0);
        Loss[] memory losses = new Loss[](1);
        losses[0] = Loss(operator, REQUESTER);
        vm.prank(module);
        staking.slash(address(service), losses, new address[](0), OPENER, SETTLER);
        assertFalse(staking.isBonded(address(service), operator));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotBonded.selector, address(service), operator));
        lock(0);
        token.mint(owner, BOND);
        vm.prank(owner);
        staking.deposit(address(service), operator, BOND);
        assertTrue(staking.isBonded(address(service), operator));
        assertEq(staking.operatorCount(address(service)), 9);
    }
}
