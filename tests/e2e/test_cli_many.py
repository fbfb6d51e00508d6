"""Tasks that are cut, and many at once, from the real command line."""

import json

import pytest

from tests.e2e.command_line import CommandLine

SUM = "import sys; print(sum(map(int, sys.stdin)))"
FAILS_ONCE = "import os; raise SystemExit(os.environ['CHUNK_INDEX'] == '1' and os.environ['ATTEMPT'] == '1')"


def batch(*tasks: dict[str, object]) -> str:
    """A file of tasks."""
    return "".join(json.dumps(task) + "\n" for task in tasks)


async def test_the_output_of_a_cut_task_is_that_of_its_chunks_in_order(cli: CommandLine) -> None:
    numbers = "".join(f"{number}\n" for number in range(1, 11)).encode()

    ended = await cli("run", "-c", SUM, "--split-lines", "-", "--chunks", "5", stdin=numbers)

    assert (ended.code, ended.out, ended.err) == (0, "3\n7\n11\n15\n19\n", "")


async def test_a_reduce_makes_one_output_of_all(cli: CommandLine, tmp_path) -> None:
    reduce = tmp_path / "total.py"
    reduce.write_text("import sys, json; print(sum(int(json.loads(line)['stdout']) for line in sys.stdin))")
    (tmp_path / "items.json").write_text("[1, 2,\n 3, 4, 5]")

    ended = await cli(
        "run", "-c", SUM, "--split-items", str(tmp_path / "items.json"), "--chunks", "2", "--reduce", str(reduce)
    )

    assert (ended.code, ended.out) == (0, "15\n"), ended.err


async def test_a_range_is_cut_and_counted_in_watch_and_get(cli: CommandLine) -> None:
    code = "import os; print(*range(*(int(os.environ['RANGE_' + name]) for name in ('START', 'STOP', 'STEP'))))"
    await cli("submit", "--id", "cut_range", "-c", code, "--split-range", "10:0:-3", "--chunks", "2")

    watched = await cli("watch", "cut_range")

    assert watched.out == "10 7\n4 1\n"
    assert "cut_range succeeded, 2 of 2 chunks succeeded" in watched.err
    assert "2 of 2 chunks succeeded" in (await cli("get", "cut_range")).out


async def test_only_what_failed_is_retried(cli: CommandLine) -> None:
    assert (await cli("run", "--id", "once", "-c", FAILS_ONCE, "--chunks", "3")).code == 1
    failed = [
        json.loads(line) for line in (await cli("chunks", "once", "--outcome", "failed", "--json")).out.split("\n")[:-1]
    ]
    assert [chunk["chunk_index"] for chunk in failed] == [1]
    assert "exited with code 1" in (await cli("chunks", "once")).out

    retried = await cli("retry", "once", "--failed-only")

    assert (retried.code, retried.out) == (0, "Task once runs again: 1 chunk of it did not succeed\n")
    assert (await cli("wait", "once")).code == 0
    chunks = [json.loads(line) for line in (await cli("chunks", "once", "--json")).out.splitlines()]
    assert [chunk["attempt"] for chunk in chunks] == [1, 2, 1]
    again = await cli("retry", "once")
    assert (again.code, "has succeeded" in again.err) == (3, True)


async def test_retry_gives_a_task_more_attempts(cli: CommandLine) -> None:
    code = "import os; raise SystemExit(os.environ['ATTEMPT'] != '3')"

    assert (await cli("run", "-c", code, "--retry", "1", "--backoff", "0.05")).code == 1
    assert (await cli("run", "-c", code, "--retry", "2", "--backoff", "0.05")).code == 0


async def test_a_delayed_task_expires_at_its_deadline(cli: CommandLine) -> None:
    assert (await cli("run", "-c", "print(1)", "--not-before", "1s")).out == "1\n"
    late = await cli("submit", "-c", "pass", "--not-before", "1h", "--deadline", "30m")
    assert (late.code, "must be after not_before" in late.err) == (3, True)


async def test_a_batch_tells_each_refused_line_by_its_number(cli: CommandLine, tmp_path) -> None:
    path = tmp_path / "tasks.jsonl"
    good = {"data": "python:print(1)"}
    path.write_text(batch(good, {**good, "priority": "urgent"}) + "\nnot json\n" + batch(good, {**good, "dat": "x"}))

    ended = await cli("submit", "--batch", str(path), "--label", "of=batch")

    assert ended.code == 3
    refused = [line.split(": ", 1)[0] for line in ended.err.splitlines() if line.startswith(str(path))]
    assert sorted(refused) == [f"{path}:{number}" for number in (2, 4, 6)]
    assert "task.priority: is 'urgent'; allowed are low" in ended.err
    assert "2 accepted, 3 refused" in ended.err
    listed = [
        json.loads(line)["task_id"] for line in (await cli("list", "--label", "of=batch", "--json")).out.splitlines()
    ]
    assert sorted(listed) == sorted(ended.out.split())


async def test_waiting_for_a_label_fails_if_one_task_failed(cli: CommandLine) -> None:
    tasks = [{"data": f"python:raise SystemExit({n} == 7)", "task_id": f"group-{n}"} for n in range(300)]

    ended = await cli("submit", "--batch", "-", "--label", "of=group", stdin=batch(*tasks).encode())
    waited = await cli("wait", "--label", "of=group")

    assert (ended.code, ended.out.split()) == (0, [task["task_id"] for task in tasks]), ended.err
    assert waited.code == 1
    assert "group-7 failed: exited with code 1" in waited.out or "group-7 failed" in waited.out
    assert "299 succeeded" in waited.out
    assert (await cli("wait", "group-1", "group-2")).code == 0


async def test_a_batch_waits_for_its_tasks(cli: CommandLine) -> None:
    tasks = batch({"data": "python:pass"}, {"data": "python:raise SystemExit(5)"})

    ended = await cli("submit", "--batch", "-", "--wait", "--json", stdin=tasks.encode())

    said = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 1
    assert [one["line"] for one in said if "line" in one] == [1, 2]
    assert [one["state"] for one in said if "state" in one] == ["TASK_STATE_SUCCEEDED", "TASK_STATE_FAILED"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("wait", "nobody"), 4, "nobody"),
        (("wait", "--label", "of=nobody"), 4, "of=nobody"),
        (("wait",), 2, "either TASK_IDs or --label"),
        (("chunks", "nobody"), 4, "nobody"),
        (("retry", "nobody"), 4, "nobody"),
        (("submit", "--batch", "nowhere.jsonl"), 2, "No such file"),
        (("submit", "--batch", "-", "-c", "1"), 2, "--batch"),
        (("run", "-c", "1", "--split-range", "5:5"), 3, "has no numbers"),
        (("run", "-c", "1", "--split-range", "0:9:0"), 3, "task.split.range.step"),
        (("run", "-c", "1", "--split-range", "1-9"), 2, "START:STOP"),
        (("run", "-c", "1", "--split-lines", "nowhere.txt"), 2, "No such file"),
        (("run", "-c", "1", "--deadline", "2020-01-01T00:00Z"), 3, "has passed"),
        (("run", "-c", "1", "--not-before", "3660d"), 3, "366 days"),
        (("run", "-c", "1", "--retry", "100"), 3, "task.retry.max_attempts"),
    ],
)
async def test_a_wrong_wish_has_its_exit_code_and_its_words(
    cli: CommandLine, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = await cli(*words)

    assert ended.code == code
    assert said in " ".join(ended.err.replace("│", "").split())
    assert "Traceback" not in ended.err
