// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Deployment, IIntegrity, Plan, Status, Verdict} from "./interfaces/IIntegrity.sol";
import {IQuorum, SetHeader} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IService} from "./interfaces/IService.sol";
import {IStaking, Loss} from "./interfaces/IStaking.sol";
import {ITerms} from "./interfaces/ITerms.sol";
import {Absences} from "./libraries/Absences.sol";
import {Certificates} from "./libraries/Certificates.sol";
import {Field, Fields} from "./libraries/Fields.sol";
import {Verdicts} from "./libraries/Verdicts.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {LibCall} from "solady/utils/LibCall.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title Integrity
/// @notice Containers, measured and attested: see `IIntegrity`.
contract Integrity is IIntegrity {
    using Absences for Absences.Counts;
    using Fields for uint256;

    /// A plan: image, specification, and in one word what `_terms` has of it.
    struct PlanRecord {
        bytes32 image;
        bytes32 specification;
        uint256 terms;
    }

    /// A deployment. The order of its words is part of what state proofs are about (`vectors/integrity/layout.json`).
    struct Record {
        uint256 state;
        uint256 terms;
        uint256 host;
        bytes32 baseline;
        bytes32 image;
        bytes32 specification;
        bytes32 evidence;
        address reporter;
    }

    /// What the members of a set earned with a deployment, besides what the deployment's own word says of the last set.
    struct Earnings {
        /// epochs recorded and paid, once a later set has signed
        uint256 paid;
        Absences.Counts absences;
        /// what each seat has collected, in epochs
        mapping(uint256 seat => uint256) collected;
    }

    // The word that is written for each epoch (`Deployment` says what they mean; amounts in units).
    Field private constant STATUS = Field.wrap(((1 << 8) - 1) << 8);
    Field private constant LAST_EPOCH = Field.wrap(((1 << 32) - 1) << 8 | 8);
    Field private constant SET = Field.wrap(((1 << 32) - 1) << 8 | 40);
    Field private constant EXPIRY = Field.wrap(((1 << 40) - 1) << 8 | 72);
    Field private constant PAID = Field.wrap(((1 << 32) - 1) << 8 | 112);
    Field private constant INTACT = Field.wrap(((1 << 32) - 1) << 8 | 144);
    Field private constant MISSING = Field.wrap(((1 << 16) - 1) << 8 | 176);
    Field private constant ESCROW = Field.wrap(((1 << 64) - 1) << 8 | 192);

    // The word that is read for each epoch.
    Field private constant START = Field.wrap(((1 << 40) - 1) << 8);
    Field private constant EPOCH = Field.wrap(((1 << 24) - 1) << 8 | 40);
    Field private constant UNREACHABLE_AFTER = Field.wrap(((1 << 16) - 1) << 8 | 64);
    Field private constant QUORUM = Field.wrap(((1 << 16) - 1) << 8 | 80);
    Field private constant REWARD = Field.wrap(((1 << 48) - 1) << 8 | 96);
    Field private constant HOST_REWARD = Field.wrap(((1 << 48) - 1) << 8 | 144);
    Field private constant REQUESTED_AT = Field.wrap(((1 << 40) - 1) << 8 | 192);

    // The word about the host.
    Field private constant HOST = Field.wrap(((1 << 160) - 1) << 8);
    Field private constant COLLECTED = Field.wrap(((1 << 32) - 1) << 8 | 160);
    Field private constant RETIRED_AT = Field.wrap(((1 << 40) - 1) << 8 | 192);
    Field private constant LOCKED = Field.wrap(1 << 8 | 232);

    uint256 private constant BPS = 10_000;
    /// All amounts are multiples of it, so that they fit.
    uint256 private constant UNIT = 10 ** 9;
    uint256 private constant MAX_REWARD = type(uint48).max;
    uint256 private constant MAX_ESCROW = type(uint64).max;
    uint256 private constant MIN_EPOCH = 4 seconds;
    uint256 private constant MAX_EPOCH = 1 days;
    uint256 private constant MAX_UNREACHABLE = 1000;
    uint256 private constant MAX_QUOTE = 24 * 1024;
    /// A retired deployment stays open for what happened before: so many epochs, and so many seconds.
    uint256 private constant GRACE_EPOCHS = 4;
    uint256 private constant GRACE = 10 minutes;
    /// A member that was bonded when its set was fixed has a bond for `leaveDelay` at least.
    uint64 private constant AGE_DIVISOR = 2;
    uint256 private constant SERVICE_SHIFT = 96;
    /// For asking a service who owns it, where that must not decide whether others get what is theirs.
    uint256 private constant OWNER_GAS = 50_000;

    mapping(uint256 deployment => Record) private _deployments;
    mapping(address service => uint256) public deploymentCount;
    mapping(address service => PlanRecord) private _plans;
    mapping(uint256 deployment => mapping(uint256 set => Earnings)) private _earnings;
    mapping(address account => uint256) public creditOf;
    mapping(address operator => bytes32) public quoteOf;

    address public immutable token;
    IRegistry public immutable registry;
    IStaking public immutable staking;
    IQuorum public immutable quorum;
    ITerms public immutable terms;
    IRecords public immutable records;
    uint64 public immutable maxSetAge;
    uint256 private immutable _chainId;
    bytes32 private immutable _domain;

    constructor(IStaking staking_, IQuorum quorum_, IRecords records_, ITerms terms_) {
        staking = staking_;
        quorum = quorum_;
        records = records_;
        terms = terms_;
        token = staking_.token();
        registry = staking_.registry();
        maxSetAge = staking_.leaveDelay() / AGE_DIVISOR;
        _chainId = block.chainid;
        _domain = Certificates.domainOf(address(quorum_));
    }

    // Service's owner

    /// @inheritdoc IIntegrity
    function setPlan(address service, Plan calldata plan) external {
        _checkServiceOwner(service);
        if (plan.epoch < MIN_EPOCH || plan.epoch > MAX_EPOCH) revert EpochOutOfRange(plan.epoch, MIN_EPOCH, MAX_EPOCH);
        if (plan.unreachableAfter == 0 || plan.unreachableAfter > MAX_UNREACHABLE) {
            revert UnreachableAfterOutOfRange(plan.unreachableAfter, 1, MAX_UNREACHABLE);
        }
        uint256 word = uint256(0).set(EPOCH, plan.epoch).set(UNREACHABLE_AFTER, plan.unreachableAfter);
        word = word.set(REWARD, _units(plan.reward, MAX_REWARD)).set(HOST_REWARD, _units(plan.hostReward, MAX_REWARD));
        _plans[service] = PlanRecord(plan.image, plan.specification, word);
        emit PlanSet(service, plan);
    }

    /// @inheritdoc IIntegrity
    function deploy(address service, address host) external returns (uint256 deployment) {
        address owner = _checkServiceOwner(service);
        PlanRecord storage plan = _plans[service];
        uint256 word = plan.terms;
        if (word == 0) revert NoPlan(service);
        if (!registry.isHost(service, host)) revert NotAHost(service, host);
        bool bonded = staking.isBonded(service, host);
        if (!bonded && registry.ownerOf(host) != owner) revert HostNotBonded(service, host);
        uint64 set = _checkNoMember(service, host);

        deployment = idOf(service, ++deploymentCount[service]);
        Record storage record = _deployments[deployment];
        record.state = uint256(0).set(STATUS, uint256(Status.REQUESTED)).set(SET, set);
        record.terms = word.set(REQUESTED_AT, block.number);
        record.host = uint256(0).set(HOST, uint160(host)).set(LOCKED, bonded ? 1 : 0);
        (record.image, record.specification) = (plan.image, plan.specification);
        emit DeploymentRequested(deployment, service, host, set);
        if (bonded) staking.lock(service, _list(host));
    }

    /// @inheritdoc IIntegrity
    function fund(uint256 deployment, uint256 amount) external {
        Record storage record = _deployments[deployment];
        uint256 state = record.state;
        Status status = _statusOf(state);
        if (status != Status.REQUESTED && status != Status.RUNNING) revert WrongStatus(deployment, status);
        uint256 escrow = state.get(ESCROW) + _units(amount, MAX_ESCROW);
        if (escrow > MAX_ESCROW) revert EscrowTooLarge(escrow * UNIT, MAX_ESCROW * UNIT);
        record.state = state.set(ESCROW, escrow);
        emit Funded(deployment, msg.sender, amount);
        uint256 before = SafeTransferLib.balanceOf(token, address(this));
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        uint256 received = SafeTransferLib.balanceOf(token, address(this)) - before;
        if (received != amount) revert FeeOnTransfer(amount, received);
    }

    /// @inheritdoc IIntegrity
    function retire(uint256 deployment) external {
        Record storage record = _deployments[deployment];
        uint256 state = record.state;
        Status status = _statusOf(state);
        if (status != Status.REQUESTED && status != Status.RUNNING) revert WrongStatus(deployment, status);
        // The host's owner may although the service's contract has none any more.
        if (
            msg.sender != registry.ownerOf(record.host.get(HOST).toAddress())
                && msg.sender != _ownerOf(_serviceOf(deployment))
        ) revert NotOwnerNorHost(deployment, msg.sender);
        // What never ran can be over at once.
        bool ran = status == Status.RUNNING;
        status = ran ? Status.RETIRING : Status.RETIRED;
        record.state = state.set(STATUS, uint256(status));
        record.host = record.host.set(RETIRED_AT, block.timestamp);
        emit Ended(deployment, status);
        if (!ran) {
            _refund(deployment, record);
            _unlock(deployment, record);
        }
    }

    // Anyone, with what members signed

    /// @inheritdoc IIntegrity
    function baseline(uint256 deployment, bytes32 root, uint64 set, uint256 signers, bytes calldata signature)
        external
    {
        Record storage record = _deployments[deployment];
        uint256 state = record.state;
        if (_statusOf(state) != Status.REQUESTED) revert WrongStatus(deployment, _statusOf(state));
        if (root == 0) revert RootZero();
        uint256 word;
        (state, word) = _useSet(deployment, state, record.terms, set);
        bytes32 signed = Verdicts.leafOf(Verdicts.subjectOf(address(this), deployment, 0), root);
        _verify(deployment, set, signed, signers, signature, word.get(QUORUM));

        record.state = state.set(STATUS, uint256(Status.RUNNING));
        record.terms = word.set(START, block.timestamp);
        record.baseline = root;
        emit BaselineRecorded(deployment, root, set, signers);
    }

    /// @inheritdoc IIntegrity
    function report(
        uint256 deployment,
        uint32 epoch,
        Verdict verdict,
        bytes32 evidence,
        uint64 set,
        uint256 signers,
        bytes calldata signature
    ) external {
        Record storage record = _deployments[deployment];
        (uint256 state, uint256 word) = (record.state, record.terms);
        _checkReport(deployment, record, state, word, epoch, verdict, evidence);
        if (set != state.get(SET) || block.timestamp > state.get(EXPIRY)) {
            uint256 last = state.get(SET);
            uint256 before = word;
            uint256 paid = state.get(PAID);
            (state, word) = _useSet(deployment, state, word, set);
            // What was earned in the last one is kept for its members.
            _earnings[deployment][last].paid = paid;
            state = state.set(PAID, 0);
            if (word != before) record.terms = word;
        }
        bytes32 root = Verdicts.rootOf(Verdicts.subjectOf(address(this), deployment, epoch), verdict, evidence);
        uint256 members = _verify(deployment, set, root, signers, signature, word.get(QUORUM));

        // One epoch is recorded, and paid, at most once: drift may be of one that was.
        bool paying;
        if (epoch > state.get(LAST_EPOCH)) {
            state = state.set(LAST_EPOCH, epoch);
            (state, paying) = _pay(deployment, state, word, verdict, set, signers, members);
            if (verdict == Verdict.INTACT) {
                state = state.set(MISSING, 0);
            } else if (verdict == Verdict.UNREACHABLE && state.get(MISSING) != type(uint16).max) {
                state = state.set(MISSING, state.get(MISSING) + 1);
            }
        }
        // Sets' numbers fit 32 bits (`_useSet`), signers 128 (`Quorum`).
        // forge-lint: disable-next-line(unsafe-typecast)
        emit EpochRecorded(deployment, epoch, verdict, uint32(set), uint128(signers), paying);
        if (verdict != Verdict.INTACT) state = _end(deployment, record, state, word, epoch, verdict, evidence);
        record.state = state;
        if (_statusOf(state) == Status.UNREACHABLE) _unlock(deployment, record);
    }

    // Anyone

    /// @inheritdoc IIntegrity
    function punish(uint256 deployment) external {
        Record storage record = _deployments[deployment];
        Status status = _statusOf(record.state);
        if (status != Status.DRIFTED) revert WrongStatus(deployment, status);
        uint256 word = record.host;
        if (word.get(LOCKED) == 0) revert NothingToPunish(deployment);
        record.host = word.set(LOCKED, 0);
        (address service, address host) = (_serviceOf(deployment), word.get(HOST).toAddress());
        Loss[] memory losses = new Loss[](1);
        address victim = _findOwner(service);
        losses[0] = Loss(host, victim == address(0) ? record.reporter : victim);
        uint256 slashed = staking.slash(service, losses, new address[](0), record.reporter, msg.sender);
        records.incident(service, host, slashed);
        emit Punished(deployment, host, slashed);
    }

    /// @inheritdoc IIntegrity
    function settle(uint256 deployment) external {
        Record storage record = _deployments[deployment];
        uint256 state = record.state;
        Status status = _statusOf(state);
        if (status == Status.RETIRING) {
            uint256 from = record.host.get(RETIRED_AT) + graceOf(deployment);
            if (block.timestamp < from) revert NotYet(deployment, from);
            record.state = state.set(STATUS, uint256(Status.RETIRED));
            emit Ended(deployment, Status.RETIRED);
            _refund(deployment, record);
            _unlock(deployment, record);
        } else {
            // A retired one has something left if its service had no owner then.
            if (status != Status.DRIFTED && status != Status.UNREACHABLE && status != Status.RETIRED) {
                revert WrongStatus(deployment, status);
            }
            if (!_refund(deployment, record)) revert NothingToSettle(deployment);
        }
    }

    /// @inheritdoc IIntegrity
    function collect(uint256 deployment, uint64 set, uint8 seat) external {
        address service = _serviceOf(deployment);
        (uint256 epochs, uint256 share) = _uncollected(deployment, set, seat);
        if (epochs == 0 || share == 0) revert NothingToCollect(deployment);
        _earnings[deployment][set].collected[seat] += epochs;
        _earn(deployment, quorum.memberOf(service, set, seat).operator, epochs * share * UNIT);
    }

    /// @inheritdoc IIntegrity
    function collectHost(uint256 deployment) external {
        uint256 amount = uncollectedOfHost(deployment);
        if (amount == 0) revert NothingToCollect(deployment);
        Record storage record = _deployments[deployment];
        uint256 word = record.host.set(COLLECTED, record.state.get(INTACT));
        record.host = word;
        _earn(deployment, word.get(HOST).toAddress(), amount);
    }

    /// @inheritdoc IIntegrity
    function withdraw() external {
        uint256 amount = creditOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        creditOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        SafeTransferLib.safeTransfer(token, msg.sender, amount);
    }

    // Operators

    /// @inheritdoc IIntegrity
    function registerQuote(address operator, bytes calldata envelope) external {
        address owner = registry.ownerOf(operator);
        if (msg.sender != owner) revert NotOperatorOwner(operator, msg.sender, owner);
        if (envelope.length > MAX_QUOTE) revert QuoteTooLong(envelope.length, MAX_QUOTE);
        bytes32 hash = envelope.length == 0 ? bytes32(0) : keccak256(envelope);
        quoteOf[operator] = hash;
        emit QuoteRegistered(operator, hash, envelope);
    }

    // Views

    /// @inheritdoc IIntegrity
    function planOf(address service) external view returns (Plan memory) {
        PlanRecord storage plan = _plans[service];
        uint256 word = plan.terms;
        return Plan(
            plan.image,
            plan.specification,
            uint24(word.get(EPOCH)),
            uint16(word.get(UNREACHABLE_AFTER)),
            uint96(word.get(REWARD) * UNIT),
            uint96(word.get(HOST_REWARD) * UNIT)
        );
    }

    /// @inheritdoc IIntegrity
    function deploymentOf(uint256 deployment) external view returns (Deployment memory d) {
        Record storage record = _deployments[deployment];
        (uint256 state, uint256 word, uint256 host) = (record.state, record.terms, record.host);
        d.status = _statusOf(state);
        d.lastEpoch = uint32(state.get(LAST_EPOCH));
        d.set = uint32(state.get(SET));
        d.expiry = uint40(state.get(EXPIRY));
        d.paid = uint32(state.get(PAID));
        d.intact = uint32(state.get(INTACT));
        d.unreachable = uint16(state.get(MISSING));
        d.escrow = uint96(state.get(ESCROW) * UNIT);
        d.start = uint40(word.get(START));
        d.epoch = uint24(word.get(EPOCH));
        d.unreachableAfter = uint16(word.get(UNREACHABLE_AFTER));
        d.quorum = uint16(word.get(QUORUM));
        d.reward = uint96(word.get(REWARD) * UNIT);
        d.hostReward = uint96(word.get(HOST_REWARD) * UNIT);
        d.requestedAt = uint40(word.get(REQUESTED_AT));
        d.host = host.get(HOST).toAddress();
        d.collected = uint32(host.get(COLLECTED));
        d.retiredAt = uint40(host.get(RETIRED_AT));
        d.locked = host.get(LOCKED) == 1;
        (d.baseline, d.image, d.specification) = (record.baseline, record.image, record.specification);
        (d.evidence, d.reporter) = (record.evidence, record.reporter);
    }

    /// @inheritdoc IIntegrity
    function idOf(address service, uint256 n) public pure returns (uint256) {
        return uint256(uint160(service)) << SERVICE_SHIFT | n;
    }

    /// @inheritdoc IIntegrity
    function subjectOf(uint256 deployment, uint32 epoch) external view returns (bytes32) {
        return Verdicts.subjectOf(address(this), deployment, epoch);
    }

    /// @inheritdoc IIntegrity
    function rootOf(uint256 deployment, uint32 epoch, Verdict verdict, bytes32 evidence)
        external
        view
        returns (bytes32)
    {
        return Verdicts.rootOf(Verdicts.subjectOf(address(this), deployment, epoch), verdict, evidence);
    }

    /// @inheritdoc IIntegrity
    function paidIn(uint256 deployment, uint64 set) public view returns (uint256) {
        uint256 state = _deployments[deployment].state;
        return set == state.get(SET) ? state.get(PAID) : _earnings[deployment][set].paid;
    }

    /// @inheritdoc IIntegrity
    function absencesOf(uint256 deployment, uint64 set, uint8 seat) external view returns (uint256) {
        if (seat >= quorum.setOf(_serviceOf(deployment), set).members) revert NotAMember(deployment, set, seat);
        return _earnings[deployment][set].absences.countOf(seat);
    }

    /// @inheritdoc IIntegrity
    function uncollectedOf(uint256 deployment, uint64 set, uint8 seat) external view returns (uint256) {
        (uint256 epochs, uint256 share) = _uncollected(deployment, set, seat);
        return epochs * share * UNIT;
    }

    /// @inheritdoc IIntegrity
    function uncollectedOfHost(uint256 deployment) public view returns (uint256) {
        Record storage record = _deployments[deployment];
        uint256 epochs = record.state.get(INTACT) - record.host.get(COLLECTED);
        return epochs * record.terms.get(HOST_REWARD) * UNIT;
    }

    /// @inheritdoc IIntegrity
    function graceOf(uint256 deployment) public view returns (uint256) {
        return GRACE + GRACE_EPOCHS * _deployments[deployment].terms.get(EPOCH);
    }

    // Recording

    /// Whether the epoch can be recorded now, signed by whomever.
    function _checkReport(
        uint256 deployment,
        Record storage record,
        uint256 state,
        uint256 word,
        uint256 epoch,
        Verdict verdict,
        bytes32 evidence
    ) private view {
        // 32 bits of epochs of 24 bits of seconds after 40 bits of seconds.
        unchecked {
            Status status = _statusOf(state);
            bool drifted = verdict == Verdict.DRIFTED;
            if (verdict == Verdict.NONE) revert WrongVerdict(verdict);
            if (drifted == (evidence == 0)) revert EvidenceMismatch(verdict, evidence);
            // forge-lint: disable-start(unsafe-typecast)
            if (epoch == 0) revert EpochRecordedAlready(deployment, 0, 0);
            uint256 length = word.get(EPOCH);
            uint256 until = word.get(START) + epoch * length;
            if (drifted) {
                if (block.timestamp < until - length) revert EpochNotBegun(deployment, uint32(epoch), until - length);
            } else {
                uint256 last = state.get(LAST_EPOCH);
                if (epoch <= last) revert EpochRecordedAlready(deployment, uint32(epoch), uint32(last));
                if (block.timestamp < until) revert EpochNotOver(deployment, uint32(epoch), until);
            }
            if (status == Status.RUNNING) return;
            if (status != Status.RETIRING) revert WrongStatus(deployment, status);
            // Of the time after it was retired nothing counts; but what was changed before may be seen an epoch later.
            uint256 retiredAt = record.host.get(RETIRED_AT);
            uint256 limit = drifted ? retiredAt + 2 * length : retiredAt;
            if (until > limit) revert EpochAfterRetirement(deployment, uint32(epoch), retiredAt);
            // forge-lint: disable-end(unsafe-typecast)
        }
    }

    /// @return the two words, with another set, until when it counts, and the quorum it needs
    function _useSet(uint256 deployment, uint256 state, uint256 word, uint64 set)
        private
        view
        returns (uint256, uint256)
    {
        uint256 last = state.get(SET);
        address service = _serviceOf(deployment);
        SetHeader memory header = quorum.setOf(service, set);
        // What is no set was fixed at no time.
        uint256 until = uint256(header.time) + maxSetAge;
        // forge-lint: disable-next-line(unsafe-typecast)
        if (set < last || block.timestamp > until) revert SetTooOld(deployment, set, uint64(last), until);
        if (set > type(uint32).max) revert SetOutOfRange(set);
        return (state.set(SET, set).set(EXPIRY, until), word.set(QUORUM, terms.quorumAt(service, set)));
    }

    /// @return members of the set
    function _verify(
        uint256 deployment,
        uint64 set,
        bytes32 root,
        uint256 signers,
        bytes calldata signature,
        uint256 needed
    ) private view returns (uint256) {
        (uint256 power, uint256 total, uint256 members) = Certificates.verify(
            address(quorum), _ballotDomain(), _serviceOf(deployment), set, root, signers, signature
        );
        // Powers fit 96 bits.
        unchecked {
            // forge-lint: disable-next-line(unsafe-typecast)
            if (power * BPS < needed * total) revert QuorumNotReached(power, total, uint16(needed));
        }
        return members;
    }

    /// The EIP-712 domain of ballots; another one where the chain was divided since this contract was made.
    function _ballotDomain() private view returns (bytes32) {
        return block.chainid == _chainId ? _domain : Certificates.domainOf(address(quorum));
    }

    /// Pays for one epoch, if there is enough for all of it.
    function _pay(
        uint256 deployment,
        uint256 state,
        uint256 word,
        Verdict verdict,
        uint64 set,
        uint256 signers,
        uint256 members
    ) private returns (uint256, bool) {
        // Counts of epochs have the bits that epochs have; the escrow covers what is taken.
        unchecked {
            bool intact = verdict == Verdict.INTACT;
            uint256 toHost = intact ? word.get(HOST_REWARD) : 0;
            uint256 reward = word.get(REWARD);
            uint256 escrow = state.get(ESCROW);
            if (escrow < reward + toHost) return (state, false);
            uint256 absent = ((1 << members) - 1) ^ signers;
            // What those who are absent do not get stays.
            uint256 cost = reward / members * LibBit.popCount(signers) + toHost;
            if (absent != 0) _earnings[deployment][set].absences.add(absent);
            state = state.set(ESCROW, escrow - cost).set(PAID, state.get(PAID) + 1);
            if (intact) state = state.set(INTACT, state.get(INTACT) + 1);
            return (state, true);
        }
    }

    /// @return state after a verdict that may end the deployment
    function _end(
        uint256 deployment,
        Record storage record,
        uint256 state,
        uint256 word,
        uint32 epoch,
        Verdict verdict,
        bytes32 evidence
    ) private returns (uint256) {
        if (verdict == Verdict.DRIFTED) {
            (record.evidence, record.reporter) = (evidence, msg.sender);
            emit DriftRecorded(deployment, epoch, evidence, msg.sender);
            emit Ended(deployment, Status.DRIFTED);
            return state.set(STATUS, uint256(Status.DRIFTED));
        }
        if (state.get(MISSING) < word.get(UNREACHABLE_AFTER)) return state;
        emit Ended(deployment, Status.UNREACHABLE);
        return state.set(STATUS, uint256(Status.UNREACHABLE));
    }

    // Money

    /// @return amount in units, at most `limit` of them
    function _units(uint256 amount, uint256 limit) private pure returns (uint256) {
        if (amount % UNIT != 0 || amount / UNIT > limit) revert AmountInvalid(amount, UNIT, limit * UNIT);
        return amount / UNIT;
    }

    /// @return epochs that the member has earned and not collected
    /// @return share units for each of them
    function _uncollected(uint256 deployment, uint64 set, uint8 seat)
        private
        view
        returns (uint256 epochs, uint256 share)
    {
        uint256 members = quorum.setOf(_serviceOf(deployment), set).members;
        if (seat >= members) revert NotAMember(deployment, set, seat);
        Earnings storage earnings = _earnings[deployment][set];
        epochs = paidIn(deployment, set) - earnings.absences.countOf(seat) - earnings.collected[seat];
        share = _deployments[deployment].terms.get(REWARD) / members;
    }

    function _earn(uint256 deployment, address operator, uint256 amount) private {
        address owner = registry.ownerOf(operator);
        creditOf[owner] += amount;
        emit Earned(deployment, operator, amount);
    }

    /// Credits the service's owner with what is left. What there is nobody to give to stays.
    /// @return done whether there was something, and somebody
    function _refund(uint256 deployment, Record storage record) private returns (bool done) {
        uint256 state = record.state;
        uint256 amount = state.get(ESCROW) * UNIT;
        address owner = amount == 0 ? address(0) : _findOwner(_serviceOf(deployment));
        if (owner == address(0)) return false;
        record.state = state.set(ESCROW, 0);
        creditOf[owner] += amount;
        emit Refunded(deployment, owner, amount);
        return true;
    }

    /// Releases the host's bond: one that wins nothing loses nothing.
    function _unlock(uint256 deployment, Record storage record) private {
        uint256 word = record.host;
        if (word.get(LOCKED) == 0) return;
        record.host = word.set(LOCKED, 0);
        address[] memory hosts = _list(word.get(HOST).toAddress());
        staking.slash(_serviceOf(deployment), new Loss[](0), hosts, address(0), address(0));
    }

    // Who is who

    function _statusOf(uint256 state) private pure returns (Status) {
        return Status(state.get(STATUS));
    }

    function _serviceOf(uint256 deployment) private pure returns (address) {
        return address(uint160(deployment >> SERVICE_SHIFT));
    }

    function _ownerOf(address service) private view returns (address) {
        return IService(service).owner();
    }

    /// The service's owner; zero if the contract does not say, in little gas and one word: it is its owner's code, and
    /// must not hold up the host's bond.
    function _findOwner(address service) private view returns (address) {
        (bool success,, bytes memory said) =
            LibCall.tryStaticCall(service, OWNER_GAS, 32, abi.encodeCall(IService.owner, ()));
        if (!success || said.length != 32) return address(0);
        uint256 word = uint256(bytes32(said));
        return word > type(uint160).max ? address(0) : word.toAddress();
    }

    function _list(address operator) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = operator;
    }

    function _checkServiceOwner(address service) private view returns (address owner) {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
        owner = _ownerOf(service);
        if (msg.sender != owner) revert NotServiceOwner(service, msg.sender, owner);
    }

    /// @return set the one in force, in which the host does not sit
    function _checkNoMember(address service, address host) private view returns (uint64 set) {
        set = quorum.setCount(service);
        if (set == 0) revert NoSet(service);
        if (set > type(uint32).max) revert SetOutOfRange(set);
        address[] memory members = quorum.operatorsOf(service, set);
        for (uint256 i; i < members.length; ++i) {
            if (members[i] == host) revert HostIsMember(service, host, set);
        }
    }
}
