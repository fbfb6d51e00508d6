"""Opens the store for as long as a service runs; its schema is brought up to date first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskandgo.store.database import CONNECT_SECONDS, Database
from taskandgo.store.migrate import migrate
from taskandgo.store.store import Store


@asynccontextmanager
async def open_store(url: str, timeout_seconds: float = CONNECT_SECONDS) -> AsyncIterator[Store]:
    """The store at a `sqlite:///path` or `postgresql://…` address; leaving the context commits what is under way.

    A connect or statement of PostgreSQL that takes longer than `timeout_seconds` shows that the store is away.
    """
    await migrate(url)
    database = Database(url, timeout_seconds)
    store = Store(database)
    try:
        yield store
    finally:
        await store.drain()
        await database.close()
