"""`taskandgo run`: runs a task as if it ran here: its output, byte for byte, and its exit code. Ctrl-C cancels it."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import typer

from services.cli import limit_options, options
from services.cli.asked_task import AskedTask


def run(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    file: options.File = None,
    code: options.Code = None,
    language: options.Language = None,
    priority: options.PriorityOption = None,
    task_id: options.Id = "",
    label: options.Labels = None,
    env: options.Env = None,
    timeout: options.Timeout = None,
    cpu: limit_options.Cpu = None,
    memory: limit_options.Memory = None,
    processes: limit_options.Processes = None,
    open_files: limit_options.OpenFiles = None,
    disk: limit_options.Disk = None,
    output: limit_options.Output = None,
    strategy: options.StrategyOption = None,
    pool: options.Pool = "",
    stdin: options.Stdin = None,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Run a task: stream its output and exit with its exit code. Ctrl-C cancels it.

    Without an exit code of its own: 124 timed out, 130 cancelled, 125 anything else.
    """
    asked = AskedTask(
        file=file,
        code=code,
        language=language,
        priority=priority,
        task_id=task_id,
        labels=label,
        env=env,
        timeout=timeout,
        cpu=cpu,
        memory=memory,
        processes=processes,
        open_files=open_files,
        disk=disk,
        output=output,
        strategy=strategy,
        pool=pool,
        stdin=stdin,
    )
    task = asked.to_message()
    from services.cli.calling import call
    from services.cli.run_live import run_live

    raise typer.Exit(call(server, lambda stub: run_live(stub, task, json=json)))
