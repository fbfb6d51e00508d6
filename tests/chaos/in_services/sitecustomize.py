"""Runs in every Python of the fleet before anything else: a clock that the test can set wrong.

CLOCK_OFFSET_FILE names a file with the seconds by which this process's clock is off; it is read at each look.
"""

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

if offset_file := os.environ.get("CLOCK_OFFSET_FILE"):
    sys.path.insert(0, os.environ["PYTHONPATH"].rpartition(os.pathsep)[2])
    from taskandgo.clock import SystemClock

    right = SystemClock.now

    def now(self: SystemClock) -> datetime:
        """The instant, as a machine tells it whose clock is off."""
        return right(self) + timedelta(seconds=float(Path(offset_file).read_text() or 0))

    SystemClock.now = now  # type: ignore[method-assign]
