// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Deployment, Status, Verdict} from "../src/interfaces/IIntegrity.sol";
import {IntegrityFixture} from "./integrity/IntegrityFixture.sol";
import {Test} from "forge-std/Test.sol";

/// Owner, host, monitors and strangers do everything in any order, rightly and wrongly. What the contract refuses is
/// refused; what it accepts is written into a ledger of its own, and must balance.
contract IntegrityHandler is IntegrityFixture {
    uint256 public constant MOST = 4;

    uint256[] public ids;
    uint64[] public sets;
    /// What was paid in, and out.
    uint256 public funded;
    uint256 public withdrawn;
    /// What each member, and each host, should have got, whether collected or not.
    mapping(uint256 id => mapping(uint64 set => mapping(uint256 seat => uint256))) public earned;
    mapping(uint256 id => uint256) public hostEarned;
    mapping(uint256 id => uint256) public escrow;
    mapping(uint256 id => uint32) public lastEpoch;
    mapping(uint256 id => uint256) private _starts;
    mapping(uint256 id => uint256) public collected;
    uint256 public reports;
    uint256 public refused;
    uint256 public ended;

    function size() internal pure override returns (uint256) {
        return 5;
    }

    function setUp() public override {
        super.setUp();
        ids.push(deployment);
        sets.push(set);
        (escrow[deployment], funded) = (FUNDS, FUNDS);
        baseline(0);
    }

    function idOf(uint256 which) private view returns (uint256) {
        return ids[which % ids.length];
    }

    function pass(uint256 time) external {
        vm.warp(vm.getBlockTimestamp() + time % (3 * EPOCH));
    }

    function deploy(uint96 reward, uint96 hostReward) external {
        if (ids.length == MOST) return;
        setPlan(planOf(reward % 3_000_000_000 * 1 gwei + 3 gwei, hostReward % 3_000_000_000 * 1 gwei));
        vm.prank(OWNER);
        try integrity.deploy(service, host) returns (uint256 id) {
            ids.push(id);
        } catch {
            ++refused;
        }
    }

    function pay(uint256 which, uint256 amount) external {
        uint256 id = idOf(which);
        amount = amount % 10_000_000_000 * 1 gwei;
        token.mint(PAYER, amount);
        vm.prank(PAYER);
        try integrity.fund(id, amount) {
            escrow[id] += amount;
            funded += amount;
        } catch {
            ++refused;
        }
    }

    function baseline(uint256 which) public {
        uint256 id = idOf(which);
        bytes memory signature = sign(baselineRootOf(id, ROOT), everybody());
        try integrity.baseline(id, ROOT, set, everybody(), signature) {
            _starts[id] = vm.getBlockTimestamp();
        } catch {
            ++refused;
        }
    }

    function another() external {
        if (sets.length == 6) return;
        set = fix();
        sets.push(set);
    }

    /// The next epoch, or one after it, by whomever.
    function next(uint256 which, uint256 skip, uint256 verdict, uint256 signers) external {
        uint256 id = idOf(which);
        uint32 epoch = lastEpoch[id] + 1 + uint32(skip % 3);
        uint256 end = _starts[id] + epoch * EPOCH;
        if (_starts[id] != 0 && vm.getBlockTimestamp() < end) vm.warp(end);
        // Mostly intact.
        Verdict v = verdict % 8 == 0 ? Verdict.UNREACHABLE : verdict % 41 == 1 ? Verdict.DRIFTED : Verdict.INTACT;
        _report(id, epoch, v, signers | everybody() >> 1);
    }

    function any(uint256 which, uint32 epoch, uint256 verdict, uint256 signers) external {
        _report(idOf(which), epoch % 40, Verdict(1 + verdict % 3), signers);
    }

    function _report(uint256 id, uint32 epoch, Verdict verdict, uint256 signers) private {
        uint256 members = quorum.setOf(service, set).members;
        signers &= everybody();
        if (signers == 0) signers = 1;
        bytes32 evidence = evidenceOf(verdict);
        bytes memory signature = sign(rootOf(id, epoch, verdict, evidence), signers);
        vm.prank(REPORTER);
        try integrity.report(id, epoch, verdict, evidence, set, signers, signature) {
            ++reports;
            // The rules again, plainly.
            assertTrue(_count(signers) * 10_000 >= members * 6667, "less than a quorum recorded");
            if (epoch <= lastEpoch[id]) {
                assertTrue(verdict == Verdict.DRIFTED, "an epoch twice");
                return;
            }
            lastEpoch[id] = epoch;
            Deployment memory d = integrity.deploymentOf(id);
            uint256 toHost = verdict == Verdict.INTACT ? d.hostReward : 0;
            if (escrow[id] < d.reward + toHost) return;
            uint256 share = d.reward / 1 gwei / members * 1 gwei;
            for (uint256 i; i < members; ++i) {
                if (signers >> i & 1 == 0) continue;
                earned[id][set][i] += share;
                escrow[id] -= share;
            }
            hostEarned[id] += toHost;
            escrow[id] -= toHost;
        } catch {
            ++refused;
        }
    }

    function retire(uint256 which, bool byHost) external {
        // Rarely the first: something should happen.
        uint256 id = idOf(which);
        if (id == ids[0] && which % 16 != 0) return;
        bool atOnce = integrity.deploymentOf(id).status == Status.REQUESTED;
        vm.prank(byHost ? HOLDER : OWNER);
        try integrity.retire(id) {
            if (atOnce) escrow[id] = 0;
            ++ended;
        } catch {
            ++refused;
        }
    }

    function settle(uint256 which) external {
        uint256 id = idOf(which);
        try integrity.settle(id) {
            escrow[id] = 0;
        } catch {
            ++refused;
        }
    }

    function punish(uint256 which) external {
        try integrity.punish(idOf(which)) {
            bond(service, host, BOND);
        } catch {
            ++refused;
        }
    }

    function collect(uint256 which, uint256 s, uint8 seat) external {
        try integrity.collect(idOf(which), sets[s % sets.length], seat % 6) {}
        catch {
            ++refused;
        }
    }

    function collectHost(uint256 which) external {
        try integrity.collectHost(idOf(which)) {}
        catch {
            ++refused;
        }
    }

    function withdraw(bool owner) external {
        address account = owner ? OWNER : HOLDER;
        uint256 amount = integrity.creditOf(account);
        vm.prank(account);
        try integrity.withdraw() {
            withdrawn += amount;
        } catch {
            ++refused;
        }
    }

    function _count(uint256 mask) private pure returns (uint256 count) {
        for (; mask != 0; mask &= mask - 1) {
            ++count;
        }
    }

    // What must hold

    function check() external view {
        uint256 held = integrity.creditOf(OWNER) + integrity.creditOf(HOLDER) + integrity.creditOf(PAYER);
        uint256 everEarned;
        for (uint256 i; i < ids.length; ++i) {
            uint256 id = ids[i];
            Deployment memory d = integrity.deploymentOf(id);
            assertEq(d.escrow, escrow[id], "escrow");
            assertEq(d.lastEpoch, lastEpoch[id], "last epoch");
            assertEq(uint256(d.intact) * d.hostReward, hostEarned[id], "host");
            held += d.escrow + integrity.uncollectedOfHost(id);
            everEarned += hostEarned[id];
            for (uint256 s; s < sets.length; ++s) {
                uint256 members = quorum.setOf(service, sets[s]).members;
                uint256 share = d.reward / 1 gwei / members * 1 gwei;
                for (uint8 seat; seat < members; ++seat) {
                    held += integrity.uncollectedOf(id, sets[s], seat);
                    uint256 epochs = integrity.paidIn(id, sets[s]) - integrity.absencesOf(id, sets[s], seat);
                    assertEq(epochs * share, earned[id][sets[s]][seat], "member");
                    everEarned += earned[id][sets[s]][seat];
                }
            }
        }
        assertEq(held, token.balanceOf(address(integrity)), "P7");
        assertEq(funded, held + withdrawn, "P7: in and out");
    }

    function locks() external view returns (uint256 found, uint256 expected) {
        found = staking.stakeOf(service, host).locks;
        for (uint256 i; i < ids.length; ++i) {
            if (integrity.deploymentOf(ids[i]).locked) ++expected;
        }
    }
}

contract IntegrityInvariantsTest is Test {
    IntegrityHandler private _handler;

    function setUp() public {
        _handler = new IntegrityHandler();
        _handler.setUp();
        bytes4[] memory selectors = new bytes4[](13);
        selectors[0] = IntegrityHandler.pass.selector;
        selectors[1] = IntegrityHandler.deploy.selector;
        selectors[2] = IntegrityHandler.pay.selector;
        selectors[3] = IntegrityHandler.baseline.selector;
        selectors[4] = IntegrityHandler.another.selector;
        // More often than the others.
        selectors[5] = IntegrityHandler.next.selector;
        selectors[6] = IntegrityHandler.any.selector;
        selectors[7] = IntegrityHandler.retire.selector;
        selectors[8] = IntegrityHandler.settle.selector;
        selectors[9] = IntegrityHandler.punish.selector;
        selectors[10] = IntegrityHandler.collect.selector;
        selectors[11] = IntegrityHandler.collectHost.selector;
        selectors[12] = IntegrityHandler.withdraw.selector;
        targetSelector(FuzzSelector(address(_handler), selectors));
        targetContract(address(_handler));
    }

    /// P7: money is conserved, everybody has what a plain ledger says, and locks are as many as deployments that hold
    /// the host's bond.
    function invariant_P7_moneyIsConserved() public view {
        _handler.check();
        (uint256 found, uint256 expected) = _handler.locks();
        assertEq(found, expected, "locks");
    }

    /// The runs do record, pay and collect.
    function test_P7_somethingHappens() public {
        uint256 seed = 1;
        for (uint256 i; i < 120; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            if (i % 7 == 0) _handler.another();
            if (i % 11 == 0) _handler.deploy(uint96(seed), uint96(seed >> 96));
            if (i % 5 == 0) _handler.baseline(seed);
            if (i % 3 == 0) _handler.pay(seed, seed >> 100);
            if (i % 13 == 0) _handler.collect(seed, seed >> 20, uint8(seed >> 40));
            if (i % 17 == 0) _handler.collectHost(seed);
            if (i % 19 == 0) _handler.withdraw(false);
            // Not drift, which ends it.
            _handler.next(seed >> 8, seed >> 30, 2 + 41 * (seed >> 50) % 1000 * 8 + 1, seed >> 70);
            _handler.check();
        }
        assertGt(_handler.reports(), 40);
        assertGt(_handler.withdrawn(), 0);
    }
}
