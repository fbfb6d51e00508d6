"""Settings from environment variables: a field's name in capitals is its variable; read once, at a service's start.

Promises: a variable that is misspelt or out of range stops the start, with its name and what is allowed.
"""

import difflib
import os
import re
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from taskandgo.errors import SettingsError

PREFIXES = ("SCHEDULER_", "INGEST_", "DISPATCHER_", "RUNNER_", "MONITOR_", "BROKER_", "STORE_", "LOG_")
#: What Kubernetes and Docker links put into every container for a service called `ingest`.
LINKS = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(TCP|UDP)\w*|NAME|ENV_\w+)$")

_known: set[str] = set()

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """What every service's settings are."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Remember the variables of every settings class in this process."""
        super().__pydantic_init_subclass__(**kwargs)
        _known.update(name.upper() for name in cls.model_fields)


class LogSettings(Settings):
    """How a service logs."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", description="json, pretty, or auto: pretty on a terminal, else json"
    )


class BrokerSettings(Settings):
    """Where the broker is and how it is talked to."""

    broker_url: str = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        pattern=r"^(amqps?|memory)://",
        description="address of RabbitMQ, or memory:// for the broker inside `taskandgo up`",
    )
    broker_queue_type: Literal["auto", "quorum", "classic"] = Field(
        "auto", description="type of the durable queues; auto: quorum from RabbitMQ 4.3 on, else classic"
    )
    broker_heartbeat_seconds: int = Field(
        15, ge=2, le=600, description="a connection that is silent for about three of these is given up"
    )
    broker_publish_timeout_seconds: float = Field(
        10.0, gt=0, le=600, description="how long a publish waits for its confirm"
    )


class StoreSettings(Settings):
    """Where the store is."""

    store_url: str = Field(
        "postgresql://taskandgo:taskandgo@127.0.0.1:5432/taskandgo",
        pattern=r"^(postgresql|sqlite)://",
        description="address of PostgreSQL, or sqlite:///FILE",
    )


def load(settings: type[S], **overrides: object) -> S:
    """The settings from the environment; SettingsError names each variable that is wrong and what is allowed."""
    problems = [_misspelt(name) for name in sorted(os.environ) if _unknown(name)]
    try:
        loaded = settings(**overrides)
    except ValidationError as error:
        problems += [
            f"{'.'.join(map(str, item['loc'])).upper()}={item['input']}: {item['msg']}" for item in error.errors()
        ]
    if problems:
        raise SettingsError("\n".join(problems))
    return loaded


def _unknown(name: str) -> bool:
    owned = tuple(prefix for prefix in PREFIXES if any(known.startswith(prefix) for known in _known))
    return name.startswith(owned) and name not in _known and not LINKS.fullmatch(name)


def _misspelt(name: str) -> str:
    near = difflib.get_close_matches(name, _known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
