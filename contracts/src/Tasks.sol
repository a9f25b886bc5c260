// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum, SetHeader} from "./interfaces/IQuorum.sol";
import {IRecords} from "./interfaces/IRecords.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IService} from "./interfaces/IService.sol";
import {Flow, ITasks, Price, Run, Seat, Settlement, Step, Trigger} from "./interfaces/ITasks.sol";
import {Headers} from "./libraries/Headers.sol";
import {Proven, Vote, VoteKind} from "./types/Votes.sol";
import {BlockHashLib} from "solady/utils/BlockHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title Tasks
/// @notice Applications' money, flows, runs and what is paid for them: see `ITasks`.
contract Tasks is ITasks {
    using Headers for bytes;

    /// A quorum, and the first set it counts for.
    struct Terms {
        uint64 set;
        uint16 quorum;
    }

    /// A price, and the block it was set in.
    struct PricePoint {
        Price price;
        uint64 since;
    }

    struct FlowRecord {
        address owner;
        bool active;
        uint8 stepCount;
        /// seconds after which a run can be closed
        uint40 duration;
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

    uint256 private constant BPS = 10_000;
    uint16 private constant DEFAULT_QUORUM = 6667;
    uint256 private constant EXECUTOR_BPS = 7000;
    uint256 private constant VALIDATORS_BPS = 3000;
    /// @inheritdoc ITasks
    uint256 public constant burntBps = 500;

    uint256 private constant MAX_DEFINITION = 16 * 1024;
    uint256 private constant MAX_STEPS = 32;
    uint256 private constant MAX_VALIDATORS = 31;
    uint256 private constant MAX_WINDOW = 1 days;
    uint8 private constant ATTEMPTS = 4;
    /// For a step's settlement to be included.
    uint256 private constant GRACE = 1 hours;
    /// How many blocks after a set was replaced its certificates still start runs.
    uint256 private constant SET_GRACE = 256;
    /// A member that was bonded when its set was fixed has a bond for `leaveDelay` at least. Half of it is left for
    /// evidence; of blocks of 12 seconds.
    uint64 private constant AGE_DIVISOR = 24;

    bytes32 private constant VALID = bytes32(uint256(1));

    address public immutable token;
    IQuorum public immutable quorum;
    IRecords public immutable records;
    IRegistry public immutable registry;
    uint64 public immutable maxSetAge;

    mapping(address service => Terms[]) private _terms;
    mapping(address service => mapping(bytes32 task => PricePoint[])) private _prices;
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
        maxSetAge = quorum_.staking().leaveDelay() / AGE_DIVISOR;
    }

    // Services

    /// @inheritdoc ITasks
    function setTerms(address service, uint16 quorum_) external {
        _checkServiceOwner(service);
        if (quorum_ <= BPS / 2 || quorum_ > BPS) revert QuorumOutOfRange(quorum_);
        Terms[] storage terms = _terms[service];
        uint64 next = quorum.setCount(service) + 1;
        uint256 count = terms.length;
        if (count != 0 && terms[count - 1].set == next) terms[count - 1].quorum = quorum_;
        else terms.push(Terms(next, quorum_));
        emit TermsSet(service, next, quorum_);
    }

    /// @inheritdoc ITasks
    function setPrice(address service, bytes32 task, Price calldata price) external {
        _checkServiceOwner(service);
        PricePoint[] storage points = _prices[service][task];
        uint256 count = points.length;
        if (count != 0 && points[count - 1].since == block.number) points[count - 1].price = price;
        else points.push(PricePoint(price, uint64(block.number)));
        emit PriceSet(service, task, price);
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
        _take(msg.sender, amount);
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
        uint40 duration;
        uint96 reserve;
        for (uint256 i; i < steps.length; ++i) {
            duration += _addStep(record, i, steps[i]);
            reserve += steps[i].most;
        }
        (record.duration, record.reserve) = (duration, reserve);
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
        (record.owner, record.stepCount, record.duration) = (msg.sender, 1, _addStep(record, 0, step));
        _take(msg.sender, step.most);
        run = keccak256(abi.encode(flow, inputs));
        _runs[run] =
            RunRecord(uint40(block.number), uint40(block.timestamp), 0, false, uint40(flow), step.most, inputs);
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

        run = keccak256(abi.encode(flow, key));
        if (_runs[run].startedAt != 0) revert RunExists(run);
        uint96 reserve = record.reserve;
        uint256 fee = _payMembers(service, seen.set, seen.members, seen.signers, record.trigger.fee);
        _take(record.owner, fee + reserve);
        // Blocks, seconds and flows (each costs its maker a transaction) are far from 2^40.
        _runs[run] =
            RunRecord(uint40(block.number), uint40(block.timestamp), 0, false, uint40(flow), reserve, seen.value);
        emit RunStarted(run, flow, key, seen.value);
    }

    /// @inheritdoc ITasks
    function pin(uint64 block_, bytes calldata header) external {
        _pin(block_, header);
    }

    /// @inheritdoc ITasks
    function settle(Settlement calldata s) external {
        RunRecord storage run = _runs[s.run];
        FlowRecord storage flow = _flows[run.flow];
        if (run.startedAt == 0) revert UnknownRun(s.run);
        if (run.closed) revert RunIsClosed(s.run);
        if (s.step >= flow.stepCount) revert UnknownStep(s.run, s.step);
        if (run.settled & 1 << s.step != 0) revert StepSettled(s.run, s.step);
        Step memory step = flow.steps[s.step];
        _checkTime(s, run.time, step);
        // A request is for one task with given inputs. A flow's inputs follow from its graph, which validators evaluate.
        if (flow.trigger.service == address(0) && s.inputs != run.value) revert WrongInputs(s.inputs, run.value);

        uint64 set = _setOf(s, step, run.startedAt);
        uint8[] memory ranked = _draw(s, step, set, run.startedAt + 1);

        // One of 32 steps at most.
        // forge-lint: disable-next-line(unsafe-typecast)
        run.settled |= uint32(1 << s.step);
        run.reserved -= step.most;
        uint256 paid = _judgeAndPay(s, step, set, ranked, _bill(s, step, run.startedAt));
        depositOf[flow.owner] += step.most - paid;
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
    function claim(address service, address operator, Seat[] calldata seats) external {
        address owner = registry.ownerOf(operator);
        if (msg.sender != owner) revert NotOperatorOwner(operator, msg.sender, owner);
        for (uint256 i; i < seats.length; ++i) {
            address found = _collect(service, seats[i]);
            if (found != operator) revert WrongSeat(found, operator);
        }
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
    function collect(address service, Seat calldata seat) external {
        _collect(service, seat);
    }

    // Views

    /// @inheritdoc ITasks
    function quorumOf(address service) external view returns (uint16) {
        return quorumAt(service, type(uint64).max);
    }

    /// @inheritdoc ITasks
    function quorumAt(address service, uint64 set) public view returns (uint16) {
        Terms[] storage terms = _terms[service];
        // The last whose set is not after this one.
        (uint256 low, uint256 high) = (0, terms.length);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (terms[middle].set <= set) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? DEFAULT_QUORUM : terms[low - 1].quorum;
    }

    /// @inheritdoc ITasks
    function priceOf(address service, bytes32 task) external view returns (Price memory) {
        return priceAt(service, task, type(uint64).max);
    }

    /// @inheritdoc ITasks
    function priceAt(address service, bytes32 task, uint64 block_) public view returns (Price memory price) {
        PricePoint[] storage points = _prices[service][task];
        // The last that was set before the block.
        (uint256 low, uint256 high) = (0, points.length);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (points[middle].since < block_) low = middle + 1;
            else high = middle;
        }
        if (low != 0) price = points[low - 1].price;
    }

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
    function earnedAt(address service, Seat calldata seat) external view returns (uint256) {
        Signing storage signing = _signing[service][seat.set];
        // Those who are not in the set have earned nothing.
        if (seat.index >= quorum.setOf(service, seat.set).members) return 0;
        return signing.perMember - signing.against[seat.index];
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
        _checkQuorum(service, set, quorum.verifyVote(certified), header.power);
        // `verifyVote` saw to it that no bit is set beyond the members, of whom there are at most 128.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint128 signers = uint128(certified.certificate.signers);
        seen = Certified(vote.value, set, header.members, signers);
        _certified[service][key] = seen;
        emit EventCertified(service, key, vote.value, set, signers);
        records.certificate(service, _operatorsOf(service, set, _absent(header.members, signers)));
    }

    /// A certificate comes from a set that is in force or was until a moment ago: the members of older ones may be gone,
    /// with their bonds.
    function _checkInForce(address service, address found, uint64 set) private view returns (SetHeader memory header) {
        uint64 last = quorum.setCount(service);
        if (found != service || set == 0 || set > last) revert NotASet(found, set, last);
        if (set != last) {
            uint64 then = uint64(block.number > SET_GRACE ? block.number - SET_GRACE : 0);
            if (set < quorum.setAt(service, then)) revert NotASet(found, set, last);
        }
        header = quorum.setOf(service, set);
        _checkAge(service, set, header.fixedAt, block.number);
    }

    function _checkAge(address service, uint64 set, uint256 fixedAt, uint256 at) private view {
        if (at - fixedAt > maxSetAge) revert SetTooOld(service, set, at - fixedAt, maxSetAge);
    }

    // Settling

    function _checkTime(Settlement calldata s, uint256 time, Step memory step) private view {
        if (s.attempt >= ATTEMPTS) revert AttemptOutOfRange(s.attempt, ATTEMPTS);
        uint256 from = time + uint256(s.attempt) * step.window;
        uint256 until = step.validators == 0 ? from + 2 * uint256(step.window) : type(uint256).max;
        if (block.timestamp < from || block.timestamp >= until) revert OutOfTime(block.timestamp, from, until);
    }

    /// The set in force when the run was recorded, which the votes must be of.
    function _setOf(Settlement calldata s, Step memory step, uint64 startedAt) private view returns (uint64 set) {
        set = quorum.setAt(step.service, startedAt);
        address found = s.votes.certificate.service;
        if (set == 0) revert NoExecutor(s.run, s.step, s.attempt);
        if (found != step.service || s.votes.certificate.set != set) revert NotASet(found, s.votes.certificate.set, set);
        _checkAge(step.service, set, quorum.setOf(step.service, set).fixedAt, startedAt);
    }

    /// Who was drawn for the step: indices by rank, up to this attempt's executor.
    function _draw(Settlement calldata s, Step memory step, uint64 set, uint64 block_)
        private
        returns (uint8[] memory ranked)
    {
        uint256 only = type(uint256).max;
        if (step.nodes != 0) {
            bytes32 found = keccak256(abi.encode(s.nodes));
            if (found != step.nodes) revert WrongNodes(found, step.nodes);
            only = _maskOf(step.service, set, s.nodes);
        }
        bytes32 mix = randomnessOf[block_];
        if (mix == 0) mix = _pin(block_, s.header);
        bytes32 seed = keccak256(abi.encode(s.run, s.step, mix));
        uint8 ranks = step.validators + 1 + s.attempt;
        ranked = quorum.select(step.service, set, seed, only, ranks);
        // Of an attempt after the first, the last one drawn executes.
        if (ranked.length == 0 || s.attempt != 0 && ranked.length != ranks) {
            revert NoExecutor(s.run, s.step, s.attempt);
        }
    }

    function _maskOf(address service, uint64 set, address[] calldata nodes) private view returns (uint256 mask) {
        address[] memory members = quorum.operatorsOf(service, set);
        for (uint256 i; i < nodes.length; ++i) {
            for (uint256 j; j < members.length; ++j) {
                if (nodes[i] == members[j]) mask |= 1 << j;
            }
        }
    }

    function _bill(Settlement calldata s, Step memory step, uint64 startedAt) private view returns (uint256 bill) {
        Price memory price = priceAt(step.service, step.task, startedAt);
        bill = price.perCall + uint256(price.perSecond) * s.secondsSpent
            + uint256(price.perKilobyte) * ((uint256(s.size) + 999) / 1000);
        if (bill > step.most) bill = step.most;
    }

    /// @return paid what the members earned
    function _judgeAndPay(
        Settlement calldata s,
        Step memory step,
        uint64 set,
        uint8[] memory ranked,
        uint256 bill
    ) private returns (uint256 paid) {
        bytes32 task = keccak256(abi.encode(s.run, s.step));
        bytes32 result = keccak256(abi.encode(task, s.attempt, s.inputs, s.output, s.secondsSpent, s.size));
        address executor = _operatorAt(step.service, set, ranked[s.attempt == 0 ? 0 : ranked.length - 1]);
        if (step.validators == 0) {
            Vote memory expected = Vote(VoteKind.RESULT, keccak256(abi.encode(task, s.attempt)), result);
            _checkVote(s.votes.vote, expected);
            uint256 signers = s.votes.certificate.signers;
            if (signers & 1 << ranked[ranked.length - 1] == 0) revert ExecutorNotSigned(executor, signers);
            quorum.verifyVote(s.votes);
            paid = bill;
            _earn(step.service, executor, bill);
        } else {
            _checkVote(s.votes.vote, Vote(VoteKind.VALIDATION, result, VALID));
            paid = bill * EXECUTOR_BPS / BPS;
            _earn(step.service, executor, paid);
            paid += _judgeAndPayValidators(s, step, set, ranked, bill * VALIDATORS_BPS / BPS);
        }
        records.count(step.service, executor, 1, 0);
        // Those whose attempts passed: the first executor, and those between the committee and this one.
        for (uint256 i; i < s.attempt; ++i) {
            uint8 index = ranked[i == 0 ? 0 : step.validators + i];
            records.count(step.service, _operatorAt(step.service, set, index), 0, 1);
        }
        emit Settled(s.run, s.step, s.attempt, executor, result, uint96(paid));
    }

    /// Validators get fixed parts: what those who have not signed would have got stays with the application, so that
    /// nobody gains by leaving out a signature.
    function _judgeAndPayValidators(
        Settlement calldata s,
        Step memory step,
        uint64 set,
        uint8[] memory ranked,
        uint256 amount
    ) private returns (uint256 paid) {
        uint256 signers = s.votes.certificate.signers;
        uint256 committee = ranked.length - 1 < step.validators ? ranked.length - 1 : step.validators;
        uint256 signed;
        for (uint256 i = 1; i <= committee; ++i) {
            if (signers & 1 << ranked[i] != 0) ++signed;
        }
        uint96 power = quorum.verifyVote(s.votes);
        bool byCommittee = signed * 2 > step.validators;
        if (!byCommittee) {
            SetHeader memory header = quorum.setOf(step.service, set);
            if (uint256(power) * BPS < uint256(quorumAt(step.service, set)) * header.power) {
                revert CommitteeNotReached(signed, uint256(step.validators) / 2 + 1);
            }
            // All members validated, and decided.
            paid = _payMembers(step.service, set, header.members, signers, amount);
        }
        uint256 each = amount / step.validators;
        for (uint256 i = 1; i <= committee; ++i) {
            bool hasSigned = signers & 1 << ranked[i] != 0;
            address operator = _operatorAt(step.service, set, ranked[i]);
            records.count(step.service, operator, hasSigned ? 1 : 0, hasSigned ? 0 : 1);
            if (!byCommittee || !hasSigned) continue;
            paid += each;
            _earn(step.service, operator, each);
        }
    }

    function _checkVote(Vote calldata found, Vote memory expected) private pure {
        _checkKind(found.kind, expected.kind);
        if (found.subject != expected.subject) revert WrongVote(found.subject, expected.subject);
        if (found.value != expected.value) revert WrongVote(found.value, expected.value);
    }

    function _checkKind(VoteKind found, VoteKind expected) private pure {
        if (found != expected) revert WrongKind(uint8(found), uint8(expected));
    }

    function _checkQuorum(address service, uint64 set, uint256 power, uint256 total) private view {
        uint16 needed = quorumAt(service, set);
        if (power * BPS < needed * total) revert QuorumNotReached(power, total, needed);
    }

    function _pin(uint64 block_, bytes calldata header) private returns (bytes32 mix) {
        bytes32 expected = BlockHashLib.blockHash(block_);
        if (expected == 0) revert RandomnessUnknown(block_);
        bytes32 found = keccak256(header);
        if (found != expected) revert WrongHeader(block_, found, expected);
        mix = header.mixOf();
        if (randomnessOf[block_] == mix) return mix;
        randomnessOf[block_] = mix;
        emit RandomnessPinned(block_, mix);
    }

    // Money

    /// Pays `amount` in equal parts to the signers.
    /// @return paid `amount` less what does not divide
    function _payMembers(address service, uint64 set, uint8 members, uint256 signers, uint256 amount)
        private
        returns (uint256 paid)
    {
        uint256 count = LibBit.popCount(signers);
        uint256 share = amount / count;
        if (share == 0) return 0;
        Signing storage signing = _signing[service][set];
        signing.perMember += share;
        for (uint256 left = _absent(members, signers); left != 0; left &= left - 1) {
            signing.against[LibBit.ffs(left)] += share;
        }
        emit SignersEarned(service, set, signers, share);
        return share * count;
    }

    function _earn(address service, address operator, uint256 amount) private {
        if (amount == 0) return;
        _earnings[service][operator].unclaimed += SafeCastLib.toUint128(amount);
        emit Earned(service, operator, amount);
    }

    function _collect(address service, Seat calldata seat) private returns (address operator) {
        // Reverts if there is no such member.
        operator = _operatorAt(service, seat.set, seat.index);
        Signing storage signing = _signing[service][seat.set];
        uint256 perMember = signing.perMember;
        uint256 amount = perMember - signing.against[seat.index];
        if (amount == 0) return operator;
        signing.against[seat.index] = perMember;
        _earn(service, operator, amount);
    }

    function _take(address application, uint256 amount) private {
        uint256 found = depositOf[application];
        if (found < amount) revert DepositTooSmall(application, found, amount);
        depositOf[application] = found - amount;
    }

    // Sets

    function _absent(uint8 members, uint256 signers) private pure returns (uint256) {
        return ~signers & ((1 << uint256(members)) - 1);
    }

    function _operatorsOf(address service, uint64 set, uint256 mask) private view returns (address[] memory operators) {
        operators = new address[](LibBit.popCount(mask));
        for (uint256 i; i < operators.length; ++i) {
            operators[i] = _operatorAt(service, set, uint8(LibBit.ffs(mask)));
            mask &= mask - 1;
        }
    }

    function _operatorAt(address service, uint64 set, uint8 index) private view returns (address) {
        return quorum.memberOf(service, set, index).operator;
    }

    // Flows

    /// @return duration seconds in which the step can be done and paid
    function _addStep(FlowRecord storage record, uint256 index, Step calldata step) private returns (uint40 duration) {
        _checkRegistered(step.service);
        if (step.validators > MAX_VALIDATORS || step.window == 0 || step.window > MAX_WINDOW) revert StepInvalid(index);
        record.steps[index] = step;
        return uint40(uint256(ATTEMPTS) * step.window + GRACE);
    }

    // Services

    function _checkRegistered(address service) private view {
        (bool registered,,) = registry.serviceOf(service);
        if (!registered) revert UnknownService(service);
    }

    function _checkServiceOwner(address service) private view {
        _checkRegistered(service);
        address owner = IService(service).owner();
        if (msg.sender != owner) revert NotServiceOwner(service, msg.sender, owner);
    }
}
