"""Shows an explanation: the headline, the other reasons, each with its code, and what to do."""

from rich.console import Console
from rich.text import Text

from services.cli.showing import COLOURS
from taskandgo.api import scheduler_pb2 as api


def show_explanation(explanation: api.Explanation) -> None:
    """Print it; lines are wrapped on a terminal only."""
    console = Console()
    console.print(explanation_text(explanation), soft_wrap=not console.is_terminal)


def explanation_text(explanation: api.Explanation) -> Text:
    """The explanation as it is shown to people."""
    first, *others = explanation.reasons
    headline = Text(explanation.headline, f"bold {COLOURS.get(explanation.state, 'yellow')}")
    lines = [
        headline.append_text(_code(first)),
        *(Text(f"  also: {one.text}").append_text(_code(one)) for one in others),
    ]
    return Text("\n").join([*lines, *(Text(f"  -> {line}", "green") for line in explanation.todo)])


def _code(reason: api.Reason) -> Text:
    word = api.ReasonCode.Name(reason.code).removeprefix("REASON_CODE_").lower()
    return Text(f"  [{word}]", "dim")
