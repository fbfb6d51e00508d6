"""Times each statement that goes to the database, by what it does."""

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from taskandgo.telemetry.metrics import OTHER
from taskandgo.telemetry.process_metrics import PROCESS

VERBS = {verb: PROCESS.store_statement_seconds.labels(verb) for verb in ("select", "insert", "update", "delete", OTHER)}


def time_statements(engine: AsyncEngine) -> None:
    """Time the engine's statements from now on."""
    event.listen(engine.sync_engine, "before_cursor_execute", _begin)
    event.listen(engine.sync_engine, "after_cursor_execute", _end)


def _begin(*call: Any) -> None:
    context = call[4]
    context.began = time.monotonic()


def _end(*call: Any) -> None:
    statement, context = call[2], call[4]
    VERBS.get(statement[:6].lower(), VERBS[OTHER]).observe(time.monotonic() - context.began)
