// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What is remembered of an operator's work for a service: one word.
struct Record {
    /// executions and validations done
    uint32 done;
    /// executions and validations missed
    uint32 missed;
    /// certificates without its signature
    uint32 absent;
    /// certificates recorded for the service when the operator was first seen
    uint32 firstCall;
    /// faults it was slashed for
    uint16 incidents;
    /// Unix seconds of the last of them
    uint40 lastIncident;
    /// Unix seconds when a set first had it
    uint40 firstSeen;
    /// bond it lost, in whole tokens, rounded up
    uint32 slashed;
}

/// @title Records
/// @notice Work and faults of operators, as the selection uses them (`docs/spec/network.md`, section 6). Written by the
/// modules fixed at deployment.
interface IRecords {
    event Recorded(address indexed service, address indexed operator, uint32 done, uint32 missed);
    event Absent(address indexed service, address[] operators);
    event Incident(address indexed service, address indexed operator, uint256 lost);

    error NotModule(address caller);

    /// @notice Counts `done` and `missed` executions and validations. Modules only.
    function count(address service, address operator, uint32 done, uint32 missed) external;

    /// @notice Counts one certificate of `service`, and that `absent` have not signed it. Modules only.
    function certificate(address service, address[] calldata absent) external;

    /// @notice Remembers a fault that cost `lost` wei of the token. Modules only.
    function incident(address service, address operator, uint256 lost) external;

    /// @notice Remembers when an operator was first in a set. Modules only; does nothing the second time.
    function seen(address service, address operator) external;

    function recordOf(address service, address operator) external view returns (Record memory);

    /// @return certificates recorded for `service`
    function callsOf(address service) external view returns (uint32);

    /// @return the operator's weight with this bond, now (`docs/spec/network.md`, section 6)
    function weightOf(address service, address operator, uint256 bond) external view returns (uint64);

    function isModule(address account) external view returns (bool);
}
