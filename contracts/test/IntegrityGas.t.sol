// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Verdict} from "../src/interfaces/IIntegrity.sol";
import {IntegrityFixture} from "./integrity/IntegrityFixture.sol";

/// What recording costs, in whole transactions: intrinsic gas, calldata and cold accesses included.
abstract contract ReportGas is IntegrityFixture {
    /// What an intact epoch may cost, whatever the number of monitors.
    uint256 internal constant LIMIT = 160_000;

    function last(string memory what) internal returns (uint256) {
        return vm.snapshotGasLastCall(
            "Integrity", string.concat(what, ", ", vm.toString(size()), " monitors, whole transaction")
        );
    }

    function absent(uint256 count) internal view returns (uint256 signers) {
        signers = everybody();
        // Spread over both pages of the set.
        for (uint256 i; i < count; ++i) {
            signers &= ~(1 << (2 + 3 * i));
        }
    }

    function test_gas_baseline() public {
        run();
        last("baseline");
    }

    function test_gas_reportNoneAbsent() public {
        run();
        record(1, Verdict.INTACT, everybody());
        record(2, Verdict.INTACT, everybody());
        assertLe(last("report of an intact epoch, none absent"), LIMIT);
    }

    function test_gas_drift() public {
        run();
        record(1, Verdict.INTACT, everybody());
        record(2, Verdict.DRIFTED, everybody());
        last("report of drift, none absent");
        integrity.punish(deployment);
        last("punish");
    }

    function test_gas_reportAnotherSet() public {
        run();
        record(1, Verdict.INTACT, everybody());
        set = fix();
        record(2, Verdict.INTACT, everybody());
        last("report of an intact epoch, none absent, the first of a set");
    }

    function test_gas_deploy() public {
        deployTo(host);
        last("deploy");
    }

    function _absent(uint256 count) internal {
        string memory what = string.concat("report of an intact epoch, ", vm.toString(count), " absent");
        run();
        record(1, Verdict.INTACT, everybody());
        record(2, Verdict.INTACT, absent(count));
        last(string.concat(what, " for the first time"));
        record(3, Verdict.INTACT, absent(count));
        last(string.concat(what, " again"));
    }
}

contract IntegrityGasTest is ReportGas {
    function test_gas_reportOneAbsent() public {
        _absent(1);
    }
}

contract IntegrityGas128Test is ReportGas {
    function size() internal pure override returns (uint256) {
        return 128;
    }

    function test_gas_report10Absent() public {
        _absent(10);
    }

    function test_gas_report42Absent() public {
        _absent(42);
    }

    /// The most expensive: the last that is still a quorum is 86 of 128.
    function test_gas_collect() public {
        run();
        record(1, Verdict.INTACT, everybody());
        integrity.collect(deployment, set, 7);
        last("collect");
    }
}
