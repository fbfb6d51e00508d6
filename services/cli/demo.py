"""`taskandgo demo`: starts everything on free ports, shows what it can do, and checks every answer."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from services.cli.embedded import AllSettings

ANY_PORT = "127.0.0.1:0"


def demo() -> None:
    """Show what TaskAndGo does, and check every answer; exits 1 if one is wrong."""
    from services.cli.embedded import Wanted, load_all
    from taskandgo.telemetry.logs import configure_logs

    with TemporaryDirectory(prefix="taskandgo-demo-") as directory:
        store_url = f"sqlite:///{Path(directory) / 'demo.db'}"
        # One slot, so that the order in which tasks run is there to be seen.
        settings = load_all(Wanted(store_url, ANY_PORT, ANY_PORT, ANY_PORT, slots=1))
        configure_logs(settings.ingest.model_copy(update={"log_level": "error"}), "demo")
        try:
            right = asyncio.run(_show(settings))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    raise typer.Exit(0 if right else 1)


async def _show(settings: "AllSettings") -> bool:
    from services.cli.demo_gallery import show_gallery
    from services.cli.embedded import embedded
    from taskandgo.rpc.client import connect

    async with embedded(settings) as addresses, connect(addresses.grpc) as stub:
        return await show_gallery(stub)
