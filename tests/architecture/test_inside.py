"""What runs inside the box's parent process: a bare interpreter has to find everything it imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "services.runner.sandbox.inside"
INSIDE = sorted((ROOT / PACKAGE.replace(".", "/")).rglob("*.py"))
#: Modules that cost every fork and bring nothing that named tuples do not.
HEAVY = {"dataclasses", "inspect", "asyncio", "logging", "pathlib"}


def imported(path: Path) -> Iterator[str]:
    """The module of every import in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: path.name)
def test_only_the_standard_library_is_imported(path: Path) -> None:
    foreign = {
        name
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not f"{name}.".startswith(f"{PACKAGE}.")
    }
    assert foreign == set()


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: path.name)
def test_a_bare_interpreter_can_import_it(path: Path) -> None:
    module = PACKAGE if path.stem == "__init__" else f"{PACKAGE}.{path.stem}"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; print(*sys.modules)"
    bare = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(bare.stdout.split()) == set()
