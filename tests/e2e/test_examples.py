"""The commands of docs/splitting.md do what the page says, on real work, against both shapes of the product."""

import os
import re
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.stack import Stack

ROOT = Path(__file__).parents[2]
#: The fenced blocks of the page, by language; one that has none is what the command before it prints.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "docs" / "splitting.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [
    pytest.param(
        command,
        BLOCKS[place + 1][1] if BLOCKS[place + 1 : place + 2] and not BLOCKS[place + 1][0] else "",
        # The pipeline speaks Go too.
        marks=[pytest.mark.strict] if "pipeline" in command else [],
    )
    for place, (language, command) in enumerate(BLOCKS)
    if language == "sh"
]


def pasted(stack: Stack, folder: Path, command: str) -> str:
    """What a command of the page prints, run in a folder that looks like the repository's root."""
    for name in ("examples", "LICENSE"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TASKANDGO_SERVER": stack.grpc_address, "LOG_LEVEL": "error"}
    ended = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def command_with(text: str) -> str:
    """The one command of the page that has this text."""
    (found,) = (case.values[0] for case in COMMANDS if text in str(case.values[0]))
    return str(found)


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=range(len(COMMANDS)))
def test_each_command_of_the_page_prints_what_the_page_says(
    stack: Stack, tmp_path: Path, command: str, printed: str
) -> None:
    said = pasted(stack, tmp_path, command)

    assert said.startswith(printed)


def test_words_are_counted_once_each(stack: Stack, tmp_path: Path) -> None:
    pasted(stack, tmp_path, command_with("word_count/count.py"))

    lines = [line.split() for line in (tmp_path / "words.txt").read_text().splitlines()]
    words = Counter(re.findall(r"[a-z]+(?:'[a-z]+)?", (ROOT / "LICENSE").read_text().lower()))
    assert {word: int(count) for count, word in lines} == words


def test_the_mandelbrot_set_is_a_picture(stack: Stack, tmp_path: Path) -> None:
    pasted(stack, tmp_path, command_with("mandelbrot/rows.py"))

    blocks = png_blocks((tmp_path / "mandelbrot.png").read_bytes())
    assert struct.unpack(">II", blocks[b"IHDR"][:8]) == (360, 240)
    rows = zlib.decompress(blocks[b"IDAT"])
    assert len(rows) == 240 * 361
    # The set itself is black, and around it are many shades.
    assert rows.count(0) > 240
    assert len(set(rows)) > 100


def png_blocks(content: bytes) -> dict[bytes, bytes]:
    """The blocks of a PNG by kind, each with the checksum that it says."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, block = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(kind + block),)
        found[kind], at = block, at + length + 12
    return found


def test_pi_is_right_to_ten_thousand_decimals(stack: Stack, tmp_path: Path) -> None:
    pasted(stack, tmp_path, command_with("pi_digits/terms.py"))

    said = (tmp_path / "pi.txt").read_text().strip()
    assert len(said) == len("3.") + 10_000
    # Another formula, by the example that runs as one chunk.
    machin = (ROOT / "examples" / "pi.py").read_text().replace("DIGITS = 1000", "DIGITS = 10_000")
    code = "import sys; sys.set_int_max_str_digits(0)\n" + machin.partition('"""\n')[2]
    assert (
        said == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )
    assert said.endswith("256375678")
