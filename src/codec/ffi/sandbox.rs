//! The door to the kernel: a process gives up every system call that decoding does not need (seccomp).
//!
//! What is not on the list fails with "not permitted" instead of ending the process: libraries ask for odd things
//! and can do without. The list names memory, the open socket, time and the end.

use std::io;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7FFF_0000;
const KILL: u32 = 0x8000_0000;
const NOT_PERMITTED: u32 = 0x0005_0001;
/// Where the architecture and the number of a call stand in what the filter sees.
const ARCHITECTURE_AT: u32 = 4;
const NUMBER_AT: u32 = 0;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// What may be called.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_ppoll,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

const fn step(code: u16, yes: u8, no: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: yes, jf: no, k: value }
}

/// The program of the filter.
fn filter() -> Vec<libc::sock_filter> {
    let mut program = vec![
        step(LOAD, 0, 0, ARCHITECTURE_AT),
        step(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, KILL),
        step(LOAD, 0, 0, NUMBER_AT),
    ];
    for number in CALLS.iter().filter_map(|call| u32::try_from(*call).ok()) {
        program.push(step(JUMP_EQUAL, 0, 1, number));
        program.push(step(RETURN, 0, 0, ALLOW));
    }
    program.push(step(RETURN, 0, 0, NOT_PERMITTED));
    program
}

/// Gives everything up, for good.
pub(crate) fn enter() -> io::Result<()> {
    let mut program = filter();
    let program =
        libc::sock_fprog { len: u16::try_from(program.len()).map_err(io::Error::other)?, filter: program.as_mut_ptr() };
    let failed = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: prctl reads its arguments only; the filter lives until the last call has copied it.
    unsafe {
        failed(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))?;
        failed(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        failed(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0))
    }
}

/// Processor time of this process so far, whole seconds.
pub(crate) fn processor_seconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time it is given.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if code == 0 { u64::try_from(time.tv_sec).unwrap_or(0) } else { u64::MAX }
}
