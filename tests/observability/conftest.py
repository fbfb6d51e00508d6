"""The whole product under the eyes of a real Prometheus: more than one of each service that may be many."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.stack import SERVICES, Stack, free_port, running
from tests.otlp_receiver import Received, receiving
from tests.servers.postgres import fresh_database
from tests.servers.prometheus import DEPLOYED, Prometheus, private_prometheus
from tests.servers.rabbitmq import fresh_vhost

SECOND = ("dispatcher-2", "monitor-2", "runner-2")


@dataclass(frozen=True, slots=True)
class Observed:
    """A running product and who looks at it."""

    stack: Stack
    prometheus: Prometheus
    listens: dict[str, str]

    def start(self, name: str) -> None:
        """Start a process where Prometheus looks for it."""
        service = name.partition("-")[0]
        self.stack.start(name, **{f"{service.upper()}_HTTP_LISTEN": self.listens[name]})


@pytest.fixture(scope="session")
def observed(rabbitmq_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The product and a Prometheus that sees all of its processes."""
    folder = tmp_path_factory.mktemp("observed")
    listens = {name: f"127.0.0.1:{free_port()}" for name in ("dispatcher", "runner", *SECOND)}
    env = {
        "BROKER_URL": fresh_vhost(rabbitmq_url),
        "STORE_URL": fresh_database(postgres_url),
        "DISPATCHER_HTTP_LISTEN": listens["dispatcher"],
        "RUNNER_HTTP_LISTEN": listens["runner"],
        "RUNNER_HEARTBEAT_SECONDS": "0.5",
        "MONITOR_RUNNER_GONE_SECONDS": "8",
        "RUNNER_SLOTS": "1",
    }
    with receiving() as traces, running("services", folder, env | tracing_to(traces)) as stack:
        listens |= {"ingest": stack.http_address, "monitor": stack.metrics_address}
        targets = {name: [listen for at, listen in listens.items() if at.startswith(name)] for name in SERVICES}
        with private_prometheus(folder, targets, quick_alerts()) as prometheus:
            found = Observed(stack, prometheus, listens)
            for name in SECOND:
                found.start(name)
            prometheus.once(lambda seen: seen.value("sum(up)") == len(listens))
            yield found


def tracing_to(traces: Received) -> dict[str, str]:
    """What makes the services trace."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.address, "OTEL_TRACES_SAMPLER": "parentbased_always_on"}


def quick_alerts() -> str:
    """The product's alerts, which fire after seconds where it takes minutes."""
    text = (DEPLOYED / "alerts.yml").read_text()
    text = re.sub(r"for: \w+", "for: 1s", text)
    text = re.sub(r"\[(10m|1h)\]", "[15s]", text)
    return text.replace('{priority="critical"}) > 60', '{priority="critical"}) > 3')


def dashboards() -> list[Path]:
    """The dashboards as they are committed."""
    folder = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
    return sorted(folder.glob("*.json"))
