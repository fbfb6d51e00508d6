"""What the dispatcher can be told, by environment variables of the fields' names."""

from pydantic import Field

from taskandgo.settings import BrokerSettings, LogSettings, OptionalListenAddress, StoreSettings

MIB = 1024 * 1024


class DispatcherSettings(BrokerSettings, StoreSettings, LogSettings):
    """The dispatcher's settings."""

    dispatcher_http_listen: OptionalListenAddress = Field(
        "127.0.0.1:8082", description="host:port for /livez, /readyz and /metrics; empty: none"
    )
    dispatcher_prefetch: int = Field(200, ge=1, le=10_000, description="messages of one kind handled at the same time")
    dispatcher_max_lost: int = Field(
        3, ge=1, le=100, description="runners that may die while running a chunk before it is given up"
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
