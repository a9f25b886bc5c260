// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "./interfaces/IDisputes.sol";
import {IRegistry, ServiceParameters} from "./interfaces/IRegistry.sol";
import {IService, Outcome} from "./interfaces/IService.sol";
import {IStaking} from "./interfaces/IStaking.sol";
import {Responses} from "./libraries/Responses.sol";
import {Results} from "./libraries/Results.sol";
import {Signed, Statement} from "./types/Statement.sol";

/// @title Service
/// @notice Base of a service: see `IService`.
/// @dev Extend it, and write each method of the service as an external function with the modifier `request` and an empty
/// body. Off-chain, providers answer it; on-chain, a call makes a request:
///
///     contract Explorer is Service {
///         function balanceOf(bytes32 blockHash, address account) external request returns (uint256 balance) {}
///     }
abstract contract Service is IService {
    using Responses for Statement;

    address public immutable owner;
    IRegistry public immutable registry;
    IStaking public immutable staking;
    IDisputes public immutable disputes;

    uint256 public requestCount;
    /// keccak-256 of abi.encode(statementId, requester) of each request made here.
    mapping(bytes32 request => bytes32) private _requests;
    mapping(bytes32 request => mapping(address operator => bool)) public responded;

    /// Makes the call a request. It returns no data, not even the declared type's: the answer comes later, in
    /// `Responded`, and a zero could be taken for it. A contract that makes requests uses a low-level call.
    modifier request() {
        _request();
        _;
        assembly ("memory-safe") {
            return(0, 0)
        }
    }

    constructor(address owner_, IDisputes disputes_) {
        owner = owner_;
        disputes = disputes_;
        staking = disputes_.staking();
        registry = disputes_.registry();
    }

    /// @inheritdoc IService
    function respond(Statement calldata statement, Signed calldata response, Outcome calldata outcome) external {
        bytes32 id = response.request;
        if (_requests[id] == 0 || _requests[id] != keccak256(abi.encode(statement.id(), response.requester))) {
            revert UnknownRequest(id);
        }
        address operator = disputes.signerOf(statement, response);
        if (!staking.isBonded(address(this), operator)) revert NotBonded(operator);
        if (responded[id][operator]) revert AlreadyResponded(id, operator);
        bytes32 result = Results.hash(outcome.status, outcome.exit, Results.fold(outcome.output, outcome.chunks));
        if (result != response.result) revert WrongResult(response.result, result);
        responded[id][operator] = true;
        emit Responded(id, operator, result, outcome.status, outcome.exit, outcome.output);
    }

    function _request() private {
        bytes32 program = registry.programOf(address(this), msg.sig);
        if (program == 0) revert NoProgram(msg.sig);
        (,, ServiceParameters memory parameters) = registry.serviceOf(address(this));
        bytes32 id = keccak256(abi.encode(block.chainid, address(this), requestCount++));
        bytes32 statementId =
            keccak256(abi.encode(Statement(address(this), program, keccak256(msg.data), parameters.maxBudget)));
        _requests[id] = keccak256(abi.encode(statementId, msg.sender));
        emit Request(id, msg.sender, msg.sig, program, msg.data, parameters.maxBudget);
    }
}
