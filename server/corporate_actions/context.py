"""What the making of factor and map files needs, put together for one run, and who may do it at one time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.events import Event, EventStream
from server.corporate_actions.model import CorporateActionSource, Renames
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.ledger import CorporateCheck
from server.data_download.report import CORPORATE_ACTIONS, CorporateFiles
from server.lean.layout import EQUITY_USA
from server.lean.series import NEW_YORK
from server.trading_calendar import USEquityTradingCalendar

if TYPE_CHECKING:
    from server.corporate_actions.service import CorporateActions

PHASE = CORPORATE_ACTIONS
"""The phase of events of this work."""

_LOCK_POLL_SECONDS = 0.1
_AT_ONCE = 5
"""Symbols that are worked on at once; how many requests are on the wire is the provider's business."""

_Result = TypeVar("_Result")

_PASSED_ON = ("request", "retry", "wait", "notice")


@frozen(kw_only=True)
class Work:
    """Everything that is needed to make the files, not yet opened.

    Attributes:
        provider: The name of who is asked.
        open_source: Opens the source; the flag says whether kept answers are passed over.
        check: Raises a `BacktestServerError` where the provider cannot ask at all; opens nothing.
        daily: A downloader of bars alone, for closes.
        clock: The instant now, in UTC.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    provider: str
    open_source: Callable[[CancelToken, EventStream, bool], CorporateActionSource]
    check: Callable[[], object]
    daily: Callable[[EventStream], DataDownloader]

    @property
    def today(self) -> date:
        """The day in New York: what is listed is asked for once on each."""
        return self.clock().astimezone(NEW_YORK).date()

    def last_settled(self) -> date:
        """The newest session whose close is known for good."""
        now = self.clock()
        day = self.calendar.last_session(now)
        return day if self.calendar.settled(day, now) else self.calendar.previous_trading_day(day)

    def same_day(self, seconds: float) -> bool:
        """Whether an instant, in seconds since 1970 UTC, was today."""
        return datetime.fromtimestamp(seconds, NEW_YORK).date() == self.today

    def lately(self, seconds: float, within: timedelta) -> bool:
        """Whether an instant, in seconds since 1970 UTC, was not longer ago than this."""
        return self.clock().timestamp() - seconds <= within.total_seconds()

    def record(
        self, symbol: str, *, asked_from: date, since: date | None = None, made: bool = True, trouble: str = ""
    ) -> None:
        """Remember a check that was made now (see `CorporateCheck`).

        Raises:
            WriteFailedError: The ledger cannot be written.
        """
        check = CorporateCheck(
            provider=self.provider,
            checked_at=self.clock().timestamp(),
            asked_from=asked_from,
            since=since,
            made=made,
            trouble=trouble,
        )
        self.folder.ledger.record_corporate_check(symbol, check)

    @contextmanager
    def opened(
        self,
        events: EventStream,
        cancel: CancelToken,
        *,
        refresh: bool = False,
        replace: bool = False,
        told: dict[str, Renames] | None = None,
    ) -> Iterator[CorporateActions]:
        """The service with its source open; both tell of each request that they send.

        Args:
            refresh: Whether answers kept from before are passed over.
            replace, told: See `CorporateActions`.
        """
        from server.corporate_actions.closes import DailyBars
        from server.corporate_actions.service import CorporateActions

        own = events.scoped(phase=PHASE)

        def pass_on(event: Event, /) -> None:
            if event.kind in _PASSED_ON:
                own.emit(event)

        source = self.open_source(cancel, own, refresh)
        try:
            yield CorporateActions(
                folder=self.folder,
                calendar=self.calendar,
                source=source,
                bars=DailyBars(self.daily(EventStream(self.clock, [pass_on])), cancel),
                last_day=self.last_settled(),
                replace=replace,
                told={} if told is None else told,
            )
        finally:
            source.close()

    @contextmanager
    def alone(self, symbol: str, events: EventStream, cancel: CancelToken) -> Iterator[None]:
        """Hold the symbol's lock; another run that holds it is waited for.

        Raises:
            Cancelled: It was cancelled meanwhile.
        """
        from server.corporate_actions.paths import FACTOR_FILES, MAP_FILES

        waited = False
        while not cancel.cancelled:
            with self.folder.locks.take_texts(symbol, (FACTOR_FILES, MAP_FILES)) as mine:
                if mine:
                    yield
                    return
            if not waited:
                message = f"another run makes the factor file of {symbol}; waiting for it"
                events.emit(Event(kind="wait", phase=PHASE, message=message))
                waited = True
            cancel.wait(_LOCK_POLL_SECONDS)
        raise Cancelled(f"stopped before the factor file of {symbol} was made")


def ignored_for(root: Path, found: Sequence[CorporateFiles]) -> str | None:
    """A notice where files were written, and zips lie beside them that LEAN may read in their place.

    Source: LEAN, ``LocalZipMapFileProvider`` and ``LocalZipFactorFileProvider``.
    """
    if not any("written" in (files.factor_file, files.map_file) for files in found):
        return None
    usa = root / EQUITY_USA
    zips = [*usa.glob("factor_files/factor_files_*.zip"), *usa.glob("map_files/map_files_*.zip")]
    if not zips:
        return None
    return (
        f"{max(zips)} lies beside the files: a LEAN that is set up with LocalZipMapFileProvider or "
        "LocalZipFactorFileProvider reads such zips and ignores the csv files; name the disk providers in its lean.json"
    )


def first_alone(symbols: Sequence[str], make: Callable[[str], _Result]) -> Iterator[_Result]:
    """The results in order: of the first symbol before any other is begun, in case nobody can be asked at all."""
    from concurrent.futures import ThreadPoolExecutor

    if symbols:
        yield make(symbols[0])
    if len(symbols) > 1:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="corporate-actions") as pool:
            yield from pool.map(make, symbols[1:])
