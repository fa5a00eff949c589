"""Fetches splits, dividends, ticker changes and ticker details."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from server.core.errors import Cancelled, ConfigurationError
from server.core.events import Event, EventStream
from server.core.secret import mask_secrets
from server.corporate_actions.events import gather
from server.corporate_actions.model import Dividend, Events, Listing, Renames, Split
from server.data_download.errors import BadResponseError, PlanLimitError, SymbolNotFoundError
from server.data_download.provider import ProviderContext
from server.lean.days import midnight
from server.lean.series import NEW_YORK, parse_symbol
from server.plugins.polygon_provider.bodies import check_size
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.connection import Connection, reference_cache
from server.plugins.polygon_provider.prompt_calls import PromptCalls
from server.plugins.polygon_provider.reference_responses import (
    DividendRecord,
    EventsRecord,
    Record,
    ReferencePage,
    ReferenceRequest,
    SplitRecord,
    TickerRecord,
    dividends_of,
    listing_among,
    listing_of,
    read_reference_page,
    renames_of,
    splits_of,
)
from server.plugins.polygon_provider.requests import bad_response, check_pages, next_page

_LASTING = timedelta(days=30)
"""How long the holder of a ticker on a past day is cached."""

_TICKERS = "/v3/reference/tickers"

Result = TypeVar("Result")


@frozen
class _ListEndpoint(Generic[Record]):
    """A list at one of two addresses; not every server and key has the newer one."""

    subject: str
    record: type[Record]
    path: str
    older_path: str
    day: str

    def target(self, symbol: str) -> str:
        return f"{self.path}?ticker={symbol}&limit=5000&sort={self.day}.asc"

    def older_target(self, symbol: str) -> str:
        return f"{self.older_path}?ticker={symbol}&limit=1000&order=asc&sort={self.day}"


_SPLITS = _ListEndpoint("splits", SplitRecord, "/stocks/v1/splits", "/v3/reference/splits", "execution_date")
_DIVIDENDS = _ListEndpoint(
    "dividends", DividendRecord, "/stocks/v1/dividends", "/v3/reference/dividends", "ex_dividend_date"
)


class PolygonReference:
    """The vendor's corporate actions; see `CorporateActionSource` for the contract of its methods.

    Responses are cached until the end of the day in New York, since the lists change.
    """

    def __init__(
        self,
        config: PolygonConfig,
        context: ProviderContext,
        events: EventStream,
        *,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        """Open nothing.

        Args:
            config: The settings.
            context: The folder of the cache, the clock, the cancellation, and whether cached responses are ignored.
            events: Receives requests, retries and notices.
            pause: Replaces waiting: sleeps for a number of seconds and returns whether the run was cancelled.
        """
        self._config = config
        self._context = context
        self._stream = events
        self._stop = context.cancel.child()
        self._calls = PromptCalls(self._stop, [config.api_key])
        self._pause = pause or self._stop.wait
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._older: set[str] = set()
        self._responded = False
        self._refused: tuple[date, PlanLimitError] | None = None

    def events(self, ticker: str) -> Events:
        """Return all splits and dividends that the vendor lists under this ticker, announced ones included.

        Raises:
            BacktestServerError: As `PolygonClient.get`; ConfigurationError if it is not a ticker.
        """
        symbol = _symbol(ticker)
        splits = self._calls.start(lambda: self._listed(_SPLITS, symbol))
        if not self._responded:  # sequentially, so that a wrong key or an outage costs one request
            self._calls.wait_for(splits)
            splits.result()
        dividends = self._calls.start(lambda: self._listed(_DIVIDENDS, symbol))
        self._calls.wait_for(splits, dividends)
        return self._gathered(symbol, splits.result(), dividends.result())

    def renames(self, ticker: str) -> Renames:
        """Return the tickers of the security that trades, or last traded, as `ticker`.

        Raises:
            BacktestServerError: As for `events`.
        """
        symbol = _symbol(ticker)
        return self._calls.result(lambda: self._renames(symbol))

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """Return reference data of the ticker; None if the vendor does not know it, or not on that day.

        For a ticker that is not in use, it is the security that had it last; for a day of which there are no details,
        the one that was delisted first after it. See `listing_of` for ``delisted``.

        Raises:
            BacktestServerError: As for `events`. A PlanLimitError where the plan does not reach back to that day.
        """
        symbol = _symbol(ticker)
        return self._calls.result(lambda: self._listing(symbol, on))

    def close(self) -> None:
        """Cancel requests in progress, and close the session, the cache and the budget's file."""
        self._stop.cancel()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _gathered(self, symbol: str, listed: list[SplitRecord], paid: list[DividendRecord]) -> Events:
        splits, rejected = splits_of(listed, symbol)
        dividends, more = dividends_of(paid, symbol)
        notices = [*rejected, *more]
        if _DIVIDENDS.subject in self._older and _splits_follow(splits, dividends):
            notices.append(
                f"the dividends of {symbol} are from {_DIVIDENDS.older_path}, where amounts before a split have been "
                "seen divided by it; compare one of them with what was declared"
            )
        return gather(splits, dividends, self._masked(notices))

    def _renames(self, symbol: str) -> Renames:
        target = f"/vX/reference/tickers/{symbol}/events?types=ticker_change"
        try:
            page = self._one(self._request(symbol, "ticker changes"), target, EventsRecord)
        except SymbolNotFoundError:
            self._responded = True
            return Renames()
        found = renames_of(page.results, symbol)
        return evolve(found, notices=self._masked(found.notices))

    def _listing(self, symbol: str, on: date | None) -> Listing | None:
        request = self._request(symbol, "ticker details")
        target = f"{_TICKERS}/{symbol}" + (f"?date={on}" if on else "")
        try:
            if on and self._refused and on <= self._refused[0]:
                raise self._refused[1]  # the plan does not reach back to it
            page = self._one(request, target, TickerRecord, lasting=on is not None)
        except SymbolNotFoundError:
            return listing_among(self._delisted(request, symbol), on)
        except PlanLimitError as error:
            if on is None:
                raise
            if self._refused is None or on > self._refused[0]:
                self._refused = on, error
            found = listing_among(self._delisted(request, symbol), on)
            if found is None:
                raise
            return found
        if page.results is None:
            raise bad_response(request, "it has no results", page.id)
        return listing_of(page.results)

    def _delisted(self, request: ReferenceRequest, symbol: str) -> list[TickerRecord]:
        """The delisted shares that had a ticker; the details endpoint has only those that had it on the day."""
        target = f"{_TICKERS}?ticker={symbol}&active=false&limit=1000"
        return self._all(request, _TICKERS, target, TickerRecord)

    def _request(self, ticker: str, subject: str) -> ReferenceRequest:
        return ReferenceRequest(ticker=ticker, subject=subject, refresh=self._context.refresh)

    def _listed(self, listed: _ListEndpoint[Record], symbol: str) -> list[Record]:
        """Return all records, from the older address if the newer one is not served to this key."""
        request = self._request(symbol, listed.subject)
        refusal: PlanLimitError | SymbolNotFoundError | None = None
        if listed.subject not in self._older:
            try:
                return self._all(request, listed.path, listed.target(symbol), listed.record)
            except (PlanLimitError, SymbolNotFoundError) as error:
                refusal = error
        found = self._all(request, listed.older_path, listed.older_target(symbol), listed.record)
        if refusal is not None:
            self._older.add(listed.subject)
            message = (
                f"Polygon does not serve {listed.path} to this key (status {refusal.status}); "
                f"{listed.older_path} is requested instead, which it calls deprecated"
            )
            self._stream.emit(Event(kind="notice", symbol="", message=message))
        return found

    def _all(self, request: ReferenceRequest, path: str, target: str, record: type[Record]) -> list[Record]:
        """Return the records of all pages, which are cached once all of them have arrived."""
        client = self._client()
        read = partial(read_reference_page, request=request, kind=list[record])  # type: ignore[valid-type]
        fetched: list[Any] = []
        targets: list[str] = [target]
        try:
            while len(targets) > len(fetched):
                fetched.append(client.get(request, targets[-1], read))
                self._responded |= not fetched[-1].from_cache
                page: ReferencePage[list[Record]] = fetched[-1].page
                after = next_page(request, page.next_url, path, self._config.api_url, targets, page.id)
                targets += [after] if after is not None else []
                check_pages(request, len(targets), page.id)
                check_size(sum(len(one.response.content) for one in fetched), request)
        except BadResponseError:
            if not any(one.from_cache for one in fetched):
                raise
            return self._all(evolve(request, refresh=True), path, target, record)  # the cached pages cannot be used
        for one in fetched:
            client.store(one, self._rest_of_day())
        return [found for one in fetched for found in one.page.results or ()]

    def _one(
        self, request: ReferenceRequest, target: str, record: type[Result], *, lasting: bool = False
    ) -> ReferencePage[Result]:
        """Return the one page of a response. It is cached for the day, or for `_LASTING` if it is about the past."""
        client = self._client()
        fetched = client.get(request, target, partial(read_reference_page, request=request, kind=record))
        self._responded |= not fetched.from_cache
        client.store(fetched, _LASTING if lasting else self._rest_of_day())
        return fetched.page

    def _rest_of_day(self) -> timedelta:
        now = self._context.clock()
        tomorrow = now.astimezone(NEW_YORK).date() + timedelta(days=1)
        return timedelta(seconds=midnight(tomorrow) / 1000 - now.timestamp())

    def _client(self) -> PolygonClient:
        self._config.require_key()
        with self._lock:
            if self._stop.cancelled:
                raise Cancelled("cancelled before a request was sent to Polygon")
            if self._connection is None:
                self._connection = Connection(
                    self._config,
                    self._context.state_folder,
                    cache=reference_cache,
                    events=self._stream,
                    pause=self._pause,
                    cancelled=lambda: self._stop.cancelled,
                )
            return self._connection.client

    def _masked(self, notices: Iterable[str]) -> tuple[str, ...]:
        """Remove the API key, which the vendor's text may contain, from notices."""
        return tuple(mask_secrets(notice, [self._config.api_key]) for notice in notices)


def _splits_follow(splits: Sequence[tuple[str, Split]], dividends: Sequence[tuple[str, Dividend]]) -> bool:
    """Return whether a dividend precedes a split."""
    last_split = max((split.ex_date for _, split in splits), default=date.min)
    return any(paid.ex_date < last_split for _, paid in dividends)


def _symbol(ticker: str) -> str:
    try:
        return parse_symbol(ticker)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
