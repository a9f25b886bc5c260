// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRecords, Record} from "./interfaces/IRecords.sol";

/// @title Records
/// @notice Work and faults of operators: see `IRecords`.
contract Records is IRecords {
    /// Good executions given to everybody in advance, so that the first miss is not the whole record.
    uint256 private constant GIVEN = 8;
    uint256 private constant TOKEN = 10 ** 18;
    /// Stake counts in thousandths of a token.
    uint256 private constant STAKE_UNIT = 10 ** 15;
    uint256 private constant MAX_STAKE = 1 << 30;
    /// Factors are in 1,024ths.
    uint256 private constant ONE = 1024;
    uint256 private constant SUPPORT = 90 days;
    uint256 private constant FORGIVEN_EVERY = 30 days;

    mapping(address account => bool) public isModule;
    mapping(address service => uint32) public callsOf;
    mapping(address service => mapping(address operator => Record)) private _records;

    modifier onlyModule() {
        if (!isModule[msg.sender]) revert NotModule(msg.sender);
        _;
    }

    /// @param modules may write, for ever; their addresses can be predicted where they are not deployed yet
    constructor(address[] memory modules) {
        for (uint256 i; i < modules.length; ++i) {
            isModule[modules[i]] = true;
        }
    }

    // Modules

    /// @inheritdoc IRecords
    function count(address service, address operator, uint32 done, uint32 missed) external onlyModule {
        Record storage record = _records[service][operator];
        record.done = _plus(record.done, done);
        record.missed = _plus(record.missed, missed);
        emit Recorded(service, operator, done, missed);
    }

    /// @inheritdoc IRecords
    function certificate(address service, address[] calldata absent) external onlyModule {
        callsOf[service] = _plus(callsOf[service], 1);
        for (uint256 i; i < absent.length; ++i) {
            Record storage record = _records[service][absent[i]];
            record.absent = _plus(record.absent, 1);
        }
        if (absent.length != 0) emit Absent(service, absent);
    }

    /// @inheritdoc IRecords
    function incident(address service, address operator, uint256 lost) external onlyModule {
        Record storage record = _records[service][operator];
        if (record.incidents != type(uint16).max) ++record.incidents;
        // Seconds fit 40 bits for 34,000 years.
        // forge-lint: disable-next-line(unsafe-typecast)
        record.lastIncident = uint40(block.timestamp);
        record.slashed = _plus(record.slashed, lost / TOKEN + (lost % TOKEN == 0 ? 0 : 1));
        emit Incident(service, operator, lost);
    }

    /// @inheritdoc IRecords
    function seen(address service, address operator) external onlyModule {
        Record storage record = _records[service][operator];
        if (record.firstSeen != 0) return;
        // forge-lint: disable-next-line(unsafe-typecast)
        record.firstSeen = uint40(block.timestamp);
        record.firstCall = callsOf[service];
    }

    // Views

    /// @inheritdoc IRecords
    function recordOf(address service, address operator) external view returns (Record memory) {
        return _records[service][operator];
    }

    /// @inheritdoc IRecords
    function weightOf(address service, address operator, uint256 bond) external view returns (uint64) {
        Record memory record = _records[service][operator];
        // Who was never seen is seen now, and has nothing behind it.
        (uint256 time, uint256 calls) = record.firstSeen == 0
            ? (0, 0)
            : (block.timestamp - record.firstSeen, uint256(callsOf[service] - record.firstCall));
        uint256 forgiven = (block.timestamp - record.lastIncident) / FORGIVEN_EVERY;
        uint256 remaining = record.incidents - _least(record.incidents, forgiven);
        uint256 slashed = uint256(record.slashed) * TOKEN;
        uint256 given = record.done + GIVEN;

        uint256 weight = _least(bond / STAKE_UNIT, MAX_STAKE);
        // Also where there is nothing to divide by below.
        if (weight == 0) return 1;
        weight = weight * (ONE * given / (given + record.missed)) / ONE;
        weight = weight * (ONE * (calls + GIVEN - _least(record.absent, calls)) / (calls + GIVEN)) / ONE;
        weight = weight * (ONE / 2 + ONE / 2 * _least(time, SUPPORT) / SUPPORT) / ONE;
        weight = weight * (ONE * bond / (bond + slashed)) / ONE;
        weight = weight * (ONE >> _least(remaining, 10)) / ONE;
        // At most `MAX_STAKE`: no factor is above 1.
        // forge-lint: disable-next-line(unsafe-typecast)
        return weight == 0 ? 1 : uint64(weight);
    }

    /// The sum, or the most that fits.
    function _plus(uint32 a, uint256 b) private pure returns (uint32) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return b > type(uint32).max - a ? type(uint32).max : a + uint32(b);
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
