"""Which ends are worth another attempt, after how long, and when a chunk straggles."""

import pytest

from services.dispatcher.retry import LONGEST_SECONDS, RETRIED, grown_memory, wait_seconds
from services.dispatcher.stragglers import Patience, most_done
from taskandgo.words import Outcome


def test_every_outcome_is_decided() -> None:
    assert RETRIED.keys() == set(Outcome) - {Outcome.SUCCEEDED, Outcome.LOST}


def test_the_wait_doubles_up_to_an_hour() -> None:
    waits = [wait_seconds(Outcome.FAILED, count, 100, 2.0, jitter=0) for count in (1, 2, 3, 50, 99)]
    assert waits == [2.0, 4.0, 8.0, LONGEST_SECONDS, LONGEST_SECONDS]


def test_jitter_takes_up_to_a_half() -> None:
    assert wait_seconds(Outcome.FAILED, 1, 2, 2.0, jitter=1) == 1.0


@pytest.mark.parametrize(("outcome", "failed_count"), [(Outcome.FAILED, 3), (Outcome.COMPILE_FAILED, 1)])
def test_no_attempt_follows_the_last_nor_what_would_end_the_same(outcome: Outcome, failed_count: int) -> None:
    assert wait_seconds(outcome, failed_count, 3, 1.0, jitter=0) is None


def test_memory_doubles_with_each_attempt_that_ran_out_of_it_up_to_the_most() -> None:
    assert [grown_memory(100, count, 350) for count in (0, 1, 2, 1000)] == [100, 200, 350, 350]
    assert grown_memory(500, 1, 350) == 500


def test_a_chunk_straggles_far_behind_its_siblings_and_never_at_once() -> None:
    patience = Patience(factor=4, least_seconds=2)
    assert (patience.seconds(0.01), patience.seconds(10)) == (2, 40)
    assert (most_done(10_000, 7500), most_done(10_000, 7499), most_done(3, 3)) == (True, False, False)
