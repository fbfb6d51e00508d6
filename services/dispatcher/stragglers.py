"""When a chunk straggles: most of its siblings are done, and it runs far longer than they did."""

from dataclasses import dataclass

#: Out of how many chunks, at the least, most can be said to be done; and how many of four are most.
FEWEST_CHUNKS, MOST_OF_FOUR = 4, 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How much longer than its siblings a chunk may run: so many times as long, and never less than so many seconds."""

    factor: float
    least_seconds: float

    def seconds(self, mean_seconds: float) -> float:
        """After how long a chunk straggles whose siblings took so long on average."""
        return max(self.factor * mean_seconds, self.least_seconds)


def most_done(chunks: int, ended: int) -> bool:
    """Whether so few chunks are left that a straggler keeps the task from its end."""
    return chunks >= FEWEST_CHUNKS and 4 * ended >= MOST_OF_FOUR * chunks
