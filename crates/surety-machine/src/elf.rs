//! The ELF loader: section 3 of the specification.
//!
//! Source of the format: System V ABI, chapters 4 and 5; RISC-V ELF psABI for `e_flags`.

use crate::program::{Program, ProgramError, Segment};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Why a file is not a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Something is not within the file.
    #[error("{what} at file offset {offset:#x}, {size} bytes long, does not lie within the file of {file} bytes")]
    Truncated {
        /// What should be there.
        what: &'static str,
        /// File offset, bytes.
        offset: u64,
        /// Size, bytes.
        size: u64,
        /// Length of the file, bytes.
        file: u64,
    },
    /// A header field has a value that is not supported.
    #[error("{field} at file offset {offset:#x} is {found:#x}, expected {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// File offset, bytes.
        offset: u64,
        /// Its value.
        found: u64,
        /// What is supported.
        expected: &'static str,
    },
    /// A kind of program header that is not supported.
    #[error("program header {index} is {kind}: link statically, without position independence")]
    Unsupported {
        /// Which program header, from 0.
        index: u16,
        /// Its type.
        kind: &'static str,
    },
    /// Program header whose file size is above its memory size.
    #[error("program header {index}: p_filesz {file_size:#x} is above p_memsz {memory_size:#x}")]
    FileSize {
        /// Which program header, from 0.
        index: u16,
        /// `p_filesz`, bytes.
        file_size: u32,
        /// `p_memsz`, bytes.
        memory_size: u32,
    },
    /// The segments' contents add up to more than the file.
    #[error("the p_filesz of the segments add up to {total} bytes, more than the file's {file}")]
    Shared {
        /// Sum of `p_filesz`, bytes.
        total: u64,
        /// Length of the file, bytes.
        file: u64,
    },
    /// `.surety.methods` is not text.
    #[error("section .surety.methods at file offset {offset:#x} is not UTF-8 (first at byte {at})")]
    Methods {
        /// File offset of the section, bytes.
        offset: u64,
        /// Offset of the first wrong byte in it.
        at: u64,
    },
    /// The segments do not make a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PF_X: u32 = 1;
const PROGRAM_HEADER_BYTES: u16 = 32;
const SECTION_HEADER_BYTES: u16 = 40;
/// RVC, float ABI (two bits), RVE.
const REFUSED_FLAGS: u32 = 0x1 | 0x6 | 0x8;
/// `e_phnum` when the number is kept elsewhere.
const PN_XNUM: u16 = 0xffff;

struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    fn bytes(&self, offset: u64, size: u64, what: &'static str) -> Result<&'a [u8], ElfError> {
        let file = self.0.len() as u64;
        offset
            .checked_add(size)
            .and_then(|end| self.0.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?))
            .ok_or(ElfError::Truncated {
                what,
                offset,
                size,
                file,
            })
    }

    fn number<const N: usize>(&self, offset: u64, what: &'static str) -> Result<[u8; N], ElfError> {
        let mut field = [0; N];
        field.copy_from_slice(self.bytes(offset, N as u64, what)?);
        Ok(field)
    }

    fn half(&self, offset: u64, what: &'static str) -> Result<u16, ElfError> {
        self.number(offset, what).map(u16::from_le_bytes)
    }

    fn word(&self, offset: u64, what: &'static str) -> Result<u32, ElfError> {
        self.number(offset, what).map(u32::from_le_bytes)
    }
}

fn check(
    field: &'static str,
    offset: u64,
    found: impl Into<u64>,
    supported: bool,
    expected: &'static str,
) -> Result<(), ElfError> {
    if supported {
        Ok(())
    } else {
        Err(ElfError::Field {
            field,
            offset,
            found: found.into(),
            expected,
        })
    }
}

impl Program {
    /// Loads an ELF file.
    ///
    /// Never panics, and uses memory in proportion to the file (and to 1/256 of the data memory it asks for).
    pub fn from_elf(file: &[u8]) -> Result<Self, ElfError> {
        let elf = File(file);
        let magic = elf.number::<4>(0, "ELF magic")?;
        check(
            "magic",
            0,
            u32::from_be_bytes(magic),
            magic == *b"\x7fELF",
            "0x7f454c46 (an ELF file)",
        )?;
        let [class, data, version] = elf.number(4, "e_ident")?;
        check("EI_CLASS", 4, class, class == 1, "1 (32-bit)")?;
        check("EI_DATA", 5, data, data == 1, "1 (little-endian)")?;
        check("EI_VERSION", 6, version, version == 1, "1")?;
        let kind = elf.half(16, "e_type")?;
        check(
            "e_type",
            16,
            kind,
            kind == 2,
            "2 (ET_EXEC; link without position independence)",
        )?;
        let machine = elf.half(18, "e_machine")?;
        check("e_machine", 18, machine, machine == 243, "0xf3 (EM_RISCV)")?;
        let version = elf.word(20, "e_version")?;
        check("e_version", 20, version, version == 1, "1")?;
        let entry = elf.word(24, "e_entry")?;
        let headers = elf.word(28, "e_phoff")?;
        let flags = elf.word(36, "e_flags")?;
        check(
            "e_flags",
            36,
            flags,
            flags & REFUSED_FLAGS == 0,
            "neither RVC (1), a float ABI (6) nor RVE (8): build for rv32im, ilp32",
        )?;
        let header_size = elf.half(42, "e_phentsize")?;
        let header_count = elf.half(44, "e_phnum")?;
        check(
            "e_phnum",
            44,
            header_count,
            header_count != PN_XNUM,
            "fewer than 65,535 program headers",
        )?;
        if header_count > 0 {
            check(
                "e_phentsize",
                42,
                header_size,
                header_size == PROGRAM_HEADER_BYTES,
                "32",
            )?;
        }

        let mut segments = Vec::new();
        let mut total = 0u64;
        for index in 0..header_count {
            let at = u64::from(headers) + u64::from(index) * u64::from(PROGRAM_HEADER_BYTES);
            let header = elf.number::<32>(at, "program header")?;
            let (words, _) = header.as_chunks::<4>();
            let [kind, offset, address, _, file_size, memory_size, flags, _] =
                core::array::from_fn(|i| words.get(i).map_or(0, |word| u32::from_le_bytes(*word)));
            match kind {
                PT_DYNAMIC => {
                    return Err(ElfError::Unsupported {
                        index,
                        kind: "PT_DYNAMIC",
                    });
                }
                PT_INTERP => {
                    return Err(ElfError::Unsupported {
                        index,
                        kind: "PT_INTERP",
                    });
                }
                PT_LOAD if memory_size > 0 => {
                    if file_size > memory_size {
                        return Err(ElfError::FileSize {
                            index,
                            file_size,
                            memory_size,
                        });
                    }
                    let bytes = elf.bytes(offset.into(), file_size.into(), "segment")?;
                    total += u64::from(file_size);
                    segments.push(Segment {
                        address,
                        bytes,
                        size: memory_size,
                        executable: flags & PF_X != 0,
                    });
                }
                _ => {}
            }
        }
        // Otherwise a small file that gives the same bytes many times over could fill 4 GiB.
        if total > file.len() as u64 {
            return Err(ElfError::Shared {
                total,
                file: file.len() as u64,
            });
        }
        Ok(Program::new(&segments, entry, methods(&elf)?)?)
    }
}

/// The lines of `.surety.methods`. A section table that cannot be read counts as none: sections are ignored.
fn methods(elf: &File<'_>) -> Result<Vec<String>, ElfError> {
    let Some((offset, text)) = find_methods(elf) else {
        return Ok(Vec::new());
    };
    let text = core::str::from_utf8(text).map_err(|error| ElfError::Methods {
        offset: offset.into(),
        at: error.valid_up_to() as u64,
    })?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(ToString::to_string)
        .collect())
}

fn find_methods<'a>(elf: &File<'a>) -> Option<(u32, &'a [u8])> {
    let headers = elf.word(32, "e_shoff").ok()?;
    let (size, count, names) = (
        elf.half(46, "e_shentsize").ok()?,
        elf.half(48, "e_shnum").ok()?,
        elf.half(50, "e_shstrndx").ok()?,
    );
    if headers == 0 || size != SECTION_HEADER_BYTES {
        return None;
    }
    let field = |index: u16, field: u64| {
        let at = u64::from(headers) + u64::from(index) * u64::from(SECTION_HEADER_BYTES) + field;
        elf.word(at, "section header").ok()
    };
    let content = |index: u16| {
        let (offset, size) = (field(index, 16)?, field(index, 20)?);
        Some((offset, elf.bytes(offset.into(), size.into(), "section").ok()?))
    };
    let (_, names) = content(names)?;
    let name = |index: u16| names.get(field(index, 0)? as usize..);
    (0..count)
        .find(|index| name(*index).is_some_and(|name| name.starts_with(b".surety.methods\0")))
        .and_then(content)
}
