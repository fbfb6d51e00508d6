"""Doctor and runner on machines where a step really fails: both name the step and the fix, and no level is lowered."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.boxes import interpreter, interpreter_for

ROOT = Path(__file__).parents[2]
OTHERS_PYTHON = "/usr/bin/python3"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take this from itself")
SECONDS = 100

#: Answers some calls with an error, as a container's profile does, and becomes the command that follows.
UNDER_A_FILTER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from services.runner.sandbox.inside import seccomp, syscall_numbers
from services.runner.sandbox.inside.syscall_rule import Policy
refused = json.loads(sys.argv[2])
policy = Policy(frozenset(syscall_numbers.NUMBERS) - set(refused), {}, refused)
seccomp.compile_policy(policy).load(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"""
#: Waits in a user namespace of its own until somebody has mapped its users, and forbids further ones.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(1, b"x")
os.read(0, 1)
with open("/proc/sys/user/max_user_namespaces", "w") as setting:
    setting.write("0")
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def diagnosis(self) -> Any:
        """What doctor printed."""
        return json.loads(self.out)

    def level(self, name: str) -> Any:
        """What doctor found of a level."""
        return next(level for level in self.diagnosis["levels"] if level["level"] == name)


def command(*words: str) -> list[str]:
    """A `taskandgo` command."""
    return [sys.executable, "-m", "services.cli.main", *words]


def run(argv: list[str], **env: str) -> Ended:
    """Run it to its end."""
    clean = {name: value for name, value in os.environ.items() if name not in {"BROKER_URL", "STORE_URL"}}
    end = subprocess.run(
        argv,
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd="/",
    )
    return Ended(end.returncode, end.stdout, end.stderr)


def refusing(argv: list[str], **errors: int) -> list[str]:
    """The command under a filter that answers calls with errors."""
    return [sys.executable, "-c", UNDER_A_FILTER, str(ROOT), json.dumps(errors), *argv]


def test_a_machine_that_can_give_strict_is_found_well() -> None:
    ended = run(command("doctor", "--json"))
    assert ended.code == 0, ended
    strict = ended.level("strict")
    assert (strict["failed"], strict["fix"]) == ("", "")
    assert strict["steps"][0] == "the interpreter"
    assert strict["steps"][-1] == "seccomp"
    assert len(strict["findings"]) > 15
    assert {finding["got"] for finding in strict["findings"]} == {""}
    assert "strict" in ended.diagnosis["given_levels"]
    assert ended.diagnosis["ok"]
    assert {tried["language"]: tried["runs"] for tried in ended.diagnosis["languages"]}["python"]


def test_the_table_is_for_people() -> None:
    ended = run(command("doctor"), COLUMNS="200")
    assert ended.code == 0, ended
    assert "code cannot read a file of the host" in ended.out
    assert "a runner would start here" in ended.out


@pytest.mark.parametrize(
    ("errors", "step", "fix"),
    [
        ({"unshare": 1}, "namespaces of the zygote", "seccomp profile"),
        ({"mount": 1}, "a minimal, read-only root", "seccomp profile"),
        ({"mount_setattr": 38}, "a minimal, read-only root", "seccomp profile"),
        ({"pivot_root": 1}, "a minimal, read-only root", "seccomp profile"),
        ({"setns": 1}, "a process in its namespaces", "seccomp profile"),
        ({"landlock_create_ruleset": 38}, "Landlock rules", "update the runtime"),
        ({"landlock_create_ruleset": 95}, "Landlock rules", "lsm="),
        ({"landlock_restrict_self": 1}, "Landlock", "update the runtime"),
        ({"seccomp": 1}, "seccomp", "allow seccomp"),
    ],
    ids=str,
)
def test_a_call_that_is_refused_is_told_by_its_step_and_fix(errors: dict[str, int], step: str, fix: str) -> None:
    ended = run(refusing(command("doctor", "--json"), **errors), RUNNER_PYTHON=interpreter())
    strict = ended.level("strict")
    assert (ended.code, strict["failed"]) == (1, step), strict
    assert fix in strict["fix"]
    assert "strict" not in ended.diagnosis["given_levels"]


def test_a_runner_that_cannot_give_its_level_does_not_start() -> None:
    ended = run(refusing(command("runner"), unshare=1), BROKER_URL="memory://", RUNNER_HTTP_LISTEN="")
    assert ended.code == 1
    assert "isolation level strict cannot be given" in ended.err
    assert "failed: namespaces of the zygote: unshare: Operation not permitted" in ended.err
    assert "fix: the container's seccomp profile" in ended.err
    assert "Traceback" not in ended.err


def test_where_strict_fails_restricted_is_given_only_when_asked_for() -> None:
    if not Path(OTHERS_PYTHON).exists():
        pytest.skip("no interpreter here that every user can read")
    refused = refusing(command("doctor", "--json"), unshare=1)
    for level, code in (("strict", 1), ("restricted", 0)):
        ended = run(refused, RUNNER_ISOLATION=level, RUNNER_PYTHON=OTHERS_PYTHON)
        assert ended.diagnosis["given_levels"] == ["restricted"], ended
        assert ended.code == code


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [
        ("/no/such/python", "RUNNER_PYTHON=/no/such/python is no Python that starts: No such file or directory"),
        ("/etc/passwd", "RUNNER_PYTHON=/etc/passwd is no Python that starts: Permission denied"),
        ("/bin/true", "RUNNER_PYTHON=/bin/true is no Python that starts: it ended with code 0 and said ''"),
        ("/bin/cat", "RUNNER_PYTHON=/bin/cat is no Python that starts: /bin/cat: invalid option"),
    ],
)
def test_an_interpreter_that_is_none_is_told(interpreter: str, said: str) -> None:
    ended = run(command("doctor", "--json"), RUNNER_PYTHON=interpreter)
    assert ended.code == 1
    for level in ended.diagnosis["levels"]:
        assert level["failed"] == "the interpreter"
        assert said in level["said"]
        assert "RUNNER_PYTHON" in level["fix"]


@AS_ROOT
def test_an_interpreter_that_its_user_cannot_read_is_told() -> None:
    # Not below /tmp, where a box has a folder of its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        own = Path(folder) / "own"
        subprocess.run([interpreter_for("restricted"), "-m", "venv", "--without-pip", own], check=True)
        told = {"RUNNER_PYTHON": str(own / "bin" / "python"), "RUNNER_ISOLATION": "restricted"}
        ended = run(command("doctor", "--json"), **told)
    restricted = ended.level("restricted")
    assert (ended.code, restricted["failed"]) == (1, "an interpreter that this user can read"), restricted
    assert folder in restricted["said"]
    assert "chmod o+x" in restricted["fix"]


@AS_ROOT
def test_a_machine_without_user_namespaces_is_told(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", WITHOUT_NAMESPACES, str(tmp_path / "out"), *command("doctor", "--json")]
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.read(1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{kind}").write_text("0 0 65536")
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.wait(SECONDS) == 1
    strict = Ended(1, (tmp_path / "out").read_text(), "").level("strict")
    assert strict["failed"] == "a user namespace of its own", strict
    assert "user.max_user_namespaces" in strict["fix"]


def test_servers_that_are_named_are_asked(rabbitmq_url: str, postgres_url: str) -> None:
    ended = run(command("doctor", "--json"), BROKER_URL=rabbitmq_url, STORE_URL=postgres_url)
    assert ended.code == 0, ended
    said = {server["setting"]: server["said"] for server in ended.diagnosis["servers"]}
    assert said["BROKER_URL"].startswith("RabbitMQ ")
    assert said["STORE_URL"].startswith("PostgreSQL ")


def test_a_server_that_does_not_answer_is_no_good_end(tmp_path: Path) -> None:
    ended = run(command("doctor", "--json"), BROKER_URL="amqp://127.0.0.1:1/", STORE_URL=f"sqlite:///{tmp_path}/x.db")
    assert ended.code == 1
    assert [server["answers"] for server in ended.diagnosis["servers"]] == [False, False]
    assert ended.diagnosis["given_levels"]
    assert not (tmp_path / "x.db").exists()
