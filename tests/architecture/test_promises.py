"""The promises of docs/reliability.md name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARDS = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", (ROOT / "docs" / "reliability.md").read_text())
ROWS = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(("name", "path"), GUARDS, ids=[name for name, _ in GUARDS])
def test_the_test_that_guards_a_promise_is_there(name: str, path: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names


@pytest.mark.parametrize("row", ROWS[1:])
def test_every_promise_has_a_test_that_guards_it(row: str) -> None:
    assert re.search(r"\[`test_\w+`\]\(", row), row
