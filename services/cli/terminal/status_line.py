"""The first line of `top`: whom it looks at, and how much of what it shows can be believed."""

from datetime import UTC, datetime

from rich.text import Text

from services.cli.terminal.follow_cluster import Away
from taskandgo.api import scheduler_pb2 as api
from taskandgo.explanation.phrases import counted, duration
from taskandgo.printable import printable

#: Older than this, what was read of the store is said to be old.
OLD_SECONDS = 3.0


def status_line(cluster: api.Cluster | None, away: Away | None, server: str) -> Text:
    """The line; what is wrong comes in red."""
    line = Text(" TaskAndGo ", "bold reverse") + Text(f" {server} ")
    if away:
        seconds = (datetime.now(UTC) - away.since).total_seconds()
        shown = "; what is below is from before" if cluster else ""
        why = printable(away.why).splitlines()[0][:200] if away.why else ""
        return line + Text(f" AWAY for {duration(round(seconds))}{shown} ({why})", "bold red")
    if cluster is None:
        return line + Text("connecting …", "yellow")
    return line + Text(f"{cluster.version} ", "dim") + _parts(cluster)


def _parts(cluster: api.Cluster) -> Text:
    runners = [runner for runner in cluster.runners if not runner.silent]
    slots, busy = sum(one.slots for one in runners), sum(one.busy for one in runners)
    text = Text(f" {counted(len(runners), 'runner')}, {busy} of {slots} slots busy")
    silent = len(cluster.runners) - len(runners)
    if silent:
        text += Text(f"  {silent} silent", "bold red")
    if not cluster.broker_connected:
        text += Text("  BROKER AWAY", "bold red")
    if not cluster.store_answers:
        text += Text("  STORE AWAY", "bold red")
    age = (cluster.at.ToNanoseconds() - cluster.read_at.ToNanoseconds()) / 1e9 if cluster.HasField("read_at") else 0.0
    if age > OLD_SECONDS:
        text += Text(f"  tasks as of {duration(age)} ago", "yellow")
    return text
