// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Signed, Statement} from "../types/Statement.sol";
import {IRegistry} from "./IRegistry.sol";

/// How a run ended: what the result hash is made of, with the output in place of its root.
struct Outcome {
    /// 0 out of steps, 1 halted, 2 trapped
    uint8 status;
    /// exit code or trap cause
    uint32 exit;
    /// what the program wrote
    bytes output;
    /// length of each chunk (1 to 32 bytes, one byte each); empty if the chunking is canonical
    bytes chunks;
}

/// @title Service
/// @notice One contract per service; its functions are the service's methods. Calling one on-chain makes a request that
/// no provider can suppress.
interface IService {
    /// @param request keccak-256 of abi.encode(L1 chain id, this contract, number of the request)
    /// @param input the call's data whole, selector included; its keccak-256 is the statement's input
    /// @param budget the service's maximum
    event Request(
        bytes32 indexed request, address indexed requester, bytes4 selector, bytes32 program, bytes input, uint64 budget
    );
    event Responded(
        bytes32 indexed request, address indexed operator, bytes32 result, uint8 status, uint32 exit, bytes output
    );

    error NoProgram(bytes4 selector);
    error UnknownRequest(bytes32 request);
    error NotBonded(address operator);
    error AlreadyResponded(bytes32 request, address operator);
    error WrongResult(bytes32 signed, bytes32 computed);
    /// A chunk of length 0 or above 32, or chunks that do not add up to the output.
    error WrongChunks(uint256 sum, uint256 length);

    /// @notice Posts an operator's signed response, with the output, to a request made on-chain. Anyone may; once per
    /// request and operator, who must be bonded and not leaving.
    function respond(Statement calldata statement, Signed calldata response, Outcome calldata outcome) external;

    /// @return account that registers the service and sets its manifest and programs
    function owner() external view returns (address);

    function registry() external view returns (IRegistry);

    /// @return number of requests made on-chain so far
    function requestCount() external view returns (uint256);

    /// @return whether the operator's response to the request was posted
    function responded(bytes32 request, address operator) external view returns (bool);
}
