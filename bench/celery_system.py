"""Celery on the same RabbitMQ: prefork workers, late acks, prefetch 1, results as persistent messages (rpc://)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery, Task  # type: ignore[import-untyped]

from bench.boxed import CODE, EXPECTED, run_boxed
from bench.processes import background
from bench.system import PATIENCE_SECONDS, SLOTS, check

URL = "BENCH_CELERY_URL"
OPTIONS = ("--pool=prefork", f"--concurrency={SLOTS}", "-Ofair", "--loglevel=warning", "--without-gossip")


def celery_app(url: str) -> Celery:
    """The application, as worker and client know it; its task is `hello`."""
    app = Celery("bench", broker=url, backend="rpc://", set_as_current=False)
    app.conf.update(
        task_default_queue="bench.celery",
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        result_persistent=True,
        worker_hijack_root_logger=False,
    )
    app.task(run_boxed, name="hello", bind=False)
    return app


class CelerySystem:
    """A client of the worker."""

    def __init__(self, app: Celery) -> None:
        self._hello: Task = app.tasks["hello"]

    def run_one(self) -> None:
        """Submit one task; return when its result is here."""
        check(self._hello.delay(CODE).get(timeout=PATIENCE_SECONDS), EXPECTED)

    def run_burst(self, count: int) -> None:
        """Submit so many tasks at once; return when every result is here."""
        results = [self._hello.delay(CODE) for _ in range(count)]
        for result in results:
            check(result.get(timeout=PATIENCE_SECONDS), EXPECTED)


@contextmanager
def celery_system(folder: Path, url: str) -> Iterator[CelerySystem]:
    """A worker and its client, while the context lasts."""
    words = ("celery", "--app=bench.celery_worker", "worker", "--without-mingle", *OPTIONS)
    with background(folder, "celery", *words, env={URL: url}), celery_app(url) as app:
        try:
            yield CelerySystem(app)
        finally:
            # Closing the application leaves the connection that results come by open.
            app.backend.result_consumer.stop()
