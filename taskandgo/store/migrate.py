"""Brings the schema up to date; run by every service at its start and by `taskandgo migrate`.

Promises: many processes may do it at once; one does, the others wait and find nothing to do. A schema that a later
release has brought up to date is left as it is, since its additions hurt nobody: so a release can be rolled back. No
statement of a migration makes others wait for long for a table that is in use; it gives way, and is tried again.
"""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from taskandgo.store.database import Database

#: Any number that only this product locks by.
LOCK = 7_462_051
#: What one step of a migration may take: an index over a large table.
LONGEST_SECONDS = 3600.0
#: PostgreSQL's code for a lock that was not to be had in time.
IN_USE = "55P03"
LOCK_TIMEOUT = "2s"
PAUSE_SECONDS = 1.0
TRIES = 60


async def migrate(url: str) -> None:
    """Migrate the database at the address; StoreAwayError if it cannot be reached."""
    database = Database(url, LONGEST_SECONDS)
    try:
        await _until_unused(database)
    finally:
        await database.close()


async def _until_unused(database: Database) -> None:
    for remaining in reversed(range(TRIES)):
        try:
            return await database.write(lambda connection: connection.run_sync(_upgrade))
        except DBAPIError as error:
            if not remaining or getattr(error.orig, "sqlstate", None) != IN_USE:
                raise
            await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


def _upgrade(connection: Connection) -> None:
    # On SQLite the transaction has begun to write already, which keeps everybody else waiting.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if not _is_of_a_later_release(connection, config):
        command.upgrade(config, "head")


def _is_of_a_later_release(connection: Connection, config: Config) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return not known.issuperset(MigrationContext.configure(connection).get_current_heads())
