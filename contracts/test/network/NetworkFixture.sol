// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Faults} from "../../src/Faults.sol";
import {Quorum} from "../../src/Quorum.sol";
import {Records} from "../../src/Records.sol";
import {Registry} from "../../src/Registry.sol";
import {Staking} from "../../src/Staking.sol";
import {Tasks} from "../../src/Tasks.sol";
import {DevToken} from "../../src/dev/DevToken.sol";
import {Run, Settlement, Step, Trigger} from "../../src/interfaces/ITasks.sol";
import {ITerms, Price} from "../../src/interfaces/ITerms.sol";
import {Certificate, Proven, Vote, VoteKind} from "../../src/types/Votes.sol";
import {QuorumFixture} from "../quorum/QuorumFixture.sol";

/// The network's contracts, a service with members, an application with a deposit, and what it takes to vote.
abstract contract NetworkFixture is QuorumFixture {
    uint64 internal constant REPORT_WINDOW = 1 hours;
    uint256 internal constant DEPOSIT = 1_000_000 ether;
    /// Does not divide evenly into parts.
    uint96 internal constant FEE = 1 ether + 7;
    uint96 internal constant MOST = 100 ether;
    uint32 internal constant WINDOW = 60;
    bytes32 internal constant EVENT_NAME = keccak256("block");
    bytes32 internal constant TASK = keccak256("write");
    bytes32 internal constant VALID = bytes32(uint256(1));
    bytes32 internal constant INVALID = bytes32(uint256(2));

    address internal immutable APP = makeAddr("application");
    address internal immutable REPORTER = makeAddr("reporter");
    address internal immutable CALLER = makeAddr("caller");

    Tasks internal tasks;
    Faults internal faults;
    ITerms internal terms;
    /// The set in force.
    uint64 internal set;

    /// How many members `service` has.
    function size() internal view virtual returns (uint256) {
        return 4;
    }

    function setUp() public virtual override {
        deploy();
        for (uint256 i; i < size(); ++i) {
            addMember();
        }
        set = fix();
        price(Price(10 ether + 3, 1 ether + 1, 0.1 ether + 1));
        fund(APP, DEPOSIT);
        vm.roll(block.number + 1);
    }

    function deploy() internal {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        token = new DevToken();
        registry = new Registry();
        uint256 nonce = vm.getNonce(address(this));
        address[] memory slashers = new address[](1);
        slashers[0] = vm.computeCreateAddress(address(this), nonce + 4);
        staking = new Staking(registry, address(token), LEAVE_DELAY, slashers);
        address[] memory writers = new address[](3);
        writers[0] = vm.computeCreateAddress(address(this), nonce + 2);
        writers[1] = vm.computeCreateAddress(address(this), nonce + 3);
        writers[2] = slashers[0];
        records = new Records(writers);
        quorum = new Quorum(registry, staking, records, SET_PERIOD);
        tasks = new Tasks(registry, quorum, records, address(token));
        faults = new Faults(staking, quorum, records, tasks, REPORT_WINDOW);
        terms = tasks.terms();
        service = addService(1);
        vm.prank(HOLDER);
        token.approve(address(staking), type(uint256).max);
    }

    // Applications

    function price(Price memory p) internal {
        vm.prank(OWNER);
        terms.setPrice(service, TASK, p);
    }

    function fund(address application, uint256 amount) internal {
        token.mint(application, amount);
        vm.startPrank(application);
        token.approve(address(tasks), amount);
        tasks.deposit(amount);
        vm.stopPrank();
    }

    function stepOf(uint8 validators) internal view returns (Step memory) {
        return Step(service, TASK, validators, WINDOW, MOST, 0);
    }

    function flowOf(Step[] memory steps) internal returns (uint256 flow) {
        vm.prank(APP);
        return tasks.createFlow("{}", Trigger(service, EVENT_NAME, FEE), steps);
    }

    /// A flow of one step.
    function flowOf(uint8 validators) internal returns (uint256 flow) {
        Step[] memory steps = new Step[](1);
        steps[0] = stepOf(validators);
        return flowOf(steps);
    }

    // Votes

    function everybody() internal view returns (uint256) {
        return (1 << quorum.setOf(service, set).members) - 1;
    }

    /// A ballot or certificate of one vote.
    function voted(VoteKind kind, bytes32 subject, bytes32 value, uint256 signers)
        internal
        view
        returns (Proven memory)
    {
        return voted(set, Vote(kind, subject, value), signers);
    }

    function voted(uint64 set_, Vote memory vote, uint256 signers) internal view returns (Proven memory) {
        return Proven(certify(set_, leafOf(vote), signers), vote, new bytes32[](0));
    }

    function keyOf(bytes32 id) internal view returns (bytes32) {
        return keccak256(abi.encode(service, EVENT_NAME, id));
    }

    function seen(bytes32 id, uint256 signers) internal view returns (Proven memory) {
        return voted(VoteKind.EVENT, keyOf(id), keccak256(abi.encode("data", id)), signers);
    }

    // Runs

    /// The block after the one the run was recorded in, with the randomness that `pin` finds in it.
    function nextBlock(bytes32 mix) internal returns (bytes memory header) {
        // Read by cheatcodes: the optimizer takes the block's number and time for constant.
        uint256 number = vm.getBlockNumber() + 1;
        header = headerOf(number, mix);
        vm.roll(number + 1);
        vm.warp(vm.getBlockTimestamp() + 24);
        vm.setBlockhash(number, keccak256(header));
    }

    /// A header as Prague has them, in RLP: 21 fields.
    function headerOf(uint256 number, bytes32 mix) internal pure returns (bytes memory) {
        bytes memory first = bytes.concat(
            word(keccak256("parent")),
            word(keccak256("ommers")),
            hex"94",
            bytes20(keccak256("beneficiary")),
            word(keccak256("state")),
            word(keccak256("transactions")),
            word(keccak256("receipts")),
            hex"b90100",
            new bytes(256)
        );
        bytes memory middle = bytes.concat(
            hex"80", // difficulty
            hex"83",
            bytes3(uint24(number)),
            hex"84",
            bytes4(uint32(30_000_000)),
            hex"80", // gas used
            hex"84",
            bytes4(uint32(1_800_000_000)),
            hex"86737572657479" // extra data
        );
        bytes memory last = bytes.concat(word(mix), hex"88", new bytes(8), hex"07");
        last = bytes.concat(last, word(keccak256("withdrawals")), hex"8080", word(0), word(keccak256("requests")));
        bytes memory fields = bytes.concat(first, middle, last);
        return bytes.concat(hex"f9", bytes2(uint16(fields.length)), fields);
    }

    function word(bytes32 value) private pure returns (bytes memory) {
        return bytes.concat(hex"a0", value);
    }

    /// The members drawn for a step, in order of rank.
    function drawn(bytes32 run, uint8 step, bytes32 mix, uint8 ranks) internal view returns (uint8[] memory) {
        return quorum.select(service, set, keccak256(abi.encode(run, step, mix)), type(uint256).max, ranks);
    }

    function resultOf(Settlement memory s) internal pure returns (bytes32) {
        bytes32 task = keccak256(abi.encode(s.run, s.step));
        return keccak256(abi.encode(task, s.attempt, s.inputs, s.output, s.secondsSpent, s.size));
    }

    /// A settlement of 3 seconds and 1,500 bytes, without votes.
    function workOn(bytes32 run, uint8 step, uint8 attempt, bytes memory header)
        internal
        pure
        returns (Settlement memory s)
    {
        (s.run, s.step, s.attempt, s.header) = (run, step, attempt, header);
        (s.inputs, s.output) = (keccak256("inputs"), keccak256("output"));
        (s.secondsSpent, s.size) = (3, 1500);
    }

    /// What `workOn` costs: three seconds, two kilobytes.
    uint256 internal constant BILL = (10 ether + 3) + 3 * (1 ether + 1) + 2 * (0.1 ether + 1);

    function validatedBy(Settlement memory s, uint256 signers) internal view returns (Settlement memory) {
        s.votes = voted(VoteKind.VALIDATION, resultOf(s), VALID, signers);
        return s;
    }

    function executedBy(Settlement memory s, uint256 signers) internal view returns (Settlement memory) {
        bytes32 subject = keccak256(abi.encode(keccak256(abi.encode(s.run, s.step)), s.attempt));
        s.votes = voted(VoteKind.RESULT, subject, resultOf(s), signers);
        return s;
    }

    /// The members of a committee, as a mask.
    function maskOf(uint8[] memory ranked, uint256 from, uint256 to) internal pure returns (uint256 mask) {
        for (uint256 i = from; i < to; ++i) {
            mask |= 1 << ranked[i];
        }
    }

    /// The event's first run, of a flow of one step with so many validators, and its block.
    function begin(uint8 validators) internal returns (bytes32 run, bytes memory header, bytes32 mix) {
        uint256 flow = flowOf(validators);
        run = tasks.start(flow, "id", seen("id", everybody()));
        mix = keccak256("mix");
        header = nextBlock(mix);
    }

    // What must hold

    /// Deposits of the applications, what their open runs hold, what all members earned, and what was burnt.
    function assertConserved(address[] memory applications, bytes32[] memory runs, uint64 sets) internal view {
        uint256 sum = tasks.burnt();
        for (uint256 i; i < applications.length; ++i) {
            sum += tasks.depositOf(applications[i]);
        }
        for (uint256 i; i < runs.length; ++i) {
            sum += tasks.runOf(runs[i]).reserved;
        }
        for (uint256 i; i < operators.length; ++i) {
            sum += tasks.earnedOf(service, operators[i]);
        }
        for (uint64 s = 1; s <= sets; ++s) {
            uint8 members = quorum.setOf(service, s).members;
            for (uint8 i; i < members; ++i) {
                sum += tasks.uncollectedOf(service, s, i);
            }
        }
        assertEq(sum, token.balanceOf(address(tasks)), "P7");
    }

    function assertConserved(bytes32 run) internal view {
        address[] memory applications = new address[](1);
        bytes32[] memory runs = new bytes32[](1);
        (applications[0], runs[0]) = (APP, run);
        assertConserved(applications, runs, set);
    }
}
