"""Says in words what a setting may be, from its type and bounds; for refusals and for .env.example."""

from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

BOUNDS: dict[Any, str] = {
    Ge: "of at least",
    Gt: "above",
    Le: "at most",
    Lt: "below",
    MinLen: "with a length of at least",
    MaxLen: "at most",
}
NOUNS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def allowed(field: FieldInfo) -> str:
    """What the field may be, such as `a whole number from 1 to 1024`."""
    said = next((item for item in field.metadata if isinstance(item, str)), None)
    return said or choices(field.annotation) or _noun(field) + _bounds(field)


def choices(annotation: Any) -> str:
    """The values of a closed set, such as `batch or split`; empty if it is open."""
    if get_origin(annotation) is Literal:
        values = [str(value) for value in get_args(annotation)]
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        values = [str(member.value) for member in annotation]
    else:
        return ""
    return " or ".join(filter(None, (", ".join(values[:-1]), values[-1])))


def _noun(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    pattern = next((item.pattern for item in field.metadata if getattr(item, "pattern", None)), None)
    return f"text that matches {pattern}" if pattern else NOUNS.get(annotation, "text")


def _bounds(field: FieldInfo) -> str:
    found = {type(bound): _value(bound) for bound in field.metadata if type(bound) in BOUNDS}
    if found.keys() == {Ge, Le}:
        return f" from {found[Ge]} to {found[Le]}"
    return "".join(
        f"{',' if place else ''} {BOUNDS[kind]} {value}" for place, (kind, value) in enumerate(found.items())
    )


def _value(bound: Any) -> Any:
    return next(
        value
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if (value := getattr(bound, name, None)) is not None
    )
