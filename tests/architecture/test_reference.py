"""The reference is complete: every setting in .env.example, every part of the API with a comment."""

import importlib
import itertools
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from taskandgo.settings import BrokerSettings, LogSettings, Settings, StoreSettings

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto" / "taskandgo" / "api" / "scheduler.proto"
DECLARATION = re.compile(r"^\s*((message|enum|service|rpc|oneof)\s+\w+|[\w.<>, ]+\s+\w+\s*=\s*\d+\s*(\[.*\])?;)")


def settings_classes() -> list[type[Settings]]:
    """What all services can be told."""
    found: list[type[Settings]] = [LogSettings, BrokerSettings, StoreSettings]
    for path in sorted((ROOT / "services").glob("*/settings.py")):
        module = importlib.import_module(f"services.{path.parent.name}.settings")
        found += [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Settings)]
    return list(dict.fromkeys(found))


def test_the_example_environment_is_what_its_tool_prints() -> None:
    printed = subprocess.run(
        [ROOT / "tools" / "write-env-example", "--print"], capture_output=True, text=True, check=True
    )
    assert (ROOT / ".env.example").read_text() == printed.stdout


def test_the_reference_of_metrics_is_what_its_tool_prints() -> None:
    printed = subprocess.run([ROOT / "tools" / "write-metrics", "--print"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "metrics.md").read_text() == printed.stdout


@pytest.mark.parametrize("kind", settings_classes())
def test_every_setting_is_described_and_in_the_example(kind: type[Settings]) -> None:
    example = (ROOT / ".env.example").read_text()
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert re.search(rf"^(# )?{name.upper()}=", example, re.MULTILINE), name


def test_the_example_tells_nothing_of_the_machine_it_was_written_on() -> None:
    assert str(Path.home()) + "/" not in (ROOT / ".env.example").read_text()


def test_every_part_of_the_api_has_a_comment() -> None:
    lines = PROTO.read_text().splitlines()
    bare = [line.strip() for before, line in itertools.pairwise(lines) if _is_bare(before, line)]
    assert bare == []


def _is_bare(before: str, line: str) -> bool:
    return bool(DECLARATION.match(line)) and not before.strip().startswith("//") and "//" not in line


def test_every_alert_has_an_entry_in_the_runbook_and_a_case_that_fires_it() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {"docs/runbook.md#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    folder = ROOT / "deploy" / "prometheus"
    rules = [rule for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    cases = yaml.safe_load((folder / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert {rule["annotations"]["runbook_url"] for rule in rules} - anchors == set()
    assert {rule["alert"] for rule in rules} == fired
    assert all(f"`{rule['alert']}`" in (ROOT / "docs" / "runbook.md").read_text() for rule in rules)
