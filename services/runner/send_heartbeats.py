"""Runs on a timer: tells everyone that this runner is alive, what it can do and how busy it is."""

import asyncio
from dataclasses import dataclass, field

from services.runner.running_chunks import RunningChunks
from services.runner.sandbox.sandbox import Sandbox
from services.runner.settings import RunnerSettings
from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat


@dataclass(slots=True)
class SendHeartbeats:
    """Publishes RunnerHeartbeat."""

    broker: Broker
    settings: RunnerSettings
    running: RunningChunks
    languages: list[str]
    sandbox: Sandbox
    clock: Clock
    draining: bool = False
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    async def for_ever(self) -> None:
        """One now, one each interval, and one as soon as the broker is back, which may think that this runner died."""
        self.broker.on_return(self.hurried.set)
        while True:
            await self.once()
            self.hurried.clear()
            try:
                async with asyncio.timeout(self.settings.runner_heartbeat_seconds):
                    await self.hurried.wait()
            except TimeoutError:
                pass

    async def once(self) -> None:
        """Publish one."""
        await self.broker.publish(
            RunnerHeartbeat(
                runner=self.settings.runner_name,
                pool=self.settings.runner_pool,
                slots=self.settings.runner_slots,
                busy=len(self.running),
                languages=self.languages,
                isolation=self.sandbox.isolation,
                metering=self.sandbox.metering,
                sent_at=self.clock.now(),
                draining=self.draining,
                running=self.running.held(),
                interval_seconds=self.settings.runner_heartbeat_seconds,
            )
        )
