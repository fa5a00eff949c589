"""Decodes aggregates from JSON to columns, and checks the response against its request. Pure.

A response about something else (another ticker, another number of bars, bars of other dates) is rejected as a whole.
What is wrong with single bars only makes their days bad; see `bar_times` and `server.lean.bar_checks`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from attrs import frozen

from server.lean.bars import Bars
from server.lean.days import midnight
from server.plugins.polygon_provider.bar_times import days_of_misplaced_bars, misplaced_bars
from server.plugins.polygon_provider.bodies import LARGE_BYTES
from server.plugins.polygon_provider.requests import bad_response, next_page, on_one_line
from server.plugins.polygon_provider.windows import LIMIT, Window

_SUCCESS = ("OK", "DELAYED")
_NAN = float("nan")


class Bar(msgspec.Struct, gc=False):
    """One aggregate: start (ms UTC), prices (dollars), volume (shares, also ``7.06e+07`` or fractional).

    The fields are in the vendor's order, in which they are decoded fastest; all are floats for `_columns`. A field that
    is absent or not a number is NaN.
    """

    v: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - the vendor's name
    t: float


class Page(msgspec.Struct):
    """One response of the aggregates endpoint. ``results`` is absent if there are no bars.

    Both counts are the number of bars of this page; the second one is not documented.
    """

    status: str
    ticker: str | None = None
    adjusted: bool | None = None
    results_count: float | None = msgspec.field(name="resultsCount", default=None)
    count: float | None = None
    results: list[Bar] | None = None
    next_url: str | None = None
    request_id: str | None = None
    error: str | None = None
    message: str | None = None


class _Problem(msgspec.Struct):
    """The text of error bodies: ``error`` for ERROR, ``message`` for NOT_AUTHORIZED and NOT_FOUND."""

    error: str | None = None
    message: str | None = None
    request_id: str | None = None


_page_decoder = msgspec.json.Decoder(Page)
_packer = msgspec.msgpack.Encoder()
_PACKED = np.dtype(
    {
        "names": ["volume", "open", "close", "high", "low", "time"],
        "formats": [">f8"] * 6,
        "offsets": [1 + field * 11 + 3 for field in range(6)],
        "itemsize": 1 + 6 * 11,
    }
)
"""A `Bar` in MessagePack: a type byte, then for each field two bytes of name, a type byte and an 8-byte number."""
_problem_decoder = msgspec.json.Decoder(_Problem)


@frozen(eq=False)
class PageColumns:
    """The bars of a page as columns, ``time`` included, and the id of its request."""

    columns: dict[str, npt.NDArray[np.float64]]
    request_id: str | None


def decode_page(body: bytes) -> Page:
    """Decode a page; of bars that are not as documented, the fields that are.

    Raises:
        msgspec.ValidationError: JSON, but not a response of this endpoint.
        msgspec.DecodeError: Not JSON (cut off, HTML).
    """
    try:
        return _page_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        page = _decode_leniently(body) if len(body) <= LARGE_BYTES else None
        if page is None:
            raise
        return page


def _decode_leniently(body: bytes) -> Page | None:
    """Decode a page of which some bars may be anything; None where that does not help.

    Unlike the fast decoder, Python's accepts NaN and Infinity, which some servers write.
    """
    try:
        content = json.loads(body.decode(), parse_int=float)
        bars = content.pop("results")
        page = msgspec.convert(content, Page)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return None
    if not isinstance(bars, list):
        return None
    return msgspec.structs.replace(page, results=[_bar_of(values) for values in bars])


def _bar_of(values: Any) -> Bar:
    fields = values if isinstance(values, dict) else {}
    numbers = (fields.get(name) for name in Bar.__struct_fields__)
    return Bar(*(number if type(number) is float else _NAN for number in numbers))


def read_page(body: bytes, window: Window) -> Page:
    """Decode a page of a window and validate its head.

    Args:
        body: The decompressed body.
        window: The request.

    Raises:
        msgspec.DecodeError, BadResponseError: As `decode_page` and `check_page`.
    """
    page = decode_page(body)
    check_page(page, window)
    return page


def problem_of(body: bytes) -> tuple[str, str | None]:
    """Return the text of an error body on one line, the title if it is HTML, and the request id."""
    try:
        problem = _problem_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        text = body[:2000].decode("utf-8", "replace")
        low = text.lower()
        if "<title>" in low:
            start = low.index("<title>") + 7
            return on_one_line(text[start : low.find("</title>", start)]), None
        return on_one_line((text.strip().splitlines() or [""])[0]), None
    request_id = on_one_line(problem.request_id) if problem.request_id else None
    return on_one_line(problem.error or problem.message or ""), request_id


def check_page(page: Page, window: Window) -> None:
    """Reject a page that reports an error, is about another ticker, has adjusted prices, or lacks bars that it counts.

    Raises:
        BadResponseError: With the vendor's text and request id.
    """
    if page.status not in _SUCCESS:
        raise bad_response(
            window,
            on_one_line(f"its status is {page.status}: {page.error or page.message or 'no reason given'}"),
            page.request_id,
        )
    if page.ticker is not None and page.ticker != window.ticker:
        raise bad_response(window, on_one_line(f"it is about {page.ticker or 'no ticker'}"), page.request_id)
    bars = len(page.results or ())
    if bars > LIMIT:
        raise bad_response(window, f"it has {bars:,} bars, but {LIMIT:,} at most were asked for", page.request_id)
    for name, count in (("resultsCount", page.results_count), ("count", page.count)):
        if count is not None and count != bars:
            raise bad_response(window, f"its {name} is {count:.15g}, but it has {bars} bars", page.request_id)
    if page.adjusted is not False:
        what = "prices adjusted for splits" if page.adjusted else "no word on whether prices are adjusted"
        raise bad_response(window, f"it has {what}, though raw prices were asked for", page.request_id)


def next_target(page: Page, base_url: str, window: Window, seen: Sequence[str]) -> str | None:
    """Return path and query of the next page, to be sent to the configured host; None after the last page.

    Args:
        page: The page read last.
        base_url: Scheme and host of the configured vendor.
        window: The request.
        seen: Path and query of the pages read so far.

    Raises:
        BadResponseError: The address has another host or ticker, or is that of a page read before.
    """
    return next_page(window, page.next_url, f"/v2/aggs/ticker/{window.ticker}/", base_url, seen, page.request_id)


def page_columns(page: Page, window: Window) -> PageColumns:
    """Return the bars of a page as columns.

    MessagePack encodes every bar with the same number of bytes, so that numpy reads the whole encoding as one array, in
    a third of the time that reading each number from each bar takes.

    Raises:
        BadResponseError: A bar is outside the window.
    """
    rows = page.results or []
    packed = _packer.encode(rows)
    table = np.frombuffer(packed, _PACKED, offset=len(packed) - len(rows) * _PACKED.itemsize)
    columns = {name: table[name].astype(np.float64) for name in _PACKED.names or ()}
    time = columns["time"]
    first, end = midnight(window.first), midnight(window.last + timedelta(days=1))
    if ((time < first) | (time >= end)).any():
        raise bad_response(window, "it has bars outside the days that were asked for", page.request_id)
    return PageColumns(columns, page.request_id)


def to_bars(pages: Sequence[PageColumns], window: Window) -> tuple[Bars, dict[date, str]]:
    """Join the bars of all pages of one window, without repeats.

    Of bars of one instant the first one stays, whatever the others hold, as in LEAN's reader.

    Returns:
        The bars, and for each wanted day that a bar with an impossible time may belong to, what is wrong with it.

    Raises:
        BadResponseError: The bars do not ascend.
    """
    columns = {name: np.concatenate([page.columns[name] for page in pages]) for name in pages[0].columns}
    misplaced = misplaced_bars(columns["time"], window)
    bad: dict[date, str] = {}
    if misplaced.any():
        bad = days_of_misplaced_bars(columns["time"], misplaced, window)
        columns = {name: column[~misplaced] for name, column in columns.items()}
    time = columns.pop("time").astype(np.int64)
    if len(time) > 1 and (time[1:] <= time[:-1]).any():
        keep = np.sort(np.unique(time, return_index=True)[1])
        time = time[keep]
        columns = {name: column[keep] for name, column in columns.items()}
        if (time[1:] < time[:-1]).any():
            raise bad_response(window, "its bars are out of order", pages[0].request_id)
    return Bars(time=time, **columns), bad
