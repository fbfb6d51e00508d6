"""What the monitor can be told, by environment variables of the fields' names."""

from pydantic import Field

from taskandgo.settings import BrokerSettings, ListenAddress, LogSettings, OptionalListenAddress, StoreSettings


class MonitorSettings(BrokerSettings, StoreSettings, LogSettings):
    """The monitor's settings."""

    monitor_http_listen: ListenAddress = Field(
        "127.0.0.1:8081", description="host:port for the dashboard, /metrics, /livez and /readyz"
    )
    monitor_runner_gone_seconds: float = Field(
        15.0, gt=0, le=3600, description="silence after which a runner's metrics vanish: several of its heartbeats"
    )
    monitor_ingest_grpc: OptionalListenAddress = Field(
        "",
        description="host:port of ingest's gRPC, to which the dashboard passes on cancel and retry; "
        "empty: it has no such buttons",
    )
    monitor_hosts: str = Field(
        "",
        description="names with a dot that people reach the dashboard under, apart by commas; "
        "addresses and names without a dot always work",
    )

    def hosts(self) -> frozenset[str]:
        """The names of `monitor_hosts`."""
        return frozenset(name.strip().lower() for name in self.monitor_hosts.split(",") if name.strip())
