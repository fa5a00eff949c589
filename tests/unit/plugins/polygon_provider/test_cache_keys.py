"""Cache keys of aggregates and the ranges they name."""

from __future__ import annotations

from datetime import date
from urllib.parse import quote, urlencode

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.cache_keys import aggregates_key, cached_range
from server.plugins.polygon_provider.windows import CachedRange, Window

FIRST, LAST = date(2024, 3, 7), date(2024, 3, 11)
PATH = "/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-11"
BASE = "https://api.polygon.io"


def key(url: str) -> str:
    """The key of a GET request."""
    return aggregates_key(requests.Request("GET", url).prepare())


@pytest.mark.parametrize("resolution", [Resolution.DAILY, Resolution.MINUTE, Resolution.SECOND])
@pytest.mark.parametrize("ticker", ["SPY", "BRK.B"])
def test_the_key_of_a_window_names_its_range(ticker: str, resolution: Resolution) -> None:
    """Host, series, first and last day come back from the key; the page of a window's request is the first."""
    window = Window(series=Series(ticker, resolution), wanted=(FIRST, LAST))

    assert cached_range(key(f"http://127.0.0.1:8000{window.target}")) == CachedRange(
        host="127.0.0.1:8000", series=Series(ticker, resolution), first=FIRST, last=LAST, page=""
    )


def test_the_order_of_the_parameters_does_not_matter() -> None:
    """requests-cache sorts those of stored requests."""
    assert key(f"{BASE}{PATH}?adjusted=false&sort=asc&limit=50000") == key(
        f"{BASE}{PATH}?adjusted=false&limit=50000&sort=asc"
    )


@pytest.mark.parametrize("query", ["cursor=abc", "adjusted=true&limit=50000&sort=asc", "sort=asc", ""])
def test_another_query_is_another_page(query: str) -> None:
    """A next page, or a request that this program would not send."""
    found = cached_range(key(f"{BASE}{PATH}?{query}"))

    assert found is not None
    assert found.page == f"?{'&'.join(sorted(query.split('&')))}"
    assert key(f"{BASE}{PATH}?{query}") != key(f"{BASE}{PATH}?adjusted=false&sort=asc&limit=50000")


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/v3/reference/splits?ticker=SPY",
        f"{BASE}/v2/aggs/ticker/SPY/range/1/hour/2024-03-07/2024-03-11",
        f"{BASE}/v2/aggs/ticker/SPY/range/5/minute/2024-03-07/2024-03-11",
        f"{BASE}/v2/aggs/ticker/SPY/range/1/second/1709821800000/2024-03-07?cursor=x",
    ],
)
def test_other_requests_have_no_range(url: str) -> None:
    """Also next pages that begin at an instant instead of a day."""
    assert cached_range(key(url)) is None


@pytest.mark.parametrize("text", ["", "|", "a|b|c|d|e|f", "x|SPY|minute|2024-03-07|2024-13-11|", PATH, "'|\"|%|\0||"])
def test_other_keys_have_no_range(text: str) -> None:
    """Whatever the file contains."""
    assert cached_range(text) is None


@given(ticker=st.text(max_size=30), query=st.text(max_size=30))
def test_no_key_contains_a_character_that_sql_quotes(ticker: str, query: str) -> None:
    """requests-cache writes keys into its statements, and the addresses of next pages come from the vendor."""
    url = f"{BASE}/v2/aggs/ticker/{quote(ticker, safe='')}/range/1/day/2024-03-07/2024-03-07?{urlencode({'x': query})}"
    for found in (key(url), key(f"{BASE}/v2/aggs/ticker/SPY'/x?cursor='"), key(f"{BASE}{PATH}?cursor='\";--")):
        assert not set(found) & set("'\"\\;\0 ")
