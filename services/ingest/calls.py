"""The use cases of ingest, made of their parts; the gRPC and the HTTP form both call these."""

from dataclasses import dataclass

from services.ingest.announce_task import Announcer
from services.ingest.cancel_task import CancelTask
from services.ingest.explain_task import ExplainTask
from services.ingest.get_task import GetTask
from services.ingest.list_chunks import ListChunks
from services.ingest.list_tasks import ListTasks
from services.ingest.put_blob import PutBlob
from services.ingest.read_output import ReadOutput
from services.ingest.retry_task import RetryTask
from services.ingest.run_task import RunTask
from services.ingest.stream_tasks import StreamTasks
from services.ingest.submit_task import SubmitTask
from services.ingest.submit_tasks import SubmitTasks
from services.ingest.watch_cluster import WatchCluster
from services.ingest.watch_task import WatchTask
from taskandgo.clock import Clock
from taskandgo.store.store import Store
from taskandgo.watchers import Watchers


@dataclass(frozen=True, slots=True)
class Calls:
    """One use case a call of the API."""

    submit_task: SubmitTask
    submit_tasks: SubmitTasks
    stream_tasks: StreamTasks
    run_task: RunTask
    get_task: GetTask
    list_tasks: ListTasks
    watch_task: WatchTask
    cancel_task: CancelTask
    list_chunks: ListChunks
    retry_task: RetryTask
    put_blob: PutBlob
    read_output: ReadOutput
    explain_task: ExplainTask
    watch_cluster: WatchCluster


@dataclass(frozen=True, slots=True)
class Shared:
    """What several use cases need."""

    store: Store
    announcer: Announcer
    watchers: Watchers
    clock: Clock


def make_calls(
    submit_task: SubmitTask, explain_task: ExplainTask, watch_cluster: WatchCluster, shared: Shared
) -> Calls:
    """Put the use cases together."""
    store, announcer, clock = shared.store, shared.announcer, shared.clock
    watch_task = WatchTask(store, shared.watchers)
    return Calls(
        submit_task=submit_task,
        submit_tasks=SubmitTasks(submit_task),
        stream_tasks=StreamTasks(submit_task),
        run_task=RunTask(submit_task, watch_task),
        get_task=GetTask(store),
        list_tasks=ListTasks(store),
        watch_task=watch_task,
        cancel_task=CancelTask(store, announcer, clock),
        list_chunks=ListChunks(store),
        retry_task=RetryTask(store, announcer, clock),
        put_blob=PutBlob(store.blobs, clock, submit_task.rules.max_blob_bytes),
        read_output=ReadOutput(store),
        explain_task=explain_task,
        watch_cluster=watch_cluster,
    )
