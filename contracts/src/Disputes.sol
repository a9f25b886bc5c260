// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "./interfaces/IDisputes.sol";
import {IMachine} from "./interfaces/IMachine.sol";
import {IRegistry, ServiceParameters} from "./interfaces/IRegistry.sol";
import {IStaking, Loss} from "./interfaces/IStaking.sol";
import {IVerdict} from "./interfaces/IVerdict.sol";
import {DisputeFields as F} from "./libraries/DisputeFields.sol";
import {Dissection} from "./libraries/Dissection.sol";
import {Field, Fields} from "./libraries/Fields.sol";
import {Responses} from "./libraries/Responses.sol";
import {ClaimDetail, Signed, Statement} from "./types/Statement.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {LibBit} from "solady/utils/LibBit.sol";

/// @title Disputes
/// @notice Settles conflicting signed responses to one statement: see `IDisputes`.
contract Disputes is IDisputes, EIP712 {
    using Fields for uint256;
    using Responses for Statement;

    /// What is stored of a dispute.
    struct Record {
        /// keccak-256 of abi.encode(opener, claims' details)
        bytes32 details;
        /// M of the last move; 0 before the first move of a match, when it follows from the match
        bytes32 head;
        /// one word a claim (`DisputeFields`)
        uint256[8] words;
    }

    uint256 private constant MAX_CLAIMS = 8;
    uint64 private constant MAX_BUDGET = 1 << 45;
    /// Length of a machine state in bytes.
    uint256 private constant STATE_LENGTH = 263;
    /// Length in bytes of the openings at the last position, without the details.
    uint256 private constant LAST_OPENINGS_LENGTH = 7 * 32;

    IStaking public immutable staking;
    IRegistry public immutable registry;
    IMachine public immutable machine;
    uint32 public immutable clock;
    uint32 public immutable joinWindow;

    mapping(bytes32 dispute => Record) private _records;

    /// @param staking_ must have this contract among its modules
    /// @param clock_ seconds each party has in each match; below 2^21
    /// @param joinWindow_ seconds in which claims can be added after opening, and at least after each elimination
    constructor(IStaking staking_, IMachine machine_, uint32 clock_, uint32 joinWindow_) {
        if (clock_ == 0 || clock_ >= 1 << 21 || joinWindow_ == 0) revert WrongTimes(clock_, joinWindow_);
        if (!staking_.isModule(address(this))) revert NotModule(address(this));
        // Every match but none after the last claim is eliminated by a game; each leaves time to join.
        uint256 longest = uint256(joinWindow_) + (MAX_CLAIMS - 1) * (2 * uint256(clock_) + uint256(joinWindow_));
        if (staking_.leaveDelay() <= longest) revert LeaveDelayTooShort(staking_.leaveDelay(), longest);
        staking = staking_;
        registry = staking_.registry();
        machine = machine_;
        clock = clock_;
        joinWindow = joinWindow_;
    }

    // Opening and joining

    /// @inheritdoc IDisputes
    function open(Statement calldata statement, Signed[] calldata responses) external returns (bytes32 dispute) {
        uint256 count = responses.length;
        if (count < 2) revert TooFewClaims(count);
        if (count > MAX_CLAIMS) revert TooManyClaims(count, MAX_CLAIMS);
        Statement memory about = statement;
        if (about.budget > MAX_BUDGET) revert BudgetTooLarge(about.budget, MAX_BUDGET);
        dispute = about.disputeId(msg.sender);
        Record storage record = _records[dispute];
        if (record.details != 0) revert DisputeExists(dispute);

        ClaimDetail[] memory claims = new ClaimDetail[](count);
        address[] memory operators = new address[](count);
        uint256 joinUntil = block.timestamp + joinWindow;
        emit Opened(dispute, about.service, msg.sender, about, uint64(joinUntil));

        uint256 word1 = uint256(0).set(F.JOIN_UNTIL, joinUntil).set(F.LIVE, (1 << count) - 1).set(F.LAST, count - 1)
            .set(F.LEVELS, Dissection.levelsOf(about.budget));
        // The lowest claim of another group than claim 0's; there is none while it is 0.
        uint256 b;
        for (uint256 i; i < count; ++i) {
            Signed calldata response = responses[i];
            address operator = _signerOf(about, response);
            bytes32 result = response.result;
            uint256 group = i;
            for (uint256 j; j < i; ++j) {
                if (operators[j] == operator) revert AlreadyClaimed(operator);
                if (group == i && claims[j].result == result) group = j;
            }
            if (b == 0 && group != 0) b = i;
            operators[i] = operator;
            ClaimDetail memory claim = claims[i];
            (claim.operator, claim.request, claim.requester, claim.result) =
            (operator, response.request, response.requester, result);
            uint256 word = uint256(uint160(operator)).set(F.GROUP, group);
            if (i == 1) word1 |= word;
            else record.words[i] = word;
            emit Claimed(dispute, uint8(i), operator, response.request, response.requester, result);
        }
        if (b == 0) revert NoConflict(responses[0].result);

        record.words[1] = _startMatch(dispute, word1, 0, b);
        record.details = keccak256(abi.encode(msg.sender, claims));
        staking.lock(about.service, operators);
    }

    /// @inheritdoc IDisputes
    function join(Statement calldata statement, Signed calldata response, address opener, ClaimDetail[] calldata claims)
        external
    {
        bytes32 dispute = statement.disputeId(opener);
        Record storage record = _records[dispute];
        _checkDetails(dispute, record, Responses.detailsHash(opener, claims));
        uint256 count = claims.length;
        if (count == MAX_CLAIMS) revert TooManyClaims(count + 1, MAX_CLAIMS);
        uint256 word1 = record.words[1];
        if (block.timestamp > word1.get(F.JOIN_UNTIL)) revert JoinClosed(word1.get(F.JOIN_UNTIL));

        address operator = _signerOf(statement, response);
        uint256 group = count;
        ClaimDetail[] memory all = new ClaimDetail[](count + 1);
        for (uint256 i; i < count; ++i) {
            all[i] = claims[i];
            if (claims[i].operator == operator) revert AlreadyClaimed(operator);
            if (group == count && claims[i].result == response.result) group = i;
        }
        all[count] = ClaimDetail(operator, response.request, response.requester, response.result);
        emit Claimed(dispute, uint8(count), operator, response.request, response.requester, response.result);

        record.details = keccak256(abi.encode(opener, all));
        record.words[count] = uint256(uint160(operator)).set(F.GROUP, group);
        word1 = word1.set(F.LAST, count).set(F.LIVE, word1.get(F.LIVE) | 1 << count);
        if (word1.get(F.RUNNING) == 0) word1 = _pair(dispute, record, word1);
        record.words[1] = word1;

        address[] memory operators = new address[](1);
        operators[0] = operator;
        staking.lock(statement.service, operators);
    }

    // The game

    /// @inheritdoc IDisputes
    function dissect(bytes32 dispute, bytes32 head, uint256 segment, bytes32[31] calldata points) external {
        Record storage record = _records[dispute];
        (uint256 word0, uint256 word1) = (record.words[0], record.words[1]);
        uint256 moves = word0.get(F.MOVES);
        word0 = _move(dispute, record, word0, word1, head);
        if (moves == word1.get(F.LEVELS)) revert DissectionsOver(moves);
        if (segment > 31 || moves == 0 && segment != 0) revert WrongSegment(segment);

        bytes32 next = Dissection.extend(head, segment, Dissection.rootOf(points));
        record.head = next;
        unchecked {
            // At most 9 digits are kept (the first is always 0) and 10 moves counted.
            ++moves;
        }
        record.words[0] = word0.set(F.DIGITS, word0.get(F.DIGITS) << 5 | segment).set(F.MOVES, moves);
        emit Dissected(dispute, uint8(moves), uint8(segment), next, points);
    }

    /// @inheritdoc IDisputes
    function step(
        Statement calldata statement,
        address opener,
        bytes32 head,
        uint256 segment,
        bytes calldata openings,
        bytes calldata witness
    ) external {
        bytes32 dispute = statement.disputeId(opener);
        Record storage record = _records[dispute];
        (uint256 word0, uint256 word1) = (record.words[0], record.words[1]);
        word0 = _move(dispute, record, word0, word1, head);
        (uint256 moves, uint256 levels) = (word0.get(F.MOVES), word1.get(F.LEVELS));
        if (moves != levels) revert StepTooEarly(moves, levels);
        if (segment > 31) revert WrongSegment(segment);
        uint256 t = word0.get(F.DIGITS) << 5 | segment;

        (bytes32 start, bytes32 next) = _transition(statement, t, witness);
        if (t == 0) _checkInitial(statement, witness);

        bytes32 computed;
        bytes32 end;
        // Who asserted the end: 1 if a.
        uint256 author;
        if (t + 1 == 1 << (5 * levels)) {
            if (openings.length < LAST_OPENINGS_LENGTH) {
                revert WrongOpenings(openings.length, LAST_OPENINGS_LENGTH);
            }
            (computed, end,) = Dissection.open(openings[:LAST_OPENINGS_LENGTH], t, levels, start);
            _checkEnd(dispute, record, word1.get(F.PARTY), end, openings[LAST_OPENINGS_LENGTH:]);
            author = 1;
        } else {
            (computed, end, author) = Dissection.open(openings, t, levels, start);
        }
        if (computed != head) revert OpeningsMismatch(head, computed);

        // Move j is a's when j is odd, and this is move levels + 1. Who asserted the end defends it, the other
        // contests it.
        bool defends = author & 1 == (levels + 1) & 1;
        if ((next == end) != defends) revert StepLost(next, end);

        emit Stepped(dispute, uint64(t));
        _endMatch(dispute, record, word1, (levels + 1) & 1);
    }

    /// @inheritdoc IDisputes
    function expire(bytes32 dispute) external {
        Record storage record = _records[dispute];
        (uint256 word0, uint256 word1) = (record.words[0], record.words[1]);
        if (word1.get(F.RUNNING) == 0) revert NoMatch(dispute);
        uint256 party = word0.get(F.MOVES) & 1;
        uint256 used = _used(word0, word1, party);
        if (used <= clock) revert ClockRunning(used, clock);
        emit Expired(dispute);
        _endMatch(dispute, record, word1, party);
    }

    // Ending

    /// @inheritdoc IDisputes
    function decide(Statement calldata statement, address opener, ClaimDetail[] calldata claims, bytes calldata proof)
        external
    {
        bytes32 dispute = statement.disputeId(opener);
        Record storage record = _records[dispute];
        _checkDetails(dispute, record, Responses.detailsHash(opener, claims));
        (,, ServiceParameters memory parameters) = registry.serviceOf(statement.service);
        if (parameters.verdict == address(0)) revert NoVerdict(statement.service);
        bytes32 result = IVerdict(parameters.verdict).decide(statement, proof);
        emit Decided(dispute, result);

        uint256 word1 = record.words[1];
        uint256 live = word1.get(F.LIVE);
        for (uint256 i; i < claims.length; ++i) {
            if (live & 1 << i != 0 && claims[i].result != result) {
                word1 = _eliminate(dispute, word1, i, claims[i].operator);
            }
        }
        if (word1.get(F.LIVE) == live) revert NothingDecided(result);
        if (word1.get(F.RUNNING) != 0) {
            word1 = word1.set(F.RUNNING, 0);
            record.head = 0;
        }
        record.words[1] = word1;
    }

    /// @inheritdoc IDisputes
    function settle(Statement calldata statement, address opener, ClaimDetail[] calldata claims) external {
        bytes32 dispute = statement.disputeId(opener);
        Record storage record = _records[dispute];
        _checkDetails(dispute, record, Responses.detailsHash(opener, claims));
        uint256 word1 = record.words[1];
        if (word1.get(F.RUNNING) != 0) revert MatchRunning(dispute);
        if (block.timestamp <= word1.get(F.JOIN_UNTIL)) revert JoinOpen(word1.get(F.JOIN_UNTIL));

        record.details = 0;
        for (uint256 i; i < claims.length; ++i) {
            record.words[i] = 0;
        }
        _pay(dispute, statement.service, word1.get(F.LIVE), opener, claims);
    }

    // Views

    /// @inheritdoc IDisputes
    function get(bytes32 dispute) external view returns (View memory v) {
        Record storage record = _records[dispute];
        if (record.details == 0) return v;
        (uint256 word0, uint256 word1) = (record.words[0], record.words[1]);
        v.joinUntil = uint64(word1.get(F.JOIN_UNTIL));
        v.claims = uint8(word1.get(F.LAST) + 1);
        v.liveBitmap = uint8(word1.get(F.LIVE));
        v.levels = uint8(word1.get(F.LEVELS));
        v.matchRunning = word1.get(F.RUNNING) != 0;
        if (!v.matchRunning) return v;
        v.a = uint8(word1.get(F.PARTY));
        v.b = uint8(word1.get(F.PARTY.up(F.PARTY_SIZE)));
        v.moves = uint8(word0.get(F.MOVES));
        v.position = uint64(word0.get(F.DIGITS));
        (uint256 usedA, uint256 usedB) = (word0.get(F.USED), word0.get(F.USED.up(F.USED_SIZE)));
        (v.clockA, v.clockB) = (uint32(clock - usedA), uint32(clock - usedB));
        v.lastMove = uint64(word1.get(F.STARTED) + usedA + usedB);
        v.head = v.moves == 0 ? _firstHead(dispute, word1) : record.head;
    }

    /// @inheritdoc IDisputes
    function operatorAt(bytes32 dispute, uint8 index) external view returns (address) {
        return index < MAX_CLAIMS ? _records[dispute].words[index].toAddress() : address(0);
    }

    /// @inheritdoc IDisputes
    function signerOf(Statement calldata statement, Signed calldata response) external view returns (address operator) {
        return _signerOf(statement, response);
    }

    /// @inheritdoc IDisputes
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparator();
    }

    // Parts of a move

    /// Checks that the caller may make the next move of the running match, answering `head`, and charges its clock.
    /// @return word0 with the clock charged
    function _move(bytes32 dispute, Record storage record, uint256 word0, uint256 word1, bytes32 head)
        private
        view
        returns (uint256)
    {
        if (word1.get(F.RUNNING) == 0) revert NoMatch(dispute);
        uint256 moves = word0.get(F.MOVES);
        bytes32 current = moves == 0 ? _firstHead(dispute, word1) : record.head;
        if (head != current) revert WrongHead(current, head);
        uint256 party = moves & 1;
        uint256 index = word1.get(F.PARTY.up(F.PARTY_SIZE * party));
        address mover = (index == 0 ? word0 : index == 1 ? word1 : record.words[index]).toAddress();
        if (msg.sender != mover) revert NotOnMove(msg.sender, mover);
        uint256 used = _used(word0, word1, party);
        if (used > clock) revert ClockRanOut(used, clock);
        return word0.set(F.USED.up(F.USED_SIZE * party), used);
    }

    /// Seconds that the party on move (0: a, 1: b) has used by now: what is not the opponent's of the time since the
    /// match's start.
    function _used(uint256 word0, uint256 word1, uint256 party) private view returns (uint256) {
        unchecked {
            // The opponent's time ended in the past.
            return block.timestamp - word1.get(F.STARTED) - word0.get(F.USED.up(F.USED_SIZE * (1 - party)));
        }
    }

    /// The transition at t, from the witness.
    function _transition(Statement calldata statement, uint256 t, bytes calldata witness)
        private
        view
        returns (bytes32 start, bytes32 next)
    {
        if (t < statement.budget) return machine.step(witness);
        if (t == statement.budget) {
            if (witness.length != STATE_LENGTH) revert WrongWitness(witness.length, STATE_LENGTH);
            return machine.result(witness);
        }
        if (witness.length != 32) revert WrongWitness(witness.length, 32);
        start = bytes32(witness);
        next = start;
    }

    /// At position 0 no move binds the start; the statement does.
    function _checkInitial(Statement calldata statement, bytes calldata witness) private view {
        (bytes32 program, bytes32 input, bool fresh) = machine.initial(witness[:STATE_LENGTH]);
        if (program != statement.program || input != statement.input || !fresh) revert NotInitial(program, input);
    }

    /// At the last position no move binds the end; it is a's result.
    function _checkEnd(bytes32 dispute, Record storage record, uint256 a, bytes32 end, bytes calldata details)
        private
        view
    {
        _checkDetails(dispute, record, keccak256(details));
        (, ClaimDetail[] memory claims) = abi.decode(details, (address, ClaimDetail[]));
        if (end != claims[a].result) revert WrongEnd(claims[a].result, end);
    }

    // Matches

    /// Eliminates one party of the running match (0: a, 1: b) and starts the next match, if there is one.
    function _endMatch(bytes32 dispute, Record storage record, uint256 word1, uint256 loser) private {
        uint256 index = word1.get(F.PARTY.up(F.PARTY_SIZE * loser));
        word1 = _eliminate(dispute, word1, index, record.words[index].toAddress()).set(F.RUNNING, 0);
        record.head = 0;
        record.words[1] = _pair(dispute, record, word1);
    }

    /// @return word1 without the claim, and with time to join
    function _eliminate(bytes32 dispute, uint256 word1, uint256 index, address operator) private returns (uint256) {
        uint256 joinUntil = block.timestamp + joinWindow;
        if (joinUntil < word1.get(F.JOIN_UNTIL)) joinUntil = word1.get(F.JOIN_UNTIL);
        emit Eliminated(dispute, uint8(index), operator, uint64(joinUntil));
        return word1.set(F.JOIN_UNTIL, joinUntil).set(F.LIVE, word1.get(F.LIVE) & ~(1 << index));
    }

    /// Starts the match between the lowest live claim and the lowest live claim of another group, if there is one.
    function _pair(bytes32 dispute, Record storage record, uint256 word1) private returns (uint256) {
        uint256 live = word1.get(F.LIVE);
        // At most one live claim: nothing to compare.
        if (live & (live - (live == 0 ? 0 : 1)) == 0) return word1;
        uint256 a;
        while (live & 1 << a == 0) ++a;
        uint256 groupOfA = _groupOf(record, word1, a);
        uint256 last = word1.get(F.LAST);
        for (uint256 b = a + 1; b <= last; ++b) {
            if (live & 1 << b == 0 || _groupOf(record, word1, b) == groupOfA) continue;
            record.words[0] = record.words[0].set(F.MATCH, 0);
            return _startMatch(dispute, word1, a, b);
        }
        return word1;
    }

    /// @return word1 with the match in it; word 0 must hold no earlier one's moves
    function _startMatch(bytes32 dispute, uint256 word1, uint256 a, uint256 b) private returns (uint256) {
        word1 = word1.set(F.RUNNING, 1).set(F.PARTY, a).set(F.PARTY.up(F.PARTY_SIZE), b).set(F.STARTED, block.timestamp);
        emit MatchStarted(dispute, uint8(a), uint8(b), uint8(word1.get(F.LEVELS)), _firstHead(dispute, word1));
        return word1;
    }

    /// M_0 of the running match.
    function _firstHead(bytes32 dispute, uint256 word1) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                dispute,
                address(this),
                block.chainid,
                word1.get(F.STARTED),
                word1.get(F.PARTY),
                word1.get(F.PARTY.up(F.PARTY_SIZE))
            )
        );
    }

    function _groupOf(Record storage record, uint256 word1, uint256 index) private view returns (uint256) {
        if (index == 0) return 0;
        return (index == 1 ? word1 : record.words[index]).get(F.GROUP);
    }

    // Evidence and money

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("Surety", "1");
    }

    function _signerOf(Statement memory statement, Signed calldata response) private view returns (address operator) {
        bytes32 digest = _hashTypedData(Responses.structHash(statement, response));
        operator = ECDSA.tryRecover(digest, response.r, response.vs);
        if (operator == address(0)) revert InvalidSignature();
    }

    function _checkDetails(bytes32 dispute, Record storage record, bytes32 given) private view {
        bytes32 kept = record.details;
        if (kept == 0) revert UnknownDispute(dispute);
        if (kept != given) revert WrongDetails(kept, given);
    }

    /// Slashes the eliminated claims' operators, in favour of their requesters, and releases the others.
    function _pay(bytes32 dispute, address service, uint256 live, address opener, ClaimDetail[] calldata claims)
        private
    {
        uint256 count = claims.length;
        uint256 survived = LibBit.popCount(live);
        address[] memory survivors = new address[](survived);
        Loss[] memory losses = new Loss[](count - survived);
        uint256 lost;
        bytes32 result;
        for (uint256 i; i < count; ++i) {
            ClaimDetail calldata claim = claims[i];
            if (live & 1 << i != 0) {
                survivors[--survived] = claim.operator;
                result = claim.result;
            } else {
                Loss memory loss = losses[lost++];
                (loss.operator, loss.victim) = (claim.operator, claim.requester);
            }
        }
        // Only those eliminated count: co-signers of the right answer must not make a lie cheaper.
        uint256 slashed = staking.slash(service, losses, survivors, opener, msg.sender);
        emit Settled(dispute, result, slashed);
    }
}
