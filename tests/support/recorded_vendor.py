"""A small vendor for the recorded commands: bars and reference data computed from symbol, day and index.

It imports nothing of the server and nothing of the other test support, because the recorded output depends on every
byte that it sends. Bodies are not compressed, so that their sizes do not depend on a compression library.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
KEY = "key-of-the-recorded-commands"
HOLIDAYS = {date(2020, 12, 25), date(2021, 1, 1), date(2021, 1, 18), date(2021, 2, 15), date(2021, 4, 2)}
SPANS = {"second": 1_000, "minute": 60_000, "day": 86_400_000}
PAGE_ROWS = 30
"""Bars of seconds and minutes in one page at most, so that a session has a second page."""

_BARS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(second|minute|day)/([^/]+)/([^/]+)")
_EVENTS = re.compile(r"/vX/reference/tickers/([^/]+)/events")
_DETAILS = re.compile(r"/v3/reference/tickers/([^/]+)")
_LISTS = {"/stocks/v1/splits": "splits", "/stocks/v1/dividends": "dividends"}
_ERRORS = {
    401: {"status": "ERROR", "error": "Unknown API Key"},
    403: {"status": "NOT_AUTHORIZED", "message": "Your plan doesn't include this data timeframe."},
    404: {"status": "NOT_FOUND", "message": "Ticker not found."},
    429: {"status": "ERROR", "error": "You've exceeded the maximum requests per minute."},
    503: {"status": "ERROR", "error": "Service unavailable"},
}


@dataclass(frozen=True, kw_only=True)
class Share:
    """A ticker that the vendor knows.

    Attributes:
        seed: Determines the prices; two tickers of one share have the same.
        first, last: Days between which the ticker has bars.
        closed: Days without bars in that range.
        minutes: Minute bars of a session, from 09:25 on.
        fractional: Prices with four decimals and fractional volumes.
        split: Ex-date, old and new number of shares.
        dividends: Ex-date and dollars.
        tickers: The tickers of the share with their first days, if it was renamed.
        delisted: The first day on which the ticker is no longer in use.
    """

    seed: int
    first: date = date(2019, 1, 2)
    last: date = date(2030, 12, 31)
    closed: frozenset[date] = frozenset()
    minutes: int = 10
    fractional: bool = False
    split: tuple[str, int, int] | None = None
    dividends: tuple[tuple[str, str], ...] = ()
    tickers: tuple[tuple[str, str], ...] = ()
    delisted: str | None = None


RENAMED = (("OLDT", "2019-01-02"), ("NEWT", "2021-03-15"))
SHARES = {
    "AAA": Share(seed=11),
    "BBB": Share(seed=37, minutes=45),
    "CCC.B": Share(seed=53, fractional=True),
    "GAPS": Share(seed=71, closed=frozenset({date(2021, 3, 10), date(2021, 3, 11)})),
    "LATE": Share(seed=83, first=date(2021, 3, 10)),
    "SPLT": Share(seed=97, split=("2021-03-16", 1, 2), dividends=(("2021-03-09", "0.25"), ("2021-03-23", "0.125"))),
    "OLDT": Share(seed=5, last=date(2021, 3, 12), tickers=RENAMED, delisted="2021-03-15"),
    "NEWT": Share(seed=5, first=date(2021, 3, 15), tickers=RENAMED, dividends=(("2021-03-18", "0.5"),)),
}


class RecordedVendor:
    """The HTTP server; use it as a context manager.

    Attributes:
        plan_start: First day of the plan: earlier ranges are refused, ranges that begin earlier are cut.
        answers: Statuses that the next requests get instead of an answer, the first first.
        always: A status that every request gets instead of an answer.
        refused: Paths that are answered with 403.
        requests: Path and query of each request so far, in order of arrival; `take` empties it.
    """

    def __init__(self, *, plan_start: date | None = None) -> None:
        self.plan_start = plan_start
        self.answers: list[int] = []
        self.always: int | None = None
        self.refused: frozenset[str] = frozenset()
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="recorded-vendor")
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> RecordedVendor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def take(self) -> list[str]:
        """The requests since the last call, sorted, with the parameters of each in order."""
        with self._lock:
            found, self.requests = self.requests, []
        return sorted(found)

    def answer(self, target: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """The status and body of one request."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            self.requests.append(f"{parts.path}?{urlencode(sorted(query.items()))}" if query else parts.path)
            status = self.answers.pop(0) if self.answers else self.always
        if status is None and authorization != f"Bearer {KEY}":
            status = 401
        if status is None and parts.path in self.refused:
            status = 403
        if status is not None:
            return status, _ERRORS[status]
        found = self._bars(parts.path, query) or _reference(parts.path, query)
        return found if isinstance(found, tuple) else (found, _ERRORS[found])

    def _bars(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]] | int | None:
        asked = _BARS.fullmatch(path)
        if not asked:
            return None
        ticker, span, begin, end = asked.groups()
        first, start = _begin(begin)
        last = date.fromisoformat(end)
        if self.plan_start and last < self.plan_start:
            return 403
        if self.plan_start and first < self.plan_start:
            first = self.plan_start
        share = SHARES.get(ticker)
        rows = [row for row in _rows(share, span, first, last) if row["t"] >= start] if share else []
        size = int(query.get("limit", "5000")) if span == "day" else PAGE_ROWS
        body: dict[str, Any] = {"ticker": ticker, "adjusted": query.get("adjusted") != "false", "status": "OK"}
        if rows:
            body["results"] = rows[:size]
        if len(rows) > size:
            following = f"{path.rsplit('/', 2)[0]}/{rows[size]['t']}/{end}?adjusted=false&cursor=c"
            body["next_url"] = f"{self.url}{following}"
            body["request_id"] = "r" * (30 - len(self.url))  # the size of a body does not depend on the port
        return 200, body


def _reference(path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]] | int:
    if path in _LISTS:
        return _page(_events_of(query["ticker"], _LISTS[path]))
    if path == "/v3/reference/tickers":
        share = SHARES.get(query["ticker"])
        return _page([_details(query["ticker"], share)] if share and share.delisted else [])
    if asked := _EVENTS.fullmatch(path):
        share = SHARES.get(asked[1])
        if share is None or not share.tickers:
            return 404
        changes = [
            {"type": "ticker_change", "date": day, "ticker_change": {"ticker": ticker}} for ticker, day in share.tickers
        ]
        return _page({"name": "A share", "events": changes})
    if asked := _DETAILS.fullmatch(path):
        share, on = SHARES.get(asked[1]), query.get("date", "2030-01-01")
        if share is None or not "2019-01-02" <= on < (share.delisted or "9"):
            return 404
        return _page(_details(asked[1], share))
    return 404


def _events_of(ticker: str, kind: str) -> list[dict[str, Any]]:
    share = SHARES.get(ticker)
    if share is None:
        return []
    if kind == "splits":
        rows = [share.split] if share.split else []
        return [
            {"id": f"s{day}", "ticker": ticker, "execution_date": day, "split_from": old, "split_to": new}
            for day, old, new in rows
        ]
    return [
        {"id": f"d{day}", "ticker": ticker, "ex_dividend_date": day, "cash_amount": float(dollars), "currency": "USD"}
        for day, dollars in share.dividends
    ]


def _details(ticker: str, share: Share) -> dict[str, Any]:
    row: dict[str, Any] = {"ticker": ticker, "name": "A share", "active": share.delisted is None}
    row |= {"primary_exchange": "XNYS", "list_date": "2019-01-02"}
    return row | ({"delisted_utc": f"{share.delisted}T04:00:00Z"} if share.delisted else {})


def _page(results: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"results": results, "status": "OK", "request_id": "r"}


def _begin(text: str) -> tuple[date, int]:
    """First day and first instant (milliseconds) of a range that begins with a day or an instant."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, NEW_YORK).date(), int(text)
    return date.fromisoformat(text), 0


def _rows(share: Share, span: str, first: date, last: date) -> Iterator[dict[str, Any]]:
    day = max(first, share.first)
    while day <= min(last, share.last):
        if day.weekday() < 5 and day not in HOLIDAYS and day not in share.closed:
            begin, count = {
                "day": (time(), 1),
                "minute": (time(9, 25), share.minutes),
                "second": (time(9, 29, 40), 70),
            }[span]
            opening = int(datetime.combine(day, begin, NEW_YORK).timestamp() * 1000)
            for index in range(count):
                yield _bar(share, day, index, opening + (index + index // 3) * SPANS[span])
        day += timedelta(days=1)


def _bar(share: Share, day: date, index: int, instant: int) -> dict[str, Any]:
    base = 10_000 + share.seed * 131 + day.toordinal() * 7919 % 400
    if share.split and str(day) >= share.split[0]:
        base //= 2
    open_, close = base + index * 31 % 97, base + (index + 1) * 31 % 97
    cents = {"o": open_, "c": close, "h": max(open_, close) + index % 5, "l": min(open_, close) - index % 7}
    scale = 10_000 if share.fractional else 100
    volume = 100 + (index * 53 + day.toordinal()) % 9_000
    return {
        "v": volume + 0.123456 if share.fractional else volume,
        **{name: price / scale for name, price in cents.items()},
        "t": instant,
        "n": 3,
    }


class _Server(ThreadingHTTPServer):
    def __init__(self, vendor: RecordedVendor) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vendor = vendor


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        status, fields = self.server.vendor.answer(self.path, self.headers.get("Authorization", ""))
        body = json.dumps(fields, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)
