"""The options that limit what an attempt may use, and the Limits message of the API that they make."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import LIMITS

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Limits

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
METAVAR = "SIZE"


def parse_size(text: str) -> int:
    """Bytes of a size such as 4096, 64K, 256M or 1.5GiB; a letter is a power of 1024."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size; write it as in 65536, 64K, 256M or 1.5G (of 1024)")
    return int(float(found[1]) * 1024 ** POWERS[found[2].upper()])


Cpu = Annotated[
    float | None,
    typer.Option(
        "--cpu",
        min=0.001,
        metavar="SECONDS",
        help="CPU time of all its processes together; 60 unless given.",
        rich_help_panel=LIMITS,
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=parse_size,
        metavar=METAVAR,
        help="Memory of all its processes together; 512M unless given.",
        rich_help_panel=LIMITS,
    ),
]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Processes and threads at once; 64 unless given.", rich_help_panel=LIMITS)
]
OpenFiles = Annotated[
    int | None, typer.Option(min=16, help="Open files of each process; 256 unless given.", rich_help_panel=LIMITS)
]
Disk = Annotated[
    int | None,
    typer.Option(
        parser=parse_size,
        metavar=METAVAR,
        help="Size of the temp directory; 256M unless given.",
        rich_help_panel=LIMITS,
    ),
]
Output = Annotated[
    int | None,
    typer.Option(
        parser=parse_size,
        metavar=METAVAR,
        help="Output after which it is ended; 64M unless given.",
        rich_help_panel=LIMITS,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLimits:
    """These options, as they were given; None leaves a limit to the runner."""

    timeout: float | None = None
    cpu: float | None = None
    memory: int | None = None
    processes: int | None = None
    open_files: int | None = None
    disk: int | None = None
    output: int | None = None

    def to_message(self) -> "Limits | None":
        """The message; None if nothing was asked for."""
        from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

        if self == AskedLimits():
            return None
        limits = api.Limits(
            memory_bytes=self.memory or 0,
            processes=self.processes or 0,
            open_files=self.open_files or 0,
            disk_bytes=self.disk or 0,
            output_bytes=self.output or 0,
        )
        if self.timeout is not None:
            limits.timeout.FromTimedelta(timedelta(seconds=self.timeout))
        if self.cpu is not None:
            limits.cpu_time.FromTimedelta(timedelta(seconds=self.cpu))
        return limits
