// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "./interfaces/IQuorum.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IService} from "./interfaces/IService.sol";
import {ITerms, Price} from "./interfaces/ITerms.sol";
import {History, Point} from "./libraries/History.sol";

/// @title Terms
/// @notice Quorums and prices: see `ITerms`. `Tasks` creates it.
contract Terms is ITerms {
    using History for Point[];

    uint256 private constant BPS = 10_000;
    uint16 private constant DEFAULT_QUORUM = 6667;

    IRegistry public immutable registry;
    IQuorum public immutable quorum;

    /// By the first set each counts for.
    mapping(address service => Point[]) private _quorums;
    /// The fields of `Price`, from the top; by the first block each counts in.
    mapping(address service => mapping(bytes32 task => Point[])) private _prices;

    modifier onlyOwnerOf(address service) {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
        address owner = IService(service).owner();
        if (msg.sender != owner) revert NotServiceOwner(service, msg.sender, owner);
        _;
    }

    constructor(IRegistry registry_, IQuorum quorum_) {
        registry = registry_;
        quorum = quorum_;
    }

    /// @inheritdoc ITerms
    function setTerms(address service, uint16 quorum_) external onlyOwnerOf(service) {
        if (quorum_ <= BPS / 2 || quorum_ > BPS) revert QuorumOutOfRange(quorum_);
        uint64 next = quorum.setCount(service) + 1;
        _quorums[service].set(next, quorum_);
        emit TermsSet(service, next, quorum_);
    }

    /// @inheritdoc ITerms
    function setPrice(address service, bytes32 task, Price calldata price) external onlyOwnerOf(service) {
        uint256 packed = uint256(price.perCall) << 160 | uint256(price.perSecond) << 80 | price.perKilobyte;
        _prices[service][task].set(uint64(block.number) + 1, packed);
        emit PriceSet(service, task, price);
    }

    /// @inheritdoc ITerms
    function quorumOf(address service) external view returns (uint16) {
        return quorumAt(service, type(uint64).max);
    }

    /// @inheritdoc ITerms
    function quorumAt(address service, uint64 set) public view returns (uint16) {
        uint256 found = _quorums[service].at(set);
        // forge-lint: disable-next-line(unsafe-typecast)
        return found == 0 ? DEFAULT_QUORUM : uint16(found);
    }

    /// @inheritdoc ITerms
    function priceOf(address service, bytes32 task) external view returns (Price memory) {
        return priceAt(service, task, type(uint64).max);
    }

    /// @inheritdoc ITerms
    function billOf(address service, bytes32 task, uint64 block_, uint256 secondsSpent, uint256 size)
        external
        view
        returns (uint256)
    {
        Price memory price = priceAt(service, task, block_);
        return price.perCall + price.perSecond * secondsSpent + price.perKilobyte * ((size + 999) / 1000);
    }

    /// @inheritdoc ITerms
    function priceAt(address service, bytes32 task, uint64 block_) public view returns (Price memory) {
        uint256 packed = _prices[service][task].at(block_);
        // forge-lint: disable-next-line(unsafe-typecast)
        return Price(uint96(packed >> 160), uint80(packed >> 80), uint80(packed));
    }
}
