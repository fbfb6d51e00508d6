"""A TCP proxy between one service and the broker or store: passes, delays, cuts, refuses, or goes half-open.

Promises: what it is told holds for the connections there are and those to come; nothing is lost while it passes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BLOCK = 64 * 1024


@dataclass(eq=False)
class Proxy:
    """Listens at `port` and forwards to the first port of the loopback that answers."""

    targets: Sequence[int]
    port: int = 0
    delay_seconds: float = 0.0
    #: Half-open: connections stay, and take what is sent, and nothing comes through.
    silent: bool = False
    refusing: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Forward while the context lasts."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End every connection there is, as a router that lost its tables does."""
        for writer in list(self._open):
            writer.transport.abort()

    def heal(self) -> None:
        """Pass everything again; what was swallowed is gone, so those connections end."""
        was_silent, self.silent, self.refusing, self.delay_seconds = self.silent, False, False, 0.0
        if was_silent:
            self.cut()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self.refusing:
                return
            back, there = await self._connect()
            self._open.add(there)
            await asyncio.gather(self._pump(reader, there), self._pump(back, writer))
        except OSError:
            pass
        finally:
            for one in filter(None, (writer, there)):
                self._open.discard(one)
                one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for target in self.targets:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", target)
        raise ConnectionRefusedError

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if not self.silent:
                writer.write(block)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
