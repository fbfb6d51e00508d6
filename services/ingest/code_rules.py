"""What submitted code must be like: a language prefix, code behind it, no NUL. Pure."""

from collections.abc import Iterator

from taskandgo.rpc.refusal import Violation
from taskandgo.task import Code
from taskandgo.words import LANGUAGES

SHOWN = 20


def code_violations(field: str, text: str) -> Iterator[Violation]:
    """Everything that is wrong with the code in a field."""
    supported = ", ".join(f"{name}:" for name in LANGUAGES)
    language, colon, code = text.partition(":")
    if not text:
        yield Violation(field, f"is empty; give the code behind a language prefix, one of {supported}")
    elif not colon or language not in LANGUAGES:
        needed = f"it needs a language prefix, one of {supported} as in python:print(1)"
        yield Violation(field, f"begins with {text[:SHOWN]!r}; {needed}")
    elif not code.strip():
        yield Violation(field, f"has no code behind the prefix {language}:")
    if "\0" in text:
        yield Violation(field, "has a NUL character; code is text without NUL")


def code_of(text: str) -> Code:
    """The code behind its prefix."""
    language, code = text.split(":", 1)
    return Code(language=language, code=code)
