// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMachine} from "../../src/interfaces/IMachine.sol";
import {IPreimages} from "../../src/interfaces/IPreimages.sol";

/// The values of a counter machine's trace, each known at once, so that traces of 2^40 steps can be played.
library Counter {
    /// 263 bytes: program (0), input (64) and the count (128), where the real machine has its code root, input hash
    /// and pc; zero elsewhere.
    function state(bytes32 program, bytes32 input, uint64 count) internal pure returns (bytes memory) {
        return abi.encodePacked(program, bytes32(0), input, bytes32(0), count, new bytes(263 - 136));
    }

    function root(bytes32 program, bytes32 input, uint64 count) internal pure returns (bytes32) {
        return keccak256(state(program, input, count));
    }

    function result(bytes32 program, bytes32 input, uint64 count) internal pure returns (bytes32) {
        return keccak256(abi.encode("result", root(program, input, count)));
    }
}

/// A machine whose step adds one: stands in for the real one where the game is under test.
contract CounterMachine is IMachine {
    IPreimages public constant preimages = IPreimages(address(0));

    function step(bytes calldata witness) external pure returns (bytes32 pre, bytes32 post) {
        if (witness.length != 263) revert WitnessLength(witness.length, 263);
        pre = keccak256(witness);
        post = Counter.root(bytes32(witness), bytes32(witness[64:]), uint64(bytes8(witness[128:])) + 1);
    }

    function result(bytes calldata state) external pure returns (bytes32 root, bytes32 resultHash) {
        root = keccak256(state);
        resultHash = keccak256(abi.encode("result", root));
    }

    function initial(bytes calldata state) external pure returns (bytes32 program, bytes32 input, bool fresh) {
        (program, input) = (bytes32(state), bytes32(state[64:]));
        fresh = keccak256(state) == Counter.root(program, input, 0);
    }
}
