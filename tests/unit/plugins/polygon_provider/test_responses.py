"""Decoding and validation of aggregates."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.data_download.errors import BadResponseError
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.responses import (
    Page,
    check_page,
    decode_page,
    next_target,
    page_columns,
    problem_of,
    to_bars,
)
from server.plugins.polygon_provider.windows import Window

DAYS = (date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11))
WINDOW = Window(series=Series("BRK.B", Resolution.MINUTE), wanted=DAYS)
BASE = "https://api.polygon.io"
NEXT = "/v2/aggs/ticker/BRK.B/range/1/minute/1709821800000/2024-03-11"
COLUMNS = ("open", "high", "low", "close", "volume")


def at(day: date, hour: int, minute: int = 0) -> int:
    """A New York time as the vendor writes it."""
    return round(
        datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000
    )


def bar(t: int, price: float = 1.5) -> dict[str, Any]:
    """A bar as the vendor writes it."""
    return {"v": 7.0661926525697e07, "vw": 1.4, "o": price, "c": price, "h": price, "l": price, "t": t, "n": 12}


def answer(*bars: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An answer as the vendor writes it."""
    body: dict[str, Any] = {"ticker": "BRK.B", "queryCount": len(bars), "resultsCount": len(bars), "adjusted": False}
    return {**body, "results": list(bars), "status": "OK", "request_id": "r1", "count": len(bars), **more}


def page(*bars: dict[str, Any], **more: Any) -> Page:
    """That answer, read."""
    return decode_page(json.dumps(answer(*bars, **more)).encode())


def joined(*pages: Page, window: Window = WINDOW) -> Bars:
    """The bars of these pages, none of which has an impossible time."""
    bars, bad = to_bars([page_columns(one, window) for one in pages], window)
    assert bad == {}
    return bars


# --- reading ---


def test_an_answer_is_read_with_what_matters() -> None:
    """Times are whole, prices and volumes are numbers of any notation; the rest is passed over."""
    read = page(bar(at(DAYS[0], 9, 30)), next_url="https://x/y", something_new={"a": [1]})

    assert (read.status, read.adjusted, read.next_url, read.request_id) == ("OK", False, "https://x/y", "r1")
    assert read.results is not None
    assert (read.results[0].t, read.results[0].v, read.results[0].o) == (at(DAYS[0], 9, 30), 70661926.525697, 1.5)


def test_results_may_be_absent() -> None:
    """The vendor leaves them out where nothing was traded."""
    body = answer()
    del body["results"]
    read = decode_page(json.dumps(body).encode())

    check_page(read, WINDOW)
    assert len(joined(read)) == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status":"OK","results":[{"v":1', b"\xff\xfe"])
def test_what_is_no_json_is_an_error_of_its_own(body: bytes) -> None:
    """Such a body may be better the next time."""
    with pytest.raises(msgspec.DecodeError) as caught:
        decode_page(body)
    assert not isinstance(caught.value, msgspec.ValidationError)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"null", b'{"status":1}', b'{"status":"OK","results":"none"}', b'{"results":[{"t":1}]}']
)
def test_what_is_json_but_no_answer_is_a_validation_error(body: bytes) -> None:
    """Such a body will not be better the next time."""
    with pytest.raises(msgspec.ValidationError):
        decode_page(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status":"ERROR","request_id":"r1","error":"Unknown API Key"}', ("Unknown API Key", "r1")),
        (b'{"status":"NOT_AUTHORIZED","request_id":"r2","message":"Your plan"}', ("Your plan", "r2")),
        (b"<html><head><title>502 Bad Gateway</title></head></html>", ("502 Bad Gateway", None)),
        (b"<TITLE>cut off", ("cut of", None)),
        (b"plain words\nand more", ("plain words", None)),
        (b'{"error":"two\\nlines \\u001b[31mred"}', ("two lines [31mred", None)),
        (b"[]", ("[]", None)),
        (b"", ("", None)),
        (b"x" * 5000, ("x" * 300, None)),
    ],
)
def test_the_vendors_words_are_found(body: bytes, words: tuple[str, str | None]) -> None:
    """Under either name, in a page's title, or in the first line; on one line and not too long."""
    found = problem_of(body)

    assert found == words or (words[0] == "cut of" and found[0].startswith("cut of"))


@given(st.binary(max_size=200))
def test_any_body_has_some_words(body: bytes) -> None:
    """On one line, without control characters."""
    words, request_id = problem_of(body)

    assert words.isprintable()
    assert request_id is None or request_id.isprintable()


# --- believing ---


@pytest.mark.parametrize("status", ["OK", "DELAYED"])
def test_both_statuses_of_success_are_believed(status: str) -> None:
    """DELAYED is what plans with a delay get over any day."""
    check_page(page(status=status), WINDOW)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "ERROR", "error": "went wrong"}, "status is ERROR: went wrong"),
        ({"status": "NOT_AUTHORIZED", "message": "no"}, "status is NOT_AUTHORIZED: no"),
        ({"status": "ok"}, "no reason given"),
        ({"adjusted": True}, "adjusted for splits"),
        ({"adjusted": None}, "no word on whether"),
        ({"ticker": "brk.b"}, "it is about brk.b"),
        ({"ticker": ""}, "it is about no ticker"),
        ({"resultsCount": 1}, "its resultsCount is 1, but it has 0 bars"),
        ({"count": 1.5}, "its count is 1.5, but it has 0 bars"),
        ({"results": [bar(0)]}, "its resultsCount is 0, but it has 1 bars"),
    ],
)
def test_other_answers_are_not_believed(change: dict[str, Any], words: str) -> None:
    """The error names the symbol, the days, the vendor's reason and the request id."""
    with pytest.raises(BadResponseError) as caught:
        check_page(page(**change), WINDOW)

    text = str(caught.value)
    assert words in text
    assert "BRK.B minute 2024-03-07 to 2024-03-11" in text
    assert "request id r1" in text
    assert (caught.value.request_id, caught.value.days) == ("r1", DAYS)


@pytest.mark.parametrize("absent", [("ticker",), ("resultsCount", "count"), ("queryCount",)])
def test_what_the_head_may_lack_is_not_checked(absent: tuple[str, ...]) -> None:
    """Absent or null."""
    head = answer(bar(at(DAYS[0], 9, 30)))
    without = {name: value for name, value in head.items() if name not in absent}

    for body in (without, {**head, **dict.fromkeys(absent)}):
        check_page(decode_page(json.dumps(body).encode()), WINDOW)


def test_the_count_of_minutes_read_is_not_the_number_of_bars() -> None:
    """queryCount counts base bars; 835 minutes are behind 16 hours in a recorded answer."""
    check_page(page(bar(at(DAYS[0], 9, 30)), queryCount=835), WINDOW)


# --- bars that are not as documented ---


@pytest.mark.parametrize("value", [None, "1.5", True, [1.5], {}, float("nan")], ids=repr)
@pytest.mark.parametrize("field", ["o", "h", "l", "c", "v", "t"])
def test_a_field_that_is_no_number_is_nan(field: str, value: object) -> None:
    """Also NaN itself, which is not JSON; the other bars are as they were."""
    good = bar(at(DAYS[0], 9, 30))
    found = page(good, {**good, field: value}, good).results

    assert found is not None
    assert [np.isnan(getattr(one, field)) for one in found] == [False, True, False]
    assert sum(np.isnan(getattr(found[1], name)) for name in "ohlcvt") == 1


@pytest.mark.parametrize("value", [None, 5, "bar", []])
def test_a_bar_that_is_no_object_has_no_numbers(value: object) -> None:
    """And counts as one."""
    found = page(bar(at(DAYS[0], 9, 30)), value)  # type: ignore[arg-type]

    check_page(found, WINDOW)
    assert found.results is not None
    assert all(np.isnan(getattr(found.results[1], name)) for name in "ohlcvt")


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_beyond_a_double_is_infinite(digits: int) -> None:
    """Whatever its length."""
    text = json.dumps(answer(bar(at(DAYS[0], 9, 30)))).replace('"h": 1.5', f'"h": 1{"0" * digits}')
    found = decode_page(text.encode()).results

    assert found is not None
    assert found[0].h == np.inf


# --- pages ---


@pytest.mark.parametrize("url", [f"{BASE}{NEXT}?cursor=abc", f"https://api.massive.com{NEXT}?cursor=abc"])
@pytest.mark.parametrize("base", [BASE, "https://api.massive.com"])
def test_the_next_page_is_asked_from_the_configured_host(url: str, base: str) -> None:
    """Both names of the vendor are one service; what is given back has no host."""
    assert next_target(page(next_url=url), base, WINDOW, []) == f"{NEXT}?cursor=abc"


def test_there_is_no_page_after_the_last() -> None:
    """Absent or empty."""
    for last in (page(), page(next_url=""), page(next_url=None)):
        assert next_target(last, BASE, WINDOW, []) is None


def test_a_key_in_a_next_url_is_dropped() -> None:
    """In any case of letters."""
    url = f"{BASE}{NEXT}?cursor=a%3D%3D&apiKey=SECRET&APIKEY=x&api_key=y"

    assert next_target(page(next_url=url), BASE, WINDOW, []) == f"{NEXT}?cursor=a%3D%3D"


@pytest.mark.parametrize(
    ("url", "base", "words"),
    [
        (f"https://evil.example{NEXT}", BASE, "another host (evil.example)"),
        (f"http://api.polygon.io{NEXT}", BASE, "another host"),
        (f"https://api.polygon.io.evil.example{NEXT}", BASE, "another host"),
        (f"https://api.polygon.io@evil.example{NEXT}", BASE, "another host (evil.example)"),
        (f"https://api.polygon.io:8443{NEXT}", BASE, "another host"),
        (f"//evil.example{NEXT}", BASE, "another host"),
        (NEXT, BASE, "another host"),
        (f"https://api.polygon.io{NEXT}", "http://127.0.0.1:8000", "another host"),
        (f"http://127.0.0.1:8001{NEXT}", "http://127.0.0.1:8000", "another host"),
        (f"{BASE}/v2/aggs/ticker/SPY/range/1/minute/1/2", BASE, "something else"),
        (f"{BASE}/v3/reference/tickers", BASE, "something else"),
        (f"{BASE}/v2/aggs/ticker/BRK.B2/range/1/minute/1/2", BASE, "something else"),
        ("https://[bad", BASE, "no address that can be read"),
    ],
)
def test_a_next_page_elsewhere_is_refused(url: str, base: str, words: str) -> None:
    """Another host, scheme, port, symbol or endpoint."""
    with pytest.raises(BadResponseError) as caught:
        next_target(page(next_url=url), base, WINDOW, [])
    assert words in str(caught.value)


def test_a_page_that_was_read_is_not_read_again() -> None:
    """Pages that go round in a circle would never end."""
    with pytest.raises(BadResponseError, match="circle"):
        next_target(page(next_url=f"{BASE}{NEXT}?cursor=b"), BASE, WINDOW, [f"{NEXT}?cursor=a", f"{NEXT}?cursor=b"])


# --- columns ---


def test_the_bars_of_all_pages_are_joined() -> None:
    """In the order of the pages."""
    times = [at(DAYS[0], 9, 30), at(DAYS[0], 9, 31), at(DAYS[2], 4)]
    read = joined(page(bar(times[0], 1.0), bar(times[1], 2.0)), page(bar(times[2], 3.0)), page())

    assert read.time.tolist() == times
    assert read.close.tolist() == [1.0, 2.0, 3.0]
    assert read.volume.tolist() == [70661926.525697] * 3
    assert (read.time.dtype, read.open.dtype) == (np.int64, np.float64)


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_of_repeated_bars_the_first_stays(counts: list[int]) -> None:
    """As LEAN's reader has it, also where a later one has other figures."""
    bars = [
        bar(at(DAYS[0], 9, 30) + minute * 60_000, price=100 * minute + repeat + 1)
        for minute, count in enumerate(counts)
        for repeat in range(count)
    ]
    read = joined(page(*bars))

    assert read.time.tolist() == [at(DAYS[0], 9, 30) + minute * 60_000 for minute in range(len(counts))]
    assert read.open.tolist() == [100 * minute + 1 for minute in range(len(counts))]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([at(DAYS[0], 9, 31), at(DAYS[0], 9, 30)], "out of order"),
        ([at(DAYS[0], 0) - 1], "outside the days"),
        ([at(DAYS[2], 0) + 86_400_000], "outside the days"),
        ([at(date(2024, 3, 6), 19, 59), at(DAYS[0], 4)], "outside the days"),
        ([10**30], "outside the days"),
        ([-(10**30)], "outside the days"),
        ([-1], "outside the days"),
    ],
)
def test_bars_out_of_order_or_range_are_refused(times: list[int], words: str) -> None:
    """With the request id."""
    with pytest.raises(BadResponseError, match=words) as caught:
        joined(page(*map(bar, times)))
    assert caught.value.request_id == "r1"


def test_the_days_window_is_new_yorks() -> None:
    """The first and the last minute of a range over a change of the clocks are inside."""
    times = [at(DAYS[0], 0), at(DAYS[2], 23, 59)]

    assert joined(page(*map(bar, times))).time.tolist() == times
