"""The command line's entry: every command by its name. Nothing heavy is imported before a command runs.

Promises: errors are messages, not tracebacks; exit codes mean what exit_codes.py says.
"""

import os
import sys
from collections.abc import Callable

import typer

from services.cli import services
from services.cli.cancel import cancel
from services.cli.chunks import chunks
from services.cli.dead import dead
from services.cli.demo import demo
from services.cli.doctor import doctor
from services.cli.exit_codes import ExitCode
from services.cli.explain import explain
from services.cli.get import get
from services.cli.list import list_tasks
from services.cli.retry import retry
from services.cli.run import run
from services.cli.submit import submit
from services.cli.top import top
from services.cli.up import up
from services.cli.wait import wait
from services.cli.watch import watch
from taskandgo.errors import AwayError, SettingsError, TaskAndGoError

EPILOG = (
    "Exit codes: 0 done, 2 wrong usage or settings, 3 refused by the server, 4 no such task, "
    "69 server unavailable. `wait` exits with 1 unless all tasks succeeded. `run` and `submit --wait` exit "
    "with the task's own code; without one: 124 timed out, 130 cancelled, 125 anything else."
)

app = typer.Typer(
    name="taskandgo",
    help="Runs code on many machines, the most urgent first, boxed in, every result recorded once.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EVERYDAY = "Tasks"
EMBEDDED = "Everything in one process"
SERVICES = "Services"

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    EVERYDAY: (run, submit, get, watch, wait, chunks, explain, cancel, retry, top),
    EMBEDDED: (up, demo),
    SERVICES: (services.ingest, services.dispatcher, services.runner, services.monitor, services.migrate, doctor),
}

for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.command("list", rich_help_panel=EVERYDAY)(list_tasks)
app.add_typer(dead, name="dead", rich_help_panel=SERVICES)


def main() -> None:
    """Run the command line."""
    # Only programs are forked here, never Python with its gRPC; the library would warn of each.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        app()
    except TaskAndGoError as error:
        typer.echo(f"taskandgo: {error}", err=True)
        sys.exit(_exit_code(error))
    except BrokenPipeError:
        # The reader of our output has enough, as `head` does.
        sys.stderr.close()
        sys.exit(0)


def _exit_code(error: TaskAndGoError) -> int:
    if isinstance(error, SettingsError):
        return ExitCode.USAGE
    return ExitCode.SERVER_UNAVAILABLE if isinstance(error, AwayError) else ExitCode.WRONG


if __name__ == "__main__":
    main()
