"""A Prometheus of the tests' own, with the product's configuration: only where it finds the services, and how often it
looks, is other than in deploy/prometheus.
"""

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.servers.rabbitmq import free_port

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
START_SECONDS = 30.0
#: How often it scrapes and evaluates.
INTERVAL = "1s"

#: The addresses of each service's processes.
Targets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    address: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression is now: each with its `metric` (labels) and its `value` (instant and text)."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float:
        """The value of an expression that is one series now; NaN if it is none."""
        found = self.query(expression)
        assert len(found) <= 1, (expression, found)
        return float(found[0]["value"][1]) if found else math.nan

    def names(self) -> set[str]:
        """Every metric that it has."""
        return set(self._get("label/__name__/values"))

    def exemplars(self, metric: str) -> list[dict[str, Any]]:
        """The traces that a histogram's buckets point at."""
        found = self._get("query_exemplars", query=metric, start="0", end=str(time.time() + 60))
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def problems(self) -> dict[str, str]:
        """Why it could not scrape whom it cannot scrape."""
        targets = self._get("targets")["activeTargets"]
        return {target["scrapeUrl"]: target["lastError"] for target in targets if target["lastError"]}

    def once(self, wanted: Callable[["Prometheus"], object], seconds: float = 90.0) -> None:
        """Return as soon as it is as wanted; what it has seen is asked for as often as it looks."""
        deadline = time.monotonic() + seconds
        while not wanted(self):
            assert time.monotonic() < deadline, f"not within {seconds} s; firing: {self.firing()}; {self.problems()}"
            time.sleep(0.25)

    def _get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"http://{self.address}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]


@contextmanager
def private_prometheus(folder: Path, targets: Targets, alerts: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these targets and judges by these rules, while the context lasts."""
    if shutil.which("prometheus") is None:
        pytest.fail("Prometheus is not installed: tools/install-prometheus", pytrace=False)
    (folder / "alerts.yml").write_text(alerts)
    (folder / "prometheus.yml").write_text(_configuration(targets))
    prometheus = Prometheus(f"127.0.0.1:{free_port()}")
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={prometheus.address}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(prometheus, process, folder / "prometheus.log")
        yield prometheus
    finally:
        process.terminate()
        process.wait()


def _configuration(targets: Targets) -> str:
    found = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    found["global"] = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    found["scrape_configs"] = [scraped for scraped in found["scrape_configs"] if scraped["job_name"] in targets]
    for scraped in found["scrape_configs"]:
        del scraped["dns_sd_configs"]
        scraped["static_configs"] = [{"targets": list(targets[scraped["job_name"]])}]
    return yaml.safe_dump(found)


def _await(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{prometheus.address}/-/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"Prometheus does not start:\n{log.read_text()}", pytrace=False)
