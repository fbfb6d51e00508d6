"""Runs main.py in the interpreter that is already there, so that the code cannot tell it from `python3 main.py`.

Run in the process that submitted code has to itself; what it does to the interpreter goes away with the process.
Promises: the code is compiled here, inside the box; tracebacks show the code's own lines and none of ours; exit codes,
atexit, threads, `__del__` and unflushed output are as when CPython ends a program.
"""

import atexit
import gc
import os
import signal
import sys
from types import ModuleType
from typing import NoReturn

from services.runner.sandbox.inside.plan import JobPlan

OURS = "services"
NAME = "main.py"
FAILED, FLUSH_FAILED = 1, 120

_main = ModuleType("__main__")


def stand_by() -> None:
    """Once in a zygote, so that it costs no run anything: let its interpreter look as main.py will see it."""
    for name in [name for name in sys.modules if name.split(".")[0] == OURS]:
        del sys.modules[name]
    sys.argv[:] = [NAME]
    sys.orig_argv[:] = [sys.executable, NAME]
    _main.__dict__.update(__builtins__=sys.modules["builtins"], __cached__=None)
    sys.modules["__main__"] = _main
    os.environ.clear()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def run_python(job: JobPlan) -> NoReturn:
    """Run main.py as the main program, and end the process with its exit code."""
    # What assigning to os.environ does, without the Python code in between.
    known = os.environ._data  # type: ignore[attr-defined] # noqa: SLF001
    for name, value in job.env.items():
        known[name.encode()] = value.encode()
        os.putenv(name, value)
    interrupted = False
    code = 0
    try:
        _execute(job.work)
    except BaseException as error:  # noqa: BLE001 - whatever ends the code, it ends as CPython would end it
        interrupted = isinstance(error, KeyboardInterrupt)
        code = _ended_by(error)
    code = _finish(code)
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def _execute(work: str) -> None:
    path = f"{work}/{NAME}"
    sys.path[0] = work
    _main.__file__ = path
    fd = os.open(path, os.O_RDONLY)
    try:
        source = os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    exec(compile(source, path, "exec", dont_inherit=True), _main.__dict__)  # noqa: S102 - this is the box


def _ended_by(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return _exit_code(error.code)
    # The two frames above the code's own are ours; code that does not compile has none of its own.
    trace = error.__traceback__
    for _ours in range(2):
        trace = trace.tb_next if trace else None
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    return FAILED


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stdout.flush()
    print(code, file=sys.stderr)  # noqa: T201 - as sys.exit("text") does
    return FAILED


def _finish(code: int) -> int:
    if threading := sys.modules.get("threading"):
        threading._shutdown()  # noqa: SLF001 - as the interpreter itself waits for threads
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does after that
    _main.__dict__.clear()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            code = FLUSH_FAILED
    return code
