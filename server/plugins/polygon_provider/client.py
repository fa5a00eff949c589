"""The vendor over HTTP: one session, one owner of retries, one translator of foreign errors."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Generic, TypeVar

import msgspec
import requests
import urllib3
from attrs import field, frozen
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay

from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventKind, EventStream
from server.core.secret import mask_secrets
from server.data_download.errors import BadResponseError, ProviderUnavailable, RateLimitError
from server.plugins.polygon_provider.budget import FREE_PLAN, RequestBudget, in_flight
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.errors import (
    RetryableError,
    never_sent,
    reason,
    refusal,
    unavailable,
)
from server.plugins.polygon_provider.requests import Question, bad_answer
from server.plugins.polygon_provider.responses import DAMAGED, problem_of, unpacked
from server.plugins.polygon_provider.session import KEEP_FOR, BearerAuth, PolygonSession

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_BODY_SECONDS = 120.0
_CHUNK = 1 << 18
_UNREACHED_ATTEMPTS = 4
_GARBLED_ATTEMPTS = 3
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


Page = TypeVar("Page")

Read = Callable[[bytes], Page]
"""Makes a page of a body; raises msgspec.DecodeError for what is none, BadResponseError for what is not believed."""


@frozen
class Fetched(Generic[Page]):
    """An answer that was read and checked, and what to keep of it."""

    page: Page
    response: requests.Response = field(repr=False)
    from_cache: bool


class PolygonClient:
    """Asks for one page at a time; called from several threads at once."""

    def __init__(
        self,
        config: PolygonConfig,
        session: PolygonSession,
        budget: RequestBudget,
        *,
        events: EventStream,
        pause: Callable[[float], bool],
        cancelled: Callable[[], bool],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Take what it needs and open nothing.

        Args:
            events: Receives requests, retries and notices.
            pause: Sleeps so many seconds and says whether the run was cancelled meanwhile.
            wall_clock: Seconds since 1970, to find the next minute by.
        """
        self._config = config
        self._session = session
        self._budget = budget
        self._events = events
        self._pause = pause
        self._cancelled = cancelled
        self._wall_clock = wall_clock
        self._auth = BearerAuth(config.api_key, config.api_url)
        self._lock = threading.Lock()
        self._pushed_back = 0

    def get(
        self, question: Question, target: str, read: Read[Page], *, packed: bool = False, keep: bool = False
    ) -> Fetched[Page]:
        """Get one page of what a question asks for, trying again what may pass.

        Args:
            target: Path and query of the page.
            read: Decodes the page's JSON and checks it.
            packed: Give `read` the body as it came over the wire, for it to unpack (see `unpacked`).
            keep: Keep the answer in the cache as soon as it arrived, and forget it if it turns out not to be read: a
                run that is killed meanwhile need not fetch it again, and whoever finds it there reads it as critically.

        Raises:
            AuthenticationError, PlanLimitError, SymbolNotFoundError: 401, 403, 404; at once.
            RateLimitError, ProviderUnavailable, BadResponseError: Still so after all tries.
            Cancelled: The run was stopped.
        """
        too_long = stop_before_delay(self._config.retry_seconds)
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableError),
            wait=self._wait,
            stop=lambda state: self._tried_enough(state) or too_long(state),
            sleep=self._sleep,
            before_sleep=lambda state: self._announce(question, state),
            retry_error_callback=_give_up,
        )
        if not packed:
            decode = read
            read = lambda wire: decode(unpacked(wire))  # noqa: E731 - a name for it would say no more
        fetched: Fetched[Page] = retrying(self._once, question, target, read, keep)
        return fetched

    def keep(self, fetched: Fetched[Page], keep_for: timedelta = KEEP_FOR) -> None:
        """Keep a complete and checked answer in the cache."""
        if not fetched.from_cache:
            self._session.keep(fetched.response, keep_for)

    def kept(self) -> list[str]:
        """The addresses whose answers are in the cache."""
        return self._session.kept()

    def forget(self, fetched: Fetched[Page]) -> None:
        """Keep an answer no longer that turned out to be of no use."""
        self._session.forget(fetched.response)

    def _once(self, question: Question, target: str, read: Read[Page], keep: bool) -> Fetched[Page]:
        """One try. The vendor's words may hold the key, so every error is masked here."""
        try:
            return self._ask(question, target, read, keep, refresh=question.refresh)
        except RetryableError as passing:
            self._mask(passing.error)
            raise
        except BacktestServerError as error:
            self._mask(error)
            raise

    def _mask(self, error: BacktestServerError) -> None:
        secrets = [self._config.api_key]
        error.args = (mask_secrets(str(error), secrets),)
        error.request_id = mask_secrets(error.request_id, secrets) if error.request_id else None

    def _ask(self, question: Question, target: str, read: Read[Page], keep: bool, *, refresh: bool) -> Fetched[Page]:
        with in_flight(self._cancelled), self._translated(question):
            response = self._session.get(
                self._config.api_url + target,
                auth=self._auth,
                stream=True,
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                force_refresh=refresh,
            )
            from_cache = bool(getattr(response, "from_cache", False))
            wire = response.content if from_cache else self._read(response, question)
        if from_cache:
            self._emit(question, "request", cache_hits=1)
        else:
            self._emit(question, "request", api_calls=1, bytes=len(wire), status=response.status_code)
        keep_it = keep and not from_cache and response.status_code == 200
        if keep_it:
            self._session.keep(response, KEEP_FOR)
        try:
            return Fetched(self._page(response, wire, question, read), response, from_cache)
        except (RetryableError, BadResponseError):
            if from_cache:
                return self._ask(question, target, read, keep, refresh=True)
            if keep_it:
                self._session.forget(response)
            raise

    def _page(self, response: requests.Response, wire: bytes, question: Question, read: Read[Page]) -> Page:
        try:
            if response.status_code != 200:
                raise self._refused(response, unpacked(wire), question)
            return read(wire)
        except DAMAGED as error:
            raise RetryableError(unavailable(self._config.api_url, question, "an answer arrived damaged")) from error
        except msgspec.ValidationError as error:
            raise bad_answer(question, f"it is not an answer about {question.subject} ({error})") from error
        except (msgspec.DecodeError, RecursionError) as error:
            words, _ = problem_of(unpacked(wire))
            garbled = bad_answer(question, f"it is not JSON but {words[:80]!r}" if words else "it is empty")
            raise RetryableError(garbled, attempts=_GARBLED_ATTEMPTS) from error

    def _read(self, response: requests.Response, question: Question) -> bytes:
        """The body as it came over the wire, so that it can be kept as it is."""
        deadline = time.monotonic() + _BODY_SECONDS
        chunks = []
        # read1 comes back with what there is, so that the clock is looked at however slowly the bytes come; only
        # urllib3's own answers have it, recorded ones do not.
        whole = not isinstance(response.raw, urllib3.response.HTTPResponse)
        read = response.raw.read if whole else response.raw.read1
        while chunk := read(_CHUNK, decode_content=False):
            chunks.append(chunk)
            if self._cancelled():
                response.close()
                raise Cancelled("stopped while an answer was read")
            if time.monotonic() > deadline:
                response.close()
                raise RetryableError(
                    unavailable(self._config.api_url, question, f"its answer took longer than {_BODY_SECONDS:.0f} s")
                )
        wire = b"".join(chunks)
        response._content = wire
        response._content_consumed = True  # type: ignore[attr-defined]
        return wire

    def _refused(self, response: requests.Response, body: bytes, question: Question) -> Exception:
        """The error for a status other than 200, wrapped if it may pass."""
        error = refusal(self._config.api_url, question, response.status_code, response.headers, body)
        if isinstance(error, RateLimitError):
            return RetryableError(error, wait=self._after_push_back(response))
        return RetryableError(error) if isinstance(error, ProviderUnavailable) else error

    def _after_push_back(self, response: requests.Response) -> float:
        """Seconds to wait after a 429: what the vendor says, else into the next minute, everybody together."""
        told = response.headers.get("Retry-After", "")
        if re.fullmatch(r"\d{1,9}(\.\d+)?", told):
            wait = max(float(told), 0.1)
        else:
            wait = 60 - self._wall_clock() % 60 + random.uniform(0.2, 2.0)  # noqa: S311 - jitter
        if wait > self._config.retry_seconds:
            return wait  # nobody waits that long
        if self._budget.hold(wait):
            with self._lock:
                self._pushed_back += 1
                slow_down = self._pushed_back == 2 and not self._budget.per_minute
            if slow_down:
                self._budget.limit(FREE_PLAN)
                message = (
                    f"Polygon keeps answering too many requests; continuing with {FREE_PLAN} a minute, the free plan's "
                    "budget (set providers.polygon.requests-per-minute to your plan's)"
                )
                self._events.emit(Event(kind="notice", symbol="", message=message))
        return wait

    @contextmanager
    def _translated(self, question: Question) -> Iterator[None]:
        """The one place where requests' and urllib3's errors become ours. They may show the URL, never the key."""
        try:
            yield
        except RetryableError:
            self._emit(question, "request", api_calls=1)
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            sent = not never_sent(error)
            self._emit(question, "request", api_calls=int(sent))
            raise RetryableError(
                unavailable(self._config.api_url, question, reason(error, _CONNECT_SECONDS, _READ_SECONDS)),
                attempts=None if sent else _UNREACHED_ATTEMPTS,
            ) from error

    # --- trying again ---

    def _tried_enough(self, state: RetryCallState) -> bool:
        return state.attempt_number >= min(_passing(state).attempts or 1_000_000, self._config.retry_attempts)

    def _wait(self, state: RetryCallState) -> float:
        told = _passing(state).wait
        if told is not None:
            return told
        longest = min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_WAIT)
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter

    def _sleep(self, seconds: float) -> None:
        if self._pause(seconds):
            raise Cancelled("stopped while waiting to try again")

    def _announce(self, question: Question, state: RetryCallState) -> None:
        self._emit(question, "retry", retries=1, wait_seconds=state.upcoming_sleep, message=str(_passing(state).error))

    def _emit(self, question: Question, kind: EventKind, **facts: Any) -> None:
        self._events.emit(Event(kind=kind, symbol=question.symbol, resolution=None, **facts))


def _passing(state: RetryCallState) -> RetryableError:
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after an attempt
    error = state.outcome.exception()
    assert isinstance(error, RetryableError)  # noqa: S101
    return error


def _give_up(state: RetryCallState) -> None:
    passing = _passing(state)
    error, tries = passing.error, state.attempt_number
    error.attempts = tries
    if tries > 1:
        error.args = (f"{error}; given up after {tries} tries in {state.seconds_since_start or 0:.0f} s",)
    raise error from passing
