"""Tokens: each opens one path, by one method, to one attempt, until it expires."""

from datetime import UTC, datetime, timedelta

import pytest

from taskandgo.blob_access import READ, WRITE, Attempt, BlobPart, make_token, token_problem

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
SECRET = "s" * 32
PART = BlobPart(sha256="a" * 64, offset_bytes=5, size_bytes=10)
ATTEMPT = Attempt("a:b.c_d-e", 3, 1)
PATH = ATTEMPT.read_path(PART)
TOKEN = make_token(SECRET, READ, PATH, SOON)


def test_a_token_opens_what_it_was_made_for() -> None:
    assert token_problem(SECRET, READ, PATH, TOKEN, NOW) == ""


@pytest.mark.parametrize(
    "path",
    [
        Attempt("a:b.c_d-e", 3, 2).read_path(PART),
        Attempt("a:b.c_d-e", 4, 1).read_path(PART),
        Attempt("another", 3, 1).read_path(PART),
        ATTEMPT.read_path(BlobPart(sha256="b" * 64, offset_bytes=5, size_bytes=10)),
        ATTEMPT.read_path(BlobPart(sha256="a" * 64, offset_bytes=0, size_bytes=10)),
        ATTEMPT.read_path(BlobPart(sha256="a" * 64, offset_bytes=5, size_bytes=11)),
        ATTEMPT.write_path,
    ],
)
def test_a_token_opens_no_other_attempt_blob_or_part(path: str) -> None:
    assert token_problem(SECRET, READ, path, TOKEN, NOW) == "the token is not for this"


def test_a_token_to_read_does_not_let_write() -> None:
    assert token_problem(SECRET, WRITE, PATH, TOKEN, NOW) == "the token is not for this"


def test_an_expired_token_says_so() -> None:
    assert token_problem(SECRET, READ, PATH, TOKEN, SOON + timedelta(seconds=1)) == "the token has expired"


def test_the_expiry_cannot_be_put_off() -> None:
    later = f"{int(SOON.timestamp()) + 3600}.{TOKEN.partition('.')[2]}"
    assert token_problem(SECRET, READ, PATH, later, NOW) == "the token is not for this"


@pytest.mark.parametrize(
    "forged", ["", ".", "1", "x.y", "²." + "0" * 64, TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "99999999999999999999.é"]
)
def test_a_forged_token_opens_nothing(forged: str) -> None:
    assert token_problem(SECRET, READ, PATH, forged, NOW) == "the token is not for this"


def test_another_secret_opens_nothing() -> None:
    assert token_problem("t" * 32, READ, PATH, TOKEN, NOW) == "the token is not for this"
