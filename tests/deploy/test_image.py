"""The Dockerfile and what goes with it speak of what there is; its health check tells ready from not."""

import ast
import asyncio
import json
import re
import subprocess

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from tests.deploy.compose_files import DOCKERFILE, ROOT, SETTINGS, image_environment, port_of

PROFILE = ROOT / "deploy" / "docker" / "seccomp-runner.json"
INSIDE = ROOT / "services" / "runner" / "sandbox" / "inside"
#: The program's own affairs, which are no settings.
BESIDES = {"PATH", "HOME", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ROOT_USER_ACTION"}


def allowed() -> set[str]:
    """The calls that the profile lets a runner make, with any arguments."""
    rules = json.loads(PROFILE.read_text())["syscalls"]
    return {name for rule in rules if "args" not in rule for name in rule["names"]}


def test_every_base_image_has_a_version() -> None:
    stages = set(re.findall(r" AS (\S+)$", DOCKERFILE, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages
    assert bases == {"python:3.12-slim-bookworm"}


def test_no_builder_has_to_be_fetched() -> None:
    assert not DOCKERFILE.startswith("# syntax")
    assert "\n# syntax" not in DOCKERFILE


def test_every_variable_of_the_image_is_a_setting() -> None:
    known = {name.upper() for kind in SETTINGS.values() for name in kind.model_fields}
    assert image_environment().keys() - BESIDES - known == set()


def test_every_port_that_services_listen_on_is_told() -> None:
    (exposed,) = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    listening = {port_of(value) for name, value in image_environment().items() if name.endswith("_LISTEN")}
    assert set(map(int, exposed.split())) == listening


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    }
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_profile_is_what_its_tool_prints() -> None:
    printed = subprocess.run(
        [ROOT / "tools" / "write-seccomp-profile", "--print"], capture_output=True, text=True, check=True
    )
    assert PROFILE.read_text() == printed.stdout


def test_the_profile_allows_every_call_that_boxes_are_made_with() -> None:
    made_with = {
        node.slice.value
        for path in INSIDE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "NUMBERS"
        and isinstance(node.slice, ast.Constant)
    }
    assert {"unshare", "mount", "pivot_root", "seccomp"} <= made_with
    assert made_with - allowed() == set()


@pytest.mark.parametrize("name", ["bpf", "init_module", "keyctl", "ptrace", "io_uring_setup", "clone3", "reboot"])
def test_the_profile_allows_nothing_that_is_the_whole_machines(name: str) -> None:
    assert name not in allowed()


def test_the_page_names_the_calls_beyond_those_of_a_container_as_it_comes() -> None:
    first = json.loads(PROFILE.read_text())["syscalls"][0]["names"]
    page = " ".join((ROOT / "docs" / "docker.md").read_text().split())
    assert ", ".join(f"`{name}`" for name in first) in page


@pytest.mark.parametrize(("answers", "code"), [(True, 0), (False, 1)])
async def test_the_health_check_tells_ready_from_not(answers: bool, code: int) -> None:  # noqa: FBT001
    async def ready() -> dict[str, bool]:
        return {"broker": answers}

    async with serve_http(
        Starlette(routes=ops_routes("monitor", ready, CollectorRegistry())), "127.0.0.1:0"
    ) as address:
        program = ROOT / "deploy" / "docker" / "is-ready"
        check = await asyncio.create_subprocess_exec(program, str(port_of(address)))
        assert await asyncio.wait_for(check.wait(), 10) == code


async def test_the_health_check_fails_where_nobody_listens() -> None:
    check = await asyncio.create_subprocess_exec(
        ROOT / "deploy" / "docker" / "is-ready", "1", stderr=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(check.wait(), 10) == 1
