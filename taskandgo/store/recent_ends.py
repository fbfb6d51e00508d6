"""The attempts whose end came lately; kept by the store, so that it need not record that they started.

Promises: bounded; whoever is forgotten too early costs one transaction more and nothing else.
"""

from collections import OrderedDict

Attempt = tuple[str, int, int]
MOST = 10_000


class RecentEnds:
    """Attempts, each by task, chunk and number, whose start has not come yet."""

    def __init__(self) -> None:
        self._ends: OrderedDict[Attempt, None] = OrderedDict()

    def add(self, attempt: Attempt) -> None:
        """Its end is here, which tells when it started too."""
        self._ends[attempt] = None
        if len(self._ends) > MOST:
            self._ends.popitem(last=False)

    def take(self, attempt: Attempt) -> bool:
        """Whether its end is here; asked once, when its start comes."""
        known = attempt in self._ends
        self._ends.pop(attempt, None)
        return known
