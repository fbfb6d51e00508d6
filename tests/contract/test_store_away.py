"""What callers see while PostgreSQL hangs, takes no writes, or has two transactions in each other's way."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.errors import StoreAwayError
from taskandgo.store.connect import open_store
from taskandgo.store.database import Database
from taskandgo.store.records import Acceptance
from tests.chaos.proxy import Proxy
from tests.contract.store_steps import submission
from tests.servers.postgres import fresh_database

TIMEOUT_SECONDS = 1.0
AT_ONCE_SECONDS = 0.2


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy((urlsplit(postgres_url).port or 5432,)).running() as running:
        yield running


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}").geturl()


async def test_nobody_waits_for_a_store_that_hangs(proxy: Proxy, postgres_url: str) -> None:
    url = through(proxy, fresh_database(postgres_url))
    async with open_store(url, TIMEOUT_SECONDS) as store:
        await asyncio.gather(*(store.ping() for _ in range(4)))
        proxy.silent = True
        async with asyncio.timeout(TIMEOUT_SECONDS + 3):
            with pytest.raises(StoreAwayError):
                await store.accept_task(submission())
        for _ in range(20):
            async with asyncio.timeout(AT_ONCE_SECONDS):
                with pytest.raises(StoreAwayError):
                    await store.accept_task(submission())
        proxy.heal()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await store.accept_task(submission()) is Acceptance.ACCEPTED
                except StoreAwayError:
                    await asyncio.sleep(0.1)
                else:
                    break


async def test_a_store_that_takes_no_writes_is_away(postgres_url: str) -> None:
    url = fresh_database(postgres_url)
    async with open_store(url) as store:
        connection = await asyncpg.connect(url)
        await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on; ")
        await connection.execute("SELECT pg_reload_conf()")
        try:
            await asyncio.sleep(0.5)
            await store.ping()
            with pytest.raises(StoreAwayError, match="read-only"):
                await store.accept_task(submission())
        finally:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()
        await asyncio.sleep(0.5)
        assert await store.accept_task(submission()) is Acceptance.ACCEPTED


async def test_transactions_that_lock_each_other_out_are_repeated(postgres_url: str) -> None:
    database = Database(fresh_database(postgres_url))
    await database.write(lambda c: c.execute(text("CREATE TABLE place (id int PRIMARY KEY, visits int)")))
    await database.write(lambda c: c.execute(text("INSERT INTO place VALUES (1, 0), (2, 0)")))

    async def visit(connection: AsyncConnection, order: tuple[int, int]) -> None:
        for place in order:
            await connection.execute(text("UPDATE place SET visits = visits + 1 WHERE id = :place"), {"place": place})
            await asyncio.sleep(0.1)

    await asyncio.gather(database.write(lambda c: visit(c, (1, 2))), database.write(lambda c: visit(c, (2, 1))))
    visits = await database.read(lambda c: c.execute(text("SELECT visits FROM place")))
    assert visits.scalars().all() == [2, 2]
    await database.close()
