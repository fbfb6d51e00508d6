"""Gives a command an option for each field of AskedTask, so that they are spelt once for all commands."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from services.cli.asked_task import AskedTask


def asks_for_task(command: Callable[..., None]) -> Callable[..., None]:
    """The command with all these options; its parameter `asked` gets them together."""
    hints = get_type_hints(AskedTask, include_extras=True)
    asked = [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(AskedTask)
    ]
    own = [parameter for parameter in signature(command).parameters.values() if parameter.name != "asked"]

    @wraps(command)
    def call(**given: Any) -> None:
        wanted = AskedTask(**{name: given.pop(name) for name in hints})
        command(asked=wanted, **given)

    call.__annotations__ = {parameter.name: parameter.annotation for parameter in (*asked, *own)}
    call.__signature__ = Signature([*asked, *own])  # type: ignore[attr-defined]
    return call
