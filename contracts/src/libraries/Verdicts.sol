// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Verdict} from "../interfaces/IIntegrity.sol";
import {VoteKind} from "../types/Votes.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @title Verdicts
/// @notice What monitors sign: `docs/spec/integrity.md`, section 6. `Ballots` and `vectors/integrity` say the same.
library Verdicts {
    /// @param integrity the contract that records it
    /// @param epoch 0 is the baseline
    function subjectOf(address integrity, uint256 deployment, uint256 epoch) internal pure returns (bytes32) {
        return EfficientHashLib.hash(uint256(uint160(integrity)), deployment, epoch);
    }

    /// @return root of a ballot whose only vote is (MEASUREMENT, subject, value)
    function leafOf(bytes32 subject, bytes32 value) internal pure returns (bytes32) {
        return EfficientHashLib.hash(bytes32(uint256(VoteKind.MEASUREMENT)), subject, value);
    }

    /// @param evidence hash of the finding, if the verdict is DRIFTED; else not looked at
    /// @return root of the ballot for a verdict about `subject`
    function rootOf(bytes32 subject, Verdict verdict, bytes32 evidence) internal pure returns (bytes32) {
        bytes32 leaf = leafOf(subject, bytes32(uint256(verdict)));
        if (verdict != Verdict.DRIFTED) return leaf;
        bytes32 finding = EfficientHashLib.hash(
            bytes32(uint256(VoteKind.FINDING)), EfficientHashLib.hash(subject, evidence), bytes32(uint256(1))
        );
        return leaf < finding ? EfficientHashLib.hash(leaf, finding) : EfficientHashLib.hash(finding, leaf);
    }
}
