// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {IService, Outcome} from "../src/interfaces/IService.sol";
import {Results} from "../src/libraries/Results.sol";
import {Explorer} from "../src/services/Explorer.sol";
import {PlainService} from "../src/services/PlainService.sol";
import {Signed, Statement} from "../src/types/Statement.sol";
import {DisputeFixture, ToyService} from "./dispute/DisputeFixture.sol";

contract ServiceTest is DisputeFixture {
    address private user = makeAddr("user");
    bytes private input = abi.encodeCall(ToyService.add, (2, 3));
    bytes private output = abi.encode(uint256(5), "a longer output");
    bytes32 private id;
    Statement private s;

    function setUp() public override {
        super.setUp();
        id = keccak256(abi.encode(block.chainid, address(service), uint256(0)));
        s = Statement(address(service), PROGRAM, keccak256(input), MAX_BUDGET);
    }

    function request() private {
        vm.prank(user);
        (bool success, bytes memory data) = address(service).call(input);
        assertTrue(success);
        assertEq(data.length, 0);
    }

    function fold(bytes calldata data, bytes calldata chunks) external pure returns (bytes32) {
        return Results.fold(data, chunks);
    }

    function response(address operator, Outcome memory outcome) private view returns (Signed memory signed) {
        bytes32 root = this.fold(outcome.output, outcome.chunks);
        signed.request = id;
        signed.requester = user;
        signed.result = keccak256(abi.encodePacked(outcome.status, outcome.exit, root));
        (signed.r, signed.vs) = vm.signCompact(keys[operator], digestOf(s, signed));
    }

    function test_request_isEmitted() public {
        vm.expectEmit(address(service));
        emit IService.Request(id, user, ToyService.add.selector, PROGRAM, input, MAX_BUDGET);
        request();
        assertEq(service.requestCount(), 1);
        // The same call again is another request.
        vm.expectEmit(address(service));
        emit IService.Request(
            keccak256(abi.encode(block.chainid, address(service), uint256(1))),
            user,
            ToyService.add.selector,
            PROGRAM,
            input,
            MAX_BUDGET
        );
        request();
    }

    function test_request_needsProgram() public {
        vm.expectRevert(abi.encodeWithSelector(IService.NoProgram.selector, ToyService.unserved.selector));
        service.unserved();
    }

    /// A contract that calls the method as if it were computed here fails, rather than read a zero.
    function test_request_givesNoAnswerOnChain() public {
        vm.expectRevert();
        this.callAdd();
    }

    function callAdd() external returns (uint256) {
        return service.add(2, 3);
    }

    function test_respond_isEmittedOncePerOperator() public {
        request();
        Outcome memory outcome = Outcome(1, 0, output, "");
        Signed memory signed = response(operators[0], outcome);
        vm.expectEmit(address(service));
        emit IService.Responded(id, operators[0], signed.result, 1, 0, output);
        service.respond(s, signed, outcome);
        assertTrue(service.responded(id, operators[0]));
        vm.expectRevert(abi.encodeWithSelector(IService.AlreadyResponded.selector, id, operators[0]));
        service.respond(s, signed, outcome);
        service.respond(s, response(operators[1], outcome), outcome);
    }

    function test_respond_refusals() public {
        Outcome memory outcome = Outcome(1, 0, output, "");
        Signed memory signed = response(operators[0], outcome);
        vm.expectRevert(abi.encodeWithSelector(IService.UnknownRequest.selector, id));
        service.respond(s, signed, outcome);
        request();

        // Another statement, or another requester, than the request's.
        s.budget = 1;
        vm.expectRevert(abi.encodeWithSelector(IService.UnknownRequest.selector, id));
        service.respond(s, signed, outcome);
        s.budget = MAX_BUDGET;
        signed.requester = OPENER;
        vm.expectRevert(abi.encodeWithSelector(IService.UnknownRequest.selector, id));
        service.respond(s, signed, outcome);
        signed.requester = user;

        // Another output than was signed.
        outcome.exit = 1;
        vm.expectPartialRevert(IService.WrongResult.selector);
        service.respond(s, signed, outcome);
        outcome.exit = 0;
        outcome.output = abi.encode(uint256(6));
        vm.expectPartialRevert(IService.WrongResult.selector);
        service.respond(s, signed, outcome);
        outcome.output = output;

        bytes32 r = signed.r;
        signed.r = 0;
        vm.expectRevert(IDisputes.InvalidSignature.selector);
        service.respond(s, signed, outcome);
        signed.r = r;

        vm.prank(owners[0]);
        staking.leave(address(service), operators[0]);
        vm.expectRevert(abi.encodeWithSelector(IService.NotBonded.selector, operators[0]));
        service.respond(s, signed, outcome);
    }

    function test_respond_withGivenChunks() public {
        request();
        bytes memory data = hex"0102030405";
        Outcome memory outcome = Outcome(2, 8, data, hex"0203");
        bytes32 root = keccak256(bytes.concat(keccak256(bytes.concat(bytes32(0), hex"0102")), hex"030405"));
        assertEq(this.fold(data, hex"0203"), root);
        service.respond(s, response(operators[0], outcome), outcome);
    }

    function test_fold_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IService.WrongChunks.selector, 4, 5));
        this.fold(hex"0102030405", hex"0202");
        vm.expectRevert(abi.encodeWithSelector(IService.WrongChunks.selector, 6, 5));
        this.fold(hex"0102030405", hex"0204");
        vm.expectRevert(abi.encodeWithSelector(IService.WrongChunks.selector, 0, 5));
        this.fold(hex"0102030405", hex"0005");
        vm.expectRevert(abi.encodeWithSelector(IService.WrongChunks.selector, 33, 40));
        this.fold(new bytes(40), hex"2107");
    }

    function testFuzz_fold_canonicalIsChunksOf32(bytes calldata data) public view {
        bytes memory chunks = new bytes((data.length + 31) / 32);
        for (uint256 i; i < chunks.length; ++i) {
            uint256 left = data.length - 32 * i;
            chunks[i] = bytes1(uint8(left < 32 ? left : 32));
        }
        assertEq(this.fold(data, ""), this.fold(data, chunks));
        if (data.length == 0) assertEq(this.fold(data, ""), 0);
    }

    function test_explorer_hasItsMethods() public {
        Explorer explorer = new Explorer(OWNER, disputes);
        assertEq(explorer.owner(), OWNER);
        assertEq(address(explorer.registry()), address(registry));
        assertEq(Explorer.balanceOf.selector, bytes4(keccak256("balanceOf(bytes32,address)")));
        assertEq(Explorer.receipt.selector, bytes4(keccak256("receipt(bytes32,uint256)")));
        vm.expectRevert(abi.encodeWithSelector(IService.NoProgram.selector, Explorer.receipt.selector));
        explorer.receipt(0, 0);
    }

    function test_plainService_hasTheRegisteredMethods() public {
        PlainService plain = new PlainService(OWNER, disputes);
        bytes4[] memory selectors = new bytes4[](1);
        bytes32[] memory programs = new bytes32[](1);
        (selectors[0], programs[0]) = (0x01020304, PROGRAM);
        vm.prank(OWNER);
        registry.registerService(address(plain), 0, selectors, programs, ServiceParameters(1, MAX_BUDGET, address(0)));
        bytes memory data = hex"01020304aa";
        vm.expectEmit(address(plain));
        emit IService.Request(
            keccak256(abi.encode(block.chainid, address(plain), uint256(0))),
            user,
            0x01020304,
            PROGRAM,
            data,
            MAX_BUDGET
        );
        vm.prank(user);
        (bool success, bytes memory answer) = address(plain).call(data);
        assertTrue(success);
        assertEq(answer.length, 0);
        (success, answer) = address(plain).call(hex"01020305");
        assertFalse(success);
        assertEq(answer, abi.encodeWithSelector(IService.NoProgram.selector, bytes4(0x01020305)));
        // No plain transfer of ether is a request.
        vm.deal(user, 1);
        vm.prank(user);
        (success,) = address(plain).call{value: 1}(data);
        assertFalse(success);
    }
}
