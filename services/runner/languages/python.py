"""Python: started as `python3 main.py` by the interpreter that the runner is set to."""

from pathlib import Path

from services.runner.languages.language import MissingToolError, Program


class Python:
    """The language Python."""

    def __init__(self, interpreter: str) -> None:
        self._interpreter = interpreter
        prefix = str(Path(interpreter).resolve().parent.parent)
        # What lies under /usr is in every box already.
        self._read_only = () if prefix == "/usr" or prefix.startswith("/usr/") else (prefix,)

    async def prepare(self) -> None:
        """See that the interpreter is there."""
        if not Path(self._interpreter).exists():
            raise MissingToolError(f"there is no {self._interpreter}; set RUNNER_PYTHON to an interpreter")

    async def build(self, code: str) -> Program:
        """The code as it is; a syntax error shows when it starts."""
        return Program(
            argv=(self._interpreter, "main.py"),
            files={"main.py": code.encode()},
            read_only=self._read_only,
            # Output is seen as it is written, not when a buffer is full.
            env={"PYTHONUNBUFFERED": "1"},
        )
