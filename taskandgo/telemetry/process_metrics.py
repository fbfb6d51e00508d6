"""What every process counts of its own work with broker, store and event loop, declared once for all services.

Promises: labels are bounded; only the page of one service shows them, so that nothing is counted twice where all
services share a process.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from taskandgo.telemetry.metrics import STEP_SECONDS

#: From a commit alone to the largest group.
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 400)
LOOK_SECONDS = 0.5


class ProcessMetrics:
    """The metrics, in a registry of their own; `shown_by` is the service whose page has them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shown_by = ""
        self._declare_broker(self.registry)
        self._declare_store(self.registry)
        self.event_loop_lag_seconds = Histogram(
            "taskandgo_event_loop_lag_seconds",
            "How much later than asked for a timer of the process ran.",
            buckets=STEP_SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def _declare_broker(self, registry: CollectorRegistry) -> None:
        self.publish_confirm_seconds = Histogram(
            "taskandgo_publish_confirm_seconds",
            "From a kept message's publishing to the broker's confirm.",
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self._redelivered = Counter(
            "taskandgo_messages_redelivered",
            "Messages that the broker delivered again, by the queue they came from.",
            ["queue"],
            registry=registry,
        )
        self.broker_connected = Gauge(
            "taskandgo_broker_connected", "1 while the process is connected to its broker, else 0.", registry=registry
        )
        self.broker_blocked = Gauge(
            "taskandgo_broker_blocked",
            "1 while the broker takes no messages from the process, for it is short of memory or disk.",
            registry=registry,
        )

    def _declare_store(self, registry: CollectorRegistry) -> None:
        self.store_transaction_seconds = Histogram(
            "taskandgo_store_transaction_seconds",
            "Transactions, from waiting for a connection to the commit; kind is read or write.",
            ["kind"],
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.store_statement_seconds = Histogram(
            "taskandgo_store_statement_seconds",
            "Statements, by what they do: select, insert, update, delete or other.",
            ["verb"],
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.group_commit_size = Histogram(
            "taskandgo_group_commit_size",
            "How many calls of a kind shared a commit.",
            ["work"],
            buckets=SIZES,
            registry=registry,
        )

    def redelivered_from(self, queue: str) -> Counter:
        """What counts messages of this queue that are delivered again; all queues of one message are counted as one."""
        return self._redelivered.labels(".".join(queue.split(".")[:2]))


PROCESS = ProcessMetrics()


@asynccontextmanager
async def watching_process(shown_by: str) -> AsyncIterator[None]:
    """Show the process's metrics on a service's page, and watch its event loop, while the context lasts."""
    PROCESS.shown_by = shown_by
    watching = asyncio.get_running_loop().create_task(_watch_event_loop())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        PROCESS.shown_by = ""


async def _watch_event_loop() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        PROCESS.event_loop_lag_seconds.observe(max(0.0, loop.time() - due))
