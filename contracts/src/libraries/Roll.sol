// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Member} from "../interfaces/IQuorum.sol";
import {BLS} from "./BLS.sol";
import {CREATE3} from "solady/utils/CREATE3.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";

/// @title Roll
/// @notice A set's members, as the code of one or two data contracts, its pages (`docs/spec/network.md`, section 2).
/// The first page is a STOP byte, the head and its part of the roll: the aggregate key (192 bytes) and at most 64
/// members, 228 bytes each. The second is a STOP byte and the other members. The head is what verifying takes, as it
/// takes it: a word with the set's power and, in its lowest byte, the number of members, and the aggregate key negated
/// (256). Where the pages are follows from service and set. So no storage is read to verify a certificate.
library Roll {
    uint256 internal constant MAX_MEMBERS = 128;
    uint256 internal constant PAGE_MEMBERS = 64;

    // Of a member: operator (20), power (8), weight (8), key (192).
    uint256 private constant SIZE = 228;
    uint256 private constant POWER = 20;
    uint256 private constant WEIGHT = 28;
    uint256 private constant KEY = 36;

    // Of the first page: the aggregate key and the members; and of the second.
    uint256 private constant AGGREGATE = 289;
    uint256 private constant FIRST_MEMBER = 481;
    uint256 private constant BODY = 1;

    // Code that creates a contract whose code is all that follows it; its length is in the second and third byte.
    bytes32 private constant CREATION = 0x61000080600a3d393df300000000000000000000000000000000000000000000;
    uint256 private constant CREATION_LENGTH = 10;

    /// A roll that is being written.
    struct Draft {
        bytes[2] pages;
        uint256 members;
        uint256 power;
        /// where the sum of the members' keys is, with room for the next one after it
        uint256 key;
    }

    // Writing

    /// @param members at most `MAX_MEMBERS`, which must then be added
    function start(uint256 members) internal pure returns (Draft memory draft) {
        uint256 first = members < PAGE_MEMBERS ? members : PAGE_MEMBERS;
        draft.pages[0] = new bytes(CREATION_LENGTH + FIRST_MEMBER + first * SIZE);
        draft.pages[1] = new bytes(CREATION_LENGTH + BODY + (members - first) * SIZE);
        (,, draft.key) = BLS.frame();
    }

    /// @param keys contract with the operator's key (`IRegistry.keysAt`)
    function add(Draft memory draft, address operator, uint64 power, uint64 weight, address keys) internal view {
        uint256 index = draft.members;
        bytes memory page = draft.pages[index / PAGE_MEMBERS];
        uint256 offset = CREATION_LENGTH + _offset(index);
        uint256 key;
        assembly ("memory-safe") {
            let at := add(add(page, 0x20), offset)
            mstore(at, shl(96, operator))
            mstore(add(at, POWER), shl(192, power))
            mstore(add(at, WEIGHT), shl(192, weight))
            key := add(at, KEY)
            extcodecopy(keys, key, 1, 192)
        }
        BLS.unpack(key, draft.key + BLS.KEY_LENGTH);
        BLS.add(draft.key);
        draft.power += power;
        ++draft.members;
    }

    /// @notice Creates the pages: one, or two if there are more than `PAGE_MEMBERS` members.
    function write(Draft memory draft, address service, uint64 set) internal {
        bytes memory page = draft.pages[0];
        (uint256 key, uint256 word) = (draft.key, draft.power << 8 | draft.members);
        bytes32 salt = saltOf(service, set);
        uint256 at;
        assembly ("memory-safe") {
            at := add(page, add(0x20, CREATION_LENGTH))
        }
        BLS.pack(key, at + AGGREGATE);
        BLS.negate(key);
        assembly ("memory-safe") {
            mstore(add(at, 1), word)
            mcopy(add(at, 0x21), key, 0x100)
        }
        for (uint256 i; i * PAGE_MEMBERS < draft.members; ++i) {
            page = draft.pages[i];
            bytes32 creation = CREATION | bytes32((page.length - CREATION_LENGTH) << 232);
            assembly ("memory-safe") {
                let rest := mload(add(page, add(0x20, CREATION_LENGTH)))
                mstore(add(page, 0x20), creation)
                mstore(add(page, add(0x20, CREATION_LENGTH)), rest)
            }
            CREATE3.deployDeterministic(page, i == 0 ? salt : secondOf(salt));
        }
    }

    // Reading

    /// @return what the first page's address is made from
    function saltOf(address service, uint64 set) internal pure returns (bytes32) {
        return EfficientHashLib.hash(uint256(uint160(service)), set);
    }

    /// @param quorum who writes pages
    /// @return the page with this salt, which need not be there
    function pageAt(address quorum, bytes32 salt) internal pure returns (address) {
        return CREATE3.predictDeterministicAddress(salt, quorum);
    }

    /// @return what the second page's address is made from, given the first's
    function secondOf(bytes32 salt) internal pure returns (bytes32) {
        return bytes32(uint256(salt) ^ 1);
    }

    /// @notice Puts the sum of all keys, negated, at `to`, after a word that may be written over.
    /// @return members of the set; 0 if there is no such page
    /// @return power of all of them together
    function head(address first, uint256 to) internal view returns (uint256 members, uint256 power) {
        assembly ("memory-safe") {
            // From a contract that is not there come zeros.
            extcodecopy(first, sub(to, 0x20), 1, 0x120)
            power := mload(sub(to, 0x20))
            members := and(power, 0xff)
            power := shr(8, power)
        }
    }

    /// @notice Adds the keys of some members to the point at `to`, after which there must be room for another one and
    /// no point yet.
    /// @param second not looked at where the mask is below 2^64
    /// @param mask of members
    /// @return power of them together
    function addKeys(address first, address second, uint256 mask, uint256 to) internal view returns (uint256 power) {
        bool ok = true;
        assembly ("memory-safe") {
            // The place of a bit: its remainder modulo 67, of which 2 is a primitive root, has it in this table.
            let table := mload(0x40)
            mstore(table, 0x00000127020f2817030c103b2913183604000d0a113e3c1c2a1e1433192c372f)
            mstore(add(table, 0x20), 0x052000260e160b3a12353f093d1b1d322b2e1f25153934081a312d2438073023)
            mstore(add(table, 0x40), 0x0622210000000000000000000000000000000000000000000000000000000000)
            let offset := add(FIRST_MEMBER, POWER)
            for {} mask {} {
                for { let rest := and(mask, 0xffffffffffffffff) } rest {} {
                    let bit := and(rest, sub(0, rest))
                    rest := xor(rest, bit)
                    let index := byte(0, mload(add(table, mod(bit, 67))))
                    // Power, weight, key. Before the power lie the table's last bytes, zeros.
                    extcodecopy(first, add(table, 0x60), add(offset, mul(index, SIZE)), 208)
                    power := add(power, mload(add(table, 0x48)))
                    mcopy(add(to, 0x110), add(table, 0x70), 0x30)
                    mcopy(add(to, 0x150), add(table, 0xa0), 0x30)
                    mcopy(add(to, 0x190), add(table, 0xd0), 0x30)
                    mcopy(add(to, 0x1d0), add(table, 0x100), 0x30)
                    ok := and(ok, staticcall(gas(), 0x0d, to, 0x200, to, 0x100))
                }
                mask := shr(64, mask)
                first := second
                offset := add(BODY, POWER)
            }
        }
        if (!ok) revert BLS.PrecompileFailed();
    }

    /// @param index of a member there is
    function memberOf(address[2] memory pages, uint256 index) internal view returns (Member memory member) {
        bytes memory packed = new bytes(SIZE);
        address page = pages[index / PAGE_MEMBERS];
        uint256 offset = _offset(index);
        assembly ("memory-safe") {
            extcodecopy(page, add(packed, 0x20), offset, SIZE)
        }
        member.operator = address(bytes20(packed));
        member.power = _uint64At(packed, POWER);
        member.weight = _uint64At(packed, WEIGHT);
        bytes memory key = new bytes(BLS.KEY_LENGTH);
        uint256 from;
        uint256 to;
        assembly ("memory-safe") {
            from := add(packed, add(0x20, KEY))
            to := add(key, 0x20)
        }
        BLS.unpack(from, to);
        member.key = key;
    }

    function operatorsOf(address[2] memory pages, uint256 members) internal view returns (address[] memory operators) {
        operators = new address[](members);
        bytes memory packed = _members(pages, members);
        for (uint256 i; i < members; ++i) {
            operators[i] = address(bytes20(LibBytes.load(packed, i * SIZE)));
        }
    }

    /// @param only members outside this mask weigh nothing
    function weightsOf(address[2] memory pages, uint256 members, uint256 only)
        internal
        view
        returns (uint256[] memory weights)
    {
        weights = new uint256[](members);
        bytes memory packed = _members(pages, members);
        for (uint256 i; i < members; ++i) {
            if (only >> i & 1 == 1) weights[i] = _uint64At(packed, i * SIZE + WEIGHT);
        }
    }

    /// Where a member is in its page.
    function _offset(uint256 index) private pure returns (uint256) {
        return index < PAGE_MEMBERS ? FIRST_MEMBER + index * SIZE : BODY + (index - PAGE_MEMBERS) * SIZE;
    }

    /// All members, one after the other.
    function _members(address[2] memory pages, uint256 members) private view returns (bytes memory packed) {
        packed = new bytes(members * SIZE);
        uint256 first = (members < PAGE_MEMBERS ? members : PAGE_MEMBERS) * SIZE;
        assembly ("memory-safe") {
            let to := add(packed, 0x20)
            extcodecopy(mload(pages), to, FIRST_MEMBER, first)
            if lt(first, mload(packed)) {
                extcodecopy(mload(add(pages, 0x20)), add(to, first), BODY, sub(mload(packed), first))
            }
        }
    }

    function _uint64At(bytes memory packed, uint256 offset) private pure returns (uint64) {
        return uint64(bytes8(LibBytes.load(packed, offset)));
    }
}
