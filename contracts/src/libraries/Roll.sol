// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Member} from "../interfaces/IQuorum.sol";
import {BLS} from "./BLS.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @title Roll
/// @notice A set's members, as the code of one or two data contracts (`docs/spec/network.md`, section 2): a STOP byte
/// and the aggregate key (192 bytes), then 228 bytes a member, 64 of them; a STOP byte and the rest.
library Roll {
    uint256 internal constant MAX_MEMBERS = 128;
    uint256 internal constant PAGE_MEMBERS = 64;

    // Of a member: operator (20), power (8), weight (8), key (192).
    uint256 private constant SIZE = 228;
    uint256 private constant POWER = 20;
    uint256 private constant WEIGHT = 28;
    uint256 private constant KEY = 36;

    /// A roll that is being written.
    struct Draft {
        bytes[2] pages;
        uint256 members;
        uint256 power;
        /// sum of the members' keys, and room for the next one
        uint256[16] keys;
    }

    // Writing

    /// @param members at most `MAX_MEMBERS`, which must then be added
    function start(uint256 members) internal pure returns (Draft memory draft) {
        uint256 first = members < PAGE_MEMBERS ? members : PAGE_MEMBERS;
        draft.pages[0] = new bytes(BLS.PACKED_KEY_LENGTH + first * SIZE);
        draft.pages[1] = new bytes((members - first) * SIZE);
    }

    /// @param keys contract with the operator's key (`IRegistry.keysAt`)
    function add(Draft memory draft, address operator, uint64 power, uint64 weight, address keys) internal view {
        uint256 index = draft.members;
        bytes memory page = draft.pages[index / PAGE_MEMBERS];
        uint256 offset = (index % PAGE_MEMBERS) * SIZE + (index < PAGE_MEMBERS ? BLS.PACKED_KEY_LENGTH : 0);
        uint256 key;
        assembly ("memory-safe") {
            let at := add(add(page, 0x20), offset)
            mstore(at, shl(96, operator))
            mstore(add(at, POWER), shl(192, power))
            mstore(add(at, WEIGHT), shl(192, weight))
            key := add(at, KEY)
            extcodecopy(keys, key, 1, 192)
        }
        uint256[16] memory sum = draft.keys;
        uint256 next;
        assembly ("memory-safe") {
            next := add(sum, 0x100)
        }
        BLS.unpack(key, next);
        BLS.add(sum);
        draft.power += power;
        ++draft.members;
    }

    /// @notice Creates one contract, or two if there are more than `PAGE_MEMBERS` members.
    function write(Draft memory draft) internal returns (address[2] memory pages) {
        bytes memory page = draft.pages[0];
        uint256[16] memory sum = draft.keys;
        uint256[8] memory aggregate;
        uint256 to;
        assembly ("memory-safe") {
            aggregate := sum
            to := add(page, 0x20)
        }
        BLS.pack(aggregate, to);
        pages[0] = SSTORE2.write(page);
        if (draft.members > PAGE_MEMBERS) pages[1] = SSTORE2.write(draft.pages[1]);
    }

    // Reading

    /// @param signers mask of members, not empty, none beyond `members`
    /// @return key sum of the signers' keys
    /// @return power of the signers together
    function sumOf(address[2] memory pages, uint256 members, uint256 power, uint256 signers)
        internal
        view
        returns (uint256[8] memory key, uint256)
    {
        unchecked {
            uint256 absent = ((1 << members) - 1) ^ signers;
            // Whatever is fewer: all less the absent (an addition each), or the signers (one less).
            if (LibBit.popCount(signers) <= LibBit.popCount(absent)) return _sum(pages, signers);

            uint256[16] memory points;
            _aggregate(pages[0], points);
            if (absent != 0) {
                (uint256[8] memory less, uint256 lost) = _sum(pages, absent);
                BLS.negate(less);
                assembly ("memory-safe") {
                    mcopy(add(points, 0x100), less, 0x100)
                }
                BLS.add(points);
                power -= lost;
            }
            assembly ("memory-safe") {
                key := points
            }
            return (key, power);
        }
    }

    /// @param index of a member there is
    function memberOf(address[2] memory pages, uint256 index) internal view returns (Member memory member) {
        bytes memory packed = SSTORE2.read(pages[index / PAGE_MEMBERS], _offset(index), _offset(index) + SIZE);
        member.operator = address(bytes20(packed));
        member.power = _uint64At(packed, POWER);
        member.weight = _uint64At(packed, WEIGHT);
        member.key = BLS.unpacked(LibBytes.slice(packed, KEY));
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

    /// Where a member is in its page's data.
    function _offset(uint256 index) private pure returns (uint256) {
        return index < PAGE_MEMBERS ? BLS.PACKED_KEY_LENGTH + index * SIZE : (index - PAGE_MEMBERS) * SIZE;
    }

    /// All members, one after the other.
    function _members(address[2] memory pages, uint256 members) private view returns (bytes memory packed) {
        packed = new bytes(members * SIZE);
        uint256 first = (members < PAGE_MEMBERS ? members : PAGE_MEMBERS) * SIZE;
        assembly ("memory-safe") {
            let to := add(packed, 0x20)
            extcodecopy(mload(pages), to, add(1, 192), first)
            if lt(first, mload(packed)) {
                extcodecopy(mload(add(pages, 0x20)), add(to, first), 1, sub(mload(packed), first))
            }
        }
    }

    function _uint64At(bytes memory packed, uint256 offset) private pure returns (uint64) {
        return uint64(bytes8(LibBytes.load(packed, offset)));
    }

    /// Puts the aggregate key first.
    function _aggregate(address page, uint256[16] memory points) private view {
        uint256 from;
        uint256 to;
        assembly ("memory-safe") {
            from := mload(0x40)
            extcodecopy(page, from, 1, 192)
            to := points
        }
        BLS.unpack(from, to);
    }

    /// The sum of these members' keys and powers; there must be one.
    function _sum(address[2] memory pages, uint256 mask) private view returns (uint256[8] memory key, uint256 power) {
        unchecked {
            uint256[16] memory points;
            // The power, the weight, the key.
            uint256 buffer;
            uint256 to;
            assembly ("memory-safe") {
                buffer := mload(0x40)
                to := points
            }
            bool more;
            while (mask != 0) {
                uint256 index = LibBit.ffs(mask);
                mask &= mask - 1;
                address page = pages[index / PAGE_MEMBERS];
                uint256 from = 1 + POWER + _offset(index);
                assembly ("memory-safe") {
                    extcodecopy(page, buffer, from, sub(SIZE, POWER))
                    power := add(power, shr(192, mload(buffer)))
                }
                BLS.unpack(buffer + KEY - POWER, to);
                if (more) {
                    BLS.add(points);
                } else {
                    (more, to) = (true, to + 256);
                }
            }
            assembly ("memory-safe") {
                key := points
            }
        }
    }
}
