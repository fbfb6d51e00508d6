"""What PostgreSQL itself saw: triggers that write down every end of a task or chunk, and every change after the end.

Promises: no service can write around it, and what was rolled back is not in it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

TRIGGERS = """
CREATE TABLE audit (
    number bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    task_id text NOT NULL, chunk_index int, was text, now text, attempt int, content text
);
CREATE FUNCTION audit_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit (task_id, was, now, content)
    VALUES (new.task_id, old.state, new.state, concat_ws('|', new.outcome, new.finished_at));
    RETURN NULL;
END $$;
CREATE FUNCTION audit_chunk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit (task_id, chunk_index, was, now, attempt, content)
    VALUES (new.task_id, new.chunk_index, old.state, new.state, new.attempt,
            md5(concat_ws('|', new.outcome, new.exit_code, new.finished_at, new.stdout, new.stdout_blob)));
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON task FOR EACH ROW
    WHEN (old.state NOT IN ('queued', 'running')
          AND (old.state, old.outcome, old.finished_at) IS DISTINCT FROM (new.state, new.outcome, new.finished_at)
          OR new.state NOT IN ('queued', 'running')) EXECUTE FUNCTION audit_task();
CREATE TRIGGER audit AFTER UPDATE ON chunk FOR EACH ROW
    WHEN (old.state = 'finished' OR new.state = 'finished') EXECUTE FUNCTION audit_chunk();
"""
OPEN = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Recordings:
    """What was recorded: when tasks ended, and what should not have been recorded."""

    ended_at: Sequence[datetime]
    twice: Sequence[str]


async def start_audit(connection: Any) -> None:
    """From now on PostgreSQL writes everything down."""
    await connection.execute(TRIGGERS)


async def read_audit(store_url: str, retried: Mapping[str, int]) -> Recordings:
    """What is written down; `retried` says how often a client had a task run again, which opens it again."""
    connection = await asyncpg.connect(store_url)
    try:
        rows = await connection.fetch("SELECT * FROM audit ORDER BY number")
    finally:
        await connection.close()
    tasks = [row for row in rows if row["chunk_index"] is None]
    ends = [row for row in tasks if row["was"] in OPEN and row["now"] not in OPEN]
    return Recordings([row["at"] for row in ends], [*_tasks_twice(tasks, ends, retried), *_chunks_twice(rows)])


def _tasks_twice(tasks: Sequence[Any], ends: Sequence[Any], retried: Mapping[str, int]) -> list[str]:
    changed = [row for row in tasks if row["was"] not in OPEN and row["now"] not in OPEN]
    found = [
        f"task {row['task_id']} changed after its end: {row['was']} → {row['now']} {row['content']}" for row in changed
    ]
    for task_id, count in Counter(row["task_id"] for row in ends).items():
        if count > 1 + retried.get(task_id, 0):
            found.append(f"task {task_id} ended {count} times, and was retried {retried.get(task_id, 0)} times")
    return found


def _chunks_twice(rows: Sequence[Any]) -> list[str]:
    last: dict[tuple[str, int], Any] = {}
    found = []
    for row in rows:
        if row["chunk_index"] is None:
            continue
        key = (row["task_id"], row["chunk_index"])
        # A chunk that a client has run again is deleted and made anew, with a row that was not finished.
        if row["was"] == "finished" and key in last and last[key]["content"] != row["content"]:
            found.append(f"chunk {key} changed after its end, attempt {row['attempt']}")
        last[key] = row
    return found
