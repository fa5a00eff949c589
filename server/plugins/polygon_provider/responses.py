"""The vendor's JSON to columns, and what is checked before a bar is believed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from server.lean.bars import Bars
from server.lean.days import MS_PER_DAY, midnight, midnights
from server.plugins.polygon_provider.requests import bad_answer, following, on_one_line
from server.plugins.polygon_provider.windows import Window

DAMAGED = cast("type[Exception]", isal_zlib.error)
"""What `unpacked` raises."""

_LARGEST_GUESS = 1 << 25
_END_OF_TIME = 2**53
_COLUMNS = ("open", "high", "low", "close", "volume")
_SUCCESS = ("OK", "DELAYED")


class Bar(msgspec.Struct, gc=False):
    """One aggregate: start (ms UTC), prices (dollars), volume (shares, also ``7.06e+07`` or fractional).

    The fields stand in the vendor's order, in which they are found fastest; all are floats for `_columns`.
    """

    v: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - the vendor's name
    t: float


class Page(msgspec.Struct):
    """One answer of the aggregates endpoint. ``results`` is absent when there are none."""

    status: str
    adjusted: bool | None = None
    results: list[Bar] | None = None
    next_url: str | None = None
    request_id: str | None = None
    error: str | None = None
    message: str | None = None


class _Problem(msgspec.Struct):
    """What error bodies say: ``error`` for ERROR, ``message`` for NOT_AUTHORIZED and NOT_FOUND."""

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
"""A `Bar` in MessagePack: a mark, then for each field two bytes of name, a mark, and eight bytes of number."""
_problem_decoder = msgspec.json.Decoder(_Problem)


def decode_page(body: bytes) -> Page:
    """Read an answer.

    Raises:
        msgspec.ValidationError: JSON, but not an answer of this endpoint.
        msgspec.DecodeError: Not JSON (cut off, HTML).
    """
    return _page_decoder.decode(body)


def read_page(body: bytes, window: Window) -> Page:
    """Read an answer about a window's bars and see that it can be believed.

    Raises:
        msgspec.DecodeError, BadResponseError: As `decode_page` and `check_page`.
    """
    page = decode_page(body)
    check_page(page, window)
    return page


def unpacked(wire: bytes) -> bytes:
    """A body as it came over the wire without gzip, if it was packed so.

    Raises:
        DAMAGED: It was, and is cut off or wrong.
    """
    if not wire.startswith(b"\x1f\x8b"):
        return wire
    told = int.from_bytes(wire[-4:], "little")  # gzip ends with the length of what it holds
    return isal_zlib.decompress(wire, 31, min(max(told, 1), _LARGEST_GUESS))


def problem_of(body: bytes) -> tuple[str, str | None]:
    """The vendor's own words in an error body, on one line, and its request id. HTML gives its title."""
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
    """Refuse an answer that did not succeed or holds adjusted prices.

    Raises:
        BadResponseError: With the vendor's words and request id.
    """
    if page.status not in _SUCCESS:
        raise bad_answer(
            window,
            on_one_line(f"its status is {page.status}: {page.error or page.message or 'no reason given'}"),
            page.request_id,
        )
    if page.adjusted is not False:
        what = "prices adjusted for splits" if page.adjusted else "no word on whether prices are adjusted"
        raise bad_answer(window, f"it has {what}, though raw prices were asked for", page.request_id)


def next_target(page: Page, base_url: str, window: Window, seen: Sequence[str]) -> str | None:
    """Path and query of the next page, to be sent to the configured host; None at the last page.

    Raises:
        BadResponseError: It points to another host or another symbol, or back to a page that was read.
    """
    return following(window, page.next_url, f"/v2/aggs/ticker/{window.symbol}/", base_url, seen, page.request_id)


def _columns(rows: Sequence[Bar]) -> dict[str, npt.NDArray[Any]]:
    """The fields of all bars as columns.

    MessagePack writes every bar with the same number of bytes, so that numpy can read the whole text as one array:
    in a third of the time that taking each number from each bar needs.
    """
    packed = _packer.encode(rows)
    table = np.frombuffer(packed, _PACKED, offset=len(packed) - len(rows) * _PACKED.itemsize)
    return {name: table[name].astype(np.float64) for name in _PACKED.names or ()}


def to_bars(pages: Sequence[Page], window: Window) -> Bars:
    """The bars of all pages of one window, repeats removed (the first one stays, as in LEAN's reader).

    Raises:
        BadResponseError: A bar lies outside the window, or time goes backwards.
    """
    columns = _columns([bar for page in pages for bar in page.results or ()])
    instants = columns.pop("time")
    if (np.abs(instants) >= _END_OF_TIME).any():
        raise bad_answer(window, "it has bars outside the days that were asked for", pages[0].request_id)
    time = instants.astype(np.int64)
    if (time != instants).any():
        raise bad_answer(window, "it has bars that begin between two milliseconds", pages[0].request_id)
    if len(time) > 1 and (time[1:] <= time[:-1]).any():
        keep = np.sort(np.unique(time, return_index=True)[1])
        time = time[keep]
        columns = {name: column[keep] for name, column in columns.items()}
        if (time[1:] < time[:-1]).any():
            raise bad_answer(window, "its bars are out of order", pages[0].request_id)
    if len(time) and (time[0] < midnight(window.first) or time[-1] >= midnight(window.last + timedelta(days=1))):
        raise bad_answer(window, "it has bars outside the days that were asked for", pages[0].request_id)
    return Bars(time=time, **columns)


def only_days(bars: Bars, days: Sequence[date]) -> tuple[Bars, list[date]]:
    """The bars of these days, and which of the days have any. ``days`` ascend."""
    if not len(bars):
        return bars, []
    starts = midnights(days)
    first, last = np.searchsorted(bars.time, starts), np.searchsorted(bars.time, starts + MS_PER_DAY)
    having = [day for day, has in zip(days, last > first, strict=True) if has]
    if int((last - first).sum()) == len(bars):
        return bars, having
    keep = np.concatenate([np.arange(begin, end) for begin, end in zip(first, last, strict=True)])
    return Bars(time=bars.time[keep], **{name: getattr(bars, name)[keep] for name in _COLUMNS}), having
