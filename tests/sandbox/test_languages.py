"""What a runner speaks at each level of isolation, and the interpreter it was told to run Python with."""

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.runner.main import serve
from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.interpreter import examine
from taskandgo.broker.memory import open_memory
from taskandgo.messages import RunnerHeartbeat
from taskandgo.words import LANGUAGES, Outcome
from tests.sandbox.runner_at_work import Running, at_work, settings

PROGRAMS = {
    "python": "print('hello')",
    "go": 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
    "bash": "echo hello",
}


def readable_python() -> str:
    """An interpreter that every user of this machine may read: what root keeps at home is none."""
    for path in (Path(getattr(sys, "_base_executable", sys.executable)).resolve(), Path("/usr/bin/python3")):
        if path.exists() and all(parent.stat().st_mode & 0o1 for parent in path.parents):
            return str(path)
    pytest.skip("no interpreter here that every user may read")


@pytest.fixture(scope="module")
async def restricted() -> AsyncIterator[Running]:
    """A runner of the level restricted."""
    async with at_work(runner_isolation="restricted", runner_python=readable_python()) as running:
        yield running


async def spoken(running: Running) -> list[str]:
    """What the runner says it speaks."""
    heartbeat = await running.heard.first(lambda m: isinstance(m, RunnerHeartbeat))
    assert isinstance(heartbeat, RunnerHeartbeat)
    return heartbeat.languages


async def test_every_language_runs() -> None:
    async with at_work() as running:
        for language in LANGUAGES:
            result = await running.result(PROGRAMS[language], language)
            assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, b"hello\n"), result
        assert await spoken(running) == sorted(LANGUAGES)


async def test_a_restricted_runner_speaks_python_only_and_says_so(restricted: Running) -> None:
    assert await spoken(restricted) == ["python"]
    result = await restricted.result(PROGRAMS["python"])
    assert (result.outcome, result.stdout, result.usage.isolation) == (Outcome.SUCCEEDED, b"hello\n", "restricted")


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {"python"}))
async def test_a_restricted_runner_refuses_the_others(restricted: Running, language: str) -> None:
    result = await restricted.result(PROGRAMS[language], language)
    assert (result.outcome, result.reason) == (
        Outcome.SANDBOX_ERROR,
        f"this runner, at isolation level restricted, does not speak {language}",
    )


@pytest.fixture(scope="module")
def environment() -> Iterator[Path]:
    """A virtual environment with a package, outside of the folders that a box has of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        made = Path(folder) / "env"
        subprocess.run([readable_python(), "-m", "venv", "--without-pip", made], check=True)
        (package,) = made.glob("lib/python*/site-packages")
        (package / "greeting").mkdir()
        (package / "greeting" / "__init__.py").write_text("import os\nPID = os.getpid()\ndef greet(): return 'hello'\n")
        (package / "greeting" / "later.py").write_text("WORD = 'later'\n")
        yield made


@pytest.fixture(scope="module", params=["strict", "restricted"])
async def runner(request: pytest.FixtureRequest, environment: Path) -> AsyncIterator[Running]:
    """A runner whose Python is that of a virtual environment."""
    told = {"runner_python": str(environment / "bin" / "python"), "runner_isolation": request.param}
    async with at_work(**told) as running:
        yield running


async def lines(running: Running, code: str) -> list[str]:
    """What Python code prints that succeeds."""
    result = await running.result(code)
    assert result.outcome is Outcome.SUCCEEDED, result
    return result.stdout.decode().splitlines()


async def test_code_imports_what_is_installed_in_its_environment(runner: Running) -> None:
    code = "import greeting, greeting.later; print(greeting.greet(), greeting.later.WORD)"
    assert await lines(runner, code) == ["hello later"]


async def test_code_sees_nothing_of_the_services_own_packages(runner: Running) -> None:
    code = """
import importlib.util
print([name for name in ("services", "taskandgo", "msgspec", "grpc", "pydantic") if importlib.util.find_spec(name)])
"""
    assert await lines(runner, code) == ["[]"]


async def test_the_interpreter_is_the_environments(runner: Running, environment: Path) -> None:
    code = "import sys; print(sys.executable, sys.prefix, sys.base_prefix != sys.prefix, sep='\\n')"
    assert await lines(runner, code) == [str(environment / "bin" / "python"), str(environment), "True"]


async def test_what_python_starts_is_in_the_environment_too(environment: Path) -> None:
    code = """
import subprocess, sys, multiprocessing as mp
from greeting import greet
def work(pipe): pipe.send(greet())
if __name__ == "__main__":
    print(subprocess.check_output([sys.executable, "-c", "import greeting, sys; print(greeting.greet(), sys.prefix)"],
                                  text=True).strip())
    for method in ("fork", "spawn"):
        ours, theirs = mp.Pipe()
        child = mp.get_context(method).Process(target=work, args=(theirs,))
        child.start(); print(ours.recv()); child.join()
"""
    async with at_work(runner_python=str(environment / "bin" / "python")) as running:
        assert await lines(running, code) == [f"hello {environment}", "hello", "hello"]


async def test_modules_that_are_kept_warm_are_imported_once_for_all(environment: Path) -> None:
    told = {"runner_python": str(environment / "bin" / "python"), "runner_python_preload": "greeting,json"}
    async with at_work(**told) as running:
        code = "import sys; print('greeting' in sys.modules); import greeting; print(greeting.PID)"
        (warm, first), (_warm, second) = [await lines(running, code) for _ in range(2)]
        assert (warm, first) == ("True", second)


async def refusal(**told: str) -> str:
    """Why a runner does not start."""
    async with open_memory() as broker:
        with pytest.raises(SandboxUnavailableError) as refused:
            async with serve(settings(**told), broker):
                pass
    return str(refused.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/no/such/python", "is no Python that starts: No such file or directory"),
        ("/etc/passwd", "is no Python that starts: Permission denied"),
        ("/bin/true", "is no Python that starts"),
        ("/bin/false", "is no Python that starts: it ended with code 1"),
    ],
)
async def test_what_is_no_interpreter_is_refused(path: str, why: str) -> None:
    assert f"RUNNER_PYTHON={path} {why}" in await refusal(runner_python=path)


async def test_a_module_that_cannot_be_kept_warm_is_named() -> None:
    said = await refusal(runner_python_preload="json,no_such_module")
    assert "cannot import no_such_module, which RUNNER_PYTHON_PRELOAD names: No module named 'no_such_module'" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="a runner of an ordinary user reads what its boxes read")
async def test_an_interpreter_that_the_restricted_user_may_not_read_is_refused(environment: Path) -> None:
    environment.parent.chmod(0o700)
    try:
        said = await refusal(runner_isolation="restricted", runner_python=str(environment / "bin" / "python"))
    finally:
        environment.parent.chmod(0o755)
    assert f"failed: an interpreter that this user can read: Permission denied: {environment}" in said
    assert "chmod o+x" in said


async def test_an_environment_where_boxes_have_folders_of_their_own_is_refused(tmp_path: Path) -> None:
    venv.create(tmp_path / "env")
    said = await refusal(runner_python=str(tmp_path / "env" / "bin" / "python"))
    assert f"{tmp_path}/env must lie outside of /box, /work, /tmp" in said


async def test_another_interpreter_than_cpython_from_3_11_on_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\necho \'["cpython", [3, 10], ["/usr", "/usr", "/usr", "/usr"], ""]\'\n')
    old.chmod(0o755)
    with pytest.raises(SandboxUnavailableError, match=r"is cpython 3\.10; it must be CPython 3\.11 or newer"):
        await examine(str(old), ())


async def test_links_that_lead_from_an_environment_to_its_interpreter_work_in_a_box(environment: Path) -> None:
    away = environment.parent / "elsewhere"
    away.mkdir()
    link = environment / "bin" / "python"
    (away / "python").symlink_to(link.resolve())
    linked = environment / "bin" / "linked"
    linked.symlink_to(away / "python")
    async with at_work(runner_python=str(linked)) as running:
        code = "import subprocess, sys; print(subprocess.call([sys.executable, '-c', 'import greeting']))"
        assert await lines(running, code) == ["0"]
