"""Ends of attempts: each applied once, and the task finished with the one that settles it; called by the dispatcher.

Promises: one transaction; the end of an attempt that does not count any more changes nothing; an end that was
handled by a dispatcher that died says again what has to be emitted.
"""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.progress import ChunkProgress, Key, TaskProgress, load_chunks, load_tasks, ready_chunks
from taskandgo.store.records import Ending, Recorded
from taskandgo.store.rows import finished_task
from taskandgo.store.save_progress import save

#: What the dispatcher makes of an end: moves task and chunk on, and says what follows.
Advance = Callable[[TaskProgress, ChunkProgress, Ending], Recorded]
Advancing = tuple[Ending, Advance]


async def record_endings(connection: AsyncConnection, wanted: Sequence[Advancing]) -> list[Recorded]:
    """What became of each end, in their order."""
    tasks = await load_tasks(connection, (ending.message.task_id for ending, _ in wanted))
    still_open = {task_id for task_id, task in tasks.items() if task.open}
    keys = [_key(ending) for ending, _ in wanted if ending.message.task_id in still_open]
    chunks = await load_chunks(connection, keys)
    answers = [_advance(tasks, chunks, ending, advance) for ending, advance in wanted]
    at = max((ending.at for ending, _ in wanted), default=None)
    await save(connection, tasks.values(), chunks.values(), at)
    return [
        await _complete(connection, tasks.get(ending.message.task_id), chunks.get(_key(ending)), ending, answer)
        for (ending, _), answer in zip(wanted, answers, strict=True)
    ]


def _advance(
    tasks: dict[str, TaskProgress], chunks: dict[Key, ChunkProgress], ending: Ending, advance: Advance
) -> Recorded:
    task, chunk = tasks.get(ending.message.task_id), chunks.get(_key(ending))
    if task is None or chunk is None or not task.open:
        return Recorded(kept=False)
    answer = advance(task, chunk, ending)
    if task.timers:
        answer = msgspec.structs.replace(answer, due_at=min(timer.due_at for timer in task.timers))
    return answer if task.open else msgspec.structs.replace(answer, newly_finished=True)


async def _complete(
    connection: AsyncConnection,
    task: TaskProgress | None,
    chunk: ChunkProgress | None,
    ending: Ending,
    answer: Recorded,
) -> Recorded:
    """The answer with the task if it is final, or with what this end let into the queue when it came before."""
    if task is None:
        return answer
    if not task.open:
        return msgspec.structs.replace(answer, finished=finished_task(task))
    if answer.kept or not ending.redelivered or chunk is None or chunk.opened_from is None or chunk.opened_to is None:
        return answer
    opened = await ready_chunks(connection, task, chunk.opened_from, chunk.opened_to)
    return msgspec.structs.replace(answer, emit=[*answer.emit, *opened])


def _key(ending: Ending) -> Key:
    return ending.message.task_id, ending.message.chunk_index
