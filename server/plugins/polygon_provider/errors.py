"""The one translation of the vendor's refusals and of broken connections into our errors. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
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
from server.plugins.polygon_provider.requests import Request, on_one_line
from server.plugins.polygon_provider.responses import problem_of


class RetryableError(Exception):
    """A failure that the next attempt may not have.

    Attributes:
        error: What to raise after the last attempt.
        attempts: The number of attempts where it differs from the configured one.
        wait: Seconds until the next attempt where the vendor determines them.
    """

    def __init__(self, error: BacktestServerError, *, attempts: int | None = None, wait: float | None = None) -> None:
        super().__init__()  # not the text of the error, which may contain the key until it is masked
        self.error = error
        self.attempts = attempts
        self.wait = wait


def release_responses(error: BaseException | None) -> None:
    """Clear the local variables in the tracebacks of an error, which hold responses as long as the error exists."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def refusal(
    api_url: str,
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    proxy: str | None = None,
) -> BacktestServerError:
    """Return the error for a response with a status other than 200.

    Args:
        api_url: Scheme and host of the vendor, for messages.
        request: The request that was refused.
        status: The HTTP status.
        headers: The response's headers.
        body: The decompressed body.
        proxy: Host and port of the proxy, if there is one.
    """
    words, request_id = problem_of(body)
    request_id = request_id or headers.get("X-Request-Id")
    facts: dict[str, Any] = {
        "symbol": request.ticker,
        "series": request.series,
        "days": request.days,
        "status": status,
        "request_id": request_id,
    }
    reason = f'; it says: "{words}"' if words else ""
    reason += f" (status {status}" + (f", request id {request_id})" if request_id else ")")
    what = request.about
    if status == 401:
        return AuthenticationError(
            "Polygon does not accept your API key; check polygon-api-key in lean.json or POLYGON_API_KEY" + reason,
            **facts,
        )
    if status == 403:
        advice = "ask for other days or change the plan" if request.days else "change the plan"
        return PlanLimitError(f"your Polygon plan does not include {what}; {advice}" + reason, **facts)
    if status == 404:
        return SymbolNotFoundError(f"Polygon does not know {what}; check the symbol" + reason, **facts)
    if status == 429:
        return RateLimitError(f"Polygon answered too many requests to {what}" + reason, **facts)
    if status >= 500:
        return unavailable(api_url, request, f"it answers with an error{reason}", proxy=proxy, **facts)
    if 300 <= status < 400 and "Location" in headers:
        host = _host(headers["Location"]) or "another page"
        return BadResponseError(
            f"Polygon sent the request for {what} on to {host}, where your key is not sent; "
            "set polygon-api-url to the right address",
            **facts,
        )
    return BadResponseError(f"Polygon did not understand the request for {what}{reason}", **facts)


def unavailable(
    api_url: str, request: Request, what: str, *, proxy: str | None = None, **facts: Any
) -> ProviderUnavailable:
    """Return the error for a vendor that cannot be reached or used now.

    Args:
        api_url: Scheme and host of the vendor.
        request: The request that failed.
        what: The cause, as the end of a sentence.
        proxy: Host and port of the proxy, if there is one.
        facts: Further attributes of the error.
    """
    facts = {"symbol": request.ticker, "series": request.series, "days": request.days, **facts}
    return ProviderUnavailable(
        f"Polygon ({api_url}{f', through the proxy {proxy}' if proxy else ''}) cannot be used now: {what}",
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


_INVALID_PROXY = (
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
    urllib3.exceptions.ProxySchemeUnknown,
)
"""Errors of the address of a proxy; that of the vendor was checked before."""

_CHECK_PROXY = "check HTTPS_PROXY, ALL_PROXY and NO_PROXY"


def quotes_proxy(error: Exception) -> bool:
    """Return whether an error may contain the address of the proxy, whose password must not be shown."""
    return any(isinstance(cause, _INVALID_PROXY) for cause in _chain(error))


def never_sent(error: Exception) -> bool:
    """Return whether a request failed before it left this machine."""
    never = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.ProxyError,
        *_INVALID_PROXY,
    )
    return any(isinstance(cause, never) for cause in _chain(error))


def reason(error: Exception, connect_seconds: float, read_seconds: float) -> str:
    """Return the cause of a broken connection for people, without the URL.

    Args:
        error: The error of requests or urllib3.
        connect_seconds: The time limit for a connection.
        read_seconds: The time limit for the first byte of a response and between two of them.
    """
    causes = list(_chain(error))
    if quotes_proxy(error):
        socks = any(isinstance(cause, requests.exceptions.InvalidSchema) for cause in causes)
        what = "SOCKS needs the package PySocks" if socks else "its address does not fit"
        return f"the proxy cannot be used ({what}); {_CHECK_PROXY}"
    if any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
        return _proxy_reason(causes)
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return "its name cannot be resolved; check the network and polygon-api-url"
        if isinstance(cause, urllib3.exceptions.NewConnectionError):  # a base class of the next one
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


def _proxy_reason(causes: Sequence[BaseException]) -> str:
    """Return the cause of a failed connection to a proxy, or of its refusal to connect to the vendor."""
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return f"the name of the proxy cannot be resolved; {_CHECK_PROXY}"
        if isinstance(cause, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
            return f"no connection to the proxy; {_CHECK_PROXY}"
        if isinstance(cause, urllib3.exceptions.SSLError):
            return f"the proxy's certificate is not accepted, or it does not speak TLS; {_CHECK_PROXY}"
    return f"the proxy does not connect to it ({on_one_line(str(causes[-1]))[:80]}); {_CHECK_PROXY}"
