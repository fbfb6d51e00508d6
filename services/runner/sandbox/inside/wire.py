"""What is said between the runner and the far side: packets on a socket, with descriptors beside them.

Inwards go plans, marshalled: only the runner writes them, and reading them costs a box next to nothing. Outwards go
words in plain text, which is all the runner ever takes from a box. Promises: whole packets or none.
"""

import marshal
import os
import socket
from typing import Any

PACKET_BYTES = 64 * 1024
#: What a box hears is two sizes.
PARCEL_BYTES = 64
DESCRIPTOR_BYTES = 4
MOST_DESCRIPTORS = 8
ANCILLARY_BYTES = socket.CMSG_SPACE(MOST_DESCRIPTORS * DESCRIPTOR_BYTES)
#: The oldest format that knows all we send, so that two versions of Python understand each other.
FORMAT = 2


def tell(channel: socket.socket, plan: tuple[Any, ...] | int, descriptors: tuple[int, ...] = ()) -> None:
    """Send a plan inwards; OSError once the other side is gone."""
    socket.send_fds(channel, [marshal.dumps(plan, FORMAT)], descriptors)


def hear(channel: socket.socket, most_bytes: int = PACKET_BYTES) -> tuple[Any, list[int]] | None:
    """The next plan and its descriptors, now ours to close; None once the runner is gone."""
    # Closed by an exec: what the box runs then would hold what its process was told with, and could speak with it.
    packet, beside, _flags, _sender = channel.recvmsg(most_bytes, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    if not packet:
        return None
    descriptors = memoryview(beside[0][2]).cast("i").tolist() if beside else []
    return marshal.loads(packet), descriptors  # noqa: S302 - from the runner only


def say(channel: int, words: str) -> None:
    """Send words outwards."""
    os.write(channel, words.encode(errors="backslashreplace")[:PACKET_BYTES])
