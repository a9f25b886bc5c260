// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SuretyToken} from "./SuretyToken.sol";
import {IIssuance} from "./interfaces/IIssuance.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {ITasks} from "./interfaces/ITasks.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Issuance
/// @notice New tokens by record and share of work: see `IIssuance`.
contract Issuance is IIssuance {
    using FixedPointMathLib for uint256;

    uint256 private constant BPS = 10_000;
    uint256 private constant WAD = 10 ** 18;
    /// The bond that records are weighed with, the same for all: what an operator has at stake is paid for by being
    /// selected. In thousandths of a token it is the weight of a record without fault.
    uint256 private constant BOND = 1000 ether;
    uint256 private constant FULL_WEIGHT = BOND / 10 ** 15;

    ITasks public immutable tasks;
    SuretyToken public immutable token;
    uint256 public immutable amount;
    uint64 public immutable epochLength;
    uint64 public immutable began;
    uint256 public immutable rate;
    IRecords private immutable _records;
    IRegistry private immutable _registry;
    uint256 private immutable _burntBps;

    mapping(uint256 epoch => uint256) public pointsIn;
    mapping(uint256 epoch => mapping(address service => mapping(address operator => uint256))) public pointsOf;
    mapping(address service => mapping(address operator => uint256)) public countedOf;

    constructor(ITasks tasks_, SuretyToken token_, uint256 amount_, uint64 epochLength_, uint256 rate_) {
        if (epochLength_ == 0) revert EpochLengthZero();
        tasks = tasks_;
        token = token_;
        amount = amount_;
        epochLength = epochLength_;
        rate = rate_;
        began = uint64(block.timestamp);
        _records = tasks_.records();
        _registry = tasks_.registry();
        _burntBps = tasks_.burntBps();
    }

    /// @inheritdoc IIssuance
    function record(address service, address operator) external {
        uint256 all = tasks.claimedOf(service, operator);
        uint256 claimed = all - countedOf[service][operator];
        if (claimed == 0) revert NothingToRecord(service, operator);
        countedOf[service][operator] = all;
        uint256 points = claimed.fullMulDiv(_records.weightOf(service, operator, BOND), FULL_WEIGHT);
        uint256 epoch = current();
        pointsOf[epoch][service][operator] += points;
        pointsIn[epoch] += points;
        emit Recorded(epoch, service, operator, claimed, points);
    }

    /// @inheritdoc IIssuance
    function mint(uint256 epoch, address service, address operator) external returns (uint256 minted) {
        if (epoch >= current()) revert EpochNotOver(epoch, current());
        uint256 points = pointsOf[epoch][service][operator];
        if (points == 0) revert NothingToMint(epoch, service, operator);
        pointsOf[epoch][service][operator] = 0;
        minted = mostFor(points).min(amount.fullMulDiv(points, pointsIn[epoch]));
        address owner = _registry.ownerOf(operator);
        emit Minted(epoch, service, operator, owner, minted);
        token.mint(owner, minted);
    }

    /// @inheritdoc IIssuance
    function current() public view returns (uint256) {
        return (block.timestamp - began) / epochLength;
    }

    /// @inheritdoc IIssuance
    function mostFor(uint256 points) public view returns (uint256) {
        return (points * _burntBps / BPS).fullMulDiv(rate, WAD);
    }
}
