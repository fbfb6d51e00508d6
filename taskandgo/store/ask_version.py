"""Asks which database is behind a store's address; nothing in it is read or changed."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.database import Database

STATEMENTS = {
    "sqlite": "SELECT 'SQLite ' || sqlite_version()",
    "postgresql": "SELECT 'PostgreSQL ' || setting FROM pg_settings WHERE name = 'server_version'",
}


async def store_version(url: str) -> str:
    """Which database answers, and its version; StoreAwayError if none does."""
    database = Database(url)
    try:
        return await database.read(_version)
    finally:
        await database.close()


async def _version(connection: AsyncConnection) -> str:
    told: str = (await connection.execute(text(STATEMENTS[connection.dialect.name]))).scalar_one()
    return told
