"""A page is read once for all who look at it, and for nobody when nobody does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from services.monitor.dashboard import live_pages
from services.monitor.dashboard.frames import KEEP_ALIVE, Frame
from services.monitor.dashboard.live_pages import LivePages, TooManyError


@dataclass
class Counted:
    """A page that shows how often it was read."""

    readings: int = 0
    followed: int = 0
    broken: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Count who follows."""
        self.followed += 1
        yield
        self.followed -= 1
        self.left.set()

    def stamp(self) -> object:
        """Something always happens."""
        return object()

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """Nothing is appended."""
        return place, None

    async def frames(self) -> Sequence[Frame]:
        """One place that changes, one that stays."""
        self.readings += 1
        if self.broken:
            raise ValueError("cannot be read")
        return [Frame("changes", str(self.readings)), Frame("stays", "the same")]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_pages, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(live_pages, "PAUSE_FACTOR", 0)


async def test_all_who_look_share_one_reading() -> None:
    pages, page = LivePages(), Counted()
    viewers = [pages.follow("/", page if number == 0 else Counted()) for number in range(100)]
    seen = await asyncio.gather(*(anext(viewer) for viewer in viewers))
    assert len(set(seen)) == 1
    assert page.followed == 1
    again = await asyncio.gather(*(anext(viewer) for viewer in viewers))
    assert page.readings < 50
    assert all(b"changes" in news and b"stays" not in news for news in again)
    await pages.close()
    assert page.followed == 0


async def test_who_comes_later_gets_all_there_is_and_who_is_slow_the_newest() -> None:
    pages, page = LivePages(), Counted()
    slow = pages.follow("/", page)
    await anext(slow)
    quick = pages.follow("/", Counted())
    for _ in range(5):
        await anext(quick)
    news = (await anext(slow)).decode()
    assert news.count("hx-target") == 1
    assert b"stays" in await anext(pages.follow("/", Counted()))
    await pages.close()


async def test_nothing_is_read_for_nobody() -> None:
    pages, page = LivePages(), Counted()
    viewer = pages.follow("/", page)
    await anext(viewer)
    await viewer.aclose()
    async with asyncio.timeout(5):
        await page.left.wait()
    assert page.followed == 0


async def test_a_page_that_cannot_be_read_keeps_its_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_pages, "KEEP_ALIVE_SECONDS", 0.02)
    pages, page = LivePages(), Counted(broken=True)
    viewer = pages.follow("/", page)
    # Where logs are not set up, an error is drawn with all it has to do with, which takes longer than the page's turn.
    with capture_logs() as logged:
        assert await anext(viewer) == KEEP_ALIVE
        page.broken = False
    assert {line["event"] for line in logged} == {"dashboard.page_failed"}
    while (news := await anext(viewer)) == KEEP_ALIVE:
        pass
    assert b"stays" in news
    await pages.close()


async def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_pages, "MOST_VIEWERS", 2)
    pages = LivePages()
    viewers = [pages.follow("/", Counted()) for _ in range(3)]
    await asyncio.gather(*(anext(viewer) for viewer in viewers[:2]))
    with pytest.raises(TooManyError):
        await anext(viewers[2])
    await pages.close()
