// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Proven} from "../types/Votes.sol";
import {IQuorum} from "./IQuorum.sol";
import {IRecords} from "./IRecords.sol";
import {IRegistry} from "./IRegistry.sol";
import {ITerms} from "./ITerms.sol";

/// One task of a flow.
struct Step {
    address service;
    /// hash of the task's name in the manifest
    bytes32 task;
    /// how many validate, 0 to 31
    uint8 validators;
    /// seconds an executor has (an attempt), 10 to 86,400
    uint32 window;
    /// most that is paid for it, in wei of the token
    uint96 most;
    /// hash of `abi.encode(address[])`, the nodes that may be drawn; zero for all
    bytes32 nodes;
}

/// What starts a flow.
struct Trigger {
    address service;
    /// hash of the event's name in the manifest
    bytes32 eventName;
    /// paid for each event's certificate: to each signer the fee divided by the number of the set's members; what those
    /// who have not signed would have got stays with the application
    uint96 fee;
}

/// A flow as it is stored.
struct Flow {
    address owner;
    bool active;
    Trigger trigger;
    Step[] steps;
}

/// A run as it is stored.
struct Run {
    /// block it was recorded in; 0 if there is no such run
    uint64 startedAt;
    /// Unix seconds of that block
    uint64 time;
    /// bit i: step i is settled
    uint64 settled;
    /// whether what was left has gone back to the owner
    bool closed;
    /// number of the flow; requests have one of their own
    uint256 flow;
    /// still set aside for it, in wei of the token
    uint96 reserved;
    /// value hash of the event's data; inputs' hash of a request
    bytes32 value;
}

/// A result, and the votes that make it count.
struct Settlement {
    bytes32 run;
    uint8 step;
    /// 0 to 3
    uint8 attempt;
    /// value hash (or salted hash) of the inputs
    bytes32 inputs;
    /// value hash (or salted hash) of the output
    bytes32 output;
    uint32 secondsSpent;
    /// bytes billed
    uint32 size;
    /// (VALIDATION, r, VALID) by all of the committee and the executor, or by the quorum; (RESULT, ., r) by the executor
    /// where there is no committee
    Proven votes;
    /// the named nodes, if the step has any
    address[] nodes;
    /// RLP of the header of block `startedAt` + 1, if its randomness is not pinned yet
    bytes header;
}

/// @title Tasks
/// @notice Applications' deposits, flows, runs and what is paid for them: `docs/spec/network.md`, section 8. At all
/// times deposits, reservations, earnings and what was burnt sum up to the contract's token balance, less what was sent
/// to it by mistake. The token must be a plain one, as `IStaking` says.
interface ITasks {
    event Deposited(address indexed application, uint256 amount);
    event Withdrawn(address indexed application, uint256 amount);
    event FlowCreated(uint256 indexed flow, address indexed owner, bytes definition, Trigger trigger, Step[] steps);
    event FlowDeleted(uint256 indexed flow);
    event EventCertified(address indexed service, bytes32 indexed key, bytes32 value, uint64 set, uint256 signers);
    event RunStarted(bytes32 indexed run, uint256 indexed flow, bytes32 indexed key, bytes32 value);
    event Requested(bytes32 indexed run, uint256 indexed flow, address indexed owner, Step step, bytes32 inputs);
    event RandomnessPinned(uint64 indexed block_, bytes32 mix);
    event Settled(
        bytes32 indexed run, uint8 indexed step, uint8 attempt, address executor, bytes32 result, uint96 paid
    );
    event RunClosed(bytes32 indexed run, uint96 returned);
    event Earned(address indexed service, address indexed operator, uint256 amount);
    /// Each of the `signers` of the set earned `share`.
    event SignersEarned(address indexed service, uint64 indexed set, uint256 signers, uint256 share);
    event Claimed(address indexed service, address indexed operator, address indexed to, uint256 paid, uint256 burnt);

    error UnknownService(address service);
    error UnknownFlow(uint256 flow);
    error NotFlowOwner(uint256 flow, address caller, address owner);
    error DefinitionTooLong(uint256 found, uint256 limit);
    error StepsOutOfRange(uint256 found, uint256 limit);
    error StepInvalid(uint256 step);
    error FlowTooLong(uint256 duration, uint256 limit);
    error DepositTooSmall(address application, uint256 found, uint256 needed);
    error WrongKind(uint8 found, uint8 expected);
    error WrongEvent(bytes32 found, bytes32 expected);
    error WrongVote(bytes32 found, bytes32 expected);
    error NotASet(address service, uint64 found, uint64 expected);
    error SetTooOld(address service, uint64 set, uint256 age, uint256 limit);
    error QuorumNotReached(uint256 power, uint256 total, uint16 quorum);
    error ContradictsCertified(bytes32 key, bytes32 found, bytes32 expected);
    error EventTooOld(bytes32 key, uint256 certified, uint256 created);
    error RunExists(bytes32 run);
    error UnknownRun(bytes32 run);
    error UnknownStep(bytes32 run, uint8 step);
    error StepSettled(bytes32 run, uint8 step);
    error RunIsClosed(bytes32 run);
    error RunIsOpen(bytes32 run, uint256 until);
    error RandomnessUnknown(uint64 block_);
    error WrongHeader(uint64 block_, bytes32 found, bytes32 expected);
    error AttemptOutOfRange(uint8 found, uint8 limit);
    error OutOfTime(uint256 time, uint256 from, uint256 until);
    error NoExecutor(bytes32 run, uint8 step, uint8 attempt);
    error ExecutorNotSigned(address executor, uint256 signers);
    error WrongNodes(bytes32 found, bytes32 expected);
    error WrongInputs(bytes32 found, bytes32 expected);
    error CommitteeNotReached(uint256 signed, uint256 needed);
    error NotAMember(address service, uint64 set, uint8 index);
    error NothingToClaim(address service, address operator);
    error NotOperatorOwner(address operator, address caller, address owner);
    error FeeOnTransfer(uint256 sent, uint256 received);

    // Applications

    /// @notice Adds to the caller's deposit; the amount must be approved.
    function deposit(uint256 amount) external;

    /// @notice Pays out of the caller's deposit what is not reserved.
    function withdraw(uint256 amount) external;

    /// @param definition canonical JSON of `flow.toml`, at most 16 KiB
    /// @param steps 1 to 32; four windows of every step and an eighth of `maxSetAge` must not be longer than `maxSetAge`
    /// @return flow its number, from 1
    function createFlow(bytes calldata definition, Trigger calldata trigger, Step[] calldata steps)
        external
        returns (uint256 flow);

    /// @notice No run of it starts any more; those that run go on. Callable by its owner.
    function deleteFlow(uint256 flow) external;

    /// @notice Makes a run of one step, paid from the caller's deposit. Only these inputs are paid for.
    /// @return run hash of `abi.encode(flow, inputs)`
    function request(Step calldata step, bytes32 inputs) external returns (bytes32 run);

    // Anyone

    /// @notice Makes a run of `flow` from a certified event, once. `idHash` is the value hash of the event's id.
    /// The first run of an event verifies the certificate; for the others it may be empty, and the vote must be the
    /// certified one. The certificate's set must be or have been in force within the last 256 blocks, and not be older
    /// than `maxSetAge`. An event that was certified here before the flow was created does not start it; one that was
    /// certified among the members only is not known to be older.
    /// @return run hash of `abi.encode(flow, event key)`
    function start(uint256 flow, bytes32 idHash, Proven calldata certified) external returns (bytes32 run);

    /// @notice Stores the `prevrandao` of a block while its hash is known to the EVM: 256 blocks, or 8,191 where there is
    /// the history contract of EIP-2935.
    /// @param header its RLP
    function pin(uint64 block_, bytes calldata header) external;

    /// @notice Pays for a result, once for each step of a run. An attempt's result is refused before the attempt begins.
    /// That it did not come too late is what the validators vouch for, since the chain sees only when the transaction
    /// was included: a deadline here would let those who order transactions take the pay for work done in time. Where
    /// there are no validators the chain's clock has to do: an executor has one more window to be included. From
    /// `closableAt` on nothing is paid any more.
    function settle(Settlement calldata settlement) external;

    /// @notice Returns what a run holds to its owner, when all is settled or `closableAt` has come.
    function close(bytes32 run) external;

    // Operators

    /// @notice Pays what `operator` earned for `service` to the operator's owner, who must be the caller, less 5 %, which
    /// are burnt. What it earned as a signer must have been collected.
    function claim(address service, address operator) external;

    /// @notice Moves what a member earned with its signatures to its operator's earnings. Anyone may. Certificates pay
    /// all who signed at once, whatever their number; this is where the parts are told apart.
    function collect(address service, uint64 set, uint8 index) external;

    // Views

    function depositOf(address application) external view returns (uint256);
    function flowCount() external view returns (uint256);
    function flowOf(uint256 flow) external view returns (Flow memory);
    function runOf(bytes32 run) external view returns (Run memory);
    /// @return Unix seconds from which `close` returns what is left, and `settle` refuses: the run's time, four windows of
    /// every step one after the other, and an eighth of `maxSetAge` to be included
    function closableAt(bytes32 run) external view returns (uint256);
    /// @return value that the quorum certified under the event key; zero if none
    function certifiedOf(address service, bytes32 key) external view returns (bytes32 value);
    /// @return what `claim` would take, in wei of the token
    function earnedOf(address service, address operator) external view returns (uint256);
    /// @return what `collect` would move
    function uncollectedOf(address service, uint64 set, uint8 index) external view returns (uint256);
    /// @return all that was ever claimed, the burnt part included
    function claimedOf(address service, address operator) external view returns (uint256);
    /// @return `prevrandao` of the block; zero if it is not pinned
    function randomnessOf(uint64 block_) external view returns (bytes32);
    /// @return wei of the token that were claimed and paid to nobody; they stay here for ever
    function burnt() external view returns (uint256);
    /// @return part of what is claimed that is burnt, in 1/10,000
    function burntBps() external view returns (uint256);
    /// @return seconds after which a set counts no more (half of `Staking.leaveDelay`): its members may be gone, and have
    /// nothing left to lose. Whoever needs a new one calls `Quorum.fix`
    function maxSetAge() external view returns (uint64);
    function token() external view returns (address);
    /// @return terms services' quorums and prices
    function terms() external view returns (ITerms);
    function quorum() external view returns (IQuorum);
    function records() external view returns (IRecords);
    function registry() external view returns (IRegistry);
}
