"""A schema changes while services of two releases use it: nobody is turned away, and no one waits for long."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Engine, event, text

from taskandgo.store.connect import open_store
from taskandgo.store.database import Database
from taskandgo.store.migrate import migrate
from tests.servers.postgres import fresh_database

#: What the release before, which still reads and writes the schema, does not stumble over.
ADDS = re.compile(
    r"CREATE (TABLE|INDEX|UNIQUE INDEX) |ALTER TABLE \w+ ADD COLUMN |UPDATE |INSERT INTO alembic_version "
    r"|ALTER TABLE \w+ ALTER COLUMN \w+ SET STORAGE |SELECT |PRAGMA |SET LOCAL |BEGIN|SHOW |show "
)


@pytest.fixture
def fresh_url(url: str) -> str:
    """The address of a database of the test's own, with nothing in it: on SQLite and PostgreSQL in turn."""
    if url.startswith("sqlite"):
        return url.replace("store.db", f"{uuid4().hex}.db")
    return fresh_database(url)


async def _run(url: str, statement: str) -> None:
    database = Database(url)
    await database.write(lambda connection: connection.execute(text(statement)))
    await database.close()


async def test_many_may_migrate_at_once(fresh_url: str) -> None:
    await asyncio.gather(*(migrate(fresh_url) for _ in range(8)))

    async with open_store(fresh_url) as store:
        await store.ping()


async def test_a_schema_of_the_next_release_is_worked_with_and_left_alone(fresh_url: str) -> None:
    await migrate(fresh_url)
    await _run(fresh_url, "ALTER TABLE task ADD COLUMN of_the_next_release INTEGER NOT NULL DEFAULT 7")
    await _run(fresh_url, "UPDATE alembic_version SET version_num = '9999'")

    async with open_store(fresh_url) as store:
        await store.ping()
    await _run(fresh_url, "SELECT of_the_next_release FROM task")


async def test_a_migration_only_adds_what_the_release_before_need_not_know(fresh_url: str) -> None:
    statements: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        await migrate(fresh_url)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)

    added = [one for one in statements if "ADD COLUMN" in one]
    assert added
    assert [one for one in statements if not ADDS.match(one)] == []
    assert [one for one in added if "NOT NULL" in one and "DEFAULT" not in one] == []


async def test_a_migration_gives_way_to_whoever_uses_its_table(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskandgo.store.migrate.LOCK_TIMEOUT", "200ms")
    monkeypatch.setattr("taskandgo.store.migrate.PAUSE_SECONDS", 0.2)
    url = fresh_database(postgres_url)
    user, other = await asyncpg.connect(url), await asyncpg.connect(url)
    await user.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    transaction = user.transaction()
    await transaction.start()
    await user.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")

    migrating = asyncio.create_task(migrate(url))
    await _until_waiting(other, wanted=True)  # for the table, in front of everybody who comes later
    await _until_waiting(other, wanted=False)  # and no more, though the table is as busy as before
    assert not migrating.done()
    await transaction.rollback()
    await migrating

    assert await other.fetchval("SELECT count(*) FROM task") == 0
    await user.close()
    await other.close()


async def _until_waiting(connection: asyncpg.Connection, *, wanted: bool) -> None:
    async with asyncio.timeout(20):
        while wanted != await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation') FROM pg_sleep(0.01)"
        ):
            pass
