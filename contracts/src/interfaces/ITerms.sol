// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "./IQuorum.sol";
import {IRegistry} from "./IRegistry.sol";

/// What a service asks for one of its tasks, in wei of the token.
struct Price {
    uint96 perCall;
    uint80 perSecond;
    uint80 perKilobyte;
}

/// @title Terms
/// @notice What a service's owner decides: its quorum, and what its tasks cost. `docs/spec/network.md`, sections 3 and 8.
interface ITerms {
    /// `quorum` counts for `set` and those after it.
    event TermsSet(address indexed service, uint64 set, uint16 quorum);
    event PriceSet(address indexed service, bytes32 indexed task, Price price);

    error UnknownService(address service);
    error NotServiceOwner(address service, address caller, address owner);
    error QuorumOutOfRange(uint16 found);

    /// @notice Sets the quorum of `service`, in 1/10,000 of the power: above 5,000, at most 10,000. Callable by the
    /// service's owner; 6,667 until then. Counts for the sets fixed from now on: what a member signs is never judged by
    /// a quorum that was chosen after it was made a member.
    function setTerms(address service, uint16 quorum) external;

    /// @notice Sets what a task costs. Callable by the service's owner. Counts for runs from the next block on: work
    /// that was begun is paid as it was priced.
    function setPrice(address service, bytes32 task, Price calldata price) external;

    /// @return quorum of the next set
    function quorumOf(address service) external view returns (uint16);

    /// @return quorum that counts for this set
    function quorumAt(address service, uint64 set) external view returns (uint16);

    /// @return price for runs from the next block on
    function priceOf(address service, bytes32 task) external view returns (Price memory);

    /// @return price for runs recorded in this block
    function priceAt(address service, bytes32 task, uint64 block_) external view returns (Price memory);

    /// @param size bytes; a kilobyte that was begun counts in full
    /// @return what a run recorded in this block pays for the task, in wei of the token, before the step's most
    function billOf(address service, bytes32 task, uint64 block_, uint256 secondsSpent, uint256 size)
        external
        view
        returns (uint256);

    function registry() external view returns (IRegistry);
    function quorum() external view returns (IQuorum);
}
