"""What the README's part on cutting, repeating and delaying says can be pasted, and does what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import Stack

ROOT = Path(__file__).parents[2]
PART = re.search(r"^## Split, retry, delay$(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
#: What each block of commands prints, besides ids and tables.
PRINTED = [
    ("325\n950\n1575\n2200\n", "5050\n", "0 500\n500 1000\n"),
    ("12500002500000\n", '"sha256"', "12500002500000\n"),
    ("1 failed\n", "failed", "Task flaky runs again: 3 chunks of it did not succeed\n", "1 succeeded\n"),
    ("2 succeeded\n",),
    ('"task_id": "ranges"', '"chunk_index": 1'),
]


def blocks() -> list[str]:
    """The part's blocks of commands."""
    assert PART
    return re.findall(r"```sh\n(.*?)```", PART[1], re.DOTALL)


def test_every_block_is_tried() -> None:
    assert len(blocks()) == len(PRINTED)


@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_part_can_be_pasted(stack: Stack, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "taskandgo"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli.main "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"TASKANDGO_SERVER": stack.grpc_address, "LOG_LEVEL": "error"}

    for block, printed in zip(blocks(), PRINTED, strict=True):
        script = block.replace("localhost:8080", stack.http_address)
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, block + done.stderr
        for text in printed:
            assert text in done.stdout, block + done.stdout
