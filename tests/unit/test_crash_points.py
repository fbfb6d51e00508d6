"""Crash points do nothing unless they are asked for, and then kill just the process and the task that is meant."""

import subprocess
import sys

import pytest

PROGRAM = "from taskandgo.crash_points import *; crash_point(CrashPoint.CHUNK_TAKEN, 'mine-1'); print('lived')"
KILLED = -9


def run(crash_at: str) -> subprocess.CompletedProcess[str]:
    env = {"CRASH_AT": crash_at} if crash_at else {}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("crash_at", ["", "task-opened", "chunk-taken:yours"])
def test_a_process_lives_that_is_not_meant(crash_at: str) -> None:
    assert run(crash_at).stdout == "lived\n"


@pytest.mark.parametrize("crash_at", ["chunk-taken", "chunk-taken:mine", "task-opened,chunk-taken"])
def test_a_process_dies_that_is_meant(crash_at: str) -> None:
    assert run(crash_at).returncode == KILLED


def test_a_point_that_is_none_stops_the_start() -> None:
    done = run("nowhere")
    assert done.returncode
    assert "'nowhere' is not a valid CrashPoint" in done.stderr
