"""An open sandbox at each level, and what must be as before after every attack on it."""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.runner.sandbox.sandbox import open_sandbox
from tests.sandbox.attacks.attacked import Attacked, children_of
from tests.sandbox.boxes import LEVELS, plan

CANARY_VARIABLE = "CANARY_TOKEN"


@pytest.fixture(scope="session")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A secret in the runner's environment, memory and files, which no box may ever show."""
    secret = f"canary-{secrets.token_hex(16)}"
    os.environ[CANARY_VARIABLE] = secret
    folder = tmp_path_factory.mktemp("config")
    folder.chmod(0o755)
    file = folder / "canary.env"
    file.write_text(secret)
    file.chmod(0o644)
    yield secret
    del os.environ[CANARY_VARIABLE]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where a restricted sandbox puts the folders of its jobs: every user can get there, and nobody else uses it."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        Path(folder).chmod(0o755)
        tempfile.tempdir = folder
        yield Path(folder)
        tempfile.tempdir = before


@pytest.fixture(scope="session")
async def sandboxes(canary: str, folder: Path) -> AsyncIterator[dict[str, Attacked]]:
    """A sandbox of two slots at each level."""
    # A server of other tests starts and ends processes of its own when it pleases.
    neighbours = children_of(os.getpid())
    opened = {level: open_sandbox(plan(level, name=f"attacks-{level}")) for level in LEVELS}
    attacked = {
        level: await Attacked.begin(await each.__aenter__(), canary, folder, neighbours)
        for level, each in opened.items()
    }
    yield attacked
    for each in opened.values():
        await each.__aexit__(None, None, None)


@pytest.fixture(params=LEVELS)
async def box(request: pytest.FixtureRequest, sandboxes: dict[str, Attacked]) -> AsyncIterator[Attacked]:
    """A sandbox at each of the levels, and the proof that it is as it was afterwards."""
    async with sandboxes[request.param].unchanged() as attacked:
        yield attacked


@pytest.fixture
async def strict(sandboxes: dict[str, Attacked]) -> AsyncIterator[Attacked]:
    """A strict sandbox, and the proof that it is as it was afterwards."""
    async with sandboxes["strict"].unchanged() as attacked:
        yield attacked


@pytest.fixture
async def restricted(sandboxes: dict[str, Attacked]) -> AsyncIterator[Attacked]:
    """A restricted sandbox, and the proof that it is as it was afterwards."""
    if "restricted" not in sandboxes:
        pytest.skip("this machine cannot give the level")
    async with sandboxes["restricted"].unchanged() as attacked:
        yield attacked
