"""A short campaign under the likeliest faults; `make chaos` runs longer ones under all of them."""

import pytest

from tests.chaos.campaign import Plan, run_campaign
from tests.chaos.faults import FAULTS

SEED = 20
SECONDS = 35.0
LIKELY = (
    "kill-dispatcher",
    "kill-runner",
    "kill-ingest",
    "broker-connections-closed",
    "store-connections-ended",
    "network-cut",
    "poison-messages",
    "false-results",
    "killer-chunk",
)


@pytest.mark.timeout(300)
async def test_no_promise_is_broken_by_likely_faults() -> None:
    verdict = await run_campaign(Plan(SEED, SECONDS, faults=LIKELY))
    verdict.show()
    assert verdict.breaches == []
    assert verdict.submitted == len(verdict.statuses) > 100
    assert {one.name for one in verdict.injected} & {"kill-dispatcher", "kill-runner"}


def test_a_seed_replays() -> None:
    first, again, other = (Plan(seed, SECONDS).order() for seed in (1, 1, 2))
    assert first == again != other
    assert set(first[: len(FAULTS)]) == FAULTS.keys()
