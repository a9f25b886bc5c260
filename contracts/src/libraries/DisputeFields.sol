// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Field} from "./Fields.sol";

/// @title DisputeFields
/// @notice Where a dispute's fields lie in its claims' words. Each word's low 160 bits are the claim's operator; words 0
/// and 1 hold the state of the dispute above that, so that a dispute between two has no words but theirs, a hash of
/// the details, and the head. Word 0 is what a move changes, word 1 what only an elimination or a join changes.
library DisputeFields {
    // Word 0: the running match, as left by the last move. Stale when none is running.
    /// all of the below
    Field internal constant MATCH = Field.wrap(((1 << 93) - 1) << 8 | 160);
    /// digits chosen so far, 5 bits each
    Field internal constant DIGITS = Field.wrap(((1 << 45) - 1) << 8 | 160);
    /// moves made
    Field internal constant MOVES = Field.wrap(((1 << 4) - 1) << 8 | 205);
    /// seconds party a has used; b's is one field up. Both together have used all time from the match's start to the
    /// last move.
    Field internal constant USED = Field.wrap(((1 << 22) - 1) << 8 | 209);
    uint256 internal constant USED_SIZE = 22;

    // Word 1: the dispute.
    /// time the running match started, Unix seconds (34 bits: until the year 2514)
    Field internal constant STARTED = Field.wrap(((1 << 34) - 1) << 8 | 160);
    /// until when claims can be added
    Field internal constant JOIN_UNTIL = Field.wrap(((1 << 34) - 1) << 8 | 194);
    /// bit i: claim i is not eliminated
    Field internal constant LIVE = Field.wrap(0xff << 8 | 228);
    /// number of claims less one
    Field internal constant LAST = Field.wrap(7 << 8 | 236);
    /// dissections in a match, 1 to 10
    Field internal constant LEVELS = Field.wrap(15 << 8 | 239);
    Field internal constant RUNNING = Field.wrap(1 << 8 | 243);
    /// claim index of the running match's party a; b's is one field up
    Field internal constant PARTY = Field.wrap(7 << 8 | 244);
    uint256 internal constant PARTY_SIZE = 3;

    // Word 1 and above: the claim.
    /// the lowest index of a claim with the same result
    Field internal constant GROUP = Field.wrap(7 << 8 | 250);
}
