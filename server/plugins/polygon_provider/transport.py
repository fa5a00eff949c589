"""Sends one request and receives its body, within time limits, the request budget and the concurrency limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO

import requests
import urllib3

from server.core.errors import Cancelled
from server.core.events import Event, EventStream
from server.data_download.errors import ProviderUnavailable
from server.plugins.polygon_provider.bodies import LARGE_BYTES, MAX_BYTES, check_size, one_large_body
from server.plugins.polygon_provider.budget import RequestBudget, concurrency_limit
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.connection_errors import never_sent, quotes_proxy, reason
from server.plugins.polygon_provider.errors import RetryableError, unavailable
from server.plugins.polygon_provider.open_requests import OpenRequest, OpenRequests
from server.plugins.polygon_provider.requests import Request
from server.plugins.polygon_provider.session import BearerAuth, PolygonSession

CONNECT_SECONDS = 5.0
"""Time limit for a connection."""

READ_SECONDS = 30.0
"""Time limit for the first byte of a response, and between two of them."""

REQUEST_SECONDS = 60.0
"""Time limit for a whole request, from connecting to the last byte of its response."""

UNREACHED_ATTEMPTS = 4
"""Attempts at a host that cannot be reached."""

_CHUNK = 1 << 18


class Transport:
    """HTTP requests to the vendor, without retries and without a cache. Used by several threads at once."""

    def __init__(
        self,
        config: PolygonConfig,
        session: PolygonSession,
        budget: RequestBudget,
        *,
        events: EventStream,
        cancelled: Callable[[], bool],
    ) -> None:
        """Send nothing.

        Args:
            config: The vendor's address and the API key.
            session: The connections.
            budget: Asked before each request.
            events: Receives the requests sent.
            cancelled: Whether the run was cancelled.
        """
        self._config = config
        self._session = session
        self._budget = budget
        self._events = events
        self._cancelled = cancelled
        self._open = OpenRequests(cancelled)
        self._auth = BearerAuth(config.api_key, config.api_url)

    @property
    def proxy(self) -> str | None:
        """Host and port of the proxy that requests are sent through; None without one."""
        return self._session.proxy

    def send(self, request: Request, target: str, alone: ExitStack) -> requests.Response:
        """Send one request; return the response of any status, its content the body as received, not decompressed.

        Args:
            request: What is requested, for messages.
            target: Path and query.
            alone: Until it ends, a large response is the only one of this process.

        Raises:
            RetryableError: The connection failed or broke, or a time limit was exceeded.
            ExcessiveResponseError: The body is too large.
            Cancelled: The run was cancelled.
        """
        with concurrency_limit(self._cancelled):
            self._budget.acquire()
            with self._open.request(REQUEST_SECONDS) as attempt, self._translated(request, attempt):
                response = self._session.get(
                    self._config.api_url + target,
                    auth=self._auth,
                    stream=True,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                )
                body = self._receive(response, request, attempt, alone)
        self._emit(request, api_calls=1, bytes=len(body), status=response.status_code)
        return response

    def _receive(self, response: requests.Response, request: Request, attempt: OpenRequest, alone: ExitStack) -> bytes:
        """Read the body as it is, so that it can be cached compressed."""
        # read1 returns what has arrived; only urllib3's own responses have it, recorded ones do not.
        recorded = not isinstance(response.raw, urllib3.response.HTTPResponse)
        read = response.raw.read if recorded else response.raw.read1
        received, size = BytesIO(), 0
        while chunk := read(_CHUNK, decode_content=False):
            size += received.write(chunk)
            if size - len(chunk) <= LARGE_BYTES < size:
                alone.enter_context(one_large_body(lambda: attempt.ended))
            if self._cancelled():
                response.close()
                raise Cancelled("cancelled while a response was received")
            if size > MAX_BYTES:
                response.close()
                received.close()  # the traceback of the error refers to it
                self._emit(request, api_calls=1, bytes=size, status=response.status_code)
                check_size(size, request)
        body = received.getvalue()
        response._content = body
        response._content_consumed = True  # type: ignore[attr-defined]
        return body

    @contextmanager
    def _translated(self, request: Request, attempt: OpenRequest) -> Iterator[None]:
        """The one place that translates errors of requests and urllib3. They may contain the URL, never the key."""
        failure: Exception | None = None
        try:
            yield
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = error
        if failure is None and not attempt.ended:  # a response that was ended may look whole
            return
        sent = failure is None or not never_sent(failure)
        self._emit(request, api_calls=int(sent))
        if attempt.ended and self._cancelled():
            raise Cancelled("cancelled while a response was awaited")
        if failure is None or attempt.ended:
            what = f"its answer took longer than {REQUEST_SECONDS:.0f} s"
        else:
            plain = self._config.api_url.startswith("http:")
            what = reason(failure, CONNECT_SECONDS, READ_SECONDS, plain=plain)
        raise RetryableError(self._unavailable(request, what), attempts=None if sent else UNREACHED_ATTEMPTS) from (
            None if failure is None or quotes_proxy(failure) else failure
        )

    def _unavailable(self, request: Request, what: str) -> ProviderUnavailable:
        return unavailable(self._config.api_url, request, what, proxy=self.proxy)

    def _emit(self, request: Request, **counts: int) -> None:
        self._events.emit(Event(kind="request", symbol=request.ticker, **counts))  # type: ignore[arg-type]
