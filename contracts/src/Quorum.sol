// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum, Member, SetHeader} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IStaking} from "./interfaces/IStaking.sol";
import {BLS} from "./libraries/BLS.sol";
import {Ballots} from "./libraries/Ballots.sol";
import {Draws} from "./libraries/Draws.sol";
import {Roll} from "./libraries/Roll.sol";
import {Selection} from "./libraries/Selection.sol";
import {Certificate, Proven} from "./types/Votes.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";

/// @title Quorum
/// @notice Sets of operators, and what they signed: see `IQuorum`.
contract Quorum is IQuorum, EIP712 {
    using Roll for Roll.Draft;

    uint256 private constant POWER_UNIT = 10 ** 9;
    /// Operators that `fix` looks at, so that nobody can make it too expensive by bonding many.
    uint256 private constant MAX_CANDIDATES = 192;

    IRegistry public immutable registry;
    IStaking public immutable staking;
    IRecords public immutable records;
    uint64 public immutable setPeriod;

    mapping(address service => uint64) public setCount;
    mapping(address service => mapping(uint64 set => SetHeader)) private _sets;

    constructor(IRegistry registry_, IStaking staking_, IRecords records_, uint64 setPeriod_) {
        registry = registry_;
        staking = staking_;
        records = records_;
        setPeriod = setPeriod_;
    }

    // Sets

    /// @inheritdoc IQuorum
    function fix(address service) external returns (uint64 set) {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
        set = setCount[service];
        if (set != 0) {
            uint256 next = uint256(_sets[service][set].fixedAt) + setPeriod;
            if (block.number < next) revert TooEarly(service, block.number, next);
        }
        ++set;
        bytes32 seed = keccak256(abi.encode(block.prevrandao, service, set));
        (address[] memory operators, address[] memory keys) = _eligible(service, seed);
        if (operators.length == 0) revert NoMembers(service);
        Roll.Draft memory draft = Roll.start(operators.length < Roll.MAX_MEMBERS ? operators.length : Roll.MAX_MEMBERS);
        uint256 mask = Draws.choose(operators.length, Roll.MAX_MEMBERS, seed);
        for (uint256 i; i < operators.length; ++i) {
            if (mask >> i & 1 == 0) continue;
            uint256 bond = staking.stakeOf(service, operators[i]).bond;
            records.seen(service, operators[i]);
            uint64 weight = records.weightOf(service, operators[i], bond);
            draft.add(operators[i], _powerOf(bond), weight, keys[i]);
        }
        draft.write(service, set);
        // Members fit 8 bits, powers 71.
        // forge-lint: disable-next-line(unsafe-typecast)
        SetHeader memory header =
            SetHeader(uint64(block.number), uint96(draft.power), uint8(draft.members), uint64(block.timestamp));
        _sets[service][set] = header;
        setCount[service] = set;
        emit SetFixed(service, set, header.members, header.power, _pagesOf(service, set, header.members));
    }

    // Signatures

    /// @inheritdoc IQuorum
    function verify(Certificate calldata certificate) external view returns (uint96 power) {
        return _verify(certificate);
    }

    /// @inheritdoc IQuorum
    function verifyVote(Proven calldata proven) external view returns (uint96 power) {
        Ballots.check(proven.certificate.root, proven.vote, proven.proof);
        return _verify(proven.certificate);
    }

    // Views

    /// @inheritdoc IQuorum
    function setOf(address service, uint64 set) external view returns (SetHeader memory) {
        return _sets[service][set];
    }

    /// @inheritdoc IQuorum
    function setAt(address service, uint64 block_) external view returns (uint64 set) {
        // All up to `set` are fixed by then, all from `after_` on are not.
        uint64 after_ = setCount[service] + 1;
        while (after_ - set > 1) {
            uint64 middle = set + (after_ - set) / 2;
            if (_sets[service][middle].fixedAt <= block_) set = middle;
            else after_ = middle;
        }
    }

    /// @inheritdoc IQuorum
    function pagesOf(address service, uint64 set) external view returns (address[2] memory) {
        return _pagesOf(service, set, _membersOf(service, set));
    }

    /// @inheritdoc IQuorum
    function memberOf(address service, uint64 set, uint8 index) external view returns (Member memory) {
        uint8 members = _membersOf(service, set);
        if (index >= members) revert UnknownMember(service, set, index);
        return Roll.memberOf(_pagesOf(service, set, members), index);
    }

    /// @inheritdoc IQuorum
    function operatorsOf(address service, uint64 set) external view returns (address[] memory operators) {
        uint8 members = _membersOf(service, set);
        return Roll.operatorsOf(_pagesOf(service, set, members), members);
    }

    /// @inheritdoc IQuorum
    function select(address service, uint64 set, bytes32 seed, uint256 only, uint8 ranks)
        external
        view
        returns (uint8[] memory ranked)
    {
        uint8 members = _membersOf(service, set);
        return Selection.rank(seed, Roll.weightsOf(_pagesOf(service, set, members), members, only), ranks);
    }

    /// @inheritdoc IQuorum
    function digestOf(address service, uint64 set, bytes32 root) public view returns (bytes32) {
        return _hashTypedData(
            EfficientHashLib.hash(Ballots.TYPEHASH, bytes32(uint256(uint160(service))), bytes32(uint256(set)), root)
        );
    }

    /// Those of the service's operators that can be members, in the order of `Staking`, and where their keys are. Of
    /// more than `MAX_CANDIDATES` operators, so many, drawn with equal chances, are looked at.
    function _eligible(address service, bytes32 seed)
        private
        view
        returns (address[] memory operators, address[] memory keys)
    {
        uint256 count = staking.operatorCount(service);
        address[] memory candidates;
        if (count <= MAX_CANDIDATES) {
            candidates = staking.operatorsOf(service, 0, count);
        } else {
            uint256[] memory indices = Draws.sample(count, MAX_CANDIDATES, seed);
            candidates = new address[](MAX_CANDIDATES);
            for (uint256 i; i < MAX_CANDIDATES; ++i) {
                candidates[i] = staking.operatorsOf(service, indices[i], 1)[0];
            }
        }
        operators = candidates;
        keys = new address[](candidates.length);
        uint256 found;
        for (uint256 i; i < candidates.length; ++i) {
            address page = registry.keysAt(candidates[i]);
            if (page == address(0) || !staking.isBonded(service, candidates[i])) continue;
            (operators[found], keys[found]) = (candidates[i], page);
            ++found;
        }
        assembly ("memory-safe") {
            mstore(operators, found)
            mstore(keys, found)
        }
    }

    function _verify(Certificate calldata certificate) private view returns (uint96) {
        (address service, uint64 set, uint256 signers) = (certificate.service, certificate.set, certificate.signers);
        bytes calldata signature = certificate.signature;
        if (signers == 0) revert NoSigners();
        if (signature.length != BLS.SIGNATURE_LENGTH) {
            revert BadSignatureLength(signature.length, BLS.SIGNATURE_LENGTH);
        }
        (uint256 frame, uint256 hash, uint256 key) = BLS.frame();
        uint256 power = _sum(service, set, signers, key);
        BLS.hashToG1(digestOf(service, set, certificate.root), BLS.SIGNATURE_TAG, hash);
        if (!BLS.verify(signature, frame)) revert WrongSignature(service, set, certificate.root, signers);
        // Not more than the set's.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(power);
    }

    /// Puts the sum of the signers' keys, negated, into memory at `key`, where there is room for two points.
    /// @return power of the signers together
    function _sum(address service, uint64 set, uint256 signers, uint256 key) private view returns (uint256) {
        bytes32 salt = Roll.saltOf(service, set);
        address page = Roll.pageAt(salt);
        (uint256 members, uint256 power) = Roll.head(page, key);
        if (members == 0) revert UnknownSet(service, set);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (signers >> members != 0) revert SignersOutOfRange(signers, uint8(members));
        unchecked {
            uint256 absent = ((1 << members) - 1) ^ signers;
            if (absent == 0) return power;
            // Whoever is fewer is added up: the signers, or those absent, to be taken from all.
            bool few = 2 * LibBit.popCount(signers) <= members;
            uint256 mask = few ? signers : absent;
            address second = mask >> Roll.PAGE_MEMBERS == 0 ? page : Roll.pageAt(Roll.secondOf(salt));
            if (!few) return power - Roll.addKeys(page, second, mask, key);
            BLS.clear(key);
            power = Roll.addKeys(page, second, mask, key);
            BLS.negate(key);
            return power;
        }
    }

    function _membersOf(address service, uint64 set) private view returns (uint8 members) {
        members = _sets[service][set].members;
        if (members == 0) revert UnknownSet(service, set);
    }

    function _pagesOf(address service, uint64 set, uint256 members) private view returns (address[2] memory pages) {
        bytes32 salt = Roll.saltOf(service, set);
        pages[0] = Roll.pageAt(salt);
        if (members > Roll.PAGE_MEMBERS) pages[1] = Roll.pageAt(Roll.secondOf(salt));
    }

    /// At least 1: in a set without any power, nobody would be a quorum.
    function _powerOf(uint256 bond) private pure returns (uint64) {
        uint256 power = bond / POWER_UNIT;
        if (power == 0) return 1;
        // forge-lint: disable-next-line(unsafe-typecast)
        return power < type(uint64).max ? uint64(power) : type(uint64).max;
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("Surety", "1");
    }
}
