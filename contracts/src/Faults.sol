// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Case, IFaults} from "./interfaces/IFaults.sol";
import {IQuorum} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IStaking, Loss} from "./interfaces/IStaking.sol";
import {ITasks} from "./interfaces/ITasks.sol";
import {Certificate, Proven, Vote, VoteKind} from "./types/Votes.sol";
import {LibBit} from "solady/utils/LibBit.sol";

/// @title Faults
/// @notice Contradicting votes, and what they cost: see `IFaults`.
contract Faults is IFaults {
    uint256 private constant BPS = 10_000;
    bytes32 private constant INVALID = bytes32(uint256(2));

    IQuorum public immutable quorum;
    IStaking public immutable staking;
    IRecords public immutable records;
    ITasks public immutable tasks;
    uint64 public immutable reportWindow;

    /// What all rounds of a case took, and the largest bond among theirs.
    struct Rounds {
        uint128 lost;
        uint128 largest;
    }

    mapping(bytes32 id => Case) private _cases;
    mapping(bytes32 id => Rounds) private _rounds;

    constructor(IStaking staking_, IQuorum quorum_, IRecords records_, ITasks tasks_, uint64 reportWindow_) {
        staking = staking_;
        quorum = quorum_;
        records = records_;
        tasks = tasks_;
        reportWindow = reportWindow_;
    }

    /// @inheritdoc IFaults
    function reportDouble(Proven calldata first, Proven calldata second) external returns (bytes32 id) {
        _checkSameSet(first.certificate, second.certificate);
        VoteKind kind = first.vote.kind;
        // A finding has one value: nobody honest signs another, and nobody is convicted for one.
        if (kind == VoteKind.NONE || kind == VoteKind.FINDING) revert KindHasNoQuorum(uint8(kind));
        _checkContradiction(first.vote, second.vote);
        uint256 guilty = first.certificate.signers & second.certificate.signers;
        if (guilty == 0) revert NotABallot(guilty);
        quorum.verifyVote(first);
        quorum.verifyVote(second);
        return _report(first, guilty);
    }

    /// @inheritdoc IFaults
    function reportMinority(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id) {
        VoteKind kind = ballot.vote.kind;
        // One executor signs a result: there is no quorum for it.
        if (kind == VoteKind.NONE || kind == VoteKind.RESULT || kind == VoteKind.FINDING) {
            revert KindHasNoQuorum(uint8(kind));
        }
        _checkSameSet(ballot.certificate, certified.certificate);
        _checkContradiction(ballot.vote, certified.vote);
        return _reportAgainstQuorum(ballot, certified);
    }

    /// @inheritdoc IFaults
    function reportResult(Proven calldata ballot, Proven calldata certified) external returns (bytes32 id) {
        (Vote calldata result, Vote calldata verdict) = (ballot.vote, certified.vote);
        if (result.kind != VoteKind.RESULT) revert WrongKind(uint8(result.kind), uint8(VoteKind.RESULT));
        if (verdict.kind != VoteKind.VALIDATION) revert WrongKind(uint8(verdict.kind), uint8(VoteKind.VALIDATION));
        _checkSameSet(ballot.certificate, certified.certificate);
        if (verdict.subject != result.value) revert WrongVote(verdict.subject, result.value);
        if (verdict.value != INVALID) revert WrongVote(verdict.value, INVALID);
        return _reportAgainstQuorum(ballot, certified);
    }

    /// @inheritdoc IFaults
    function punish(bytes32 id) external {
        Case storage case_ = _cases[id];
        if (case_.until == 0) revert UnknownCase(id);
        if (case_.punished) revert AlreadyPunished(id);
        if (block.timestamp < case_.until) revert WindowOpen(id, case_.until);
        case_.punished = true;

        (address service, address[] memory operators) = (case_.service, case_.operators);
        Loss[] memory losses = new Loss[](operators.length);
        uint256[] memory bonds = new uint256[](operators.length);
        for (uint256 i; i < operators.length; ++i) {
            losses[i] = Loss(operators[i], case_.reporters[i]);
            bonds[i] = _bondOf(service, operators[i]);
        }
        Rounds memory before = _rounds[id];
        (uint256 slashed, uint256 largest) =
            staking.slashRound(service, losses, before.lost, before.largest, msg.sender);
        // Bonds fit 96 bits, and all of them together.
        // forge-lint: disable-next-line(unsafe-typecast)
        _rounds[id] = Rounds(before.lost + uint128(slashed), uint128(largest));
        for (uint256 i; i < operators.length; ++i) {
            records.incident(service, operators[i], bonds[i] - _bondOf(service, operators[i]));
        }
        emit Punished(id, operators, slashed);
    }

    /// @inheritdoc IFaults
    function idOf(address service, uint64 set, uint8 kind, bytes32 subject) public pure returns (bytes32 id) {
        return keccak256(abi.encode(service, set, kind, subject));
    }

    /// @inheritdoc IFaults
    function caseOf(bytes32 id) external view returns (Case memory) {
        return _cases[id];
    }

    function _reportAgainstQuorum(Proven calldata ballot, Proven calldata certified) private returns (bytes32 id) {
        (address service, uint64 set) = (certified.certificate.service, certified.certificate.set);
        uint256 power = quorum.verifyVote(certified);
        uint256 total = quorum.setOf(service, set).power;
        uint16 needed = tasks.terms().quorumAt(service, set);
        if (power * BPS < needed * total) revert QuorumNotReached(power, total, needed);
        quorum.verifyVote(ballot);
        return _report(ballot, ballot.certificate.signers);
    }

    /// Adds those of the `guilty` to the case who are not in it yet and have something to lose, and locks their bonds.
    function _report(Proven calldata ballot, uint256 guilty) private returns (bytes32 id) {
        (address service, uint64 set) = (ballot.certificate.service, ballot.certificate.set);
        _checkAge(service, set);
        id = idOf(service, set, uint8(ballot.vote.kind), ballot.vote.subject);
        Case storage case_ = _cases[id];
        if (case_.until == 0 || case_.punished) {
            (case_.service, case_.set) = (service, set);
            (case_.until, case_.punished) = (uint64(block.timestamp) + reportWindow, false);
            delete case_.operators;
            delete case_.reporters;
        } else if (block.timestamp >= case_.until) {
            // Their number decides how much each loses: it must be settled before anybody can know it.
            revert WindowOver(id, case_.until);
        }
        uint256 reported = case_.reported;
        uint256 left = guilty & ~reported;
        address[] memory found = new address[](LibBit.popCount(left));
        uint256 count;
        for (; left != 0; left &= left - 1) {
            uint256 index = LibBit.ffs(left);
            // At most 128 members.
            // forge-lint: disable-next-line(unsafe-typecast)
            address operator = quorum.memberOf(service, set, uint8(index)).operator;
            if (_bondOf(service, operator) == 0) continue;
            reported |= 1 << index;
            found[count++] = operator;
            case_.operators.push(operator);
            case_.reporters.push(msg.sender);
            emit Reported(
                id, service, operator, set, uint8(ballot.vote.kind), ballot.vote.subject, msg.sender, case_.until
            );
        }
        if (count == 0) revert NobodyNew(id, guilty);
        case_.reported = reported;
        assembly ("memory-safe") {
            mstore(found, count)
        }
        staking.lock(service, found);
    }

    function _checkSameSet(Certificate calldata a, Certificate calldata b) private pure {
        if (a.service != b.service || a.set != b.set) {
            revert NotTheSame(keccak256(abi.encode(a.service, a.set)), keccak256(abi.encode(b.service, b.set)));
        }
    }

    /// Members of older sets may have withdrawn their bonds, and sign whatever they like for nothing: as many of them as
    /// make a quorum could convict an honest member that is still bonded.
    function _checkAge(address service, uint64 set) private view {
        uint256 age = block.timestamp - quorum.setOf(service, set).time;
        uint256 limit = staking.leaveDelay();
        if (age >= limit) revert SetTooOld(service, set, age, limit);
    }

    function _checkContradiction(Vote calldata a, Vote calldata b) private pure {
        if (a.kind != b.kind || a.subject != b.subject) {
            revert NotTheSame(keccak256(abi.encode(a.kind, a.subject)), keccak256(abi.encode(b.kind, b.subject)));
        }
        if (a.value == b.value) revert NoContradiction(a.value);
    }

    function _bondOf(address service, address operator) private view returns (uint256) {
        return staking.stakeOf(service, operator).bond;
    }
}
