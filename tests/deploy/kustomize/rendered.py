"""What `kubectl kustomize` makes of the files in deploy/kustomize: the objects that a cluster would be given."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
KUSTOMIZE = ROOT / "deploy" / "kustomize"
COMPONENTS = tuple(sorted(path.name for path in (KUSTOMIZE / "components").iterdir()))
OVERLAYS = tuple(sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir()))

#: An object of Kubernetes.
Item = dict[str, Any]


def kubectl() -> str:
    """The kubectl of the virtual environment, or else of the machine."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is missing: run make setup, or put kubectl on the PATH"
    return found


def render(folder: Path) -> list[Item]:
    """The objects of a kustomization."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return [item for item in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if item]


@functools.cache
def overlay(name: str) -> tuple[Item, ...]:
    """The objects of an overlay."""
    return tuple(render(KUSTOMIZE / "overlays" / name))


@functools.cache
def combined(*components: str, on: str = "base") -> tuple[Item, ...]:
    """The objects of the base, or of an overlay (`overlays/NAME`), with these components."""
    with tempfile.TemporaryDirectory() as folder:
        written = {
            "namespace": "taskandgo",
            "resources": [os.path.relpath(KUSTOMIZE / on, folder)],
            "components": [os.path.relpath(KUSTOMIZE / "components" / name, folder) for name in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(written))
        return tuple(render(Path(folder)))


def everything() -> tuple[Item, ...]:
    """Whatever can be asked for at once."""
    instead = ("autoscaling-hpa", "rabbitmq")
    return combined(*(name for name in COMPONENTS if name not in instead))


def of_kind(items: Iterable[Item], *kinds: str) -> list[Item]:
    """Those of these kinds."""
    return [item for item in items if item["kind"] in kinds]


def named(items: Iterable[Item], kind: str, name: str) -> Item:
    """The one of this kind and name."""
    return next(item for item in of_kind(items, kind) if item["metadata"]["name"] == name)


def workloads(items: Iterable[Item]) -> list[Item]:
    """What makes pods."""
    return of_kind(items, "Deployment", "StatefulSet", "Job")


def containers(workload: Item) -> Iterator[Item]:
    """All containers of its pods, init containers first."""
    pod = workload["spec"]["template"]["spec"]
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def all_containers(items: Iterable[Item]) -> list[tuple[str, Item]]:
    """Every container, after "workload/container"."""
    return [
        (f"{workload['metadata']['name']}/{container['name']}", container)
        for workload in workloads(items)
        for container in containers(workload)
    ]
