"""An instant as people write it: so long from now, or a date and a time."""

import re
from datetime import datetime, timedelta

import typer

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
FROM_NOW = re.compile(r"\+?(\d+(?:\.\d+)?)([smhd])")


def parse_instant(text: str, option: str, now: datetime) -> datetime:
    """The instant, aware; a time without a zone is local. A usage error says how it is written."""
    try:
        if found := FROM_NOW.fullmatch(text):
            return now + timedelta(**{UNITS[found[2]]: float(found[1])})
        return datetime.fromisoformat(text).astimezone(now.tzinfo)
    except (ValueError, OverflowError) as error:
        allowed = "write how long from now (90s, 10m, 2h, 1d) or a time such as 2030-01-31T12:00 or …T12:00Z"
        raise typer.BadParameter(f"{text!r} is no instant; {allowed}", param_hint=option) from error
