// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// A value, and from when it counts.
struct Point {
    uint64 from;
    uint256 value;
}

/// @title History
/// @notice Values that change, and which of them counted when.
library History {
    /// @notice From `from`, which is not before the last point's, `value` counts.
    function set(Point[] storage points, uint64 from, uint256 value) internal {
        uint256 count = points.length;
        if (count != 0 && points[count - 1].from == from) points[count - 1].value = value;
        else points.push(Point(from, value));
    }

    /// @return value that counts at `when`; zero before the first point
    function at(Point[] storage points, uint64 when) internal view returns (uint256 value) {
        // Those below `low` count by then, those from `high` on do not.
        (uint256 low, uint256 high) = (0, points.length);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (points[middle].from <= when) low = middle + 1;
            else high = middle;
        }
        if (low != 0) value = points[low - 1].value;
    }
}
