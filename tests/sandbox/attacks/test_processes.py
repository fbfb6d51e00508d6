"""Processes and signals: a run ends when its main process does, whatever it started, and reaches nobody else."""

import asyncio
import time

import pytest

from services.runner.sandbox.box import EndedBy
from tests.sandbox.attacks.attacked import Attacked, descendants
from tests.sandbox.boxes import MIB

FORKS = """
import os
made = 0
try:
    while True:
        if os.fork() == 0: os.read(0, 1) if False else __import__('time').sleep(60)
        made += 1
except OSError as e: print(made, e.strerror)
"""
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for n in (1, 2, 3, 15, 20, 21, 22): signal.signal(n, signal.SIG_IGN)
        {streams}
        time.sleep(3600)
    os._exit(0)
"""
STUBBORN = """
import signal, time
for n in signal.valid_signals():
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
"""


async def test_a_fork_bomb_stops_at_the_limit_and_hurts_no_neighbour(strict: Attacked) -> None:
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    bombs = [asyncio.create_task(strict.end(bomb, timeout_seconds=1)) for _ in range(2)]
    neighbours = [await strict.says(f"print({number})") for number in range(10)]
    assert neighbours == [str(number) for number in range(10)]
    assert {(await end).ended_by for end in bombs} <= {EndedBy.TIMEOUT, EndedBy.CPU_TIME, EndedBy.MEMORY}


async def test_children_are_as_many_as_allowed(strict: Attacked) -> None:
    assert await strict.says(FORKS, processes=10) == "9 Resource temporarily unavailable"


async def test_threads_are_as_many_as_allowed(box: Attacked) -> None:
    code = (
        "import threading, time\nn = 0\ntry:\n while True:\n"
        "  threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); n += 1\nexcept RuntimeError: print(n)"
    )
    # Without namespaces and cgroups the kernel counts those of all boxes together: of two slots and one to spare.
    counted = 1 if box.level == "strict" or box.counts_processes else 3
    assert int(await box.says(code, processes=10)) <= (10 + 1) * counted


@pytest.mark.parametrize("module", ["subprocess", "multiprocessing"])
async def test_children_by_libraries_are_as_many_as_allowed(module: str, strict: Attacked) -> None:
    start = {
        "subprocess": "subprocess.Popen(['sleep', '60'])",
        "multiprocessing": "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
    }[module]
    code = (
        f"import os, time, {module}\nn = 0\ntry:\n while True: {start}; n += 1\nexcept OSError: print(n)\nos._exit(0)"
    )
    assert int((await strict.says(code, processes=10)).splitlines()[-1]) <= 10


async def test_no_child_and_no_program_can_be_started(restricted: Attacked) -> None:
    await restricted.refuses(
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/sh', ['sh'])",
        "os.execv(sys.executable, ['python3'])",
        "call('vfork')",
        "call('clone', 17, 0, 0, 0, 0)",
        "call('clone3', b'\\0' * 64, 64)",
        "call('execveat', 0, b'', 0, 0, 0x1000)",
        "__import__('subprocess').run(['true'])",
        stdin=b"#!/bin/sh\n",
    )


@pytest.mark.parametrize("streams", ["", "os.close(0); os.close(1); os.close(2)", "os.kill(os.getpid(), 19)"])
async def test_a_daemon_dies_with_its_run(streams: str, strict: Attacked) -> None:
    started = time.monotonic()
    assert await strict.says(DAEMON.format(streams=streams)) == ""
    assert time.monotonic() - started < 2


async def test_many_daemons_die_with_their_run(strict: Attacked) -> None:
    code = STUBBORN + "import os\nfor _ in range(20):\n if os.fork() == 0: os.setsid(); time.sleep(3600)\nprint('main')"
    # Without cgroups each of them counts with all the memory that it shares with the others.
    assert await strict.says(code, memory_bytes=512 * MIB) == "main"


async def test_children_that_spin_die_with_their_parent_and_count(strict: Attacked) -> None:
    code = (
        "import os, time\nfor _ in range(15):\n if os.fork() == 0:\n  while True: pass\n"
        "time.sleep(0.5)\nprint(time.process_time() < 0.2)"
    )
    end = await strict.end(code, memory_bytes=512 * MIB)
    assert (end.exit_code, end.stdout.data) == (0, b"True\n")
    assert end.cpu_seconds > 0.1


async def test_cpu_time_is_that_of_all_processes(strict: Attacked) -> None:
    hide = "import os\nif os.fork() == 0:\n if os.fork() == 0:\n  while True: pass\n os._exit(0)\nos.wait()\n"
    end = await strict.end(f"{hide}{hide}import time; time.sleep(60)", cpu_seconds=0.5, timeout_seconds=10)
    assert end.ended_by is EndedBy.CPU_TIME
    assert end.cpu_seconds < 2


async def test_who_ignores_every_signal_is_killed(box: Attacked) -> None:
    end = await box.end(f"{STUBBORN}\nwhile True: pass", timeout_seconds=0.3)
    assert (end.ended_by, end.exit_code) == (EndedBy.TIMEOUT, None)
    assert end.wall_seconds < 1.3


async def test_signals_reach_nobody_else(box: Attacked) -> None:
    runners = descendants()
    code = (
        "import os, signal\nfor pid in (os.getppid(), 1, 0, -1):\n for n in (9, 19, 2, 15, 11):\n"
        "  if pid in (0, -1) and n != 19: continue\n"
        "  try: os.kill(pid, n) if pid > 0 else None\n  except OSError: pass\nprint('alive')"
    )
    assert await box.says(code) == "alive"
    assert len(runners & descendants()) >= len(runners) - 2 * 2


@pytest.mark.parametrize("target", [-1, 0])
async def test_a_signal_to_all_reaches_its_own_only(target: int, strict: Attacked) -> None:
    neighbour = asyncio.create_task(strict.says("import time; time.sleep(0.5); print('unhurt')"))
    code = f"import os, time\nif os.fork() == 0: time.sleep(60)\nos.kill({target}, 9)\nprint(os.wait()[1])"
    end = await strict.end(code)
    assert (end.exit_code, end.stdout.data) in {(0, b"9\n"), (137, b"")}
    assert await neighbour == "unhurt"


async def test_no_number_names_a_foreign_process(box: Attacked) -> None:
    code = (
        "import os, signal\nfor pid in range(1, 40000):\n if pid == os.getpid(): continue\n"
        " for ask in (lambda: os.kill(pid, 0), lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0),\n"
        "             lambda: os.kill(-pid, 0) if pid > 1 else 1 / 0):\n"
        "  try: ask(); print(pid)\n  except (OSError, ZeroDivisionError): pass"
    )
    assert await box.says(code) == ""


async def test_no_process_can_be_looked_into_or_changed(box: Attacked) -> None:
    pids = ("1", "(os.getppid() or 1)", "(os.getpid() - 1)", "max(1, os.getpid() - 2)")
    await box.refuses(
        *[
            expression.replace("PID", pid)
            for pid in pids
            for expression in (
                "call('ptrace', 16, PID, 0, 0)",
                "call('ptrace', 0x4206, PID, 0, 0)",
                "call('process_vm_readv', PID, b'\\0' * 16, 1, b'\\0' * 16, 1, 0)",
                "call('process_vm_writev', PID, b'\\0' * 16, 1, b'\\0' * 16, 1, 0)",
                "call('kcmp', PID, PID, 0, 0, 0)",
                "call('move_pages', PID, 0, 0, 0, 0, 0)",
                "call('migrate_pages', PID, 0, 0, 0)",
                "call('sched_setaffinity', PID, 8, b'\\1' + b'\\0' * 7)",
                "call('sched_setscheduler', PID, 3, b'\\0' * 8)",
                "call('sched_setattr', PID, b'\\0' * 48, 0)",
                "call('ioprio_set', 1, PID, 0)",
                "os.setpriority(os.PRIO_PROCESS, PID, 10)",
                "resource.prlimit(PID, resource.RLIMIT_NOFILE, (10, 10))",
                "call('get_robust_list', PID, b'\\0' * 8, b'\\0' * 8)",
            )
        ],
        "call('ptrace', 0, 0, 0, 0)",
        "call('pidfd_getfd', 3, 0, 0)",
        "call('process_madvise', 3, 0, 0, 0, 0)",
        "call('process_mrelease', 3, 0)",
    )


async def test_the_first_process_cannot_be_ended_from_inside(strict: Attacked) -> None:
    code = (
        "import os, signal, time\nfor n in signal.valid_signals():\n try: os.kill(1, n)\n except OSError: pass\n"
        "try: signal.pidfd_send_signal(os.pidfd_open(1), 9)\nexcept OSError: pass\ntime.sleep(0.2); print('alive')"
    )
    assert await strict.says(code) == "alive"


ENDS = {
    "os._exit(0)": 0,
    "os._exit(255)": 255,
    "os.abort()": 134,
    "os.kill(os.getpid(), 11)": 139,
    "os.kill(os.getpid(), 9)": 137,
    "os.kill(os.getpid(), 24)": None,
    "__import__('ctypes').string_at(0)": 139,
    "sys.exit(152)": 152,
    "sys.exit(137)": 137,
    "sys.setrecursionlimit(10**9); f = lambda x: repr(x); a = []\nfor _ in range(10**6): a = [a]\nrepr(a)": 139,
}


async def test_each_end_is_told_from_the_others(box: Attacked) -> None:
    ends = await asyncio.gather(*(box.end(f"import os, sys\n{code}") for code in ENDS))
    assert [end.exit_code for end in ends] == list(ENDS.values())
    assert [end.ended_by is EndedBy.EXIT for end in ends] == [code is not None for code in ENDS.values()]


async def test_a_stopped_run_is_ended(box: Attacked) -> None:
    end = await box.end("import os; os.kill(os.getpid(), 19)", timeout_seconds=0.3)
    assert end.ended_by is EndedBy.TIMEOUT


async def test_grandchildren_that_hold_the_output_do_not_hold_the_end(strict: Attacked) -> None:
    code = "import os, time\nfor _ in range(5):\n if os.fork() == 0:\n  os.setsid(); time.sleep(60)\nprint('said')"
    end = await strict.end(code)
    assert (end.stdout.data, end.exit_code) == (b"said\n", 0)
    assert end.wall_seconds < 5


async def test_a_program_of_its_own_stays_in_the_box(strict: Attacked) -> None:
    code = (
        "import os, subprocess, sys\nprint(subprocess.run(['sh', '-c', 'cat /etc/shadow; echo $PPID; ls /proc /root/*; kill -9 1'],"
        " capture_output=True).stdout)\n"
        "open('a', 'wb').write(open('/bin/echo', 'rb').read()); os.chmod('a', 0o755)\n"
        "print(subprocess.run(['./a', 'own'], capture_output=True).stdout)"
    )
    said = await strict.says(code)
    assert "root:" not in said
    assert said.endswith("b'own\\n'")


async def test_kinds_of_children_that_escape_are_refused(strict: Attacked) -> None:
    new = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    await strict.refuses(
        *[f"call('clone', {flag | 17}, 0, 0, 0, 0)" for flag in (*new, 0x8000, 0x8000 | 0x10000000)],
        *[f"call('clone', {flag | 17 | 1 << 40}, 0, 0, 0, 0)" for flag in new],
        "call('clone3', struct.pack('11Q', 0x10000000, *[0] * 10), 88)",
    )
