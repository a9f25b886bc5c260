// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Certificate, Proven} from "../types/Votes.sol";
import {IRecords} from "./IRecords.sol";
import {IRegistry} from "./IRegistry.sol";
import {IStaking} from "./IStaking.sol";

/// What is stored of a set besides its roll.
struct SetHeader {
    /// block it was fixed at; 0 if there is no such set
    uint64 fixedAt;
    /// sum of the members' powers
    uint96 power;
    /// number of members, at most 128
    uint8 members;
    /// Unix seconds of the block it was fixed at
    uint64 time;
}

/// One member of a set.
struct Member {
    address operator;
    /// bond / 10^9 when the set was fixed
    uint64 power;
    /// weight in selections (`docs/spec/network.md`, section 6)
    uint64 weight;
    /// public key, 256 bytes, G2 as in EIP-2537
    bytes key;
}

/// @title Quorum
/// @notice Sets of operators, fixed at a block, and the verification of what they signed:
/// `docs/spec/network.md`, sections 2 and 3.
interface IQuorum {
    /// `pages` are contracts whose code holds the roll (`docs/spec/network.md`, section 2): after 289 bytes, the aggregate
    /// key and the first 64 members; after one byte, the rest.
    event SetFixed(address indexed service, uint64 indexed set, uint8 members, uint96 power, address[2] pages);

    event SizeSet(address indexed service, uint8 members);

    error UnknownService(address service);
    error NotServiceOwner(address service, address caller, address owner);
    error SizeOutOfRange(uint256 found, uint256 limit);
    error NoMembers(address service);
    error TooEarly(address service, uint256 block_, uint256 next);
    error UnknownSet(address service, uint64 set);
    error UnknownMember(address service, uint64 set, uint8 index);
    error NoSigners();
    error SignersOutOfRange(uint256 signers, uint8 members);
    error BadSignatureLength(uint256 found, uint256 expected);
    error WrongSignature(address service, uint64 set, bytes32 root, uint256 signers);
    error ProofTooLong(uint256 found, uint256 limit);
    error NotUnderRoot(bytes32 leaf, bytes32 root);

    /// @notice Sets how many members are drawn, from all operators that can be, into the sets fixed from now on: at most
    /// 128, which is what 0 means. Callable by the service's owner.
    function setSize(address service, uint8 members) external;

    /// @notice Fixes the next set of `service`, from the operators as they are now, its hosts (`IRegistry.isHost`) left out. Callable by anyone, `setPeriod`
    /// blocks after the last one. Of more than 192 operators, 192 drawn from `prevrandao` are looked at, so that its gas
    /// is bounded whoever joins.
    /// @return set its number
    function fix(address service) external returns (uint64 set);

    /// @notice Reverts unless the signature is the sum of the signers' over the ballot's digest, and not the point at
    /// infinity. A signature that is no point of G1 costs all gas but a 64th.
    /// @return power of the signers together
    function verify(Certificate calldata certificate) external view returns (uint96 power);

    /// @notice As `verify`, and the vote must be under the root.
    function verifyVote(Proven calldata proven) external view returns (uint96 power);

    /// @return members that are drawn at most into the next set
    function sizeOf(address service) external view returns (uint8 members);

    /// @return number of the last set of `service`; 0 if there is none
    function setCount(address service) external view returns (uint64);

    function setOf(address service, uint64 set) external view returns (SetHeader memory);

    /// @return set number of the set in force at `block_`: the last one fixed at or before it; 0 if there is none
    function setAt(address service, uint64 block_) external view returns (uint64 set);

    /// @return the contracts that hold the set's roll, as in `SetFixed`; the second is zero if one is enough
    function pagesOf(address service, uint64 set) external view returns (address[2] memory);

    /// @return the member with this index
    function memberOf(address service, uint64 set, uint8 index) external view returns (Member memory);

    /// @return operators of all members, in order
    function operatorsOf(address service, uint64 set) external view returns (address[] memory operators);

    /// @return ranked indices of the members with ranks 0 to `ranks` - 1, fewer if the weights run out.
    /// @param only mask of the members that can be drawn (type(uint256).max for all)
    function select(address service, uint64 set, bytes32 seed, uint256 only, uint8 ranks)
        external
        view
        returns (uint8[] memory ranked);

    /// @return the digest that a ballot's signature is over
    function digestOf(address service, uint64 set, bytes32 root) external view returns (bytes32);

    function registry() external view returns (IRegistry);
    function staking() external view returns (IStaking);
    function records() external view returns (IRecords);
    /// @return least number of blocks between two sets of a service
    function setPeriod() external view returns (uint64);
}
