// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum, Member, SetHeader} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IService} from "./interfaces/IService.sol";
import {IStaking} from "./interfaces/IStaking.sol";
import {Ballots} from "./libraries/Ballots.sol";
import {Certificates} from "./libraries/Certificates.sol";
import {Draws} from "./libraries/Draws.sol";
import {Roll} from "./libraries/Roll.sol";
import {Selection} from "./libraries/Selection.sol";
import {Certificate, Proven} from "./types/Votes.sol";
import {EIP712} from "solady/utils/EIP712.sol";

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
    /// 0 where nothing was set.
    mapping(address service => uint8) private _sizes;

    constructor(IRegistry registry_, IStaking staking_, IRecords records_, uint64 setPeriod_) {
        registry = registry_;
        staking = staking_;
        records = records_;
        setPeriod = setPeriod_;
    }

    // Sets

    /// @inheritdoc IQuorum
    function setSize(address service, uint8 members) external {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
        address owner = IService(service).owner();
        if (msg.sender != owner) revert NotServiceOwner(service, msg.sender, owner);
        if (members > Roll.MAX_MEMBERS) revert SizeOutOfRange(members, Roll.MAX_MEMBERS);
        _sizes[service] = members;
        emit SizeSet(service, sizeOf(service));
    }

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
        uint256 size = sizeOf(service);
        Roll.Draft memory draft = Roll.start(operators.length < size ? operators.length : size);
        uint256 mask = Draws.choose(operators.length, size, seed);
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
    function sizeOf(address service) public view returns (uint8 members) {
        members = _sizes[service];
        if (members == 0) members = uint8(Roll.MAX_MEMBERS);
    }

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
    function digestOf(address service, uint64 set, bytes32 root) external view returns (bytes32) {
        return Certificates.digestOf(_domainSeparator(), service, set, root);
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
        // Most services have none, and need not be asked about each candidate.
        bool hosted = registry.hostCount(service) != 0;
        for (uint256 i; i < candidates.length; ++i) {
            if (hosted && registry.isHost(service, candidates[i])) continue;
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
        (uint256 power,,) = Certificates.verify(
            address(this),
            _domainSeparator(),
            certificate.service,
            certificate.set,
            certificate.root,
            certificate.signers,
            certificate.signature
        );
        // Not more than the set's.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(power);
    }

    function _membersOf(address service, uint64 set) private view returns (uint8 members) {
        members = _sets[service][set].members;
        if (members == 0) revert UnknownSet(service, set);
    }

    function _pagesOf(address service, uint64 set, uint256 members) private view returns (address[2] memory pages) {
        bytes32 salt = Roll.saltOf(service, set);
        pages[0] = Roll.pageAt(address(this), salt);
        if (members > Roll.PAGE_MEMBERS) pages[1] = Roll.pageAt(address(this), Roll.secondOf(salt));
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
