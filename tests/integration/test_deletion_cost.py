"""A runner with long work tells Kubernetes so, over real HTTPS, to a small server that stands for its API."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.runner.patch_pod import DELETION_COST, Pod, PodError
from services.runner.raise_deletion_cost import RaiseDeletionCost
from services.runner.running_chunks import Key, RunningChunks
from taskandgo.errors import SettingsError
from tests.e2e.stack import free_port

LONG, SHORT = ("long", 0, 1), ("short", 0, 1)


@dataclass
class Api:
    """What Kubernetes' API would do with a patch of a pod, and what it was asked."""

    token: str = "first"
    costs: list[str] = field(default_factory=list)
    broken: bool = False

    async def patch_pod(self, request: Request) -> Response:
        """Merge a patch into the pod of one namespace, for one token."""
        if self.broken:
            return JSONResponse({"message": "try again"}, 500)
        if request.headers["authorization"] != f"Bearer {self.token}":
            return JSONResponse({"message": "Unauthorized"}, 401)
        if request.headers["content-type"] != "application/merge-patch+json":
            return JSONResponse({"message": "Unsupported Media Type"}, 415)
        (change,) = (await request.json())["metadata"]["annotations"].items()
        assert change[0] == DELETION_COST
        self.costs.append(change[1])
        return JSONResponse({"kind": "Pod"})


class Server(uvicorn.Server):
    """Leaves signals to pytest, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service account's folder, as Kubernetes mounts it, whose authority is the server's own."""
    folder = tmp_path_factory.mktemp("account")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=api",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "ca.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "namespace").write_text("taskandgo")
    (folder / "token").write_text("first\n")
    return folder


@pytest.fixture
async def api(account: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """The server, where the environment of a pod says that it is."""
    api, port = Api(), free_port()
    route = Route("/api/v1/namespaces/taskandgo/pods/runner-1", api.patch_pod, methods=["PATCH"])
    config = uvicorn.Config(
        Starlette(routes=[route]), port=port, ssl_keyfile=account / "key", ssl_certfile=account / "ca.crt",
        log_config=None, lifespan="off",
    )  # fmt: skip
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await server.up.wait()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
    yield api
    server.should_exit = True
    await serving


@contextlib.contextmanager
def at_work(running: RunningChunks, key: Key) -> Iterator[None]:
    """The attempt has a slot."""
    with running.taken(key) as chunk:
        chunk.begun = True
        yield


async def test_it_rises_with_what_stays_and_falls_when_that_has_ended(api: Api, account: Path) -> None:
    running, pod = RunningChunks(), Pod("runner-1", account)
    look = RaiseDeletionCost(pod, running)

    with at_work(running, LONG):
        await look.once()
        assert api.costs == []  # it may be a short one

        await look.once()
        with at_work(running, SHORT):
            await look.once()
        await look.once()
        assert api.costs == ["1"]

    await look.once()
    assert api.costs == ["1", "0"]
    await pod.close()


async def test_a_new_token_is_used_and_what_could_not_be_told_is_told_later(api: Api, account: Path) -> None:
    running, pod = RunningChunks(), Pod("runner-1", account)
    look = RaiseDeletionCost(pod, running)
    with at_work(running, LONG):
        await look.once()

        api.broken = True
        await look.once()
        api.broken, api.token = False, "second"
        await look.once()
        assert api.costs == []

        (account / "token").write_text("second\n")
        await look.once()
    (account / "token").write_text("first\n")
    assert api.costs == ["1"]
    await pod.close()


async def test_a_server_that_the_cluster_does_not_vouch_for_is_told_nothing(
    api: Api, account: Path, tmp_path: Path
) -> None:
    (tmp_path / "namespace").write_text("taskandgo")
    (tmp_path / "token").write_text("first")
    other = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    (tmp_path / "ca.crt").write_text(Path(other).read_text())
    pod = Pod("runner-1", tmp_path)

    with pytest.raises(PodError, match="certificate"):
        await pod.set_deletion_cost(1)
    assert api.costs == []
    await pod.close()


def test_outside_a_pod_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(SettingsError, match="automountServiceAccountToken"):
        Pod("runner-1")
