"""Opens the store for as long as a service runs; its schema is brought up to date first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskandgo.store.database import Database
from taskandgo.store.migrate import migrate
from taskandgo.store.store import Store


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The store at a `sqlite:///path` or `postgresql://…` address; leaving the context commits what is under way."""
    await migrate(url)
    database = Database(url)
    store = Store(database)
    try:
        yield store
    finally:
        await store.drain()
        await database.close()
