// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistry} from "./IRegistry.sol";

/// What an operator has at stake for one service: one storage word. Amounts are in wei of the token.
struct Stake {
    /// can be slashed
    uint96 bond;
    /// earned; cannot be slashed
    uint96 reward;
    /// 0 while the commitment has no end; otherwise the operator is leaving, and this is when (Unix seconds) its bond
    /// can be withdrawn
    uint40 committedUntil;
    /// open disputes the operator is in; the bond stays while there is one
    uint24 locks;
}

/// An operator to be slashed, and who it failed.
struct Loss {
    address operator;
    address victim;
}

/// @title Staking
/// @notice Bonds in one ERC-20, per service and operator. The token must be a plain one: no fee on transfer (refused),
/// no rebasing, no way to move others' balances. At all times the sum of all bonds, rewards and credits and of what was
/// burnt is the contract's token balance, less what was sent to it by mistake.
interface IStaking {
    event Deposited(address indexed service, address indexed operator, uint256 amount, uint256 bond);
    event Leaving(address indexed service, address indexed operator, uint64 committedUntil);
    event BondWithdrawn(address indexed service, address indexed operator, address indexed to, uint256 amount);
    event RewardWithdrawn(address indexed service, address indexed operator, address indexed to, uint256 amount);
    event Slashed(address indexed service, address indexed operator, uint256 amount, uint256 bond);
    /// `amount` of what was slashed is nobody's any more.
    event Burnt(address indexed service, uint256 amount);
    event Rewarded(address indexed service, address indexed operator, uint256 amount);
    event Credited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);

    error UnknownService(address service);
    error NotOperatorOwner(address operator, address caller, address owner);
    error BondTooSmall(uint256 bond, uint256 minimum);
    error DepositTooLarge(uint256 held, uint256 limit);
    error FeeOnTransfer(uint256 sent, uint256 received);
    error NotBonded(address service, address operator);
    error AlreadyLeaving(address service, address operator, uint256 committedUntil);
    error NotLeaving(address service, address operator);
    error Committed(address service, address operator, uint256 committedUntil);
    error Locked(address service, address operator, uint256 locks);
    error NotLocked(address service, address operator);
    error NothingToWithdraw(address account);
    error NotModule(address caller);

    /// @notice Adds `amount` to the operator's bond for `service`, joining it, or staying if it was leaving. Callable
    /// by the operator's owner, who must have approved the amount; the bond must then reach the service's minimum.
    function deposit(address service, address operator, uint256 amount) external;

    /// @notice Starts leaving: the bond can be withdrawn `leaveDelay` from now, and slashed until it is. Callable by
    /// the operator's owner. From now on clients no longer trust the operator's new answers.
    function leave(address service, address operator) external;

    /// @notice Pays bond and reward to the caller, the operator's owner, and ends the membership: after
    /// `committedUntil`, with no lock.
    function withdrawBond(address service, address operator) external;

    /// @notice Pays the reward to the caller, the operator's owner, at any time.
    function withdrawReward(address service, address operator) external;

    /// @notice Pays the caller's credit (compensation, opener's and settler's parts).
    function withdraw() external;

    /// @notice Locks the bonds of `operators`; each must be above zero (an operator slashed below the minimum, or
    /// leaving, can still be held to account). Modules only.
    function lock(address service, address[] calldata operators) external;

    /// @notice Releases one lock of each loser and winner, takes the same part of each loser's bond and shares it out:
    /// 40 % to the loser's victim, 20 % to the winners in equal parts, 5 % to the reporter, 5 % to the caller; 30 % is
    /// burnt; what rounding or a lack of winners leaves goes to the victim. Winners' parts are added to their rewards
    /// (so are reporter's and caller's where they are winners), the others' to their credits. Modules only.
    /// The part taken is in basis points, rounded down: all of it while the losers' bonds sum up to at most twice the
    /// largest of them, and beyond that what makes twice the largest in all. Heavy for few, and by bonds, not by heads:
    /// accomplices with next to nothing at stake do not make it lighter.
    /// @param losses each operator at most once
    /// @param winners operators of the same service
    /// @param reporter who brought the evidence
    /// @param caller who brought it to the end
    /// @return amount taken in all
    function slash(
        address service,
        Loss[] calldata losses,
        address[] calldata winners,
        address reporter,
        address caller
    ) external returns (uint256 amount);

    /// @notice Slashes another round of losers of one matter, of whom some may have been slashed in rounds before: all
    /// rounds together take no more than twice the largest bond among all of them, so that nobody makes it heavier (or
    /// lighter) by bringing evidence in parts. Releases one lock of each loser. The victims brought the evidence, each
    /// against its own loser, and get what `slash` pays to victim, winners and reporter. Modules only.
    /// @param losses each operator at most once
    /// @param lost what the rounds before took in all
    /// @param largest the largest bond of the rounds before
    /// @param caller who brought it to the end
    /// @return amount taken in this round
    /// @return most the largest bond of all rounds
    function slashRound(address service, Loss[] calldata losses, uint256 lost, uint256 largest, address caller)
        external
        returns (uint256 amount, uint256 most);

    function stakeOf(address service, address operator) external view returns (Stake memory);

    /// @return whether a client should trust the operator's answers: its bond reaches the service's minimum and it is
    /// not leaving
    function isBonded(address service, address operator) external view returns (bool);

    /// @return wei of the token that `withdraw` would pay to `account`
    function creditOf(address account) external view returns (uint256);

    /// @return wei of the token that was slashed and paid to nobody; it stays here for ever
    function burnt() external view returns (uint256);

    /// @return number of operators with a membership of `service`: joined and bond not yet withdrawn
    function operatorCount(address service) external view returns (uint256);

    /// @return page up to `limit` operators of `service` from index `start`. The order changes when one leaves.
    function operatorsOf(address service, uint256 start, uint256 limit) external view returns (address[] memory page);

    /// @return whether `account` may lock and slash; fixed at deployment
    function isModule(address account) external view returns (bool);

    /// @return the ERC-20
    function token() external view returns (address);

    function registry() external view returns (IRegistry);

    /// @return seconds from `leave` to `withdrawBond`, longer than the longest dispute
    function leaveDelay() external view returns (uint64);
}
