// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry, ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {DisputeFixture, ToyService} from "./dispute/DisputeFixture.sol";

contract RegistryTest is DisputeFixture {
    ToyService private other;
    bytes4[] private selectors;
    bytes32[] private programs;
    ServiceParameters private parameters = ServiceParameters(5, 6, address(7));

    function setUp() public override {
        super.setUp();
        other = new ToyService(OWNER, disputes);
        selectors.push(0x01020304);
        selectors.push(0x05060708);
        programs.push(keccak256("a"));
        programs.push(keccak256("b"));
    }

    function register() private {
        vm.prank(OWNER);
        registry.registerService(address(other), keccak256("m"), selectors, programs, parameters);
    }

    function test_registerService() public {
        vm.expectEmit(address(registry));
        emit IRegistry.ServiceRegistered(address(other), OWNER, keccak256("m"), parameters);
        vm.expectEmit(address(registry));
        emit IRegistry.ProgramSet(address(other), 0x01020304, keccak256("a"));
        vm.expectEmit(address(registry));
        emit IRegistry.ProgramSet(address(other), 0x05060708, keccak256("b"));
        register();
        (bool registered, bytes32 manifest, ServiceParameters memory p) = registry.serviceOf(address(other));
        assertTrue(registered);
        assertEq(manifest, keccak256("m"));
        assertEq(keccak256(abi.encode(p)), keccak256(abi.encode(parameters)));
        assertEq(registry.programOf(address(other), 0x05060708), keccak256("b"));
        assertEq(registry.programOf(address(other), 0x00000000), 0);
        assertEq(registry.serviceCount(), 2);
        address[] memory page = registry.services(0, 10);
        assertEq(page.length, 2);
        assertEq(page[0], address(service));
        assertEq(page[1], address(other));
        assertEq(registry.services(1, 1)[0], address(other));
        assertEq(registry.services(2, 1).length, 0);
        assertEq(registry.services(0, type(uint256).max).length, 2);
        assertEq(registry.services(type(uint256).max, type(uint256).max).length, 0);
    }

    function test_registerService_refusals() public {
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.NotServiceOwner.selector, address(other), address(this), OWNER)
        );
        registry.registerService(address(other), 0, selectors, programs, parameters);
        programs.pop();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.LengthMismatch.selector, 2, 1));
        register();
        selectors.pop();
        register();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ServiceExists.selector, address(other)));
        register();
    }

    function test_setManifestAndProgram() public {
        register();
        vm.startPrank(OWNER);
        vm.expectEmit(address(registry));
        emit IRegistry.ManifestSet(address(other), keccak256("n"));
        registry.setManifest(address(other), keccak256("n"));
        vm.expectEmit(address(registry));
        emit IRegistry.ProgramSet(address(other), 0x01020304, 0);
        registry.setProgram(address(other), 0x01020304, 0);
        vm.stopPrank();
        (, bytes32 manifest,) = registry.serviceOf(address(other));
        assertEq(manifest, keccak256("n"));
        assertEq(registry.programOf(address(other), 0x01020304), 0);
    }

    function test_setManifestAndProgram_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.UnknownService.selector, address(other)));
        registry.setManifest(address(other), 0);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.UnknownService.selector, address(other)));
        registry.setProgram(address(other), 0, 0);
        register();
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.NotServiceOwner.selector, address(other), address(this), OWNER)
        );
        registry.setManifest(address(other), 0);
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.NotServiceOwner.selector, address(other), address(this), OWNER)
        );
        registry.setProgram(address(other), 0, 0);
    }

    /// A request that no dispute could be about could be answered wrongly for nothing.
    function test_registerService_refusesBudgetAboveADisputes() public {
        ToyService costly = new ToyService(OWNER, disputes);
        ServiceParameters memory large = ServiceParameters(0, (1 << 45) + 1, address(0));
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BudgetTooLarge.selector, large.maxBudget, uint64(1 << 45)));
        registry.registerService(address(costly), 0, new bytes4[](0), new bytes32[](0), large);
        large.maxBudget = 1 << 45;
        registry.registerService(address(costly), 0, new bytes4[](0), new bytes32[](0), large);
        vm.stopPrank();
    }

    function test_registerOperator() public {
        (address operator, uint256 key) = makeAddrAndKey("new operator");
        bytes memory proof = proofOf(key, operator, OWNER, "http://x");
        vm.expectEmit(address(registry));
        emit IRegistry.OperatorRegistered(operator, OWNER, "http://x");
        vm.prank(OWNER);
        registry.registerOperator(operator, "http://x", proof);
        (address owner, string memory endpoint) = registry.operatorOf(operator);
        assertEq(owner, OWNER);
        assertEq(endpoint, "http://x");
        assertEq(registry.ownerOf(operator), OWNER);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.OperatorExists.selector, operator));
        vm.prank(OWNER);
        registry.registerOperator(operator, "http://x", proof);

        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotOperatorOwner.selector, operator, address(this), OWNER));
        registry.setEndpoint(operator, "http://y");
        vm.startPrank(OWNER);
        vm.expectEmit(address(registry));
        emit IRegistry.EndpointSet(operator, "http://y");
        registry.setEndpoint(operator, "http://y");
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.EndpointTooLong.selector, 257, 256));
        registry.setEndpoint(operator, long);
        registry.setEndpoint(operator, string(new bytes(256)));
        vm.stopPrank();
    }

    /// A proof is for one owner and one endpoint: nobody can register another's key.
    function test_registerOperator_refusals() public {
        (address operator, uint256 key) = makeAddrAndKey("new operator");
        bytes memory proof = proofOf(key, operator, OWNER, "http://x");
        vm.expectPartialRevert(IRegistry.WrongProof.selector);
        registry.registerOperator(operator, "http://x", proof);
        vm.expectPartialRevert(IRegistry.WrongProof.selector);
        vm.prank(OWNER);
        registry.registerOperator(operator, "http://y", proof);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.WrongProof.selector, operator, address(0)));
        vm.prank(OWNER);
        registry.registerOperator(operator, "http://x", "");
        vm.expectRevert(IRegistry.ZeroOperator.selector);
        registry.registerOperator(address(0), "http://x", "");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.EndpointTooLong.selector, 257, 256));
        registry.registerOperator(operator, string(new bytes(257)), "");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.UnknownOperator.selector, operator));
        registry.setEndpoint(operator, "http://x");
    }

    function testFuzz_chainIdIsBelow2To53(address anyService) public view {
        uint64 id = registry.chainIdOf(anyService);
        bytes32 hash = keccak256(abi.encode("surety.service", block.chainid, anyService));
        assertEq(id, (uint256(hash) % 2 ** 48) | 2 ** 47);
        assertLt(id, 2 ** 48);
        assertGe(id, 2 ** 47);
    }
}
