//! Solidity types of the contracts, transcribed from `contracts/src/interfaces` (the NatSpec is there). A test compares
//! every signature, and the names and types of every event's parameters, with the committed artefacts.

#![allow(missing_docs, reason = "documented by the NatSpec of contracts/src/interfaces")]

use alloy::sol;

sol! {
    #![sol(all_derives)]

    struct Statement {
        address service;
        bytes32 program;
        bytes32 input;
        uint64 budget;
    }

    struct Signed {
        bytes32 request;
        address requester;
        bytes32 result;
        bytes32 r;
        bytes32 vs;
    }

    struct ClaimDetail {
        address operator;
        bytes32 request;
        address requester;
        bytes32 result;
    }

    struct ServiceParameters {
        uint96 minBond;
        uint64 maxBudget;
        address verdict;
    }

    interface IRegistry {
        event ServiceRegistered(
            address indexed service, address indexed owner, bytes32 manifest, ServiceParameters parameters
        );
        event ManifestSet(address indexed service, bytes32 manifest);
        event ProgramSet(address indexed service, bytes4 indexed selector, bytes32 program);
        event OperatorRegistered(address indexed operator, address indexed owner, string endpoint);
        event EndpointSet(address indexed operator, string endpoint);

        error ServiceExists(address service);
        error UnknownService(address service);
        error NotServiceOwner(address service, address caller, address owner);
        error LengthMismatch(uint256 selectors, uint256 programs);
        error OperatorExists(address operator);
        error UnknownOperator(address operator);
        error NotOperatorOwner(address operator, address caller, address owner);
        error ZeroOperator();
        error BudgetTooLarge(uint64 found, uint64 limit);
        error EndpointTooLong(uint256 length, uint256 limit);
        error WrongProof(address operator, address recovered);

        function registerService(
            address service,
            bytes32 manifest,
            bytes4[] calldata selectors,
            bytes32[] calldata programs,
            ServiceParameters calldata parameters
        ) external;

        function setManifest(address service, bytes32 manifest) external;

        function setProgram(address service, bytes4 selector, bytes32 program) external;

        function registerOperator(address operator, string calldata endpoint, bytes calldata signature) external;

        function setEndpoint(address operator, string calldata endpoint) external;

        function programOf(address service, bytes4 selector) external view returns (bytes32 program);

        function serviceOf(address service)
            external
            view
            returns (bool registered, bytes32 manifest, ServiceParameters memory parameters);

        function serviceCount() external view returns (uint256);

        function services(uint256 start, uint256 limit) external view returns (address[] memory page);

        function operatorOf(address operator) external view returns (address owner, string memory endpoint);

        function ownerOf(address operator) external view returns (address owner);

        function chainIdOf(address service) external view returns (uint64);
    }

    struct Stake {
        uint96 bond;
        uint96 reward;
        uint40 committedUntil;
        uint24 locks;
    }

    struct Loss {
        address operator;
        address victim;
    }

    interface IStaking {
        event Deposited(address indexed service, address indexed operator, uint256 amount, uint256 bond);
        event Leaving(address indexed service, address indexed operator, uint64 committedUntil);
        event BondWithdrawn(address indexed service, address indexed operator, address indexed to, uint256 amount);
        event RewardWithdrawn(address indexed service, address indexed operator, address indexed to, uint256 amount);
        event Slashed(address indexed service, address indexed operator, uint256 amount, uint256 bond);
        event Burnt(address indexed service, uint256 amount);
        event Rewarded(address indexed service, address indexed operator, uint256 amount);
        event Credited(address indexed account, uint256 amount);
        event Withdrawn(address indexed account, uint256 amount);

        error UnknownService(address service);
        error NotOperatorOwner(address operator, address caller, address owner);
        error BondTooSmall(uint256 bond, uint256 minimum);
        error DepositTooLarge(uint256 held, uint256 limit);
        error FeeOnTransfer(uint256 sent, uint256 received);
        error NotBonded(address service, address operator);
        error AlreadyLeaving(address service, address operator, uint256 committedUntil);
        error NotLeaving(address service, address operator);
        error Committed(address service, address operator, uint256 committedUntil);
        error Locked(address service, address operator, uint256 locks);
        error NotLocked(address service, address operator);
        error NothingToWithdraw(address account);
        error NotModule(address caller);

        function deposit(address service, address operator, uint256 amount) external;

        function leave(address service, address operator) external;

        function withdrawBond(address service, address operator) external;

        function withdrawReward(address service, address operator) external;

        function withdraw() external;

        function lock(address service, address[] calldata operators) external;

        function slash(
            address service,
            Loss[] calldata losses,
            address[] calldata winners,
            address reporter,
            address caller
        ) external returns (uint256 slashed);

        function stakeOf(address service, address operator) external view returns (Stake memory);

        function isBonded(address service, address operator) external view returns (bool);

        function creditOf(address account) external view returns (uint256);

        function burnt() external view returns (uint256);

        function operatorCount(address service) external view returns (uint256);

        function operatorsOf(address service, uint256 start, uint256 limit) external view returns (address[] memory page);

        function isModule(address account) external view returns (bool);

        function token() external view returns (address);

        function registry() external view returns (IRegistry);

        function leaveDelay() external view returns (uint64);
    }

    interface IPreimages {
        event Shown(bytes32 indexed hash, uint32 length);

        error PreimageTooLong(uint256 length, uint256 max);
        error LengthNotShown(bytes32 hash);
        error NotShown(bytes32 hash, uint32 offset);

        function show(bytes calldata data, uint32[] calldata offsets) external returns (bytes32 hash);

        function word(bytes32 hash, uint32 offset) external view returns (bytes32 value, uint32 length);

        function lengthOf(bytes32 hash) external view returns (uint32 length);
    }

    interface IMachine {
        error WitnessLength(uint256 found, uint256 expected);
        error StatusUnknown(uint8 status);
        error HeightTooLarge(uint8 codeHeight, uint8 memHeight, uint8 max);
        error BitmapAboveHeight(uint32 bitmap, uint8 height);
        error CodeRootMismatch(bytes32 found, bytes32 expected);
        error MemoryRootMismatch(bytes32 found, bytes32 expected);

        function preimages() external view returns (IPreimages);

        function step(bytes calldata witness) external view returns (bytes32 pre, bytes32 post);

        function result(bytes calldata state) external pure returns (bytes32 root, bytes32 resultHash);

        function initial(bytes calldata state) external pure returns (bytes32 program, bytes32 input, bool fresh);
    }

    struct Outcome {
        uint8 status;
        uint32 exit;
        bytes output;
        bytes chunks;
    }

    interface IService {
        event Request(
            bytes32 indexed request,
            address indexed requester,
            bytes4 selector,
            bytes32 program,
            bytes input,
            uint64 budget
        );
        event Responded(
            bytes32 indexed request, address indexed operator, bytes32 result, uint8 status, uint32 exit, bytes output
        );

        error NoProgram(bytes4 selector);
        error UnknownRequest(bytes32 request);
        error NotBonded(address operator);
        error AlreadyResponded(bytes32 request, address operator);
        error WrongResult(bytes32 signed, bytes32 computed);
        error WrongChunks(uint256 sum, uint256 length);

        function respond(Statement calldata statement, Signed calldata response, Outcome calldata outcome) external;

        function owner() external view returns (address);

        function registry() external view returns (IRegistry);

        function requestCount() external view returns (uint256);

        function responded(bytes32 request, address operator) external view returns (bool);
    }

    interface IDisputes {
        event Opened(
            bytes32 indexed dispute, address indexed service, address indexed opener, Statement statement, uint64 joinUntil
        );
        event Claimed(
            bytes32 indexed dispute,
            uint8 index,
            address indexed operator,
            bytes32 request,
            address requester,
            bytes32 result
        );
        event MatchStarted(bytes32 indexed dispute, uint8 a, uint8 b, uint8 levels, bytes32 head);
        event Dissected(bytes32 indexed dispute, uint8 move, uint8 segment, bytes32 head, bytes32[31] points);
        event Stepped(bytes32 indexed dispute, uint64 position);
        event Expired(bytes32 indexed dispute);
        event Decided(bytes32 indexed dispute, bytes32 result);
        event Eliminated(bytes32 indexed dispute, uint8 index, address indexed operator, uint64 joinUntil);
        event Settled(bytes32 indexed dispute, bytes32 result, uint256 slashed);

        error BudgetTooLarge(uint64 budget, uint64 limit);
        error DisputeExists(bytes32 dispute);
        error UnknownDispute(bytes32 dispute);
        error TooFewClaims(uint256 claims);
        error TooManyClaims(uint256 claims, uint256 limit);
        error NoConflict(bytes32 result);
        error AlreadyClaimed(address operator);
        error InvalidSignature();
        error WrongDetails(bytes32 kept, bytes32 given);
        error JoinClosed(uint256 joinUntil);
        error NoMatch(bytes32 dispute);
        error WrongHead(bytes32 head, bytes32 given);
        error NotOnMove(address caller, address mover);
        error ClockRanOut(uint256 used, uint256 limit);
        error ClockRunning(uint256 used, uint256 limit);
        error WrongSegment(uint256 segment);
        error DissectionsOver(uint256 moves);
        error StepTooEarly(uint256 moves, uint256 levels);
        error WrongOpenings(uint256 length, uint256 expected);
        error WrongWitness(uint256 length, uint256 expected);
        error OpeningsMismatch(bytes32 head, bytes32 computed);
        error WrongStart(bytes32 start, bytes32 given);
        error NotInitial(bytes32 program, bytes32 input);
        error WrongEnd(bytes32 end, bytes32 given);
        error StepLost(bytes32 next, bytes32 end);
        error NoVerdict(address service);
        error NothingDecided(bytes32 result);
        error MatchRunning(bytes32 dispute);
        error JoinOpen(uint256 joinUntil);
        error LeaveDelayTooShort(uint256 leaveDelay, uint256 longest);
        error WrongTimes(uint256 clock, uint256 joinWindow);
        error NotModule(address disputes);

        struct View {
            uint64 joinUntil;
            uint8 claims;
            uint8 liveBitmap;
            bool matchRunning;
            uint8 a;
            uint8 b;
            uint8 moves;
            uint8 levels;
            uint64 position;
            uint32 clockA;
            uint32 clockB;
            uint64 lastMove;
            bytes32 head;
        }

        function open(Statement calldata statement, Signed[] calldata responses) external returns (bytes32 dispute);

        function join(Statement calldata statement, Signed calldata response, address opener, ClaimDetail[] calldata claims)
            external;

        function dissect(bytes32 dispute, bytes32 head, uint256 segment, bytes32[31] calldata points) external;

        function step(
            Statement calldata statement,
            address opener,
            bytes32 head,
            uint256 segment,
            bytes calldata openings,
            bytes calldata witness
        ) external;

        function expire(bytes32 dispute) external;

        function decide(Statement calldata statement, address opener, ClaimDetail[] calldata claims, bytes calldata proof)
            external;

        function settle(Statement calldata statement, address opener, ClaimDetail[] calldata claims) external;

        function get(bytes32 dispute) external view returns (View memory);

        function operatorAt(bytes32 dispute, uint8 index) external view returns (address);

        function signerOf(Statement calldata statement, Signed calldata response) external view returns (address operator);

        function domainSeparator() external view returns (bytes32);

        function clock() external view returns (uint32);

        function joinWindow() external view returns (uint32);

        function staking() external view returns (IStaking);

        function registry() external view returns (IRegistry);

        function machine() external view returns (IMachine);
    }

    /// The ERC-20 that bonds are in.
    interface IERC20 {
        event Transfer(address indexed from, address indexed to, uint256 value);

        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
    }

    /// The development token: anybody can make some.
    interface IDevToken {
        function mint(address to, uint256 amount) external;
    }
}
