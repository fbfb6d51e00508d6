"""Brings the schema up to date; run by every service at its start and by `taskandgo migrate`.

Promises: many processes may do it at once; one does, the others wait and find nothing to do.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from taskandgo.errors import StoreAwayError
from taskandgo.store.database import make_engine

#: Any number that only this product locks by.
LOCK = 7_462_051


async def migrate(url: str) -> None:
    """Migrate the database at the address."""
    engine = make_engine(url)
    try:
        await migrate_engine(engine)
    finally:
        await engine.dispose()


async def migrate_engine(engine: AsyncEngine) -> None:
    """Migrate over an engine; StoreAwayError if the database cannot be reached."""
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except (OSError, OperationalError) as error:
        raise StoreAwayError(f"the store is away: {error}") from error


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    else:
        # The driver begins late; beginning to write now keeps a second process waiting from here on.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
