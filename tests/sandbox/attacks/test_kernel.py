"""The kernel's surface: what gives more rights, other views, or a way past the guards is refused; nothing crashes."""

import pytest

from tests.sandbox.attacks.attacked import Attacked, with_calls

ATTEMPTS = {
    "namespaces": [
        *[f"call('unshare', {1 << bit})" for bit in (7, 9, 17, 25, 26, 27, 28, 29, 30)],
        *[f"call('setns', {fd}, 0)" for fd in range(8)],
        "call('setns', os.pidfd_open(os.getpid()), 0x10000000)",
    ],
    "mounts": [
        "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
        "call('mount', b'none', b'/work', b'proc', 0, 0)",
        "call('mount', 0, b'/', 0, 0x20 | 0x1000, 0)",
        "call('umount2', b'/tmp', 2)",
        "call('umount2', b'/work', 2)",
        "call('fsopen', b'tmpfs', 0)",
        "call('fsmount', 3, 0, 0)",
        "call('fsconfig', 3, 0, 0, 0, 0)",
        "call('fspick', -100, b'/', 0)",
        "call('open_tree', -100, b'/', 1)",
        "call('move_mount', -100, b'/', -100, b'/tmp', 0)",
        "call('mount_setattr', -100, b'/', 0, b'\\0' * 32, 32)",
        "call('swapon', b'a', 0)",
        "call('quotactl', 0, 0, 0, 0)",
    ],
    "programs in the kernel": [
        "call('bpf', 0, b'\\0' * 64, 64)",
        "call('perf_event_open', b'\\0' * 128, 0, -1, -1, 0)",
        "call('io_uring_setup', 8, b'\\0' * 120)",
        "call('io_uring_enter', 3, 1, 0, 0, 0, 0)",
        "call('io_uring_register', 3, 0, 0, 0)",
        "call('init_module', b'', 0, b'')",
        "call('finit_module', 0, b'', 0)",
        "call('kexec_load', 0, 0, 0, 0)",
        "call('seccomp', 1, 0, b'\\0' * 16)",
        "call('prctl', 22, 2, b'\\0' * 16, 0, 0)",
        "call('landlock_create_ruleset', b'\\1' + b'\\0' * 7, 8, 0)",
        "call('fanotify_init', 0, 0)",
        "call('inotify_init1', 0)",
        "call('userfaultfd', 1)",
        "call('io_setup', 8, b'\\0' * 8)",
    ],
    "rights": [
        "os.setuid(0)",
        "os.setresuid(0, 0, 0)",
        "os.setgid(0)",
        "os.setgroups([])",
        "call('setfsuid', 0)",
        "call('capset', struct.pack('Ii', 0x20080522, 0), b'\\xff' * 24)",
        "call('prctl', 1, 0, 0, 0, 0)",
        "call('prctl', 4, 1, 0, 0, 0)",
        "call('prctl', 36, 1, 0, 0, 0)",
        "call('prctl', 8, 1, 0, 0, 0)",
        "call('prctl', 28, 0x2f, 0, 0, 0)",
        "call('prctl', 35, 9, 3, 0, 0)",
        "call('prctl', 47, 2, 0, 0, 0)",
        "call('prctl', 0x59616d61, -1, 0, 0, 0)",
        "call('prctl', 4 | 1 << 32, 1, 0, 0, 0)",
    ],
    "keys": [
        "call('add_key', b'user', b'a', b'secret', 6, -3)",
        "call('add_key', b'user', b'a', b'secret', 6, -4)",
        "call('request_key', b'user', b'a', 0, -3)",
        "call('keyctl', 1, 0)",
        "call('keyctl', 0, -4, 1)",
    ],
    "the machine": [
        "call('reboot', 0xfee1dead, 672274793, 0x4321fedc, 0)",
        "call('syslog', 3, b'\\0' * 100, 100)",
        "call('acct', b'a')",
        "call('settimeofday', b'\\0' * 16, 0)",
        "call('clock_settime', 0, b'\\0' * 16)",
        "call('adjtimex', b'\\1' * 208)",
        "call('sethostname', b'a', 1)",
        "call('iopl', 3)",
        "call('ioperm', 0, 10, 1)",
        "call('modify_ldt', 0, b'\\0' * 16, 16)",
        "call('personality', 0x0400000)",
        "call('personality', 0x0040000)",
        "call('vhangup')",
        "call('sync')",
        "call('syncfs', 0)",
        "call('lookup_dcookie', 0, 0, 0)",
    ],
    "terminals": [
        *[
            f"call('ioctl', {fd}, {command | high}, b'x')"
            for fd in range(3)
            for command in (0x5412, 0x541C, 0x540E, 0x5402, 0x5404)
            for high in (0, 1 << 32, 1 << 63)
        ],
        "os.open('/dev/tty', os.O_RDWR)",
        "__import__('fcntl').ioctl(1, 0x8912)",
        "__import__('fcntl').fcntl(1, 8, os.getpid())",
        "__import__('fcntl').fcntl(1, 1026, 1)",
        "__import__('fcntl').ioctl(os.open('/dev/random', 0), 0x5203)",
    ],
}


@pytest.mark.parametrize("kind", ATTEMPTS)
async def test_no_call_gives_more(kind: str, box: Attacked) -> None:
    await box.refuses(*[attempt.replace(", -", ", -") for attempt in ATTEMPTS[kind]], open_files=256)


#: Machine code, run in memory of its own: the call by another gate, or by another machine's numbers.
GATES = {
    "int 0x80": b"\xb8\x14\x00\x00\x00\xcd\x80\xc3",
    "x32": b"\xb8\x27\x00\x00\x40\x0f\x05\xc3",
    "sysenter": b"\x48\x89\xe5\xb8\x14\x00\x00\x00\x0f\x34\xc3",
}


@pytest.mark.parametrize("gate", GATES)
async def test_no_other_gate_is_open(gate: str, box: Attacked) -> None:
    code = (
        f"import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write({GATES[gate]!r})\n"
        "print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())"
    )
    end = await box.end(code)
    assert end.exit_code in {159, 139, 132}, end
    assert end.stdout.data == b""


async def test_unknown_calls_are_not_there(box: Attacked) -> None:
    code = with_calls("print({call(number) for number in (*range(500, 1000), 100000)})")
    assert await box.says(code) == "{'ENOSYS'}"


async def test_every_call_by_a_number_with_odd_arguments_leaves_the_box_standing(box: Attacked) -> None:
    # Not: calls that end, wait or replace the process.
    code = with_calls(
        "import os, sys\nskip = {'exit', 'exit_group', 'pause', 'rt_sigreturn', 'rt_sigsuspend', 'vfork', 'fork', 'clone',"
        " 'restart_syscall', 'close_range', 'munmap', 'brk', 'mremap', 'mprotect', 'arch_prctl', 'set_robust_list', 'rseq',"
        " 'alarm', 'setitimer', 'dup2', 'dup3', 'close', 'select', 'poll', 'wait4', 'waitid', 'rt_sigtimedwait', 'madvise',"
        " 'mmap', 'set_tid_address', 'rt_sigaction', 'rt_sigprocmask', 'sigaltstack', 'kill', 'tkill', 'tgkill'}\n"
        "n = 0\nfor name in N:\n if name in skip: continue\n"
        " for a in ((-1,) * 6, (0,) * 6, (1 << 63, 1, 2, 3, 4, 5)):\n"
        "  if 'futex' in name or 'epoll' in name or name in ('ppoll', 'pselect6', 'read', 'nanosleep'): continue\n"
        "  call(name, *a); n += 1\nos.write(2, str(n).encode())"
    )
    end = await box.end(code, timeout_seconds=5)
    assert int(end.stderr.data or 0) > 500, end


async def test_a_crash_leaves_no_core(box: Attacked) -> None:
    code = (
        "import os, resource\n"
        "try: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))\nexcept (OSError, ValueError): pass\n"
        "import ctypes; ctypes.string_at(0)"
    )
    assert (await box.end(code)).exit_code == 139
    found = "import os, subprocess\npid = os.fork()\nif not pid: os.abort()\nprint(os.WCOREDUMP(os.wait()[1]), os.listdir('.'))"
    if box.level == "strict":
        assert await box.says(found) == "False ['main.py']"


async def test_it_has_no_right_and_gains_none(box: Attacked) -> None:
    await box.refuses(
        "[1] if any(call('prctl', 23, n, 0, 0, 0) == 0 and call('prctl', 47, 1, n, 0, 0) == 1 for n in range(41)) else 'E'"
    )
    code = with_calls(
        "import struct, ctypes\nd = ctypes.create_string_buffer(24)\nh = struct.pack('Ii', 0x20080522, 0)\n"
        "ctypes.CDLL(None).capget(h, d)\nprint(d.raw == bytes(24), call('prctl', 39, 0, 0, 0, 0), call('prctl', 21, 0, 0, 0, 0))"
    )
    assert await box.says(code) == "True 1 2"


async def test_it_is_nobody(strict: Attacked) -> None:
    assert await strict.says(
        "import os; print(os.getuid(), os.getgid(), os.getresuid(), os.getgroups() in ([], [65534]))"
    ) == ("65534 65534 (65534, 65534, 65534) True")
    assert (await strict.says("import os; print(os.uname().nodename)")) == "box"
