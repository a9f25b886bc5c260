// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Stake} from "../src/interfaces/IStaking.sol";
import {ClaimDetail, Signed, Statement} from "../src/types/Statement.sol";
import {Seat, Simulation, Style} from "./dispute/Simulation.sol";
import {Belief} from "./dispute/Trace.sol";

/// Operators that join, leave, answer, dispute, play, stall and take their money, in any order. Operators 0 to 2 are
/// honest: they sign what is right and move as soon as it is their turn. The others do as they like.
contract DisputeHandler is Simulation {
    uint256 public constant HONEST = 3;
    uint256 private constant STATEMENTS = 3;

    struct Game {
        bool open;
        Seat[] seats;
        ClaimDetail[] claims;
        uint256[] players;
    }

    Game[STATEMENTS] private games;
    uint256 public settled;
    uint256 public liarsCaught;

    function at(uint256 index) public view returns (Statement memory s) {
        s = statementOf([uint64(3), 5000, 1 << 20][index]);
    }

    /// Two to four operators, of whom at least two differ, find themselves in a dispute.
    function open(uint256 which, uint256 seed) external {
        which %= STATEMENTS;
        Game storage game = games[which];
        if (game.open) return;
        seedWith(seed);
        Statement memory s = at(which);
        uint256 count = 2 + random(3);
        uint256 first = random(operators.length);
        Signed[] memory responses = new Signed[](count);
        delete game.claims;
        delete game.seats;
        delete game.players;
        bool conflict;
        for (uint256 i; i < count; ++i) {
            uint256 player = (first + i) % operators.length;
            if (bondOf(player) == 0) return;
            responses[i] = take(game, s, player);
            conflict = conflict || responses[i].result != responses[0].result;
        }
        if (!conflict) return;
        vm.prank(OPENER);
        disputes.open(s, responses);
        game.open = true;
        begin(idOf(s));
        honestMoves();
    }

    function join(uint256 which, uint256 player, uint256 seed) external {
        which %= STATEMENTS;
        player %= operators.length;
        Game storage game = games[which];
        if (!game.open || game.players.length == 8 || bondOf(player) == 0) return;
        for (uint256 i; i < game.players.length; ++i) {
            if (game.players[i] == player) return;
        }
        Statement memory s = at(which);
        IDisputes.View memory v = disputes.get(idOf(s));
        if (block.timestamp > v.joinUntil) return;
        seedWith(seed);
        ClaimDetail[] memory before = game.claims;
        disputes.join(s, take(game, s, player), OPENER, before);
        if (!v.matchRunning) begin(idOf(s));
        honestMoves();
    }

    /// Whoever is on move moves, in its way.
    function move(uint256 which, uint256 seed) external {
        which %= STATEMENTS;
        seedWith(seed);
        makeOneMove(which);
        honestMoves();
    }

    /// Time passes. The honest are never on move when it does.
    function pass(uint256 time) external {
        vm.warp(block.timestamp + time % (2 * CLOCK));
    }

    function expireIfDue(uint256 which) external {
        bytes32 id = idOf(at(which % STATEMENTS));
        IDisputes.View memory v = disputes.get(id);
        if (!v.matchRunning) return;
        if (block.timestamp - v.lastMove <= (v.moves % 2 == 0 ? v.clockA : v.clockB)) return;
        disputes.expire(id);
        if (disputes.get(id).matchRunning) begin(id);
        honestMoves();
    }

    function settleIfDue(uint256 which) external {
        which %= STATEMENTS;
        Game storage game = games[which];
        Statement memory s = at(which);
        IDisputes.View memory v = disputes.get(idOf(s));
        if (!game.open || v.matchRunning || block.timestamp <= v.joinUntil) return;
        bool anyHonest;
        for (uint256 i; i < game.seats.length; ++i) {
            if (game.seats[i].style != Style.Honest) continue;
            anyHonest = true;
            assertTrue(v.liveBitmap & 1 << i != 0, "P1");
        }
        for (uint256 i; i < game.seats.length && anyHonest; ++i) {
            if (game.players[i] < HONEST) continue;
            bool isLive = v.liveBitmap & 1 << i != 0;
            if (game.seats[i].style != Style.Thrower) {
                assertFalse(isLive, "P2");
                ++liarsCaught;
            }
        }
        ClaimDetail[] memory claims = game.claims;
        vm.prank(SETTLER);
        disputes.settle(s, OPENER, claims);
        game.open = false;
        ++settled;
    }

    function leave(uint256 player) external {
        player %= operators.length;
        Stake memory stake = staking.stakeOf(address(service), operators[player]);
        if (stake.bond == 0 || stake.committedUntil != 0) return;
        vm.prank(owners[player]);
        staking.leave(address(service), operators[player]);
    }

    function withdrawBond(uint256 player) external {
        player %= operators.length;
        Stake memory stake = staking.stakeOf(address(service), operators[player]);
        if (stake.committedUntil == 0 || block.timestamp < stake.committedUntil || stake.locks != 0) return;
        vm.prank(owners[player]);
        staking.withdrawBond(address(service), operators[player]);
    }

    function deposit(uint256 player, uint256 extra) external {
        player %= operators.length;
        uint256 amount = player < HONEST && bondOf(player) != 0 ? 0 : BOND + extra % 1000;
        if (player < HONEST && amount != 0) amount = BOND;
        token.mint(owners[player], amount);
        vm.prank(owners[player]);
        staking.deposit(address(service), operators[player], amount);
    }

    function withdraw(uint256 who) external {
        address account = [REQUESTER, OPENER, SETTLER][who % 3];
        if (staking.creditOf(account) == 0) return;
        vm.prank(account);
        staking.withdraw();
    }

    function withdrawReward(uint256 player) external {
        player %= operators.length;
        if (staking.stakeOf(address(service), operators[player]).reward == 0) return;
        vm.prank(owners[player]);
        staking.withdrawReward(address(service), operators[player]);
    }

    // What must hold

    function checkConserved() external view {
        assertConserved();
    }

    function checkHonestBonds() external view {
        for (uint256 i; i < HONEST; ++i) {
            uint256 bond = bondOf(i);
            assertTrue(bond == BOND || bond == 0 && !isMember(i), "an honest operator was slashed");
        }
    }

    function checkLocks() external view {
        for (uint256 player; player < operators.length; ++player) {
            uint256 locks;
            for (uint256 i; i < STATEMENTS; ++i) {
                if (!games[i].open) continue;
                for (uint256 j; j < games[i].players.length; ++j) {
                    if (games[i].players[j] == player) ++locks;
                }
            }
            assertEq(staking.stakeOf(address(service), operators[player]).locks, locks);
        }
    }

    function isMember(uint256 player) private view returns (bool) {
        address[] memory members = staking.operatorsOf(address(service), 0, 100);
        for (uint256 i; i < members.length; ++i) {
            if (members[i] == operators[player]) return true;
        }
        return false;
    }

    /// Seats the player, and signs for it.
    function take(Game storage game, Statement memory s, uint256 player) private returns (Signed memory signed) {
        Seat memory seat = seatOf(s, player < HONEST ? Style.Honest : Style(1 + random(5)));
        game.seats.push(seat);
        game.players.push(player);
        game.claims.push(detail(operators[player], seat.belief.result));
        return sign(s, operators[player], seat.belief.result);
    }

    function makeOneMove(uint256 which) private {
        Game storage game = games[which];
        Statement memory s = at(which);
        bytes32 id = idOf(s);
        IDisputes.View memory v = disputes.get(id);
        if (!game.open || !v.matchRunning) return;
        playing = id;
        Seat memory seat = game.seats[mover(v)];
        if (seat.style != Style.Honest) {
            if (block.timestamp - v.lastMove > (v.moves % 2 == 0 ? v.clockA : v.clockB)) return;
            if (seat.style == Style.Silent || seat.style == Style.Quitter && random(3) == 0) return;
        }
        address operator = disputes.operatorAt(id, mover(v));
        uint256 segment = seat.style == Style.Erratic || seat.style == Style.Thrower
            ? (v.moves == 0 ? 0 : random(32))
            : chooseSegment(s, seat.belief);
        if (v.moves < v.levels) return dissectAs(s, operator, seat.belief, segment);
        (bytes memory openings, bytes memory witness) = stepArguments(s, game.claims, segment);
        vm.prank(operator);
        try disputes.step(s, opener, v.head, segment, openings, witness) {
            if (disputes.get(id).matchRunning) begin(id);
        } catch {
            assertTrue(seat.style != Style.Honest, "an honest step was refused");
        }
    }

    /// No time passes before the honest have moved.
    function honestMoves() private {
        for (uint256 i; i < STATEMENTS; ++i) {
            while (true) {
                IDisputes.View memory v = disputes.get(idOf(at(i)));
                if (!v.matchRunning || games[i].seats[mover(v)].style != Style.Honest) break;
                makeOneMove(i);
            }
        }
    }
}

contract DisputeInvariantsTest is Simulation {
    DisputeHandler private handler;

    function setUp() public override {
        handler = new DisputeHandler();
        handler.setUp();
        bytes4[] memory selectors = new bytes4[](11);
        selectors[0] = DisputeHandler.open.selector;
        selectors[1] = DisputeHandler.join.selector;
        selectors[2] = DisputeHandler.move.selector;
        selectors[3] = DisputeHandler.pass.selector;
        selectors[4] = DisputeHandler.expireIfDue.selector;
        selectors[5] = DisputeHandler.settleIfDue.selector;
        selectors[6] = DisputeHandler.leave.selector;
        selectors[7] = DisputeHandler.withdrawBond.selector;
        selectors[8] = DisputeHandler.deposit.selector;
        selectors[9] = DisputeHandler.withdraw.selector;
        selectors[10] = DisputeHandler.withdrawReward.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    function invariant_P1_honestOperatorsAreNeverSlashed() public view {
        handler.checkHonestBonds();
    }

    function invariant_P7_moneyIsConserved() public view {
        handler.checkConserved();
        handler.checkLocks();
    }

    /// The handler's settling asserts P1 and P2 of each dispute; this shows that it gets there.
    function test_P2_handlerReachesSettlement() public {
        for (uint256 i; i < 400; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            handler.open(i, seed);
            handler.move(seed, seed);
            handler.join(seed, seed >> 8, seed);
            handler.expireIfDue(seed);
            handler.pass(seed >> 16);
            handler.expireIfDue(i);
            handler.settleIfDue(i);
            handler.leave(seed >> 24);
            handler.withdrawBond(seed >> 32);
            handler.deposit(seed >> 40, seed);
            handler.withdraw(seed);
            handler.withdrawReward(seed >> 48);
            handler.checkConserved();
            handler.checkHonestBonds();
            handler.checkLocks();
        }
        assertGt(handler.settled(), 20);
        assertGt(handler.liarsCaught(), 20);
    }
}
