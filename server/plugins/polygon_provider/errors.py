"""The one translation of the vendor's refusals into our errors. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from server.core.errors import BacktestServerError
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
    SymbolNotFoundError,
)
from server.plugins.polygon_provider.requests import Request
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
