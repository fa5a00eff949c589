"""The context of building factor and map files: folder, source, clock, and the lock of each symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.events import Event, EventStream
from server.corporate_actions.model import CorporateActionSource, Renames
from server.corporate_actions.paths import digest_of_files
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.findings import AcceptedDoubt, Findings
from server.data_download.ledger import CorporateCheck
from server.data_download.report import CORPORATE_ACTIONS
from server.lean.series import NEW_YORK
from server.trading_calendar import USEquityTradingCalendar

if TYPE_CHECKING:
    from server.corporate_actions.service import CorporateActions

PHASE = CORPORATE_ACTIONS
"""The phase of the events of this package."""

SETTLED_SESSIONS = 5
"""Sessions after a range from which on the vendor's list of its events counts as complete."""

_LOCK_POLL_SECONDS = 0.1
_FORWARDED_KINDS = ("request", "retry", "wait", "notice")


@frozen(kw_only=True)
class CorporateActionsContext:
    """Everything that building the files needs, not yet opened.

    Attributes:
        provider: The name of the provider whose source is used.
        open_source: Opens the source; the flag says whether cached responses are ignored.
        check: Raises a `BacktestServerError` if the provider cannot send requests at all; opens nothing.
        open_downloader: Creates a downloader of bars without accompanying steps, for closes.
        accepted: The doubts that the user accepts.
        clock: The instant now, in UTC.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    provider: str
    open_source: Callable[[CancelToken, EventStream, bool], CorporateActionSource]
    check: Callable[[], object]
    open_downloader: Callable[[EventStream], DataDownloader]
    accepted: frozenset[AcceptedDoubt] = frozenset()

    @property
    def today(self) -> date:
        """The day in New York; lists of events are requested once on each."""
        return self.clock().astimezone(NEW_YORK).date()

    def last_settled(self) -> date:
        """Return the newest session whose close is final."""
        now = self.clock()
        day = self.calendar.last_session(now)
        return day if self.calendar.settled(day, now) else self.calendar.previous_trading_day(day)

    def is_today(self, seconds: float) -> bool:
        """Return whether an instant, in seconds since 1970 UTC, was today."""
        return datetime.fromtimestamp(seconds, NEW_YORK).date() == self.today

    def is_recent(self, seconds: float, within: timedelta) -> bool:
        """Return whether an instant, in seconds since 1970 UTC, is past, and not longer ago than this."""
        return 0 <= self.clock().timestamp() - seconds <= within.total_seconds()

    def is_past(self, seconds: float) -> bool:
        """Return whether an instant is past; a clock that was ahead leaves later ones."""
        return seconds <= self.clock().timestamp()

    def is_settled(self, day: date, seconds: float) -> bool:
        """Return whether an instant, in seconds since 1970 UTC, was five or more sessions after a day."""
        asked = min(datetime.fromtimestamp(seconds, NEW_YORK).date(), self.calendar.last_day)
        first = max(day + timedelta(days=1), self.calendar.first_day)
        return day < asked and len(self.calendar.trading_days(first, asked)) >= SETTLED_SESSIONS

    def record(
        self,
        symbol: str,
        *,
        compared: tuple[date, date] | None,
        since: date | None = None,
        made: bool = True,
        trouble: str = "",
        findings: Findings | None = None,
    ) -> None:
        """Store the result of a check made now in the ledger (see `CorporateCheck`).

        A failure keeps what an earlier check of the same provider found, and for which days.

        Raises:
            WriteFailedError: The ledger cannot be written.
        """
        now = self.clock().timestamp()
        earlier = self.folder.ledger.corporate_checks([symbol]).get(symbol) if trouble else None
        if earlier is not None and earlier.provider == self.provider:
            self.folder.ledger.record_corporate_check(symbol, evolve(earlier, trouble=trouble, failed_at=now))
            return
        check = CorporateCheck(
            provider=self.provider,
            checked_at=now,
            failed_at=now if trouble else 0.0,
            asked_from=compared[0] if compared else None,
            asked_through=compared[1] if compared else None,
            since=since,
            made=made,
            trouble=trouble,
            findings=findings or Findings(),
            files=b"" if findings is None else digest_of_files(self.folder.path, symbol),
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
        extend: bool = False,
        renames: dict[str, Renames] | None = None,
    ) -> Iterator[CorporateActions]:
        """Open the source, and close it at the end; an event is emitted for each request.

        Args:
            events: Receives what happens.
            cancel: Stops the work when cancelled.
            refresh: Whether cached responses are ignored.
            replace: Whether foreign files are replaced.
            extend: Whether later events are added to foreign files.
            renames: Known ticker changes by symbol.
        """
        from server.corporate_actions.closes import DailyBars
        from server.corporate_actions.service import CorporateActions

        own = events.scoped(phase=PHASE)

        def forward(event: Event, /) -> None:
            if event.kind in _FORWARDED_KINDS:
                own.emit(event)

        source = self.open_source(cancel, own, refresh)
        try:
            yield CorporateActions(
                folder=self.folder,
                calendar=self.calendar,
                source=source,
                bars=DailyBars(self.open_downloader(EventStream(self.clock, [forward])), cancel, self.folder.path),
                last_day=self.last_settled(),
                replace=replace,
                extend=extend,
                renames={} if renames is None else renames,
            )
        finally:
            source.close()

    @contextmanager
    def locked(self, symbol: str, events: EventStream, cancel: CancelToken) -> Iterator[None]:
        """Hold the symbol's lock; while another process holds it, wait.

        Raises:
            Cancelled: It was cancelled before the lock was free.
        """
        from server.lean.layout import FACTOR_FILES, MAP_FILES

        waited = False
        while not cancel.cancelled:
            with self.folder.locks.take_texts(symbol, (FACTOR_FILES, MAP_FILES)) as locked:
                if locked:
                    yield
                    return
            if not waited:
                message = f"another process is building the factor file of {symbol}; waiting for it"
                events.emit(Event(kind="wait", phase=PHASE, message=message))
                waited = True
            cancel.wait(_LOCK_POLL_SECONDS)
        raise Cancelled(f"cancelled before the factor file of {symbol} was built")
