// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Quorum} from "../src/Quorum.sol";
import {IQuorum, Member, SetHeader} from "../src/interfaces/IQuorum.sol";
import {Certificate, Proven, Vote} from "../src/types/Votes.sol";
import {PlainBLS} from "./quorum/PlainBLS.sol";
import {QuorumFixture} from "./quorum/QuorumFixture.sol";

contract QuorumTest is QuorumFixture {
    bytes32 private constant ROOT = keccak256("root");

    function powerOf(uint256 members) private pure returns (uint256) {
        return members * BOND / 1e9;
    }

    function wrong(Certificate memory c) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IQuorum.WrongSignature.selector, c.service, c.set, c.root, c.signers);
    }

    // Sets

    function test_fix_holdsWhoIsBondedAndHasAKey() public {
        addMembers(5);
        // No key; no bond; leaving.
        address keyless = addOperator("keyless");
        bond(service, keyless, BOND);
        setKeys(addOperator("unbonded"), 99);
        vm.prank(HOLDER);
        staking.leave(service, operators[1]);

        vm.expectEmit(true, true, false, false, address(quorum));
        emit IQuorum.SetFixed(service, 1, 4, 0, [address(0), address(0)]);
        assertEq(fix(), 1);
        SetHeader memory header = quorum.setOf(service, 1);
        assertEq(header.fixedAt, vm.getBlockNumber());
        assertEq(header.members, 4);
        assertEq(header.power, powerOf(4));
        address[] memory members = quorum.operatorsOf(service, 1);
        address[4] memory expected = [operators[0], operators[2], operators[3], operators[4]];
        assertEq(members.length, 4);
        for (uint8 i; i < 4; ++i) {
            assertEq(members[i], expected[i]);
            Member memory member = quorum.memberOf(service, 1, i);
            assertEq(member.operator, expected[i]);
            assertEq(member.power, powerOf(1));
            assertEq(member.weight, records.weightOf(service, expected[i], BOND));
            assertEq(member.key, PlainBLS.keyOf(secrets[expected[i]]));
            assertEq(records.recordOf(service, expected[i]).firstSeen, block.timestamp);
        }
        assertEq(records.recordOf(service, keyless).firstSeen, 0);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.UnknownMember.selector, service, 1, 4));
        quorum.memberOf(service, 1, 4);
    }

    function test_fix_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IQuorum.UnknownService.selector, address(1)));
        quorum.fix(address(1));
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NoMembers.selector, service));
        quorum.fix(service);
        addMember();
        quorum.fix(service);
        uint256 next = vm.getBlockNumber() + SET_PERIOD;
        vm.roll(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.TooEarly.selector, service, next - 1, next));
        quorum.fix(service);
        vm.roll(next);
        assertEq(quorum.fix(service), 2);
        assertEq(quorum.setCount(service), 2);
    }

    /// Keys, bonds and members change; the set does not, and its certificates stay good.
    function test_fix_setNeverChanges() public {
        addMembers(4);
        fix();
        Certificate memory certificate = certify(1, ROOT, 0xf);
        bytes memory before = abi.encode(quorum.operatorsOf(service, 1), quorum.memberOf(service, 1, 0));
        setKeys(operators[0], 12_345);
        bond(service, operators[0], BOND);
        vm.prank(HOLDER);
        staking.leave(service, operators[1]);
        addMember();
        fix();
        assertEq(abi.encode(quorum.operatorsOf(service, 1), quorum.memberOf(service, 1, 0)), before);
        assertEq(quorum.verify(certificate), powerOf(4));
        assertEq(quorum.memberOf(service, 2, 0).power, powerOf(2));
        assertEq(quorum.memberOf(service, 2, 0).key, PlainBLS.keyOf(12_345));
        assertEq(quorum.setOf(service, 2).members, 4);
        assertEq(quorum.verify(certify(2, ROOT, 0xf)), powerOf(5));
    }

    function test_fix_powerIsAtLeastOne() public {
        address operator = addOperator("poor");
        setKeys(operator, 5);
        bond(service, operator, 1);
        fix();
        assertEq(quorum.setOf(service, 1).power, 1);
        assertEq(quorum.memberOf(service, 1, 0).weight, 1);
    }

    /// The code of the pages is what the specification says.
    function test_fix_pages() public {
        addMembers(66);
        fix();
        address[2] memory pages = quorum.pagesOf(service, 1);
        bytes memory aggregate = new bytes(256);
        bytes[2] memory members;
        for (uint256 i; i < 66; ++i) {
            Member memory member = quorum.memberOf(service, 1, uint8(i));
            assertEq(member.operator, operators[i]);
            bytes memory key = PlainBLS.keyOf(secrets[operators[i]]);
            aggregate = PlainBLS.add(aggregate, key);
            members[i / 64] =
                abi.encodePacked(members[i / 64], operators[i], member.power, member.weight, PlainBLS.pack(key));
        }
        bytes memory head = abi.encodePacked(powerOf(66) << 8 | 66, PlainBLS.negate(aggregate));
        assertEq(pages[0].code, bytes.concat(hex"00", head, PlainBLS.pack(aggregate), members[0]));
        assertEq(pages[1].code, bytes.concat(hex"00", members[1]));
        // Other services' and sets' are elsewhere; where there is one page, the second is nobody.
        address other = addService(1);
        bond(other, operators[0], BOND);
        quorum.fix(other);
        assertEq(quorum.pagesOf(other, 1)[1], address(0));
        assertNotEq(quorum.pagesOf(other, 1)[0], pages[0]);
    }

    function test_fix_ofManyDraws128InOrder() public {
        addMembers(200);
        vm.prevrandao(keccak256("one"));
        fix();
        address[] memory members = quorum.operatorsOf(service, 1);
        assertEq(members.length, 128);
        uint256 from;
        for (uint256 i; i < 128; ++i) {
            while (operators[from] != members[i]) ++from;
            ++from;
        }
        assertEq(quorum.verify(certify(1, ROOT, type(uint128).max)), powerOf(128));
        vm.prevrandao(keccak256("two"));
        fix();
        assertNotEq(keccak256(abi.encode(members)), keccak256(abi.encode(quorum.operatorsOf(service, 2))));
    }

    /// Operators without keys, however many, neither stop `fix` nor take seats; they cost a bond each.
    function test_fix_withManyKeylessOperators() public {
        addMembers(20);
        for (uint256 i; i < 380; ++i) {
            bond(service, addOperator(string.concat("keyless ", vm.toString(i))), 1);
        }
        vm.prevrandao(keccak256("randomness"));
        uint256 gas = gasleft();
        fix();
        assertLt(gas - gasleft(), 16_777_216);
        uint256 members = quorum.setOf(service, 1).members;
        assertGt(members, 0);
        assertLe(members, 20);
    }

    function test_setAt() public {
        addMember();
        assertEq(quorum.setAt(service, type(uint64).max), 0);
        uint64[5] memory fixedAt;
        for (uint256 i; i < 5; ++i) {
            vm.roll(vm.getBlockNumber() + SET_PERIOD + i * 7);
            quorum.fix(service);
            fixedAt[i] = uint64(vm.getBlockNumber());
        }
        assertEq(quorum.setAt(service, fixedAt[0] - 1), 0);
        for (uint64 i; i < 5; ++i) {
            assertEq(quorum.setAt(service, fixedAt[i]), i + 1);
            assertEq(quorum.setAt(service, fixedAt[i] + SET_PERIOD - 1), i + 1);
        }
        assertEq(quorum.setAt(service, type(uint64).max), 5);
    }

    function test_unknownSet() public {
        addMember();
        fix();
        for (uint64 set; set < 3; set += 2) {
            bytes memory refusal = abi.encodeWithSelector(IQuorum.UnknownSet.selector, service, set);
            vm.expectRevert(refusal);
            quorum.operatorsOf(service, set);
            vm.expectRevert(refusal);
            quorum.pagesOf(service, set);
            vm.expectRevert(refusal);
            quorum.select(service, set, 0, 1, 1);
            Certificate memory certificate = certify(1, ROOT, 1);
            certificate.set = set;
            vm.expectRevert(refusal);
            quorum.verify(certificate);
        }
    }

    // Certificates

    /// Whatever subset signs.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_verify_subsets(uint256 seed, uint256 size) public {
        size = bound(size, 1, 12);
        addMembers(size);
        fix();
        for (uint256 i; i < 8; ++i) {
            uint256 signers = uint256(keccak256(abi.encode(seed, i))) % (1 << size);
            if (signers == 0) continue;
            uint256 count;
            for (uint256 j; j < size; ++j) {
                count += signers >> j & 1;
            }
            assertEq(quorum.verify(certify(1, ROOT, signers)), powerOf(count));
        }
    }

    function test_verify_ofAllSizes() public {
        addMembers(128);
        fix();
        uint256[10] memory masks = [
            uint256(1),
            1 << 63,
            1 << 64,
            1 << 127,
            1 << 63 | 1 << 64,
            type(uint128).max,
            type(uint128).max - 1,
            type(uint128).max >> 1,
            type(uint64).max,
            uint256(type(uint64).max) << 64
        ];
        for (uint256 i; i < masks.length; ++i) {
            uint256 count;
            for (uint256 j; j < 128; ++j) {
                count += masks[i] >> j & 1;
            }
            assertEq(quorum.verify(certify(1, ROOT, masks[i])), powerOf(count));
        }
    }

    /// Any other bitmap, even of as many, makes the certificate wrong.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_P1_verify_wrongBits(uint256 signers, uint256 other) public {
        addMembers(6);
        fix();
        signers = bound(signers, 1, 63);
        other = bound(other, 1, 63);
        vm.assume(signers != other);
        Certificate memory certificate = certify(1, ROOT, signers);
        quorum.verify(certificate);
        certificate.signers = other;
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
    }

    function test_P1_verify_forged() public {
        addMembers(5);
        fix();
        Certificate memory certificate = certify(1, ROOT, 0x1f);
        bytes32 digest = quorum.digestOf(service, 1, ROOT);
        // One's own, as if all had signed; infinity; nonsense; a proof of possession's tag.
        bytes[5] memory forged = [
            PlainBLS.sign(secrets[operators[0]], digest, SIGNATURE_TAG),
            new bytes(128),
            abi.encode(1, 2, 3, 4),
            PlainBLS.negate(certificate.signature),
            PlainBLS.sign(secrets[operators[0]], digest, POSSESSION_TAG)
        ];
        for (uint256 i; i < forged.length; ++i) {
            certificate.signature = forged[i];
            vm.expectRevert(wrong(certificate));
            quorum.verify{gas: 1_000_000}(certificate);
        }
        certificate.signature = new bytes(127);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.BadSignatureLength.selector, 127, 128));
        quorum.verify(certificate);
    }

    function test_verify_signers() public {
        addMembers(5);
        fix();
        Certificate memory certificate = certify(1, ROOT, 0x1f);
        certificate.signers = 0;
        vm.expectRevert(IQuorum.NoSigners.selector);
        quorum.verify(certificate);
        uint256[3] memory beyond = [uint256(0x3f), 0x1f | 1 << 255, 1 << 128];
        for (uint256 i; i < 3; ++i) {
            certificate.signers = beyond[i];
            vm.expectRevert(abi.encodeWithSelector(IQuorum.SignersOutOfRange.selector, beyond[i], 5));
            quorum.verify(certificate);
        }
    }

    /// What was signed for one service, set, root, contract or chain is nothing for another.
    function test_P1_verify_replayed() public {
        addMembers(3);
        fix();
        address other = addService(1);
        for (uint256 i; i < 3; ++i) {
            bond(other, operators[i], BOND);
        }
        quorum.fix(other);
        fix();
        Certificate memory certificate = certify(1, ROOT, 7);
        quorum.verify(certificate);

        certificate.service = other;
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
        certificate.service = service;
        certificate.set = 2;
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
        (certificate.set, certificate.root) = (1, keccak256("other root"));
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
        certificate.root = ROOT;
        vm.chainId(31_338);
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
        vm.chainId(31_337);
        quorum.verify(certificate);

        Quorum twin = new Quorum(registry, staking, records, SET_PERIOD);
        // A twin that may write records.
        vm.mockCall(address(records), abi.encodeWithSelector(records.seen.selector), "");
        twin.fix(service);
        vm.expectRevert(wrong(certificate));
        twin.verify(certificate);
    }

    /// Two keys of one owner that cancel each other out sign nothing by an empty signature.
    function test_verify_keysThatCancel() public {
        addMembers(2);
        setKeys(operators[1], PlainBLS.R - secrets[operators[0]]);
        addMember();
        fix();
        Certificate memory certificate = certify(1, ROOT, 3);
        assertEq(certificate.signature, new bytes(128));
        vm.expectRevert(wrong(certificate));
        quorum.verify(certificate);
        quorum.verify(certify(1, ROOT, 7));
        quorum.verify(certify(1, ROOT, 5));
    }

    /// One key may serve several operators; the sums are still right.
    function test_verify_equalKeys() public {
        addMembers(8);
        for (uint256 i = 1; i < 4; ++i) {
            setKeys(operators[i], secrets[operators[0]]);
        }
        fix();
        assertEq(quorum.verify(certify(1, ROOT, 0xf0)), powerOf(4));
        assertEq(quorum.verify(certify(1, ROOT, 0xfc)), powerOf(6));
        assertEq(quorum.verify(certify(1, ROOT, 0x03)), powerOf(2));
    }

    function test_digestOf() public {
        addMember();
        fix();
        assertEq(quorum.digestOf(service, 1, ROOT), digestOf(service, 1, ROOT));
    }

    // Votes

    function test_verifyVote_ofAllSizes() public {
        addMembers(4);
        fix();
        for (uint256 size = 1; size <= 9; ++size) {
            bytes32[] memory leaves = leavesOf(size);
            for (uint256 i; i < size; ++i) {
                (bytes32 root, bytes32[] memory proof) = prove(leaves, i);
                Certificate memory certificate = certify(1, root, 7);
                assertEq(quorum.verifyVote(Proven(certificate, voteOf(i), proof)), powerOf(3));
                vm.expectRevert(abi.encodeWithSelector(IQuorum.NotUnderRoot.selector, leafOf(voteOf(size)), root));
                quorum.verifyVote(Proven(certificate, voteOf(size), proof));
            }
        }
    }

    function leavesOf(uint256 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            leaves[i] = leafOf(voteOf(i));
        }
    }

    function test_verifyVote_refusesProofsThatAreTooLong() public {
        addMembers(4);
        fix();
        (bytes32 root, bytes32[] memory proof) = prove(leavesOf(1025), 0);
        assertEq(proof.length, 11);
        Certificate memory certificate = certify(1, root, 15);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.ProofTooLong.selector, 11, 10));
        quorum.verifyVote(Proven(certificate, voteOf(0), proof));
    }

    /// A node of the tree is not a vote, nor a vote's preimage a node: 96 bytes against 64.
    function test_P1_verifyVote_nodesAreNoVotes() public {
        addMembers(4);
        fix();
        bytes32[] memory leaves = leavesOf(4);
        (bytes32 root, bytes32[] memory proof) = prove(leaves, 0);
        Certificate memory certificate = certify(1, root, 15);
        Vote memory vote = voteOf(0);
        // A vote whose two words are the node's children.
        (vote.subject, vote.value) = (leaves[0], leaves[1]);
        bytes32[] memory shorter = new bytes32[](1);
        shorter[0] = proof[1];
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NotUnderRoot.selector, leafOf(vote), root));
        quorum.verifyVote(Proven(certificate, vote, shorter));
        // The right vote under a part of its proof, and under the wrong certificate.
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NotUnderRoot.selector, leaves[0], root));
        quorum.verifyVote(Proven(certificate, voteOf(0), shorter));
        certificate = certify(1, ROOT, 15);
        vm.expectRevert(abi.encodeWithSelector(IQuorum.NotUnderRoot.selector, leaves[0], ROOT));
        quorum.verifyVote(Proven(certificate, voteOf(0), proof));
    }

    // Selection

    function test_select() public {
        addMembers(70);
        fix();
        uint8[] memory all = quorum.select(service, 1, "seed", type(uint256).max, 255);
        assertEq(all.length, 70);
        uint256 mask;
        for (uint256 i; i < 70; ++i) {
            mask |= 1 << all[i];
        }
        assertEq(mask, (1 << 70) - 1);
        uint8[] memory some = quorum.select(service, 1, "seed", type(uint256).max, 5);
        for (uint256 i; i < 5; ++i) {
            assertEq(some[i], all[i]);
        }
        uint8[] memory named = quorum.select(service, 1, "seed", 1 << 3 | 1 << 66, 5);
        assertEq(named.length, 2);
        assertEq(uint256(1 << named[0] | 1 << named[1]), 1 << 3 | 1 << 66);
        assertEq(quorum.select(service, 1, "seed", 1 << 70, 5).length, 0);
    }
}
