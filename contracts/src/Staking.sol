// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry, ServiceParameters} from "./interfaces/IRegistry.sol";
import {IStaking, Loss, Stake} from "./interfaces/IStaking.sol";
import {Field, Fields} from "./libraries/Fields.sol";
import {Pages} from "./libraries/Pages.sol";
import {EnumerableSetLib} from "solady/utils/EnumerableSetLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title Staking
/// @notice Bonds, rewards and credits: see `IStaking`.
contract Staking is IStaking {
    using EnumerableSetLib for EnumerableSetLib.AddressSet;
    using Fields for uint256;

    // A stake in its word (`Stake` says what they mean).
    Field private constant BOND = Field.wrap(((1 << 96) - 1) << 8);
    Field private constant REWARD = Field.wrap(((1 << 96) - 1) << 8 | 96);
    Field private constant COMMITTED_UNTIL = Field.wrap(((1 << 40) - 1) << 8 | 192);
    Field private constant LOCKS = Field.wrap(((1 << 24) - 1) << 8 | 232);

    uint256 private constant BPS = 10_000;
    /// The winners' part of a loss, in equal parts.
    uint256 private constant WINNERS_BPS = 2000;
    uint256 private constant REPORTER_BPS = 500;
    uint256 private constant CALLER_BPS = 500;
    /// What a liar cannot pay to itself: it can be victim, winner, reporter and caller under other names and so get
    /// back all that is paid to somebody, but not what is paid to nobody.
    uint256 private constant BURNT_BPS = 3000;
    /// The losers' bonds are taken up to this many times the largest of them.
    uint256 private constant MOST_LOST = 2;

    address public immutable token;
    IRegistry public immutable registry;
    uint64 public immutable leaveDelay;

    mapping(address module => bool) public isModule;
    mapping(address service => mapping(address operator => uint256)) private _stakes;
    mapping(address service => EnumerableSetLib.AddressSet) private _operators;
    mapping(address account => uint256) public creditOf;
    uint256 public burnt;

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
        uint256 stake = _stakes[service][operator];
        uint256 bond = stake.get(BOND) + amount;
        if (bond < parameters.minBond || bond == 0) revert BondTooSmall(bond, parameters.minBond);
        // `_receive` saw to it that all the token held fits the fields.
        _stakes[service][operator] = stake.set(BOND, bond).set(COMMITTED_UNTIL, 0);
        _operators[service].add(operator);
        emit Deposited(service, operator, amount, bond);
    }

    /// @inheritdoc IStaking
    function leave(address service, address operator) external onlyOwnerOf(operator) {
        uint256 stake = _stakes[service][operator];
        if (!_operators[service].contains(operator)) revert NotBonded(service, operator);
        uint256 until = stake.get(COMMITTED_UNTIL);
        if (until != 0) revert AlreadyLeaving(service, operator, until);
        until = block.timestamp + leaveDelay;
        _stakes[service][operator] = stake.set(COMMITTED_UNTIL, until);
        emit Leaving(service, operator, uint64(until));
    }

    /// @inheritdoc IStaking
    function withdrawBond(address service, address operator) external onlyOwnerOf(operator) {
        uint256 stake = _stakes[service][operator];
        uint256 until = stake.get(COMMITTED_UNTIL);
        if (until == 0) revert NotLeaving(service, operator);
        if (block.timestamp < until) revert Committed(service, operator, until);
        if (stake.get(LOCKS) != 0) revert Locked(service, operator, stake.get(LOCKS));
        _stakes[service][operator] = 0;
        _operators[service].remove(operator);
        emit BondWithdrawn(service, operator, msg.sender, stake.get(BOND));
        emit RewardWithdrawn(service, operator, msg.sender, stake.get(REWARD));
        SafeTransferLib.safeTransfer(token, msg.sender, stake.get(BOND) + stake.get(REWARD));
    }

    /// @inheritdoc IStaking
    function withdrawReward(address service, address operator) external onlyOwnerOf(operator) {
        uint256 stake = _stakes[service][operator];
        uint256 amount = stake.get(REWARD);
        if (amount == 0) revert NothingToWithdraw(operator);
        _stakes[service][operator] = stake.set(REWARD, 0);
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
        mapping(address operator => uint256) storage stakes = _stakes[service];
        for (uint256 i; i < operators.length; ++i) {
            address operator = operators[i];
            uint256 stake = stakes[operator];
            if (stake.get(BOND) == 0) revert NotBonded(service, operator);
            uint256 locks = stake.get(LOCKS);
            if (locks == type(uint24).max) revert Locked(service, operator, locks);
            stakes[operator] = stake.set(LOCKS, locks + 1);
        }
    }

    /// @inheritdoc IStaking
    function slash(
        address service,
        Loss[] calldata losses,
        address[] calldata winners,
        address reporter,
        address caller
    ) external onlyModule returns (uint256 amount) {
        (uint256 severity,) = _severity(service, losses, 0, 0);
        // Everything but the victims' parts, which are what is left of each loss.
        uint256 toEachWinner;
        uint256 toReporter;
        uint256 toReporterAsVictim;
        uint256 toCaller;
        uint256 toNobody;
        for (uint256 i; i < losses.length; ++i) {
            address operator = losses[i].operator;
            uint256 stake = _unlocked(service, operator);
            uint256 bond = stake.get(BOND);
            uint256 loss = bond * severity / BPS;
            _stakes[service][operator] = stake.set(BOND, bond - loss);
            emit Slashed(service, operator, loss, bond - loss);
            if (loss == 0) continue;

            amount += loss;
            uint256 winner = winners.length == 0 ? 0 : loss * WINNERS_BPS / BPS / winners.length;
            (toEachWinner, toReporter, toCaller) =
            (toEachWinner + winner, toReporter + loss * REPORTER_BPS / BPS, toCaller + loss * CALLER_BPS / BPS);
            toNobody += loss * BURNT_BPS / BPS;
            uint256 left = loss - winner * winners.length - loss * REPORTER_BPS / BPS - loss * CALLER_BPS / BPS - loss
                * BURNT_BPS / BPS;
            // One word, one event less where the victim brought the evidence itself.
            if (losses[i].victim == reporter) toReporterAsVictim += left;
            else _credit(losses[i].victim, left);
        }
        for (uint256 i; i < winners.length; ++i) {
            address winner = winners[i];
            uint256 reward = toEachWinner;
            if (winner == reporter) (reward, toReporter) = (reward + toReporter, 0);
            if (winner == caller) (reward, toCaller) = (reward + toCaller, 0);
            uint256 stake = _unlocked(service, winner);
            // All the token held fits the field.
            _stakes[service][winner] = stake.set(REWARD, stake.get(REWARD) + reward);
            if (reward != 0) emit Rewarded(service, winner, reward);
        }
        _credit(reporter, toReporter + toReporterAsVictim);
        _credit(caller, toCaller);
        _burn(service, toNobody);
    }

    /// @inheritdoc IStaking
    function slashRound(address service, Loss[] calldata losses, uint256 lost, uint256 largest, address caller)
        external
        onlyModule
        returns (uint256 amount, uint256 most)
    {
        uint256 severity;
        (severity, most) = _severity(service, losses, lost, largest);
        uint256 toCaller;
        uint256 toNobody;
        address victim;
        uint256 toVictim;
        for (uint256 i; i < losses.length; ++i) {
            address operator = losses[i].operator;
            uint256 stake = _unlocked(service, operator);
            uint256 bond = stake.get(BOND);
            uint256 loss = bond * severity / BPS;
            _stakes[service][operator] = stake.set(BOND, bond - loss);
            emit Slashed(service, operator, loss, bond - loss);
            if (loss == 0) continue;
            amount += loss;
            toCaller += loss * CALLER_BPS / BPS;
            toNobody += loss * BURNT_BPS / BPS;
            // One word, one event for all that somebody reported at once.
            if (losses[i].victim != victim) {
                _credit(victim, toVictim);
                (victim, toVictim) = (losses[i].victim, 0);
            }
            toVictim += loss - loss * CALLER_BPS / BPS - loss * BURNT_BPS / BPS;
        }
        _credit(victim, toVictim);
        _credit(caller, toCaller);
        _burn(service, toNobody);
    }

    // Views

    /// @inheritdoc IStaking
    function stakeOf(address service, address operator) external view returns (Stake memory) {
        uint256 stake = _stakes[service][operator];
        return Stake(
            uint96(stake.get(BOND)),
            uint96(stake.get(REWARD)),
            uint40(stake.get(COMMITTED_UNTIL)),
            uint24(stake.get(LOCKS))
        );
    }

    /// @inheritdoc IStaking
    function isBonded(address service, address operator) external view returns (bool) {
        (bool registered,, ServiceParameters memory parameters) = registry.serviceOf(service);
        uint256 stake = _stakes[service][operator];
        uint256 bond = stake.get(BOND);
        return registered && bond != 0 && bond >= parameters.minBond && stake.get(COMMITTED_UNTIL) == 0;
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

    /// @return stake the operator's word with one lock less, to be written
    function _unlocked(address service, address operator) private view returns (uint256 stake) {
        stake = _stakes[service][operator];
        uint256 locks = stake.get(LOCKS);
        if (locks == 0) revert NotLocked(service, operator);
        return stake.set(LOCKS, locks - 1);
    }

    /// @param lost taken in rounds before, in which the largest bond was `largest`
    /// @return severity basis points that each loser loses of its bond
    /// @return most the largest bond, these and those before
    function _severity(address service, Loss[] calldata losses, uint256 lost, uint256 largest)
        private
        view
        returns (uint256 severity, uint256 most)
    {
        uint256 sum;
        most = largest;
        for (uint256 i; i < losses.length; ++i) {
            uint256 bond = _stakes[service][losses[i].operator].get(BOND);
            sum += bond;
            if (bond > most) most = bond;
        }
        uint256 limit = most * MOST_LOST - lost;
        severity = sum <= limit ? BPS : limit * BPS / sum;
    }

    function _burn(address service, uint256 amount) private {
        if (amount == 0) return;
        burnt += amount;
        emit Burnt(service, amount);
    }

    function _credit(address account, uint256 amount) private {
        if (amount == 0) return;
        creditOf[account] += amount;
        emit Credited(account, amount);
    }
}
