"""Pages of a list: how large one may be, and the token that stands for where it ended. Pure."""

import base64
import binascii
from typing import Any

import msgspec

from taskandgo.rpc.refusal import Violation, invalid

DEFAULT_PAGE, MAX_PAGE = 100, 1000


def page_size(asked: int) -> int:
    """How many there are on a page; RefusalError if nobody may ask for so many."""
    if not 0 <= asked <= MAX_PAGE:
        raise invalid(Violation("page_size", f"is {asked}; allowed are 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}"))
    return asked or DEFAULT_PAGE


def page_token(place: Any) -> str:
    """A place in the list as the token of the page that begins after it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def page_place(token: str, kind: Any) -> Any:
    """The place that a token stands for; RefusalError if it stands for none."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise invalid(Violation("page_token", "is no token of an earlier page")) from error
