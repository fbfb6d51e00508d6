"""`taskandgo doctor`: tries everything that a runner needs on this machine, for real, and says what to mend."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import asyncio
from typing import Annotated

import typer

from services.cli.exit_codes import ExitCode

Json = Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")]


def doctor(*, json: Json = False) -> None:
    """Try what a runner needs here: both isolation levels, escapes from their boxes, languages, broker and store.

    Reads the runner's settings from the environment. Exits 0 if the level that RUNNER_ISOLATION asks for can be
    given, and the broker and the store answer where BROKER_URL and STORE_URL name them; else 1.
    """
    import msgspec

    from services.cli.diagnosis import diagnose
    from services.cli.show_diagnosis import show_diagnosis
    from services.runner.settings import RunnerSettings
    from taskandgo.settings import load
    from taskandgo.telemetry.logs import configure_logs

    settings = load(RunnerSettings)
    # What goes wrong is in the diagnosis.
    configure_logs(settings.model_copy(update={"log_level": "error"}), "doctor")
    diagnosis = asyncio.run(diagnose(settings))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(diagnosis)))
    else:
        show_diagnosis(diagnosis)
    raise typer.Exit(ExitCode.OK if diagnosis.ok else ExitCode.WRONG)
