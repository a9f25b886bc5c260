// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Case, IFaults} from "../src/interfaces/IFaults.sol";
import {IQuorum} from "../src/interfaces/IQuorum.sol";
import {Record} from "../src/interfaces/IRecords.sol";
import {IStaking, Stake} from "../src/interfaces/IStaking.sol";
import {Proven, Vote, VoteKind} from "../src/types/Votes.sol";
import {NetworkFixture} from "./network/NetworkFixture.sol";
import {LibBit} from "solady/utils/LibBit.sol";

/// Seven members: five make a quorum, four do not.
contract FaultsTest is NetworkFixture {
    bytes32 private constant SUBJECT = keccak256("subject");
    uint256 private constant QUORUM = 0x1f;

    function size() internal pure override returns (uint256) {
        return 7;
    }

    function event_(bytes32 value, uint256 signers) internal view returns (Proven memory) {
        return voted(VoteKind.EVENT, SUBJECT, value, signers);
    }

    function bondOf(uint256 member) private view returns (uint256) {
        return staking.stakeOf(service, operators[member]).bond;
    }

    function reportBy(address reporter, Proven memory ballot, Proven memory certified) private returns (bytes32) {
        vm.prank(reporter);
        return faults.reportMinority(ballot, certified);
    }

    function punish(bytes32 id) private {
        vm.warp(faults.caseOf(id).until);
        vm.prank(CALLER);
        faults.punish(id);
    }

    /// Bonds, rewards, credits and what was burnt are the balance.
    function assertBondsConserved() private view {
        uint256 sum = staking.burnt();
        for (uint256 i; i < operators.length; ++i) {
            Stake memory stake = staking.stakeOf(service, operators[i]);
            sum += uint256(stake.bond) + stake.reward;
        }
        address[4] memory others = [REPORTER, CALLER, address(this), APP];
        for (uint256 i; i < 4; ++i) {
            sum += staking.creditOf(others[i]);
        }
        assertEq(sum, token.balanceOf(address(staking)), "P7");
    }

    // Reports

    function test_P2_aVoteAgainstTheQuorumCostsTheBond() public {
        Proven memory lie = event_("lie", 1 << 6);
        Proven memory truth = event_("truth", QUORUM);
        bytes32 id = faults.idOf(service, set, 1, SUBJECT);
        uint64 until = uint64(block.timestamp) + REPORT_WINDOW;
        vm.expectEmit(address(faults));
        emit IFaults.Reported(id, service, operators[6], set, 1, SUBJECT, REPORTER, until);
        assertEq(reportBy(REPORTER, lie, truth), id);
        Case memory c = faults.caseOf(id);
        assertEq(c.until, until);
        assertEq(c.operators.length, 1);
        assertEq(c.reporters[0], REPORTER);
        assertEq(c.reported, 1 << 6);
        assertEq(staking.stakeOf(service, operators[6]).locks, 1);

        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IFaults.WindowOpen.selector, id, until));
        faults.punish(id);
        punish(id);
        assertEq(bondOf(6), 0);
        assertEq(staking.stakeOf(service, operators[6]).locks, 0);
        // 40 % as the victim, 20 % for want of winners, 5 % for the report; 5 % for the punishment; 30 % are burnt.
        assertEq(staking.creditOf(REPORTER), BOND * 65 / 100);
        assertEq(staking.creditOf(CALLER), BOND * 5 / 100);
        assertEq(staking.burnt(), BOND * 30 / 100);
        Record memory record = records.recordOf(service, operators[6]);
        assertEq(record.incidents, 1);
        assertEq(record.slashed, BOND / 1 ether);
        for (uint256 i; i < 6; ++i) {
            assertEq(bondOf(i), BOND);
        }
        assertBondsConserved();

        vm.expectRevert(abi.encodeWithSelector(IFaults.AlreadyPunished.selector, id));
        faults.punish(id);
        vm.expectRevert(abi.encodeWithSelector(IFaults.UnknownCase.selector, bytes32(0)));
        faults.punish(0);
    }

    function test_P2_aDoubleVoteCostsTheBond() public {
        Proven memory first = event_("a", 1 << 3);
        Proven memory second = event_("b", 1 << 3);
        vm.prank(REPORTER);
        bytes32 id = faults.reportDouble(first, second);
        punish(id);
        assertEq(bondOf(3), 0);
        assertBondsConserved();
    }

    /// Results have no quorum of their own, and double votes need none.
    function test_P2_aDoubleResult() public {
        bytes32 id = faults.reportDouble(
            voted(VoteKind.RESULT, SUBJECT, "a", 1 << 3), voted(VoteKind.RESULT, SUBJECT, "b", 1 << 3)
        );
        assertEq(id, faults.idOf(service, set, 2, SUBJECT));
        punish(id);
        assertEq(bondOf(3), 0);
    }

    /// Whoever signed two certificates that contradict each other is found in them.
    function test_reportDouble_ofTwoCertificates() public {
        bytes32 id = faults.reportDouble(event_("a", 0x1f), event_("b", 0x7c));
        assertEq(faults.caseOf(id).reported, 0x1c);
        refuseDouble(abi.encodeWithSelector(IFaults.NobodyNew.selector, id, 0x1c), event_("a", 0x1f), event_("b", 0x7c));
    }

    function test_P2_aWrongResultCostsTheBond() public {
        Proven memory result = voted(VoteKind.RESULT, SUBJECT, "wrong", 1 << 2);
        Proven memory invalid = voted(VoteKind.VALIDATION, "wrong", INVALID, 0x7b);
        vm.prank(REPORTER);
        bytes32 id = faults.reportResult(result, invalid);
        assertEq(id, faults.idOf(service, set, 2, SUBJECT));
        punish(id);
        assertEq(bondOf(2), 0);
        assertBondsConserved();
    }

    function test_reportResult_refusals() public {
        Proven memory result = voted(VoteKind.RESULT, SUBJECT, "wrong", 1 << 2);
        refuseResult(
            abi.encodeWithSelector(IFaults.WrongVote.selector, VALID, INVALID),
            result,
            voted(VoteKind.VALIDATION, "wrong", VALID, 0x7b)
        );
        refuseResult(
            abi.encodeWithSelector(IFaults.WrongVote.selector, bytes32("another"), bytes32("wrong")),
            result,
            voted(VoteKind.VALIDATION, "another", INVALID, 0x7b)
        );
        refuseResult(
            abi.encodeWithSelector(IFaults.WrongKind.selector, 1, 2),
            event_("wrong", 1),
            voted(VoteKind.VALIDATION, "wrong", INVALID, 0x7b)
        );
        refuseResult(
            abi.encodeWithSelector(IFaults.WrongKind.selector, 4, 3),
            result,
            voted(VoteKind.MEASUREMENT, "wrong", INVALID, 0x7b)
        );
        refuseResult(
            abi.encodeWithSelector(IFaults.QuorumNotReached.selector, 4 * BOND / 1e9, 7 * BOND / 1e9, 6667),
            result,
            voted(VoteKind.VALIDATION, "wrong", INVALID, 0x0f)
        );
    }

    // P1

    /// Four of seven are a majority, and no quorum: nobody is slashed on their word.
    function test_P1_aMinorityBelowTheQuorumSlashesNobody() public {
        Proven memory honest = event_("truth", 1 << 6);
        refuseMinority(
            abi.encodeWithSelector(IFaults.QuorumNotReached.selector, 4 * BOND / 1e9, 7 * BOND / 1e9, 6667),
            honest,
            event_("lie", 0x0f)
        );
        // Not with the signatures of others added to the mask, either.
        Proven memory lie = event_("lie", 0x0f);
        lie.certificate.signers = 0x1f;
        refuseMinority(abi.encodePacked(IQuorum.WrongSignature.selector), honest, lie);
    }

    function test_P1_oneVoteIsNoDoubleVote() public {
        Proven memory vote = event_("truth", 1);
        refuseDouble(abi.encodeWithSelector(IFaults.NoContradiction.selector, bytes32("truth")), vote, vote);
        refuseMinority(
            abi.encodeWithSelector(IFaults.NoContradiction.selector, bytes32("truth")), vote, event_("truth", QUORUM)
        );
        // Another subject, another kind, another member.
        refuseDouble(abi.encodePacked(IFaults.NotTheSame.selector), vote, voted(VoteKind.EVENT, "another", "lie", 1));
        refuseDouble(
            abi.encodePacked(IFaults.NotTheSame.selector), vote, voted(VoteKind.MEASUREMENT, SUBJECT, "lie", 1)
        );
        refuseDouble(abi.encodeWithSelector(IFaults.NotABallot.selector, 0), vote, event_("lie", 2));
        refuseMinority(
            abi.encodeWithSelector(IFaults.KindHasNoQuorum.selector, 2),
            voted(VoteKind.RESULT, SUBJECT, "a", 1),
            voted(VoteKind.RESULT, SUBJECT, "b", QUORUM)
        );
        refuseDouble(
            abi.encodeWithSelector(IFaults.KindHasNoQuorum.selector, 0),
            voted(VoteKind.NONE, SUBJECT, "a", 1),
            voted(VoteKind.NONE, SUBJECT, "b", 1)
        );
    }

    /// What a member signed in one set, service or chain is nothing in another.
    function test_P1_votesAreForOneSetServiceAndChain() public {
        Proven memory first = event_("a", 1);
        Proven memory second = event_("b", 1);
        uint64 old = set;
        set = fix();
        Proven memory later = event_("b", 1);
        refuseDouble(abi.encodePacked(IFaults.NotTheSame.selector), first, later);
        later.certificate.set = old;
        refuseDouble(abi.encodePacked(IQuorum.WrongSignature.selector), first, later);

        address firstService = service;
        service = addService(1);
        for (uint256 i; i < 7; ++i) {
            bond(service, operators[i], BOND);
        }
        set = fix();
        assertEq(set, old);
        Proven memory elsewhere = event_("b", 1);
        refuseDouble(abi.encodePacked(IFaults.NotTheSame.selector), first, elsewhere);
        elsewhere.certificate.service = firstService;
        refuseDouble(abi.encodePacked(IQuorum.WrongSignature.selector), first, elsewhere);

        vm.chainId(31_338);
        refuseDouble(abi.encodePacked(IQuorum.WrongSignature.selector), first, second);
        vm.chainId(31_337);
        faults.reportDouble(first, second);
    }

    function test_P1_aForgedBallotIsRefused() public {
        Proven memory lie = event_("lie", 1 << 5);
        lie.certificate.signers = 1 << 6;
        refuseMinority(abi.encodePacked(IQuorum.WrongSignature.selector), lie, event_("truth", QUORUM));
        lie = event_("truth", 1 << 6);
        lie.vote.value = "lie";
        refuseMinority(abi.encodePacked(IQuorum.NotUnderRoot.selector), lie, event_("truth", QUORUM));
    }

    /// Up to four of seven lie about everything, together or each for itself; every report they can make against an honest
    /// member is refused. Where the honest are a quorum, all who lied to it are slashed.
    /// forge-config: default.fuzz.runs = 32
    function testFuzz_P1_P2_onlyLiarsAreSlashed(uint256 liars, uint256 seed) public {
        liars &= 0x7f;
        while (LibBit.popCount(liars) > 4) {
            liars &= liars - 1;
        }
        if (liars == 0) liars = 1;
        uint256 honest = 0x7f & ~liars;
        uint8 member = uint8(seed % 7);
        while (honest >> member & 1 == 0) {
            member = (member + 1) % 7;
        }
        // They may also sign what is right, and use the signatures of the others for it.
        uint256 mixed = liars | (seed >> 8 & honest);
        Proven memory own = event_("truth", 1 << member);
        refuseMinority(abi.encodePacked(IFaults.QuorumNotReached.selector), own, event_("lie", liars));
        refuseMinority(abi.encodePacked(IFaults.NoContradiction.selector), own, event_("truth", mixed));
        Proven memory forged = event_("lie", liars);
        forged.certificate.signers = 0x7f;
        refuseMinority(abi.encodePacked(IQuorum.WrongSignature.selector), own, forged);
        refuseResult(
            abi.encodePacked(IFaults.QuorumNotReached.selector),
            voted(VoteKind.RESULT, SUBJECT, "right", 1 << member),
            voted(VoteKind.VALIDATION, "right", INVALID, liars)
        );
        refuseDouble(abi.encodePacked(IFaults.NotABallot.selector), own, event_("lie", liars));
        refuseDouble(
            abi.encodePacked(IFaults.NotTheSame.selector), own, voted(VoteKind.EVENT, "another", "x", 1 << member)
        );
        forged = event_("lie", liars);
        forged.certificate.signers = 1 << member;
        refuseDouble(abi.encodePacked(IQuorum.WrongSignature.selector), own, forged);

        if (LibBit.popCount(honest) >= 5) {
            bytes32 id = reportBy(REPORTER, event_("lie", liars), event_("truth", honest));
            punish(id);
        }
        for (uint256 i; i < 7; ++i) {
            bool lost = liars >> i & 1 == 1 && LibBit.popCount(honest) >= 5;
            assertEq(bondOf(i), lost ? 0 : BOND, lost ? "P2" : "P1");
        }
        assertBondsConserved();
    }

    // Severity

    function test_severity_oneAndTwoLoseAll() public {
        bytes32 id = reportBy(REPORTER, event_("lie", 3 << 5), event_("truth", QUORUM));
        punish(id);
        assertEq(bondOf(5), 0);
        assertEq(bondOf(6), 0);
        assertBondsConserved();
    }

    /// Many lose what makes twice the largest bond in all, however they are reported.
    function test_severity_manyLoseAPart() public {
        // A quorum of four votes; the others lie: a service may choose 5,001.
        vm.prank(OWNER);
        terms.setTerms(service, 5001);
        set = fix();
        Proven memory truth = event_("truth", 0x0f);
        bytes32 id = reportBy(REPORTER, event_("lie", 1 << 4), truth);
        reportBy(APP, event_("another lie", 3 << 5), truth);
        punish(id);
        uint256 lost = BOND * 6666 / 10_000;
        for (uint256 i = 4; i < 7; ++i) {
            assertEq(bondOf(i), BOND - lost);
        }
        // To each for what it found, and for nothing else.
        assertEq(staking.creditOf(APP), 2 * (lost - lost * 3500 / 10_000));
        assertEq(staking.creditOf(REPORTER), lost - lost * 3500 / 10_000);
        assertBondsConserved();
    }

    /// Evidence against four, each reported after the one before was punished: all together lose what they would have
    /// lost at once.
    function test_severity_inRoundsTakesNoMoreThanAtOnce() public {
        vm.prank(OWNER);
        terms.setTerms(service, 5001);
        set = fix();
        Proven memory truth = event_("truth", 0x0f);
        for (uint256 i = 4; i < 7; ++i) {
            bytes32 id = reportBy(REPORTER, event_("lie", 1 << i), truth);
            punish(id);
        }
        // Few, heavily; the third finds twice the largest bond taken.
        assertEq(bondOf(4), 0);
        assertEq(bondOf(5), 0);
        assertEq(bondOf(6), BOND);
        assertEq(staking.stakeOf(service, operators[6]).locks, 0);
        assertEq(records.recordOf(service, operators[6]).incidents, 1);
        assertBondsConserved();
    }

    /// A member with next to nothing at stake does not make what the others lose lighter, nor what a member with more
    /// loses in a later round.
    function test_severity_inRoundsCountsTheLargestBond() public {
        Proven memory truth = event_("truth", QUORUM);
        // What a loser has left when it is punished counts, not what it had.
        punish(faults.reportDouble(otherSubject("a", 1 << 5), otherSubject("b", 1 << 5)));
        bond(service, operators[5], 1 ether);
        punish(reportBy(REPORTER, event_("lie", 1 << 5), truth));
        assertEq(bondOf(5), 0);
        punish(reportBy(REPORTER, event_("lie", 1 << 6), truth));
        assertEq(bondOf(6), 0);
        assertBondsConserved();
    }

    function otherSubject(bytes32 value, uint256 signers) private view returns (Proven memory) {
        return voted(VoteKind.EVENT, "other", value, signers);
    }

    // The window

    function test_window_collectsThenSlashesInRounds() public {
        Proven memory truth = event_("truth", QUORUM);
        Proven memory first = event_("lie", 1 << 5);
        Proven memory second = event_("lie", 1 << 6);
        bytes32 id = reportBy(REPORTER, first, truth);
        refuseMinority(abi.encodeWithSelector(IFaults.NobodyNew.selector, id, 1 << 5), first, truth);
        uint256 until = faults.caseOf(id).until;
        vm.warp(until);
        refuseMinority(abi.encodeWithSelector(IFaults.WindowOver.selector, id, until), second, truth);
        punish(id);
        // Who opens a case early closes it for nobody else.
        reportBy(APP, second, truth);
        Case memory c = faults.caseOf(id);
        assertFalse(c.punished);
        assertEq(c.operators.length, 1);
        assertEq(c.operators[0], operators[6]);
        assertEq(c.until, until + REPORT_WINDOW);
        punish(id);
        assertEq(bondOf(6), 0);
        assertEq(staking.creditOf(APP), BOND * 65 / 100);
        // And nobody twice.
        refuseMinority(abi.encodeWithSelector(IFaults.NobodyNew.selector, id, 3 << 5), event_("lie", 3 << 5), truth);
        assertBondsConserved();
    }

    /// Leaving does not help: the bond is locked from the report on.
    function test_report_locksWhoIsLeaving() public {
        vm.startPrank(HOLDER);
        staking.leave(service, operators[6]);
        vm.stopPrank();
        bytes32 id = reportBy(REPORTER, event_("lie", 1 << 6), event_("truth", QUORUM));
        vm.warp(block.timestamp + LEAVE_DELAY);
        vm.expectPartialRevert(IStaking.Locked.selector);
        vm.prank(HOLDER);
        staking.withdrawBond(service, operators[6]);
        vm.prank(CALLER);
        faults.punish(id);
        assertEq(bondOf(6), 0);
    }

    /// Members whose bonds are gone sign what they like in the old set, and accuse one who has stayed.
    function test_P1_whoHasLeftConvictsNobody() public {
        uint256 fixedAt = quorum.setOf(service, set).time;
        Proven memory honest = event_("truth", 1 << 6);
        Proven memory lie = event_("lie", QUORUM);
        Proven memory result = voted(VoteKind.RESULT, SUBJECT, "right", 1 << 6);
        Proven memory invalid = voted(VoteKind.VALIDATION, "right", INVALID, QUORUM);
        Proven memory double = event_("lie", 1 << 6);
        vm.startPrank(HOLDER);
        for (uint256 i; i < 5; ++i) {
            staking.leave(service, operators[i]);
        }
        vm.warp(fixedAt + LEAVE_DELAY);
        bytes memory refusal = abi.encodeWithSelector(
            IFaults.SetTooOld.selector, service, set, uint256(LEAVE_DELAY), uint256(LEAVE_DELAY)
        );
        for (uint256 i; i < 5; ++i) {
            staking.withdrawBond(service, operators[i]);
        }
        vm.stopPrank();
        refuseMinority(refusal, honest, lie);
        refuseResult(refusal, result, invalid);
        refuseDouble(refusal, honest, double);
        // While they have something to lose, they are heard.
        vm.warp(fixedAt + LEAVE_DELAY - 1);
        faults.reportDouble(honest, double);
    }

    /// Those who have nothing left are left out, and do not save the others.
    function test_report_skipsWhoHasNoBond() public {
        punish(faults.reportDouble(otherSubject("a", 1 << 5), otherSubject("b", 1 << 5)));
        Proven memory truth = event_("truth", QUORUM);
        refuseMinority(
            abi.encodeWithSelector(IFaults.NobodyNew.selector, faults.idOf(service, set, 1, SUBJECT), 1 << 5),
            event_("lie", 1 << 5),
            truth
        );
        bytes32 id = reportBy(REPORTER, event_("lie", 3 << 5), truth);
        assertEq(faults.caseOf(id).reported, 1 << 6);
        punish(id);
        assertEq(bondOf(6), 0);
    }

    /// One lie, two cases: the bond is lost once.
    function test_twoCasesOfOneMember() public {
        bytes32 first = reportBy(REPORTER, event_("lie", 1 << 6), event_("truth", QUORUM));
        bytes32 second = faults.reportDouble(
            voted(VoteKind.MEASUREMENT, SUBJECT, "a", 1 << 6), voted(VoteKind.MEASUREMENT, SUBJECT, "b", 1 << 6)
        );
        assertTrue(first != second);
        assertEq(staking.stakeOf(service, operators[6]).locks, 2);
        punish(first);
        punish(second);
        assertEq(staking.stakeOf(service, operators[6]).locks, 0);
        assertEq(records.recordOf(service, operators[6]).incidents, 2);
        assertEq(records.recordOf(service, operators[6]).slashed, BOND / 1 ether);
        assertBondsConserved();
    }

    /// Reporting oneself, whatever the names, gets back less than three quarters.
    function test_selfReportNeverPays() public {
        vm.startPrank(HOLDER);
        bytes32 id = faults.reportDouble(event_("a", 1 << 6), event_("b", 1 << 6));
        vm.warp(vm.getBlockTimestamp() + REPORT_WINDOW);
        faults.punish(id);
        vm.stopPrank();
        assertEq(staking.creditOf(HOLDER), BOND * 70 / 100);
    }

    // Ballots of many votes

    function test_report_fromABatch() public {
        bytes32[] memory leaves = new bytes32[](5);
        Vote[] memory votes = new Vote[](5);
        for (uint256 i; i < 5; ++i) {
            votes[i] = voteOf(i);
            leaves[i] = leafOf(votes[i]);
        }
        (bytes32 root, bytes32[] memory proof) = prove(leaves, 3);
        Proven memory batch = Proven(certify(set, root, 1 << 6), votes[3], proof);
        Proven memory truth = voted(VoteKind.EVENT, votes[3].subject, "truth", QUORUM);
        punish(reportBy(REPORTER, batch, truth));
        assertEq(bondOf(6), 0);
    }

    // The arguments are made before the revert is expected.

    function refuseDouble(bytes memory refusal, Proven memory first, Proven memory second) private {
        expect(refusal);
        faults.reportDouble(first, second);
    }

    function refuseMinority(bytes memory refusal, Proven memory ballot, Proven memory certified) private {
        expect(refusal);
        faults.reportMinority(ballot, certified);
    }

    function refuseResult(bytes memory refusal, Proven memory ballot, Proven memory certified) private {
        expect(refusal);
        faults.reportResult(ballot, certified);
    }

    /// An error, or its selector.
    function expect(bytes memory refusal) private {
        if (refusal.length == 4) vm.expectPartialRevert(bytes4(refusal));
        else vm.expectRevert(refusal);
    }
}
