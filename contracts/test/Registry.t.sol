// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry, ServiceParameters} from "../src/interfaces/IRegistry.sol";
import {DisputeFixture, ToyService} from "./dispute/DisputeFixture.sol";
import {PlainBLS} from "./quorum/PlainBLS.sol";
import {QuorumFixture} from "./quorum/QuorumFixture.sol";

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

contract RegistryKeysTest is QuorumFixture {
    address private operator;
    bytes private key = PlainBLS.keyOf(7);
    bytes private proof;

    function setUp() public override {
        super.setUp();
        operator = addOperator("operator");
        proof = PlainBLS.sign(7, possessionOf(operator, key), POSSESSION_TAG);
    }

    function set(bytes memory key_, bytes memory proof_) private {
        vm.prank(HOLDER);
        registry.setKeys{gas: 5_000_000}(operator, key_, proof_, "encryption", "/dns4/example.org/tcp/1");
    }

    function assertRefused(bytes memory key_, bytes memory proof_) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.WrongPossession.selector, operator, possessionOf(operator, key_))
        );
        set(key_, proof_);
    }

    function test_setKeys() public {
        (bytes memory none, bytes32 zero, string memory nowhere) = registry.keysOf(operator);
        assertEq(none.length + bytes(nowhere).length, 0);
        assertEq(zero, 0);
        assertEq(registry.keysAt(operator), address(0));

        vm.expectEmit(address(registry));
        emit IRegistry.KeysSet(operator, key, "encryption", "/dns4/example.org/tcp/1");
        set(key, proof);
        (bytes memory blsKey, bytes32 encryptionKey, string memory peerAddress) = registry.keysOf(operator);
        assertEq(blsKey, key);
        assertEq(encryptionKey, "encryption");
        assertEq(peerAddress, "/dns4/example.org/tcp/1");
        assertEq(
            registry.keysAt(operator).code,
            abi.encodePacked(hex"00", PlainBLS.pack(key), bytes32("encryption"), "/dns4/example.org/tcp/1")
        );
        setKeys(operator, 8);
        (blsKey,, peerAddress) = registry.keysOf(operator);
        assertEq(blsKey, PlainBLS.keyOf(8));
        assertEq(peerAddress, "/ip4/127.0.0.1/tcp/9000");
    }

    function test_setKeys_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.UnknownOperator.selector, address(1)));
        registry.setKeys(address(1), key, proof, 0, "");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotOperatorOwner.selector, operator, address(this), HOLDER));
        registry.setKeys(operator, key, proof, 0, "");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadKeyLength.selector, 255, 256));
        set(new bytes(255), proof);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadProofLength.selector, 129, 128));
        set(key, new bytes(129));
        vm.expectRevert(IRegistry.ZeroKey.selector);
        set(new bytes(256), new bytes(128));
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.PeerAddressTooLong.selector, 257, 256));
        vm.prank(HOLDER);
        registry.setKeys(operator, key, proof, 0, long);
        vm.prank(HOLDER);
        registry.setKeys(operator, key, proof, 0, string(new bytes(256)));
    }

    /// Nobody can have another's key, the difference of others' keys, or a proof made for anything else.
    function test_P1_setKeys_possession() public {
        assertRefused(key, new bytes(128));
        assertRefused(key, PlainBLS.sign(8, possessionOf(operator, key), POSSESSION_TAG));
        assertRefused(key, PlainBLS.sign(7, possessionOf(operator, key), SIGNATURE_TAG));
        // Another operator's proof, repeated.
        address other = addOperator("other");
        assertRefused(key, PlainBLS.sign(7, possessionOf(other, key), POSSESSION_TAG));
        // A key that makes the sum with 7's one's own.
        bytes memory rogue = PlainBLS.add(PlainBLS.keyOf(9), PlainBLS.negate(key));
        assertRefused(rogue, PlainBLS.sign(9, possessionOf(operator, rogue), POSSESSION_TAG));
        // On another chain.
        vm.chainId(31_338);
        vm.expectPartialRevert(IRegistry.WrongPossession.selector);
        set(key, proof);
        vm.chainId(31_337);
        set(key, proof);
    }

    function test_setKeys_notAKey() public {
        // On the curve, not in the subgroup: x = 2; a sum with it; not on the curve.
        bytes memory stranger = abi.encodePacked(
            uint256(0),
            uint256(2),
            uint256(0),
            uint256(0),
            hex"0000000000000000000000000000000018c6b864ae17dc9da64203ffefb966306425a7bc6aeb7c75247438372716284a4173830420cd476ba1a365b95bfcec38",
            hex"00000000000000000000000000000000172e93db764a8400a7d5071b6b6f5de0da2f0f4a063119abca014006b7c40a2cfe291a1924e65db0d6d0fcfbf3bf3d5c"
        );
        assertRefused(stranger, PlainBLS.sign(7, possessionOf(operator, stranger), POSSESSION_TAG));
        bytes memory sum = PlainBLS.add(key, stranger);
        assertRefused(sum, PlainBLS.sign(7, possessionOf(operator, sum), POSSESSION_TAG));
        bytes memory nothing = abi.encode(1, 2, 3, 4, 5, 6, 7, 8);
        assertRefused(nothing, PlainBLS.sign(7, possessionOf(operator, nothing), POSSESSION_TAG));
        // Something in the bytes that are zero.
        bytes memory padded = bytes.concat(key);
        padded[0] = 0x01;
        assertRefused(padded, PlainBLS.sign(7, possessionOf(operator, padded), POSSESSION_TAG));
    }
}
