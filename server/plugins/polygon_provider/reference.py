"""Splits, dividends, ticker changes and ticker details, asked of the vendor as bars are: one client for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from datetime import date, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import Event, EventStream
from server.core.secret import mask_secrets
from server.corporate_actions.events import gather
from server.corporate_actions.model import Dividend, Events, Listing, Renames, Split
from server.data_download.errors import BadResponseError, PlanLimitError, SymbolNotFoundError
from server.data_download.provider import ProviderContext
from server.lean.days import midnight
from server.lean.series import NEW_YORK, parse_symbol
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.connection import Connection
from server.plugins.polygon_provider.reference_responses import (
    Answer,
    DividendRecord,
    EventsRecord,
    Record,
    ReferenceQuestion,
    SplitRecord,
    TickerRecord,
    dividends_of,
    last_listing_of,
    listing_of,
    read_answer,
    renames_of,
    splits_of,
)
from server.plugins.polygon_provider.requests import bad_answer, following

MAX_PAGES = 100
"""Pages of one list; no ticker has so many events that this is the end of an honest list."""

_POLL_SECONDS = 0.1
_TICKERS = "/v3/reference/tickers"

Result = TypeVar("Result")


@frozen
class _Listed(Generic[Record]):
    """What is listed at one of two addresses, the newer of which not every server and key knows."""

    subject: str
    record: type[Record]
    path: str
    older_path: str
    day: str

    def target(self, symbol: str) -> str:
        return f"{self.path}?ticker={symbol}&limit=5000&sort={self.day}.asc"

    def older_target(self, symbol: str) -> str:
        return f"{self.older_path}?ticker={symbol}&limit=1000&order=asc&sort={self.day}"


_SPLITS = _Listed("splits", SplitRecord, "/stocks/v1/splits", "/v3/reference/splits", "execution_date")
_DIVIDENDS = _Listed("dividends", DividendRecord, "/stocks/v1/dividends", "/v3/reference/dividends", "ex_dividend_date")


class PolygonReference:
    """The vendor's corporate actions. See `CorporateActionSource` for what its methods promise.

    Answers are kept until the end of the day in New York: what is listed changes.
    """

    def __init__(
        self,
        config: PolygonConfig,
        context: ProviderContext,
        events: EventStream,
        *,
        refresh: bool = False,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        """Open nothing.

        Args:
            refresh: Whether kept answers are passed over.
            pause: Replaces waiting; it sleeps and says whether the run was cancelled.
        """
        self._config = config
        self._context = context
        self._stream = events
        self._refresh = refresh
        self._stop = context.cancel.child()
        self._pause = pause or self._stop.wait
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._older: set[str] = set()

    def events(self, ticker: str) -> Events:
        """All splits and dividends that the vendor lists under this ticker, those announced for later days too.

        Raises:
            BacktestServerError: As `PolygonClient.get`; ConfigurationError if it is no ticker.
        """
        symbol = _symbol(ticker)
        return self._promptly(lambda: self._events(symbol))

    def renames(self, ticker: str) -> Renames:
        """The tickers of the share that now trades, or last traded, as `ticker`.

        Raises:
            BacktestServerError: As for `events`.
        """
        symbol = _symbol(ticker)
        return self._promptly(lambda: self._renames(symbol))

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """Reference data of the ticker; None where the vendor does not know it, or not on that day.

        Of a ticker that no share has now, the share that had it last. See `listing_of` for what ``delisted`` means.

        Raises:
            BacktestServerError: As for `events`. A PlanLimitError where the plan does not reach back to that day.
        """
        symbol = _symbol(ticker)
        return self._promptly(lambda: self._listing(symbol, on))

    def close(self) -> None:
        """Close the session, the cache and the budget's file; whoever still waits is told that it is over."""
        self._stop.cancel()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _events(self, symbol: str) -> Events:
        splits, doubts = splits_of(self._listed(_SPLITS, symbol), symbol)
        dividends, more = dividends_of(self._listed(_DIVIDENDS, symbol), symbol)
        notices = [*doubts, *more]
        if _DIVIDENDS.subject in self._older and _splits_follow(splits, dividends):
            notices.append(
                f"the dividends of {symbol} are from {_DIVIDENDS.older_path}, where amounts before a split have been "
                "seen divided by it; compare one of them with what was declared"
            )
        return gather(splits, dividends, self._masked(notices))

    def _renames(self, symbol: str) -> Renames:
        target = f"/vX/reference/tickers/{symbol}/events?types=ticker_change"
        try:
            answer = self._one(self._question(symbol, "ticker changes"), target, EventsRecord)
        except SymbolNotFoundError:
            return Renames()
        found = renames_of(answer.results, symbol)
        return evolve(found, notices=self._masked(found.notices))

    def _listing(self, symbol: str, on: date | None) -> Listing | None:
        question = self._question(symbol, "ticker details")
        try:
            answer = self._one(question, f"{_TICKERS}/{symbol}" + (f"?date={on}" if on else ""), TickerRecord)
        except SymbolNotFoundError:
            if on is not None:
                return None
            # The details are those of tickers in use; the list also has those that no share has any more.
            target = f"{_TICKERS}?ticker={symbol}&active=false&limit=1000"
            return last_listing_of(self._all(question, _TICKERS, target, TickerRecord))
        if answer.results is None:
            raise bad_answer(question, "it has no results", answer.id)
        return listing_of(answer.results)

    # --- asking ---

    def _question(self, symbol: str, subject: str) -> ReferenceQuestion:
        return ReferenceQuestion(symbol=symbol, subject=subject, refresh=self._refresh)

    def _listed(self, listed: _Listed[Record], symbol: str) -> list[Record]:
        """All records, from the older address where the newer one is not served to this key."""
        question = self._question(symbol, listed.subject)
        refusal: PlanLimitError | SymbolNotFoundError | None = None
        if listed.subject not in self._older:
            try:
                return self._all(question, listed.path, listed.target(symbol), listed.record)
            except (PlanLimitError, SymbolNotFoundError) as error:
                refusal = error
        found = self._all(question, listed.older_path, listed.older_target(symbol), listed.record)
        if refusal is not None:
            self._older.add(listed.subject)
            message = (
                f"Polygon does not serve {listed.path} to this key (status {refusal.status}); "
                f"{listed.older_path} is requested instead, which it calls deprecated"
            )
            self._stream.emit(Event(kind="notice", symbol="", message=message))
        return found

    def _all(self, question: ReferenceQuestion, path: str, target: str, record: type[Record]) -> list[Record]:
        """The records of all pages, kept for the day once all of them have arrived."""
        client = self._client()
        read = partial(read_answer, question=question, kind=list[record])  # type: ignore[valid-type]
        answers: list[Any] = []
        targets: list[str] = [target]
        try:
            while len(targets) > len(answers):
                answers.append(client.get(question, targets[-1], read))
                page: Answer[list[Record]] = answers[-1].page
                after = following(question, page.next_url, path, self._config.api_url, targets, page.id)
                if after is not None:
                    targets.append(after)
                if len(targets) > MAX_PAGES:
                    raise bad_answer(question, f"it goes on after {MAX_PAGES} pages", page.id)
        except BadResponseError:
            if not any(answer.from_cache for answer in answers):
                raise
            return self._all(evolve(question, refresh=True), path, target, record)  # what was kept leads nowhere
        for answer in answers:
            client.keep(answer, self._rest_of_day())
        return [found for answer in answers for found in answer.page.results or ()]

    def _one(self, question: ReferenceQuestion, target: str, record: type[Result]) -> Answer[Result]:
        client = self._client()
        answer = client.get(question, target, partial(read_answer, question=question, kind=record))
        client.keep(answer, self._rest_of_day())
        return answer.page

    def _rest_of_day(self) -> timedelta:
        now = self._context.clock()
        tomorrow = now.astimezone(NEW_YORK).date() + timedelta(days=1)
        return timedelta(seconds=midnight(tomorrow) / 1000 - now.timestamp())

    def _client(self) -> PolygonClient:
        self._config.require_key()
        with self._lock:
            if self._stop.cancelled:
                raise Cancelled("stopped before Polygon was asked")
            if self._connection is None:
                self._connection = Connection(
                    self._config,
                    self._context.state_folder,
                    events=self._stream,
                    pause=self._pause,
                    cancelled=lambda: self._stop.cancelled,
                )
            return self._connection.client

    def _masked(self, notices: Iterable[str]) -> Any:
        """Sentences without the key, which the vendor's words in them may hold."""
        return tuple(mask_secrets(notice, [self._config.api_key]) for notice in notices)

    def _promptly(self, work: Callable[[], Result]) -> Result:
        """Do the work in a thread of its own, so that a cancelled run waits for no vendor that does not answer."""
        future: Future[Result] = Future()
        threading.Thread(target=self._fulfil, args=(future, work), name="polygon-reference", daemon=True).start()
        while not wait([future], _POLL_SECONDS).done:
            if self._stop.cancelled:
                raise Cancelled("stopped while Polygon was asked")
        return future.result()

    def _fulfil(self, future: Future[Result], work: Callable[[], Result]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            if isinstance(error, BacktestServerError):
                error.args = self._masked(map(str, error.args))
            future.set_exception(error)


def _splits_follow(splits: Sequence[tuple[str, Split]], dividends: Sequence[tuple[str, Dividend]]) -> bool:
    """Whether there is a dividend before a split."""
    if not splits or not dividends:
        return False
    return min(paid.ex_date for _, paid in dividends) < max(split.ex_date for _, split in splits)


def _symbol(ticker: str) -> str:
    try:
        return parse_symbol(ticker)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
