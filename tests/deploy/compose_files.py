"""The compose files and the Dockerfile as tests read them."""

import re
from pathlib import Path
from typing import Any

import yaml

from services.dispatcher.settings import DispatcherSettings
from services.ingest.settings import IngestSettings
from services.monitor.settings import MonitorSettings
from services.runner.settings import RunnerSettings
from taskandgo.settings import Settings, StoreSettings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
RESTRICTED = ROOT / "docker-compose.restricted.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: What each of our containers can be told.
SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "dispatcher": DispatcherSettings,
    "runner": RunnerSettings,
    "monitor": MonitorSettings,
    "migrate": StoreSettings,
}


class _Loader(yaml.SafeLoader):
    """YAML with compose's own tags, which say how files are merged."""


def _as_it_is(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node) or None


_Loader.add_multi_constructor("!", _as_it_is)


def read(path: Path) -> dict[str, Any]:
    """One compose file, with its anchors and merge keys resolved."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return loaded


def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, by name."""
    found: dict[str, dict[str, Any]] = read(COMPOSE)["services"]
    return found


def image_environment() -> dict[str, str]:
    """What the Dockerfile's ENV instructions set."""
    instructions = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    pairs = (pair for text in instructions for pair in re.findall(r"(\w+)=(\S+)", text))
    return dict(pairs)


def port_of(listen: str) -> int:
    """The port of host:port."""
    return int(listen.rpartition(":")[2])
