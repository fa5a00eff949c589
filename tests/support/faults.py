"""What can go wrong between a client and the vendor, one value for each kind.

The error texts are the vendor's own, as published by people who met them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

GATEWAY_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx/1.19.2</center>\r\n</body>\r\n</html>\r\n"
)
TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://polygon.io/pricing"
)
PLAN_TIMEFRAME = "Your plan doesn't include this data timeframe. Please upgrade your plan at https://polygon.io/pricing"
NOT_ENTITLED = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
TODAY = "Attempted to request today's data before end of day. Please upgrade your plan at https://polygon.io/pricing"
UNKNOWN_KEY = "Unknown API Key"
NO_KEY = "API Key was not provided"

Answer = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """How one answer departs from the good one. Fields combine; `dataclasses.replace` adds to a ready one.

    Attributes:
        status: This status instead of the good answer's.
        body: This body instead of the good answer's; `body_type` says what it is.
        error: The body is a JSON object of these fields; a request id is put in (see `Fault.request_id`).
        headers: Header lines to add.
        rewrite: Changes the text of the good answer.
        reset: The connection is reset instead of an answer.
        cut: The connection is closed after this share of the body (0 to 1).
        chunked: The body goes in chunks instead of with a Content-Length.
        wait: Seconds before the first byte.
        trickle: Seconds over which the body is spread.
    """

    status: int | None = None
    body: bytes | None = None
    body_type: str = "application/json"
    error: Mapping[str, str] | None = None
    request_id: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    rewrite: Callable[[bytes], bytes] | None = None
    reset: bool = False
    cut: float | None = None
    chunked: bool = False
    wait: float = 0.0
    trickle: float = 0.0

    @property
    def answers(self) -> bool:
        """Whether this takes the place of any answer, so that not even the key is looked at."""
        return self.reset or self.error is not None or self.body is not None


def too_many_requests(retry_after: float | str | None = None, *, empty: bool = False) -> Fault:
    """429, with or without Retry-After (seconds or an HTTP date), with the vendor's text or no body at all."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if empty:
        return Fault(429, body=b"", headers=headers)
    return Fault(429, error={"status": "ERROR", "error": TOO_MANY}, request_id=False, headers=headers)


def server_error() -> Fault:
    """500 with a JSON body."""
    return Fault(500, error={"status": "ERROR", "error": "internal server error"})


def bad_gateway() -> Fault:
    """502 with nginx's page."""
    return _page(502, "502 Bad Gateway")


def gateway_timeout() -> Fault:
    """504 with nginx's page."""
    return _page(504, "504 Gateway Time-out")


def maintenance_page() -> Fault:
    """HTML with status 200."""
    return _page(200, "Welcome to nginx!")


def unknown_key() -> Fault:
    """401, the key is not known."""
    return Fault(401, error={"status": "ERROR", "error": UNKNOWN_KEY})


def no_key() -> Fault:
    """401, there was no key."""
    return Fault(401, error={"status": "ERROR", "error": NO_KEY})


def plan_timeframe() -> Fault:
    """403, the plan's history does not reach that far."""
    return Fault(403, error={"status": "NOT_AUTHORIZED", "message": PLAN_TIMEFRAME})


def not_entitled() -> Fault:
    """403, the plan does not have this kind of data."""
    return Fault(403, error={"status": "NOT_AUTHORIZED", "message": NOT_ENTITLED})


def today_too_early() -> Fault:
    """403, today's data before the end of the day."""
    return Fault(403, error={"status": "NOT_AUTHORIZED", "message": TODAY})


def ticker_not_found() -> Fault:
    """404 of the reference endpoints."""
    return Fault(404, error={"status": "NOT_FOUND", "message": "Ticker not found."})


def bad_request(message: str = "could not parse 'from'") -> Fault:
    """400."""
    return Fault(400, error={"status": "ERROR", "error": message})


def connection_reset() -> Fault:
    """The connection is reset instead of an answer."""
    return Fault(reset=True)


def cut_body(share: float = 0.5, *, chunked: bool = False) -> Fault:
    """The connection ends before the body does."""
    return Fault(cut=share, chunked=chunked)


def bad_json() -> Fault:
    """200 with a body that stops in the middle of the JSON, though its length is what the header says."""
    return Fault(rewrite=_half)


def not_aggregates() -> Fault:
    """200 with JSON that is no answer about bars."""
    return Fault(body=b'{"market":"closed","serverTime":"2026-11-24T12:00:00-05:00"}')


def json_list() -> Fault:
    """200 with JSON that is not even an object."""
    return Fault(body=b"[]")


def status_error(message: str = "something went wrong") -> Fault:
    """200 whose body says ERROR."""
    return Fault(error={"status": "ERROR", "error": message})


def slow(seconds: float) -> Fault:
    """The answer begins late."""
    return Fault(wait=seconds)


def trickling(seconds: float) -> Fault:
    """The body comes in small pieces."""
    return Fault(trickle=seconds)


def redirect(location: str, status: int = 302) -> Fault:
    """A redirect."""
    return Fault(status, body=b"", headers={"Location": location})


def foreign_next_url(base: str = "http://other.invalid") -> Fault:
    """The answer says that it goes on at another host."""
    return edited(partial(_foreign_next_url, base))


def delayed() -> Fault:
    """Good bars with status DELAYED."""
    return edited(partial(_put, {"status": "DELAYED"}))


def adjusted() -> Fault:
    """Bars adjusted for splits, though as-traded ones were asked for."""
    return edited(partial(_put, {"adjusted": True}))


def repeated_bars() -> Fault:
    """Every third bar comes twice."""
    return edited(_repeat)


def unsorted_bars() -> Fault:
    """The newest bar comes first."""
    return edited(_reverse)


def bars_outside_window() -> Fault:
    """A bar a week before the first and another a week after the last one."""
    return edited(_outside)


def scientific_volume() -> Fault:
    """Volumes in scientific notation, ``1.12117471e+08``."""
    return Fault(rewrite=_scientific)


def fractional_volume(fraction: float = 0.525697) -> Fault:
    """Volumes with a fraction of a share."""
    return edited(partial(_add_to_bars, "v", fraction))


def missing_field(name: str = "c") -> Fault:
    """The second bar (or the only one) lacks a field."""
    return edited(partial(_spoil, name, None, True))


def null_field(name: str = "c") -> Fault:
    """The second bar (or the only one) has null for a field."""
    return edited(partial(_spoil, name, None, False))


def odd_field(name: str, value: Any) -> Fault:
    """The second bar (or the only one) has this value for a field."""
    return edited(partial(_spoil, name, value, False))


def null_results() -> Fault:
    """``results`` is null."""
    return edited(partial(_put, {"results": None}))


def edited(change: Callable[[Answer], Answer]) -> Fault:
    """The good answer after a change of your own (a plain function, where the server is its own process)."""
    return Fault(rewrite=partial(_through_json, change))


def _page(status: int, title: str) -> Fault:
    return Fault(status, body=GATEWAY_PAGE.format(title).encode(), body_type="text/html")


def _half(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _through_json(change: Callable[[Answer], Answer], text: bytes) -> bytes:
    return json.dumps(change(json.loads(text)), separators=(",", ":")).encode()


def _put(values: Answer, answer: Answer) -> Answer:
    return {**answer, **values}


def _foreign_next_url(base: str, answer: Answer) -> Answer:
    path = f"/v2/aggs/ticker/{answer['ticker']}/range/1/minute/1690791480000/2023-07-31"
    return {**answer, "next_url": f"{base}{path}?cursor=bGltaXQ9MTAmc29ydD1hc2M"}


def _repeat(answer: Answer) -> Answer:
    bars = answer.get("results", [])
    return _counted({**answer, "results": [bar for i, bar in enumerate(bars) for _ in range(1 + (i % 3 == 0))]})


def _reverse(answer: Answer) -> Answer:
    return {**answer, "results": answer.get("results", [])[::-1]}


def _outside(answer: Answer) -> Answer:
    bars, week = answer.get("results", []), 7 * 86_400_000
    before = [{**bar, "t": bar["t"] - week} for bar in bars[:1]]
    after = [{**bar, "t": bar["t"] + week} for bar in bars[-1:]]
    return _counted({**answer, "results": before + bars + after})


def _counted(answer: Answer) -> Answer:
    count = len(answer["results"])
    return {**answer, "resultsCount": count, "count": count}


def _add_to_bars(name: str, amount: float, answer: Answer) -> Answer:
    return {**answer, "results": [{**bar, name: bar[name] + amount} for bar in answer.get("results", [])]}


def _spoil(name: str, value: Any, remove: bool, answer: Answer) -> Answer:
    bars = [dict(bar) for bar in answer.get("results", [])]
    for bar in bars[1:2] or bars:
        if remove:
            bar.pop(name, None)
        else:
            bar[name] = value
    return {**answer, "results": bars}


def _scientific(text: bytes) -> bytes:
    def write(found: re.Match[bytes]) -> bytes:
        mantissa, exponent = f"{float(found[1]):.15e}".split("e")
        return f'"v":{mantissa.rstrip("0").rstrip(".")}e{exponent}'.encode()

    return re.sub(rb'"v":([0-9.eE+]+)', write, text)
