"""What `dramatiq` loads; its broker is named by the environment."""

import os

import dramatiq

from bench.dramatiq_system import RESULTS, URL, dramatiq_broker

broker = dramatiq_broker(os.environ[URL])


@dramatiq.actor(actor_name="recorded", queue_name=RESULTS, broker=broker)
def recorded(_message: dict[str, object], _output: str) -> None:
    """Only declared here, so that the success callback knows its queue; the client runs it."""
