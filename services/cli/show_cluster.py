"""Shows everything at a glance once, as plain tables."""

from rich.console import Console
from rich.table import Table

from services.cli.terminal.status_line import status_line
from services.cli.terminal.tables import (
    LEVEL_COLUMNS,
    RUNNER_COLUMNS,
    TASK_COLUMNS,
    Rows,
    TaskOrder,
    level_rows,
    runner_rows,
    task_rows,
)
from taskandgo.api import scheduler_pb2 as api


def show_cluster(cluster: api.Cluster, server: str) -> None:
    """Print it."""
    console = Console()
    # In a pipe there is no width to fit into.
    console = console if console.is_terminal else Console(width=200)
    console.print(status_line(cluster, None, server))
    console.print(_table(LEVEL_COLUMNS, level_rows(cluster)))
    console.print(_table(RUNNER_COLUMNS, runner_rows(cluster)))
    console.print(_table(TASK_COLUMNS, task_rows(cluster.running, cluster.at, TaskOrder(), "")))


def _table(columns: tuple[str, ...], rows: Rows) -> Table:
    table = Table(*columns, box=None)
    for cells in rows.values():
        table.add_row(*cells)
    return table
