"""Server-sent events as text: pure. What a page shows at a place is a message; what its scripts take has a name."""

from dataclasses import dataclass

import msgspec

#: An event rather than a comment, since the page has to notice when it does not come.
KEEP_ALIVE = b"event: alive\ndata:\n\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing to show: the HTML at the element of this id, or the data of an event of this name."""

    place: str
    text: str
    is_event: bool = False

    def encoded(self) -> bytes:
        """As it is sent; html is morphed into its element, so that focus and scrolling stay."""
        if self.is_event:
            return f"event: {self.place}\n{_data(self.text)}\n".encode()
        partial = f'<hx-partial hx-target="#{self.place}" hx-swap="innerMorph">\n{self.text}\n</hx-partial>'
        return f"{_data(partial)}\n".encode()


def event(name: str, value: object) -> Frame:
    """An event with a value as JSON."""
    return Frame(name, msgspec.json.encode(value).decode(), is_event=True)


def _data(text: str) -> str:
    # A carriage return would end the line as well.
    return "".join(f"data: {line}\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
