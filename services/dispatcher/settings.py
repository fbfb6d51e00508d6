"""What the dispatcher can be told, by environment variables of the fields' names."""

from pydantic import Field

from taskandgo.settings import BrokerSettings, LogSettings, OptionalListenAddress, StoreSettings


class DispatcherSettings(BrokerSettings, StoreSettings, LogSettings):
    """The dispatcher's settings."""

    dispatcher_http_listen: OptionalListenAddress = Field(
        "127.0.0.1:8082", description="host:port for /livez, /readyz and /metrics; empty: none"
    )
    dispatcher_prefetch: int = Field(200, ge=1, le=10_000, description="messages of one kind handled at the same time")
    dispatcher_max_lost: int = Field(
        3, ge=1, le=100, description="runners that may die while running a chunk before it is given up"
    )
