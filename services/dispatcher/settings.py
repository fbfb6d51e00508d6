"""What the dispatcher can be told, by environment variables of the fields' names."""

from typing import Annotated

from pydantic import Field

from taskandgo.settings import BlobSettings, BrokerSettings, LogSettings, OptionalListenAddress, StoreSettings

MIB = 1024 * 1024


class DispatcherSettings(BrokerSettings, StoreSettings, BlobSettings, LogSettings):
    """The dispatcher's settings."""

    dispatcher_http_listen: OptionalListenAddress = Field(
        "127.0.0.1:8082", description="host:port for /livez, /readyz and /metrics; empty: none"
    )
    dispatcher_prefetch: int = Field(200, ge=1, le=10_000, description="messages of one kind handled at the same time")
    dispatcher_max_lost: int = Field(
        3, ge=1, le=100, description="runners that may die while running a chunk before it is given up"
    )
    dispatcher_max_lost_unstarted: int = Field(
        10,
        ge=1,
        le=1000,
        description="times in a row that a chunk may be lost before it was seen to run, ahead of being given up",
    )
    dispatcher_stranded_seconds: float = Field(
        20.0,
        ge=1,
        le=3600,
        description="seconds after which work is set going again that no queue and no runner holds",
    )
    dispatcher_return_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="seconds that a runner which lost its connection has to say that it still runs a chunk",
    )
    dispatcher_straggler_factor: float = Field(
        4.0,
        ge=1,
        le=1000,
        description="times as long as its siblings that a chunk may run before it gets a second attempt",
    )
    dispatcher_straggler_least_seconds: float = Field(
        2.0, gt=0, le=86_000, description="seconds that a chunk may run in any case before it gets a second attempt"
    )
    dispatcher_most_memory_bytes: int = Field(
        4096 * MIB,
        ge=MIB,
        description="memory limit up to which a chunk grows that is retried since it ran out of memory",
    )
    dispatcher_blob_url: Annotated[str, "an http:// or https:// address"] = Field(
        "http://127.0.0.1:8084",
        pattern=r"^https?://",
        description="where runners reach ingest's INGEST_BLOB_LISTEN, for large input and output",
    )
    dispatcher_blob_token_seconds: float = Field(
        604_800.0,
        gt=0,
        le=31_536_000,
        description="how long after it was emitted a chunk can get at its large input and output",
    )
    dispatcher_most_reduce_bytes: int = Field(
        256 * MIB, ge=1024, description="how much the chunks of a task may hand to its reduce, when BLOB_SECRET is set"
    )
