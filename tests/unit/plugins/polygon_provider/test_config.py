"""Validation of the Polygon provider's settings."""

from __future__ import annotations

from typing import Any

import pytest

from server.core.secret import Secret
from server.plugins.polygon_provider.config import PolygonConfig


@pytest.mark.parametrize(
    "url",
    ["http://api.polygon.io", "ftp://x", "api.polygon.io", "https://", "https://a/b", "https://a?b", "https://k@a", ""],
)
def test_addresses_that_would_give_the_key_away_are_refused(url: str) -> None:
    """Only https, except on this machine, and nothing behind the host."""
    with pytest.raises(ValueError, match="must be"):
        PolygonConfig(api_url=url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:5", "https://proxy.example:8443"]
)
def test_addresses_that_will_do(url: str) -> None:
    """This machine without encryption, any other host with it."""
    assert PolygonConfig(api_url=url).api_url == url


@pytest.mark.parametrize("key", ["two words", "line\nend", "tab\t", "schlüssel", "ключ", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """Without showing it."""
    with pytest.raises(ValueError, match="copy it again") as caught:
        PolygonConfig(api_key=Secret(key))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrent_requests": 0},
        {"max_concurrent_requests": 6},
        {"requests_per_minute": 0},
        {"retry_attempts": 0},
        {"retry_seconds": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """At most five requests at once; nothing negative."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PolygonConfig(**wrong)
