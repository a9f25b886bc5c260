// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Faults} from "../src/Faults.sol";
import {Integrity} from "../src/Integrity.sol";
import {IFaults} from "../src/interfaces/IFaults.sol";
import {Deployment, IIntegrity, Plan, Status, Verdict} from "../src/interfaces/IIntegrity.sol";
import {IQuorum} from "../src/interfaces/IQuorum.sol";
import {Host, IRegistry, ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {Stake} from "../src/interfaces/IStaking.sol";
import {Absences} from "../src/libraries/Absences.sol";
import {Certificates} from "../src/libraries/Certificates.sol";
import {Proven, Vote, VoteKind} from "../src/types/Votes.sol";
import {IntegrityFixture} from "./integrity/IntegrityFixture.sol";
import {Owned} from "./quorum/QuorumFixture.sol";
import {Test} from "forge-std/Test.sol";

/// Bit slices against one counter for each member.
contract AbsencesTest is Test {
    using Absences for Absences.Counts;

    Absences.Counts private _counts;

    function test_countsAreThoseOfPlainCounters(uint128[24] calldata masks) public {
        uint256[128] memory plain;
        for (uint256 i; i < masks.length; ++i) {
            // Some members are absent nearly always, so that carries run far.
            uint256 mask = uint256(masks[i]) | (i % 5 == 0 ? 0 : 0xff);
            _counts.add(mask);
            for (uint256 m; m < 128; ++m) {
                plain[m] += mask >> m & 1;
            }
        }
        for (uint256 m; m < 128; ++m) {
            assertEq(_counts.countOf(m), plain[m]);
        }
    }

    function test_carriesRunThroughAllSlices() public {
        for (uint256 k; k < 15; ++k) {
            _counts.words[k] = type(uint256).max;
        }
        _counts.add(type(uint128).max);
        assertEq(_counts.countOf(0), 1 << 30);
        assertEq(_counts.countOf(127), 1 << 30);
    }
}

/// A service that does not say who owns it.
contract HidesItsOwner {
    uint256 private immutable _way;

    constructor(uint256 way) {
        _way = way;
    }

    function owner() external view {
        uint256 way = _way;
        if (way == 0) revert("nobody");
        assembly ("memory-safe") {
            if eq(way, 1) { for {} 1 {} {} }
            if eq(way, 2) { revert(0, 0x10000) }
            // No address.
            mstore(0, not(0))
            return(0, 32)
        }
    }
}

contract IntegrityTest is IntegrityFixture {
    // Plans

    function test_setPlan() public {
        Plan memory plan = planOf(5 gwei, 0);
        vm.expectEmit();
        emit IIntegrity.PlanSet(service, plan);
        setPlan(plan);
        assertEq(abi.encode(integrity.planOf(service)), abi.encode(plan));
    }

    function test_setPlan_refusesStrangersAndUnknownServices() public {
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotServiceOwner.selector, service, address(this), OWNER));
        integrity.setPlan(service, planOf(0, 0));
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.UnknownService.selector, address(1)));
        integrity.setPlan(address(1), planOf(0, 0));
    }

    function test_setPlan_refusesNumbersOutOfRange() public {
        Plan memory plan = planOf(0, 0);
        uint24[2] memory epochs = [uint24(3), 86_401];
        for (uint256 i; i < 2; ++i) {
            plan.epoch = epochs[i];
            vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochOutOfRange.selector, epochs[i], 4, 86_400));
            setPlan(plan);
        }
        plan.epoch = 4;
        uint16[2] memory counts = [uint16(0), 1001];
        for (uint256 i; i < 2; ++i) {
            plan.unreachableAfter = counts[i];
            vm.expectRevert(abi.encodeWithSelector(IIntegrity.UnreachableAfterOutOfRange.selector, counts[i], 1, 1000));
            setPlan(plan);
        }
        plan.unreachableAfter = 1;
        uint96[2] memory rewards = [uint96(1 gwei + 1), uint96((1 << 48) * 1 gwei)];
        for (uint256 i; i < 2; ++i) {
            plan.reward = rewards[i];
            vm.expectRevert(
                abi.encodeWithSelector(
                    IIntegrity.AmountInvalid.selector, rewards[i], 1 gwei, uint256(type(uint48).max) * 1 gwei
                )
            );
            setPlan(plan);
        }
    }

    /// An upgrade is a new deployment.
    function test_setPlan_leavesDeploymentsAlone() public {
        Plan memory plan = planOf(9 gwei, 9 gwei);
        (plan.image, plan.epoch) = (keccak256("another"), 99);
        setPlan(plan);
        Deployment memory d = stateOf();
        assertEq(d.image, keccak256("image"));
        assertEq(d.epoch, EPOCH);
        assertEq(d.reward, REWARD);
        assertEq(integrity.deploymentOf(deployTo(host)).image, keccak256("another"));
    }

    // Deploying

    function test_deploy() public {
        uint256 expected = uint256(uint160(service)) << 96 | 2;
        vm.expectEmit();
        emit IIntegrity.DeploymentRequested(expected, service, host, set);
        assertEq(deployTo(host), expected);
        assertEq(integrity.deploymentCount(service), 2);
        Deployment memory d = integrity.deploymentOf(expected);
        assertEq(uint8(d.status), uint8(Status.REQUESTED));
        assertEq(d.host, host);
        assertEq(d.set, set);
        assertEq(d.requestedAt, vm.getBlockNumber());
        assertTrue(d.locked);
        assertEq(staking.stakeOf(service, host).locks, 2);
    }

    function test_deploy_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotServiceOwner.selector, service, address(this), OWNER));
        integrity.deploy(service, host);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotAHost.selector, service, operators[0]));
        deployTo(operators[0]);

        address other = addService(1);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NoPlan.selector, other));
        vm.prank(OWNER);
        integrity.deploy(other, host);
    }

    function test_deploy_refusesAnUnbondedHostThatIsSomebodyElses() public {
        address poor = addHost("poor", 0);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.HostNotBonded.selector, service, poor));
        deployTo(poor);
    }

    /// Who is leaving could be gone when it is found out.
    function test_deploy_refusesAHostThatIsLeaving() public {
        vm.prank(HOLDER);
        staking.leave(service, host);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.HostNotBonded.selector, service, host));
        deployTo(host);
    }

    function test_deploy_refusesAMonitorOfTheSetInForce() public {
        setHost(operators[1]);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.HostIsMember.selector, service, operators[1], set));
        deployTo(operators[1]);
        // Of the next one it is no member.
        set = fix();
        deployTo(operators[1]);
        assertEq(quorum.setOf(service, set).members, size() - 1);
    }

    function test_deploy_refusesAServiceWithoutASet() public {
        address other = addService(1);
        vm.startPrank(OWNER);
        integrity.setPlan(other, planOf(0, 0));
        vm.stopPrank();
        bond(other, host, BOND);
        vm.prank(HOLDER);
        registry.setHost(other, host, "unix:/var/run/docker.sock", 0);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NoSet.selector, other));
        vm.prank(OWNER);
        integrity.deploy(other, host);
    }

    // Hosts and sets' sizes

    function test_setHost_isForGood() public {
        setHost(operators[0]);
        vm.prank(HOLDER);
        registry.setHost(service, operators[0], "unix:/x", 0);
        Host memory found = registry.hostOf(service, operators[0]);
        assertEq(found.endpoint, "unix:/x");
        assertEq(found.hostKey, bytes32(0));
        assertEq(registry.hostCount(service), 2);
        address[] memory hosts = registry.hostsOf(service, 0, 10);
        assertEq(hosts[0], host);
        assertEq(hosts[1], operators[0]);
        set = fix();
        address[] memory members = quorum.operatorsOf(service, set);
        for (uint256 i; i < members.length; ++i) {
            assertTrue(members[i] != operators[0] && members[i] != host);
        }
    }

    function test_setHost_refusals() public {
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.NotOperatorOwner.selector, operators[0], address(this), HOLDER)
        );
        registry.setHost(service, operators[0], "unix:/x", 0);
        vm.startPrank(HOLDER);
        vm.expectRevert(IRegistry.EmptyEndpoint.selector);
        registry.setHost(service, operators[0], "", 0);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.EndpointTooLong.selector, 257, 256));
        registry.setHost(service, operators[0], string(new bytes(257)), 0);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.UnknownService.selector, address(7)));
        registry.setHost(address(7), operators[0], "unix:/x", 0);
    }

    function test_setSize() public {
        assertEq(quorum.sizeOf(service), 128);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NotServiceOwner.selector, service, address(this), OWNER));
        quorum.setSize(service, 3);
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.SizeOutOfRange.selector, 129, 128));
        quorum.setSize(service, 129);
        quorum.setSize(service, 3);
        vm.stopPrank();
        assertEq(quorum.sizeOf(service), 3);
        set = fix();
        assertEq(quorum.setOf(service, set).members, 3);
        vm.prank(OWNER);
        quorum.setSize(service, 0);
        assertEq(quorum.setOf(service, fix()).members, size());
    }

    // Baseline

    function test_baseline() public {
        vm.expectEmit();
        emit IIntegrity.BaselineRecorded(deployment, ROOT, set, everybody());
        run();
        Deployment memory d = stateOf();
        assertEq(uint8(d.status), uint8(Status.RUNNING));
        assertEq(d.baseline, ROOT);
        assertEq(d.start, vm.getBlockTimestamp());
        assertEq(d.quorum, 6667);
        assertEq(d.expiry, quorum.setOf(service, set).time + LEAVE_DELAY / 2);
    }

    function test_baseline_onlyOnce() public {
        run();
        bytes memory signature = sign(baselineRootOf(deployment, ROOT), everybody());
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.RUNNING));
        integrity.baseline(deployment, ROOT, set, 15, signature);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment + 1, Status.NONE));
        integrity.baseline(deployment + 1, ROOT, set, 15, signature);
    }

    function test_baseline_refusesLessThanAQuorum() public {
        bytes memory signature = sign(baselineRootOf(deployment, ROOT), 3);
        vm.expectRevert(
            abi.encodeWithSelector(IIntegrity.QuorumNotReached.selector, 2 * BOND / 1e9, 4 * BOND / 1e9, 6667)
        );
        integrity.baseline(deployment, ROOT, set, 3, signature);
    }

    /// A verdict's value is no measurement root, and a root no verdict, since their epochs differ.
    function test_baseline_isNoVerdict() public {
        bytes32 root = rootOf(deployment, 1, Verdict.INTACT, 0);
        bytes memory signature = sign(root, everybody());
        vm.expectRevert();
        integrity.baseline(deployment, bytes32(uint256(1)), set, 15, signature);
        vm.expectRevert(IIntegrity.RootZero.selector);
        integrity.baseline(deployment, 0, set, 15, signature);
    }

    // Reports

    function test_report_intact() public {
        run();
        endOf(1);
        vm.expectEmit();
        emit IIntegrity.EpochRecorded(deployment, 1, Verdict.INTACT, uint32(set), uint128(everybody()), true);
        report(1, Verdict.INTACT, everybody());
        Deployment memory d = stateOf();
        assertEq(d.lastEpoch, 1);
        assertEq(d.paid, 1);
        assertEq(d.intact, 1);
        uint256 share = REWARD / 1 gwei / size() * 1 gwei;
        assertEq(d.escrow, FUNDS - share * size() - HOST_REWARD);
        assertEq(integrity.uncollectedOf(deployment, set, 0), share);
        assertEq(integrity.uncollectedOfHost(deployment), HOST_REWARD);
    }

    function test_report_rootIsThatOfTheBook() public view {
        for (uint8 v = 1; v <= 3; ++v) {
            bytes32 evidence = evidenceOf(Verdict(v));
            assertEq(integrity.rootOf(deployment, 9, Verdict(v), evidence), rootOf(deployment, 9, Verdict(v), evidence));
        }
        assertEq(integrity.subjectOf(deployment, 9), keccak256(abi.encode(address(integrity), deployment, 9)));
    }

    function test_report_absentGetNothing() public {
        run();
        record(1, Verdict.INTACT, 7);
        record(2, Verdict.INTACT, 14);
        record(3, Verdict.UNREACHABLE, 15);
        uint256 share = REWARD / 1 gwei / size() * 1 gwei;
        assertEq(integrity.uncollectedOf(deployment, set, 0), 2 * share);
        assertEq(integrity.uncollectedOf(deployment, set, 1), 3 * share);
        assertEq(integrity.uncollectedOf(deployment, set, 3), 2 * share);
        assertEq(integrity.absencesOf(deployment, set, 3), 1);
        // Nothing to the host for the last one.
        assertEq(integrity.uncollectedOfHost(deployment), 2 * HOST_REWARD);
        assertEq(stateOf().escrow, FUNDS - 10 * share - 2 * HOST_REWARD);
    }

    function test_report_inAscendingOrderOnly() public {
        run();
        record(5, Verdict.INTACT, everybody());
        for (uint32 e = 1; e <= 5; ++e) {
            bytes memory signature = sign(rootOf(deployment, e, Verdict.INTACT, 0), everybody());
            vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochRecordedAlready.selector, deployment, e, 5));
            integrity.report(deployment, e, Verdict.INTACT, 0, set, 15, signature);
        }
        record(6, Verdict.INTACT, everybody());
        assertEq(stateOf().paid, 2);
    }

    function test_report_notBeforeTheEpochsEnd(uint32 epoch) public {
        run();
        uint256 end = start + uint256(epoch == 0 ? 1 : epoch) * EPOCH;
        epoch = epoch == 0 ? 1 : epoch;
        vm.warp(end - 1);
        bytes memory signature = sign(rootOf(deployment, epoch, Verdict.INTACT, 0), everybody());
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochNotOver.selector, deployment, epoch, end));
        integrity.report(deployment, epoch, Verdict.INTACT, 0, set, 15, signature);
    }

    function test_report_driftFromTheEpochsBeginningOn() public {
        run();
        bytes32 root = rootOf(deployment, 3, Verdict.DRIFTED, EVIDENCE);
        bytes memory signature = sign(root, everybody());
        vm.warp(start + 2 * EPOCH - 1);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochNotBegun.selector, deployment, 3, start + 2 * EPOCH));
        integrity.report(deployment, 3, Verdict.DRIFTED, EVIDENCE, set, 15, signature);
        vm.warp(start + 2 * EPOCH);
        vm.expectEmit();
        emit IIntegrity.DriftRecorded(deployment, 3, EVIDENCE, REPORTER);
        report(3, Verdict.DRIFTED, everybody());
        Deployment memory d = stateOf();
        assertEq(uint8(d.status), uint8(Status.DRIFTED));
        assertEq(d.evidence, EVIDENCE);
        assertEq(d.reporter, REPORTER);
        assertEq(d.paid, 1);
        assertEq(d.intact, 0);
    }

    /// It is found out late, but it is found out: not paid again, since that epoch was.
    function test_report_driftAfterALaterIntactEpoch() public {
        run();
        record(4, Verdict.INTACT, everybody());
        report(2, Verdict.DRIFTED, everybody());
        assertStatus(Status.DRIFTED);
        Deployment memory d = stateOf();
        assertEq(d.lastEpoch, 4);
        assertEq(d.paid, 1);
    }

    function test_report_driftIsForGood() public {
        run();
        record(1, Verdict.DRIFTED, everybody());
        endOf(2);
        bytes memory signature = sign(rootOf(deployment, 2, Verdict.INTACT, 0), everybody());
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.DRIFTED));
        integrity.report(deployment, 2, Verdict.INTACT, 0, set, 15, signature);
    }

    function test_report_unreachableInARowEndsIt() public {
        run();
        record(1, Verdict.UNREACHABLE, everybody());
        record(2, Verdict.UNREACHABLE, everybody());
        assertEq(stateOf().unreachable, 2);
        record(3, Verdict.INTACT, everybody());
        assertEq(stateOf().unreachable, 0);
        record(4, Verdict.UNREACHABLE, everybody());
        record(5, Verdict.UNREACHABLE, everybody());
        assertStatus(Status.RUNNING);
        vm.expectEmit();
        emit IIntegrity.Ended(deployment, Status.UNREACHABLE);
        record(6, Verdict.UNREACHABLE, everybody());
        assertStatus(Status.UNREACHABLE);
        assertEq(staking.stakeOf(service, host).locks, 0);
        assertEq(staking.stakeOf(service, host).bond, BOND);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.UNREACHABLE));
        integrity.punish(deployment);
    }

    function test_report_withoutEnoughEscrowIsRecordedAndNotPaid() public {
        uint256 id = deployTo(host);
        fund(id, REWARD + HOST_REWARD - 1 gwei);
        run(id);
        endOf(3);
        report(id, 1, Verdict.INTACT, 7);
        Deployment memory d = integrity.deploymentOf(id);
        assertEq(d.lastEpoch, 1);
        assertEq(d.paid, 0);
        assertEq(d.intact, 0);
        assertEq(d.escrow, REWARD + HOST_REWARD - 1 gwei);
        assertEq(integrity.absencesOf(id, set, 3), 0);
        // It suffices where the host gets nothing.
        report(id, 2, Verdict.UNREACHABLE, everybody());
        assertEq(integrity.deploymentOf(id).paid, 1);
        fund(id, REWARD + HOST_REWARD);
        report(id, 3, Verdict.INTACT, everybody());
        assertEq(integrity.deploymentOf(id).paid, 2);
    }

    function test_report_verdictsAndEvidenceFit() public {
        run();
        endOf(1);
        bytes memory signature = new bytes(128);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongVerdict.selector, Verdict.NONE));
        integrity.report(deployment, 1, Verdict.NONE, 0, set, 15, signature);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EvidenceMismatch.selector, Verdict.DRIFTED, bytes32(0)));
        integrity.report(deployment, 1, Verdict.DRIFTED, 0, set, 15, signature);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EvidenceMismatch.selector, Verdict.INTACT, EVIDENCE));
        integrity.report(deployment, 1, Verdict.INTACT, EVIDENCE, set, 15, signature);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochRecordedAlready.selector, deployment, 0, 0));
        integrity.report(deployment, 0, Verdict.INTACT, 0, set, 15, signature);
    }

    // Attacks

    function refused(uint256 id, uint32 epoch, Verdict verdict, bytes32 evidence, uint64 set_, bytes memory signature)
        private
    {
        vm.expectRevert();
        integrity.report(id, epoch, verdict, evidence, set_, 15, signature);
    }

    /// What is signed of one thing counts for no other.
    function test_attack_certificatesOfSomethingElse() public {
        uint256 second = deployTo(host);
        fund(second, FUNDS);
        run();
        run(second);
        vm.warp(start + 10 * EPOCH);
        bytes memory signature = sign(rootOf(deployment, 4, Verdict.INTACT, 0), 15);
        refused(second, 4, Verdict.INTACT, 0, set, signature);
        refused(deployment, 5, Verdict.INTACT, 0, set, signature);
        refused(deployment, 4, Verdict.UNREACHABLE, 0, set, signature);
        refused(deployment, 4, Verdict.DRIFTED, EVIDENCE, set, signature);
        // Another finding than the one signed.
        bytes memory drift = sign(rootOf(deployment, 4, Verdict.DRIFTED, EVIDENCE), 15);
        refused(deployment, 4, Verdict.DRIFTED, keccak256("another"), set, drift);
        // Another contract of the same kind.
        Integrity twin = new Integrity(staking, quorum, records, terms);
        assertTrue(twin.rootOf(deployment, 4, Verdict.INTACT, 0) != rootOf(deployment, 4, Verdict.INTACT, 0));
        // It is good for what it says.
        integrity.report(deployment, 4, Verdict.INTACT, 0, set, 15, signature);
        refused(deployment, 4, Verdict.INTACT, 0, set, signature);
    }

    /// After a division of the chain, what is signed on one side counts for nothing on the other.
    function test_attack_certificatesOfAnotherChain() public {
        run();
        endOf(1);
        bytes memory signature = sign(rootOf(deployment, 1, Verdict.INTACT, 0), 15);
        vm.chainId(999);
        refused(deployment, 1, Verdict.INTACT, 0, set, signature);
        signature = sign(rootOf(deployment, 1, Verdict.INTACT, 0), 15);
        integrity.report(deployment, 1, Verdict.INTACT, 0, set, 15, signature);
    }

    function test_digestIsThatOfQuorum(address service_, uint64 set_, bytes32 root) public view {
        bytes32 domain = Certificates.domainOf(address(quorum));
        assertEq(Certificates.digestOf(domain, service_, set_, root), quorum.digestOf(service_, set_, root));
        assertEq(quorum.digestOf(service_, set_, root), digestOf(service_, set_, root));
    }

    /// An old set's members may be gone, with their bonds.
    function test_attack_oldSets() public {
        uint64 old = set;
        set = fix();
        run();
        endOf(1);
        bytes memory signature = sign(old, rootOf(deployment, 1, Verdict.INTACT, 0), 15);
        uint256 until = quorum.setOf(service, old).time + LEAVE_DELAY / 2;
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.SetTooOld.selector, deployment, old, set, until));
        integrity.report(deployment, 1, Verdict.INTACT, 0, old, 15, signature);
        // The set in use, too, once it is too old.
        until = quorum.setOf(service, set).time + LEAVE_DELAY / 2;
        vm.warp(until + 1);
        signature = sign(rootOf(deployment, 1, Verdict.INTACT, 0), 15);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.SetTooOld.selector, deployment, set, set, until));
        integrity.report(deployment, 1, Verdict.INTACT, 0, set, 15, signature);
        vm.expectRevert();
        integrity.report(deployment, 1, Verdict.INTACT, 0, set + 1, 15, signature);
        set = fix();
        report(1, Verdict.INTACT, everybody());
    }

    /// What was earned in a set stays its members', when another one signs.
    function test_setsChange() public {
        run();
        record(1, Verdict.INTACT, 7);
        record(2, Verdict.INTACT, 15);
        uint64 first = set;
        addMember();
        set = fix();
        record(3, Verdict.INTACT, everybody());
        uint256 share = REWARD / 1 gwei / 4 * 1 gwei;
        assertEq(integrity.paidIn(deployment, first), 2);
        assertEq(integrity.uncollectedOf(deployment, first, 0), 2 * share);
        assertEq(integrity.uncollectedOf(deployment, first, 3), share);
        assertEq(integrity.uncollectedOf(deployment, set, 4), REWARD / 1 gwei / 5 * 1 gwei);
        assertEq(integrity.paidIn(deployment, set), 1);
        integrity.collect(deployment, first, 0);
        assertEq(integrity.creditOf(HOLDER), 2 * share);
    }

    /// The quorum is that of the set which signs.
    function test_setsChangeWithTheirQuorum() public {
        run();
        vm.prank(OWNER);
        terms.setTerms(service, 10_000);
        record(1, Verdict.INTACT, 7);
        set = fix();
        endOf(2);
        bytes memory signature = sign(rootOf(deployment, 2, Verdict.INTACT, 0), 7);
        vm.expectRevert(
            abi.encodeWithSelector(IIntegrity.QuorumNotReached.selector, 3 * BOND / 1e9, 4 * BOND / 1e9, 10_000)
        );
        integrity.report(deployment, 2, Verdict.INTACT, 0, set, 7, signature);
        report(2, Verdict.INTACT, 15);
    }

    function test_attack_signersBeyondTheSet() public {
        run();
        endOf(1);
        bytes memory signature = sign(rootOf(deployment, 1, Verdict.INTACT, 0), 15);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.SignersOutOfRange.selector, 31, 4));
        integrity.report(deployment, 1, Verdict.INTACT, 0, set, 31, signature);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NoSigners.selector));
        integrity.report(deployment, 1, Verdict.INTACT, 0, set, 0, signature);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.BadSignatureLength.selector, 127, 128));
        integrity.report(deployment, 1, Verdict.INTACT, 0, set, 15, new bytes(127));
    }

    /// A host that leaves stays answerable: its bond is locked.
    function test_attack_hostLeaves() public {
        run();
        vm.startPrank(HOLDER);
        staking.leave(service, host);
        vm.warp(vm.getBlockTimestamp() + LEAVE_DELAY);
        vm.expectRevert();
        staking.withdrawBond(service, host);
        vm.stopPrank();
        set = fix();
        report(1, Verdict.DRIFTED, everybody());
        integrity.punish(deployment);
        assertEq(staking.stakeOf(service, host).bond, 0);
    }

    /// It retires as soon as it is seen: what was changed before is recorded all the same.
    function test_attack_hostRetiresBeforeDriftIsRecorded() public {
        run();
        record(1, Verdict.INTACT, everybody());
        vm.prank(HOLDER);
        integrity.retire(deployment);
        assertStatus(Status.RETIRING);
        // Seen in the epoch after, too.
        vm.warp(vm.getBlockTimestamp() + EPOCH);
        report(2, Verdict.DRIFTED, everybody());
        assertStatus(Status.DRIFTED);
        integrity.punish(deployment);
        assertEq(staking.stakeOf(service, host).bond, 0);
    }

    function test_retiring_nothingLaterCounts() public {
        run();
        record(1, Verdict.INTACT, everybody());
        vm.warp(vm.getBlockTimestamp() + EPOCH / 2);
        vm.prank(OWNER);
        integrity.retire(deployment);
        uint256 at = vm.getBlockTimestamp();
        endOf(5);
        bytes memory signature = sign(rootOf(deployment, 2, Verdict.INTACT, 0), 15);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochAfterRetirement.selector, deployment, 2, at));
        integrity.report(deployment, 2, Verdict.INTACT, 0, set, 15, signature);
        signature = sign(rootOf(deployment, 4, Verdict.DRIFTED, EVIDENCE), 15);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.EpochAfterRetirement.selector, deployment, 4, at));
        integrity.report(deployment, 4, Verdict.DRIFTED, EVIDENCE, set, 15, signature);
    }

    /// An owner cannot keep what the monitors have measured for.
    function test_attack_ownerRetiresWhileOwing() public {
        run();
        endOf(3);
        vm.prank(OWNER);
        integrity.retire(deployment);
        uint256 from = vm.getBlockTimestamp() + 10 minutes + 4 * EPOCH;
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotYet.selector, deployment, from));
        integrity.settle(deployment);
        for (uint32 e = 1; e <= 3; ++e) {
            report(e, Verdict.INTACT, everybody());
        }
        assertEq(stateOf().paid, 3);
        vm.warp(from);
        uint256 left = stateOf().escrow;
        integrity.settle(deployment);
        assertStatus(Status.RETIRED);
        assertEq(integrity.creditOf(OWNER), left);
        assertEq(staking.stakeOf(service, host).locks, 0);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToSettle.selector, deployment));
        integrity.settle(deployment);
        // What was earned can still be collected.
        integrity.collect(deployment, set, 1);
        integrity.collectHost(deployment);
    }

    function test_retire_atOnceWithoutABaseline() public {
        vm.prank(HOLDER);
        integrity.retire(deployment);
        assertStatus(Status.RETIRED);
        assertEq(integrity.creditOf(OWNER), FUNDS);
        assertEq(staking.stakeOf(service, host).locks, 0);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.RETIRED));
        vm.prank(OWNER);
        integrity.retire(deployment);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.RETIRED));
        integrity.fund(deployment, 1 gwei);
    }

    /// A service is its owner's code: whatever it does when it is asked who owns it, the host gets its bond back, and what
    /// is left waits for an owner.
    function test_P7_aServiceThatHidesItsOwnerKeepsNoBond() public {
        bytes memory code = service.code;
        uint256 second = deployTo(host);
        run();
        for (uint256 way; way < 4; ++way) {
            vm.etch(service, address(new HidesItsOwner(way)).code);
            uint256 snapshot = vm.snapshotState();
            vm.prank(HOLDER);
            integrity.retire(second);
            vm.prank(HOLDER);
            integrity.retire(deployment);
            vm.warp(vm.getBlockTimestamp() + integrity.graceOf(deployment));
            integrity.settle{gas: 1_000_000}(deployment);
            assertStatus(Status.RETIRED);
            assertEq(staking.stakeOf(service, host).locks, 0);
            vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToSettle.selector, deployment));
            integrity.settle(deployment);
            vm.etch(service, code);
            integrity.settle(deployment);
            assertEq(integrity.creditOf(OWNER), FUNDS);
            assertEq(stateOf().escrow, 0);
            vm.revertToState(snapshot);
        }
    }

    /// Nor does it keep a drifted host's bond locked for ever: who recorded the drift stands in for the victim.
    function test_P7_aServiceThatHidesItsOwnerStopsNoPunishment() public {
        run();
        record(1, Verdict.DRIFTED, everybody());
        vm.etch(service, address(new HidesItsOwner(0)).code);
        integrity.punish(deployment);
        assertEq(staking.stakeOf(service, host).bond, 0);
        assertEq(staking.creditOf(REPORTER), uint256(BOND) * 65 / 100);
    }

    function test_retire_refusesStrangers() public {
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotOwnerNorHost.selector, deployment, address(this)));
        integrity.retire(deployment);
    }

    // Punishing

    function test_punish() public {
        run();
        record(1, Verdict.DRIFTED, everybody());
        vm.prank(makeAddr("caller"));
        vm.expectEmit();
        emit IIntegrity.Punished(deployment, host, BOND);
        integrity.punish(deployment);
        Stake memory stake = staking.stakeOf(service, host);
        assertEq(stake.bond, 0);
        assertEq(stake.locks, 0);
        // Nobody won: what winners would get is the victim's.
        assertEq(staking.creditOf(OWNER), uint256(BOND) * 60 / 100);
        assertEq(staking.creditOf(REPORTER), uint256(BOND) * 5 / 100);
        assertEq(records.recordOf(service, host).incidents, 1);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToPunish.selector, deployment));
        integrity.punish(deployment);
    }

    function test_punish_onlyTheDrifted() public {
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.REQUESTED));
        integrity.punish(deployment);
        run();
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.WrongStatus.selector, deployment, Status.RUNNING));
        integrity.punish(deployment);
    }

    /// A host of two deployments that was slashed for one has nothing left for the other.
    function test_punish_hostSlashedBefore() public {
        uint256 second = deployTo(host);
        run();
        run(second);
        endOf(1);
        report(deployment, 1, Verdict.DRIFTED, everybody());
        report(second, 1, Verdict.DRIFTED, everybody());
        integrity.punish(deployment);
        vm.expectEmit();
        emit IIntegrity.Punished(second, host, 0);
        integrity.punish(second);
        assertEq(staking.stakeOf(service, host).locks, 0);
    }

    function test_settle_afterDriftGivesTheRestBack() public {
        run();
        record(1, Verdict.DRIFTED, everybody());
        uint256 left = stateOf().escrow;
        integrity.settle(deployment);
        assertEq(integrity.creditOf(OWNER), left);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToSettle.selector, deployment));
        integrity.settle(deployment);
        assertStatus(Status.DRIFTED);
        vm.prank(OWNER);
        integrity.withdraw();
        assertEq(token.balanceOf(OWNER), left);
    }

    // Money

    function test_collectOnceAndWithdraw() public {
        run();
        record(1, Verdict.INTACT, everybody());
        record(2, Verdict.INTACT, everybody());
        uint256 share = REWARD / 1 gwei / 4 * 1 gwei;
        vm.expectEmit();
        emit IIntegrity.Earned(deployment, quorum.memberOf(service, set, 2).operator, 2 * share);
        integrity.collect(deployment, set, 2);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToCollect.selector, deployment));
        integrity.collect(deployment, set, 2);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NotAMember.selector, deployment, set, 4));
        integrity.collect(deployment, set, 4);
        integrity.collectHost(deployment);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToCollect.selector, deployment));
        integrity.collectHost(deployment);
        assertEq(integrity.creditOf(HOLDER), 2 * share + 2 * uint256(HOST_REWARD));
        vm.prank(HOLDER);
        integrity.withdraw();
        assertEq(token.balanceOf(HOLDER), 2 * share + 2 * uint256(HOST_REWARD));
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToWithdraw.selector, HOLDER));
        vm.prank(HOLDER);
        integrity.withdraw();
    }

    function test_fund_refusals() public {
        vm.startPrank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IIntegrity.AmountInvalid.selector, 1, 1 gwei, uint256(type(uint64).max) * 1 gwei)
        );
        integrity.fund(deployment, 1);
        vm.expectRevert();
        integrity.fund(deployment, 1 gwei);
        vm.stopPrank();
        token.mint(PAYER, uint256(type(uint64).max) * 1 gwei);
        vm.expectRevert(
            abi.encodeWithSelector(
                IIntegrity.EscrowTooLarge.selector,
                FUNDS + uint256(type(uint64).max) * 1 gwei,
                uint256(type(uint64).max) * 1 gwei
            )
        );
        vm.prank(PAYER);
        integrity.fund(deployment, uint256(type(uint64).max) * 1 gwei);
    }

    // Quotes

    function test_registerQuote() public {
        bytes memory envelope = "a quote";
        vm.expectEmit();
        emit IIntegrity.QuoteRegistered(operators[0], keccak256(envelope), envelope);
        vm.prank(HOLDER);
        integrity.registerQuote(operators[0], envelope);
        assertEq(integrity.quoteOf(operators[0]), keccak256(envelope));
        vm.prank(HOLDER);
        integrity.registerQuote(operators[0], "");
        assertEq(integrity.quoteOf(operators[0]), 0);
        vm.expectRevert(
            abi.encodeWithSelector(IIntegrity.NotOperatorOwner.selector, operators[0], address(this), HOLDER)
        );
        integrity.registerQuote(operators[0], envelope);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.QuoteTooLong.selector, 24_577, 24_576));
        vm.prank(HOLDER);
        integrity.registerQuote(operators[0], new bytes(24_577));
    }

    // Monitors that lie

    function ballotOf(uint32 epoch, Verdict verdict, uint256 signers) private view returns (Proven memory) {
        bytes32 subject = integrity.subjectOf(deployment, epoch);
        Vote memory vote = Vote(VoteKind.MEASUREMENT, subject, bytes32(uint256(verdict)));
        bytes32 root = rootOf(deployment, epoch, verdict, evidenceOf(verdict));
        bytes32[] memory proof = new bytes32[](verdict == Verdict.DRIFTED ? 1 : 0);
        if (proof.length == 1) {
            bytes32 about = keccak256(abi.encode(subject, EVIDENCE));
            proof[0] = keccak256(abi.encode(uint8(5), about, uint256(1)));
        }
        return Proven(certify(set, root, signers), vote, proof);
    }

    /// Who signs against the quorum loses its bond; who is absent does not.
    function test_aLyingMonitorIsSlashed() public {
        run();
        record(1, Verdict.DRIFTED, 14);
        Proven memory lie = ballotOf(1, Verdict.INTACT, 1);
        Proven memory truth = ballotOf(1, Verdict.DRIFTED, 14);
        bytes32 id = faults.reportMinority(lie, truth);
        vm.warp(vm.getBlockTimestamp() + REPORT_WINDOW);
        faults.punish(id);
        address liar = quorum.memberOf(service, set, 0).operator;
        assertEq(staking.stakeOf(service, liar).bond, 0);
        assertEq(staking.stakeOf(service, quorum.memberOf(service, set, 1).operator).bond, BOND);
    }

    function test_twoVerdictsOfOneMonitorAreADoubleVote() public {
        run();
        faults.reportDouble(ballotOf(1, Verdict.INTACT, 2), ballotOf(1, Verdict.DRIFTED, 2));
    }

    /// Several findings of one epoch are no contradiction; a finding has no minority.
    function test_findingsConvictNobody() public {
        bytes32 about = keccak256("about");
        Vote memory one = Vote(VoteKind.FINDING, about, bytes32(uint256(1)));
        Vote memory other = Vote(VoteKind.FINDING, about, bytes32(uint256(2)));
        Proven memory first = Proven(certify(set, leafOf(one), 1), one, new bytes32[](0));
        Proven memory second = Proven(certify(set, leafOf(other), 15), other, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(IFaults.KindHasNoQuorum.selector, 5));
        faults.reportDouble(first, second);
        vm.expectRevert(abi.encodeWithSelector(IFaults.KindHasNoQuorum.selector, 5));
        faults.reportMinority(first, second);
    }
}

/// One monitor alone.
contract IntegrityAloneTest is IntegrityFixture {
    function size() internal pure override returns (uint256) {
        return 1;
    }

    function test_oneMonitorIsAQuorum() public {
        run();
        record(1, Verdict.INTACT, 1);
        assertEq(integrity.uncollectedOf(deployment, set, 0), REWARD);
    }
}

/// The host is the service's owner's own and has no bond.
contract IntegrityOwnHostTest is IntegrityFixture {
    function test_ownHostNeedsNoBond() public {
        // Operators here belong to HOLDER; a service of HOLDER's.
        address own = address(new Owned(HOLDER));
        vm.startPrank(HOLDER);
        registry.registerService(own, 0, new bytes4[](0), new bytes32[](0), ServiceParameters(1, 1, address(0)));
        vm.stopPrank();
        address unbonded = addOperator("own host");
        bond(own, operators[0], BOND);
        vm.roll(vm.getBlockNumber() + SET_PERIOD);
        uint64 only = quorum.fix(own);
        vm.startPrank(HOLDER);
        registry.setHost(own, unbonded, "unix:/var/run/docker.sock", 0);
        integrity.setPlan(own, planOf(0, 0));
        uint256 id = integrity.deploy(own, unbonded);
        vm.stopPrank();
        assertFalse(integrity.deploymentOf(id).locked);
        service = own;
        set = only;
        run(id);
        endOf(1);
        report(id, 1, Verdict.DRIFTED, 1);
        vm.expectRevert(abi.encodeWithSelector(IIntegrity.NothingToPunish.selector, id));
        integrity.punish(id);
    }
}
