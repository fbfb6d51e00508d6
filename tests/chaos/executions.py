"""Which attempts ran where, from what runners logged and what was heard on the broker.

A box cannot write outside, so its runner is asked: a log line for each attempt that ended, and an event for each that
began. What a killed runner had begun is known from the events only, which may be lost; so the count is a lower bound.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from taskandgo.messages import ChunkStarted, Message

Attempt = tuple[str, int, int]


def executions(logs: Iterable[Path], heard: Iterable[Message]) -> dict[Attempt, set[str]]:
    """Each attempt that ran, with the runners it ran on."""
    ran: dict[Attempt, set[str]] = defaultdict(set)
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            if '"chunk.finished"' in line:
                event = json.loads(line)
                if event["outcome"] not in {"lost", "cancelled"}:
                    ran[event["task_id"], event["chunk_index"], event["attempt"]].add(log.stem)
    for message in heard:
        if isinstance(message, ChunkStarted):
            ran[message.task_id, message.chunk_index, message.attempt].add(message.runner)
    return ran


def per_chunk(ran: dict[Attempt, set[str]]) -> Counter[int]:
    """How many chunks ran so many times."""
    times: Counter[tuple[str, int]] = Counter()
    for (task_id, chunk_index, _), runners in ran.items():
        times[task_id, chunk_index] += len(runners)
    return Counter(times.values())
