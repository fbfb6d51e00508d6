"""Settings from environment variables: a field's name in capitals is its variable; read once, at a service's start.

What is not in the environment may be in a file of the field's name in /run/secrets.

Promises: a variable that is misspelt or out of range stops the start, with its name and what is allowed; a
password in an address, or a secret, is never shown; one environment may hold the settings of all services.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from taskandgo.errors import SettingsError
from taskandgo.setting_words import allowed

PREFIXES = ("SCHEDULER_", "INGEST_", "DISPATCHER_", "RUNNER_", "MONITOR_", "BROKER_", "STORE_", "BLOB_", "LOG_")
#: What Kubernetes and Docker links put into every container for a service called, say, `ingest`.
LINKS = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(TCP|UDP|SCTP)\w*|NAME|ENV_\w+)")
HIGHEST_PORT = 65535
#: Where Docker puts secrets into a container.
SECRETS = Path("/run/secrets")

_known: set[str] = set()

S = TypeVar("S", bound="Settings")


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of "host:port"; SettingsError if it is not that."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > HIGHEST_PORT:
        raise SettingsError(f"{listen!r} is no host:port, as in 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _listen(text: str) -> str:
    try:
        parse_listen(text)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return text


def _listen_or_nothing(text: str) -> str:
    return _listen(text) if text else text


#: Where a server listens.
ListenAddress = Annotated[str, AfterValidator(_listen), "host:port, as in 127.0.0.1:8080"]
#: Where a server listens; empty when there shall be none.
OptionalListenAddress = Annotated[str, AfterValidator(_listen_or_nothing), "host:port, as in 127.0.0.1:8080, or empty"]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What every service's settings are."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", secrets_dir=SECRETS if SECRETS.is_dir() else None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Remember the variables of every settings class in this process."""
        super().__pydantic_init_subclass__(**kwargs)
        _known.update(name.upper() for name in cls.model_fields)


class LogSettings(Settings):
    """How a service logs."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="least severity that is logged"
    )
    log_format: Annotated[Literal["auto", "json", "pretty"], BeforeValidator(_lower)] = Field(
        "auto", description="json, pretty, or auto: pretty on a terminal, else json"
    )


class BrokerSettings(Settings):
    """Where the broker is and how it is talked to."""

    broker_url: Annotated[str, "an amqp://, amqps:// or memory:// address"] = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        pattern=r"^(amqps?|memory)://",
        description="address of RabbitMQ, or memory:// for the broker inside `taskandgo up`",
    )
    broker_queue_type: Literal["auto", "quorum", "classic"] = Field(
        "auto", description="type of the durable queues; auto: quorum from RabbitMQ 4.3 on, else classic"
    )
    broker_heartbeat_seconds: int = Field(
        15, ge=3, le=600, description="seconds after which a connection that is silent is given up, by both ends"
    )
    broker_publish_timeout_seconds: float = Field(
        10.0, gt=0, le=600, description="seconds that a publish waits for its confirm"
    )


class StoreSettings(Settings):
    """Where the store is."""

    store_url: Annotated[str, "a postgresql:// or sqlite:// address"] = Field(
        "postgresql://taskandgo:taskandgo@127.0.0.1:5432/taskandgo",
        pattern=r"^(postgresql|sqlite)://",
        description="address of PostgreSQL, or sqlite:///FILE",
    )
    store_timeout_seconds: float = Field(
        5.0,
        ge=0.1,
        le=600,
        description="seconds that PostgreSQL may take over one statement or connect before it counts as away",
    )


class BlobSettings(Settings):
    """What ingest and the dispatcher share about blobs, and no one else knows."""

    blob_secret: Annotated[str, "32 characters or more, or empty"] = Field(
        "",
        pattern=r"^(.{32,})?$",
        repr=False,
        description="secret that lets runners get at large input and output; empty: all travels in messages",
    )


def load(settings: type[S], **overrides: object) -> S:
    """The settings from the environment; SettingsError names each variable that is wrong and what is allowed."""
    problems = [_misspelt(name) for name in sorted(os.environ) if _unknown(name)]
    try:
        loaded = settings(**overrides)
    except ValidationError as error:
        problems += [_wrong(settings.model_fields, item["loc"], item["input"], item["msg"]) for item in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return loaded


def _wrong(fields: dict[str, FieldInfo], place: tuple[int | str, ...], value: object, message: str) -> str:
    name = str(place[0]).lower() if place else ""
    shown = "***" if name.endswith("_secret") else re.sub(r"//\S*@", "//***@", str(value))
    return (
        f"{name.upper()}={shown}: must be {allowed(fields[name])}" if name in fields else f"{name.upper()}: {message}"
    )


def _unknown(name: str) -> bool:
    owned = tuple(prefix for prefix in PREFIXES if any(known.startswith(prefix) for known in _known))
    return name.startswith(owned) and name not in _known and not LINKS.fullmatch(name)


def _misspelt(name: str) -> str:
    near = difflib.get_close_matches(name, _known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
