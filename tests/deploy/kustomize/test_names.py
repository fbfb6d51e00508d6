"""Every name in the manifests is one that the code, or another manifest, knows."""

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.dispatcher.settings import DispatcherSettings
from services.ingest.main import SERVICE
from services.ingest.settings import IngestSettings
from services.monitor.settings import MonitorSettings
from services.runner.settings import RunnerSettings
from taskandgo.broker import topology
from taskandgo.settings import Settings, StoreSettings, load, parse_listen
from taskandgo.telemetry.tracing import ENDPOINTS, asked_for
from tests.deploy.kustomize.rendered import ROOT, Item, containers, everything, named, of_kind, overlay

SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "dispatcher": DispatcherSettings,
    "runner": RunnerSettings,
    "monitor": MonitorSettings,
    "migrate": StoreSettings,
}
SERVICES = ("ingest", "dispatcher", "runner", "monitor")
#: OpenTelemetry's own.
TRACING = {ENDPOINTS[1]}
#: What Kubernetes fills in.
FIELDS = {"metadata.name": "pod-1"}


def _value(items: tuple[Item, ...], container: Item, env: Item) -> str:
    source = env.get("valueFrom", {})
    if "secretKeyRef" in source:
        reference = source["secretKeyRef"]
        return str(named(items, "Secret", reference["name"])["stringData"][reference["key"]])
    if "resourceFieldRef" in source:
        return str(container["resources"]["limits"]["cpu"])
    return FIELDS[source["fieldRef"]["fieldPath"]] if "fieldRef" in source else str(env["value"])


def environment(items: tuple[Item, ...], container: Item) -> dict[str, str]:
    """What the container's process is started with."""
    told: dict[str, str] = {}
    for source in container.get("envFrom", []):
        told |= named(items, "ConfigMap", source["configMapRef"]["name"])["data"]
    return told | {env["name"]: _value(items, container, env) for env in container.get("env", [])}


def with_secrets(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The same, with the secrets that operators and people make."""
    made = {
        "rabbitmq-default-user": {"username": "u", "password": "p", "connection_string": "amqp://u:p@rabbitmq:5672/"},
        "postgres-app": {"username": "u", "password": "p", "dbname": "d", "uri": "postgresql://u:p@postgres:5432/d"},
        "blobs": {"secret": "32 characters or more, as it must be"},
    }
    return (*items, *({"kind": "Secret", "metadata": {"name": k}, "stringData": v} for k, v in made.items()))


def _settings(monkeypatch: pytest.MonkeyPatch, items: tuple[Item, ...], container: Item) -> Settings:
    for name, value in environment(with_secrets(items), container).items():
        monkeypatch.setenv(name, value)
    return load(SETTINGS[container["args"][0]])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_takes_what_it_is_told_and_listens_where_its_ports_say(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for container in containers(named(everything(), "Deployment", name)):
        settings = _settings(monkeypatch, everything(), container)
        listening = {parse_listen(value) for key, value in settings.model_dump().items() if key.endswith("_listen")}
        declared = {("0.0.0.0", port["containerPort"]) for port in container.get("ports", [])}
        assert {one for one in listening if one[0] != "127.0.0.1"} == declared


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting_of_that_service(name: str) -> None:
    every = {field.upper() for kind in SETTINGS.values() for field in kind.model_fields}
    for container in containers(named(everything(), "Deployment", name)):
        own = {field.upper() for field in SETTINGS[container["args"][0]].model_fields}
        assert {env["name"] for env in container["env"]} <= own
        assert set(environment(with_secrets(everything()), container)) - TRACING <= every


@pytest.mark.parametrize("name", SERVICES)
def test_every_argument_is_a_command(name: str) -> None:
    for container in containers(named(everything(), "Deployment", name)):
        assert "command" not in container
        assert CliRunner().invoke(app, [*container["args"], "--help"]).exit_code == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_probe_asks_for_what_is_served(name: str) -> None:
    (container,) = named(everything(), "Deployment", name)["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    served = set(re.findall(r'Route\("(/\w+)"', (ROOT / "taskandgo" / "rpc" / "ops_routes.py").read_text()))
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container[kind]
        if "grpc" in probe:
            assert probe["grpc"] == {"port": ports["grpc"], "service": SERVICE}
        else:
            assert probe["httpGet"]["path"] in served
            assert probe["httpGet"]["port"] in ports


def test_the_gateway_routes_to_what_ingest_serves() -> None:
    route = named(everything(), "GRPCRoute", "ingest")["spec"]["rules"][0]
    (backend,) = route["backendRefs"]
    service = named(everything(), "Service", backend["name"])

    assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    assert SERVICE in {match["method"]["service"] for match in route["matches"]}


def test_every_service_leads_to_ports_of_pods_that_are_there() -> None:
    for items in (everything(), overlay("minikube")):
        pods = [item["spec"]["template"] for item in of_kind(items, "Deployment", "StatefulSet")]
        for service in of_kind(items, "Service"):
            selector = service["spec"]["selector"]
            (pod,) = [one for one in pods if selector.items() <= one["metadata"]["labels"].items()]
            names = {port["name"] for one in pod["spec"]["containers"] for port in one["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_runners_are_sent_to_the_port_of_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = named(everything(), "Deployment", "dispatcher")["spec"]["template"]["spec"]["containers"]
    settings = _settings(monkeypatch, everything(), container)
    port = named(everything(), "Service", "ingest-blobs")["spec"]["ports"][0]["port"]

    assert isinstance(settings, DispatcherSettings)
    assert settings.dispatcher_blob_url == f"http://ingest-blobs:{port}"


def test_with_tracing_every_service_is_told_where_traces_go() -> None:
    for name in SERVICES:
        (container,) = named(everything(), "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert asked_for(environment(with_secrets(everything()), container))


def test_the_dashboards_buttons_lead_to_ingest(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = named(everything(), "Deployment", "monitor")["spec"]["template"]["spec"]["containers"]
    settings = _settings(monkeypatch, everything(), container)
    port = named(everything(), "Service", "ingest")["spec"]["ports"][0]["port"]

    assert isinstance(settings, MonitorSettings)
    assert settings.monitor_ingest_grpc == f"ingest:{port}"


def _triggers(items: tuple[Item, ...], name: str) -> list[dict[str, Any]]:
    triggers: list[dict[str, Any]] = named(items, "ScaledObject", name)["spec"]["triggers"]
    return [trigger["metadata"] for trigger in triggers if trigger["type"] == "rabbitmq"]


def test_autoscaling_looks_at_queues_that_there_are() -> None:
    pool = RunnerSettings.model_fields["runner_pool"].default

    assert [one["queueName"] for one in _triggers(everything(), "runner")] == [topology.runner_chunk_ready(pool).name]
    assert {one["queueName"] for one in _triggers(everything(), "dispatcher")} == {
        topology.DISPATCHER_TASK_SUBMITTED.name,
        topology.DISPATCHER_CHUNK_FINISHED.name,
    }


def test_the_secrets_of_a_laptop_are_taken_and_lead_to_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    items = overlay("minikube")
    secrets = {one["metadata"]["name"]: one["data"] for one in of_kind(items, "Secret")}
    referred = {
        (env["valueFrom"]["secretKeyRef"]["name"], env["valueFrom"]["secretKeyRef"]["key"])
        for workload in of_kind(items, "Deployment", "StatefulSet")
        for container in containers(workload)
        for env in container.get("env", [])
        if "secretKeyRef" in env.get("valueFrom", {})
    }

    assert all(key in secrets[name] for name, key in referred)
