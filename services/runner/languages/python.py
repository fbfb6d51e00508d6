"""Python: main.py in the warm interpreter that the runner's boxes are made from."""

from services.runner.languages.language import Program


class Python:
    """The language Python."""

    async def prepare(self) -> None:
        """Nothing: a box is a Python."""

    async def build(self, code: str) -> Program:
        """The code as it is; a syntax error shows when it starts."""
        return Program(files={"main.py": code.encode()}, out_of_memory=(b"MemoryError",))
