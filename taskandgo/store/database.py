"""The connection to SQLite or PostgreSQL: transactions, and what counts as the store being away."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg
from sqlalchemy import Table, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from taskandgo.errors import SettingsError, StoreAwayError
from taskandgo.store.absence import Absence
from taskandgo.store.time_statements import time_statements
from taskandgo.telemetry.process_metrics import PROCESS

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
#: PostgreSQL's codes for a serialization failure and a deadlock: the same transaction succeeds when repeated.
REPEATABLE = ("40001", "40P01")
TRIES = 5
LONGEST_PAUSE_SECONDS = 0.05
CONNECT_SECONDS = 5
#: What asyncpg raises past SQLAlchemy while it connects.
LOST = (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)

Answer = TypeVar("Answer")


def make_engine(
    url: str, begin: str = "BEGIN IMMEDIATE", connections: int = 1, timeout_seconds: float = CONNECT_SECONDS
) -> AsyncEngine:
    """An engine for a `sqlite://` or `postgresql://` address.

    `begin` and `connections` count on SQLite only, `timeout_seconds` on PostgreSQL: for a connect and a statement each.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend not in DRIVERS:
        raise SettingsError(f"STORE_URL begins with {backend!r}; allowed are postgresql:// and sqlite:///")
    parsed = parsed.set(drivername=DRIVERS[backend])
    if backend == "postgresql":
        arguments = {"timeout": min(timeout_seconds, CONNECT_SECONDS), "command_timeout": timeout_seconds}
        return create_async_engine(
            parsed, pool_size=8, max_overflow=8, pool_timeout=timeout_seconds, connect_args=arguments
        )
    engine = create_async_engine(
        parsed, poolclass=AsyncAdaptedQueuePool, pool_size=connections, max_overflow=0, pool_timeout=60
    )
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    # The driver would begin at the first write only, and what was read before it could be out of date.
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


class Database:
    """Runs transactions; on SQLite, writes go over one connection, and reads over others."""

    def __init__(self, url: str, timeout_seconds: float = CONNECT_SECONDS) -> None:
        self._writer = make_engine(url, timeout_seconds=timeout_seconds)
        alone = self._writer.dialect.name == "sqlite"
        # PostgreSQL shows each statement what is committed, in a transaction or without; one costs two round trips.
        unbound = self._writer.execution_options(isolation_level="AUTOCOMMIT")
        self._reader = make_engine(url, "BEGIN", connections=4) if alone else unbound
        self._changer = self._writer if alone else unbound
        self._absence = Absence(self._ask)
        # SQLite's readers see one instant anyway.
        repeatable = self._writer.execution_options(isolation_level="REPEATABLE READ")
        self._snapshot = self._reader if alone else repeatable
        for engine in {self._writer, self._reader if alone else self._writer}:
            time_statements(engine)
        self._write_seconds = PROCESS.store_transaction_seconds.labels("write")
        self._read_seconds = PROCESS.store_transaction_seconds.labels("read")

    async def write(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """The work in one transaction, repeated if another one got in its way; StoreAwayError if it cannot be."""
        with self._write_seconds.time():
            return await self._run(self._writer, work)

    async def change(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """The same for work of a single statement, which needs no transaction around it."""
        with self._write_seconds.time():
            return await self._run(self._changer, work)

    async def read(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """The same for work that changes nothing."""
        with self._read_seconds.time():
            return await self._run(self._reader, work)

    async def read_one_instant(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """The same where all statements have to see the same instant."""
        with self._read_seconds.time():
            return await self._run(self._snapshot, work)

    async def close(self) -> None:
        """Close every connection."""
        await self._absence.close()
        await self._writer.dispose()
        await self._reader.dispose()

    async def _run(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        self._absence.check()
        try:
            return await _repeated(engine, work)
        except PoolTimeoutError as error:
            raise StoreAwayError("the store is away: every connection is busy") from error
        except TimeoutError as error:
            self._absence.begin()
            raise StoreAwayError("the store is away: it hangs") from error
        except (OSError, *LOST) as error:
            raise StoreAwayError(f"the store is away: {error}") from error

    async def _ask(self) -> None:
        # Those that wait in the pool may hang as well.
        await self._writer.dispose()
        await _transaction(self._reader, lambda connection: connection.execute(text("SELECT 1")))


def insert_new(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that leaves rows alone whose key is there; both databases say it alike, SQLAlchemy has one each."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def upsert(dialect: str, table: Table, names: Sequence[str]) -> sqlite.Insert | postgresql.Insert:
    """An insert that gives these columns of rows that are there their new values."""
    if dialect == "sqlite":
        new = sqlite.insert(table)
        return new.on_conflict_do_update(set_={name: new.excluded[name] for name in names})
    added = postgresql.insert(table)
    values = {name: added.excluded[name] for name in names}
    return added.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


async def _repeated(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    for again in range(TRIES):
        try:
            return await _transaction(engine, work)
        except DBAPIError as error:
            if again < TRIES - 1 and (_is_repeatable(error) or getattr(error, "before_commit", False)):
                await asyncio.sleep(LONGEST_PAUSE_SECONDS * again * random.random())  # noqa: S311 - jitter, no secret
                continue
            if _is_away(error):
                raise StoreAwayError(f"the store is away: {error.orig}") from error
            raise
    raise AssertionError("the last try returns or raises")


async def _transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    async with engine.connect() as connection:
        done = False
        try:
            await connection.begin()
            answer = await work(connection)
            done = True
            await connection.commit()
        except TimeoutError:
            # It would only hang again over being rolled back.
            await connection.invalidate()
            raise
        except DBAPIError as error:
            # A connection of the pool may be dead since long; whether a lost commit was made cannot be known.
            error.before_commit = error.connection_invalidated and not done  # type: ignore[attr-defined]
            raise
        else:
            return answer


def _is_repeatable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in REPEATABLE


def _is_away(error: DBAPIError) -> bool:
    return (
        error.connection_invalidated
        or isinstance(error, (OperationalError, InterfaceError))
        # Shutdown, too many connections, connection failures, read-only: classes 57, 53, 08 and 25.
        or str(getattr(error.orig, "sqlstate", "") or "")[:2] in {"57", "53", "08", "25"}
    )


def _tune_sqlite(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
