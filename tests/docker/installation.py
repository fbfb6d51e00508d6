"""An installation that docker-compose.yml makes, under a name of its own, and gone without a trace afterwards."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = ("strict", "restricted")
#: The end-to-end tests want more output kept than an installation keeps by itself.
SETTINGS = Path(__file__).parent / "settings.yml"


@dataclass(frozen=True, slots=True)
class Installation:
    """One that runs; `level` is its runners' isolation."""

    level: str

    def compose(self, *words: str) -> str:
        """What a `docker compose` command prints; a command that fails is an AssertionError with what it said."""
        files = ["docker-compose.yml", *(["docker-compose.restricted.yml"] if self.level == "restricted" else [])]
        options = [word for file in [*files, str(SETTINGS)] for word in ("--file", file)]
        done = subprocess.run(
            ["docker", "compose", "--project-name", "taskandgo-test", *options, *words],
            cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *words: str) -> None:
        """Start what is not running, and wait until all are healthy."""
        self.compose("up", "--detach", "--wait", *words)

    def containers(self) -> list[dict[str, str]]:
        """Each container: Service, State, Health."""
        return [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines()]


@contextmanager
def installed(level: str) -> Iterator[Installation]:
    """A new installation, from what the repository holds now."""
    one = Installation(level)
    one.compose("down", "--volumes", "--remove-orphans")
    try:
        one.up("--build")
        yield one
    finally:
        one.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
