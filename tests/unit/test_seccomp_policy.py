"""What the filters say about calls, on both machines, by running their programs as the kernel would."""

import errno
import struct
from typing import NamedTuple

import pytest

from services.runner.sandbox.inside.bpf_program import IF_AT_LEAST, IF_EQUAL, RETURN, BpfProgram
from services.runner.sandbox.inside.seccomp import ALLOW, ERROR, KILL_PROCESS, Filter, compile_policy
from services.runner.sandbox.inside.syscall_numbers import MACHINES, numbers_on
from services.runner.sandbox.inside.syscall_policy import restricted, strict
from services.runner.sandbox.inside.syscall_rule import WHOLE, Check, Policy, when

PID = 4711
HIGH = 0xABCD_0000_0000_0000
EPERM, ENOSYS, EINVAL, ENOTSUP = (ERROR | n for n in (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP))
POLICIES = {"strict": strict(unix_sockets=True), "no-sockets": strict(unix_sockets=False), "restricted": restricted()}
REFUSED = """ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp process_madvise process_mrelease mount umount2
    pivot_root fsopen fsmount open_tree move_mount mount_setattr fspick fsconfig unshare setns keyctl add_key
    request_key bpf perf_event_open userfaultfd fanotify_init memfd_create memfd_secret shmget shmat semget msgget
    mq_open chroot setuid setgid setresuid setresgid setgroups capset name_to_handle_at open_by_handle_at quotactl
    swapon reboot init_module finit_module delete_module kexec_load acct syslog mlock mlock2 mlockall sched_setaffinity
    sched_setscheduler sched_setattr ioprio_set seccomp landlock_restrict_self inotify_init1
    settimeofday clock_settime adjtimex clock_adjtime sethostname vhangup io_setup move_pages set_mempolicy
    sync syncfs
"""
I386, ARM = 0x4000_0003, 0x4000_0028


def judged(program: bytes, data: bytes) -> int:
    """What a filter returns for a `struct seccomp_data`."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = taken = 0
    while True:
        code, then, otherwise, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (taken,) = struct.unpack_from("=I", data, value)
            case 0x54:
                taken &= value
            case 0x05:
                at += value
            case 0x15:
                at += then if taken == value else otherwise
            case 0x35:
                at += then if taken >= value else otherwise
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {code:#x}")


class Guard(NamedTuple):
    """A filter as it is once loaded, on one machine."""

    machine: str
    program: bytes

    def says(self, name: str, *arguments: int) -> int:
        """The verdict on a call by name."""
        return self.says_of(numbers_on(self.machine)[name], *arguments)

    def says_of(self, number: int, *arguments: int, arch: int | None = None) -> int:
        """The verdict on a call by number."""
        padded = [*arguments, *[0] * (6 - len(arguments))]
        words = [argument & WHOLE for argument in padded]
        architecture = MACHINES[self.machine].audit_arch if arch is None else arch
        return judged(self.program, struct.pack("=IIQ6Q", number & 0xFFFF_FFFF, architecture, 0, *words))


def guard(level: str, machine: str) -> Guard:
    """The filter of a level with the process's own number filled in."""
    compiled = compile_policy(POLICIES[level], machine)
    return Guard(machine, with_pid(compiled))


def with_pid(compiled: Filter) -> bytes:
    """The program as `load` hands it to the kernel."""
    program = bytearray(compiled.program)
    for place in compiled.own_pid_at:
        struct.pack_into("=I", program, place * 8 + 4, PID)
    return bytes(program)


GUARDS = {(level, machine): guard(level, machine) for level in POLICIES for machine in MACHINES}


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each machine in turn."""
    return str(request.param)


@pytest.fixture
def in_strict(machine: str) -> Guard:
    """The strict level's filter."""
    return GUARDS["strict", machine]


@pytest.fixture
def in_restricted(machine: str) -> Guard:
    """The restricted level's filter."""
    return GUARDS["restricted", machine]


@pytest.fixture(params=POLICIES)
def anywhere(request: pytest.FixtureRequest, machine: str) -> Guard:
    """Every filter."""
    return GUARDS[request.param, machine]


@pytest.mark.parametrize("level", POLICIES)
def test_every_number_gets_its_policys_verdict(level: str, machine: str) -> None:
    policy, judge = POLICIES[level], GUARDS[level, machine]
    names = {number: name for name, number in numbers_on(machine).items()}
    for number in range(600):
        name = names.get(number, "")
        if name in policy.rules:
            continue
        unknown = ENOSYS if number > max(names) else EPERM
        refused = ERROR | policy.answers[name] if name in policy.answers else unknown
        assert judge.says_of(number) == (ALLOW if name in policy.allowed else refused), (number, name)


@pytest.mark.parametrize("name", ["execve", "fork", "chmod", "utime", "pidfd_open", "socket", "bind"])
def test_what_only_strict_may(name: str) -> None:
    assert GUARDS["strict", "x86_64"].says(name, 1) == ALLOW
    assert GUARDS["restricted", "x86_64"].says(name, 1) == EPERM


@pytest.mark.parametrize("name", REFUSED.split())
def test_refused_everywhere(anywhere: Guard, name: str) -> None:
    for first in (0, 1, PID, WHOLE):
        assert anywhere.says(name, first) == EPERM


@pytest.mark.parametrize("name", ["clone3", "openat2", "io_uring_setup", "io_uring_enter", "statmount", "mseal"])
def test_said_not_to_be_there(anywhere: Guard, name: str) -> None:
    assert anywhere.says(name) == ENOSYS


def test_attributes_are_said_to_have_no_place(anywhere: Guard) -> None:
    assert {anywhere.says(name) for name in ("setxattr", "lsetxattr", "fsetxattr", "fremovexattr")} == {ENOTSUP}
    assert anywhere.says("getxattr") == anywhere.says("flistxattr") == ALLOW


def test_splice_says_to_read_and_write_instead(anywhere: Guard) -> None:
    assert {anywhere.says(name) for name in ("splice", "tee", "vmsplice")} == {EINVAL}


@pytest.mark.parametrize("arch", [0, I386, ARM, 0xC000_00F3, 0xFFFF_FFFF])
def test_a_foreign_architecture_kills(anywhere: Guard, arch: int) -> None:
    assert anywhere.says_of(20, arch=arch) == KILL_PROCESS
    others = [other.audit_arch for other in MACHINES.values() if other.name != anywhere.machine]
    assert {anywhere.says_of(0, arch=other) for other in others} == {KILL_PROCESS}


@pytest.mark.parametrize("number", [0x4000_0000, 0x4000_0001, 0x4000_0208, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_x32_kills_where_there_is_one(anywhere: Guard, number: int) -> None:
    assert anywhere.says_of(number) == (KILL_PROCESS if anywhere.machine == "x86_64" else ENOSYS)


@pytest.mark.parametrize("number", [470, 512, 547, 1000, 0x3FFF_FFFF])
def test_what_is_newer_than_the_table_is_not_there(anywhere: Guard, number: int) -> None:
    assert anywhere.says_of(number) == ENOSYS


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000])
def test_no_new_namespaces_nor_siblings(anywhere: Guard, flag: int) -> None:
    for others in (0, 17, 0x10000, 0x3D0F00, HIGH):
        assert anywhere.says("clone", flag | others) == EPERM


def test_threads_everywhere_and_children_only_in_strict(in_strict: Guard, in_restricted: Guard) -> None:
    thread, fork, vfork, pidfd = 0x3D0F00, 0x1200011, 0x4111, 0x1011
    assert [in_strict.says("clone", flags) for flags in (thread, fork, vfork, pidfd)] == [ALLOW] * 4
    assert [in_restricted.says("clone", flags) for flags in (thread, fork, vfork, pidfd)] == [ALLOW, *[EPERM] * 3]


@pytest.mark.parametrize("command", [0x5412, 0x541C, 0x540E, 0x5423, 0x5402, 0x8912, 0xC020660B, 0x5452])
def test_ioctls_that_are_not_listed(anywhere: Guard, command: int) -> None:
    for high in (0, HIGH, 1 << 32, 0xFFFF_FFFF << 32):
        assert anywhere.says("ioctl", 0, command | high) == EPERM


@pytest.mark.parametrize("command", [0x5401, 0x541B, 0x5421, 0x5451, 0x5450, 0x5413, 0x540F, 0x802C542A])
def test_ioctls_that_are_listed(anywhere: Guard, command: int) -> None:
    assert anywhere.says("ioctl", 0, command) == ALLOW
    assert anywhere.says("ioctl", 0, command | HIGH) == ALLOW, "the kernel drops the high half"


@pytest.mark.parametrize("option", [1, 8, 22, 24, 28, 29, 35, 36, 40, 47, 53, 59, 62, 0x59616D61])
def test_prctls_that_are_not_listed(anywhere: Guard, option: int) -> None:
    assert anywhere.says("prctl", option) == anywhere.says("prctl", option | HIGH) == EPERM


def test_a_process_may_hide_itself_and_never_show_itself_again(anywhere: Guard) -> None:
    assert anywhere.says("prctl", 4, 0) == ALLOW
    assert anywhere.says("prctl", 4, 1) == anywhere.says("prctl", 4, 2) == EPERM


@pytest.mark.parametrize("option", [3, 15, 16, 21, 38, 39, 0x53564D41])
def test_prctls_that_are_listed(anywhere: Guard, option: int) -> None:
    assert anywhere.says("prctl", option) == ALLOW


@pytest.mark.parametrize("command", [8, 10, 15, 1024, 1026, 1031, 1033])
def test_fcntl_hands_out_no_signals_leases_or_big_pipes(anywhere: Guard, command: int) -> None:
    assert anywhere.says("fcntl", 0, command) == EPERM
    assert anywhere.says("fcntl", 0, 1030) == anywhere.says("fcntl", 0, 6) == ALLOW


@pytest.mark.parametrize("pid", [1, PID, PID + 1, 0xFFFF_FFFF])
def test_limits_and_priority_only_of_itself(anywhere: Guard, pid: int) -> None:
    assert anywhere.says("prlimit64", 0) == anywhere.says("setpriority", 0, 0) == ALLOW
    assert anywhere.says("prlimit64", pid) == anywhere.says("setpriority", 0, pid) == EPERM
    assert anywhere.says("setpriority", 1, 0) == anywhere.says("setpriority", 2, 0) == EPERM


@pytest.mark.parametrize("name", ["kill", "tgkill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"])
@pytest.mark.parametrize("pid", [0, 1, PID + 1, 0xFFFF_FFFF, -PID])
def test_restricted_signals_only_itself(in_restricted: Guard, in_strict: Guard, name: str, pid: int) -> None:
    assert in_restricted.says(name, pid, 9) == EPERM
    assert in_restricted.says(name, PID, 9) == ALLOW
    assert in_strict.says(name, pid, 9) == ALLOW


def test_restricted_asks_only_about_itself(in_restricted: Guard) -> None:
    for name, refusal in {"sched_getaffinity": ENOSYS, "getpgid": EPERM, "getsid": EPERM}.items():
        assert [in_restricted.says(name, pid) for pid in (0, PID, 1)] == [ALLOW, ALLOW, refusal]
    others_clock = ~1 << 3 | 2
    assert in_restricted.says("clock_gettime", others_clock) == EPERM
    assert in_restricted.says("clock_gettime", 1) == ALLOW


def test_personality_is_only_asked(anywhere: Guard) -> None:
    assert anywhere.says("personality", 0xFFFF_FFFF) == anywhere.says("personality", WHOLE) == ALLOW
    assert anywhere.says("personality", 0x0040000) == anywhere.says("personality", 0) == EPERM


@pytest.mark.parametrize("family", [0, 2, 3, 10, 16, 17, 31, 38, 40, 44])
def test_no_socket_reaches_out(anywhere: Guard, family: int) -> None:
    assert anywhere.says("socket", family, 1) == anywhere.says("socketpair", family, 1) == EPERM


def test_unix_sockets_only_where_asked(in_strict: Guard, in_restricted: Guard) -> None:
    assert in_strict.says("socket", 1, 1) == in_strict.says("connect") == in_strict.says("socketpair", 1, 2) == ALLOW
    for judge in (in_restricted, GUARDS["no-sockets", in_strict.machine]):
        assert judge.says("socket", 1, 1) == judge.says("connect") == judge.says("bind") == EPERM


def test_a_pair_that_could_send_elsewhere_is_refused(in_restricted: Guard) -> None:
    flags = 0x80800
    assert [in_restricted.says("socketpair", 1, kind | flags) for kind in (1, 5)] == [ALLOW] * 2
    assert [in_restricted.says("socketpair", 1, kind | flags) for kind in (2, 3, 4)] == [EPERM] * 3


def test_no_set_user_id_file_by_any_call(in_strict: Guard) -> None:
    create, tmpfile = 0o101, 0o20200001
    for mode in (0o4755, 0o2755, 0o6000):
        calls = [("openat", 0, 0, create, mode), ("openat", 0, 0, tmpfile, mode), ("fchmod", 0, mode)]
        calls += [("fchmodat", 0, 0, mode), ("fchmodat2", 0, 0, mode), ("mknodat", 0, 0, mode | 0o100000)]
        assert [in_strict.says(name, *arguments) for name, *arguments in calls] == [EPERM] * len(calls)
    assert in_strict.says("openat", 0, 0, create, 0o755) == in_strict.says("fchmod", 0, 0o755) == ALLOW
    assert in_strict.says("openat", 0, 0, 0, 0o6777) == ALLOW, "the mode of an open that makes nothing is noise"


def test_the_old_calls_are_no_way_round() -> None:
    judge = GUARDS["strict", "x86_64"]
    assert judge.says("open", 0, 0o101, 0o4755) == judge.says("creat", 0, 0o4755) == EPERM
    assert judge.says("chmod", 0, 0o2755) == judge.says("mknod", 0, 0o20000) == EPERM
    assert judge.says("open", 0, 0, 0o4755) == ALLOW


@pytest.mark.parametrize("kind", [0o020000, 0o060000, 0o140000, 0o040000, 0o120000])
def test_nodes_are_files_and_fifos(anywhere: Guard, kind: int) -> None:
    assert anywhere.says("mknodat", 0, 0, kind | 0o644) == EPERM
    assert anywhere.says("mknodat", 0, 0, 0o010644) == anywhere.says("mknodat", 0, 0, 0o100644) == ALLOW


def test_memory_is_ordinary_memory(anywhere: Guard) -> None:
    assert anywhere.says("mmap", 0, 4096, 7, 0x22) == ALLOW
    assert anywhere.says("mmap", 0, 4096, 3, 0x40022) == EPERM
    assert [anywhere.says("madvise", 0, 0, advice) for advice in (4, 12, 21, 100)] == [ALLOW, EPERM, EPERM, EPERM]


def test_a_pipe_is_no_mailbox_of_the_kernel(anywhere: Guard) -> None:
    assert [anywhere.says("pipe2", 0, flags) for flags in (0, 0o2004000, 0o200)] == [ALLOW, ALLOW, EPERM]


def test_renaming_leaves_no_whiteout(anywhere: Guard) -> None:
    assert [anywhere.says("renameat2", 0, 0, 0, 0, flags) for flags in (0, 1, 2, 4)] == [ALLOW] * 3 + [EPERM]


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0x1_0000_0002, ALLOW), (0x2, EPERM), (0x1_0000_0000, EPERM), (0x2_0000_0001, EPERM), (0x1_0000_0003, EPERM)],
)
def test_a_wide_argument_is_compared_whole(machine: str, value: int, verdict: int) -> None:
    policy = Policy(frozenset(), {"lseek": when(Check(1, (0x1_0000_0002, 7), WHOLE))}, {})
    judge = Guard(machine, compile_policy(policy, machine).program)
    assert judge.says("lseek", 0, value) == verdict
    assert [judge.says("lseek", 0, other) for other in (7, 7 | HIGH)] == [ALLOW, EPERM]


def test_jumps_reach_as_far_as_they_must() -> None:
    """A chain of 2000 comparisons, each of which may jump to the end."""
    program = BpfProgram()
    hit, label = program.returns(ALLOW), program.returns(KILL_PROCESS)
    for value in range(2000):
        label = program.branch(IF_EQUAL, value, hit, label)
    assembled = program.assemble(program.load(0, label))
    for value, verdict in [(0, ALLOW), (1, ALLOW), (999, ALLOW), (1999, ALLOW), (2000, KILL_PROCESS)]:
        assert judged(assembled, struct.pack("=I", value)) == verdict


def test_a_far_return_is_written_again_nearer() -> None:
    program = BpfProgram()
    first = program.returns(ALLOW)
    for value in range(300):
        program.branch(IF_AT_LEAST, value, first, first)
    assert program.returns(ALLOW) != first
    assert program.assemble(program.returns(ALLOW))[:2] == struct.pack("=H", RETURN)


@pytest.mark.parametrize("level", POLICIES)
def test_filters_are_compact(level: str, machine: str) -> None:
    compiled = compile_policy(POLICIES[level], machine)
    assert len(compiled.program) // 8 < 400
    assert bool(compiled.own_pid_at) == (level == "restricted")
