"""The vendor's pages: from the cache or the network, with retries; the one owner of both."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from attrs import field, frozen
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay

from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventStream
from server.core.secret import mask_error
from server.data_download.errors import BadResponseError, ProviderUnavailable, RateLimitError
from server.plugins.polygon_provider.bodies import DAMAGED, LARGE_BYTES, read_body
from server.plugins.polygon_provider.budget import FREE_PLAN, RequestBudget
from server.plugins.polygon_provider.cache import ResponseCache
from server.plugins.polygon_provider.cache_keys import cached_range
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.errors import RetryableError, refusal, release_responses, unavailable
from server.plugins.polygon_provider.requests import ExcessiveResponseError, Request, bad_response
from server.plugins.polygon_provider.responses import problem_of
from server.plugins.polygon_provider.retries import give_up, retryable_of, wait_before_retry
from server.plugins.polygon_provider.transport import Transport
from server.plugins.polygon_provider.windows import CachedRange

EXPIRE_AFTER = timedelta(days=7)
"""How long responses with bars are cached. Their bars are on disk by then; the cache serves folders that lost them."""

_GARBLED_ATTEMPTS = 3

Page = TypeVar("Page")

Read = Callable[[bytes], Page]
"""Decodes a body; raises msgspec.DecodeError for another format, BadResponseError for a page that is rejected."""


@frozen
class FetchedPage(Generic[Page]):
    """A page that was decoded and validated, and its response."""

    page: Page
    response: requests.Response = field(repr=False)
    from_cache: bool


class PolygonClient:
    """Fetches one page at a time; used by several threads at once."""

    def __init__(
        self,
        config: PolygonConfig,
        transport: Transport,
        cache: ResponseCache,
        budget: RequestBudget,
        *,
        events: EventStream,
        pause: Callable[[float], bool],
        cancelled: Callable[[], bool],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Send nothing.

        Args:
            config: The vendor's address, the API key and the limits of retries.
            transport: Sends requests.
            cache: Stores responses.
            budget: Pauses all requests after a 429.
            events: Receives cache hits, retries and notices.
            pause: Sleeps for a number of seconds and returns whether the run was cancelled.
            cancelled: Whether the run was cancelled.
            wall_clock: Seconds since 1970, to find the next minute.
        """
        self._config = config
        self._transport = transport
        self._cache = cache
        self._budget = budget
        self._events = events
        self._pause = pause
        self._cancelled = cancelled
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._rate_limited = 0

    def get(
        self, request: Request, target: str, read: Read[Page], *, compressed: bool = False, store: bool = False
    ) -> FetchedPage[Page]:
        """Fetch one page, and retry what may succeed later.

        A page that `read` rejects, other than for its size, is requested once more from the network, whatever the
        configured number of attempts is: a response about something else may come from a cache or a proxy on the way.

        Args:
            request: What is requested.
            target: Path and query of the page.
            read: Decodes the page's JSON and validates it.
            compressed: Pass the body to `read` as it was received (see `read_body`).
            store: Cache the response as soon as it has arrived, and evict it if it is rejected: a run that is killed
                in between need not fetch it again, and the next one validates it too.

        Raises:
            AuthenticationError, PlanLimitError, SymbolNotFoundError: 401, 403, 404; without a retry.
            RateLimitError, ProviderUnavailable, BadResponseError: After all attempts.
            Cancelled: The run was cancelled.
        """
        too_long = stop_before_delay(self._config.retry_seconds)
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableError),
            wait=wait_before_retry,
            stop=lambda state: self._attempted_enough(state) or too_long(state),
            sleep=self._sleep,
            before_sleep=lambda state: self._announce(request, state),
            retry_error_callback=give_up,
        )

        def read_decompressed(body: bytes) -> Page:
            return read_body(body, request, read)

        rejected: list[BadResponseError] = []
        fetched: FetchedPage[Page] = retrying(
            self._attempt, request, target, read if compressed else read_decompressed, store, rejected
        )
        return fetched

    def store(self, fetched: FetchedPage[Page], expire_after: timedelta = EXPIRE_AFTER) -> None:
        """Cache a complete and validated page, unless it came from the cache or is too large for it."""
        if not fetched.from_cache and fetched.response.content:
            self._cache.store(fetched.response, expire_after)

    def evict(self, fetched: FetchedPage[Page]) -> None:
        """Remove a page from the cache."""
        self._cache.evict(fetched.response)

    def cached_ranges(self) -> list[CachedRange]:
        """Return the ranges of aggregates that are cached from the configured host."""
        host = urlsplit(self._config.api_url).netloc
        found = (cached_range(key) for key in self._cache.cached_keys())
        return [cached for cached in found if cached is not None and cached.host == host]

    # --- one attempt ---

    def _attempt(
        self, request: Request, target: str, read: Read[Page], store: bool, rejected: list[BadResponseError]
    ) -> FetchedPage[Page]:
        """Mask the API key in every error: the vendor's text may contain it. `rejected` collects the call's own."""
        try:
            cached = None if request.refresh or rejected else self._from_cache(request, target, read, rejected)
            return cached or self._accepted_from_network(request, target, read, store, rejected)
        except RetryableError as retryable:
            mask_error(retryable.error, [self._config.api_key])
            release_responses(retryable)
            raise
        except BacktestServerError as error:
            mask_error(error, [self._config.api_key])
            release_responses(error)
            raise

    def _from_cache(
        self, request: Request, target: str, read: Read[Page], rejected: list[BadResponseError]
    ) -> FetchedPage[Page] | None:
        """Return the cached page, None if it is not cached; one that is rejected is evicted."""
        if self._cancelled():
            raise Cancelled("cancelled before a response was read")
        response = self._cache.get(self._config.api_url + target)
        if response is None:
            return None
        self._events.emit(Event(kind="request", symbol=request.ticker, cache_hits=1))
        try:
            return FetchedPage(self._page(response, request, read), response, from_cache=True)
        except RetryableError:
            self._cache.evict(response)
        except BadResponseError as error:
            self._cache.evict(response)
            rejected.append(error)
        return None

    def _accepted_from_network(
        self, request: Request, target: str, read: Read[Page], store: bool, rejected: list[BadResponseError]
    ) -> FetchedPage[Page]:
        """Request the page, and once more if the response is rejected, unless one was rejected before."""
        while True:
            try:
                return self._from_network(request, target, read, store)
            except BadResponseError as error:
                if error.status is not None or isinstance(error, ExcessiveResponseError):
                    raise
                rejected.append(error)
                if len(rejected) > 1:
                    error.attempts = len(rejected)
                    error.args = (f"{error}; a second response was rejected too",)
                    raise
                mask_error(error, [self._config.api_key])
                message = f"{error}; it is requested once more"
            self._events.emit(Event(kind="retry", symbol=request.ticker, retries=1, message=message))

    def _from_network(self, request: Request, target: str, read: Read[Page], store: bool) -> FetchedPage[Page]:
        with ExitStack() as alone:
            response = self._transport.send(request, target, alone)
            large = len(response.content) > LARGE_BYTES
            stored = store and response.status_code == 200 and not large
            if stored:
                self._cache.store(response, EXPIRE_AFTER)
            try:
                return FetchedPage(self._page(response, request, read), response, from_cache=False)
            except (RetryableError, BadResponseError):
                if stored:
                    self._cache.evict(response)
                raise
            finally:
                if large:
                    response._content = b""

    def _page(self, response: requests.Response, request: Request, read: Read[Page]) -> Page:
        body = response.content
        try:
            if response.status_code != 200:
                raise read_body(body, request, lambda content: self._refused(response, content, request))
            return read(body)
        except DAMAGED as error:
            damaged = "an answer arrived damaged"
            raise RetryableError(
                unavailable(self._config.api_url, request, damaged, proxy=self._transport.proxy)
            ) from error
        except msgspec.ValidationError as error:
            raise bad_response(request, f"it is not an answer about {request.subject} ({error})") from error
        except (msgspec.DecodeError, RecursionError) as error:
            words, _ = read_body(body, request, problem_of)
            garbled = bad_response(request, f"it is not JSON but {words[:80]!r}" if words else "it is empty")
            raise RetryableError(garbled, attempts=_GARBLED_ATTEMPTS) from error

    def _refused(self, response: requests.Response, body: bytes, request: Request) -> Exception:
        """Return the error for a status other than 200, as a `RetryableError` if it may pass."""
        error = refusal(
            self._config.api_url, request, response.status_code, response.headers, body, self._transport.proxy
        )
        if isinstance(error, RateLimitError):
            return RetryableError(error, wait=self._after_rate_limit(response))
        return RetryableError(error) if isinstance(error, ProviderUnavailable) else error

    def _after_rate_limit(self, response: requests.Response) -> float:
        """Pause all requests after a 429; return the seconds: the vendor's, or until the next minute begins."""
        retry_after = response.headers.get("Retry-After", "")
        if re.fullmatch(r"\d{1,9}(\.\d+)?", retry_after):
            wait = max(float(retry_after), 0.1)
        else:
            wait = 60 - self._wall_clock() % 60 + random.uniform(0.2, 2.0)  # noqa: S311 - jitter
        if wait > self._config.retry_seconds:
            return wait  # the attempts end before it
        if self._budget.hold(wait):
            with self._lock:
                self._rate_limited += 1
                slow_down = self._rate_limited == 2 and not self._budget.per_minute
            if slow_down:
                self._budget.limit(FREE_PLAN)
                message = (
                    f"Polygon keeps answering too many requests; continuing with {FREE_PLAN} a minute, the free plan's "
                    "budget (set providers.polygon.requests-per-minute to your plan's)"
                )
                self._events.emit(Event(kind="notice", symbol="", message=message))
        return wait

    # --- retries ---

    def _attempted_enough(self, state: RetryCallState) -> bool:
        limit = self._config.retry_attempts
        return state.attempt_number >= min(retryable_of(state).attempts or limit, limit)

    def _sleep(self, seconds: float) -> None:
        if self._pause(seconds):
            raise Cancelled("cancelled while waiting for the next attempt")

    def _announce(self, request: Request, state: RetryCallState) -> None:
        message = str(retryable_of(state).error)
        self._events.emit(
            Event(kind="retry", symbol=request.ticker, retries=1, wait_seconds=state.upcoming_sleep, message=message)
        )
