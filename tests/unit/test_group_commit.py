"""Callers that share a commit share nothing else: not a mistake, and not an answer."""

import asyncio
from collections.abc import Sequence

import pytest

from taskandgo.errors import StoreAwayError
from taskandgo.store.group_commit import GroupCommit


class Flushes:
    """What was flushed together; some items cannot be, and the store may be away."""

    def __init__(self, *, away: bool = False) -> None:
        self.groups: list[Sequence[int]] = []
        self._away = away

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        """Ten times each item."""
        self.groups.append(items)
        await asyncio.sleep(0)
        if self._away:
            raise StoreAwayError("away")
        if any(item < 0 for item in items):
            raise ValueError("below zero")
        return [10 * item for item in items]


async def answers(flushes: Flushes, *items: int) -> list[int | BaseException]:
    """What each of those that come at once is told."""
    commit = GroupCommit(flushes)
    return await asyncio.gather(*map(commit.submit, items), return_exceptions=True)


async def test_those_that_come_at_once_are_flushed_together() -> None:
    flushes = Flushes()
    assert await answers(flushes, 1, 2, 3) == [10, 20, 30]
    assert flushes.groups == [[1, 2, 3]]


async def test_what_cannot_be_committed_fails_alone() -> None:
    one, bad, other = await answers(Flushes(), 1, -2, 3)
    assert (one, other) == (10, 30)
    assert isinstance(bad, ValueError)


async def test_a_store_that_is_away_is_not_asked_for_each() -> None:
    flushes = Flushes(away=True)
    assert all(isinstance(answer, StoreAwayError) for answer in await answers(flushes, 1, 2, 3))
    assert flushes.groups == [[1, 2, 3]]


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_who_gives_up_takes_nobody_with_it(leaver: int) -> None:
    commit = GroupCommit(Flushes())
    callers = [asyncio.create_task(commit.submit(item)) for item in range(3)]
    await asyncio.sleep(0)
    callers[leaver].cancel()
    stayed = [caller for caller in callers if caller is not callers[leaver]]
    assert await asyncio.gather(*stayed) == [10 * item for item in range(3) if item != leaver]
