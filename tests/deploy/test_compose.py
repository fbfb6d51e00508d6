"""docker-compose.yml speaks of what there is: images, files, settings, ports, commands; and gives no right away."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from services.cli.main import COMMANDS
from tests.deploy.compose_files import COMPOSE, RESTRICTED, ROOT, SETTINGS, image_environment, port_of, read, services

SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())
OURS = [name for name in services() if name in SETTINGS]
OTHERS = sorted(set(services()) - set(OURS) - {"secrets"})
#: Docker's own names for rights that let code out of a container.
RIGHTS = ("privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "cgroup")


def published() -> list[tuple[str, str]]:
    """Each published port, with the service's name."""
    return [(name, port) for name, service in services().items() for port in service.get("ports", [])]


def mounted(service: dict[str, Any]) -> list[str]:
    """The files and folders of the repository that a service sees."""
    return [volume.split(":")[0] for volume in service.get("volumes", []) if str(volume).startswith("./")]


@pytest.mark.parametrize("path", [COMPOSE, RESTRICTED], ids=lambda path: path.name)
def test_it_is_valid_by_the_specification(path: Path) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    errors = jsonschema.Draft7Validator(SCHEMA).iter_errors(read(path))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("name", services())
def test_every_image_has_a_version(name: str) -> None:
    image = services()[name]["image"]
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d[\w.-]*", image), image


@pytest.mark.parametrize("name", OURS)
def test_our_images_have_this_version(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert services()[name]["image"].rpartition(":")[2] == version


def test_every_published_port_is_the_loopback_only() -> None:
    assert [found for found in published() if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", found[1])] == []


@pytest.mark.parametrize(("name", "port"), [found for found in published() if found[0] in OURS])
def test_every_published_port_of_ours_is_one_that_the_service_listens_on(name: str, port: str) -> None:
    listening = [port_of(value) for key, value in environment(name).items() if key.endswith("_LISTEN")]
    assert port_of(port) in listening


def environment(name: str) -> dict[str, str]:
    """What a service of ours is told: by its image, then by the compose file."""
    own = image_environment() | services()[name].get("environment", {})
    return {key: value for key, value in own.items() if key.lower() in SETTINGS[name].model_fields}


@pytest.mark.parametrize("path", [COMPOSE, RESTRICTED], ids=lambda path: path.name)
def test_every_variable_is_a_setting_of_the_service_that_gets_it(path: Path) -> None:
    told = [
        (name, variable)
        for name, service in read(path)["services"].items()
        if name in SETTINGS
        for variable in service.get("environment", {})
    ]
    assert told
    assert [found for found in told if found[1].lower() not in SETTINGS[found[0]].model_fields] == []


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_image_and_file_are_allowed_together(name: str) -> None:
    SETTINGS[name](**{key.lower(): value for key, value in environment(name).items()})


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    known = {command.__name__ for commands in COMMANDS.values() for command in commands}
    assert services()[name]["command"] == [name]
    assert name in known


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_the_health_check_asks_where_the_service_answers(name: str) -> None:
    port = port_of(environment(name)[f"{name.upper()}_HTTP_LISTEN"])
    assert services()[name]["healthcheck"]["test"] == ["CMD", "is-ready", str(port)]


@pytest.mark.parametrize("name", services())
def test_who_is_waited_for_can_be_waited_for(name: str) -> None:
    for other, how in services()[name].get("depends_on", {}).items():
        checked = not services()[other].get("healthcheck", {"disable": True}).get("disable")
        assert checked == (how["condition"] == "service_healthy"), other


@pytest.mark.parametrize("name", services())
def test_what_is_mounted_is_there(name: str) -> None:
    assert [path for path in mounted(services()[name]) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", services())
def test_no_right_of_the_host_is_given_away(name: str) -> None:
    service = services()[name]
    assert [right for right in RIGHTS if right in service] == []
    assert "docker.sock" not in json.dumps(service)
    if name not in OTHERS:
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)


def test_only_the_secrets_are_made_by_root() -> None:
    assert [name for name, service in services().items() if "user" in service] == ["secrets"]
    assert services()["secrets"]["network_mode"] == "none"


def test_a_runner_reaches_the_network_of_the_broker_only() -> None:
    assert services()["runner"]["networks"] == ["broker"]
    assert read(COMPOSE)["networks"]["broker"]["internal"]
    assert "broker" not in services()["postgres"]["networks"]


def test_the_levels_are_given_by_what_the_files_say() -> None:
    strict, restricted = services()["runner"], read(RESTRICTED)["services"]["runner"]
    assert strict["environment"]["RUNNER_ISOLATION"] == "strict"
    assert "seccomp:deploy/docker/seccomp-runner.json" in strict["security_opt"]
    assert restricted == {
        "environment": {"RUNNER_ISOLATION": "restricted"},
        "security_opt": ["no-new-privileges:true"],
    }


def test_the_dashboards_buttons_lead_to_ingest() -> None:
    host, _, port = environment("monitor")["MONITOR_INGEST_GRPC"].partition(":")
    assert int(port) == port_of(environment(host)["INGEST_GRPC_LISTEN"])
    assert set(services()["monitor"]["networks"]) & set(services()[host]["networks"])


def test_a_runner_is_stopped_no_earlier_than_it_has_drained() -> None:
    seconds = int(services()["runner"]["stop_grace_period"].removesuffix("s"))
    assert seconds > SETTINGS["runner"].model_fields["runner_drain_seconds"].default


def test_prometheus_scrapes_each_service_where_it_answers() -> None:
    jobs = {job["job_name"]: json.dumps(job) for job in prometheus()["scrape_configs"]}
    for name in sorted(set(OURS) - {"migrate"}):
        port = port_of(environment(name)[f"{name.upper()}_HTTP_LISTEN"])
        assert f"{name}:{port}" in jobs[name] or f'"names": ["{name}"]' in jobs[name], name
        assert str(port) in jobs[name]


def prometheus() -> dict[str, Any]:
    """What Prometheus is told to scrape."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    return loaded
