"""Explains one task: asks the store for the facts, looks at what is heard around, and applies the rules.

Called by ingest for a client and by the monitor for its page; both say the same.
"""

from dataclasses import dataclass

from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.explanation.explain import explain
from taskandgo.explanation.facts import Surroundings
from taskandgo.explanation.reasons import Explanation
from taskandgo.heard_runners import HeardRunners
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class ExplainTask:
    """Explains tasks."""

    store: Store
    broker: Broker
    runners: HeardRunners
    clock: Clock

    async def __call__(self, task_id: str) -> Explanation | None:
        """Why it waits, where it runs, or how it ended; None if there is no such task."""
        facts = await self.store.task_facts(task_id)
        if facts is None:
            return None
        now = self.clock.now()
        heard_seconds = (now - self.runners.since).total_seconds()
        return explain(facts, Surroundings(now, self.broker.connected, self.runners.all(), heard_seconds))
