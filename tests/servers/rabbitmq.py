"""A RabbitMQ of the tests' own: a container where Docker answers, else a private node of the Debian package.

Promises: ports, names, files and cookie of its own, so that no other broker on the machine is touched; when
the context is left, its processes and files are gone.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
IMAGE = "rabbitmq:4.3-management"
#: For the tests that stop and start a node: how to reach the one behind an address.
NODES: dict[str, "Controlled"] = {}


class Controlled(Protocol):
    """A broker that takes rabbitmqctl commands."""

    def control(self, *arguments: str) -> str:
        """Run one rabbitmqctl command and return what it printed."""
        ...


@contextmanager
def private_rabbitmq() -> Iterator[str]:
    """The AMQP address of a broker that lives as long as the context."""
    if docker_answers():
        yield from _container()
        return
    if not SERVER.exists():
        pytest.fail("no Docker and no RabbitMQ: apt-get install rabbitmq-server", pytrace=False)
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as folder:
        node = PrivateNode(Path(folder), f"test-{uuid4().hex[:8]}@localhost", free_port(), free_port(), free_port())
        try:
            node.start()
            NODES[node.url] = node
            yield node.url
        finally:
            NODES.pop(node.url, None)
            node.remove()


def fresh_vhost(url: str) -> str:
    """The address of an empty virtual host on the broker behind `url`: nobody else's messages are there."""
    node, name = NODES[url], f"fresh-{uuid4().hex[:8]}"
    node.control("add_vhost", name)
    node.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    return f"{url}{name}"


def docker_answers() -> bool:
    """Whether containers can be started here."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  not needed without Docker
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    started = LogMessageWaitStrategy("Server startup complete")
    with DockerContainer(IMAGE).with_exposed_ports(5672).waiting_for(started) as server:
        url = f"amqp://guest:guest@{server.get_container_host_ip()}:{server.get_exposed_port(5672)}/"
        NODES[url] = ContainerNode(server)
        yield url
        NODES.pop(url)


@dataclass
class ContainerNode:
    """A node in a container."""

    container: Any

    def control(self, *arguments: str) -> str:
        """Run one rabbitmqctl command and return what it printed."""
        done = self.container.exec(["rabbitmqctl", "--quiet", *arguments])
        assert done.exit_code == 0, done.output
        return str(done.output.decode())


@dataclass
class PrivateNode:
    """One node of the Debian package, with an epmd of its own."""

    folder: Path
    name: str
    port: int
    dist_port: int
    epmd_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the node; return when it takes connections."""
        self._write_configuration()
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [SERVER], env=self._environment(), stdout=output, stderr=output, start_new_session=True
            )
        self.control("wait", "--pid", str(self.process.pid), "--timeout", "60")
        self.control("await_startup", "--timeout", "60")

    def control(self, *arguments: str) -> str:
        """Run one rabbitmqctl command and return what it printed."""
        done = subprocess.run(
            [CONTROL, "--node", self.name, "--quiet", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            output = (self.folder / "output").read_text(errors="replace")
            pytest.fail(f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}\n{output}", pytrace=False)
        return done.stdout

    def remove(self) -> None:
        """End every process of the node."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        subprocess.run(["epmd", "-kill"], env=self._environment(), capture_output=True, check=False)

    def _write_configuration(self) -> None:
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "consumer_timeout = 86400000\n"
            "disk_free_limit.absolute = 10MB\n"
            "log.console = true\n"
        )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
