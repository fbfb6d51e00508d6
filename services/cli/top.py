"""`taskandgo top`: queues, runners, running tasks and rates, live in the terminal; or once, for scripts."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Cluster
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

Once = Annotated[bool, typer.Option("--once", help="Print it once and leave, as where output is no terminal.")]
Json = Annotated[bool, typer.Option("--json", help="The same as protobuf's JSON, on one line.")]


def top(*, once: Once = False, json: Json = False, server: options.Server = options.DEFAULT_SERVER) -> None:
    """Watch everything: queues by priority, runners and their slots, running tasks, rates.

    Keys: Enter or o opens a task with its output, e explains it, c cancels it, R retries it; v shows running or newest
    tasks, s sorts by the next column, r reverses, / filters, q quits. While the server is away it waits for it.
    """
    if once or json or not (sys.stdout.isatty() and sys.stderr.isatty()):
        return _once(server, json=json)
    from services.cli.calling import call
    from services.cli.terminal.app import TopApp

    return call(server, lambda stub: TopApp(stub, server).run_async())


def _once(server: str, *, json: bool) -> None:
    from services.cli.calling import call
    from services.cli.show_cluster import show_cluster
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> "Cluster":
        stream = stub.WatchCluster(api.WatchClusterRequest())
        cluster = (await anext(aiter(stream))).cluster
        stream.cancel()
        return cluster

    cluster = call(server, converse)
    typer.echo(as_json(cluster)) if json else show_cluster(cluster, server)
