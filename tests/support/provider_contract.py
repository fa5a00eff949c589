"""What every provider owes the host: subclass `ProviderContract`, give it the fixtures, and these tests run.

    class TestMine(ProviderContract):
        @pytest.fixture
        def subject(self, tmp_path): return Subject(open=…, symbol="SPY", days=…, …)

The suite looks at a provider through the contract only: it gives it gaps and a sink that notes what it is given.
"""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from attrs import Factory, define, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event, EventStream
from server.data_download.availability import Gap
from server.data_download.provider import DataProvider
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from tests.support.patience import PATIENCE

NEW_YORK = ZoneInfo("America/New_York")


@frozen(kw_only=True)
class Subject:
    """A provider under test and what it can be asked for.

    Attributes:
        open: Makes the provider.
        symbol: A symbol with bars at each of `resolutions` on each of `days`.
        days: At least three trading days in a row, ascending.
        resolutions: The resolutions to try.
        without: A symbol of which there is nothing at all.
        secret: The key; it must be seen nowhere.
        slow: Makes whatever the provider asks take many seconds from now on.
        broken: Makes whatever the provider asks fail from now on.
        contacts: How often the provider turned to whatever it asks (requests, commands) so far.
    """

    open: Callable[[CancelToken], DataProvider]
    symbol: str
    days: tuple[date, ...]
    resolutions: tuple[Resolution, ...]
    without: str
    secret: str
    slow: Callable[[], None]
    broken: Callable[[], None]
    contacts: Callable[[], int]

    def series(self) -> list[Series]:
        """The series of the symbol, one for each resolution."""
        return [Series(self.symbol, resolution) for resolution in self.resolutions]


@define
class NotingSink:
    """Notes what a provider hands over: the days, and how many rows each has."""

    token: CancelToken = Factory(CancelToken)
    days: dict[Series, list[date]] = Factory(dict)
    rows: dict[tuple[Series, date], int] = Factory(dict)
    missing: dict[tuple[Series, date], BacktestServerError] = Factory(dict)
    seen: list[Event] = Factory(list)
    after_close: list[str] = Factory(list)
    wanted: set[tuple[Series, date]] = Factory(set)
    closed: bool = False
    _lock: threading.Lock = field(factory=threading.Lock)

    @property
    def cancelled(self) -> bool:
        """Whether the test stopped the run."""
        return self.token.cancelled

    @property
    def events(self) -> EventStream:
        """Keeps what the provider emits."""
        return EventStream(lambda: datetime.now(UTC), [self.seen.append])

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        """Note the days and count each one's bars."""
        self._note("bars")
        assert list(days) == sorted(set(days))
        assert (np.diff(bars.time) > 0).all()
        counts: dict[date, int] = dict.fromkeys(days, 0)
        for moment in bars.time.tolist():
            counts[datetime.fromtimestamp(moment / 1000, NEW_YORK).date()] += 1
        self._take(series, counts)

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        """Note the days of a file and count each one's rows."""
        self._note("lean_file")
        with zipfile.ZipFile(path) as archive:
            rows = archive.read(archive.namelist()[0]).decode().split("\n")
        if day is not None:
            self._take(series, {day: len(rows)})
        else:
            days = [datetime.strptime(row[:8], "%Y%m%d").date() for row in rows]
            self._take(series, {found: 1 for found in days if (series, found) in self.wanted})

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        """Note the reason."""
        with self._lock:
            self.missing.update({(series, day): error for day in days})

    def delivered(self, series: Series) -> list[date]:
        """The days that came, in the order in which they came."""
        return self.days.get(series, [])

    def _note(self, what: str) -> None:
        if self.closed:
            self.after_close.append(what)

    def _take(self, series: Series, counts: dict[date, int]) -> None:
        with self._lock:
            self.days.setdefault(series, []).extend(counts)
            self.rows.update({(series, day): count for day, count in counts.items()})


def gap_of(series: Series, days: Sequence[date]) -> Gap:
    """A gap of these days."""
    return Gap(series=series, days=tuple(days))


class ProviderContract:
    """The suite. A subclass must override the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> Subject:
        """The provider under test."""
        pytest.fail(f"{type(self).__name__} must override the fixture `subject`")

    def fetch(self, subject: Subject, gaps: Sequence[Gap], sink: NotingSink | None = None) -> NotingSink:
        """Fetch, as the host does: an error that is raised is the reason for every day not delivered."""
        sink = sink or NotingSink()
        sink.wanted |= {(gap.series, day) for gap in gaps for day in gap.days}
        provider = subject.open(sink.token)
        try:
            provider.fetch(gaps, sink)
        except BacktestServerError as error:
            for gap in gaps:
                came = sink.delivered(gap.series)
                sink.unavailable(gap.series, [day for day in gap.days if day not in came], error)
        finally:
            sink.closed = True
            provider.close()
        return sink

    def test_its_resolutions_are_resolutions(self, subject: Subject) -> None:
        """A set of `Resolution`, those under test among them."""
        provider = subject.open(CancelToken())

        assert isinstance(provider.capabilities.resolutions, frozenset)
        assert set(subject.resolutions) <= provider.capabilities.resolutions <= set(Resolution)
        provider.close()

    def test_opening_and_closing_asks_for_nothing(self, subject: Subject) -> None:
        """Closing twice does no harm."""
        provider = subject.open(CancelToken())
        provider.close()
        provider.close()

        assert subject.contacts() == 0

    def test_the_plan_has_lines_and_asks_for_nothing(self, subject: Subject) -> None:
        """At least a line for a gap, none for nothing, one line each, without the key."""
        provider = subject.open(CancelToken())
        for series in subject.series():
            lines = provider.plan([gap_of(series, subject.days)])

            assert lines
            assert all(line.strip() and "\n" not in line for line in lines)
            assert subject.secret.lower() not in "".join(lines).lower()
        assert list(provider.plan([])) == []
        provider.close()
        assert subject.contacts() == 0

    def test_no_gaps_are_fetched_by_doing_nothing(self, subject: Subject) -> None:
        """Nothing is delivered and no request is sent."""
        sink = self.fetch(subject, [])

        assert (sink.days, sink.missing) == ({}, {})
        assert subject.contacts() == 0

    def test_all_wanted_days_come_once(self, subject: Subject) -> None:
        """Each with bars, none twice, no other day."""
        for series in subject.series():
            sink = self.fetch(subject, [gap_of(series, subject.days)])

            assert sorted(sink.delivered(series)) == list(subject.days)
            assert all(sink.rows[series, day] > 0 for day in subject.days)
            assert sink.missing == {}

    def test_days_between_that_are_not_wanted_do_not_come(self, subject: Subject) -> None:
        """The first and the last day are wanted, those between are not."""
        for series in subject.series():
            wanted = [subject.days[0], subject.days[-1]]
            sink = self.fetch(subject, [gap_of(series, wanted)])

            assert sorted(sink.delivered(series)) == wanted

    def test_a_day_is_the_same_however_it_is_asked_for(self, subject: Subject) -> None:
        """By itself or with its neighbours, it has the same number of bars."""
        for series in subject.series():
            together = self.fetch(subject, [gap_of(series, subject.days)])
            alone = self.fetch(subject, [gap_of(series, subject.days[1:2])])

            key = (series, subject.days[1])
            assert alone.rows == {key: together.rows[key]}

    def test_a_symbol_without_bars_is_no_error(self, subject: Subject) -> None:
        """Its days are delivered without bars or reported with a reason, and the other symbol's come."""
        for series in subject.series():
            without = Series(subject.without, series.resolution)
            gaps = [gap_of(one, subject.days) for one in (without, series)]
            sink = self.fetch(subject, gaps)

            assert sorted(sink.delivered(series)) == list(subject.days)
            for day in subject.days:
                key = (without, day)
                assert sink.rows.get(key) == 0 or isinstance(sink.missing.get(key), BacktestServerError)

    def test_what_fails_is_reported_with_a_reason(self, subject: Subject) -> None:
        """Every day is accounted for, in one line of text that does not show the key."""
        subject.broken()
        series = subject.series()[0]
        sink = self.fetch(subject, [gap_of(series, subject.days)])

        assert {day for _, day in sink.missing} == set(subject.days)
        for error in sink.missing.values():
            assert str(error).strip()
            assert "\n" not in str(error)
            assert subject.secret.lower() not in f"{error} {error!r}".lower()

    def test_a_cancelled_run_returns_soon(self, subject: Subject) -> None:
        """In the middle of something slow: it is not waited for, and nothing is handed over afterwards."""
        subject.slow()
        sink = NotingSink()
        timer = threading.Timer(0.3, sink.token.cancel)
        timer.start()
        started = time.monotonic()
        self.fetch(subject, [gap_of(subject.series()[0], subject.days)], sink)
        elapsed = time.monotonic() - started
        timer.cancel()

        assert 0.1 < elapsed < PATIENCE
        assert sink.days == {}
        assert sink.after_close == []

    def test_a_run_that_was_cancelled_before_asks_for_nothing(self, subject: Subject) -> None:
        """Nothing is begun."""
        sink = NotingSink()
        sink.token.cancel()
        self.fetch(subject, [gap_of(subject.series()[0], subject.days)], sink)

        assert sink.days == {}
        assert subject.contacts() == 0

    def test_the_key_is_not_exposed(self, subject: Subject) -> None:
        """Neither by the provider's own repr nor in the events that it emits."""
        sink = NotingSink()
        provider = subject.open(sink.token)
        provider.fetch([gap_of(subject.series()[0], subject.days)], sink)
        shown = repr(provider) + str(provider) + "".join(map(repr, sink.seen))
        provider.close()

        assert subject.secret.lower() not in shown.lower()
