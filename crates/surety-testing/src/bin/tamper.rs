//! What an insider with root on a host does to a running container, for tests and demonstrations. Each command changes
//! one thing and leaves the service running.

#![allow(clippy::print_stdout, reason = "a program for terminals")]

use std::{
    fs,
    io::Read,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileExt, MetadataExt, PermissionsExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use nix::{
    sched::{CloneFlags, setns},
    sys::{
        memfd::{MFdFlags, memfd_create},
        ptrace,
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// change code in memory: eight bytes of padding at the end of the program's code
    Patch {
        /// process, in the host's numbering
        #[arg(long)]
        pid: i32,
        #[arg(long, value_enum, default_value = "ptrace")]
        how: How,
    },
    /// make the process map or protect memory as it never would
    Inject {
        /// process, in the host's numbering
        #[arg(long)]
        pid: i32,
        #[arg(value_enum)]
        call: Call,
    },
    /// trace the process until standard input ends
    Trace {
        /// process, in the host's numbering
        #[arg(long)]
        pid: i32,
    },
    /// run a program from memory in the container's namespaces, until it ends
    Memfd {
        /// process, in the host's numbering
        #[arg(long)]
        pid: i32,
        /// program of the host, statically linked, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<String>,
    },
    /// write a file into the container's root behind the engine's back, keeping mode and times
    Swap {
        /// process, in the host's numbering
        #[arg(long)]
        pid: i32,
        /// path in the container
        #[arg(long)]
        path: String,
        /// file of the host
        #[arg(long)]
        with: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// as a debugger
    Ptrace,
    /// through `/proc/PID/mem`
    Mem,
}

#[derive(Clone, Copy, ValueEnum)]
enum Call {
    /// anonymous memory, writable and executable
    Rwx,
    /// anonymous memory, executable
    Rx,
    /// the program's code made writable too
    Wx,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        What::Patch { pid, how } => patch(pid, how),
        What::Inject { pid, call } => inject(pid, call),
        What::Trace { pid } => trace(pid),
        What::Memfd { pid, program } => memfd(pid, &program),
        What::Swap { pid, path, with } => swap(pid, &path, &with),
    }
}

/// Begin and end of the code of the process's program.
fn code(pid: i32) -> Result<(u64, u64)> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).context("the process's program")?;
    let program = program.to_str().context("the program's path")?.to_owned();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let line = maps
        .lines()
        .find(|line| line.contains(" r-xp ") && line.ends_with(&program));
    let range = line
        .and_then(|line| line.split(' ').next())
        .context("the program's code")?;
    let (start, end) = range.split_once('-').context("a range")?;
    Ok((u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?))
}

fn patch(pid: i32, how: How) -> Result<()> {
    let (_, end) = code(pid)?;
    let address = end.checked_sub(16).context("an address")?;
    let memory = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))?;
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address)?;
    let changed = bytes.map(|byte| !byte);
    match how {
        How::Mem => memory.write_all_at(&changed, address)?,
        How::Ptrace => {
            let pid = attach(pid)?;
            ptrace::write(pid, address as usize as *mut _, i64::from_ne_bytes(changed))?;
            ptrace::detach(pid, None)?;
        }
    }
    println!("patched {address:#x} of process {pid}");
    Ok(())
}

fn attach(pid: i32) -> Result<Pid> {
    let pid = Pid::from_raw(pid);
    ptrace::attach(pid).context("attaching")?;
    match waitpid(pid, None)? {
        WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) => Ok(pid),
        other => bail!("found {other:?}, expected the process to stop"),
    }
}

/// Lets the process execute one system call, and puts everything back.
fn inject(pid: i32, call: Call) -> Result<()> {
    let (start, end) = code(pid)?;
    // On the page of the code's beginning, which is then as it was.
    let place = start as usize as *mut _;
    let pid = attach(pid)?;
    let (registers, code) = (ptrace::getregs(pid)?, ptrace::read(pid, place)?);
    const MMAP: u64 = 9;
    const MPROTECT: u64 = 10;
    let (read, write, execute) = (1, 2, 4);
    let (number, arguments) = match call {
        // MAP_PRIVATE | MAP_ANONYMOUS
        Call::Rwx => (MMAP, [0, 4_096, read | write | execute, 0x22, u64::MAX, 0]),
        Call::Rx => (MMAP, [0, 4_096, read | execute, 0x22, u64::MAX, 0]),
        Call::Wx => (
            MPROTECT,
            [
                start,
                end.checked_sub(start).context("a range")?,
                read | write | execute,
                0,
                0,
                0,
            ],
        ),
    };
    let mut with = registers;
    with.rip = start;
    // -1: the system call that it may have been in is not begun again in the middle of this one.
    with.orig_rax = u64::MAX;
    with.rax = number;
    [with.rdi, with.rsi, with.rdx, with.r10, with.r8, with.r9] = arguments;
    // syscall; int3
    let patched = (code & !0xff_ffff) | 0xcc_050f;
    ptrace::write(pid, place, patched)?;
    ptrace::setregs(pid, with)?;
    ptrace::cont(pid, None)?;
    let stopped = waitpid(pid, None)?;
    let result = ptrace::getregs(pid)?.rax;
    ptrace::write(pid, place, code)?;
    ptrace::setregs(pid, registers)?;
    ptrace::detach(pid, None)?;
    ensure!(matches!(stopped, WaitStatus::Stopped(..)), "the process {stopped:?}");
    ensure!(result < u64::MAX - 4_095, "the call failed: {}", result as i64);
    println!("{result:#x}");
    Ok(())
}

fn trace(pid: i32) -> Result<()> {
    let pid = attach(pid)?;
    ptrace::cont(pid, None)?;
    println!("tracing");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // It must stop to be let go.
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP)?;
    waitpid(pid, None)?;
    ptrace::detach(pid, None)?;
    Ok(())
}

fn memfd(pid: i32, program: &[String]) -> Result<()> {
    let (path, rest) = program.split_first().context("a program")?;
    let descriptor = memfd_create(c"tampered", MFdFlags::empty())?;
    let file = fs::File::from(descriptor);
    file.write_all_at(&fs::read(path)?, 0)?;
    let namespaces = ["ipc", "net", "uts", "pid", "mnt"].map(|name| fs::File::open(format!("/proc/{pid}/ns/{name}")));
    for namespace in namespaces {
        setns(namespace?, CloneFlags::empty())?;
    }
    // By its number, since no folder of the container has it; in the name that it would have.
    let name = Path::new(path).file_name().context("a program")?;
    let status = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg0(name)
        .args(rest)
        .status()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn swap(pid: i32, path: &str, with: &PathBuf) -> Result<()> {
    let target = PathBuf::from(format!("/proc/{pid}/root{path}"));
    let before = fs::metadata(&target)?;
    // Under another name first: a program that runs cannot be written to, but it can be replaced.
    let fresh = PathBuf::from(format!("/proc/{pid}/root{path}.fresh"));
    fs::copy(with, &fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(before.mode()))?;
    std::os::unix::fs::chown(&fresh, Some(before.uid()), Some(before.gid()))?;
    utimensat(
        nix::fcntl::AT_FDCWD,
        &fresh,
        &TimeSpec::new(before.atime(), before.atime_nsec()),
        &TimeSpec::new(before.mtime(), before.mtime_nsec()),
        UtimensatFlags::FollowSymlink,
    )?;
    fs::rename(&fresh, &target)?;
    Ok(())
}
