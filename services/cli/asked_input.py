"""Reads the files that a person named on the command line; what cannot be read is a usage error."""

import sys
from pathlib import Path
from typing import BinaryIO

import typer

from services.cli.options import LanguageWord
from taskandgo.words import LANGUAGES

STANDARD_INPUT = Path("-")


def open_input(path: Path, option: str) -> BinaryIO:
    """The file, open; `-` is standard input."""
    try:
        return sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint=option) from error


def read_input(path: Path, option: str) -> bytes:
    """The file's bytes."""
    with open_input(path, option) as source:
        return source.read()


def code_file(path: Path, language: LanguageWord | None, option: str) -> str:
    """The file's code behind the prefix of its language, which its ending says unless it is given."""
    prefix = language or _language(path, option)
    try:
        return f"{prefix}:{read_input(path, option).decode()}"
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8", param_hint=option) from error


def _language(path: Path, option: str) -> str:
    if path == STANDARD_INPUT:
        return LanguageWord("python")
    for language, endings in LANGUAGES.items():
        if path.suffix in endings:
            return language
    known = ", ".join(ending for endings in LANGUAGES.values() for ending in endings)
    hint = "--language" if option == "FILE" else option
    raise typer.BadParameter(
        f"{path.suffix or str(path)!r} is none of {known}; say which language it is", param_hint=hint
    )
