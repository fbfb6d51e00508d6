"""The real command line, in processes of its own, against a real `taskandgo up`."""

import asyncio
import json
import signal
from asyncio.subprocess import Process

from tests.e2e.command_line import ROOT, start


async def test_run_gives_the_output_and_the_exit_code_of_the_code(cli):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    ended = await cli("run", "-c", code)
    assert (ended.code, ended.out) == (7, "out\n")
    assert ended.err.startswith("err\n")


async def test_run_gives_the_timeout_its_own_exit_code(cli):
    ended = await cli("run", "--timeout", "0.3", "-c", "import time; time.sleep(30)")
    assert ended.code == 124


async def test_run_feeds_stdin_from_a_file(cli, tmp_path):
    (tmp_path / "input").write_text("one two\nthree\n")
    ended = await cli("run", str(ROOT / "examples/reads_stdin.py"), "--stdin", str(tmp_path / "input"))
    assert (ended.code, ended.out) == (0, "2 lines, 3 words\n")


async def test_interrupting_run_cancels_the_task(cli, server):
    code = "import time; print('begun', flush=True); time.sleep(60)"
    process = await start("run", "--id", "cli_interrupted", "-c", code, server=server)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"begun\n"
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "cancelled task cli_interrupted" in err.decode()
    task = json.loads((await cli("get", "cli_interrupted", "--json")).out)
    assert task["state"] == "TASK_STATE_CANCELLED"


async def test_submit_get_list_and_watch_speak_of_the_same_task(cli):
    assert (await cli("submit", "--id", "cli_task", "--label", "of=cli", "-c", "print('hi')")).out == "cli_task\n"
    watched = await cli("watch", "cli_task")
    assert (watched.code, watched.out) == (0, "hi\n")
    assert "cli_task succeeded" in watched.err
    assert "hi" in (await cli("get", "cli_task")).out
    listed = [json.loads(line) for line in (await cli("list", "--label", "of=cli", "--json")).out.splitlines()]
    assert [task["task_id"] for task in listed] == ["cli_task"]
    assert "cli_task" in (await cli("list", "--state", "succeeded")).out


async def begun(process: Process) -> None:
    """Return when the process has printed its first line."""
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30)


async def test_watch_that_comes_late_shows_output_from_then_on(cli, server):
    code = "import sys, time\nfor n in range(1000): print(n, flush=True); time.sleep(0.02)"
    run = await start("run", "--id", "cli_late", "-c", code, server=server)
    await begun(run)
    watch = await start("watch", "cli_late", server=server)
    await begun(watch)
    run.send_signal(signal.SIGINT)
    _, err = await watch.communicate()
    await run.communicate()
    assert watch.returncode == 0
    assert "cli_late cancelled" in err.decode()
    assert "came before this watch; see: taskandgo get cli_late" in err.decode()


async def test_interrupting_watch_leaves_the_task_alone(cli, server):
    code = "import time; print('begun', flush=True); time.sleep(60)"
    run = await start("run", "--id", "cli_unwatched", "-c", code, server=server)
    await begun(run)
    watch = await start("watch", "cli_unwatched", server=server)
    assert watch.stderr is not None
    assert b"running" in await asyncio.wait_for(watch.stderr.readline(), 30)
    watch.send_signal(signal.SIGINT)
    _, err = await watch.communicate()
    assert (watch.returncode, err) == (130, b"")
    task = json.loads((await cli("get", "cli_unwatched", "--json")).out)
    assert task["state"] == "TASK_STATE_RUNNING"
    run.send_signal(signal.SIGINT)
    await run.communicate()


async def test_cancelling_a_finished_task_says_that_it_had_finished(cli):
    await cli("submit", "--wait", "--id", "cli_done", "-c", "pass")
    ended = await cli("cancel", "cli_done", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["state"] == "TASK_STATE_SUCCEEDED"


async def test_a_refused_task_names_the_field_and_exits_with_3(cli):
    ended = await cli("submit", "--id", "no spaces allowed", "-c", "pass")
    assert ended.code == 3
    assert "task_id" in ended.err
    assert "Traceback" not in ended.err


async def test_an_unknown_task_exits_with_4(cli):
    for command in ("get", "watch", "cancel"):
        assert (await cli(command, "cli_nobody")).code == 4


async def test_no_server_exits_with_69_and_says_how_to_start_one():
    process = await start("list", server="127.0.0.1:1")
    _, err = await process.communicate()
    assert process.returncode == 69
    assert "taskandgo up" in err.decode()


async def test_the_demo_finds_every_answer_right():
    process = await start("demo")
    out, err = await process.communicate()
    assert process.returncode == 0, out.decode() + err.decode()
