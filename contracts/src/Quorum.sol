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
import {LibRLP} from "solady/utils/LibRLP.sol";

/// @title Quorum
/// @notice Sets of operators, and what they signed: see `IQuorum`.
contract Quorum is IQuorum, EIP712 {
    using Roll for Roll.Draft;

    /// A set as it is stored: one word. Its pages are the contracts created with the nonce `page` and the one after.
    struct Record {
        uint64 fixedAt;
        uint96 power;
        uint8 members;
        uint64 page;
    }

    uint256 private constant POWER_UNIT = 10 ** 9;
    /// Operators that `fix` looks at, so that nobody can make it too expensive by bonding many.
    uint256 private constant MAX_CANDIDATES = 256;

    IRegistry public immutable registry;
    IStaking public immutable staking;
    IRecords public immutable records;
    uint64 public immutable setPeriod;

    mapping(address service => uint64) public setCount;
    mapping(address service => mapping(uint64 set => Record)) private _sets;
    /// The nonce of the next contract that this one creates.
    uint64 private _nextPage = 1;

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
        // What the fields do not hold does not happen: powers below 2^71, block and contract numbers below 2^64.
        // forge-lint: disable-start(unsafe-typecast)
        _sets[service][set] = Record(uint64(block.number), uint96(draft.power), uint8(draft.members), _nextPage);
        _nextPage += draft.members > Roll.PAGE_MEMBERS ? 2 : 1;
        setCount[service] = set;
        emit SetFixed(service, set, uint8(draft.members), uint96(draft.power), draft.write());
        // forge-lint: disable-end(unsafe-typecast)
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
        Record memory record = _sets[service][set];
        return SetHeader(record.fixedAt, record.power, record.members);
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
        return _pagesOf(_known(service, set));
    }

    /// @inheritdoc IQuorum
    function memberOf(address service, uint64 set, uint8 index) external view returns (Member memory) {
        Record memory record = _known(service, set);
        if (index >= record.members) revert UnknownMember(service, set, index);
        return Roll.memberOf(_pagesOf(record), index);
    }

    /// @inheritdoc IQuorum
    function operatorsOf(address service, uint64 set) external view returns (address[] memory operators) {
        Record memory record = _known(service, set);
        return Roll.operatorsOf(_pagesOf(record), record.members);
    }

    /// @inheritdoc IQuorum
    function select(address service, uint64 set, bytes32 seed, uint256 only, uint8 ranks)
        external
        view
        returns (uint8[] memory ranked)
    {
        Record memory record = _known(service, set);
        return Selection.rank(seed, Roll.weightsOf(_pagesOf(record), record.members, only), ranks);
    }

    /// @inheritdoc IQuorum
    function digestOf(address service, uint64 set, bytes32 root) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(Ballots.TYPEHASH, service, set, root)));
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
        Record memory record = _known(service, set);
        if (signers == 0) revert NoSigners();
        if (signers >> record.members != 0) revert SignersOutOfRange(signers, record.members);
        if (certificate.signature.length != BLS.SIGNATURE_LENGTH) {
            revert BadSignatureLength(certificate.signature.length, BLS.SIGNATURE_LENGTH);
        }
        bytes32 digest = digestOf(service, set, certificate.root);
        (uint256[8] memory key, uint256 power) = Roll.sumOf(_pagesOf(record), record.members, record.power, signers);
        uint256[4] memory hash = BLS.hashToG1(abi.encode(digest), BLS.SIGNATURE_TAG);
        if (!BLS.verify(certificate.signature, key, hash)) {
            revert WrongSignature(service, set, certificate.root, signers);
        }
        // Not more than the set's.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(power);
    }

    function _known(address service, uint64 set) private view returns (Record memory record) {
        record = _sets[service][set];
        if (record.fixedAt == 0) revert UnknownSet(service, set);
    }

    function _pagesOf(Record memory record) private view returns (address[2] memory pages) {
        pages[0] = LibRLP.computeAddress(address(this), record.page);
        if (record.members > Roll.PAGE_MEMBERS) pages[1] = LibRLP.computeAddress(address(this), record.page + 1);
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
