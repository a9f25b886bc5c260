// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Disputes} from "../../src/Disputes.sol";
import {Registry} from "../../src/Registry.sol";
import {Service} from "../../src/Service.sol";
import {Staking} from "../../src/Staking.sol";
import {DevToken} from "../../src/dev/DevToken.sol";
import {IDisputes} from "../../src/interfaces/IDisputes.sol";
import {IMachine} from "../../src/interfaces/IMachine.sol";
import {ServiceParameters} from "../../src/interfaces/IRegistry.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {IVerdict} from "../../src/interfaces/IVerdict.sol";
import {ClaimDetail, Signed, Statement} from "../../src/types/Statement.sol";
import {CounterMachine} from "./CounterMachine.sol";
import {Belief, Trace} from "./Trace.sol";
import {Test} from "forge-std/Test.sol";

contract ToyService is Service {
    constructor(address owner_, IDisputes disputes_) Service(owner_, disputes_) {}

    function add(uint256 a, uint256 b) external request returns (uint256 sum) {}

    function unserved() external request {}
}

/// A proof system for the counter machine: the proof is the budget, in words.
contract ToyVerdict is IVerdict {
    error NotProven();

    function decide(Statement calldata statement, bytes calldata proof) external pure returns (bytes32) {
        if (abi.decode(proof, (uint64)) != statement.budget) revert NotProven();
        return Trace.rightResult(statement);
    }
}

/// One match as its players see it: everything the chain's events tell.
struct History {
    /// M_0, M_1, ...
    bytes32[] heads;
    /// digit chosen by each move; the first move's is 0
    uint256[] digits;
    bytes32[31][] points;
}

/// The contracts, eight bonded operators, and what it takes to play.
abstract contract DisputeFixture is Test {
    uint32 internal constant CLOCK = 3600;
    uint32 internal constant JOIN_WINDOW = 600;
    uint64 internal constant LEAVE_DELAY = 7 * (2 * 3600 + 600) + 600 + 1;
    uint96 internal constant MIN_BOND = 1000 ether;
    /// Does not divide evenly into shares.
    uint256 internal constant BOND = 1000 ether + 10_007;
    uint64 internal constant MAX_BUDGET = 30_000_000_000;
    bytes32 internal constant PROGRAM = keccak256("program");

    address internal immutable REQUESTER = makeAddr("requester");
    address internal immutable OPENER = makeAddr("opener");
    address internal immutable SETTLER = makeAddr("settler");
    address internal immutable OWNER = makeAddr("service owner");

    DevToken internal token;
    Registry internal registry;
    Staking internal staking;
    Disputes internal disputes;
    IMachine internal machine;
    ToyService internal service;
    ToyVerdict internal verdict;

    address[] internal operators;
    address[] internal owners;
    mapping(address operator => uint256) internal keys;

    mapping(bytes32 dispute => History) private _histories;
    /// Who opens and whose disputes `idOf` names; OPENER unless a test says otherwise.
    address internal opener;
    /// The dispute that is being played.
    bytes32 internal playing;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        opener = OPENER;
        token = new DevToken();
        registry = new Registry();
        machine = new CounterMachine();
        address[] memory modules = new address[](1);
        modules[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        staking = new Staking(registry, address(token), LEAVE_DELAY, modules);
        disputes = new Disputes(staking, machine, CLOCK, JOIN_WINDOW);
        service = new ToyService(OWNER, disputes);
        verdict = new ToyVerdict();

        bytes4[] memory selectors = new bytes4[](1);
        bytes32[] memory programs = new bytes32[](1);
        (selectors[0], programs[0]) = (ToyService.add.selector, PROGRAM);
        vm.prank(OWNER);
        registry.registerService(
            address(service),
            keccak256("manifest"),
            selectors,
            programs,
            ServiceParameters(MIN_BOND, MAX_BUDGET, address(verdict))
        );
        for (uint256 i; i < 9; ++i) {
            addOperator(string.concat("operator ", vm.toString(i)));
        }
    }

    function addOperator(string memory name) internal returns (address operator) {
        uint256 key;
        (operator, key) = makeAddrAndKey(name);
        keys[operator] = key;
        operators.push(operator);
        address owner = makeAddr(string.concat(name, "'s owner"));
        owners.push(owner);
        bytes memory proof = proofOf(key, operator, owner, "http://localhost");
        vm.startPrank(owner);
        registry.registerOperator(operator, "http://localhost", proof);
        token.mint(owner, BOND);
        token.approve(address(staking), type(uint256).max);
        staking.deposit(address(service), operator, BOND);
        vm.stopPrank();
    }

    function proofOf(uint256 key, address operator, address owner, string memory endpoint)
        internal
        view
        returns (bytes memory)
    {
        bytes32 domain = domainOf(address(registry));
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Operator(address key,address owner,string endpoint)"),
                operator,
                owner,
                keccak256(bytes(endpoint))
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        return abi.encodePacked(r, s, v);
    }

    /// The EIP-712 domain, spelled out.
    function domainOf(address verifyingContract) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Surety"),
                keccak256("1"),
                block.chainid,
                verifyingContract
            )
        );
    }

    // Evidence

    function statementOf(uint64 budget) internal view returns (Statement memory) {
        return Statement(address(service), PROGRAM, keccak256("input"), budget);
    }

    function sign(Statement memory s, address operator, bytes32 result) internal view returns (Signed memory signed) {
        (signed.request, signed.requester, signed.result) = (keccak256("request"), REQUESTER, result);
        (signed.r, signed.vs) = vm.signCompact(keys[operator], digestOf(s, signed));
    }

    function digestOf(Statement memory s, Signed memory response) internal view returns (bytes32) {
        bytes32 hash = keccak256(
            abi.encode(
                keccak256(
                    "Response(address service,bytes32 program,bytes32 input,uint64 budget,bytes32 request,address requester,bytes32 result)"
                ),
                s.service,
                s.program,
                s.input,
                s.budget,
                response.request,
                response.requester,
                response.result
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domainOf(address(disputes)), hash));
    }

    function detail(address operator, bytes32 result) internal view returns (ClaimDetail memory) {
        return ClaimDetail(operator, keccak256("request"), REQUESTER, result);
    }

    /// Opens a dispute between operators 0, 1, ... with these results.
    function open(Statement memory s, bytes32[] memory results)
        internal
        returns (bytes32 dispute, ClaimDetail[] memory claims)
    {
        Signed[] memory responses = new Signed[](results.length);
        claims = new ClaimDetail[](results.length);
        for (uint256 i; i < results.length; ++i) {
            responses[i] = sign(s, operators[i], results[i]);
            claims[i] = detail(operators[i], results[i]);
        }
        vm.prank(opener);
        dispute = disputes.open(s, responses);
    }

    /// Adds operator `index`'s claim; returns all details.
    function join(Statement memory s, ClaimDetail[] memory claims, uint256 index, bytes32 result)
        internal
        returns (ClaimDetail[] memory all)
    {
        disputes.join(s, sign(s, operators[index], result), opener, claims);
        all = new ClaimDetail[](claims.length + 1);
        for (uint256 i; i < claims.length; ++i) {
            all[i] = claims[i];
        }
        all[claims.length] = detail(operators[index], result);
    }

    function settle(Statement memory s, ClaimDetail[] memory claims) internal {
        vm.warp(uint256(disputes.get(idOf(s)).joinUntil) + 1);
        vm.prank(SETTLER);
        disputes.settle(s, opener, claims);
    }

    function idOf(Statement memory s) internal view returns (bytes32) {
        return idOf(s, opener);
    }

    function idOf(Statement memory s, address who) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(s)), who));
    }

    // Playing

    function history() internal view returns (History storage) {
        return _histories[playing];
    }

    /// Forgets the dispute's last match and starts writing down the running one.
    function begin(bytes32 dispute) internal {
        playing = dispute;
        delete _histories[dispute];
        history().heads.push(disputes.get(dispute).head);
    }

    function mover(IDisputes.View memory v) internal pure returns (uint8) {
        return v.moves % 2 == 0 ? v.a : v.b;
    }

    /// The honest strategy: the first point the opponent asserts that differs from what one believes, or the last
    /// segment.
    function chooseSegment(Statement memory s, Belief memory belief) internal view returns (uint256) {
        uint256 moves = history().points.length;
        if (moves == 0) return 0;
        bytes32[31] memory own = Trace.pointsOf(s, belief, prefix(), distanceOf(s, moves));
        for (uint256 i; i < 31; ++i) {
            if (own[i] != history().points[moves - 1][i]) return i;
        }
        return 31;
    }

    /// Digits chosen so far, as a number.
    function prefix() internal view returns (uint256 digits) {
        for (uint256 i; i < history().digits.length; ++i) {
            digits = digits * 32 + history().digits[i];
        }
    }

    /// Distance between the points of dissection j.
    function distanceOf(Statement memory s, uint256 j) internal pure returns (uint256) {
        return 32 ** (Trace.levelsOf(s.budget) - j);
    }

    function dissect(Statement memory s, address operator, uint256 segment, bytes32[31] memory points) internal {
        bytes32 head = history().heads[history().heads.length - 1];
        vm.prank(operator);
        disputes.dissect(idOf(s), head, segment, points);
        record(segment, points);
    }

    /// Writes a move down, with the head by the plain definition.
    function record(uint256 segment, bytes32[31] memory points) internal {
        bytes32 head = history().heads[history().heads.length - 1];
        history().digits.push(segment);
        history().points.push(points);
        history().heads.push(keccak256(bytes.concat(head, bytes1(uint8(segment)), Trace.rootOf(points))));
    }

    /// Dissects `segment` as one believes.
    function dissectAs(Statement memory s, address operator, Belief memory belief, uint256 segment) internal {
        uint256 chosen = prefix() * 32 + segment;
        uint256 distance = distanceOf(s, history().points.length + 1);
        dissect(s, operator, segment, Trace.pointsOf(s, belief, chosen, distance));
    }

    /// Proves `segment`; true values wherever the position allows it.
    function stepAs(Statement memory s, address operator, ClaimDetail[] memory claims, uint256 segment) internal {
        (bytes memory openings, bytes memory witness) = stepArguments(s, claims, segment);
        bytes32 head = history().heads[history().heads.length - 1];
        vm.prank(operator);
        disputes.step(s, opener, head, segment, openings, witness);
    }

    function stepArguments(Statement memory s, ClaimDetail[] memory claims, uint256 segment)
        internal
        view
        returns (bytes memory openings, bytes memory witness)
    {
        uint256 t = prefix() * 32 + segment;
        openings = openingsOf(s, claims, t);
        witness = t <= s.budget ? stateAt(s, t) : abi.encode(pointAt(s, t));
    }

    function stateAt(Statement memory s, uint256 t) internal pure returns (bytes memory) {
        return abi.encodePacked(s.program, bytes32(0), s.input, bytes32(0), uint64(t), new bytes(263 - 136));
    }

    /// The dissection that position x is a point of, and the point's number.
    function placeOf(Statement memory s, uint256 x) internal pure returns (uint256 j, uint256 number) {
        j = Trace.levelsOf(s.budget);
        while (x % 32 == 0) {
            x /= 32;
            --j;
        }
        number = x % 32;
    }

    function pointAt(Statement memory s, uint256 x) internal view returns (bytes32) {
        (uint256 j, uint256 number) = placeOf(s, x);
        return history().points[j - 1][number - 1];
    }

    /// Openings for the transition at t, by the specification's four cases.
    function openingsOf(Statement memory s, ClaimDetail[] memory claims, uint256 t)
        internal
        view
        returns (bytes memory)
    {
        uint256 levels = Trace.levelsOf(s.budget);
        bytes32 before = history().heads[levels - 1];
        bytes32[31] memory last = history().points[levels - 1];
        if (t == 0) return bytes.concat(before, last[0], Trace.pathOf(last, 0));
        if (t + 1 == 32 ** levels) {
            bytes32 result = claims[disputes.get(idOf(s)).a].result;
            return bytes.concat(before, result, Trace.pathOf(last, 30), abi.encode(opener, claims));
        }
        (uint256 startIn, uint256 startNumber) = placeOf(s, t);
        (uint256 endIn, uint256 endNumber) = placeOf(s, t + 1);
        bytes32 end = pointAt(s, t + 1);
        if (startIn == endIn) return bytes.concat(before, end, Trace.pathOfPair(last, startNumber - 1));
        uint256 m = startIn < endIn ? startIn : endIn;
        bytes memory openings = abi.encodePacked(history().heads[m - 1]);
        for (uint256 i = m + 1; i < levels; ++i) {
            openings = bytes.concat(openings, Trace.rootOf(history().points[i - 1]));
        }
        return bytes.concat(
            openings,
            end,
            Trace.pathOf(history().points[startIn - 1], startNumber - 1),
            Trace.pathOf(history().points[endIn - 1], endNumber - 1)
        );
    }

    /// Plays the running match between two beliefs, each by the honest strategy, to the step, which is left to be
    /// made; returns who is to make it (its claim's index) and the segment.
    function playToStep(Statement memory s, Belief memory a, Belief memory b)
        internal
        returns (uint8 index, uint256 segment)
    {
        bytes32 dispute = idOf(s);
        begin(dispute);
        uint256 levels = Trace.levelsOf(s.budget);
        for (uint256 i; i < levels; ++i) {
            Belief memory belief = i % 2 == 0 ? a : b;
            index = mover(disputes.get(dispute));
            dissectAs(s, disputes.operatorAt(dispute, index), belief, chooseSegment(s, belief));
        }
        index = mover(disputes.get(dispute));
        segment = chooseSegment(s, levels % 2 == 0 ? a : b);
    }

    // Money

    /// Everything the staking contract owes.
    function owed() internal view returns (uint256 sum) {
        for (uint256 i; i < operators.length; ++i) {
            sum += staking.stakeOf(address(service), operators[i]).bond;
            sum += staking.stakeOf(address(service), operators[i]).reward;
            sum += staking.creditOf(operators[i]) + staking.creditOf(owners[i]);
        }
        sum += staking.creditOf(REQUESTER) + staking.creditOf(OPENER) + staking.creditOf(SETTLER);
        sum += staking.creditOf(address(this)) + staking.burnt();
    }

    function assertConserved() internal view {
        assertEq(owed(), token.balanceOf(address(staking)), "bonds + rewards + credits + burnt");
    }

    function bondOf(uint256 index) internal view returns (uint256) {
        return staking.stakeOf(address(service), operators[index]).bond;
    }

    function two(bytes32 x, bytes32 y) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](2);
        (list[0], list[1]) = (x, y);
    }

    function three(bytes32 x, bytes32 y, bytes32 z) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](3);
        (list[0], list[1], list[2]) = (x, y, z);
    }
}
