"""The vendor's rules for one question about bars: windows, limits, pages, plans."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from zlib_ng import zlib_ng

from tests.support import faults as kinds
from tests.support.faults import Fault
from tests.support.market import MILLISECONDS, BarColumns, Market, midnight, new_york_day

PATH = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(second|minute|day)/([^/]+)/([^/]+)")


@dataclass(frozen=True)
class Rules:
    """What a plan allows and how it answers (see `PolygonServer` for the fields)."""

    plan_start: date | None = None
    plan_end: date | None = None
    delayed: bool = False
    cursor_keeps_adjusted: bool = True


def find_page(
    market: Market, window: tuple[str, str, str, str], query: dict[str, str], rules: Rules, base_url: str
) -> Page | Fault:
    """The bars that answer a question, or the refusal."""
    symbol, span, begin, end = window
    if "cursor" in query:
        query = {**_cursor(query["cursor"]), **query}
    try:
        start, stop = _instant(begin, span, last=False), _instant(end, span, last=True)
        limit = int(query.get("limit", "5000"))
    except ValueError as error:
        return kinds.bad_request(f"could not parse the request: {error}")
    if not 1 <= limit <= 50_000 or query.get("sort", "asc") != "asc" or stop < start:
        return kinds.bad_request("a parameter is outside what the endpoint takes")
    if rules.plan_start is not None:
        if stop < midnight(rules.plan_start):
            return kinds.plan_timeframe()
        start = max(start, midnight(rules.plan_start))
    if rules.plan_end is not None:
        over = midnight(rules.plan_end + timedelta(days=1))
        if start >= over:
            return kinds.plan_timeframe()
        stop = min(stop, over - 1)
    adjusted = query.get("adjusted", "true") == "true"
    page = Page(symbol, adjusted, "DELAYED" if rules.delayed else "OK", market.get((symbol, span)))
    if page.series is not None:
        page.first, last = page.series.rows(start, stop)
        page.last = min(last, page.first + limit)
        if last > page.last:
            following = int(page.series.t[page.last - 1]) + MILLISECONDS[span]
            kept = "adjusted=false&" if rules.cursor_keeps_adjusted and not adjusted else ""
            cursor = base64.urlsafe_b64encode(f"{kept}limit={limit}&sort=asc".encode()).decode().rstrip("=")
            path = f"/v2/aggs/ticker/{symbol}/range/1/{span}/{following}/{end}"
            page.next_url = f"{base_url}{path}?cursor={cursor}"
    return page


@dataclass
class Page:
    symbol: str
    adjusted: bool
    status: str
    series: BarColumns | None = None
    first: int = 0
    last: int = 0
    next_url: str = ""

    def pieces(self, request_id: str) -> list[tuple[bytes, bytes | None]]:
        count = self.last - self.first
        head: dict[str, Any] = {"ticker": self.symbol, "queryCount": count, "resultsCount": count}
        head["adjusted"] = self.adjusted
        tail: dict[str, Any] = {"status": self.status, "request_id": request_id, "count": count}
        if self.next_url:
            tail["next_url"] = self.next_url
        before, after = msgspec.json.encode(head)[:-1], msgspec.json.encode(tail)[1:]
        if self.series is None or not count:
            return [(before + b"," + after.replace(b',"count":0', b""), None)]
        bars = self.series.pieces(self.first, self.last)
        return [(before + b',"results":[', None), *bars, (b"]," + after, None)]


def gzipped(pieces: list[tuple[bytes, bytes | None]]) -> bytes:
    """One gzip stream out of pieces of which the large ones are deflated already."""
    parts, crc, size = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03"], 0, 0
    for text, deflated in pieces:
        if deflated is None:
            packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, -15)
            deflated = packer.compress(text) + packer.flush(zlib_ng.Z_FULL_FLUSH)
        parts.append(deflated)
        crc, size = zlib_ng.crc32(text, crc), size + len(text)
    parts.append(b"\x03\0" + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"".join(parts)


def _cursor(text: str) -> dict[str, str]:
    with suppress(binascii.Error, UnicodeDecodeError):
        return dict(parse_qsl(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()))
    return {}


def _instant(text: str, span: str, *, last: bool) -> int:
    """The first (or last) millisecond of the bar that a path's from (or to) names."""
    if not text.isdigit():
        day = date.fromisoformat(text)
        return midnight(day + timedelta(days=1)) - 1 if last else midnight(day)
    moment = int(text)
    if span == "day":
        day = new_york_day(moment)
        return midnight(day + timedelta(days=1)) - 1 if last else midnight(day)
    start = moment - moment % MILLISECONDS[span]
    return start + MILLISECONDS[span] - 1 if last else start
