"""What one request asks of the vendor, for messages and for the client; and pages that go on elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from server.data_download.errors import BadResponseError
from server.lean.series import Series

VENDOR_HOSTS = frozenset({"api.polygon.io", "api.massive.com"})
"""The vendor's two names for one service; its ``next_url`` may carry either."""


class Question(Protocol):
    """What the client needs to know of what it asks."""

    @property
    def symbol(self) -> str:
        """The symbol asked about."""

    @property
    def series(self) -> Series | None:
        """The series requested; None where it is not about bars."""

    @property
    def days(self) -> tuple[date, ...]:
        """The days asked for, ascending; empty where it is not about days."""

    @property
    def subject(self) -> str:
        """What kind of thing is asked for, in a word or two: ``bars``."""

    @property
    def about(self) -> str:
        """What is asked for, for people: ``SPY minute 2024-03-07``."""

    @property
    def refresh(self) -> bool:
        """Whether the answer must not come from the cache."""


def bad_answer(question: Question, what: str, request_id: str | None = None) -> BadResponseError:
    """An error about an answer that cannot be used."""
    request_id = on_one_line(request_id) if request_id else None
    return BadResponseError(
        f"Polygon's answer about {question.about} cannot be used: {what}"
        + (f" (request id {request_id})" if request_id else ""),
        symbol=question.symbol,
        series=question.series,
        days=question.days,
        request_id=request_id,
    )


def on_one_line(text: str) -> str:
    """Somebody else's words without line ends, control characters and excessive length."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())[:300]


def following(
    question: Question, next_url: str | None, path: str, base_url: str, seen: Sequence[str], request_id: str | None
) -> str | None:
    """Path and query of the next page, to be sent to the configured host; None at the last page.

    Args:
        next_url: Where the answer says that it goes on, if it says so.
        path: What the next page's path must be; one that ends with a slash need only begin so.
        seen: Path and query of the pages that were read.

    Raises:
        BadResponseError: It points to another host or another path, or back to a page that was read.
    """
    if not next_url:
        return None
    base = urlsplit(base_url)
    try:
        parts = urlsplit(next_url)
    except ValueError as error:
        raise bad_answer(question, "its next page has no address that can be read", request_id) from error
    same = (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
    if not same and not (parts.scheme == "https" and {parts.netloc, base.netloc} <= VENDOR_HOSTS):
        raise bad_answer(
            question, f"its next page is on another host ({parts.hostname}), where your key is not sent", request_id
        )
    if parts.path != path and not (path.endswith("/") and parts.path.startswith(path)):
        raise bad_answer(question, "its next page is about something else", request_id)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in ("apikey", "api_key")]
    target = f"{parts.path}?{urlencode(query)}" if query else parts.path
    if target in seen:
        raise bad_answer(question, "its pages go round in a circle", request_id)
    return target
