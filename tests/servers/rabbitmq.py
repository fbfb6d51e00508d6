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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

DEBIAN = Path("/usr/lib/rabbitmq/bin")
#: A folder with other programs than Debian's, as tools/install-newer-rabbitmq prints it.
NEWER = "NEWER_RABBITMQ"
IMAGE = "rabbitmq:4.3-management"
#: For the tests that stop and start a node: how to reach the one behind an address.
NODES: dict[str, "Controlled"] = {}


class NodeError(Exception):
    """A node did not do what it was told."""


class Controlled(Protocol):
    """A broker that takes rabbitmqctl commands."""

    def control(self, *arguments: str) -> str:
        """Run one rabbitmqctl command and return what it printed."""
        ...


@contextmanager
def private_rabbitmq() -> Iterator[str]:
    """The AMQP address of a broker that lives as long as the context."""
    if NEWER not in os.environ and docker_answers():
        yield from _container()
        return
    with private_node() as node:
        NODES[node.url] = node
        try:
            yield node.url
        finally:
            NODES.pop(node.url)


@contextmanager
def private_node(programs: Path | None = None) -> Iterator["PrivateNode"]:
    """A node that the test may stop, kill, empty and start again."""
    programs = programs or node_programs()
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", dir="/tmp") as folder:
        name = f"test-{uuid4().hex[:8]}@localhost"
        node = PrivateNode(Path(folder), name, free_port(), free_port(), free_port(), programs)
        try:
            node.start()
            yield node
        finally:
            node.remove()


@contextmanager
def private_cluster_of_nodes(count: int, programs: Path) -> Iterator[list["PrivateNode"]]:
    """So many nodes that are one broker."""
    with ExitStack() as stack:
        nodes: list[PrivateNode] = []
        cookie, epmd_port = uuid4().hex.upper(), free_port()
        for _ in range(count):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rabbitmq-", dir="/tmp")))
            (folder / ".erlang.cookie").write_text(cookie)
            (folder / ".erlang.cookie").chmod(0o400)
            name = f"test-{uuid4().hex[:8]}@localhost"
            nodes.append(PrivateNode(folder, name, free_port(), free_port(), epmd_port, programs))
            stack.callback(nodes[-1].remove)
            nodes[-1].start()
        for node in nodes[1:]:
            node.control("stop_app")
            node.control("join_cluster", nodes[0].name)
            node.control("start_app")
        yield nodes


def node_programs() -> Path:
    """The folder with the programs of the RabbitMQ that is asked for; Debian's unless NEWER_RABBITMQ says another."""
    programs = Path(os.environ[NEWER]) / "bin" if os.environ.get(NEWER) else DEBIAN
    if not (programs / "rabbitmq-server").exists():
        pytest.fail(f"no RabbitMQ in {programs}: tools/install-servers or tools/install-newer-rabbitmq", pytrace=False)
    return programs


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
    programs: Path = DEBIAN
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
                [self.programs / "rabbitmq-server"],
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.control("wait", "--pid", str(self.process.pid), "--timeout", "60")
        self.control("await_startup", "--timeout", "60")

    def control(self, *arguments: str) -> str:
        """Run one rabbitmqctl command and return what it printed."""
        done = subprocess.run(
            [self.programs / "rabbitmqctl", "--node", self.name, "--quiet", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            output = (self.folder / "output").read_text(errors="replace")
            raise NodeError(f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}\n{output}")
        return done.stdout

    def stop(self) -> None:
        """Stop it as an administrator does; `start` starts it again with what it had."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def forget_everything(self) -> None:
        """Throw away the data of a node that is stopped."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def remove(self) -> None:
        """End every process of the node."""
        self.stop()
        epmd = self.programs / "epmd"
        command = [epmd if epmd.exists() else "epmd", "-kill"]
        subprocess.run(command, env=self._environment(), capture_output=True, check=False)

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
