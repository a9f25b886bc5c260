// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "./IQuorum.sol";
import {IRecords} from "./IRecords.sol";
import {IRegistry} from "./IRegistry.sol";
import {IStaking} from "./IStaking.sol";
import {ITerms} from "./ITerms.sol";

/// What a quorum says of an epoch. The numbers are votes' values.
enum Verdict {
    NONE,
    /// measured as at the baseline, nothing found
    INTACT,
    /// changed
    DRIFTED,
    /// no measurement was answered
    UNREACHABLE
}

/// What became of a deployment.
enum Status {
    NONE,
    /// asked for; there is no baseline yet
    REQUESTED,
    /// verdicts are recorded
    RUNNING,
    /// a quorum saw it changed
    DRIFTED,
    /// too many epochs without an answer
    UNREACHABLE,
    /// ended by its owner or its host; what happened before can still be recorded
    RETIRING,
    /// over, and settled
    RETIRED
}

/// What is to run, how it is watched, what is paid. Amounts are in wei of the token, multiples of 10^9 below 2^48 * 10^9.
struct Plan {
    /// SHA-256 of the image's manifest, or of an index that names it
    bytes32 image;
    /// value hash of the manifest's `[container]` part
    bytes32 specification;
    /// seconds of an epoch
    uint24 epoch;
    /// unreachable epochs in a row that end a deployment
    uint16 unreachableAfter;
    /// to all monitors together, for each epoch recorded
    uint96 reward;
    /// to the host, for each epoch recorded as intact
    uint96 hostReward;
}

/// A deployment, as it is stored (`docs/spec/integrity.md`, section 9).
struct Deployment {
    Status status;
    /// the last epoch recorded; 0 before the first
    uint32 lastEpoch;
    /// number of the set that signed last; before the baseline, of the set in force when it was asked for
    uint32 set;
    /// Unix seconds until when that set's certificates are taken
    uint40 expiry;
    /// epochs recorded and paid in that set
    uint32 paid;
    /// epochs recorded as intact and paid
    uint32 intact;
    /// unreachable epochs recorded since the last intact one
    uint16 unreachable;
    /// wei of the token that is left to pay from
    uint96 escrow;
    /// Unix seconds of the block that recorded the baseline: epoch e lasts from start + (e - 1) * epoch on
    uint40 start;
    uint24 epoch;
    uint16 unreachableAfter;
    /// power a certificate needs, in 1/10,000 of the set's
    uint16 quorum;
    uint96 reward;
    uint96 hostReward;
    /// block it was asked for in
    uint40 requestedAt;
    address host;
    /// of `intact`, how many the host has collected
    uint32 collected;
    /// Unix seconds of the block that retired it; 0 if none did
    uint40 retiredAt;
    /// whether the host's bond is locked for it
    bool locked;
    /// measurement root at deployment
    bytes32 baseline;
    bytes32 image;
    bytes32 specification;
    /// what was found, where it drifted
    bytes32 evidence;
    /// who recorded the drift
    address reporter;
}

/// @title Integrity
/// @notice Containers that hosts run and monitors measure: plans, deployments, verdicts, and what is paid for them.
/// `docs/spec/integrity.md` is the specification.
///
/// A deployment's number begins with its service's address: `service << 96 | n`, n from 1. Reading who it belongs to
/// costs no storage access.
///
/// @dev Recording an epoch reads two words and writes one. What the members of a set earn is one count for all; who was
/// absent is counted in bit slices: bit i of slice k is bit k of member i's count of absences, and adding a mask of
/// absent members is one carry chain, whatever their number. All money is in multiples of 10^9 wei; at all times the sum
/// of all escrows, of what members and hosts have not collected and of all credits is the contract's token balance, less
/// what was sent to it by mistake.
interface IIntegrity {
    event PlanSet(address indexed service, Plan plan);
    /// The deployer is drawn from the randomness of the block after this one's.
    event DeploymentRequested(uint256 indexed deployment, address indexed service, address indexed host, uint64 set);
    event BaselineRecorded(uint256 indexed deployment, bytes32 root, uint64 set, uint256 signers);
    /// `signers` and `paid` (whether they were) say what every member of the set earned.
    event EpochRecorded(
        uint256 indexed deployment, uint32 indexed epoch, Verdict verdict, uint32 set, uint128 signers, bool paid
    );
    event DriftRecorded(uint256 indexed deployment, uint32 indexed epoch, bytes32 evidence, address reporter);
    /// It is over: drifted, unreachable, retiring or retired.
    event Ended(uint256 indexed deployment, Status status);
    event Punished(uint256 indexed deployment, address indexed host, uint256 slashed);
    event Funded(uint256 indexed deployment, address indexed from, uint256 amount);
    event Refunded(uint256 indexed deployment, address indexed owner, uint256 amount);
    event Earned(uint256 indexed deployment, address indexed operator, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    /// `envelope` is the quote with its collateral, as `docs/spec/quotes.md` encodes it. Nothing of it is verified here.
    event QuoteRegistered(address indexed operator, bytes32 indexed hash, bytes envelope);

    error UnknownService(address service);
    error NotServiceOwner(address service, address caller, address owner);
    error NotOperatorOwner(address operator, address caller, address owner);
    error NotOwnerNorHost(uint256 deployment, address caller);
    error EpochOutOfRange(uint256 found, uint256 least, uint256 most);
    error UnreachableAfterOutOfRange(uint256 found, uint256 least, uint256 most);
    error AmountInvalid(uint256 found, uint256 unit, uint256 limit);
    error NoPlan(address service);
    error NotAHost(address service, address operator);
    error HostNotBonded(address service, address operator);
    error HostIsMember(address service, address operator, uint64 set);
    error NoSet(address service);
    error WrongStatus(uint256 deployment, Status found);
    error WrongVerdict(Verdict found);
    error EvidenceMismatch(Verdict verdict, bytes32 evidence);
    error RootZero();
    error SetTooOld(uint256 deployment, uint64 set, uint64 last, uint256 until);
    error SetOutOfRange(uint64 set);
    error QuorumNotReached(uint256 power, uint256 total, uint16 quorum);
    error EpochRecordedAlready(uint256 deployment, uint32 epoch, uint32 last);
    error EpochNotOver(uint256 deployment, uint32 epoch, uint256 until);
    error EpochNotBegun(uint256 deployment, uint32 epoch, uint256 from);
    error EpochAfterRetirement(uint256 deployment, uint32 epoch, uint256 retiredAt);
    error NotYet(uint256 deployment, uint256 from);
    error NothingToPunish(uint256 deployment);
    error NothingToSettle(uint256 deployment);
    error NothingToCollect(uint256 deployment);
    error NothingToWithdraw(address account);
    error NotAMember(uint256 deployment, uint64 set, uint8 seat);
    error FeeOnTransfer(uint256 sent, uint256 received);
    error EscrowTooLarge(uint256 found, uint256 limit);
    error QuoteTooLong(uint256 found, uint256 limit);

    // Service's owner

    /// @notice Sets what deployments made from now on run. Those there are keep theirs. Callable by the service's owner.
    function setPlan(address service, Plan calldata plan) external;

    /// @notice Asks for a deployment of the plan to `host`, which must have registered for that (`IRegistry.setHost`),
    /// must not sit in the set in force, and must be bonded, unless it is the service's owner's own. Its bond is locked
    /// until the deployment is over. Callable by the service's owner.
    function deploy(address service, address host) external returns (uint256 deployment);

    /// @notice Adds to what a deployment pays from: a multiple of 10^9 wei, approved before. Anyone may.
    function fund(uint256 deployment, uint256 amount) external;

    /// @notice Ends a deployment: at once if it has no baseline, otherwise as soon as what happened before can no longer be
    /// recorded (`settle`). Callable by the service's owner and by the host's.
    function retire(uint256 deployment) external;

    // Anyone, with what members signed

    /// @notice Records the measurement root at deployment, and begins the first epoch.
    /// @param signature of the quorum, over (MEASUREMENT, subject of epoch 0, root) alone
    function baseline(uint256 deployment, bytes32 root, uint64 set, uint256 signers, bytes calldata signature) external;

    /// @notice Records the verdict of an epoch.
    /// @param evidence what was found, where the verdict is DRIFTED; zero otherwise
    /// @param set the one that signed last, or a newer one; not older than half of `leaveDelay`
    /// @param signature of the quorum over the verdict's ballot (`docs/spec/integrity.md`, section 6)
    function report(
        uint256 deployment,
        uint32 epoch,
        Verdict verdict,
        bytes32 evidence,
        uint64 set,
        uint256 signers,
        bytes calldata signature
    ) external;

    // Anyone

    /// @notice Slashes the bond of the host of a drifted deployment, once. The victim is the service's owner, the reporter
    /// who recorded the drift; where the service names no owner, its part is the reporter's.
    function punish(uint256 deployment) external;

    /// @notice Gives what is left of a deployment that is over back to the service's owner. One that is retiring can be
    /// settled `grace` seconds after it was retired; that releases its host's bond. While the service names no owner, what
    /// is left stays, and can be settled later.
    function settle(uint256 deployment) external;

    /// @notice Credits the member's owner with what it earned in a set and has not collected.
    function collect(uint256 deployment, uint64 set, uint8 seat) external;

    /// @notice Credits the host's owner with what it earned and has not collected.
    function collectHost(uint256 deployment) external;

    /// @notice Pays the caller's credit.
    function withdraw() external;

    // Operators

    /// @notice Publishes an enclave's quote of an operator that monitors: at most 24 KiB, in the log; its hash is kept.
    /// An empty one removes it. Callable by the operator's owner.
    function registerQuote(address operator, bytes calldata envelope) external;

    // Views

    function planOf(address service) external view returns (Plan memory);

    function deploymentOf(uint256 deployment) external view returns (Deployment memory);

    /// @return number of deployments of `service` ever asked for
    function deploymentCount(address service) external view returns (uint256);

    /// @return the number of the service's n-th deployment, n from 1
    function idOf(address service, uint256 n) external pure returns (uint256);

    /// @return subject of the votes about an epoch; of the baseline's, with epoch 0
    function subjectOf(uint256 deployment, uint32 epoch) external view returns (bytes32);

    /// @return what members sign for a verdict: their ballot's root
    function rootOf(uint256 deployment, uint32 epoch, Verdict verdict, bytes32 evidence) external view returns (bytes32);

    /// @return epochs recorded and paid in a set
    function paidIn(uint256 deployment, uint64 set) external view returns (uint256);

    /// @return of those, how many the member with this seat was absent in
    function absencesOf(uint256 deployment, uint64 set, uint8 seat) external view returns (uint256);

    /// @return wei of the token that `collect` would credit
    function uncollectedOf(uint256 deployment, uint64 set, uint8 seat) external view returns (uint256);

    /// @return wei of the token that `collectHost` would credit
    function uncollectedOfHost(uint256 deployment) external view returns (uint256);

    /// @return wei of the token that `withdraw` would pay to `account`
    function creditOf(address account) external view returns (uint256);

    /// @return keccak-256 of the quote's envelope; zero if there is none
    function quoteOf(address operator) external view returns (bytes32);

    /// @return seconds after its retirement in which what happened in a deployment before can be recorded
    function graceOf(uint256 deployment) external view returns (uint256);

    function token() external view returns (address);
    function registry() external view returns (IRegistry);
    function staking() external view returns (IStaking);
    function quorum() external view returns (IQuorum);
    function terms() external view returns (ITerms);
    function records() external view returns (IRecords);
    /// @return seconds after which a set's certificates are no longer taken
    function maxSetAge() external view returns (uint64);
}
