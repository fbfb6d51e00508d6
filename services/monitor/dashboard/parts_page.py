"""A page that is read as one value, of which its parts are made; nothing of it is only appended to."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from services.monitor.dashboard.frames import Frame
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.rendering import Rendering


@dataclass(frozen=True, slots=True)
class PartsPage:
    """Such a page; `news` is worth a look when it differs, `more` is what its scripts take besides the parts."""

    events: LiveEvents
    rendering: Rendering
    parts: Sequence[str]
    read: Callable[[], Awaitable[msgspec.Struct]]
    news: Callable[[LiveEvents], object] = attrgetter("count")
    more: Callable[[Any], Sequence[Frame]] = lambda _shown: ()

    def following(self) -> AbstractAsyncContextManager[object]:
        """Events tell when to look again."""
        return self.events.looking()

    def stamp(self) -> object:
        """The news."""
        return self.news(self.events)

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """Nothing is appended here."""
        return place, None

    async def frames(self) -> Sequence[Frame]:
        """Its parts, and what there is more."""
        shown = await self.read()
        return [*self.rendering.parts(self.parts, shown), *self.more(shown)]
