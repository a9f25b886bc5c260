//! Where the machine begins, and the macros that say what runs.

use crate::sys;

// Registers start as zero, `sp` too.
core::arch::global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "la sp, __stack_top",
    "call __surety_start",
    ".popsection",
);

unsafe extern "C" {
    safe fn __surety_main();
}

#[unsafe(no_mangle)]
extern "C" fn __surety_start() -> ! {
    __surety_main();
    sys::halt(0)
}

/// Says which function runs, and how much memory the program has:
/// `entry!(main)` or `entry!(main, memory = 1 << 20, stack = 64 * 1024)`.
///
/// `memory` is what there is in all, stack, code and heap together, in bytes (512 KiB unless given); the machine rounds
/// it up to a power of two. `stack` is the part of it for the stack (32 KiB unless given). Both are multiples of 32.
///
/// The function takes nothing and returns nothing. It reads with [`input`](crate::input) and ends with
/// [`output`](crate::output); when it returns, the program halts with exit code 0. A program with methods uses
/// [`methods!`](crate::methods) instead.
#[macro_export]
macro_rules! entry {
    ($main:path $(, memory = $memory:expr)? $(, stack = $stack:expr)? $(,)?) => {
        $($crate::memory_symbol!("__memory_size", $memory);)?
        $($crate::memory_symbol!("__stack_size", $stack);)?

        const _: () = {
            #[unsafe(export_name = "__surety_main")]
            extern "C" fn main() {
                let main: fn() = $main;
                main();
            }
        };
    };
}

/// Defines one of the linker script's sizes.
#[doc(hidden)]
#[macro_export]
macro_rules! memory_symbol {
    ($name:literal, $bytes:expr) => {
        ::core::arch::global_asm!(
            concat!(".globl ", $name, "\n.set ", $name, ", {bytes}"),
            bytes = const { $bytes },
        );
    };
}

/// Says which functions answer which calls.
///
/// ```ignore
/// surety_guest::methods! {
///     memory = 1 << 20;                             // optional, as is `stack`: see `entry!`
///     "balanceOf(bytes32,address)" => balance_of,   // fn(…) -> Result<T, Revert>
/// }
/// ```
///
/// Each function's parameters are checked against the signature when the program is compiled. The signatures go
/// into the ELF's section `.surety.methods`, one a line, for tools to show.
#[macro_export]
macro_rules! methods {
    ($(memory = $memory:expr;)? $(stack = $stack:expr;)? $($signature:literal => $function:path),+ $(,)?) => {
        $(const _: () = $crate::assert_signature(&$function, $signature);)+

        ::core::arch::global_asm!(
            ".pushsection .surety.methods, \"\", @progbits",
            $(concat!(".ascii \"", $signature, "\\n\""),)+
            ".popsection",
        );

        fn __surety_methods() {
            $crate::return_value($crate::dispatch(&$crate::input(), |selector, arguments| {
                $(
                    if selector == const { $crate::selector($signature) } {
                        return Some($crate::Handler::call(&$function, arguments));
                    }
                )+
                None
            }));
        }

        $crate::entry!(__surety_methods $(, memory = $memory)? $(, stack = $stack)?);
    };
}
