"""The live view: what waits, what runs, on whom, and how fast; each second, from one stream of one server."""

from typing import TYPE_CHECKING, ClassVar

import grpc
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, Input, Sparkline, Static

from services.cli.calling import refusal_text
from services.cli.terminal import tables
from services.cli.terminal.confirm_screen import ConfirmScreen
from services.cli.terminal.follow_cluster import Away, follow_cluster
from services.cli.terminal.rates import RATES, RateHistory
from services.cli.terminal.status_line import status_line
from services.cli.terminal.table_rows import show_rows
from services.cli.terminal.task_screen import TaskScreen
from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

WIDE_COLUMNS, HIGH_LINES = 110, 20
#: What the lower table shows.
VIEWS = ("running", "newest")


class TopApp(App[None]):
    """`taskandgo top`."""

    CSS_PATH = "app.tcss"
    TITLE = "TaskAndGo"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE_COLUMNS, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (HIGH_LINES, "-high")]
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("o", "open_task", "Open"),
        ("e", "explain_task", "Explain"),
        ("c", "cancel_task", "Cancel"),
        ("R", "retry_task", "Retry"),
        ("v", "next_view", "Running/newest"),
        ("s", "sort", "Sort"),
        ("r", "reverse", "Reverse"),
        ("slash", "filter", "Filter"),
        ("escape", "no_filter", ""),
    ]

    def __init__(self, stub: "SchedulerAsyncStub", server: str) -> None:
        super().__init__()
        self._stub = stub
        self._server = server
        self._cluster: api.Cluster | None = None
        self._away: Away | None = None
        self._history = RateHistory()
        self._order = tables.TaskOrder()
        self._view = VIEWS[0]

    def compose(self) -> ComposeResult:
        """All parts, from the top."""
        yield Static(id="status")
        with Horizontal(id="rates"):
            for name in RATES:
                with Vertical():
                    yield Static(id=f"{name}-title")
                    yield Sparkline(id=f"{name}-line")
        with Horizontal(id="middle"):
            yield DataTable(id="levels", cursor_type="none")
            yield DataTable(id="runners", cursor_type="none")
        yield DataTable(id="tasks", cursor_type="row", zebra_stripes=True)
        yield Input(
            placeholder="words that a task must have: its id, state, priority, language, pool, labels", id="filter"
        )
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        columns = {"levels": tables.LEVEL_COLUMNS, "runners": tables.RUNNER_COLUMNS, "tasks": tables.TASK_COLUMNS}
        titles = {"levels": "queues", "runners": "runners", "tasks": "tasks"}
        for name, names in columns.items():
            table = self.query_one(f"#{name}", DataTable)
            table.border_title = titles[name]
            table.add_columns(*names)
        self.query_one("#filter").display = False
        self.query_one("#tasks").focus()
        self.set_interval(1.0, self._show_status)
        self._show_status()
        self.run_worker(self._follow(), exit_on_error=True)

    async def _follow(self) -> None:
        async for seen in follow_cluster(self._stub):
            if isinstance(seen, Away):
                self._away = seen
            else:
                self._away, self._cluster = None, seen
                self._history.add(seen.rates)
                self._show()
            self._show_status()

    def _show_status(self) -> None:
        self.screen_stack[0].set_class(self._away is not None, "away")
        self.screen_stack[0].query_one("#status", Static).update(status_line(self._cluster, self._away, self._server))

    def _show(self) -> None:
        screen, cluster = self.screen_stack[0], self._cluster
        if cluster is None:
            return
        for name in RATES:
            screen.query_one(f"#{name}-title", Static).update(self._history.title(name))
            screen.query_one(f"#{name}-line", Sparkline).data = self._history.of(name)
        show_rows(screen.query_one("#levels", DataTable), tables.level_rows(cluster))
        show_rows(screen.query_one("#runners", DataTable), tables.runner_rows(cluster))
        self._show_tasks(cluster)

    def _show_tasks(self, cluster: api.Cluster) -> None:
        screen = self.screen_stack[0]
        table, wanted = screen.query_one("#tasks", DataTable), screen.query_one("#filter", Input).value
        tasks = cluster.running if self._view == "running" else cluster.newest
        rows = tables.task_rows(tasks, cluster.at, self._order, wanted)
        show_rows(table, rows)
        total = sum(level.running for level in cluster.levels) if self._view == "running" else len(tasks)
        table.border_title = f"{self._view} tasks: {len(rows)} of {total:,}"
        arrow = "↑" if self._order.reverse else "↓"
        table.border_subtitle = f"by {self._order.column} {arrow}" + (f", filter: {wanted}" if wanted else "")

    @property
    def _task_id(self) -> str:
        """The task that is open, else the one under the cursor; "" if there is none."""
        if isinstance(self.screen, TaskScreen):
            return self.screen.task_id
        table = self.screen_stack[0].query_one("#tasks", DataTable)
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def on_data_table_row_selected(self) -> None:
        """Enter on a task."""
        self.action_open_task()

    def action_open_task(self) -> None:
        """Show the task under the cursor with its output."""
        self._open(output=True)

    def action_explain_task(self) -> None:
        """Show why the task under the cursor is where it is."""
        self._open(output=False)

    def _open(self, *, output: bool) -> None:
        if self._task_id and not isinstance(self.screen, TaskScreen):
            self.push_screen(TaskScreen(self._stub, self._server, self._task_id, output=output))

    def action_cancel_task(self) -> None:
        """Cancel the task, once that is confirmed."""
        if task_id := self._task_id:
            self.push_screen(
                ConfirmScreen(f"Cancel task {task_id}?"), lambda yes: self._act("Cancel", task_id, yes=yes)
            )

    def action_retry_task(self) -> None:
        """Run again what did not succeed of the task."""
        self._act("Retry", self._task_id, yes=True)

    def _act(self, what: str, task_id: str, *, yes: bool | None) -> None:
        if yes and task_id:
            self.run_worker(self._ask_for(what, task_id), exit_on_error=False)

    async def _ask_for(self, what: str, task_id: str) -> None:
        try:
            if what == "Cancel":
                said = (await self._stub.CancelTask(api.CancelTaskRequest(task_id=task_id))).message
            else:
                said = (await self._stub.RetryTask(api.RetryTaskRequest(task_id=task_id))).message
        except grpc.aio.AioRpcError as error:
            self.notify(refusal_text(error, self._server), severity="error", markup=False)
        else:
            self.notify(said, markup=False)

    def action_next_view(self) -> None:
        """Show the other tasks."""
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        self._show()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._order = self._order.next()
        self._show()

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._order = self._order.reversed()
        self._show()

    def action_filter(self) -> None:
        """Type words that tasks must have."""
        self.query_one("#filter").display = True
        self.query_one("#filter").focus()

    def action_no_filter(self) -> None:
        """Show all tasks again."""
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    def on_input_changed(self) -> None:
        """Filter while it is typed."""
        self._show()

    def on_input_submitted(self) -> None:
        """The filter stays."""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter").display = bool(self.query_one("#filter", Input).value)
        self.query_one("#tasks").focus()
