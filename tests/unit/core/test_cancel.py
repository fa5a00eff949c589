"""A cancel reaches every part of an operation, also those created meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from server.core.cancel import CancelToken


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Let threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_part_is_cancelled_with_the_whole_and_not_the_other_way_round() -> None:
    """Parts of parts, too."""
    token = CancelToken()
    part = token.child()
    other, inner = token.child(), part.child()

    part.cancel()
    assert (token.cancelled, part.cancelled, inner.cancelled, other.cancelled) == (False, True, True, False)
    token.cancel()
    assert other.cancelled
    assert token.child().cancelled


@pytest.mark.usefixtures("fast_switches")
def test_parts_created_during_a_cancel_are_cancelled() -> None:
    """From another thread, in 30 rounds; without the lock about one round in five raised a RuntimeError."""
    for _ in range(30):
        token = CancelToken()
        parts = [token.child() for _ in range(1000)]
        started = threading.Event()

        def create(token: CancelToken = token, parts: list[CancelToken] = parts, go: threading.Event = started) -> None:
            go.set()
            parts.extend(token.child() for _ in range(1000))

        thread = threading.Thread(target=create)
        thread.start()
        started.wait()
        token.cancel()
        thread.join()

        assert all(part.cancelled for part in parts)
