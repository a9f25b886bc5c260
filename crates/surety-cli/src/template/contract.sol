// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Service} from "surety/Service.sol";
import {IDisputes} from "surety/interfaces/IDisputes.sol";

/// @notice The service on-chain: calling a method here makes a request that no provider can suppress.
contract {contract} is Service {
    constructor(address owner_, IDisputes disputes_) Service(owner_, disputes_) {}

    function add(uint32 a, uint32 b) external request returns (uint32 sum) {}
}
