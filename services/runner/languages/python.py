"""Python: main.py in the warm interpreter that the runner's boxes are made from."""

from services.runner.languages.language import Program
from services.runner.sandbox.box import BoxLimits, Cancellable


class Python:
    """The language Python."""

    async def prepare(self) -> None:
        """Nothing: a box is a Python."""

    async def build(self, code: str, limits: BoxLimits, handle: Cancellable) -> Program:
        """The code as it is; a syntax error shows when it starts."""
        del limits, handle
        return Program(files={"main.py": code.encode()}, out_of_memory=(b"MemoryError",))
