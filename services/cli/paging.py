"""Asks for a list page by page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

LARGEST = 1000


class PageRequest(Protocol):
    """What asks for a page."""

    page_size: int
    page_token: str


class Page(Protocol):
    """What answers."""

    next_page_token: str


Asking = TypeVar("Asking", bound=PageRequest)
Answering = TypeVar("Answering", bound=Page)


async def pages(
    ask: Callable[[Asking], Awaitable[Answering]], request: Asking, limit: int | None = None
) -> AsyncIterator[Answering]:
    """The pages, until so many have been asked for, or all."""
    while limit is None or limit > 0:
        request.page_size = LARGEST if limit is None else min(LARGEST, limit)
        page = await ask(request)
        yield page
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return
        limit = None if limit is None else limit - request.page_size
