"""Runs main.py in the interpreter that is already there, as `python3 main.py` would.

Run in the process that submitted code has to itself; what it does to the interpreter goes away with the process.
Promises: the code is compiled here, inside the box; tracebacks show the code's own lines and none of ours; exit codes,
atexit, threads, `__del__` and unflushed output are as when CPython ends a program. What shows is that a few calls of
ours stand below the code on the stack.
"""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import NoReturn
from weakref import ref

from services.runner.sandbox.inside.plan import JobPlan

OURS = "services"
NAME = "main.py"
FAILED, FLUSH_FAILED = 1, 120
#: What an exit code may be in C; what is beyond counts as -1.
LARGEST_CODE = 2**63
CODE_BITS = 0xFF
#: Where the interpreter leaves the error that ended a program, for those who debug it.
LAST = ("last_type", "last_value", "last_traceback", "last_exc")

_show = sys.excepthook


def stand_by() -> None:
    """Once in a zygote, so that it costs no run anything: let its interpreter look as main.py will see it."""
    for name in [name for name in sys.modules if name.split(".")[0] == OURS]:
        del sys.modules[name]
    sys.argv[:] = [NAME]
    sys.orig_argv[:] = [sys.executable, NAME]
    sys.path_importer_cache.pop(sys.path[0], None)
    os.environ.clear()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def run_python(job: JobPlan) -> NoReturn:
    """Run main.py as the main program, and end the process with its exit code."""
    code, interrupted = FAILED, False
    try:
        gc.enable()
        _set_environment(job.env)
        code, interrupted = _run(job.work)
        code = _finish(code)
        if interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        # Whatever the code did to what we need: what is above us on the stack is no business of this process.
        os._exit(code)


def _set_environment(env: dict[str, str]) -> None:
    # What assigning to os.environ does, without the Python code in between.
    known = os.environ._data  # type: ignore[attr-defined] # noqa: SLF001
    for name, value in env.items():
        known[name.encode()] = value.encode()
        os.putenv(name, value)


def _run(work: str) -> tuple[int, bool]:
    """The code's exit code, and whether it let itself be interrupted."""
    error = _ended_by(work)
    if error is None:
        return 0, False
    if isinstance(error, SystemExit):
        return _exit_code(error.code), False
    return _told(_without_us(error)), type(error) is KeyboardInterrupt


def _ended_by(work: str) -> BaseException | None:
    try:
        _execute(work)
    except BaseException as error:  # noqa: BLE001 - whatever ends the code, it ends as CPython would end it
        return error
    return None


def _execute(work: str) -> None:
    path = f"{work}/{NAME}"
    sys.path[0] = work
    fd = os.open(path, os.O_RDONLY)
    try:
        source = os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    # A module of this process's own: the collector never looks at those that the zygote froze.
    sys.modules["__main__"] = main = _main_module(path)
    code, names = compile(source, path, "exec", dont_inherit=True), main.__dict__
    del source, main
    exec(code, names)  # noqa: S102 - this is the box


def _main_module(path: str) -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__.update(
        __loader__=SourceFileLoader("__main__", path),
        __annotations__={},
        __builtins__=sys.modules["builtins"],
        __file__=path,
        __cached__=None,
    )
    return main


def _told(error: BaseException) -> int:
    """Show the error to the code's own hook, or to people."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        _tell("sys.excepthook is missing\n")
        hook = _show
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as exit_:
        return _exit_code(exit_.code)
    except BaseException as second:  # noqa: BLE001 - as CPython does
        _tell("Error in sys.excepthook:\n")
        _show(type(second), _without_us(second), second.__traceback__)
        _tell("\nOriginal exception was:\n")
        _show(type(error), error, error.__traceback__)
    return FAILED


def _without_us(error: BaseException) -> BaseException:
    """The error, with a traceback that begins where the code's own frames do."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & CODE_BITS if -LARGEST_CODE <= code < LARGEST_CODE else CODE_BITS
    _tell(code)
    _tell("\n")
    return FAILED


def _tell(what: object) -> None:
    _heedless(lambda: (sys.stderr or sys.__stderr__).write(str(what)), show=_ignore)  # type: ignore[union-attr]


def _finish(code: int) -> int:
    if threading := sys.modules.get("threading"):
        _heedless(threading._shutdown)  # noqa: SLF001 - as the interpreter itself waits for threads
    _heedless(atexit._run_exitfuncs)  # noqa: SLF001 - as the interpreter does after that
    if not _flush():
        code = FLUSH_FAILED
    _end_main()
    for stream in (sys.__stdout__, sys.__stderr__):
        _heedless(getattr(stream, "flush", bool), show=_ignore)
    return code


def _heedless(step: Callable[[], object], *, show: Callable[..., object] = _show) -> None:
    try:
        step()
    except BaseException as error:  # noqa: BLE001 - it does not change how the program ends
        show(type(error), _without_us(error), error.__traceback__)


def _ignore(*error: object) -> None:
    del error


def _end_main() -> None:
    """Let `__del__` run while the code's globals are there, and then for what those held."""
    for name in LAST:
        vars(sys).pop(name, None)
    alive = ref(sys.modules.pop("__main__", sys))
    _heedless(gc.collect)
    main = alive()
    if main is not None and main is not sys:
        vars(main).clear()


def _flush() -> bool:
    """Whether what was written could be."""
    done = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:  # noqa: BLE001 - it may be anything that the code put there
            done = False
            if stream is not sys.stderr:
                _tell(f"Exception ignored in: {stream!r}\n")
                _show(type(error), _without_us(error), error.__traceback__)
    return done
