"""The benchmark's peers run the task they are given; its whole run needs minutes and is `make bench`."""

from pathlib import Path

from bench.boxed import CODE, EXPECTED, run_boxed
from bench.celery_system import celery_system
from bench.dramatiq_system import dramatiq_system
from bench.measure import Plan, measure
from bench.processes import logs


def test_the_code_runs_under_bubblewrap() -> None:
    assert run_boxed(CODE) == EXPECTED


def test_peers_are_measured_on_the_same_broker(rabbitmq_url: str, tmp_path: Path) -> None:
    plan = Plan(tasks=4, singles=2, rounds=1)
    with celery_system(tmp_path, rabbitmq_url) as celery, dramatiq_system(tmp_path, rabbitmq_url) as dramatiq:
        times = measure({"Celery": celery, "Dramatiq": dramatiq}, plan, lambda _: None)
    assert all(len(times[name].seconds) == 2 and times[name].rate for name in ("Celery", "Dramatiq")), logs(tmp_path)
