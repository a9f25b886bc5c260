// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Quorum} from "../../src/Quorum.sol";
import {Records} from "../../src/Records.sol";
import {Registry} from "../../src/Registry.sol";
import {Staking} from "../../src/Staking.sol";
import {DevToken} from "../../src/dev/DevToken.sol";
import {ServiceParameters} from "../../src/interfaces/IRegistry.sol";
import {Certificate, Vote, VoteKind} from "../../src/types/Votes.sol";
import {PlainBLS} from "./PlainBLS.sol";
import {Test} from "forge-std/Test.sol";

/// What `Registry` asks of a service.
contract Owned {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }
}

/// The contracts that sets are made from, and operators with BLS keys.
abstract contract QuorumFixture is Test {
    uint64 internal constant LEAVE_DELAY = 1 weeks;
    uint64 internal constant SET_PERIOD = 100;
    uint96 internal constant BOND = 1000 ether;

    string internal constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    string internal constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    address internal immutable OWNER = makeAddr("service owner");
    address internal immutable HOLDER = makeAddr("operators' owner");
    /// May write records and slash, as `Tasks` and `Faults` may.
    address internal immutable MODULE = makeAddr("module");

    DevToken internal token;
    Registry internal registry;
    Staking internal staking;
    Records internal records;
    Quorum internal quorum;
    address internal service;

    /// All that `addMember` made, in order.
    address[] internal operators;
    mapping(address operator => uint256) internal secrets;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        token = new DevToken();
        registry = new Registry();
        address[] memory modules = new address[](2);
        modules[0] = MODULE;
        staking = new Staking(registry, address(token), LEAVE_DELAY, modules);
        modules[1] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        records = new Records(modules);
        quorum = new Quorum(registry, staking, records, SET_PERIOD);
        service = addService(1);
        vm.prank(HOLDER);
        token.approve(address(staking), type(uint256).max);
    }

    function addService(uint96 minBond) internal returns (address added) {
        added = address(new Owned(OWNER));
        vm.prank(OWNER);
        registry.registerService(added, 0, new bytes4[](0), new bytes32[](0), ServiceParameters(minBond, 1, address(0)));
    }

    // Operators

    function addMembers(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            addMember();
        }
    }

    /// Registered, with keys, bonded for `service`.
    function addMember() internal returns (address operator) {
        operator = addOperator(string.concat("member ", vm.toString(operators.length)));
        operators.push(operator);
        setKeys(operator, uint256(keccak256(abi.encode("bls secret", operator))) % PlainBLS.R);
        bond(service, operator, BOND);
    }

    function addOperator(string memory name) internal returns (address operator) {
        uint256 key;
        (operator, key) = makeAddrAndKey(name);
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Operator(address key,address owner,string endpoint)"), operator, HOLDER, keccak256("")
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", domainOf(address(registry)), hash)));
        vm.prank(HOLDER);
        registry.registerOperator(operator, "", abi.encodePacked(r, s, v));
    }

    function setKeys(address operator, uint256 secret) internal {
        secrets[operator] = secret;
        bytes memory key = PlainBLS.keyOf(secret);
        bytes memory proof = PlainBLS.sign(secret, possessionOf(operator, key), POSSESSION_TAG);
        vm.prank(HOLDER);
        registry.setKeys(operator, key, proof, keccak256(abi.encode(secret)), "/ip4/127.0.0.1/tcp/9000");
    }

    function bond(address service_, address operator, uint256 amount) internal {
        token.mint(HOLDER, amount);
        vm.prank(HOLDER);
        staking.deposit(service_, operator, amount);
    }

    function possessionOf(address operator, bytes memory key) internal view returns (bytes32) {
        return keccak256(
            abi.encode(keccak256("surety.possession"), block.chainid, address(registry), operator, keccak256(key))
        );
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

    // Votes

    /// The next set, as soon as it can be fixed.
    function fix() internal returns (uint64 set) {
        // Not `block.number`: the compiler takes it for the same throughout a call.
        vm.roll(vm.getBlockNumber() + SET_PERIOD);
        return quorum.fix(service);
    }

    /// What these members (a mask, by their place in the set) sign together.
    function certify(uint64 set, bytes32 root, uint256 signers) internal view returns (Certificate memory) {
        address[] memory members = quorum.operatorsOf(service, set);
        uint256 secret;
        for (uint256 i; i < members.length; ++i) {
            if (signers >> i & 1 == 1) secret = addmod(secret, secrets[members[i]], PlainBLS.R);
        }
        bytes32 digest = digestOf(service, set, root);
        return Certificate(service, set, root, signers, PlainBLS.sign(secret, digest, SIGNATURE_TAG));
    }

    function digestOf(address service_, uint64 set, bytes32 root) internal view returns (bytes32) {
        bytes32 hash =
            keccak256(abi.encode(keccak256("Ballot(address service,uint64 set,bytes32 root)"), service_, set, root));
        return keccak256(abi.encodePacked(hex"1901", domainOf(address(quorum)), hash));
    }

    function leafOf(Vote memory vote) internal pure returns (bytes32) {
        return keccak256(abi.encode(uint8(vote.kind), vote.subject, vote.value));
    }

    /// The root of the tree over `leaves`, and the proof of the one at `index`, level by level.
    function prove(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32 root, bytes32[] memory proof)
    {
        bytes32[] memory level = leaves;
        while (level.length > 1) {
            bytes32[] memory next = new bytes32[]((level.length + 1) / 2);
            for (uint256 i; i < next.length; ++i) {
                if (2 * i + 1 == level.length) {
                    next[i] = level[2 * i];
                    continue;
                }
                (bytes32 a, bytes32 b) = (level[2 * i], level[2 * i + 1]);
                next[i] = keccak256(bytes.concat(a < b ? a : b, a < b ? b : a));
                if (index / 2 == i) proof = append(proof, index % 2 == 0 ? b : a);
            }
            (level, index) = (next, index / 2);
        }
        root = level[0];
    }

    function append(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }

    /// Any vote.
    function voteOf(uint256 number) internal pure returns (Vote memory) {
        return Vote(VoteKind.EVENT, keccak256(abi.encode("subject", number)), keccak256(abi.encode("value", number)));
    }
}
