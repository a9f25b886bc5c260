// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Instruction words, by the formats of the ISA manual
library Assembler {
    uint32 internal constant ECALL = 0x73;
    uint32 internal constant EBREAK = 0x00100073;

    function rType(uint256 funct7, uint256 funct3, uint256 rd, uint256 rs1, uint256 rs2)
        internal
        pure
        returns (uint32)
    {
        return uint32((funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | 0x33);
    }

    function iType(uint256 opcode, uint256 funct3, uint256 rd, uint256 rs1, int256 imm) internal pure returns (uint32) {
        return uint32((bits(imm, 12) << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode);
    }

    function sType(uint256 funct3, uint256 rs1, uint256 rs2, int256 imm) internal pure returns (uint32) {
        uint256 i = bits(imm, 12);
        return uint32(((i >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((i & 31) << 7) | 0x23);
    }

    function bType(uint256 funct3, uint256 rs1, uint256 rs2, int256 imm) internal pure returns (uint32) {
        uint256 i = bits(imm, 13);
        uint256 high = ((i >> 12) << 6) | ((i >> 5) & 63);
        uint256 low = (((i >> 1) & 15) << 1) | ((i >> 11) & 1);
        return uint32((high << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (low << 7) | 0x63);
    }

    /// `imm` is the value of the upper 20 bits
    function uType(uint256 opcode, uint256 rd, uint256 imm) internal pure returns (uint32) {
        return uint32((imm << 12) | (rd << 7) | opcode);
    }

    function jal(uint256 rd, int256 imm) internal pure returns (uint32) {
        uint256 i = bits(imm, 21);
        uint256 upper = ((i >> 20) << 19) | (((i >> 1) & 0x3ff) << 9) | (((i >> 11) & 1) << 8) | ((i >> 12) & 0xff);
        return uint32((upper << 12) | (rd << 7) | 0x6f);
    }

    function jalr(uint256 rd, uint256 rs1, int256 imm) internal pure returns (uint32) {
        return iType(0x67, 0, rd, rs1, imm);
    }

    function opImm(uint256 funct3, uint256 rd, uint256 rs1, int256 imm) internal pure returns (uint32) {
        return iType(0x13, funct3, rd, rs1, imm);
    }

    function load(uint256 funct3, uint256 rd, uint256 rs1, int256 imm) internal pure returns (uint32) {
        return iType(0x03, funct3, rd, rs1, imm);
    }

    function bits(int256 value, uint256 count) private pure returns (uint256) {
        return uint256(value) & ((1 << count) - 1);
    }
}
