"""The Polygon client with a vendor that returns the replies of a test."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import requests
import urllib3
from attrs import define, field, frozen
from requests.adapters import HTTPAdapter

from server.core.events import Event
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.cache import ResponseCache
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.responses import read_page
from server.plugins.polygon_provider.session import PolygonSession
from server.plugins.polygon_provider.windows import Window
from tests.support.harness import FakeTime

KEY = "kEy/with+signs"
DAYS = (date(2024, 3, 7), date(2024, 3, 8))
SERIES = Series("SPY", Resolution.MINUTE)
WINDOW = Window(series=SERIES, wanted=DAYS)
GOOD = b'{"status":"OK","adjusted":false,"request_id":"r1","resultsCount":0}'


@frozen
class Reply:
    """A response of the vendor."""

    status: int = 200
    body: bytes = GOOD
    headers: dict[str, str] = field(factory=dict)


class Vendor(HTTPAdapter):
    """Replaces the network: returns these replies in turn, and good ones afterwards."""

    def __init__(self, *replies: Reply | Exception) -> None:
        super().__init__()
        self.replies = list(replies)
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Record the request and return the next reply."""
        self.sent.append(request.copy())
        reply = self.replies.pop(0) if self.replies else Reply()
        if isinstance(reply, Exception):
            raise reply
        raw = urllib3.HTTPResponse(
            io.BytesIO(reply.body), headers=reply.headers, status=reply.status, preload_content=False
        )
        raw._request_url = request.url  # type: ignore[attr-defined]  # which requests-cache copies
        return self.build_response(request, raw)


@define
class Kit:
    """A client with a vendor, a cache, a clock, and the events it reported."""

    client: PolygonClient
    session: PolygonSession
    cache: ResponseCache
    vendor: Vendor
    time: FakeTime
    events: list[Event]
    cancelled: list[bool]

    def get(self, window: Window = WINDOW, **options: Any) -> Any:
        """Fetch a window's first page."""
        return self.client.get(window, window.target, partial(read_page, window=window), **options)

    def count(self, name: str) -> int:
        """The sum of a count over all events."""
        return sum(getattr(event, name) for event in self.events)


MakeKit = Callable[..., Kit]
