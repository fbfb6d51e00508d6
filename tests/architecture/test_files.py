"""The shape of the code: small files and functions that say what they are for, under names that say what is in them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "taskandgo" / "api"
LONGEST_FILE = 300
LONGEST_FUNCTION = 45
#: Names for what nobody thought about; whatever is in such a file has a better one.
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}


def python_files(*folders: str) -> list[Path]:
    """The Python files that people write."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if GENERATED not in path.parents]


CODE = python_files("taskandgo", "services", "bench", "dashboards")
ALL = [*CODE, *python_files("tests", "examples")]


def named(path: Path) -> str:
    """How a failing test tells which file it is about."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_code_to_look_at() -> None:
    assert len(CODE) > 50


@pytest.mark.parametrize("path", CODE, ids=named)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", CODE, ids=named)
def test_functions_are_short(path: Path) -> None:
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions(path)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", python_files("taskandgo", "services", "bench", "tests"), ids=named)
def test_a_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", ALL, ids=named)
def test_a_file_has_a_name_that_says_something(path: Path) -> None:
    assert not NAMELESS & set(path.stem.split("_"))
