"""Opens the store that an address names, its schema up to date."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskandgo.store.database import Database, make_engine
from taskandgo.store.migrate import migrate_engine
from taskandgo.store.store import Store


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The store; StoreAwayError if its database cannot be reached. Leaving the context closes it."""
    engine = make_engine(url)
    try:
        await migrate_engine(engine)
        yield Store(Database(engine))
    finally:
        await engine.dispose()
