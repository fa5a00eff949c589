"""Bodies of responses: how large they may be, and decompressing them within that."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from isal import isal_zlib

from server.plugins.polygon_provider.requests import Request, excessive_response

MAX_BYTES = 256 << 20
"""The largest body, decompressed or not; also that of all pages of one window or list as they were received."""

LARGE_BYTES = 16 << 20
"""No valid page is larger: 50,000 bars take 6 MB."""

_MAX_RECORDS = 100_000
"""Records of a large body at most; each takes many times more memory than its text."""

Result = TypeVar("Result")

_GZIP = b"\x1f\x8b"

_PIECE = 1 << 20

_LARGE_BODY = threading.RLock()
"""Held with the one large body that this process has in memory."""

DAMAGED = cast("type[Exception]", isal_zlib.error)
"""What `read_body` raises."""


def read_body(body: bytes, request: Request, read: Callable[[bytes], Result]) -> Result:
    """Decompress a body as it was received, if it is gzip, and read its content.

    What a large body unpacks to is measured before it is unpacked, so that one that is too large takes no memory; one
    that is not too large is the only one of this process while it is read.

    Args:
        body: The body.
        request: The request that it answers, for messages.
        read: Reads the content.

    Returns:
        What `read` returns.

    Raises:
        DAMAGED: It is gzip, and incomplete or damaged.
        ExcessiveResponseError: It is too large.
    """
    content = _unpack(body, LARGE_BYTES)
    if len(content) < LARGE_BYTES:
        return read(content)
    del content
    size = _unpacked_size(body)
    check_size(size, request)
    with one_large_body():
        content = _unpack(body, size + 1)
        if content.count(b"{") > _MAX_RECORDS:
            raise excessive_response(request, f"it has more than {_MAX_RECORDS:,} records")
        try:
            return read(content)
        except Exception as error:
            del content
            traceback.clear_frames(error.__traceback__)
            raise


@contextmanager
def one_large_body(ended: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the only large body of this process within the block, so that five do not take five times the memory.

    Args:
        ended: Whether to stop waiting for another thread's large body.

    Raises:
        TimeoutError: It was ended.
    """
    while not _LARGE_BODY.acquire(timeout=0.1):
        if ended():
            raise TimeoutError("ended while another large response was in memory")
    try:
        yield
    finally:
        _LARGE_BODY.release()


def check_size(size: int, request: Request) -> None:
    """Reject a body that is too large.

    Raises:
        ExcessiveResponseError: It is.
    """
    if size > MAX_BYTES:
        raise excessive_response(request, f"it is larger than {MAX_BYTES >> 20} MB")


def _unpack(body: bytes, limit: int) -> bytes:
    """Return the content, or the first bytes of it, as many as the limit."""
    if not body.startswith(_GZIP):
        return body[:limit]
    unpacker = isal_zlib.decompressobj(31)
    content = unpacker.decompress(body, limit)
    if not unpacker.eof and len(content) < limit:
        raise DAMAGED("incomplete or truncated stream")
    return content


def _unpacked_size(body: bytes) -> int:
    """Return the size of the content; of a content that is too large, some size that is too large."""
    if not body.startswith(_GZIP):
        return len(body)
    unpacker = isal_zlib.decompressobj(31)
    size = 0
    for begin in range(0, len(body), _PIECE):
        packed = body[begin : begin + _PIECE]
        while True:
            unpacked = unpacker.decompress(packed, _PIECE)
            size += len(unpacked)
            if unpacker.eof or size > MAX_BYTES:
                return size
            packed = unpacker.unconsumed_tail
            if not packed and len(unpacked) < _PIECE:
                break
    raise DAMAGED("incomplete or truncated stream")
