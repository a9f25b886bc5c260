//! What is called, how large, how often.

use super::Beside;

/// A guest program and its sizes.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name in the results.
    pub(super) name: &'static str,
    /// The file in `programs/intrinsics`, without its ending.
    pub(super) source: &'static str,
    /// `LENGTH` in the program: bytes of a message, buffer, vector or number, or of each row of two matrices.
    pub(super) length: u32,
    /// `ROWS` and `COLUMNS` in the program: how many rows the two matrices have.
    pub(super) rows: [u32; 2],
    /// Whether `memcpy`, `memset` and `memcmp` are the routines that the engine knows, too.
    pub(super) memory: bool,
    /// `CALLS` where the engine has host code for the routines: about a tenth of a second.
    pub(super) calls: u32,
    /// `CALLS` where it has not, and for a check: about 3 * 10^8 steps.
    pub(super) few: u32,
    /// Routines that the engine must find in the program.
    pub(super) routines: &'static [&'static str],
    /// What is measured with it.
    pub(super) beside: Beside,
}

impl Case {
    /// Its size in words: bytes, or rows x columns x depth.
    pub(super) fn size(&self) -> String {
        match self.beside {
            Beside::Peak => format!("{} x {} x {}", self.rows[0], self.rows[1], self.length),
            _ => self.length.to_string(),
        }
    }
}

/// A long message or buffer, of which two fit into the second cache.
const LONG: u32 = 65_536;
/// Two nodes of a tree, or a block of SHA-256.
const SHORT: u32 = 64;

const FLOAT: &[&str] = &["__addsf3", "__subsf3", "__mulsf3", "__divsf3", "surety_sqrt_f32"];

/// All of them. What they work on fits into a second cache of 256 KiB, results and all.
pub(super) const ALL: [Case; 18] = [
    matrices("matmul_i8", [128, 128], 512, [3_000, 12]),
    matrices("matmul_i8_192", [192, 192], 192, [3_000, 12]),
    matrices("matmul_i8_64", [64, 64], 64, [60_000, 300]),
    matrices("matmul_i8_row", [1, 256], 512, [80_000, 600]),
    case("dot_i8", "dot_i8", 4_096, [800_000, 15_000], &["surety_dot_i8"]),
    Case {
        beside: Beside::Crates {
            headline: "keccak_vs_fastest_crate",
        },
        ..case("keccak256_long", "keccak256", LONG, [700, 45], &["surety_keccak_f"])
    },
    Case {
        beside: Beside::Crates {
            headline: "keccak_short_vs_fastest_crate",
        },
        ..case(
            "keccak256_short",
            "keccak256",
            SHORT,
            [300_000, 20_000],
            &["surety_keccak_f"],
        )
    },
    Case {
        memory: true,
        ..case("keccak256_memcpy", "keccak256", LONG, [200, 45], &["surety_keccak_f"])
    },
    case("sha256_long", "sha256", LONG, [3_000, 70], &["surety_sha256_blocks"]),
    case(
        "sha256_short",
        "sha256",
        SHORT,
        [300_000, 35_000],
        &["surety_sha256_blocks"],
    ),
    memory("memcpy_long", "memcpy", LONG, [60_000, 7_000], &["memcpy"]),
    memory("memcpy_short", "memcpy", SHORT, [1_000_000, 2_000_000], &["memcpy"]),
    memory("memset_long", "memset", LONG, [80_000, 10_000], &["memset"]),
    memory("memset_short", "memset", SHORT, [1_000_000, 2_000_000], &["memset"]),
    memory("memcmp_long", "memcmp", LONG, [60_000, 4_000], &["memcmp"]),
    memory("memcmp_short", "memcmp", SHORT, [1_000_000, 2_000_000], &["memcmp"]),
    case(
        "montgomery_256",
        "montgomery_256",
        32,
        [600_000, 200_000],
        &["surety_montgomery_256"],
    ),
    case("float", "float", 4, [60_000, 150_000], FLOAT),
];

const fn case(
    name: &'static str,
    source: &'static str,
    length: u32,
    [calls, few]: [u32; 2],
    routines: &'static [&'static str],
) -> Case {
    Case {
        name,
        source,
        length,
        rows: [1, 1],
        memory: false,
        calls,
        few,
        routines,
        beside: Beside::Nothing,
    }
}

const fn matrices(name: &'static str, rows: [u32; 2], length: u32, calls: [u32; 2]) -> Case {
    Case {
        rows,
        beside: Beside::Peak,
        ..case(name, "matmul_i8", length, calls, &["surety_matmul_i8"])
    }
}

const fn memory(
    name: &'static str,
    source: &'static str,
    length: u32,
    calls: [u32; 2],
    routines: &'static [&'static str],
) -> Case {
    Case {
        memory: true,
        ..case(name, source, length, calls, routines)
    }
}
