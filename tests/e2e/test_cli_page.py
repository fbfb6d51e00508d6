"""What docs/cli.md says can be pasted, does what it says, and leaves no command out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click import Context

from services.cli.main import app
from tests.e2e.command_line import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()
BLOCKS: list[str] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
#: What each block of commands prints.
PRINTED = [
    ("42\n", "HELLO\n"),
    ("counted\n", "1 succeeded\n", '"task_id": "counted"'),
    ("counted", "4 of 4 chunks succeeded", "succeeded"),
    ("done\ndone\ndone\n",),
    ("[no_runners]", "-> start one: RUNNER_POOL=gpu taskandgo runner", "[exit_code]", "REASON_CODE_EXIT_CODE"),
    ("Task regretted cancelled\n", "Task broken runs again"),
    ("priority", "heard", '"broker_connected": true'),
    ("up to date", '"levels"'),
]
#: Before a dispatcher has taken it up, there is nothing to say of runners.
TAKEN_UP = "until taskandgo explain lonely | grep no_runners >/dev/null; do sleep 0.1; done"


def test_every_block_is_tried() -> None:
    assert len(BLOCKS) == len(PRINTED)


def test_every_command_is_on_the_page_in_a_block() -> None:
    commands = typer.main.get_command(app).list_commands(Context(typer.main.get_command(app)))  # type: ignore[attr-defined]
    blocks = "\n".join(re.findall(r"```(?:sh|shell)\n(.*?)```", PAGE, re.DOTALL))
    assert {name for name in commands if not re.search(rf"taskandgo {name}\b", blocks)} == set()


@pytest.mark.parametrize("line", re.findall(r"```shell\n(.*?)```", PAGE, re.DOTALL)[0].splitlines())
def test_a_service_is_started_with_options_that_it_has(line: str) -> None:
    _, name, *words = line.split()
    command = typer.main.get_command(app).get_command(Context(typer.main.get_command(app)), name)  # type: ignore[attr-defined]
    assert command.make_context(name, words).command is command


@pytest.mark.timeout(600)
async def test_the_page_can_be_pasted(server: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "taskandgo"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli.main "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"TASKANDGO_SERVER": server, "LOG_LEVEL": "error"}
    for block, printed in zip(BLOCKS, PRINTED, strict=True):
        script = block.replace("taskandgo explain lonely", f"{TAKEN_UP}\ntaskandgo explain lonely")
        done = subprocess.run(  # noqa: ASYNC221 - nothing else is to be done meanwhile
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, block + done.stderr
        for text in printed:
            assert text in done.stdout, block + done.stdout
