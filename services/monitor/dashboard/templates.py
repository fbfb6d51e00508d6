"""The pages' templates: everything put into them is escaped, and a name that is missing is an error."""

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from taskandgo import __version__
from taskandgo.explanation.phrases import duration, size

#: Where there is no instant.
NOTHING = "\N{EN DASH}"
FOLDER = Path(__file__).parents[1] / "templates"


def make_templates() -> Environment:
    """The templates, with the filters that they use."""
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for show in (age, clock, duration, lasting, size, thousands):
        found.filters[show.__name__] = show
    found.globals["version"] = __version__
    return found


def age(instant: datetime | None) -> str:
    """The instant, shown by the page's script as how long ago it was; it does not change with the time."""
    return _time(instant, "age") if instant else NOTHING


def clock(instant: datetime | None) -> str:
    """The instant, shown in the reader's own time zone."""
    return _time(instant, "clock") if instant else NOTHING


def lasting(instant: datetime) -> str:
    """How long something lasts that began then, counted on by the page's script."""
    return _time(instant, "lasting")


def thousands(number: float) -> str:
    """The number with its thousands apart."""
    return f"{number:,}"


def _time(instant: datetime, how: str) -> Markup:
    text = f"{instant:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" data-show="{}" title="{}">{}</time>').format(
        instant.isoformat(), how, text, text
    )
