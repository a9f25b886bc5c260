#!/bin/bash
# Builds the example programs, byte for byte the same on every machine with the same compilers.
#
#   build.sh           builds into programs/elf
#   build.sh --check   builds apart and says whether programs/elf is what the sources give; 1 if not
#
# The compilers: Debian's rustc-web with rust-web-src, binutils-riscv64-unknown-elf and gcc-riscv64-unknown-elf; `make
# programs-toolchain` installs them. Where rustup's riscv32im-unknown-none-elf is installed instead, it serves too, but
# its bytes may differ. programs/elf/TOOLCHAIN names the compilers of the committed ones.
set -euo pipefail
export LC_ALL=C

programs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$programs")
target=riscv32im-unknown-none-elf
rust_programs="explorer echo library"
c_programs="sort echo-c library-c"

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

for tool in cargo riscv64-unknown-elf-gcc riscv64-unknown-elf-ld; do
    command -v "$tool" >/dev/null || fail "$tool is missing; run 'make programs-toolchain'"
done

# Debian's compiler has no prebuilt core for this target, but its source; rustup's has it prebuilt.
debian_source=/usr/lib/rustlib/src/rust
if [ -x /usr/bin/rustc ] && [ -d "$debian_source/library" ]; then
    rustc=/usr/bin/rustc
    build_std=(-Zbuild-std=core,alloc)
    export RUSTC_BOOTSTRAP=1
elif [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    rustc=$(rustup which rustc 2>/dev/null || command -v rustc)
    build_std=()
else
    fail "no Rust compiler for $target; run 'make programs-toolchain', or 'rustup target add $target'"
fi

toolchain() {
    "$rustc" -vV | sed -n 's/^rustc .*/&/p; s/^LLVM version/LLVM/p'
    riscv64-unknown-elf-ld --version | head -n 1
    riscv64-unknown-elf-gcc --version | head -n 1
}

# build DIRECTORY: the ELFs and what made them into DIRECTORY, all else into $CARGO_TARGET_DIR.
build() {
    local into=$1 program
    # No path of this machine may reach the ELFs: panics name source files.
    local flags="-Clinker-flavor=ld -Clink-arg=-melf32lriscv"
    flags+=" --remap-path-prefix=$repository/="
    flags+=" --remap-path-prefix=$debian_source/=rust/"
    flags+=" --remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust/=rust/"
    # Brings the registry's directory into being, whose name is wanted next.
    (cd "$programs" && cargo fetch --locked --quiet)
    local registry
    for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
        flags+=" --remap-path-prefix=$registry=registry/"
    done
    # Flags from outside would change the bytes, and RUSTFLAGS would hide .cargo/config.toml.
    (
        cd "$programs"
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET
        # Each by itself: what one wants of surety-guest must not change another's bytes.
        for program in $rust_programs; do
            RUSTC=$rustc RUSTC_WRAPPER= CARGO_INCREMENTAL=0 \
                CARGO_TARGET_RISCV32IM_UNKNOWN_NONE_ELF_LINKER=riscv64-unknown-elf-ld \
                CARGO_TARGET_RISCV32IM_UNKNOWN_NONE_ELF_RUSTFLAGS=$flags \
                cargo build --release --locked --package "$program" "${build_std[@]}" >&2
        done
    )
    for program in $rust_programs; do
        cp "$CARGO_TARGET_DIR/$target/release/$program" "$into/$program.elf"
    done
    # Each a directory with one C file. What engines know is linked where it is wanted.
    local fast
    for program in $c_programs; do
        fast=
        if [ "$program" = library-c ]; then
            fast="-DSURETY_FAST_MEMORY crates/surety-guest/c/surety_fast.c $(cd "$repository" && echo crates/surety-guest/asm/*.S)"
        fi
        (
            cd "$repository"
            riscv64-unknown-elf-gcc -std=c11 -march=rv32im -mabi=ilp32 -ffreestanding -nostdlib -static \
                -O2 -fno-schedule-insns -fno-strict-aliasing -fno-tree-loop-distribute-patterns \
                -ffunction-sections -fdata-sections \
                -Wall -Wextra -Werror -Icrates/surety-guest/include \
                -Wl,--gc-sections -Wl,--nmagic -Wl,--build-id=none -Wl,--strip-all -Tcrates/surety-guest/surety.ld \
                programs/"$program"/*.c crates/surety-guest/c/surety.c $fast -lgcc -o "$into/$program.elf"
        )
    done
    chmod 644 "$into"/*.elf
    toolchain >"$into/TOOLCHAIN"
}

case "${1:-}" in
"")
    export CARGO_TARGET_DIR=$programs/target
    mkdir -p "$programs/elf"
    build "$programs/elf"
    (cd "$programs/elf" && sha256sum -- *.elf)
    ;;
--check)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export CARGO_TARGET_DIR=$work/target
    mkdir "$work/elf"
    build "$work/elf"
    status=0
    for program in $rust_programs $c_programs; do
        if cmp -s "$work/elf/$program.elf" "$programs/elf/$program.elf"; then
            echo "programs/elf/$program.elf is current"
        else
            echo "programs/elf/$program.elf is not what its sources give" >&2
            status=1
        fi
    done
    if [ $status != 0 ]; then
        if cmp -s "$work/elf/TOOLCHAIN" "$programs/elf/TOOLCHAIN"; then
            echo "The compilers are the same, so the sources have changed: run 'make programs' and commit programs/elf." >&2
        else
            echo "The compilers differ, so this says nothing about the sources. The committed ELFs were built with:" >&2
            sed 's/^/  /' "$programs/elf/TOOLCHAIN" >&2
            echo "and here there are:" >&2
            sed 's/^/  /' "$work/elf/TOOLCHAIN" >&2
        fi
    fi
    exit $status
    ;;
*)
    fail "usage: build.sh [--check]"
    ;;
esac
