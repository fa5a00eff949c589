"""Splits, dividends, ticker changes and ticker details as the vendor serves them, for any symbol.

data = ReferenceData()
data.split("AAPL", date(2020, 8, 31), old=1, new=4)
data.dividend("AAPL", date(2020, 8, 7), "0.82")
data.renamed(("FB", date(2012, 5, 18)), ("META", date(2022, 6, 9)))
data.listed("AAPL", exchange="XNAS", since=date(1980, 12, 12))
server = polygon_server(market, reference=data)
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.support import faults as kinds
from tests.support.faults import Fault

Row = dict[str, Any]
Number = int | str | Decimal

SPLITS, DIVIDENDS = "/stocks/v1/splits", "/stocks/v1/dividends"
OLD_SPLITS, OLD_DIVIDENDS = "/v3/reference/splits", "/v3/reference/dividends"
TICKERS = "/v3/reference/tickers"
_EVENTS = re.compile(r"/vX/reference/tickers/([^/]+)/events")
_DETAILS = re.compile(r"/v3/reference/tickers/([^/]+)")
_LISTS = {
    SPLITS: ("splits", "execution_date", 5000, 100),
    OLD_SPLITS: ("splits", "execution_date", 1000, 10),
    DIVIDENDS: ("dividends", "ex_dividend_date", 5000, 100),
    OLD_DIVIDENDS: ("dividends", "ex_dividend_date", 1000, 10),
    TICKERS: ("tickers", "ticker", 1000, 100),
}
"""Of each list: what is listed, by what it is sorted, the most and the usual number of records in an answer."""


@dataclass
class ReferenceData:
    """What there is, and how it is served.

    Attributes:
        page_size: At most this many records in a response, whatever limit was asked for.
        refused: What is answered instead, by path: `faults.not_entitled()` for a plan that lacks it,
            `faults.ticker_not_found()` for a server that does not know the path.
        refused_dates: What is answered to each request for the details of a ticker on a day.
    """

    splits: list[Row] = field(default_factory=list)
    dividends: list[Row] = field(default_factory=list)
    tickers: list[Row] = field(default_factory=list)
    histories: dict[str, list[Row]] = field(default_factory=dict)
    page_size: int | None = None
    refused: dict[str, Fault] = field(default_factory=dict)
    refused_dates: Fault | None = None
    held: dict[int, tuple[str, str]] = field(default_factory=dict)

    def split(self, ticker: str, day: date | str, old: Number, new: Number, **more: Any) -> None:
        """Add a split: `new` shares for `old` ones. A number that is a text is written unchanged (``"2e+06"``)."""
        row = {"execution_date": str(day), "split_from": _Text(old), "split_to": _Text(new), "ticker": ticker}
        self.splits.append({"id": f"E{len(self.splits):064x}", **row, "adjustment_type": "forward_split", **more})

    def dividend(self, ticker: str, day: date | str, amount: Number, currency: str = "USD", **more: Any) -> None:
        """Add a dividend."""
        row = {"ticker": ticker, "ex_dividend_date": str(day), "frequency": 4, "cash_amount": _Text(amount)}
        row |= {"currency": currency, "distribution_type": "recurring"}
        self.dividends.append({"id": f"E{len(self.dividends):064x}", **row, **more})

    def renamed(self, *tickers: tuple[str, date | str]) -> None:
        """Say which tickers one share had from which days on; each of them gets the same answer."""
        events = [
            {"ticker_change": {"ticker": ticker}, "type": "ticker_change", "date": str(day)}
            for ticker, day in reversed(tickers)
        ]
        self.histories |= {ticker: events for ticker, _ in tickers}

    def listed(
        self,
        ticker: str,
        *,
        exchange: str | None = "XNAS",
        since: date | str | None = None,
        delisted: date | str | None = None,
        held: tuple[date | str, date | str] | None = None,
        **more: Any,
    ) -> None:
        """Add a ticker; one with `delisted` is found in the list only, as with the vendor.

        Args:
            ticker: Several records of one ticker are its holders.
            exchange, since, delisted: What the record says.
            held: The days, both included, of which it is the answer; from `since` to `delisted` otherwise.
            more: Other fields, such as `composite_figi` and `name`.
        """
        if held:
            self.held[len(self.tickers)] = str(held[0]), str(held[1])
        row: Row = {"ticker": ticker, "name": f"{ticker} Inc.", "market": "stocks", "locale": "us", "type": "CS"}
        row |= {"active": delisted is None, "currency_name": "usd"}
        if exchange:
            row["primary_exchange"] = exchange
        if since:
            row["list_date"] = str(since)
        if delisted:
            row["delisted_utc"] = f"{delisted}T04:00:00Z"
        self.tickers.append({**row, **more})

    def answer(self, path: str, query: dict[str, str], base_url: str, request_id: str) -> bytes | Fault | None:
        """The body for a request, a refusal, or None for a path that is not about reference data."""
        if path in self.refused:
            return self.refused[path]
        if path in _LISTS:
            return self._page(path, query, base_url, request_id)
        if found := _EVENTS.fullmatch(path):
            events = self.histories.get(unquote(found[1]))
            if query.get("types", "ticker_change") != "ticker_change":
                return kinds.bad_request("unknown type of event")
            return _body({"name": "A share", "events": events}, request_id) if events else kinds.ticker_not_found()
        if found := _DETAILS.fullmatch(path):
            return self._details(unquote(found[1]), query.get("date"), request_id)
        return None

    def _page(self, path: str, query: dict[str, str], base_url: str, request_id: str) -> bytes | Fault:
        what, by, most, usual = _LISTS[path]
        if "cursor" in query:
            query = dict(parse_qsl(base64.urlsafe_b64decode(query["cursor"]).decode()))
        limit = int(query.get("limit", usual))
        if not 1 <= limit <= most:
            return kinds.bad_request(f"limit is not from 1 to {most}")
        ascending = query.get("order") == "asc" or query.get("sort", "").endswith(".asc")
        rows = [row for row in getattr(self, what) if row["ticker"] == query.get("ticker", row["ticker"])]
        if what == "tickers":
            active = query.get("active", "true") == "true"
            rows = [{**row, "list_date": None} for row in rows if row["active"] == active]
            rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
        rows.sort(key=lambda row: str(row[by]), reverse=not ascending)
        start = int(query.get("at", "0"))
        end = start + min(limit, self.page_size or limit)
        more = {}
        if end < len(rows):
            kept = {name: query[name] for name in ("ticker", "order", "sort", "active", "limit") if name in query}
            cursor = "&".join(f"{name}={value}" for name, value in {**kept, "at": str(end)}.items())
            more["next_url"] = f"{base_url}{path}?cursor={base64.urlsafe_b64encode(cursor.encode()).decode()}"
        return _body(rows[start:end], request_id, **more)

    def _details(self, ticker: str, on: str | None, request_id: str) -> bytes | Fault:
        if on and self.refused_dates:
            return self.refused_dates
        for number, row in enumerate(self.tickers):
            if number in self.held:
                then = on is not None and self.held[number][0] <= on <= self.held[number][1]
            else:
                then = on is not None and row.get("list_date", "") <= on < row.get("delisted_utc", "9")[:10]
            if row["ticker"] == ticker and (then if on else row["active"]):
                return _body({**row, "active": True}, request_id)
        return kinds.ticker_not_found()


def listing(*tickers: str) -> ReferenceData:
    """Reference data that lists these tickers and nothing else."""
    data = ReferenceData()
    for ticker in tickers:
        data.listed(ticker)
    return data


class _Text(str):
    """A number that is written into JSON unchanged."""

    def __new__(cls, value: Number) -> _Text:
        return super().__new__(cls, value)


def _body(results: Any, request_id: str, **more: Any) -> bytes:
    """An answer in JSON; numbers of the exact text are put in at the end, since json would quote them."""
    texts: list[str] = []

    def mark(value: Any) -> Any:
        if isinstance(value, _Text):
            texts.append(value)
            return f"\0{len(texts) - 1}\0"
        if isinstance(value, dict):
            return {name: mark(inner) for name, inner in value.items()}
        return [mark(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps({"results": mark(results), "status": "OK", "request_id": request_id, **more})
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda found: texts[int(found[1])], text).encode()


def elsewhere(base: str) -> Fault:
    """The answer says that it goes on at another host."""
    return kinds.edited(lambda answer: {**answer, "next_url": f"{base}{SPLITS}?cursor=abc"})
