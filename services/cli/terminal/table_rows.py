"""Shows rows in a table of the terminal, with the cursor left on the row where it was."""

from typing import Any

from textual.coordinate import Coordinate
from textual.widgets import DataTable

from services.cli.terminal.tables import Rows


def show_rows(table: DataTable[Any], rows: Rows) -> None:
    """Show these, in this order."""
    if list(rows) == [key.value for key in table.rows]:
        _update(table, rows)
        return
    place, key = table.cursor_coordinate, None
    if table.row_count:
        key = table.coordinate_to_cell_key(place).row_key.value
    scroll = table.scroll_offset
    table.clear()
    for name, cells in rows.items():
        table.add_row(*cells, key=name)
    row = list(rows).index(key) if key in rows else min(place.row, max(0, len(rows) - 1))
    table.move_cursor(row=row, animate=False)
    table.scroll_to(scroll.x, scroll.y, animate=False)


def _update(table: DataTable[Any], rows: Rows) -> None:
    for row, cells in enumerate(rows.values()):
        for column, cell in enumerate(cells):
            place = Coordinate(row, column)
            if table.get_cell_at(place) != cell:
                table.update_cell_at(place, cell, update_width=True)
