"""Which calls submitted code may make, at the two levels of isolation. Data; `seccomp.py` makes filters of it.

Both levels let a process work on files (where, the mounts and Landlock decide), memory, time, threads and its own
signals. `strict` adds child processes, exec and changing files' metadata, because namespaces confine what they reach.
`restricted` has no namespaces: other processes and files of the same user are in sight, so whatever names a process
must name this one, and what Landlock does not see is refused.

Refused everywhere by not being named: debugging other processes, mounts, namespaces, keys, BPF, performance counters,
userfaultfd, memfd, SysV and POSIX message queues, file handles, quotas, kernel asynchronous I/O, locked memory, changes
of user, scheduling and NUMA policy, the clock, modules, swap, reboot, chroot, further filters.
"""

from errno import EINVAL, ENOSYS, ENOTSUP

from services.runner.sandbox.inside.syscall_rule import OWN_PID, Check, Policy, Rule, one_of, when, without

FILES = """
    open openat creat close close_range read pread64 readv preadv preadv2 write pwrite64 writev pwritev pwritev2 lseek
    stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64
    getcwd chdir fchdir umask fcntl flock dup dup2 dup3 statfs fstatfs fsync fdatasync sync_file_range
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr fadvise64 readahead sendfile copy_file_range
    truncate ftruncate fallocate rename renameat renameat2 mkdir mkdirat rmdir unlink unlinkat
    link linkat symlink symlinkat mknod mknodat ioctl
"""
#: Landlock refuses none of these, and by path they reach every file of the same user that is in sight.
METADATA = "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat"
MEMORY = "brk mmap munmap mprotect mremap madvise msync mincore"
TIME = """
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times alarm setitimer getitimer
    timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    timerfd_create timerfd_settime timerfd_gettime
"""
SIGNALS = """
    rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn sigaltstack pause
    restart_syscall signalfd signalfd4 kill tgkill tkill rt_sigqueueinfo rt_tgsigqueueinfo
"""
WAITING = """
    select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    eventfd eventfd2 pipe pipe2 futex
"""
ITSELF = """
    exit exit_group getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups capget
    getpgrp getpgid getsid setsid setpgid uname sysinfo getrusage getrlimit setrlimit prlimit64 getpriority setpriority
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
    getcpu getrandom set_tid_address set_robust_list rseq arch_prctl prctl personality wait4 waitid clone
"""
#: A pair of connected sockets: asyncio wakes itself through one, and descriptors are handed over.
SOCKET_PAIRS = "socketpair sendto recvfrom sendmsg recvmsg shutdown getsockname getpeername getsockopt setsockopt"
CHILDREN = "fork vfork execve execveat pidfd_open pidfd_send_signal"
UNIX_SOCKETS = "socket bind connect listen accept accept4"

#: Programs take "no such call" for an older kernel, and do without. clone3 passes its flags, and openat2 its mode, in
#: memory, where a filter cannot look: so the C library uses clone.
NOT_THERE = """
    clone3 openat2 io_uring_setup io_uring_enter io_uring_register futex_waitv futex_wake futex_wait futex_requeue
    cachestat map_shadow_stack statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
    setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
"""
#: Moving pages between pipes and files is a rich source of kernel holes; on this error, programs read and write.
NO_SPLICE = "splice tee vmsplice"
#: Attributes take memory that no limit of a file system counts, and may give capabilities. Programs that copy files
#: with their attributes take this error for a file system that has none.
NO_ATTRIBUTES = "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"

CLONE_THREAD = 0x0001_0000
#: Of all kinds; besides, CLONE_PARENT: a child that is its parent's sibling.
CLONE_NEW_NAMESPACES = 0x7E02_0000
CLONE_PARENT = 0x8000
CLONE_REFUSED = CLONE_NEW_NAMESPACES | CLONE_PARENT

SET_ID_BITS = 0o6000
#: Without these flags the mode of an open says nothing, and its register may hold anything.
CREATES = 0o100 | 0o20000000
FILE_KIND, FIFO, REGULAR = 0o170000, 0o010000, 0o100000
MAP_HUGETLB = 0x4_0000
RENAME_NOREPLACE_OR_EXCHANGE = 0b11
#: Makes of a pipe the kernel's own mailbox for notifications.
O_NOTIFICATION_PIPE = 0o200

AF_UNIX, SOL_SOCKET = 1, 1
SOCKET_KIND = 0xF
STREAM, SEQPACKET = 1, 5

#: FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, and what asks whether a descriptor is a terminal: TCGETS, TCGETS2, TIOCGPGRP,
#: TIOCGWINSZ. FICLONE and FICLONERANGE: Python's copy falls back only on some errors, which the file system gives.
IOCTLS = (0x541B, 0x5421, 0x5450, 0x5451, 0x5401, 0x802C_542A, 0x540F, 0x5413, 0x4004_9409, 0x4020_940D)
#: Descriptors and their flags (0-4), locks (5-7, 36-38), duplicates (1027, 1030), the size of a pipe (1032). Not: who
#: gets signals of a descriptor, leases, notification of changes, bigger pipes.
FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1027, 1030, 1032)
PR_SET_DUMPABLE = 4
#: PR_GET_* and PR_CAPBSET_READ; PR_SET_NAME (15), PR_SET_NO_NEW_PRIVS (38), PR_PAC_RESET_KEYS (54), PR_SET_VMA. Not: a
#: signal when the parent dies, being dumped, timer slack, further filters, subreaping.
PRCTLS = (2, 3, 7, 15, 16, 21, 23, 27, 30, 37, 38, 39, 42, 51, 52, 54, 56, 64, 0x5356_4D41)
#: Base registers of thread-local storage (0x1001-0x1004), processor state (0x1021-0x1023), shadow stacks asked for.
ARCH_PRCTLS = (0x1001, 0x1002, 0x1003, 0x1004, 0x1021, 0x1022, 0x1023, 0x3001, 0x5005)
#: Not: MERGEABLE (tells one box's memory from another's by timing), PAGEOUT and COLD, HWPOISON and SOFT_OFFLINE.
MADVICE = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 24, 25, 102, 103)
#: SO_REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, LINGER, PASSCRED, RCVTIMEO, SNDTIMEO. Not: attaching filters.
SOCKET_OPTIONS = (2, 7, 8, 9, 13, 16, 20, 21)
#: Numbers beyond these name another process's clock.
CLOCKS = tuple(range(12))


def _no_set_id(mode: int) -> Rule:
    # The mounts are nosuid and nothing gains by exec; still nobody in a box needs to leave such a file anywhere.
    return when(without(mode, SET_ID_BITS))


def _opens(flags: int) -> Rule:
    return Rule(((without(flags, CREATES),), (without(flags + 1, SET_ID_BITS),)))


def _makes_node(mode: int) -> Rule:
    return when(Check(mode, (0, REGULAR, FIFO), FILE_KIND | SET_ID_BITS))


_ITSELF = (0, OWN_PID)

ALWAYS = {
    "open": _opens(1),
    "openat": _opens(2),
    "creat": _no_set_id(1),
    "mknod": _makes_node(1),
    "mknodat": _makes_node(2),
    "renameat2": when(without(4, 0xFFFF_FFFF ^ RENAME_NOREPLACE_OR_EXCHANGE)),
    "ioctl": when(one_of(1, *IOCTLS)),
    "fcntl": when(one_of(1, *FCNTLS)),
    "mmap": when(without(3, MAP_HUGETLB)),
    "pipe2": when(without(1, O_NOTIFICATION_PIPE)),
    "madvise": when(one_of(2, *MADVICE)),
    # The box's first process hides itself late (PR_SET_DUMPABLE to 0); nobody may show himself again.
    "prctl": Rule(((one_of(0, *PRCTLS),), (one_of(0, PR_SET_DUMPABLE), one_of(1, 0)))),
    "arch_prctl": when(one_of(0, *ARCH_PRCTLS)),
    "personality": when(one_of(0, 0xFFFF_FFFF)),
    "prlimit64": when(one_of(0, 0)),
    "getpriority": when(one_of(0, 0), one_of(1, 0)),
    "setpriority": when(one_of(0, 0), one_of(1, 0)),
    # A datagram socket, of a pair or not, can send to any socket that it can name.
    "socketpair": when(one_of(0, AF_UNIX), Check(1, (STREAM, SEQPACKET), SOCKET_KIND)),
    "setsockopt": when(one_of(1, SOL_SOCKET), one_of(2, *SOCKET_OPTIONS)),
}

STRICT_ONLY = {
    "chmod": _no_set_id(1),
    "fchmod": _no_set_id(1),
    "fchmodat": _no_set_id(2),
    "fchmodat2": _no_set_id(2),
    "clone": when(without(0, CLONE_REFUSED)),
}

WITH_UNIX_SOCKETS = {
    "socket": when(one_of(0, AF_UNIX)),
    "socketpair": when(one_of(0, AF_UNIX)),
}

RESTRICTED_ONLY = {
    "clone": when(Check(0, (CLONE_THREAD,), CLONE_THREAD | CLONE_REFUSED)),
    "kill": when(one_of(0, OWN_PID)),
    "tgkill": when(one_of(0, OWN_PID)),
    # Names a thread, which may be of any process.
    "tkill": when(one_of(0, OWN_PID)),
    "rt_sigqueueinfo": when(one_of(0, OWN_PID)),
    "rt_tgsigqueueinfo": when(one_of(0, OWN_PID)),
    # The C library asks about a thread's stack by its number, and goes on without on this error only.
    "sched_getaffinity": Rule(((one_of(0, *_ITSELF),),), error=ENOSYS),
    "sched_getparam": when(one_of(0, *_ITSELF)),
    "sched_getscheduler": when(one_of(0, *_ITSELF)),
    "getpgid": when(one_of(0, *_ITSELF)),
    "getsid": when(one_of(0, *_ITSELF)),
    "setpgid": when(one_of(0, *_ITSELF), one_of(1, *_ITSELF)),
    "clock_gettime": when(one_of(0, *CLOCKS)),
    "clock_getres": when(one_of(0, *CLOCKS)),
    "clock_nanosleep": when(one_of(0, *CLOCKS)),
    "timer_create": when(one_of(0, *CLOCKS)),
}

ANSWERS = {
    name: error
    for group, error in ((NOT_THERE, ENOSYS), (NO_SPLICE, EINVAL), (NO_ATTRIBUTES, ENOTSUP))
    for name in group.split()
}
BOTH = (FILES, MEMORY, TIME, SIGNALS, WAITING, ITSELF, SOCKET_PAIRS)


def strict(*, unix_sockets: bool) -> Policy:
    """For a process in namespaces of its own; `unix_sockets` only where Landlock keeps abstract ones in the box."""
    groups = (*BOTH, METADATA, CHILDREN, *([UNIX_SOCKETS] if unix_sockets else []))
    return Policy(_named(*groups), ALWAYS | STRICT_ONLY | (WITH_UNIX_SOCKETS if unix_sockets else {}), ANSWERS)


def restricted() -> Policy:
    """For a process that shares the machine's namespaces: one process, its threads, and nothing it could reach."""
    return Policy(_named(*BOTH), ALWAYS | RESTRICTED_ONLY, ANSWERS)


def _named(*groups: str) -> frozenset[str]:
    return frozenset(name for group in groups for name in group.split())
