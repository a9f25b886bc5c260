// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What a service fixes for ever when it is registered.
struct ServiceParameters {
    /// smallest bond of an operator, in wei of the staking token
    uint96 minBond;
    /// step budget of a request made on-chain (the forced path); at most 2^45, which is what a dispute can be about
    uint64 maxBudget;
    /// an `IVerdict` that can end a dispute about this service at once; zero for none
    address verdict;
}

/// Where an operator hosts containers of a service.
struct Host {
    /// whether it ever registered for that: it stays one for good
    bool registered;
    /// SHA-256 fingerprint of the SSH host key; zero where the endpoint has none
    bytes32 hostKey;
    /// `ssh://user@host:port`, or `unix:` and a path
    string endpoint;
}

/// @title Registry
/// @notice Services (manifest, program of each method) and operators (key, owner, endpoint). A service is the address
/// of its contract; an operator is the address of its key. `docs/spec/dispute.md` and `docs/spec/wire.md` are the
/// specification.
interface IRegistry {
    event ServiceRegistered(
        address indexed service, address indexed owner, bytes32 manifest, ServiceParameters parameters
    );
    event ManifestSet(address indexed service, bytes32 manifest);
    event ProgramSet(address indexed service, bytes4 indexed selector, bytes32 program);
    event OperatorRegistered(address indexed operator, address indexed owner, string endpoint);
    event EndpointSet(address indexed operator, string endpoint);
    event KeysSet(address indexed operator, bytes blsKey, bytes32 encryptionKey, string peerAddress);

    event HostSet(address indexed service, address indexed operator, string endpoint, bytes32 hostKey);

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
    error BadKeyLength(uint256 found, uint256 expected);
    error BadProofLength(uint256 found, uint256 expected);
    error EmptyEndpoint();
    error ZeroKey();
    error PeerAddressTooLong(uint256 length, uint256 limit);
    /// `blsKey` is no key, or `proof` is not its signature over `message`.
    error WrongPossession(address operator, bytes32 message);

    /// @notice Registers the contract `service`. Callable by `IService(service).owner()`, once.
    /// @param manifest keccak-256 of the manifest (`service.toml`)
    /// @param selectors methods, by ABI selector
    /// @param programs program hash of each method (`docs/spec/machine.md`, section 1)
    function registerService(
        address service,
        bytes32 manifest,
        bytes4[] calldata selectors,
        bytes32[] calldata programs,
        ServiceParameters calldata parameters
    ) external;

    /// @notice Replaces the manifest. Callable by the service's owner.
    function setManifest(address service, bytes32 manifest) external;

    /// @notice Sets the program of one method; zero removes the method. Callable by the service's owner. Responses
    /// name their program, so a change never turns a right answer into a wrong one.
    function setProgram(address service, bytes4 selector, bytes32 program) external;

    /// @notice Registers the key `operator`, owned by the caller.
    /// @param endpoint URL of the operator's JSON-RPC, at most 256 bytes
    /// @param signature proof of possession by `operator`: EIP-712
    /// `Operator(address key,address owner,string endpoint)`, domain `{name: "Surety", version: "1", chainId,
    /// verifyingContract: <this contract>}`, 65 bytes (r, s, v) or 64 (EIP-2098)
    function registerOperator(address operator, string calldata endpoint, bytes calldata signature) external;

    /// @notice Replaces an operator's endpoint. Callable by its owner.
    function setEndpoint(address operator, string calldata endpoint) external;

    /// @notice Sets, or replaces, the keys that `operator` votes and receives private payloads with, and where its peer
    /// is found. Sets already fixed (`IQuorum`) keep the keys they were fixed with. Callable by its owner.
    /// @param blsKey public key, 256 bytes, G2 as in EIP-2537; not the point at infinity
    /// @param proof proof of possession, 128 bytes, G1: the key's signature, under the tag
    /// `BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_`, of the 32 bytes `hash(abi.encode(hash("surety.possession"),
    /// chainId, <this contract>, operator, hash(blsKey)))`
    /// @param encryptionKey X25519
    /// @param peerAddress multiaddress without the `/p2p` part, at most 256 bytes
    function setKeys(
        address operator,
        bytes calldata blsKey,
        bytes calldata proof,
        bytes32 encryptionKey,
        string calldata peerAddress
    ) external;

    /// @notice Makes `operator` a host of `service`, or changes where it is. A host is never drawn as a monitor of that
    /// service from then on, for good: nobody judges itself. Callable by the operator's owner.
    /// @param endpoint 1 to 256 bytes (`docs/spec/integrity.md`, section 4)
    /// @param hostKey SHA-256 fingerprint of the SSH host key
    function setHost(address service, address operator, string calldata endpoint, bytes32 hostKey) external;

    /// @return program program hash of the method; zero if there is none
    function programOf(address service, bytes4 selector) external view returns (bytes32 program);

    /// @return registered whether the service is registered; all else is zero if not
    /// @return manifest keccak-256 of the manifest
    /// @return parameters fixed at registration
    function serviceOf(address service)
        external
        view
        returns (bool registered, bytes32 manifest, ServiceParameters memory parameters);

    /// @return number of registered services
    function serviceCount() external view returns (uint256);

    /// @return page up to `limit` services from index `start`, in order of registration
    function services(uint256 start, uint256 limit) external view returns (address[] memory page);

    /// @return owner account that controls the operator's stake; zero if the operator is unknown
    /// @return endpoint URL of its JSON-RPC
    function operatorOf(address operator) external view returns (address owner, string memory endpoint);

    /// @return owner account that controls the operator's stake; zero if the operator is unknown
    function ownerOf(address operator) external view returns (address owner);

    /// @return blsKey 256 bytes, G2 as in EIP-2537; empty if the operator has set no keys
    /// @return encryptionKey X25519
    /// @return peerAddress multiaddress without the `/p2p` part
    function keysOf(address operator)
        external
        view
        returns (bytes memory blsKey, bytes32 encryptionKey, string memory peerAddress);

    /// @return page contract whose code, after one byte, is the BLS key (192 bytes, `docs/spec/network.md`, section 2),
    /// the encryption key (32) and the peer address; zero if the operator has set no keys
    function keysAt(address operator) external view returns (address page);

    function hostOf(address service, address operator) external view returns (Host memory);

    /// @return whether `operator` is, or was, a host of `service`
    function isHost(address service, address operator) external view returns (bool);

    /// @return number of operators that ever became hosts of `service`
    function hostCount(address service) external view returns (uint256);

    /// @return page up to `limit` hosts of `service` from index `start`, in order of registration
    function hostsOf(address service, uint256 start, uint256 limit) external view returns (address[] memory page);

    /// @return the chain id that requests to `service` are signed for (`docs/spec/wire.md`, section 1)
    function chainIdOf(address service) external view returns (uint64);
}
