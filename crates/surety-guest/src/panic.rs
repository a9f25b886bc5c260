//! A panic becomes a trap whose output is the message.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::revert::ERROR_SELECTOR;
use crate::{io, sys};

/// The longest message kept, in bytes.
const MESSAGE_MAX: usize = 512;

/// Where the message starts: selector, offset word, length word.
const HEAD: usize = 4 + 32 + 32;

/// `Error(string)` under construction. On the stack, for a panic may mean that the heap is used up.
struct Report {
    bytes: [u8; HEAD + MESSAGE_MAX],
    length: usize,
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MESSAGE_MAX - self.length;
        let text = &text[..text.floor_char_boundary(room)];
        let start = HEAD + self.length;
        self.bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut report = Report {
        bytes: [0; HEAD + MESSAGE_MAX],
        length: 0,
    };
    // A message longer than the buffer is cut; nothing else can fail.
    let _ = write!(report, "{info}");
    report.bytes[..4].copy_from_slice(&ERROR_SELECTOR);
    report.bytes[4 + 31] = 32;
    report.bytes[HEAD - 4..HEAD].copy_from_slice(&(report.length as u32).to_be_bytes());
    io::output(&report.bytes[..HEAD + report.length.next_multiple_of(32)]);
    sys::trap()
}
