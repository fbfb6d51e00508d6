"""What the monitor can be told, by environment variables of the fields' names."""

from pydantic import Field

from taskandgo.settings import BrokerSettings, ListenAddress, LogSettings, StoreSettings


class MonitorSettings(BrokerSettings, StoreSettings, LogSettings):
    """The monitor's settings."""

    monitor_http_listen: ListenAddress = Field(
        "127.0.0.1:8081", description="host:port for /metrics, /livez and /readyz"
    )
    monitor_runner_gone_seconds: float = Field(
        15.0, gt=0, le=3600, description="silence after which a runner's metrics vanish: several of its heartbeats"
    )
