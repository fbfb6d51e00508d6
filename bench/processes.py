"""Starts a program in the background and stops it with everything it started, whatever happens in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOP_SECONDS = 20.0


@contextmanager
def background(folder: Path, name: str, *arguments: str, env: Mapping[str, str]) -> Iterator[None]:
    """`python -m <arguments>` while the context lasts; its output goes to `<name>.log` in the folder."""
    with (folder / f"{name}.log").open("ab") as log:
        # A session of its own: Ctrl-C reaches only the benchmark, which then stops everything in order.
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        _stop(process)


def logs(folder: Path) -> str:
    """The end of what every program said."""
    files = sorted(folder.glob("*.log"))
    return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in files)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
