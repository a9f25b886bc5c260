// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";

/// A move like `Disputes.dissect`, of any width: the same words read and written, the same event, the same tree.
contract AnyWidth {
    event Dissected(bytes32 indexed dispute, uint8 move, uint8 segment, bytes32 head, bytes32[] points);

    struct Record {
        bytes32 details;
        bytes32 head;
        uint256[8] words;
    }

    mapping(bytes32 dispute => Record) private _records;

    function begin(bytes32 dispute, address a, address b) external {
        (_records[dispute].words[0], _records[dispute].words[1]) = (uint160(a), uint160(b));
        _records[dispute].head = dispute;
    }

    function dissect(bytes32 dispute, bytes32 head, uint256 segment, bytes32[] calldata points) external {
        Record storage record = _records[dispute];
        (uint256 word0, uint256 word1) = (record.words[0], record.words[1]);
        require(record.head == head);
        uint256 moves = word0 >> 205;
        require(msg.sender == address(uint160(moves % 2 == 0 ? word0 : word1)));
        bytes32 next = keccak256(abi.encodePacked(head, uint8(segment), rootOf(points)));
        record.head = next;
        record.words[0] = uint160(word0) | (moves + 1) << 205;
        emit Dissected(dispute, uint8(moves + 1), uint8(segment), next, points);
    }

    function rootOf(bytes32[] calldata points) private pure returns (bytes32 root) {
        assembly ("memory-safe") {
            let size := shl(5, points.length)
            let nodes := mload(0x40)
            calldatacopy(nodes, points.offset, size)
            mstore(add(nodes, size), 0)
            let to := add(nodes, add(size, 32))
            for { let from := nodes } lt(add(from, 32), to) { from := add(from, 64) } {
                mstore(to, keccak256(from, 64))
                to := add(to, 32)
            }
            root := mload(sub(to, 32))
        }
    }
}

/// Why 32: what all dissections over 2^40 steps cost, whole transactions, for each width.
contract DissectionWidthTest is Test {
    function test_gas_byWidth() public {
        AnyWidth game = new AnyWidth();
        address[2] memory players = [makeAddr("a"), makeAddr("b")];
        for (uint256 bits = 1; bits <= 6; ++bits) {
            uint256 width = 1 << bits;
            bytes32 dispute = keccak256(abi.encode(width));
            game.begin(dispute, players[0], players[1]);
            bytes32[] memory points = new bytes32[](width - 1);
            for (uint256 i; i < points.length; ++i) {
                points[i] = keccak256(abi.encode(dispute, i));
            }
            string memory name = string.concat(vm.toString(width), " segments: ");
            vm.prank(players[0]);
            game.dissect(dispute, dispute, width - 1, points);
            uint256 move = vm.snapshotGasLastCall("DissectionWidth", string.concat(name, "one move"));
            uint256 moves = (40 + bits - 1) / bits;
            vm.snapshotValue("DissectionWidth", string.concat(name, "moves over 2^40 steps"), moves);
            vm.snapshotValue("DissectionWidth", string.concat(name, "all moves"), moves * move);
        }
    }
}
