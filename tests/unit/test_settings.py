"""Settings: what the environment says counts, and what is wrong with it is told in one go."""

from pathlib import Path

import pytest
from pydantic import Field

from services.dispatcher.settings import DispatcherSettings
from services.ingest.settings import IngestSettings
from services.monitor.settings import MonitorSettings
from services.runner.settings import RunnerSettings
from taskandgo.errors import SettingsError
from taskandgo.settings import (
    BrokerSettings,
    ListenAddress,
    LogSettings,
    OptionalListenAddress,
    Settings,
    load,
    parse_listen,
)
from taskandgo.words import Strategy


class ProbeSettings(LogSettings, BrokerSettings):
    """Settings of a service that only these tests know."""

    runner_slots: int = Field(2, ge=1, le=1024, description="chunks at once")
    runner_share: float = Field(0.5, gt=0, le=1, description="a share")
    scheduler_strategy: Strategy = Field(Strategy.BATCH, description="a strategy")
    monitor_http_listen: ListenAddress = Field("127.0.0.1:0", description="an address")
    dispatcher_http_listen: OptionalListenAddress = Field("127.0.0.1:0", description="an address, or none")


def refusal() -> str:
    """What is said of the environment as it is."""
    with pytest.raises(SettingsError) as caught:
        load(ProbeSettings)
    return str(caught.value)


def test_the_environment_counts_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_SLOTS", "7")
    assert load(ProbeSettings).runner_slots == 7


def test_an_override_counts_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_SLOTS", "7")
    assert load(ProbeSettings, runner_slots=3).runner_slots == 3


def test_a_secret_file_counts_unless_the_environment_says_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broker_url").write_text("amqp://someone:secret@rabbitmq:5672/\n")
    assert load(ProbeSettings, _secrets_dir=tmp_path).broker_url == "amqp://someone:secret@rabbitmq:5672/"

    monkeypatch.setenv("BROKER_URL", "amqp://other:secret@rabbitmq:5672/")
    assert load(ProbeSettings, _secrets_dir=tmp_path).broker_url == "amqp://other:secret@rabbitmq:5672/"


def test_a_wrong_secret_file_stops_the_start_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "broker_url").write_text("http://someone:secret@rabbitmq/")
    with pytest.raises(SettingsError, match=r"BROKER_URL=.*must be an amqp://") as caught:
        load(ProbeSettings, _secrets_dir=tmp_path)
    assert "secret" not in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(ProbeSettings).runner_slots = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RUNNER_SLOTS", "abc", "RUNNER_SLOTS=abc: must be a whole number from 1 to 1024"),
        ("RUNNER_SLOTS", "0", "RUNNER_SLOTS=0: must be a whole number from 1 to 1024"),
        ("RUNNER_SLOTS", "", "RUNNER_SLOTS=: must be a whole number from 1 to 1024"),
        ("RUNNER_SHARE", "0", "RUNNER_SHARE=0: must be a number above 0, at most 1"),
        ("SCHEDULER_STRATEGY", "greedy", "SCHEDULER_STRATEGY=greedy: must be batch or split"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT=xml: must be auto, json or pretty"),
        ("BROKER_URL", "http://a", "BROKER_URL=http://a: must be an amqp://, amqps:// or memory:// address"),
        ("MONITOR_HTTP_LISTEN", ":80", "MONITOR_HTTP_LISTEN=:80: must be host:port, as in 127.0.0.1:8080"),
        ("MONITOR_HTTP_LISTEN", "", "MONITOR_HTTP_LISTEN=: must be host:port, as in 127.0.0.1:8080"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    assert refusal() == told


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (IngestSettings, "INGEST_GRPC_LISTEN"),
        (IngestSettings, "INGEST_HTTP_LISTEN"),
        (DispatcherSettings, "DISPATCHER_HTTP_LISTEN"),
        (RunnerSettings, "RUNNER_HTTP_LISTEN"),
        (MonitorSettings, "MONITOR_HTTP_LISTEN"),
    ],
)
def test_every_service_refuses_an_address_it_cannot_listen_on(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings], name: str
) -> None:
    monkeypatch.setenv(name, "8080")
    with pytest.raises(SettingsError, match=f"{name}=8080: must be host:port"):
        load(kind)


def test_everything_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_SLOT", "4")
    monkeypatch.setenv("RUNNER_SLOTS", "abc")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    assert refusal().splitlines() == [
        "RUNNER_SLOT is not a setting; did you mean RUNNER_SLOTS?",
        "LOG_LEVEL=loud: must be debug, info, warning or error",
        "RUNNER_SLOTS=abc: must be a whole number from 1 to 1024",
    ]


def test_a_password_in_a_refused_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "http://somebody:se/cr@et@host/")
    assert "http://***@host/" in refusal()


def test_a_level_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert load(ProbeSettings).log_level == "warning"


@pytest.mark.parametrize(
    "name",
    [
        "RUNNER_SERVICE_HOST",
        "RUNNER_SERVICE_PORT",
        "RUNNER_SERVICE_PORT_HTTP",
        "RUNNER_PORT",
        "RUNNER_PORT_8083_TCP",
        "RUNNER_PORT_8083_TCP_ADDR",
        "BROKER_ENV_VERSION",
        "PATH_OF_SOMEBODY_ELSE",
    ],
)
def test_what_container_platforms_and_others_set_is_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:8083")
    load(ProbeSettings)


def test_an_empty_address_means_no_server_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_HTTP_LISTEN", "")
    assert load(ProbeSettings).dispatcher_http_listen == ""


@pytest.mark.parametrize(
    ("text", "parsed"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("host:65535", ("host", 65535))]
)
def test_a_listen_address_has_a_host_and_a_port(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text) == parsed


@pytest.mark.parametrize("text", ["", "80", ":80", "host:", "host:http", "host:65536", "host:²", "host:-1"])
def test_anything_else_is_no_listen_address(text: str) -> None:
    with pytest.raises(SettingsError, match="host:port"):
        parse_listen(text)
