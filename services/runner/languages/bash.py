"""Bash: main.sh by the machine's own bash, which boxes see read-only with all of /usr.

Promises: whatever ends bash itself ends the chunk; commands that it left running are killed with its box.
"""

import shutil

from services.runner.languages.language import MissingToolError, Program
from services.runner.sandbox.box import BoxLimits, Cancellable

#: What a box sees of the machine.
SEEN = "/usr/local/bin:/usr/bin:/bin"
MISSING = f"bash is not installed on this runner: it has to be in {' or '.join(SEEN.split(':'))}"
SCRIPT = "main.sh"
OUT_OF_MEMORY = tuple(f"{SCRIPT}: {name}: cannot allocate".encode() for name in ("xmalloc", "xrealloc"))


class Bash:
    """The language bash."""

    def __init__(self) -> None:
        self._path: str | None = None

    async def prepare(self) -> None:
        """Find it; MissingToolError if it is not there."""
        self._find()

    async def build(self, code: str, limits: BoxLimits, handle: Cancellable) -> Program:
        """The code as it is; a syntax error shows when it is reached."""
        del limits, handle
        return Program(argv=(self._find(), SCRIPT), files={SCRIPT: code.encode()}, out_of_memory=OUT_OF_MEMORY)

    def _find(self) -> str:
        self._path = self._path or shutil.which("bash", path=SEEN)
        if self._path is None:
            raise MissingToolError(MISSING)
        return self._path
