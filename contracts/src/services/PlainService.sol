// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Service} from "../Service.sol";
import {IDisputes} from "../interfaces/IDisputes.sol";

/// @title PlainService
/// @notice A service whose methods are those its owner registers, and no others: a call of any of them makes a request.
/// For services whose developer does not want to write a contract; `surety service register` deploys it then.
/// @dev A method whose selector is that of a function of `IService` (`respond`, `owner`, ...) cannot be called here.
contract PlainService is Service {
    constructor(address owner_, IDisputes disputes_) Service(owner_, disputes_) {}

    fallback() external request {}
}
