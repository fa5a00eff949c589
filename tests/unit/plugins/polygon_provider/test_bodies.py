"""Sizes of bodies, and decompressing them."""

from __future__ import annotations

import gzip
import random
from datetime import date

import pytest

from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.bodies import DAMAGED, LARGE_BYTES, MAX_BYTES, check_size, read_body
from server.plugins.polygon_provider.requests import ExcessiveResponseError
from server.plugins.polygon_provider.windows import Window

WINDOW = Window(series=Series("SPY", Resolution.MINUTE), wanted=(date(2024, 3, 7),))
RANDOM = random.Random(1).randbytes(1 << 20)
SIZES = [0, 1, 1000, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES + (3 << 20) + 7]


def content_of(size: int) -> bytes:
    """Content that compresses badly at its beginning and well after it."""
    return (RANDOM[:size].replace(b"{", b"(") + b" " * size)[:size]


@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_read_whole(size: int) -> None:
    """Compressed or not, below and above what is unpacked without measuring it."""
    content = content_of(size)

    assert read_body(gzip.compress(content, 1), WINDOW, bytes) == content
    assert read_body(content, WINDOW, bytes) == content


@pytest.mark.parametrize("size", [1000, LARGE_BYTES, LARGE_BYTES + (3 << 20)])
@pytest.mark.parametrize("share", [0.1, 0.999])
def test_a_gzip_that_is_cut_is_damaged(size: int, share: float) -> None:
    """Wherever it ends."""
    packed = gzip.compress(content_of(size), 1)

    with pytest.raises(DAMAGED):
        read_body(packed[: int(len(packed) * share)], WINDOW, bytes)


def test_the_limit_is_inclusive() -> None:
    """The largest size is valid; one byte more is not, and the error names the request and its days."""
    check_size(MAX_BYTES, WINDOW)
    with pytest.raises(
        ExcessiveResponseError, match="SPY minute 2024-03-07 cannot be used: it is larger than 256 MB"
    ) as e:
        check_size(MAX_BYTES + 1, WINDOW)
    assert (e.value.code, e.value.series, e.value.days) == ("bad_response", WINDOW.series, WINDOW.wanted)


def test_a_large_body_has_few_records() -> None:
    """A page has 50,000 records at most; text is not records."""
    with pytest.raises(ExcessiveResponseError, match="more than 100,000 records"):
        read_body(b"{}" * (LARGE_BYTES // 2 + 1), WINDOW, bytes)
    assert read_body(b"{}" * 50_000 + b" " * LARGE_BYTES, WINDOW, len) == 100_000 + LARGE_BYTES


def test_an_error_of_the_reader_is_raised() -> None:
    """And the next large body can be read."""

    def fail(content: bytes) -> None:
        raise ValueError(len(content))

    body = b" " * (LARGE_BYTES + 1)
    for _ in range(2):
        with pytest.raises(ValueError, match=str(LARGE_BYTES + 1)):
            read_body(body, WINDOW, fail)
