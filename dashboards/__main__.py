"""Run by tools/write-dashboards: writes every dashboard's JSON, or with --check says which are out of date."""

import sys
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import overview, runners_and_sandboxes, services, tasks_and_queues

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = (overview.dashboard, tasks_and_queues.dashboard, runners_and_sandboxes.dashboard, services.dashboard)


def written(dashboard: Dashboard) -> tuple[Path, str]:
    """The file of a dashboard, and what belongs into it."""
    model = dashboard.build()
    for number, panel in enumerate(model.panels or [], 1):
        panel.id_val = number
    text = JSONEncoder(sort_keys=True, indent=2).encode(model)
    return FOLDER / f"{str(model.uid).removeprefix('taskandgo-')}.json", text + "\n"


def main() -> int:
    """Write or check; 1 if a file is not what it should be."""
    files = dict(written(make()) for make in DASHBOARDS)
    if "--check" not in sys.argv[1:]:
        for path, text in files.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    stale += [path.name for path in FOLDER.glob("*.json") if path not in files]
    if stale:
        print(f"not what tools/write-dashboards writes: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
