"""What one request asks of the vendor, for messages and for the client; targets of next pages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from server.data_download.errors import BadResponseError
from server.lean.series import Series

VENDOR_HOSTS = frozenset({"api.polygon.io", "api.massive.com"})
"""The vendor's two names for one service; its ``next_url`` may have either."""


MAX_PAGES = 100
"""Pages of one window or list at most; any valid one has far fewer."""


class ExcessiveResponseError(BadResponseError):
    """A response that is too large, or that has too many pages. It is not requested again."""


class Request(Protocol):
    """What the client needs to know of a request."""

    @property
    def ticker(self) -> str:
        """The ticker that the request is about."""

    @property
    def series(self) -> Series | None:
        """The series of the bars; None where the request is not about bars."""

    @property
    def days(self) -> tuple[date, ...]:
        """The days wanted, ascending; empty where the request is not about days."""

    @property
    def subject(self) -> str:
        """The kind of data, in a word or two: ``bars``."""

    @property
    def about(self) -> str:
        """What is requested, for people: ``SPY minute 2024-03-07``."""

    @property
    def refresh(self) -> bool:
        """Whether the response must not come from the cache."""


def bad_response(
    request: Request, what: str, request_id: str | None = None, kind: type[BadResponseError] = BadResponseError
) -> BadResponseError:
    """Return the error for a response that cannot be used.

    Args:
        request: The request that it answers.
        what: What is wrong with it, as the end of a sentence.
        request_id: The vendor's id of the request.
        kind: The class of the error.
    """
    request_id = on_one_line(request_id) if request_id else None
    return kind(
        f"Polygon's answer about {request.about} cannot be used: {what}"
        + (f" (request id {request_id})" if request_id else ""),
        symbol=request.ticker,
        series=request.series,
        days=request.days,
        request_id=request_id,
    )


def excessive_response(request: Request, what: str, request_id: str | None = None) -> BadResponseError:
    """Return the error for a response that is not requested again; see `bad_response`."""
    return bad_response(request, what, request_id, ExcessiveResponseError)


def check_pages(request: Request, pages: int, request_id: str | None) -> None:
    """Reject a list that goes on after the last page that it may have.

    Args:
        request: The request whose pages are read.
        pages: The number of pages, with the next one.
        request_id: The vendor's id of the request, for messages.

    Raises:
        ExcessiveResponseError: It does.
    """
    if pages > MAX_PAGES:
        raise excessive_response(request, f"it goes on after {MAX_PAGES} pages", request_id)


def on_one_line(text: str) -> str:
    """Return foreign text on one line, without control characters, at most 300 characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())[:300]


def next_page(
    request: Request, next_url: str | None, path: str, base_url: str, seen: Sequence[str], request_id: str | None
) -> str | None:
    """Return path and query of the next page, to be sent to the configured host; None after the last page.

    Args:
        request: The request whose pages are read.
        next_url: The address of the next page in the response, if there is one.
        path: The path that the next page must have; one that ends with a slash is a prefix.
        base_url: Scheme and host of the configured vendor.
        seen: Path and query of the pages read so far.
        request_id: The vendor's id of the request, for messages.

    Raises:
        BadResponseError: The address has another host or another path, or is that of a page read before.
    """
    if not next_url:
        return None
    base = urlsplit(base_url)
    try:
        parts = urlsplit(next_url)
    except ValueError as error:
        raise bad_response(request, "its next page has no address that can be read", request_id) from error
    same = (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
    if not same and not (parts.scheme == "https" and {parts.netloc, base.netloc} <= VENDOR_HOSTS):
        raise bad_response(
            request, f"its next page is on another host ({parts.hostname}), where your key is not sent", request_id
        )
    if parts.path != path and not (path.endswith("/") and parts.path.startswith(path)):
        raise bad_response(request, "its next page is about something else", request_id)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in ("apikey", "api_key")]
    target = f"{parts.path}?{urlencode(query)}" if query else parts.path
    if target in seen:
        raise bad_response(request, "its pages go round in a circle", request_id)
    return target
