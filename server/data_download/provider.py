"""The contract between the host and a provider of market data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import field, frozen, validators

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import EventStream
from server.data_download.availability import Gap
from server.lean.bars import Bars
from server.lean.series import DataType, Resolution, SecurityType, Series
from server.trading_calendar import USEquityTradingCalendar


def _set_of(member: type) -> Any:
    return validators.deep_iterable(validators.instance_of(member), validators.instance_of(frozenset))


@frozen(kw_only=True)
class Capabilities:
    """What a provider can deliver, and in which order it wants gaps.

    Attributes:
        order: ``symbol`` where a request covers days of one series; the host then passes the gaps of as many series at
            a time as it may lock. ``day`` where a request covers one day of a whole market; the host then passes all
            gaps of the download at once, under one lock.
    """

    resolutions: frozenset[Resolution] = field(validator=_set_of(Resolution))
    data_types: frozenset[DataType] = field(default=frozenset({DataType.TRADE}), validator=_set_of(DataType))
    security_types: frozenset[SecurityType] = field(
        default=frozenset({SecurityType.EQUITY}), validator=_set_of(SecurityType)
    )
    markets: frozenset[str] = field(default=frozenset({"usa"}), validator=_set_of(str))
    order: Literal["symbol", "day"] = field(default="symbol", validator=validators.in_(("symbol", "day")))

    def include(self, series: Series) -> bool:
        """Whether the provider can deliver a series."""
        return (
            series.resolution in self.resolutions
            and series.data_type in self.data_types
            and series.security_type in self.security_types
            and series.market in self.markets
        )


class DataSink(Protocol):
    """Where a provider delivers what it fetched. All methods may be called from several threads at once."""

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        """Deliver all the bars of these trading days; settled days without bars are recorded as empty.

        Once it returns, the data is on disk. A day with a bad bar is not written: it has failed with a
        `BadResponseError` that names the bar and the field, and the other days are written. A bar is bad if a price is
        NaN, not above 0 or not below 1e9, open or close are outside low to high, or the volume is not from 0 to 1e15.

        Args:
            series: The series.
            days: Ascending, each once, all of them requested.
            bars: Ascending in time, within the days.

        Raises:
            BadResponseError: A bar is outside the days or out of order, a column has another length or type than
                `Bars` documents, or the series or a day was not requested.
            WriteFailedError: The files could not be written; the previous files are unchanged.
            Cancelled: The run is over; nothing more is accepted.
        """

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        """Deliver a zip in LEAN's format.

        The host checks the whole file, takes the rows of requested days and nothing else, and does not change the file.

        Args:
            series: The series.
            day: The day of a file that holds one day. For a file of all days: the one day to take from it, or None for
                all requested days.
            path: The zip.

        Raises:
            BadResponseError: The file is not what LEAN would have written for that series and day, has no row of that
                day, or the series or day was not requested.
            WriteFailedError, Cancelled: As for `bars`.
        """

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        """Report that these days cannot be fetched now, and why. They are never recorded as empty."""

    @property
    def events(self) -> EventStream:
        """Where requests, retries, waits and notices are emitted; the host counts them for the report."""

    @property
    def cancelled(self) -> bool:
        """Whether the provider should stop: it returns from `fetch` as soon as it can."""


class DataProvider(Protocol):
    """A source of bars, made by `ProviderSpec.create` for one download."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can deliver."""

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """One line for each request or command that `fetch` would make. Sends nothing, needs no key."""

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Fetch these days into the sink. May be called several times, with different gaps.

        Days it cannot fetch it reports through `sink.unavailable`, or it raises an error that then counts for every day
        not delivered. Afterwards the host checks the data folder: a day that is neither on disk nor known to be empty
        has failed.
        """

    def close(self) -> None:
        """Release connections and files. Called once, also after an error."""


@frozen(kw_only=True)
class ProviderContext:
    """What the host gives a provider.

    Attributes:
        refresh: For sources of corporate actions: cached responses are not used.
    """

    calendar: USEquityTradingCalendar
    data_folder: Path
    state_folder: Path
    clock: Callable[[], datetime]
    cancel: CancelToken
    refresh: bool = False
