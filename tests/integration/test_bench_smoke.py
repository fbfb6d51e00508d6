"""The benchmark's peers run the task they are given; its whole run needs minutes and is `make bench`."""

from pathlib import Path

from bench.boxed import CODE, EXPECTED, run_boxed
from bench.celery_system import celery_system
from bench.dramatiq_system import dramatiq_system
from bench.measure import Plan, measure
from bench.processes import logs
from bench.submits import WAYS, measure_submits, submitting
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost


def test_the_code_runs_under_bubblewrap() -> None:
    assert run_boxed(CODE) == EXPECTED


def test_peers_are_measured_on_the_same_broker(rabbitmq_url: str, tmp_path: Path) -> None:
    plan = Plan(tasks=4, singles=2, rounds=1)
    with celery_system(tmp_path, rabbitmq_url) as celery, dramatiq_system(tmp_path, rabbitmq_url) as dramatiq:
        times = measure({"Celery": celery, "Dramatiq": dramatiq}, plan, lambda _: None)
    assert all(len(times[name].seconds) == 2 and times[name].rate for name in ("Celery", "Dramatiq")), logs(tmp_path)


def test_submits_are_measured_every_way(rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> None:
    servers = (fresh_vhost(rabbitmq_url), fresh_database(postgres_url))
    with submitting(tmp_path, *servers) as client:
        measured = measure_submits(client, tasks=40, rounds=2)
    assert list(measured) == [way.name for way in WAYS]
    assert all(len(taken.rates) == 2 and min(taken.rates) > 0 for taken in measured.values())
