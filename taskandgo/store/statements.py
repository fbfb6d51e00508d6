"""How statements over many rows are written, the same for both databases."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Table, and_, column, values
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Insert the rows that are not there yet; the primary keys of those that were inserted."""
    if not rows:
        return []
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(list(rows)).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return [tuple(row) for row in await connection.execute(statement)]


def rows_of(table: Table, rows: Sequence[Row]) -> CTE:
    """The rows as a table expression called `given`, with the column types of `table`."""
    names = list(rows[0])
    columns = [column(name, table.c[name].type) for name in names]
    return values(*columns, name="given").data([tuple(row[name] for name in names) for row in rows]).cte("given")


def same(table: Table, given: CTE, *names: str) -> ColumnElement[bool]:
    """Whether the row of `table` is the given one, by these columns."""
    return and_(*(table.c[name] == given.c[name] for name in names))
