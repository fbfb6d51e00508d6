"""Text from strangers, as a terminal may show it."""


def printable(text: str) -> str:
    """The text without what steers a terminal: whatever is no letter, sign, space, tab or end of line is replaced."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
