"""One task: why it is where it is, and what it writes, as it writes it."""

from typing import TYPE_CHECKING, ClassVar

import grpc
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, RichLog, Static

from services.cli.calling import refusal_text
from services.cli.following import is_final
from services.cli.live_output import LiveOutput
from services.cli.show_explanation import explanation_text
from taskandgo.api import scheduler_pb2 as api
from taskandgo.printable import printable

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

EXPLAIN_SECONDS = 1.0
KEPT_LINES = 5000


class TaskScreen(ModalScreen[None]):
    """Follows the task until it is closed; with `output`, what it writes too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q", "dismiss", "Close"),
        ("c", "app.cancel_task", "Cancel"),
        ("R", "app.retry_task", "Retry"),
    ]

    def __init__(self, stub: "SchedulerAsyncStub", server: str, task_id: str, *, output: bool) -> None:
        super().__init__()
        self._stub = stub
        self._server = server
        self._output = output
        self.task_id = task_id

    def compose(self) -> ComposeResult:
        """The explanation above, the output below."""
        with Vertical(classes="box wide" if self._output else "box") as box:
            box.border_title = self.task_id
            yield Static("…", id="explanation")
            if self._output:
                yield RichLog(max_lines=KEPT_LINES, wrap=True, id="output")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self.set_interval(EXPLAIN_SECONDS, self._start_explaining)
        self._start_explaining()
        if self._output:
            self.run_worker(self._follow(), exit_on_error=False, group="output")

    def _start_explaining(self) -> None:
        self.run_worker(self._explain(), exclusive=True, exit_on_error=False, group="explanation")

    async def _explain(self) -> None:
        shown = self.query_one("#explanation", Static)
        try:
            answer = await self._stub.ExplainTask(api.ExplainTaskRequest(task_id=self.task_id))
        except grpc.aio.AioRpcError as error:
            shown.update(Text(refusal_text(error, self._server), "red"))
        else:
            shown.update(explanation_text(answer.explanation))

    async def _follow(self) -> None:
        log = self.query_one(RichLog)
        try:
            await self._show_output(log)
        except grpc.aio.AioRpcError as error:
            log.write(Text(refusal_text(error, self._server), "red"))

    async def _show_output(self, log: RichLog) -> None:
        stdout, stderr = LinesWriter(log, ""), LinesWriter(log, "yellow")
        live: LiveOutput | None = None
        async for event in self._stub.WatchTask(api.WatchTaskRequest(task_id=self.task_id)):
            # The state always comes first, and says what kind of task it is.
            live = live or LiveOutput(stdout, stderr, live=event.status.strategy != "split", late=True)
            if event.HasField("output"):
                live.add(event.output)
            elif is_final(event.status):
                live.finish(event.status)
        stdout.flush()
        stderr.flush()


class LinesWriter:
    """Writes blocks of bytes to a log as whole lines; a line that has no end yet is kept back."""

    def __init__(self, log: RichLog, style: str) -> None:
        self._log = log
        self._style = style
        self._rest = b""

    def __call__(self, block: bytes) -> None:
        """Write the lines that end in the block."""
        lines, end, rest = (self._rest + block).rpartition(b"\n")
        self._rest = rest
        if end:
            self._write(lines)

    def flush(self) -> None:
        """Write what was kept back."""
        if self._rest:
            self._write(self._rest)
        self._rest = b""

    def _write(self, text: bytes) -> None:
        self._log.write(Text(printable(text.decode(errors="replace")), self._style))
