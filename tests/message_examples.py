"""Messages with every field filled in, made from their types alone, so that a new field is in them by itself."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import inspect

from taskandgo.messages import AnyMessage, Message

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
#: Enough for every member of every union and enumeration to be in one of them.
VARIANTS = 10
TEXT = "text, with a “mark”"


def examples() -> list[Message]:
    """Every message in each variety, and with nothing but what it must have."""
    kinds = inspect.multi_type_info([AnyMessage])[0]
    assert isinstance(kinds, inspect.UnionType)
    made = [_value(kind, variant) for kind in kinds.types for variant in range(VARIANTS)]
    made += [_struct(kind, 0, full=False) for kind in kinds.types if isinstance(kind, inspect.StructType)]
    return list({msgspec.msgpack.encode(one): one for one in made}.values())


def _struct(kind: inspect.StructType, variant: int, *, full: bool = True) -> Any:
    fields = [field for field in kind.fields if full or field.required]
    return kind.cls(**{field.name: _value(field.type, variant) for field in fields})


def _value(kind: inspect.Type, variant: int) -> Any:
    match kind:
        case inspect.UnionType():
            return _value(kind.types[variant % len(kind.types)], variant)
        case inspect.StructType():
            return _struct(kind, variant)
        case inspect.EnumType():
            return list(kind.cls)[variant % len(kind.cls)]
        case inspect.ListType():
            return [_value(kind.item_type, variant), _value(kind.item_type, variant + 1)]
        case _:
            return _small(kind, variant)


def _small(kind: inspect.Type, variant: int) -> Any:
    match kind:
        case inspect.TupleType():
            return tuple(_value(item, variant) for item in kind.item_types)
        case inspect.DictType():
            return {_value(kind.key_type, variant): _value(kind.value_type, variant)}
        case _:
            return PLAIN[type(kind)]


PLAIN: dict[type, Any] = {
    inspect.StrType: TEXT,
    inspect.BytesType: b"\x00bytes\xff",
    inspect.IntType: 7,
    inspect.FloatType: 2.5,
    inspect.BoolType: True,
    inspect.DateTimeType: AT,
    inspect.NoneType: None,
}
