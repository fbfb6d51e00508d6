"""Dramatiq on the same RabbitMQ: two worker processes, results sent back by its own success callback.

Dramatiq keeps results only in Redis or Memcached; here the broker carries them, as it does for Celery, to a
Dramatiq worker inside the client.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from bench.boxed import CODE, EXPECTED, run_boxed
from bench.processes import background
from bench.system import PATIENCE_SECONDS, SLOTS, check

URL = "BENCH_DRAMATIQ_URL"
WORK, RESULTS = "bench.dramatiq", "bench.dramatiq-results"


def dramatiq_broker(url: str) -> RabbitmqBroker:
    """The broker, as worker and client know it; its task is `hello`, and `recorded` takes the results."""
    broker = RabbitmqBroker(url=url)
    dramatiq.set_broker(broker)
    dramatiq.actor(actor_name="hello", queue_name=WORK, broker=broker, max_retries=0)(run_boxed)
    return broker


class DramatiqSystem:
    """A client of the workers."""

    def __init__(self, broker: RabbitmqBroker) -> None:
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._recorded = dramatiq.actor(actor_name="recorded", queue_name=RESULTS, broker=broker)(self._record)
        self._hello = broker.get_actor("hello")

    def run_one(self) -> None:
        """Submit one task; return when its result is here."""
        self.run_burst(1)

    def run_burst(self, count: int) -> None:
        """Submit so many tasks at once; return when every result is here."""
        for _ in range(count):
            self._hello.send_with_options(args=(CODE,), on_success=self._recorded)
        for _ in range(count):
            check(self._results.get(timeout=PATIENCE_SECONDS), EXPECTED)

    def _record(self, _message: dict[str, Any], output: str) -> None:
        self._results.put(output)


@contextmanager
def dramatiq_system(folder: Path, url: str) -> Iterator[DramatiqSystem]:
    """The workers and their client, while the context lasts."""
    words = ("dramatiq", "bench.dramatiq_worker", f"--processes={SLOTS}", "--threads=1", f"--queues={WORK}")
    with background(folder, "dramatiq", *words, env={URL: url}):
        broker = dramatiq_broker(url)
        system = DramatiqSystem(broker)
        receiver = dramatiq.Worker(broker, queues={RESULTS}, worker_threads=1)
        receiver.start()
        try:
            yield system
        finally:
            receiver.stop()
            broker.close()
