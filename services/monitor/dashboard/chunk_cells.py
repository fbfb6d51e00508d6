"""A task's chunks as a grid of at most a thousand cells, one letter each: pure.

A cell is w waiting, q in the queue, r running, s succeeded, p partly succeeded, f failed, x ended without having run
to its end. Of neighbours in one cell the one that most wants attention tells its letter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from taskandgo.store.chunk_counts import ChunkCount
from taskandgo.task import Value
from taskandgo.words import ChunkState, Outcome

MOST_CELLS = 1000
LETTERS = {ChunkState.WAITING: "w", ChunkState.READY: "q", ChunkState.RUNNING: "r"}
#: What tells a cell of several chunks, whatever else is in it.
FIRST = "fr"


class ChunkGrid(Value, frozen=True, omit_defaults=False):
    """`cells` in the order of the chunks, each standing for `together` of them; and all chunks by their letter."""

    cells: str
    together: int
    counts: dict[str, int]


def neighbours(chunk_count: int) -> int:
    """How many chunks a cell stands for."""
    return max(1, -(-chunk_count // MOST_CELLS))


def chunk_grid(chunk_count: int, counts: Iterable[ChunkCount], *, final: bool) -> ChunkGrid:
    """The grid; chunks that were never emitted wait, or never ran when the task is final."""
    together, unemitted = neighbours(chunk_count), "x" if final else "w"
    by_cell: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for one in counts:
        by_cell[one.cell][_letter(one)] += one.count
    total: Counter[str] = Counter()
    cells = []
    for cell in range(-(-chunk_count // together)):
        within = min(together, chunk_count - cell * together)
        found = by_cell[cell]
        found[unemitted] += max(0, within - found.total())
        total += found
        cells.append(_telling(+found))
    return ChunkGrid(cells="".join(cells), together=together, counts=dict(total))


def _letter(one: ChunkCount) -> str:
    if one.state is not ChunkState.FINISHED:
        return LETTERS[one.state]
    if one.outcome is Outcome.SUCCEEDED:
        return "s"
    return "x" if one.outcome is Outcome.CANCELLED else "f"


def _telling(found: Counter[str]) -> str:
    for letter in FIRST:
        if found[letter]:
            return letter
    if found["s"]:
        return "s" if len(+found) == 1 else "p"
    return "q" if found["q"] else next(iter(+found), "w")
