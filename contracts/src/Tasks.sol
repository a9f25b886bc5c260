// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Terms} from "./Terms.sol";
import {IQuorum, SetHeader} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Flow, ITasks, Run, Settlement, Step, Trigger} from "./interfaces/ITasks.sol";
import {ITerms} from "./interfaces/ITerms.sol";
import {Headers} from "./libraries/Headers.sol";
import {Certificate, Proven, Vote, VoteKind} from "./types/Votes.sol";
import {BlockHashLib} from "solady/utils/BlockHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title Tasks
/// @notice Applications' money, flows, runs and what is paid for them: see `ITasks`.
contract Tasks is ITasks {
    using Headers for bytes;

    struct FlowRecord {
        address owner;
        bool active;
        uint8 stepCount;
        /// seconds after which a run can be closed
        uint40 duration;
        /// Unix seconds of the block it was created in
        uint40 createdAt;
        /// what a run sets aside
        uint96 reserve;
        Trigger trigger;
        mapping(uint256 index => Step) steps;
    }

    struct RunRecord {
        uint40 startedAt;
        uint40 time;
        uint32 settled;
        bool closed;
        uint40 flow;
        uint96 reserved;
        bytes32 value;
    }

    /// The certificate an event was first seen with: its signers are paid by every run it starts.
    struct Certified {
        bytes32 value;
        uint64 set;
        uint8 members;
        /// Unix seconds of the block it was seen in
        uint40 time;
        uint128 signers;
    }

    /// What the members of a set earned with their signatures. Most sign, so what each signature earned is summed up
    /// once for all, and what a member has missed of it (or has collected) is kept against the member.
    struct Signing {
        uint256 perMember;
        mapping(uint256 index => uint256) against;
    }

    /// What an operator earned with a service.
    struct Earnings {
        uint128 unclaimed;
        uint128 claimed;
    }

    /// A result on its way through `settle`.
    struct Work {
        bytes32 run;
        uint256 step;
        uint256 attempt;
        address service;
        uint256 validators;
        /// whether it goes into the records
        bool counts;
        uint64 set;
        SetHeader header;
        address[] members;
        uint8[] ranked;
        uint256 signers;
    }

    uint256 private constant BPS = 10_000;
    uint256 private constant EXECUTOR_BPS = 7000;
    uint256 private constant VALIDATORS_BPS = 3000;
    /// @inheritdoc ITasks
    uint256 public constant burntBps = 500;

    uint256 private constant MAX_DEFINITION = 16 * 1024;
    uint256 private constant MAX_STEPS = 32;
    uint256 private constant MAX_VALIDATORS = 31;
    /// Some blocks: less would make honest members miss.
    uint256 private constant MIN_WINDOW = 10 seconds;
    uint256 private constant MAX_WINDOW = 1 days;
    uint8 private constant ATTEMPTS = 4;
    /// A run has this part of the longest duration for its settlements to be included.
    uint256 private constant GRACE_DIVISOR = 8;
    /// How many blocks after a set was replaced its certificates still start runs.
    uint256 private constant SET_GRACE = 256;
    /// A member that was bonded when its set was fixed has a bond for `leaveDelay` at least. A run begins in the first
    /// half of it, and ends within another: no result is paid whose voters may be gone.
    uint64 private constant AGE_DIVISOR = 2;

    bytes32 private constant VALID = bytes32(uint256(1));

    address public immutable token;
    IQuorum public immutable quorum;
    IRecords public immutable records;
    IRegistry public immutable registry;
    ITerms public immutable terms;
    uint64 public immutable maxSetAge;

    mapping(address application => uint256) public depositOf;
    mapping(uint256 flow => FlowRecord) private _flows;
    mapping(bytes32 run => RunRecord) private _runs;
    mapping(address service => mapping(bytes32 key => Certified)) private _certified;
    mapping(address service => mapping(uint64 set => Signing)) private _signing;
    mapping(address service => mapping(address operator => Earnings)) private _earnings;
    mapping(uint64 block_ => bytes32) public randomnessOf;
    uint256 public flowCount;
    uint256 public burnt;

    constructor(IRegistry registry_, IQuorum quorum_, IRecords records_, address token_) {
        registry = registry_;
        quorum = quorum_;
        records = records_;
        token = token_;
        terms = new Terms(registry_, quorum_);
        maxSetAge = quorum_.staking().leaveDelay() / AGE_DIVISOR;
    }

    // Applications

    /// @inheritdoc ITasks
    function deposit(uint256 amount) external {
        uint256 before = SafeTransferLib.balanceOf(token, address(this));
        SafeTransferLib.safeTransferFrom(token, msg.sender, address(this), amount);
        uint256 received = SafeTransferLib.balanceOf(token, address(this)) - before;
        if (received != amount) revert FeeOnTransfer(amount, received);
        depositOf[msg.sender] += amount;
        emit Deposited(msg.sender, amount);
    }

    /// @inheritdoc ITasks
    function withdraw(uint256 amount) external {
        uint256 found = depositOf[msg.sender];
        if (found < amount) revert DepositTooSmall(msg.sender, found, amount);
        depositOf[msg.sender] = found - amount;
        emit Withdrawn(msg.sender, amount);
        SafeTransferLib.safeTransfer(token, msg.sender, amount);
    }

    /// @inheritdoc ITasks
    function createFlow(bytes calldata definition, Trigger calldata trigger, Step[] calldata steps)
        external
        returns (uint256 flow)
    {
        if (definition.length > MAX_DEFINITION) revert DefinitionTooLong(definition.length, MAX_DEFINITION);
        if (steps.length == 0 || steps.length > MAX_STEPS) revert StepsOutOfRange(steps.length, MAX_STEPS);
        _checkRegistered(trigger.service);
        flow = ++flowCount;
        FlowRecord storage record = _flows[flow];
        (record.owner, record.active, record.stepCount) = (msg.sender, true, uint8(steps.length));
        record.trigger = trigger;
        uint256 windows;
        uint96 reserve;
        for (uint256 i; i < steps.length; ++i) {
            windows += _addStep(record, i, steps[i]);
            reserve += steps[i].most;
        }
        (record.duration, record.createdAt) = (_durationOf(windows), uint40(block.timestamp));
        record.reserve = reserve;
        emit FlowCreated(flow, msg.sender, definition, trigger, steps);
    }

    /// @inheritdoc ITasks
    function deleteFlow(uint256 flow) external {
        FlowRecord storage record = _flows[flow];
        if (!record.active) revert UnknownFlow(flow);
        if (msg.sender != record.owner) revert NotFlowOwner(flow, msg.sender, record.owner);
        record.active = false;
        emit FlowDeleted(flow);
    }

    /// @inheritdoc ITasks
    function request(Step calldata step, bytes32 inputs) external returns (bytes32 run) {
        uint256 flow = ++flowCount;
        FlowRecord storage record = _flows[flow];
        (record.owner, record.stepCount, record.duration) = (msg.sender, 1, _durationOf(_addStep(record, 0, step)));
        run = _run(record.owner, flow, inputs, inputs, step.most, 0);
        emit Requested(run, flow, msg.sender, step, inputs);
    }

    // Anyone

    /// @inheritdoc ITasks
    function start(uint256 flow, bytes32 idHash, Proven calldata certified) external returns (bytes32 run) {
        FlowRecord storage record = _flows[flow];
        if (!record.active) revert UnknownFlow(flow);
        address service = record.trigger.service;
        bytes32 key = keccak256(abi.encode(service, record.trigger.eventName, idHash));
        Certified memory seen = _certify(service, key, certified);
        // Otherwise who sees what has happened could make flows that pay for it.
        if (seen.time < record.createdAt) revert EventTooOld(key, seen.time, record.createdAt);

        uint256 fee = _payMembers(service, seen.set, seen.members, seen.signers, record.trigger.fee);
        run = _run(record.owner, flow, key, seen.value, record.reserve, fee);
        emit RunStarted(run, flow, key, seen.value);
    }

    /// @inheritdoc ITasks
    function pin(uint64 block_, bytes calldata header) external {
        _pin(block_, header);
    }

    /// @inheritdoc ITasks
    function settle(Settlement calldata s) external {
        Work memory w;
        (w.run, w.step, w.attempt, w.signers) = (s.run, s.step, s.attempt, s.votes.certificate.signers);
        RunRecord storage run = _runs[w.run];
        FlowRecord storage flow = _flows[run.flow];
        uint256 startedAt = run.startedAt;
        if (startedAt == 0) revert UnknownRun(w.run);
        if (run.closed) revert RunIsClosed(w.run);
        if (w.step >= flow.stepCount) revert UnknownStep(w.run, uint8(w.step));
        if (run.settled & 1 << w.step != 0) revert StepSettled(w.run, uint8(w.step));
        Step storage step = flow.steps[w.step];
        (w.service, w.validators) = (step.service, step.validators);
        _checkTime(w, run.time, step.window, flow.duration);
        // A request is for one task with given inputs. A flow's inputs follow from its graph, which validators evaluate.
        if (flow.trigger.service == address(0) && s.inputs != run.value) revert WrongInputs(s.inputs, run.value);

        _findMembers(w, s.votes.certificate, startedAt, run.time);
        bytes32 nodes = step.nodes;
        _draw(w, _onlyNamed(w.members, s.nodes, nodes), _mixOf(startedAt + 1, s.header));
        uint256 most = step.most;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 bill = terms.billOf(w.service, step.task, uint64(startedAt), s.secondsSpent, s.size);
        if (bill > most) bill = most;
        // Whoever names the nodes, or pays nothing, would decide for free who has a good record.
        w.counts = nodes == 0 && bill != 0;

        // One of 32 steps at most; what is reserved is the sum of all steps' most.
        // forge-lint: disable-start(unsafe-typecast)
        run.settled |= uint32(1 << w.step);
        run.reserved -= uint96(most);
        bytes32 task = keccak256(abi.encode(w.run, w.step));
        bytes32 result = keccak256(abi.encode(task, w.attempt, s.inputs, s.output, s.secondsSpent, s.size));
        uint256 paid =
            w.validators == 0 ? _payExecutor(w, s.votes, task, result, bill) : _payAll(w, s.votes, result, bill);
        depositOf[flow.owner] += most - paid;
        emit Settled(w.run, uint8(w.step), uint8(w.attempt), _executorOf(w), result, uint96(paid));
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @inheritdoc ITasks
    function close(bytes32 run) external {
        RunRecord storage record = _runs[run];
        if (record.startedAt == 0) revert UnknownRun(run);
        if (record.closed) revert RunIsClosed(run);
        FlowRecord storage flow = _flows[record.flow];
        uint256 until = uint256(record.time) + flow.duration;
        bool done = record.settled == (1 << flow.stepCount) - 1;
        if (!done && block.timestamp < until) revert RunIsOpen(run, until);
        uint96 left = record.reserved;
        record.closed = true;
        record.reserved = 0;
        depositOf[flow.owner] += left;
        emit RunClosed(run, left);
    }

    // Operators

    /// @inheritdoc ITasks
    function claim(address service, address operator) external {
        address owner = registry.ownerOf(operator);
        if (msg.sender != owner) revert NotOperatorOwner(operator, msg.sender, owner);
        Earnings storage earnings = _earnings[service][operator];
        uint128 amount = earnings.unclaimed;
        if (amount == 0) revert NothingToClaim(service, operator);
        earnings.unclaimed = 0;
        earnings.claimed += amount;
        // Rounded up, so that no claim is too small to be cut.
        uint256 toNobody = (amount * burntBps + BPS - 1) / BPS;
        burnt += toNobody;
        emit Claimed(service, operator, owner, amount - toNobody, toNobody);
        SafeTransferLib.safeTransfer(token, owner, amount - toNobody);
    }

    /// @inheritdoc ITasks
    function collect(address service, uint64 set, uint8 index) external {
        address[] memory members = _membersOf(service, set);
        if (index >= members.length) revert NotAMember(service, set, index);
        Signing storage signing = _signing[service][set];
        uint256 perMember = signing.perMember;
        uint256 amount = perMember - signing.against[index];
        signing.against[index] = perMember;
        _earn(service, members[index], amount);
    }

    // Views

    /// @inheritdoc ITasks
    function flowOf(uint256 flow) external view returns (Flow memory) {
        FlowRecord storage record = _flows[flow];
        Step[] memory steps = new Step[](record.stepCount);
        for (uint256 i; i < steps.length; ++i) {
            steps[i] = record.steps[i];
        }
        return Flow(record.owner, record.active, record.trigger, steps);
    }

    /// @inheritdoc ITasks
    function runOf(bytes32 run) external view returns (Run memory) {
        RunRecord storage r = _runs[run];
        return Run(r.startedAt, r.time, r.settled, r.closed, r.flow, r.reserved, r.value);
    }

    /// @inheritdoc ITasks
    function closableAt(bytes32 run) external view returns (uint256) {
        RunRecord storage record = _runs[run];
        if (record.startedAt == 0) revert UnknownRun(run);
        return uint256(record.time) + _flows[record.flow].duration;
    }

    /// @inheritdoc ITasks
    function certifiedOf(address service, bytes32 key) external view returns (bytes32 value) {
        return _certified[service][key].value;
    }

    /// @inheritdoc ITasks
    function earnedOf(address service, address operator) external view returns (uint256) {
        return _earnings[service][operator].unclaimed;
    }

    /// @inheritdoc ITasks
    function uncollectedOf(address service, uint64 set, uint8 index) external view returns (uint256) {
        // Who is not in the set has earned nothing.
        if (index >= quorum.setOf(service, set).members) return 0;
        Signing storage signing = _signing[service][set];
        return signing.perMember - signing.against[index];
    }

    /// @inheritdoc ITasks
    function claimedOf(address service, address operator) external view returns (uint256) {
        return _earnings[service][operator].claimed;
    }

    // Starting

    /// The certificate that counts for the event, which the first call for it brings.
    function _certify(address service, bytes32 key, Proven calldata certified) private returns (Certified memory seen) {
        Vote calldata vote = certified.vote;
        _checkKind(vote.kind, VoteKind.EVENT);
        if (vote.subject != key) revert WrongEvent(vote.subject, key);
        if (vote.value == 0) revert WrongVote(0, key);
        seen = _certified[service][key];
        if (seen.value != 0) {
            if (vote.value != seen.value) revert ContradictsCertified(key, vote.value, seen.value);
            return seen;
        }
        uint64 set = certified.certificate.set;
        SetHeader memory header = _checkInForce(service, certified.certificate.service, set);
        uint256 power = _verify(certified);
        if (!_reaches(service, set, power, header.power)) {
            revert QuorumNotReached(power, header.power, terms.quorumAt(service, set));
        }
        // `verifyVote` saw to it that no bit is set beyond the members, of whom there are at most 128.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint128 signers = uint128(certified.certificate.signers);
        seen = Certified(vote.value, set, header.members, uint40(block.timestamp), signers);
        _certified[service][key] = seen;
        emit EventCertified(service, key, vote.value, set, signers);
        records.certificate(service, _operatorsIn(service, set, _absent(header.members, signers)));
    }

    /// A certificate comes from a set that is in force or was until a moment ago: the members of older ones may be gone,
    /// with their bonds.
    function _checkInForce(address service, address found, uint64 set) private view returns (SetHeader memory) {
        uint64 last = quorum.setCount(service);
        if (found != service || set == 0 || set > last) revert NotASet(found, set, last);
        if (set != last) {
            uint256 then = block.number > SET_GRACE ? block.number - SET_GRACE : 0;
            if (set < quorum.setAt(service, uint64(then))) revert NotASet(found, set, last);
        }
        return _setOf(service, set, block.timestamp);
    }

    function _run(address owner, uint256 flow, bytes32 key, bytes32 value, uint96 reserve, uint256 fee)
        private
        returns (bytes32 run)
    {
        run = keccak256(abi.encode(flow, key));
        if (_runs[run].startedAt != 0) revert RunExists(run);
        uint256 found = depositOf[owner];
        if (found < fee + reserve) revert DepositTooSmall(owner, found, fee + reserve);
        depositOf[owner] = found - fee - reserve;
        // Blocks, seconds and flows (each costs its maker a transaction) are far from 2^40.
        _runs[run] = RunRecord(uint40(block.number), uint40(block.timestamp), 0, false, uint40(flow), reserve, value);
    }

    // Settling

    function _checkTime(Work memory w, uint256 time, uint256 window, uint256 duration) private view {
        // Times and windows are far below 2^256.
        unchecked {
            if (w.attempt >= ATTEMPTS) revert AttemptOutOfRange(uint8(w.attempt), ATTEMPTS);
            uint256 from = time + w.attempt * window;
            uint256 until = time + duration;
            if (w.validators == 0 && from + 2 * window < until) until = from + 2 * window;
            if (block.timestamp < from || block.timestamp >= until) revert OutOfTime(block.timestamp, from, until);
        }
    }

    /// The votes must be of the set in force when the run was recorded.
    function _findMembers(Work memory w, Certificate calldata certificate, uint256 startedAt, uint256 time)
        private
        view
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 set = quorum.setAt(w.service, uint64(startedAt));
        if (certificate.service != w.service || certificate.set != set || set == 0) {
            revert NotASet(certificate.service, certificate.set, set);
        }
        w.set = set;
        w.header = _setOf(w.service, set, time);
        w.members = _membersOf(w.service, set);
    }

    /// @return mask of the members that may be drawn
    function _onlyNamed(address[] memory members, address[] calldata nodes, bytes32 expected)
        private
        pure
        returns (uint256 mask)
    {
        if (expected == 0) return type(uint256).max;
        bytes32 found = keccak256(abi.encode(nodes));
        if (found != expected) revert WrongNodes(found, expected);
        for (uint256 i; i < nodes.length; ++i) {
            for (uint256 j; j < members.length; ++j) {
                if (nodes[i] == members[j]) mask |= 1 << j;
            }
        }
    }

    /// Who was drawn for the step: indices by rank, up to this attempt's executor.
    function _draw(Work memory w, uint256 only, bytes32 mix) private view {
        // At most 31 validators and 4 attempts.
        unchecked {
            uint256 ranks = w.validators + 1 + w.attempt;
            bytes32 seed = keccak256(abi.encode(w.run, w.step, mix));
            w.ranked = quorum.select(w.service, w.set, seed, only, uint8(ranks));
            // Of an attempt after the first, the last one drawn executes.
            if (w.ranked.length == 0 || w.attempt != 0 && w.ranked.length != ranks) {
                revert NoExecutor(w.run, uint8(w.step), uint8(w.attempt));
            }
        }
    }

    function _executorOf(Work memory w) private pure returns (address) {
        return w.members[w.ranked[w.attempt == 0 ? 0 : w.ranked.length - 1]];
    }

    /// Where nobody validates, the executor's own vote counts.
    function _payExecutor(Work memory w, Proven calldata votes, bytes32 task, bytes32 result, uint256 bill)
        private
        returns (uint256)
    {
        _checkVote(votes.vote, VoteKind.RESULT, keccak256(abi.encode(task, w.attempt)), result);
        // All that are ranked executed, one after the other.
        if (w.signers & 1 << w.ranked[w.attempt] == 0) revert ExecutorNotSigned(_executorOf(w), w.signers);
        _verify(votes);
        _earnAsExecutor(w, bill);
        return bill;
    }

    /// A committee decides if all of it agree, and the executor with them: its bond answers for the result, too. All else
    /// is for the quorum. Everybody gets a fixed part: what those who have not signed would have got stays with the
    /// application, so that nobody gains by leaving out a signature.
    function _payAll(Work memory w, Proven calldata votes, bytes32 result, uint256 bill)
        private
        returns (uint256 paid)
    {
        // A bill is at most a step's `most`, of 96 bits, and what is paid is at most the bill.
        unchecked {
            _checkVote(votes.vote, VoteKind.VALIDATION, result, VALID);
            uint256 power = _verify(votes);
            paid = bill * EXECUTOR_BPS / BPS;
            _earnAsExecutor(w, paid);

            uint256 amount = bill * VALIDATORS_BPS / BPS;
            uint256 committee = w.ranked.length - 1;
            if (committee > w.validators) committee = w.validators;
            uint256 signed = w.signers >> w.ranked[w.attempt == 0 ? 0 : w.ranked.length - 1] & 1;
            for (uint256 i = 1; i <= committee; ++i) {
                signed += w.signers >> w.ranked[i] & 1;
            }
            // Of those drawn all, of those wanted more than half, where fewer could be drawn.
            uint256 needed = w.validators / 2 + 1;
            if (committee > needed) needed = committee;
            ++needed;
            bool byCommittee = signed >= needed;
            if (!byCommittee) {
                if (!_reaches(w.service, w.set, power, w.header.power)) revert CommitteeNotReached(signed, needed);
                // All members validated, and decided.
                paid += _payMembers(w.service, w.set, w.header.members, w.signers, amount);
            }
            for (uint256 i = 1; i <= committee; ++i) {
                bool hasSigned = w.signers >> w.ranked[i] & 1 == 1;
                address operator = w.members[w.ranked[i]];
                _count(w, operator, hasSigned);
                if (!byCommittee) continue;
                paid += amount / w.validators;
                _earn(w.service, operator, amount / w.validators);
            }
        }
    }

    function _earnAsExecutor(Work memory w, uint256 amount) private {
        // At most 31 validators and 4 attempts.
        unchecked {
            address executor = _executorOf(w);
            _earn(w.service, executor, amount);
            _count(w, executor, true);
            // Those whose attempts passed: the first, and those between the committee and this one.
            for (uint256 i; i < w.attempt; ++i) {
                _count(w, w.members[w.ranked[i == 0 ? 0 : w.validators + i]], false);
            }
        }
    }

    function _checkVote(Vote calldata vote, VoteKind kind, bytes32 subject, bytes32 value) private pure {
        _checkKind(vote.kind, kind);
        if (vote.subject != subject) revert WrongVote(vote.subject, subject);
        if (vote.value != value) revert WrongVote(vote.value, value);
    }

    function _checkKind(VoteKind found, VoteKind expected) private pure {
        if (found != expected) revert WrongKind(uint8(found), uint8(expected));
    }

    function _reaches(address service, uint64 set, uint256 power, uint256 total) private view returns (bool) {
        return power * BPS >= terms.quorumAt(service, set) * total;
    }

    function _mixOf(uint256 block_, bytes calldata header) private returns (bytes32 mix) {
        // forge-lint: disable-next-line(unsafe-typecast)
        mix = randomnessOf[uint64(block_)];
        return mix == 0 ? _pin(uint64(block_), header) : mix;
    }

    function _pin(uint64 block_, bytes calldata header) private returns (bytes32 mix) {
        bytes32 expected = BlockHashLib.blockHash(block_);
        if (expected == 0) revert RandomnessUnknown(block_);
        bytes32 found = keccak256(header);
        if (found != expected) revert WrongHeader(block_, found, expected);
        mix = header.mixOf();
        randomnessOf[block_] = mix;
        emit RandomnessPinned(block_, mix);
    }

    // Money

    /// Pays each signer the part of `amount` that it would get if all members had signed.
    /// @return paid to all of them
    function _payMembers(address service, uint64 set, uint8 members, uint256 signers, uint256 amount)
        private
        returns (uint256 paid)
    {
        uint256 share = amount / members;
        if (share == 0) return 0;
        Signing storage signing = _signing[service][set];
        signing.perMember += share;
        for (uint256 left = _absent(members, signers); left != 0; left &= left - 1) {
            signing.against[LibBit.ffs(left)] += share;
        }
        emit SignersEarned(service, set, signers, share);
        return share * LibBit.popCount(signers);
    }

    function _earn(address service, address operator, uint256 amount) private {
        if (amount == 0) return;
        _earnings[service][operator].unclaimed += SafeCastLib.toUint128(amount);
        emit Earned(service, operator, amount);
    }

    // Sets

    function _absent(uint8 members, uint256 signers) private pure returns (uint256) {
        return ~signers & ((1 << uint256(members)) - 1);
    }

    function _operatorsIn(address service, uint64 set, uint256 mask) private view returns (address[] memory operators) {
        operators = new address[](LibBit.popCount(mask));
        if (mask == 0) return operators;
        address[] memory members = _membersOf(service, set);
        for (uint256 i; i < operators.length; ++i) {
            operators[i] = members[LibBit.ffs(mask)];
            mask &= mask - 1;
        }
    }

    /// Reverts if the set was too old at `when`.
    function _setOf(address service, uint64 set, uint256 when) private view returns (SetHeader memory header) {
        header = quorum.setOf(service, set);
        uint256 age = when - header.time;
        if (age > maxSetAge) revert SetTooOld(service, set, age, maxSetAge);
    }

    function _membersOf(address service, uint64 set) private view returns (address[] memory) {
        return quorum.operatorsOf(service, set);
    }

    /// @return power of the vote's signers
    function _verify(Proven calldata votes) private view returns (uint256 power) {
        return quorum.verifyVote(votes);
    }

    /// Counts one execution or validation.
    function _count(Work memory w, address operator, bool done) private {
        if (w.counts) records.count(w.service, operator, done ? 1 : 0, done ? 0 : 1);
    }

    // Flows

    /// @return seconds of the step's attempts
    function _addStep(FlowRecord storage record, uint256 index, Step calldata step) private returns (uint256) {
        _checkRegistered(step.service);
        if (step.validators > MAX_VALIDATORS || step.window < MIN_WINDOW || step.window > MAX_WINDOW) {
            revert StepInvalid(index);
        }
        record.steps[index] = step;
        return uint256(ATTEMPTS) * step.window;
    }

    /// @param windows seconds of all attempts of all steps
    /// @return seconds in which a run can be done and paid
    function _durationOf(uint256 windows) private view returns (uint40) {
        // 32 steps of four days, and a part of `leaveDelay`.
        unchecked {
            uint256 duration = windows + maxSetAge / GRACE_DIVISOR;
            if (duration > maxSetAge) revert FlowTooLong(duration, maxSetAge);
            // forge-lint: disable-next-line(unsafe-typecast)
            return uint40(duration);
        }
    }

    // Services

    function _checkRegistered(address service) private view {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
    }
}
