"""How many chunks of one task are let into a pool's queue at a time."""

import pytest

from services.dispatcher.pools import UNHEARD_SLOTS, Pools
from taskandgo.clock import SystemClock
from taskandgo.messages import RunnerHeartbeat


def pools(*slots: int, draining: bool = False) -> Pools:
    """A pool of runners that have so many slots each."""
    clock = SystemClock()
    heard = Pools(clock)
    for number, count in enumerate(slots):
        heard.hear(
            RunnerHeartbeat(
                runner=f"runner-{number}",
                pool="default",
                slots=count,
                busy=count,
                languages=["python"],
                isolation="strict",
                draining=draining,
                sent_at=clock.now(),
            )
        )
    return heard


@pytest.mark.parametrize(
    ("chunk_seconds", "window"), [(0.0, 8), (0.01, 8), (0.1, 8), (0.2, 6), (0.3, 6), (1.0, 5), (3600.0, 5)]
)
def test_the_longer_the_chunks_the_fewer_wait_in_front_of_others(chunk_seconds: float, window: int) -> None:
    assert pools(2, 2).window("default", chunk_seconds) == window


@pytest.mark.parametrize("slots", [1, 2, 7, 100])
def test_one_more_than_can_run_is_always_in_flight(slots: int) -> None:
    assert slots < pools(slots).window("default", 3600.0) <= 2 * slots


def test_a_pool_that_nobody_has_heard_of_is_taken_for_a_small_one() -> None:
    assert pools().window("default", 0.0) == 2 * UNHEARD_SLOTS
    assert pools(3, draining=True).slots("default") == UNHEARD_SLOTS
