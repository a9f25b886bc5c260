// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Proven} from "../types/Votes.sol";
import {IQuorum} from "./IQuorum.sol";
import {IRecords} from "./IRecords.sol";
import {IRegistry} from "./IRegistry.sol";

/// What a service asks for one of its tasks, in wei of the token.
struct Price {
    uint96 perCall;
    uint80 perSecond;
    uint80 perKilobyte;
}

/// One task of a flow.
struct Step {
    address service;
    /// hash of the task's name in the manifest
    bytes32 task;
    /// how many validate, 0 to 31
    uint8 validators;
    /// seconds an executor has (an attempt), 1 to 86,400
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
    /// paid to the signers of each event's certificate, in equal parts
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
    uint8 attempt;
    /// value hash (or salted hash) of the inputs
    bytes32 inputs;
    /// value hash (or salted hash) of the output
    bytes32 output;
    uint32 secondsSpent;
    uint32 size;
    /// (VALIDATION, r, VALID) by more than half of the committee or by the quorum; (RESULT, ., r) by the executor
    /// where there is no committee
    Proven votes;
    /// the named nodes, if the step has any
    address[] nodes;
    /// RLP of the header of block `startedAt` + 1, if its randomness is not pinned yet
    bytes header;
}

/// @title Tasks
/// @notice Applications' deposits, flows, runs and what is paid for them: `docs/spec/network.md`, section 8. At all
/// times deposits, reservations and earnings sum up to the contract's token balance, less what was sent to it by
/// mistake.
interface ITasks {
    event TermsSet(address indexed service, uint16 quorum);
    event PriceSet(address indexed service, bytes32 indexed task, Price price);
    event Deposited(address indexed application, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event FlowCreated(uint256 indexed flow, address indexed owner, bytes definition, Trigger trigger, Step[] steps);
    event FlowDeleted(uint256 indexed flow);
    event EventCertified(address indexed service, bytes32 indexed key, bytes32 value, uint64 set, uint256 signers);
    event RunStarted(bytes32 indexed run, uint256 indexed flow, bytes32 indexed key, bytes32 value);
    event Requested(bytes32 indexed run, uint256 indexed flow, address indexed owner, Step step, bytes32 inputs);
    event RandomnessPinned(uint64 indexed block_, bytes32 mix);
    event Settled(bytes32 indexed run, uint8 indexed step, uint8 attempt, address executor, bytes32 result, uint96 paid);
    event RunClosed(bytes32 indexed run, uint96 returned);
    event Earned(address indexed service, address indexed operator, uint256 amount);

    error UnknownService(address service);
    error NotServiceOwner(address service, address caller, address owner);
    error QuorumOutOfRange(uint16 found);
    error UnknownFlow(uint256 flow);
    error NotFlowOwner(uint256 flow, address caller, address owner);
    error DefinitionTooLong(uint256 found, uint256 limit);
    error StepsOutOfRange(uint256 found, uint256 limit);
    error StepInvalid(uint256 step);
    error DepositTooSmall(address application, uint256 found, uint256 needed);
    error WrongEvent(bytes32 found, bytes32 expected);
    error WrongVote(bytes32 found, bytes32 expected);
    error NotASet(address service, uint64 found, uint64 expected);
    error QuorumNotReached(uint256 power, uint256 total, uint16 quorum);
    error ContradictsCertified(bytes32 key, bytes32 found, bytes32 expected);
    error RunExists(bytes32 run);
    error UnknownRun(bytes32 run);
    error StepSettled(bytes32 run, uint8 step);
    error RunIsClosed(bytes32 run);
    error RandomnessUnknown(uint64 block_);
    error WrongHeader(uint64 block_, bytes32 found, bytes32 expected);
    error OutOfTime(uint256 time, uint256 from, uint256 until);
    error NoExecutor(bytes32 run, uint8 step, uint8 attempt);
    error WrongNodes(bytes32 found, bytes32 expected);
    error WrongInputs(bytes32 found, bytes32 expected);
    error CommitteeNotReached(uint256 signed, uint256 needed);
    error NothingToWithdraw(address account);
    error NotOperatorOwner(address operator, address caller, address owner);
    error FeeOnTransfer(uint256 sent, uint256 received);

    // Services

    /// @notice Sets the quorum of `service`, in 1/10,000 of the power: above 5,000, at most 10,000. Callable by the
    /// service's owner; 6,667 until then. Counts for what is certified from now on.
    function setTerms(address service, uint16 quorum) external;

    /// @notice Sets what a task costs. Callable by the service's owner.
    function setPrice(address service, bytes32 task, Price calldata price) external;

    // Applications

    /// @notice Adds to the caller's deposit; the amount must be approved.
    function deposit(uint256 amount) external;

    /// @notice Pays out of the caller's deposit what is not reserved.
    function withdraw(uint256 amount) external;

    /// @param definition canonical JSON of `flow.toml`, at most 16 KiB
    function createFlow(bytes calldata definition, Trigger calldata trigger, Step[] calldata steps)
        external
        returns (uint256 flow);

    /// @notice No run of it starts any more. Callable by its owner.
    function deleteFlow(uint256 flow) external;

    /// @notice Makes a run of one step, paid from the caller's deposit.
    function request(Step calldata step, bytes32 inputs) external returns (bytes32 run);

    // Anyone

    /// @notice Makes a run of `flow` from a certified event, once. `idHash` is the value hash of the event's id.
    function start(uint256 flow, bytes32 idHash, Proven calldata certified) external returns (bytes32 run);

    /// @notice Stores the `prevrandao` of a block while its hash is known to the EVM.
    /// @param header its RLP
    function pin(uint64 block_, bytes calldata header) external;

    /// @notice Pays for a result.
    function settle(Settlement calldata settlement) external;

    /// @notice Returns what a run holds to its owner: all steps settled or out of attempts, or the flow's graph ended
    /// early (by the flow's owner, after the last window of a single attempt series has passed for every step).
    function close(bytes32 run) external;

    // Operators

    /// @notice Pays what `operator` earned for `service` to the operator's owner, who must be the caller.
    function claim(address service, address operator) external;

    // Views

    function quorumOf(address service) external view returns (uint16);
    function priceOf(address service, bytes32 task) external view returns (Price memory);
    function depositOf(address application) external view returns (uint256);
    function flowOf(uint256 flow) external view returns (Flow memory);
    function runOf(bytes32 run) external view returns (Run memory);
    /// @return value that the quorum certified under the event key; zero if none
    function certifiedOf(address service, bytes32 key) external view returns (bytes32 value);
    function earnedOf(address service, address operator) external view returns (uint256);
    function randomnessOf(uint64 block_) external view returns (bytes32);
    function token() external view returns (address);
    function quorum() external view returns (IQuorum);
    function records() external view returns (IRecords);
    function registry() external view returns (IRegistry);
}
