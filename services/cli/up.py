"""`taskandgo up`: all four services in one process, with nothing else to install or start."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.cli.embedded import Addresses, AllSettings

Data = Annotated[Path, typer.Option(dir_okay=False, help="The SQLite file that keeps the tasks.")]
Grpc = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="gRPC; 127.0.0.1:50051 unless given.")]
Http = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="HTTP; 127.0.0.1:8080 unless given.")]
Metrics = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Monitor; 127.0.0.1:8081 unless given.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Chunks at once; one a processor unless given.")]


def up(
    *,
    data: Data = Path("taskandgo.db"),
    grpc: Grpc = None,
    http: Http = None,
    metrics: Metrics = None,
    slots: Slots = None,
) -> None:
    """Run all four services in this process: in-memory broker, SQLite file.

    The services' environment variables count too; BROKER_URL and STORE_URL do not.
    """
    from services.cli.embedded import Wanted, load_all
    from taskandgo.lifecycle import run
    from taskandgo.telemetry.logs import configure_logs

    settings = load_all(Wanted(f"sqlite:///{data.absolute()}", grpc, http, metrics, slots))
    configure_logs(settings.ingest, "up")
    run(_serve(settings), "up")


async def _serve(settings: "AllSettings") -> None:
    from services.cli.embedded import embedded
    from taskandgo.lifecycle import until_stopped
    from taskandgo.telemetry.process_metrics import watching_process

    async with watching_process("monitor"), embedded(settings) as addresses:
        typer.echo(_greeting(addresses))
        await until_stopped()
        typer.echo("Finishing what runs; Ctrl-C again leaves at once.")


def _greeting(addresses: "Addresses") -> str:
    grpc, http, dashboard = map(from_here, (addresses.grpc, addresses.http, addresses.metrics))
    return f"""TaskAndGo is up.
  gRPC       {grpc}
  HTTP       http://{http}
  dashboard  http://{dashboard}

Try:
  taskandgo run --server {grpc} -c 'print(6 * 7)'
  grpcurl -plaintext -d '{{"task": {{"task_id": "hello_1", "priority": "high", "data": "python:print(1)"}}}}' \\
    {grpc} scheduler.Scheduler/SubmitTask
"""


def from_here(address: str) -> str:
    """Where a client on this machine finds what listens at host:port; all addresses of a machine are none to call."""
    from taskandgo.settings import parse_listen

    host, port = parse_listen(address)
    return f"localhost:{port}" if host in ("0.0.0.0", "::") else address  # noqa: S104 - nothing is bound
