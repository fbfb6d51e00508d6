"""How a runner gets at blobs: the paths of ingest's internal endpoint, and tokens that open one of them to one attempt.

Promises: a token opens the very path it was made for, until it expires; who does not know the secret cannot make one.
The secret is known to ingest, which checks, and to the dispatcher, which hands out; a runner passes tokens on.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

import msgspec

#: What is larger travels in blobs, where there are any.
INLINE_BYTES = 256 * 1024


class BlobPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a blob: so many bytes from an offset."""

    sha256: str
    offset_bytes: int
    size_bytes: int


class BlobAccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an attempt fetches its large input and leaves its large output, and the tokens that let it."""

    url: str
    read_token: str = ""
    write_token: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whose access it is."""

    task_id: str
    chunk_index: int
    attempt: int

    def read_path(self, part: BlobPart) -> str:
        """Where its input is."""
        return f"{self._path}/blobs/{part.sha256}/{part.offset_bytes}/{part.size_bytes}"

    @property
    def write_path(self) -> str:
        """Where it leaves output."""
        return f"{self._path}/output"

    @property
    def _path(self) -> str:
        # None of the characters of a task's id means anything in a path.
        return f"/attempts/{self.task_id}/{self.chunk_index}/{self.attempt}"


READ, WRITE = "GET", "PUT"


def make_token(secret: str, method: str, path: str, expires_at: datetime) -> str:
    """The token for this method on this path."""
    until = int(expires_at.timestamp())
    return f"{until}.{_mac(secret, method, path, until)}"


def token_problem(secret: str, method: str, path: str, token: str, now: datetime) -> str:
    """Why the token does not open this path now; empty if it does."""
    expiry, _, mac = token.partition(".")
    # isdecimal lets other scripts' digits through, which encode to what no token has.
    if not expiry.isdecimal() or not hmac.compare_digest(
        mac.encode(), _mac(secret, method, path, int(expiry)).encode()
    ):
        return "the token is not for this"
    return "the token has expired" if int(expiry) < now.timestamp() else ""


def _mac(secret: str, method: str, path: str, until: int) -> str:
    return hmac.new(secret.encode(), f"{method} {path} {until}".encode(), hashlib.sha256).hexdigest()
