"""A reduce: puts the rows together and writes a PNG to standard output, with nothing but the standard library."""

import base64
import json
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator

WIDTH = int(os.environ["WIDTH"])


def chunk_bytes(line: str) -> bytes:
    """What a chunk wrote: exact bytes in base64 where it was not UTF-8, else text."""
    chunk = json.loads(line)
    return base64.b64decode(chunk["stdout_bytes"]) if "stdout_bytes" in chunk else chunk["stdout"].encode()


def palette() -> Iterator[int]:
    """256 colours, red, green and blue in turn; the first is the set's own black."""
    yield from (0, 0, 0)
    for shade in range(1, 256):
        yield from (int(127.5 - 127.5 * math.cos(shade / 255 * 9 + phase)) for phase in (0.3, 0.9, 1.7))


def block(kind: bytes, content: bytes) -> bytes:
    """A block of a PNG file: its length, its kind, what it holds, its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


pixels = b"".join(map(chunk_bytes, sys.stdin))
rows = [pixels[start : start + WIDTH] for start in range(0, len(pixels), WIDTH)]
header = struct.pack(">IIBBBBB", WIDTH, len(rows), 8, 3, 0, 0, 0)
# Each row begins with the number of its filter; 0 is none.
packed = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
sys.stdout.buffer.write(
    b"\x89PNG\r\n\x1a\n"
    + block(b"IHDR", header)
    + block(b"PLTE", bytes(palette()))
    + block(b"IDAT", packed)
    + block(b"IEND", b"")
)
