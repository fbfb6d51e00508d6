"""Where the making of a box stands, so that what fails is told by its step, and a person can mend the right thing."""


class Step:
    """The step being taken, and those taken before."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, name: str) -> None:
        """The one before is done; this one comes."""
        self.taken.append(name)

    def failed(self, error: OSError) -> str:
        """What to tell of a step that raised."""
        where = f": {error.filename}" if error.filename else ""
        return f"{self.taken[-1]}: {error.strerror or error}{where}"

    def __str__(self) -> str:
        """All of them."""
        return "; ".join(self.taken)
