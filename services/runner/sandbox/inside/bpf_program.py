"""An assembler for the kernel's classic packet filter, which only jumps forward, at most 255 instructions by condition.

The program is written from its end to its start: whatever is jumped to is there already, and how far away it is is
known. What is too far gets a stepping stone. A label counts instructions from the end.
"""

import struct

RETURN = 0x06
LOAD = 0x20
AND = 0x54
JUMP = 0x05
IF_EQUAL = 0x15
IF_AT_LEAST = 0x35
#: A conditional jump's reach, less the two stepping stones that may come between.
REACH = 253
INSTRUCTION = struct.Struct("=HBBI")


class BpfProgram:
    """Instructions, gathered back to front."""

    def __init__(self) -> None:
        self._reversed: list[bytes] = []
        self._returns: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._reversed)

    def returns(self, value: int) -> int:
        """Where the program ends with `value`: a place within reach, a new one if there is none."""
        label = self._returns.get(value)
        if label is None or self._distance(label) > REACH:
            label = self._returns[value] = self._put(RETURN, value)
        return label

    def load(self, offset: int, then: int) -> int:
        """Take the 32 bits at `offset` of what is judged, and go on at `then`."""
        return self._before(then, LOAD, offset)

    def keep(self, mask: int, then: int) -> int:
        """Clear what is not in the mask, and go on at `then`."""
        return self._before(then, AND, mask)

    def branch(self, test: int, value: int, then: int, otherwise: int) -> int:
        """Compare what was taken with `value` and go on at one label or the other."""
        then, otherwise = self._near(then), self._near(otherwise)
        return self._put(test, value, self._distance(then), self._distance(otherwise))

    def assemble(self, start: int) -> bytes:
        """The program, for a start that is the instruction put last."""
        if start != len(self) - 1:
            raise ValueError("the program starts with the instruction that was put last")
        return b"".join(reversed(self._reversed))

    def _distance(self, label: int) -> int:
        return len(self) - 1 - label

    def _near(self, label: int) -> int:
        if self._distance(label) <= REACH:
            return label
        return self._put(JUMP, self._distance(label))

    def _before(self, then: int, code: int, value: int) -> int:
        if self._distance(then) > 0:
            self._put(JUMP, self._distance(then))
        return self._put(code, value)

    def _put(self, code: int, value: int, then: int = 0, otherwise: int = 0) -> int:
        self._reversed.append(INSTRUCTION.pack(code, then, otherwise, value))
        return len(self) - 1
