// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Faults} from "../../src/Faults.sol";
import {Integrity} from "../../src/Integrity.sol";
import {Quorum} from "../../src/Quorum.sol";
import {Records} from "../../src/Records.sol";
import {Registry} from "../../src/Registry.sol";
import {Staking} from "../../src/Staking.sol";
import {Tasks} from "../../src/Tasks.sol";
import {DevToken} from "../../src/dev/DevToken.sol";
import {Deployment, Plan, Status, Verdict} from "../../src/interfaces/IIntegrity.sol";
import {ITerms} from "../../src/interfaces/ITerms.sol";
import {QuorumFixture} from "../quorum/QuorumFixture.sol";

/// `Integrity`, a service with a plan and monitors, and a host.
abstract contract IntegrityFixture is QuorumFixture {
    uint64 internal constant REPORT_WINDOW = 1 hours;
    uint24 internal constant EPOCH = 12;
    uint16 internal constant UNREACHABLE_AFTER = 3;
    /// Does not divide evenly into parts.
    uint96 internal constant REWARD = 1 ether + 7 gwei;
    uint96 internal constant HOST_REWARD = 2 ether + 1 gwei;
    uint256 internal constant FUNDS = 10_000 ether;
    bytes32 internal constant ROOT = keccak256("measurement");
    bytes32 internal constant EVIDENCE = keccak256("finding");

    address internal immutable REPORTER = makeAddr("reporter");
    address internal immutable PAYER = makeAddr("payer");

    Integrity internal integrity;
    Faults internal faults;
    Tasks internal tasks;
    ITerms internal terms;
    address internal host;
    uint64 internal set;
    uint256 internal deployment;
    uint256 internal start;

    /// How many monitors `service` has.
    function size() internal view virtual returns (uint256) {
        return 4;
    }

    function setUp() public virtual override {
        deployContracts();
        addMembers(size());
        host = addHost("host", BOND);
        set = fix();
        setPlan(planOf(REWARD, HOST_REWARD));
        deployment = deployTo(host);
        fund(deployment, FUNDS);
    }

    function deployContracts() internal {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        token = new DevToken();
        registry = new Registry();
        uint256 nonce = vm.getNonce(address(this));
        address[] memory slashers = new address[](2);
        slashers[0] = vm.computeCreateAddress(address(this), nonce + 4);
        slashers[1] = vm.computeCreateAddress(address(this), nonce + 5);
        staking = new Staking(registry, address(token), LEAVE_DELAY, slashers);
        address[] memory writers = new address[](4);
        writers[0] = vm.computeCreateAddress(address(this), nonce + 2);
        writers[1] = vm.computeCreateAddress(address(this), nonce + 3);
        (writers[2], writers[3]) = (slashers[0], slashers[1]);
        records = new Records(writers);
        quorum = new Quorum(registry, staking, records, SET_PERIOD);
        tasks = new Tasks(registry, quorum, records, address(token));
        faults = new Faults(staking, quorum, records, tasks, REPORT_WINDOW);
        terms = tasks.terms();
        integrity = new Integrity(staking, quorum, records, terms);
        service = addService(1);
        vm.prank(HOLDER);
        token.approve(address(staking), type(uint256).max);
        vm.prank(PAYER);
        token.approve(address(integrity), type(uint256).max);
    }

    // Service and host

    function planOf(uint96 reward, uint96 hostReward) internal pure returns (Plan memory) {
        return Plan(keccak256("image"), keccak256("specification"), EPOCH, UNREACHABLE_AFTER, reward, hostReward);
    }

    function setPlan(Plan memory plan) internal {
        vm.prank(OWNER);
        integrity.setPlan(service, plan);
    }

    /// An operator that hosts; bonded, if not with 0.
    function addHost(string memory name, uint256 amount) internal returns (address operator) {
        operator = addOperator(name);
        if (amount != 0) bond(service, operator, amount);
        setHost(operator);
    }

    function setHost(address operator) internal {
        vm.prank(HOLDER);
        registry.setHost(service, operator, "ssh://surety@host.example:22", keccak256("host key"));
    }

    function deployTo(address host_) internal returns (uint256) {
        vm.prank(OWNER);
        return integrity.deploy(service, host_);
    }

    function fund(uint256 id, uint256 amount) internal {
        token.mint(PAYER, amount);
        vm.prank(PAYER);
        integrity.fund(id, amount);
    }

    // Votes

    function everybody() internal view returns (uint256) {
        return (1 << quorum.setOf(service, set).members) - 1;
    }

    function sign(bytes32 root, uint256 signers) internal view returns (bytes memory) {
        return sign(set, root, signers);
    }

    function sign(uint64 set_, bytes32 root, uint256 signers) internal view returns (bytes memory) {
        return certify(set_, root, signers).signature;
    }

    /// By the book.
    function rootOf(uint256 id, uint256 epoch, Verdict verdict, bytes32 evidence) internal view returns (bytes32) {
        bytes32 subject = keccak256(abi.encode(address(integrity), id, epoch));
        bytes32 leaf = keccak256(abi.encode(uint8(4), subject, uint256(verdict)));
        if (verdict != Verdict.DRIFTED) return leaf;
        bytes32 finding = keccak256(abi.encode(uint8(5), keccak256(abi.encode(subject, evidence)), uint256(1)));
        return leaf < finding ? keccak256(abi.encode(leaf, finding)) : keccak256(abi.encode(finding, leaf));
    }

    function baselineRootOf(uint256 id, bytes32 root) internal view returns (bytes32) {
        return keccak256(abi.encode(uint8(4), keccak256(abi.encode(address(integrity), id, 0)), root));
    }

    function run() internal {
        run(deployment);
    }

    /// Records the baseline.
    function run(uint256 id) internal {
        integrity.baseline(id, ROOT, set, everybody(), sign(baselineRootOf(id, ROOT), everybody()));
        start = vm.getBlockTimestamp();
    }

    /// To the end of an epoch.
    function endOf(uint256 epoch) internal {
        uint256 end = start + epoch * EPOCH;
        if (vm.getBlockTimestamp() < end) vm.warp(end);
    }

    function evidenceOf(Verdict verdict) internal pure returns (bytes32) {
        return verdict == Verdict.DRIFTED ? EVIDENCE : bytes32(0);
    }

    function report(uint32 epoch, Verdict verdict, uint256 signers) internal {
        report(deployment, epoch, verdict, signers);
    }

    function report(uint256 id, uint32 epoch, Verdict verdict, uint256 signers) internal {
        bytes32 evidence = evidenceOf(verdict);
        bytes memory signature = sign(rootOf(id, epoch, verdict, evidence), signers);
        vm.prank(REPORTER);
        integrity.report(id, epoch, verdict, evidence, set, signers, signature);
    }

    function record(uint32 epoch, Verdict verdict, uint256 signers) internal {
        endOf(epoch);
        report(epoch, verdict, signers);
    }

    function stateOf() internal view returns (Deployment memory) {
        return integrity.deploymentOf(deployment);
    }

    function assertStatus(Status expected) internal view {
        assertEq(uint8(stateOf().status), uint8(expected), "status");
    }
}
