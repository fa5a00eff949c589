"""What the vendor refuses and how connections break, in our own errors: the one translator. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from server.core.errors import BacktestServerError
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
    SymbolNotFoundError,
)
from server.plugins.polygon_provider.requests import Question
from server.plugins.polygon_provider.responses import problem_of


class RetryableError(Exception):
    """A failure that may be gone on the next try: what to raise if it is not, and how to wait."""

    def __init__(self, error: BacktestServerError, *, attempts: int | None = None, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.attempts = attempts
        self.wait = wait


def refusal(
    api_url: str, question: Question, status: int, headers: Mapping[str, str], body: bytes
) -> BacktestServerError:
    """The error for a status other than 200."""
    words, request_id = problem_of(body)
    request_id = request_id or headers.get("X-Request-Id")
    facts: dict[str, Any] = {
        "symbol": question.symbol,
        "series": question.series,
        "days": question.days,
        "status": status,
        "request_id": request_id,
    }
    said = f'; it says: "{words}"' if words else ""
    said += f" (status {status}" + (f", request id {request_id})" if request_id else ")")
    what = question.about
    if status == 401:
        return AuthenticationError(
            "Polygon does not accept your API key; check polygon-api-key in lean.json or POLYGON_API_KEY" + said,
            **facts,
        )
    if status == 403:
        advice = "ask for other days or change the plan" if question.days else "change the plan"
        return PlanLimitError(f"your Polygon plan does not include {what}; {advice}" + said, **facts)
    if status == 404:
        return SymbolNotFoundError(f"Polygon does not know {what}; check the symbol" + said, **facts)
    if status == 429:
        return RateLimitError(f"Polygon answered too many requests to {what}" + said, **facts)
    if status >= 500:
        return unavailable(api_url, question, f"it answers with an error{said}", **facts)
    if 300 <= status < 400 and "Location" in headers:
        host = _host(headers["Location"]) or "another page"
        return BadResponseError(
            f"Polygon sent the request for {what} on to {host}, where your key is not sent; "
            "set polygon-api-url to the right address",
            **facts,
        )
    return BadResponseError(f"Polygon did not understand the request for {what}{said}", **facts)


def unavailable(api_url: str, question: Question, what: str, **facts: Any) -> ProviderUnavailable:
    """The error for a vendor that cannot be reached or used now."""
    facts = {"symbol": question.symbol, "series": question.series, "days": question.days, **facts}
    return ProviderUnavailable(
        f"Polygon ({api_url}) cannot be used now: {what}",
        **facts,
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        error = inner if isinstance(inner, BaseException) else error.__cause__


def never_sent(error: Exception) -> bool:
    """Whether a request failed before it left this machine."""
    never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return any(isinstance(cause, never) for cause in _chain(error))


def reason(error: Exception, connect_seconds: float, read_seconds: float) -> str:
    """What a broken connection comes down to, for people. Never shows the URL."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return "its name cannot be resolved; check the network and polygon-api-url"
        if isinstance(cause, urllib3.exceptions.NewConnectionError):  # a kind of the next one
            return "no connection; check the network and polygon-api-url"
        if isinstance(cause, urllib3.exceptions.ConnectTimeoutError):
            return f"no connection within {connect_seconds:.0f} s; check the network"
        if isinstance(cause, (urllib3.exceptions.ReadTimeoutError, requests.ReadTimeout)):
            return f"no answer within {read_seconds:.0f} s"
        if isinstance(cause, urllib3.exceptions.IncompleteRead):
            return "an answer broke off"
        if isinstance(cause, urllib3.exceptions.SSLError):
            return "its certificate is not accepted; check the clock and the proxy"
    return f"the connection broke ({type(causes[-1]).__name__})"
