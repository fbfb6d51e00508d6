"""The interpreter that runs Python code: asked once, at the start, what it is and which folders it is made of.

A virtual environment is made of two, its own and the one of the interpreter it was made from. In a box each has to be
where it is outside, for by that the interpreter finds its modules. Promises: what cannot work is refused, with what is
wrong and what is allowed.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.inside.root_fs import OWN_FOLDERS

#: What the code is shown lies below this already, in every box.
SYSTEM = "/usr"
OLDEST = [3, 11]
ASK_SECONDS = 60.0
COMPLAINT_LENGTH = 500
ENV = {"LANG": "C.UTF-8"}
OPTIONS = ("-s", "-B")
#: Run by whatever is said to be an interpreter, so it is plain enough for any Python.
ASK = """
import json, sys
problem = ""
for name in sys.argv[1:]:
    try:
        __import__(name)
    except Exception as error:
        problem = "cannot import %s, which RUNNER_PYTHON_PRELOAD names: %s" % (name, error)
folders = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
sys.stdout.write("\\n" + json.dumps([sys.implementation.name, sys.version_info[:2], folders, problem]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How it is started, and what a box has to see of the host for it: each place in the box with the one outside."""

    path: str
    shown: dict[str, str]


async def examine(path: str, preload: tuple[str, ...]) -> Interpreter:
    """What the interpreter is made of; SandboxUnavailableError if it cannot run code here."""
    try:
        kind, version, folders, problem = await _ask(path, preload)
    except (OSError, ValueError, TimeoutError) as error:
        raise _refused(path, f"is no Python that starts: {getattr(error, 'strerror', None) or error}") from error
    if kind != "cpython" or version < OLDEST:
        raise _refused(path, f"is {kind} {'.'.join(map(str, version))}; it must be CPython 3.11 or newer")
    if problem:
        raise _refused(path, problem)
    if refused := next(filter(_is_taken, folders), None):
        allowed = f"outside of {', '.join(OWN_FOLDERS)}, where a box has folders of its own"
        raise _refused(path, f"is made of {', '.join(dict.fromkeys(folders))}; {refused} must lie {allowed}")
    is_virtual = folders[0] != folders[2]
    # A virtual environment is found by the name of its interpreter, which is a link.
    started = str(Path(path).absolute()) if is_virtual else os.path.realpath(path)
    places = [*folders, *_beside(started, folders)]
    return Interpreter(started, {place: os.path.realpath(place) for place in places if not _is_below(place, SYSTEM)})


async def _ask(path: str, preload: tuple[str, ...]) -> tuple[str, list[int], list[str], str]:
    process = await asyncio.create_subprocess_exec(
        *(path, *OPTIONS, "-c", ASK, *preload),
        env=ENV,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(ASK_SECONDS):
            said, _nothing = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.communicate()
        raise
    text = said.decode(errors="replace").strip()
    if process.returncode:
        raise ValueError(text[-COMPLAINT_LENGTH:] or f"it ended with code {process.returncode}")
    try:
        kind, version, folders, problem = json.loads(text.rpartition("\n")[2])
    except ValueError:
        raise ValueError(f"it ended with code 0 and said {text[-COMPLAINT_LENGTH:]!r}") from None
    return kind, version, folders, problem


def _beside(path: str, folders: list[str]) -> Iterator[str]:
    """What links lead from a virtual environment to its interpreter by way of other folders."""
    while Path(path).is_symlink():
        path = os.path.normpath(Path(path).parent / Path(path).readlink())
        if not any(_is_below(path, folder) for folder in folders):
            yield path


def _is_taken(folder: str) -> bool:
    return any(_is_below(folder, own) or _is_below(own, folder) for own in OWN_FOLDERS)


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _refused(path: str, why: str) -> SandboxUnavailableError:
    return SandboxUnavailableError(f"RUNNER_PYTHON={path} {why}")
