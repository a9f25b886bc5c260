// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Host, IRegistry, ServiceParameters} from "./interfaces/IRegistry.sol";
import {IService} from "./interfaces/IService.sol";
import {BLS} from "./libraries/BLS.sol";
import {Pages} from "./libraries/Pages.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @title Registry
/// @notice Services, operators and their keys: see `IRegistry`.
contract Registry is IRegistry, EIP712 {
    struct ServiceRecord {
        bytes32 manifest;
        ServiceParameters parameters;
        bool registered;
    }

    struct OperatorRecord {
        address owner;
        string endpoint;
    }

    bytes32 private constant OPERATOR_TYPEHASH = keccak256("Operator(address key,address owner,string endpoint)");
    bytes32 private constant POSSESSION = keccak256("surety.possession");
    /// The point at infinity.
    bytes32 private constant NO_KEY = keccak256(new bytes(256));
    uint256 private constant MAX_ENDPOINT_LENGTH = 256;
    uint256 private constant MAX_PEER_ADDRESS_LENGTH = 256;
    /// Largest budget that a dispute takes: an answer to a request with a larger one could not be held to account.
    uint64 private constant MAX_BUDGET = 1 << 45;

    mapping(address service => ServiceRecord) private _services;
    mapping(address service => mapping(bytes4 selector => bytes32)) private _programs;
    mapping(address operator => OperatorRecord) private _operators;
    mapping(address operator => address) public keysAt;
    address[] private _serviceList;
    mapping(address service => mapping(address operator => Host)) private _hosts;
    mapping(address service => address[]) private _hostList;

    // Services

    /// @inheritdoc IRegistry
    function registerService(
        address service,
        bytes32 manifest,
        bytes4[] calldata selectors,
        bytes32[] calldata programs,
        ServiceParameters calldata parameters
    ) external {
        _checkServiceOwner(service);
        if (_services[service].registered) revert ServiceExists(service);
        if (selectors.length != programs.length) revert LengthMismatch(selectors.length, programs.length);
        if (parameters.maxBudget > MAX_BUDGET) revert BudgetTooLarge(parameters.maxBudget, MAX_BUDGET);
        _services[service] = ServiceRecord(manifest, parameters, true);
        _serviceList.push(service);
        emit ServiceRegistered(service, msg.sender, manifest, parameters);
        for (uint256 i; i < selectors.length; ++i) {
            _setProgram(service, selectors[i], programs[i]);
        }
    }

    /// @inheritdoc IRegistry
    function setManifest(address service, bytes32 manifest) external {
        _checkRegistered(service);
        _checkServiceOwner(service);
        _services[service].manifest = manifest;
        emit ManifestSet(service, manifest);
    }

    /// @inheritdoc IRegistry
    function setProgram(address service, bytes4 selector, bytes32 program) external {
        _checkRegistered(service);
        _checkServiceOwner(service);
        _setProgram(service, selector, program);
    }

    // Operators

    /// @inheritdoc IRegistry
    function registerOperator(address operator, string calldata endpoint, bytes calldata signature) external {
        if (operator == address(0)) revert ZeroOperator();
        if (_operators[operator].owner != address(0)) revert OperatorExists(operator);
        _checkEndpoint(endpoint);
        bytes32 digest =
            _hashTypedData(keccak256(abi.encode(OPERATOR_TYPEHASH, operator, msg.sender, keccak256(bytes(endpoint)))));
        address recovered = ECDSA.tryRecoverCalldata(digest, signature);
        if (recovered != operator) revert WrongProof(operator, recovered);
        _operators[operator] = OperatorRecord(msg.sender, endpoint);
        emit OperatorRegistered(operator, msg.sender, endpoint);
    }

    /// @inheritdoc IRegistry
    function setEndpoint(address operator, string calldata endpoint) external {
        _checkOperatorOwner(operator);
        _checkEndpoint(endpoint);
        _operators[operator].endpoint = endpoint;
        emit EndpointSet(operator, endpoint);
    }

    /// @inheritdoc IRegistry
    function setKeys(
        address operator,
        bytes calldata blsKey,
        bytes calldata proof,
        bytes32 encryptionKey,
        string calldata peerAddress
    ) external {
        _checkOperatorOwner(operator);
        if (blsKey.length != BLS.KEY_LENGTH) revert BadKeyLength(blsKey.length, BLS.KEY_LENGTH);
        if (proof.length != BLS.SIGNATURE_LENGTH) revert BadProofLength(proof.length, BLS.SIGNATURE_LENGTH);
        uint256 length = bytes(peerAddress).length;
        if (length > MAX_PEER_ADDRESS_LENGTH) revert PeerAddressTooLong(length, MAX_PEER_ADDRESS_LENGTH);
        (uint256 frame, uint256 hash, uint256 key) = BLS.frame();
        bytes memory page = abi.encodePacked(new bytes(BLS.PACKED_KEY_LENGTH), encryptionKey, peerAddress);
        uint256 packed;
        assembly ("memory-safe") {
            calldatacopy(key, blsKey.offset, blsKey.length)
            packed := add(page, 0x20)
        }
        if (keccak256(blsKey) == NO_KEY) revert ZeroKey();
        bytes32 message = keccak256(abi.encode(POSSESSION, block.chainid, address(this), operator, keccak256(blsKey)));
        BLS.hashToG1(message, BLS.POSSESSION_TAG, hash);
        BLS.pack(key, packed);
        BLS.negate(key);
        if (!BLS.verify(proof, frame)) revert WrongPossession(operator, message);
        keysAt[operator] = SSTORE2.write(page);
        emit KeysSet(operator, blsKey, encryptionKey, peerAddress);
    }

    /// @inheritdoc IRegistry
    function setHost(address service, address operator, string calldata endpoint, bytes32 hostKey) external {
        _checkRegistered(service);
        _checkOperatorOwner(operator);
        _checkEndpoint(endpoint);
        if (bytes(endpoint).length == 0) revert EmptyEndpoint();
        if (!_hosts[service][operator].registered) _hostList[service].push(operator);
        _hosts[service][operator] = Host(true, hostKey, endpoint);
        emit HostSet(service, operator, endpoint, hostKey);
    }

    // Views

    /// @inheritdoc IRegistry
    function hostOf(address service, address operator) external view returns (Host memory) {
        return _hosts[service][operator];
    }

    /// @inheritdoc IRegistry
    function isHost(address service, address operator) external view returns (bool) {
        return _hosts[service][operator].registered;
    }

    /// @inheritdoc IRegistry
    function hostCount(address service) external view returns (uint256) {
        return _hostList[service].length;
    }

    /// @inheritdoc IRegistry
    function hostsOf(address service, uint256 start, uint256 limit) external view returns (address[] memory page) {
        page = new address[](Pages.size(_hostList[service].length, start, limit));
        for (uint256 i; i < page.length; ++i) {
            page[i] = _hostList[service][start + i];
        }
    }

    /// @inheritdoc IRegistry
    function programOf(address service, bytes4 selector) external view returns (bytes32 program) {
        return _programs[service][selector];
    }

    /// @inheritdoc IRegistry
    function serviceOf(address service)
        external
        view
        returns (bool registered, bytes32 manifest, ServiceParameters memory parameters)
    {
        ServiceRecord storage record = _services[service];
        return (record.registered, record.manifest, record.parameters);
    }

    /// @inheritdoc IRegistry
    function serviceCount() external view returns (uint256) {
        return _serviceList.length;
    }

    /// @inheritdoc IRegistry
    function services(uint256 start, uint256 limit) external view returns (address[] memory page) {
        page = new address[](Pages.size(_serviceList.length, start, limit));
        for (uint256 i; i < page.length; ++i) {
            page[i] = _serviceList[start + i];
        }
    }

    /// @inheritdoc IRegistry
    function operatorOf(address operator) external view returns (address owner, string memory endpoint) {
        OperatorRecord storage record = _operators[operator];
        return (record.owner, record.endpoint);
    }

    /// @inheritdoc IRegistry
    function ownerOf(address operator) external view returns (address owner) {
        return _operators[operator].owner;
    }

    /// @inheritdoc IRegistry
    function chainIdOf(address service) external view returns (uint64) {
        uint256 hash = uint256(keccak256(abi.encode("surety.service", block.chainid, service)));
        // The low 48 bits, which fit.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(hash & ((1 << 48) - 1) | 1 << 47);
    }

    /// @inheritdoc IRegistry
    function keysOf(address operator)
        external
        view
        returns (bytes memory blsKey, bytes32 encryptionKey, string memory peerAddress)
    {
        address page = keysAt[operator];
        if (page == address(0)) return (blsKey, encryptionKey, peerAddress);
        bytes memory data = SSTORE2.read(page);
        blsKey = new bytes(BLS.KEY_LENGTH);
        bytes memory key = blsKey;
        uint256 from;
        uint256 to;
        assembly ("memory-safe") {
            from := add(data, 0x20)
            to := add(key, 0x20)
        }
        BLS.unpack(from, to);
        encryptionKey = LibBytes.load(data, BLS.PACKED_KEY_LENGTH);
        peerAddress = string(LibBytes.slice(data, BLS.PACKED_KEY_LENGTH + 32));
    }

    function _setProgram(address service, bytes4 selector, bytes32 program) private {
        _programs[service][selector] = program;
        emit ProgramSet(service, selector, program);
    }

    function _checkRegistered(address service) private view {
        if (!_services[service].registered) revert UnknownService(service);
    }

    function _checkServiceOwner(address service) private view {
        address owner = IService(service).owner();
        if (msg.sender != owner) revert NotServiceOwner(service, msg.sender, owner);
    }

    function _checkOperatorOwner(address operator) private view {
        address owner = _operators[operator].owner;
        if (owner == address(0)) revert UnknownOperator(operator);
        if (msg.sender != owner) revert NotOperatorOwner(operator, msg.sender, owner);
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length > MAX_ENDPOINT_LENGTH) revert EndpointTooLong(length, MAX_ENDPOINT_LENGTH);
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("Surety", "1");
    }
}
