// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry, ServiceParameters} from "./interfaces/IRegistry.sol";
import {IStaking, Share, Stake} from "./interfaces/IStaking.sol";
import {Pages} from "./libraries/Pages.sol";
import {EnumerableSetLib} from "solady/utils/EnumerableSetLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title Staking
/// @notice Bonds, rewards and credits: see `IStaking`.
contract Staking is IStaking {
    using EnumerableSetLib for EnumerableSetLib.AddressSet;

    uint256 private constant BPS = 10_000;

    address public immutable token;
    IRegistry public immutable registry;
    uint64 public immutable leaveDelay;

    mapping(address module => bool) public isModule;
    mapping(address service => mapping(address operator => Stake)) private _stakes;
    mapping(address service => EnumerableSetLib.AddressSet) private _operators;
    mapping(address account => uint256) public creditOf;

    modifier onlyModule() {
        if (!isModule[msg.sender]) revert NotModule(msg.sender);
        _;
    }

    modifier onlyOwnerOf(address operator) {
        address owner = registry.ownerOf(operator);
        if (msg.sender != owner) revert NotOperatorOwner(operator, msg.sender, owner);
        _;
    }

    /// @param modules may lock and slash, for ever; their addresses can be predicted where they are not deployed yet
    constructor(IRegistry registry_, address token_, uint64 leaveDelay_, address[] memory modules) {
        registry = registry_;
        token = token_;
        leaveDelay = leaveDelay_;
        for (uint256 i; i < modules.length; ++i) {
            isModule[modules[i]] = true;
        }
    }

    // Operators

    /// @inheritdoc IStaking
    function deposit(address service, address operator, uint256 amount) external onlyOwnerOf(operator) {
        (bool registered,, ServiceParameters memory parameters) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
        _receive(amount);
        Stake storage stake = _stakes[service][operator];
        uint256 bond = stake.bond + amount;
        if (bond < parameters.minBond || bond == 0) revert BondTooSmall(bond, parameters.minBond);
        // `_receive` saw to it that all the token held fits.
        stake.bond = uint96(bond);
        stake.committedUntil = 0;
        _operators[service].add(operator);
        emit Deposited(service, operator, amount, bond);
    }

    /// @inheritdoc IStaking
    function leave(address service, address operator) external onlyOwnerOf(operator) {
        Stake storage stake = _stakes[service][operator];
        if (!_operators[service].contains(operator)) revert NotBonded(service, operator);
        if (stake.committedUntil != 0) revert AlreadyLeaving(service, operator, stake.committedUntil);
        uint256 until = block.timestamp + leaveDelay;
        stake.committedUntil = uint40(until);
        emit Leaving(service, operator, uint64(until));
    }

    /// @inheritdoc IStaking
    function withdrawBond(address service, address operator) external onlyOwnerOf(operator) {
        Stake memory stake = _stakes[service][operator];
        if (stake.committedUntil == 0) revert NotLeaving(service, operator);
        if (block.timestamp < stake.committedUntil) revert Committed(service, operator, stake.committedUntil);
        if (stake.locks != 0) revert Locked(service, operator, stake.locks);
        delete _stakes[service][operator];
        _operators[service].remove(operator);
        emit BondWithdrawn(service, operator, msg.sender, stake.bond);
        emit RewardWithdrawn(service, operator, msg.sender, stake.reward);
        SafeTransferLib.safeTransfer(token, msg.sender, uint256(stake.bond) + stake.reward);
    }

    /// @inheritdoc IStaking
    function withdrawReward(address service, address operator) external onlyOwnerOf(operator) {
        Stake storage stake = _stakes[service][operator];
        uint256 amount = stake.reward;
        if (amount == 0) revert NothingToWithdraw(operator);
        stake.reward = 0;
        emit RewardWithdrawn(service, operator, msg.sender, amount);
        SafeTransferLib.safeTransfer(token, msg.sender, amount);
    }

    /// @inheritdoc IStaking
    function withdraw() external {
        uint256 amount = creditOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        creditOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        SafeTransferLib.safeTransfer(token, msg.sender, amount);
    }

    // Modules

    /// @inheritdoc IStaking
    function lock(address service, address[] calldata operators) external onlyModule {
        for (uint256 i; i < operators.length; ++i) {
            Stake storage stake = _stakes[service][operators[i]];
            if (stake.bond == 0) revert NotBonded(service, operators[i]);
            ++stake.locks;
        }
    }

    /// @inheritdoc IStaking
    function unlock(address service, address[] calldata operators) external onlyModule {
        for (uint256 i; i < operators.length; ++i) {
            _release(service, operators[i]);
        }
    }

    /// @inheritdoc IStaking
    function slash(address service, address operator, uint256 bps, Share[] calldata shares)
        external
        onlyModule
        returns (uint256 amount)
    {
        if (shares.length == 0) revert NoShares();
        if (bps > BPS) revert SharesTooLarge(bps);
        Stake storage stake = _release(service, operator);
        uint256 bond = stake.bond;
        amount = bond * bps / BPS;
        // Less than the bond was, so it fits; and so below, where all there is fits.
        stake.bond = uint96(bond - amount);
        emit Slashed(service, operator, amount, bond - amount);

        uint256 left = amount;
        uint256 sum = shares[0].bps;
        for (uint256 i = 1; i < shares.length; ++i) {
            sum += shares[i].bps;
            uint256 part = amount * shares[i].bps / BPS;
            left -= part;
            _give(service, shares[i], part);
        }
        if (sum > BPS) revert SharesTooLarge(sum);
        _give(service, shares[0], left);
    }

    // Views

    /// @inheritdoc IStaking
    function stakeOf(address service, address operator) external view returns (Stake memory) {
        return _stakes[service][operator];
    }

    /// @inheritdoc IStaking
    function isBonded(address service, address operator) external view returns (bool) {
        (bool registered,, ServiceParameters memory parameters) = registry.serviceOf(service);
        Stake memory stake = _stakes[service][operator];
        return registered && stake.bond != 0 && stake.bond >= parameters.minBond && stake.committedUntil == 0;
    }

    /// @inheritdoc IStaking
    function operatorCount(address service) external view returns (uint256) {
        return _operators[service].length();
    }

    /// @inheritdoc IStaking
    function operatorsOf(address service, uint256 start, uint256 limit) external view returns (address[] memory page) {
        EnumerableSetLib.AddressSet storage set = _operators[service];
        page = new address[](Pages.size(set.length(), start, limit));
        for (uint256 i; i < page.length; ++i) {
            page[i] = set.at(start + i);
        }
    }

    /// Takes `amount` of the token from the caller, all of which must arrive; all that is held must fit the fields of
    /// `Stake`.
    function _receive(uint256 amount) private {
        uint256 before = SafeTransferLib.balanceOf(token, address(this));
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        uint256 held = SafeTransferLib.balanceOf(token, address(this));
        if (held - before != amount) revert FeeOnTransfer(amount, held - before);
        if (held > type(uint96).max) revert DepositTooLarge(held, type(uint96).max);
    }

    function _release(address service, address operator) private returns (Stake storage stake) {
        stake = _stakes[service][operator];
        if (stake.locks == 0) revert NotLocked(service, operator);
        --stake.locks;
    }

    function _give(address service, Share calldata share, uint256 amount) private {
        if (amount == 0) return;
        if (share.reward) {
            _stakes[service][share.to].reward += uint96(amount);
            emit Rewarded(service, share.to, amount);
        } else {
            creditOf[share.to] += amount;
            emit Credited(share.to, amount);
        }
    }
}
