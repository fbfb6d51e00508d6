"""What ingest can be told, by environment variables of the fields' names."""

from pydantic import Field

from taskandgo.settings import BlobSettings, BrokerSettings, ListenAddress, LogSettings, StoreSettings
from taskandgo.words import Strategy

MIB = 1024 * 1024


class IngestSettings(BrokerSettings, StoreSettings, BlobSettings, LogSettings):
    """Ingest's settings."""

    scheduler_strategy: Strategy = Field(
        Strategy.BATCH, description="strategy of a task that names none: batch or split"
    )
    ingest_grpc_listen: ListenAddress = Field("127.0.0.1:50051", description="host:port of the gRPC service")
    ingest_http_listen: ListenAddress = Field("127.0.0.1:8080", description="host:port of the HTTP form of the API")
    ingest_max_data_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        le=8 * 1024 * 1024,
        description="largest code of a task, in bytes; with its input, where BLOB_SECRET is not set",
    )
    ingest_max_timeout_seconds: float = Field(
        3600.0, gt=0, le=86_000, description="longest timeout a task may ask for, in seconds"
    )
    ingest_max_chunks: int = Field(
        100_000, ge=1, le=10_000_000, description="most chunks that a task may ask to be cut into"
    )
    ingest_max_queued: int = Field(
        1_000_000,
        ge=0,
        description="tasks that may be queued at a time; beyond, submitting is RESOURCE_EXHAUSTED; 0: no bound",
    )
    ingest_max_queued_per_tenant: int = Field(
        0, ge=0, description="the same for tasks that have the same value of the label tenant; 0: no bound"
    )
    ingest_blob_listen: ListenAddress = Field(
        "127.0.0.1:8084", description="host:port where runners fetch large input and leave large output"
    )
    ingest_max_blob_bytes: int = Field(
        64 * MIB, ge=MIB, description="largest input of a task, and largest blob, in bytes, where BLOB_SECRET is set"
    )
    ingest_unused_blob_seconds: float = Field(
        3600.0, ge=60, description="how long a blob is kept that no task refers to, in seconds"
    )
    ingest_keep_finished_seconds: float = Field(
        0.0, ge=0, description="how long a finished task is kept, with its blobs, in seconds; 0: for ever"
    )
