"""What runners claim is believed for a while, and then forgotten, however many names they go by."""

from datetime import datetime, timedelta

from services.dispatcher.claims import Claims
from taskandgo.clock import SystemClock
from taskandgo.messages import RunnerHeartbeat


class MovedClock(SystemClock):
    """The time goes by as the test says."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """So much later than it is."""
        return super().now() + self.ahead


def test_runners_that_come_and_go_leave_nothing_behind() -> None:
    clock = MovedClock()
    claims = Claims(clock)
    for number in range(50):
        clock.ahead = timedelta(minutes=number)
        claims.hear(
            RunnerHeartbeat(
                runner=f"runner-{number}",
                pool="default",
                slots=1,
                busy=1,
                languages=["python"],
                isolation="strict",
                sent_at=clock.now(),
                running=[("task", 0, number)],
            )
        )
    assert list(claims.runners) == ["runner-49"]
