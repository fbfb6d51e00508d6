"""The connection to SQLite or PostgreSQL: transactions, and what counts as the store being away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from taskandgo.errors import StoreAwayError

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
#: PostgreSQL's codes for a serialization failure and a deadlock: the same transaction succeeds when repeated.
REPEATABLE = ("40001", "40P01")
TRIES = 5
CONNECT_SECONDS = 5

Answer = TypeVar("Answer")


def make_engine(url: str) -> AsyncEngine:
    """An engine for a `sqlite://` or `postgresql://` address."""
    parsed = make_url(url)
    driver = DRIVERS[parsed.get_backend_name()]
    if parsed.get_backend_name() == "postgresql":
        arguments = {"timeout": CONNECT_SECONDS, "command_timeout": 60}
        return create_async_engine(
            parsed.set(drivername=driver), pool_size=8, max_overflow=8, pool_timeout=10, connect_args=arguments
        )
    # One connection is one writer: SQLite has no more, and a second one would only wait for locks.
    engine = create_async_engine(parsed.set(drivername=driver), poolclass=StaticPool)
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    return engine


class Database:
    """Runs transactions, one at a time on SQLite."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._alone = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    async def run(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """The work in one transaction, repeated if another one got in its way; StoreAwayError if it cannot be."""
        for remaining in reversed(range(TRIES)):
            try:
                async with self._transaction() as connection:
                    return await work(connection)
            except DBAPIError as error:
                if _is_away(error):
                    raise StoreAwayError(f"the store is away: {error.orig}") from error
                if not remaining or getattr(error.orig, "sqlstate", None) not in REPEATABLE:
                    raise
            except (OSError, TimeoutError, PoolTimeoutError) as error:
                raise StoreAwayError(f"the store is away: {error}") from error
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        if self._alone is None:
            async with self._engine.begin() as connection:
                yield connection
        else:
            async with self._alone, self._engine.begin() as connection:
                yield connection


def _is_away(error: DBAPIError) -> bool:
    return (
        error.connection_invalidated
        or isinstance(error, (OperationalError, InterfaceError))
        # Shutdown, too many connections, connection failures, read-only: classes 57, 53, 08 and 25.
        or str(getattr(error.orig, "sqlstate", "") or "")[:2] in {"57", "53", "08", "25"}
    )


def _tune_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
