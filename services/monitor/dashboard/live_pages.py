"""Pages that somebody looks at: each is read and rendered once, however many look at it.

Promises: a page is read again when something happened, at the latest after some seconds, and reading takes at most
a tenth of the time; a slow viewer misses states in between, and holds nothing; nothing is read for nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from services.monitor.dashboard.frames import KEEP_ALIVE, Frame

MOST_PAGES = 100
MOST_VIEWERS = 1000
TICK_SECONDS = 0.5
#: How long a change that no event told of can stay unseen.
STALE_SECONDS = 2.0
#: How much longer than a reading takes the pause after it is.
PAUSE_FACTOR = 9
KEEP_ALIVE_SECONDS = 15.0

log = structlog.get_logger()


class LivePage(Protocol):
    """A page that can be kept current."""

    def following(self) -> AbstractAsyncContextManager[object]:
        """What has to be there while somebody looks."""
        ...

    async def frames(self) -> Sequence[Frame]:
        """Everything it shows now."""
        ...

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """What was appended after a place (0: all there is), and the place to go on from."""
        ...

    def stamp(self) -> object:
        """Something that differs when it may be worth reading again."""
        ...


@dataclass(slots=True)
class _Shown:
    """A page as it is now: each place with the number of the change that made it so."""

    page: LivePage
    viewers: int = 0
    changes: int = 0
    places: dict[str, tuple[int, Frame]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, frames: Sequence[Frame]) -> None:
        """Remember what is new."""
        for frame in frames:
            if frame.place not in self.places or self.places[frame.place][1] != frame:
                self.changes += 1
                self.places[frame.place] = (self.changes, frame)

    def wake(self) -> None:
        """Let every viewer look."""
        self.changed.set()
        self.changed = asyncio.Event()

    def since(self, seen: int) -> bytes:
        """All that is new to who has seen so many changes, the oldest first."""
        return b"".join(
            frame.encoded() for number, frame in sorted(self.places.values(), key=lambda one: one[0]) if number > seen
        )


class TooManyError(Exception):
    """More pages, or more viewers, than this monitor serves at a time."""


class LivePages:
    """The pages that are looked at, by their address."""

    def __init__(self) -> None:
        self._pages: dict[str, _Shown] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    async def follow(self, address: str, page: LivePage) -> AsyncGenerator[bytes]:
        """What to send to one more viewer, until it goes or the monitor stops; TooManyError at first.

        `page` is what is shown unless somebody looks at the same address already.
        """
        shown = self._enter(address, page)
        loop = asyncio.get_running_loop()
        try:
            seen, logged, quiet_since = 0, 0, loop.time()
            while not self._closed.is_set():
                changed = shown.changed
                logged, appended = shown.page.logged_since(logged)
                if news := shown.since(seen) + (appended.encoded() if appended else b""):
                    seen, quiet_since = shown.changes, loop.time()
                    yield news
                elif loop.time() >= quiet_since + KEEP_ALIVE_SECONDS:
                    quiet_since = loop.time()
                    yield KEEP_ALIVE
                await _within(changed, quiet_since + KEEP_ALIVE_SECONDS - loop.time())
        finally:
            shown.viewers -= 1
            if not shown.viewers and self._pages.get(address) is shown:
                # Its reading ends by itself: breaking into a transaction would cost its connection.
                del self._pages[address]

    async def close(self) -> None:
        """Let every viewer go; return when nothing is read any more."""
        self._closed.set()
        for shown in self._pages.values():
            shown.wake()
        await asyncio.gather(*self._keeping)

    def _enter(self, address: str, page: LivePage) -> _Shown:
        full = address not in self._pages and len(self._pages) >= MOST_PAGES
        if full or sum(shown.viewers for shown in self._pages.values()) >= MOST_VIEWERS:
            raise TooManyError
        shown = self._pages.get(address)
        if shown is None:
            shown = self._pages[address] = _Shown(page)
            keeping = asyncio.get_running_loop().create_task(self._keep_current(shown))
            self._keeping.add(keeping)
            keeping.add_done_callback(self._keeping.discard)
        shown.viewers += 1
        return shown

    async def _keep_current(self, shown: _Shown) -> None:
        loop = asyncio.get_running_loop()
        async with shown.page.following():
            while shown.viewers and not self._closed.is_set():
                stamp, began_at = shown.page.stamp(), loop.time()
                await _read(shown)
                await _within(self._closed, max(TICK_SECONDS, PAUSE_FACTOR * (loop.time() - began_at)))
                while self._is_current(shown, stamp) and loop.time() < began_at + STALE_SECONDS:
                    await _within(self._closed, TICK_SECONDS)

    def _is_current(self, shown: _Shown, stamp: object) -> bool:
        return shown.viewers > 0 and shown.page.stamp() == stamp and not self._closed.is_set()


async def _read(shown: _Shown) -> None:
    try:
        shown.show(await shown.page.frames())
    except Exception:
        # What one reading stumbles over the next may not; until then the viewers keep what they have.
        # They are not woken: whoever is woken for nothing again and again never comes to keep its connection alive.
        log.exception("dashboard.page_failed")
    else:
        shown.wake()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
