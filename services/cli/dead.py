"""`taskandgo dead list|show|replay|purge`: the messages that nobody could deal with, on the broker of BROKER_URL."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from services.cli import options
from services.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from services.cli.dead_letters import Letter
    from taskandgo.broker.broker import Broker

dead = typer.Typer(
    help="Look at, publish again or throw away messages that nobody could deal with.", no_args_is_help=True
)

LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The letters' ids, as `dead list` shows.")]
All = Annotated[bool, typer.Option("--all", help="All of them, instead of some by their ids.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Answer = TypeVar("Answer")


@dead.command("list")
def list_letters(*, limit: options.Limit = 100, json: Json = False) -> None:
    """List dead letters, the oldest first; they stay where they are."""

    async def look(broker: "Broker") -> list[dict[str, Any]]:
        from services.cli.dead_letters import held

        async with held(broker, limit) as letters:
            return [letter.summary() for letter in letters]

    letters = _on_broker(look)
    if json:
        return _print_json(letters)
    return _show(letters)


@dead.command()
def show(*, letter_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Show one dead letter with all it says; it stays where it is."""

    async def look(broker: "Broker") -> list[dict[str, Any]]:
        from services.cli.dead_letters import held

        async with held(broker) as letters:
            return [letter.whole() for letter in _chosen(letters, [letter_id], everything=False)][:1]

    letters = _on_broker(look)
    if json:
        return _print_json(letters)
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(letters[0])))
    return None


@dead.command()
def replay(*, letter_ids: LetterIds = None, all: All = False, json: Json = False) -> None:  # noqa: A002 - the option's name
    """Publish dead letters again, each by its route, and take them out. What cannot be read stays; then exits 1."""

    async def again(broker: "Broker") -> tuple[list[str], list[str]]:
        from services.cli.dead_letters import held
        from services.cli.dead_letters import replay as publish_again

        done: list[str] = []
        left: list[str] = []
        async with held(broker) as letters:
            for letter in _chosen(letters, letter_ids, everything=all):
                (done if await publish_again(broker, letter) else left).append(letter.id)
        return done, left

    done, left = _on_broker(again)
    _report(json, f"Published again: {len(done)}.", replayed=done, unreadable=left)
    if left:
        typer.echo(f"taskandgo: no message that this version knows: {', '.join(left)}", err=True)
        raise typer.Exit(ExitCode.WRONG)


@dead.command()
def purge(*, letter_ids: LetterIds = None, all: All = False, json: Json = False) -> None:  # noqa: A002 - the option's name
    """Throw dead letters away."""

    async def throw_away(broker: "Broker") -> list[str]:
        from services.cli.dead_letters import held

        gone: list[str] = []
        while True:
            async with held(broker) as letters:
                for letter in (chosen := _chosen(letters, letter_ids, everything=all)):
                    letter.take_out()
            gone += [letter.id for letter in chosen]
            if not (all and chosen):
                return gone

    gone = _on_broker(throw_away)
    _report(json, f"Thrown away: {len(gone)}.", purged=gone)


def _on_broker(work: "Callable[[Broker], Coroutine[Any, Any, Answer]]") -> Answer:
    import asyncio

    from services.cli.dead_letters import dead_letter_broker
    from taskandgo.settings import BrokerSettings, LogSettings, load
    from taskandgo.telemetry.logs import configure_logs

    async def connected() -> Answer:
        async with dead_letter_broker(load(BrokerSettings)) as broker:
            return await work(broker)

    # A reconnect is no business of whoever looks at letters.
    configure_logs(load(LogSettings).model_copy(update={"log_level": "error"}), "dead")
    return asyncio.run(connected())


def _chosen(letters: "list[Letter]", ids: list[str] | None, *, everything: bool) -> "list[Letter]":
    if bool(ids) == everything:
        raise typer.BadParameter("name letters by their ids, or say --all", param_hint="ID")
    missing = set(ids or ()) - {letter.id for letter in letters}
    if missing:
        typer.echo(f"taskandgo: no such dead letter: {', '.join(sorted(missing))}", err=True)
        raise typer.Exit(ExitCode.NOT_FOUND)
    return [letter for letter in letters if everything or letter.id in (ids or ())]


def _report(json: bool, text: str, **ids: list[str]) -> None:  # noqa: FBT001 - an option, passed on
    if json:
        _print_json([ids])
    else:
        typer.echo(text)


def _print_json(objects: list[Any]) -> None:
    import msgspec

    for one in objects:
        typer.echo(msgspec.json.encode(one).decode())


def _show(letters: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not letters:
        return typer.echo("No dead letters.")
    table = Table("ID", "Message", "Task", "From", "Reason", box=box.SIMPLE)
    for one in letters:
        table.add_row(one["id"], one["message"] or "unreadable", one["task_id"] or "", one["queue"], one["reason"])
    Console().print(table)
    return None
