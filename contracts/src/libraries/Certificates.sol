// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "../interfaces/IQuorum.sol";
import {BLS} from "./BLS.sol";
import {Ballots} from "./Ballots.sol";
import {Roll} from "./Roll.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";

/// @title Certificates
/// @notice Verifying what members of a set signed (`docs/spec/network.md`, section 3): `Quorum` does it for everybody, and
/// whoever verifies one in each transaction can do it itself, for less. Where the members' keys are follows from the
/// addresses of `Quorum` and service, and the set's number.
library Certificates {
    /// @return the EIP-712 domain of ballots, on this chain
    function domainOf(address quorum) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Surety"),
                keccak256("1"),
                block.chainid,
                quorum
            )
        );
    }

    /// @return digest what a ballot's signature is over
    function digestOf(bytes32 domain, address service, uint64 set, bytes32 root)
        internal
        pure
        returns (bytes32 digest)
    {
        bytes32 hash = EfficientHashLib.hash(
            Ballots.TYPEHASH, bytes32(uint256(uint160(service))), bytes32(uint256(set)), root
        );
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0x00, hex"1901")
            mstore(0x02, domain)
            mstore(0x22, hash)
            digest := keccak256(0x00, 0x42)
            // The last two bytes lie on the free memory pointer.
            mstore(0x40, free)
        }
    }

    /// @notice Reverts unless the signature is the sum of the signers' over the ballot's digest, and not the point at
    /// infinity.
    /// @param quorum who fixed the set
    /// @param domain its EIP-712 domain
    /// @return power of the signers together
    /// @return total power of all members together
    /// @return members of the set
    function verify(
        address quorum,
        bytes32 domain,
        address service,
        uint64 set,
        bytes32 root,
        uint256 signers,
        bytes calldata signature
    ) internal view returns (uint256 power, uint256 total, uint256 members) {
        if (signers == 0) revert IQuorum.NoSigners();
        if (signature.length != BLS.SIGNATURE_LENGTH) {
            revert IQuorum.BadSignatureLength(signature.length, BLS.SIGNATURE_LENGTH);
        }
        (uint256 frame, uint256 hash, uint256 key) = BLS.bareFrame();
        (power, total, members) = _sum(quorum, service, set, signers, key);
        BLS.hashToG1(digestOf(domain, service, set, root), BLS.SIGNATURE_TAG, hash);
        if (!BLS.verify(signature, frame)) revert IQuorum.WrongSignature(service, set, root, signers);
    }

    /// Puts the sum of the signers' keys, negated, into memory at `key`, where there is room for two points.
    function _sum(address quorum, address service, uint64 set, uint256 signers, uint256 key)
        private
        view
        returns (uint256 power, uint256 total, uint256 members)
    {
        bytes32 salt = Roll.saltOf(service, set);
        address page = Roll.pageAt(quorum, salt);
        (members, total) = Roll.head(page, key);
        if (members == 0) revert IQuorum.UnknownSet(service, set);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (signers >> members != 0) revert IQuorum.SignersOutOfRange(signers, uint8(members));
        unchecked {
            uint256 absent = ((1 << members) - 1) ^ signers;
            if (absent == 0) return (total, total, members);
            BLS.clear(key + BLS.KEY_LENGTH);
            // Whoever is fewer is added up: the signers, or those absent, to be taken from all.
            bool few = 2 * LibBit.popCount(signers) <= members;
            uint256 mask = few ? signers : absent;
            address second = mask >> Roll.PAGE_MEMBERS == 0 ? page : Roll.pageAt(quorum, Roll.secondOf(salt));
            if (!few) return (total - Roll.addKeys(page, second, mask, key), total, members);
            BLS.clear(key);
            power = Roll.addKeys(page, second, mask, key);
            BLS.negate(key);
        }
    }
}
