// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SuretyToken} from "../SuretyToken.sol";
import {ITasks} from "./ITasks.sol";

/// @title Issuance
/// @notice New tokens for operators, by record and share of work. In every epoch at most `amount` are minted: to each
/// operator its share of the epoch's points. Points are what the operator claimed from `Tasks`, times its record's part
/// of one (`Records.weightOf` without the stake).
/// @dev Fees can be washed: an application that is its own operator pays itself as much as it likes. No rule that looks
/// at fees can tell this from work, so it is made a purchase instead. Of all that is claimed `Tasks` burns 5 %, and nobody
/// is minted more than `rate` tokens for each token that was burnt of its own claims. So a washer buys new tokens at a
/// fixed price, 1/`rate`, burnt, and at most `amount` an epoch; an operator that works gets them at the same price, and
/// it is its customers who have paid it. Where fees are paid in the issued token itself, a rate of at most one makes
/// washing a loss for everybody, and issuance a rebate of what was burnt.
interface IIssuance {
    event Recorded(
        uint256 indexed epoch, address indexed service, address indexed operator, uint256 claimed, uint256 points
    );
    event Minted(uint256 indexed epoch, address indexed service, address indexed operator, address to, uint256 amount);

    error EpochLengthZero();
    error NothingToRecord(address service, address operator);
    error EpochNotOver(uint256 epoch, uint256 current);
    error NothingToMint(uint256 epoch, address service, address operator);

    /// @notice Counts what the operator claimed since it was last counted, for the epoch that runs, with its record as it
    /// is now. Anyone may.
    function record(address service, address operator) external;

    /// @notice Mints the operator's share of an epoch that is over, to the operator's owner. Anyone may.
    function mint(uint256 epoch, address service, address operator) external returns (uint256 minted);

    /// @return number of the epoch that runs, from 0
    function current() external view returns (uint256);

    /// @return points the operator has in an epoch, in wei of the fees' token
    function pointsOf(uint256 epoch, address service, address operator) external view returns (uint256);

    /// @return points of all operators in an epoch
    function pointsIn(uint256 epoch) external view returns (uint256);

    /// @return how much of `Tasks.claimedOf` is counted
    function countedOf(address service, address operator) external view returns (uint256);

    /// @return most that is minted for these points: `rate` for each token that was burnt of the claims behind them
    function mostFor(uint256 points) external view returns (uint256);

    function tasks() external view returns (ITasks);
    function token() external view returns (SuretyToken);
    /// @return most that is minted in an epoch, in wei
    function amount() external view returns (uint256);
    /// @return seconds of an epoch
    function epochLength() external view returns (uint64);
    /// @return Unix seconds at which epoch 0 began
    function began() external view returns (uint64);
    /// @return most new tokens for each token burnt, times 10^18
    function rate() external view returns (uint256);
}
