"""A program cannot tell that it runs in a box: stdout, stderr and exit code are those of `python3 main.py` outside."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runner.execute_chunk import ENV
from services.runner.sandbox.box import BoxEnd
from services.runner.sandbox.living_box import shell_code
from services.runner.sandbox.sandbox import open_sandbox
from tests.sandbox.boxes import Runs, interpreter, plan
from tests.sandbox.main_programs import PROGRAMS, SOURCES

STDIN = b"first\nsecond\nend\nmore\n"
#: Addresses differ from run to run.
ADDRESS = re.compile(rb"0x[0-9a-f]+|thread \d+|started \d+")
#: Newer interpreters say these in other words.
IN_OTHER_WORDS = {
    "exits with a huge number",
    "exits with what cannot be shown",
    "closes the descriptor of stdout",
    "sets stdout to what is none",
    "cannot flush",
}


@pytest.fixture(scope="module")
async def runs() -> AsyncIterator[Runs]:
    """A strict sandbox."""
    async with open_sandbox(plan(name="programs")) as sandbox:
        yield Runs(sandbox)


async def outside(source: bytes, folder: Path) -> tuple[int, bytes, bytes]:
    """The same by a bare interpreter."""
    (folder / "main.py").write_bytes(source)
    process = await asyncio.create_subprocess_exec(
        *(interpreter(), "-B", "main.py"), cwd=folder, env=ENV, stdin=-1, stdout=-1, stderr=-1
    )
    out, err = await process.communicate(STDIN)
    assert process.returncode is not None
    return shell_code(process.returncode), out.replace(bytes(folder), b"/work"), err.replace(bytes(folder), b"/work")


def plain(output: bytes) -> bytes:
    """Without what differs from run to run anyway."""
    return ADDRESS.sub(b"?", output)


def told(end: BoxEnd) -> tuple[int | None, bytes, bytes]:
    """What can be told apart."""
    return end.exit_code, plain(end.stdout.data), plain(end.stderr.data)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_does_the_same_in_a_box_and_outside(name: str, runs: Runs, tmp_path: Path) -> None:
    code, out, err = await outside(PROGRAMS[name].encode(), tmp_path)
    end = await runs.exit(PROGRAMS[name], stdin=STDIN)
    compared = 2 if name in IN_OTHER_WORDS else 3
    assert told(end)[:compared] == (code, plain(out), plain(err))[:compared]


@pytest.mark.parametrize("name", SOURCES)
async def test_a_source_is_read_as_the_interpreter_reads_it(name: str, runs: Runs, tmp_path: Path) -> None:
    code, out, err = await outside(SOURCES[name], tmp_path)
    assert told(await runs.exit(SOURCES[name], stdin=STDIN)) == (code, plain(out), plain(err))
