"""What is kept of an output when the disk has no room for it: the beginning, told as one."""

import asyncio
import os

import pytest

from services.runner.sandbox.output import OutputReader
from services.runner.sandbox.spill_file import SpillFile


def full(_file: SpillFile, _block: bytes) -> None:
    raise OSError(28, "No space left on device")


async def test_a_full_disk_leaves_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpillFile, "add", full)
    reading, writing = os.pipe()
    came = asyncio.Event()
    output = OutputReader(reading, 1000, lambda _offset, _data: None, lambda _size: came.set(), spill_bytes=100)
    os.write(writing, b"a" * 60)
    await came.wait()
    os.write(writing, b"b" * 60)
    os.close(writing)
    await output.ended
    captured = output.captured
    assert (captured.data, captured.spilled) == (b"a" * 60, None)
    assert captured.truncated
    assert captured.problem == "the runner's disk is full"
