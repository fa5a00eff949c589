"""What a provider is to the host, and what the host is to a provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import EventKind
from server.data_download.model import Gap
from server.lean.bars import Bars
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

if TYPE_CHECKING:
    from server.data_download.workers import Task


class DataSink(Protocol):
    """Where a provider puts what it fetched. All methods may be called from several threads at once."""

    def bars(self, symbol: str, resolution: Resolution, days: Sequence[date], bars: Bars | Task) -> None:
        """Hand over all the bars there are for these trading days; days without bars are remembered as empty.

        The bars may be what a task of `Workers` holds: then they are written where they are.

        Once it returns, the data is on disk.

        Raises:
            BadResponseError: A bar lies outside the days or out of order, or a day was not asked for.
            WriteFailedError: The files could not be written; what stood there still stands.
            Cancelled: The run is over; nothing more is taken.
        """

    def lean_file(self, symbol: str, resolution: Resolution, day: date | None, path: Path) -> None:
        """Hand over a zip in LEAN's format, for one day or (day None) a daily zip whose rows are merged in.

        The host verifies it, takes only the days it asked for, and leaves the file at `path` alone.

        Raises:
            BadResponseError: The file is not what LEAN would have written for that day.
            WriteFailedError, Cancelled: As for `bars`.
        """

    def unavailable(
        self, symbol: str, resolution: Resolution, days: Sequence[date], error: BacktestServerError
    ) -> None:
        """Say that these days cannot be had now, and why. They are never remembered as empty."""

    def progress(
        self,
        kind: EventKind,
        *,
        symbol: str | None = None,
        bytes: int = 0,
        api_calls: int = 0,
        cache_hits: int = 0,
        retries: int = 0,
        status: int | None = None,
        wait_seconds: float = 0.0,
        message: str = "",
    ) -> None:
        """Tell whoever watches (see `EventKind`); the host counts what the report needs from here."""

    @property
    def cancelled(self) -> bool:
        """Whether the provider should stop: it returns from `fetch` as soon as it can."""


class DataProvider(Protocol):
    """A source of bars, made by `ProviderSpec.create` for one download at a time."""

    @property
    def resolutions(self) -> frozenset[Resolution]:
        """The resolutions it can deliver."""

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """One line for each request or command that `fetch` would make. Sends nothing, needs no key."""

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Fetch these days into the sink.

        Days it cannot get it reports through `sink.unavailable`, or it raises a `BacktestServerError` that then
        stands for every day not delivered. Afterwards the host looks for itself: a day that is neither on
        disk nor known to be empty counts as failed.
        """

    def close(self) -> None:
        """Let go of connections and files. Called once, also after an error."""


@frozen(kw_only=True)
class ProviderContext:
    """What the host gives a provider.

    ``refresh`` is for sources of corporate actions: answers kept from before are passed over.
    """

    calendar: USEquityTradingCalendar
    data_folder: Path
    state_folder: Path
    clock: Callable[[], datetime]
    cancel: CancelToken
    refresh: bool = False


@frozen
class NamedProvider:
    """A provider that can be opened when it is needed, by the name it was chosen by.

    ``check`` raises a `BacktestServerError` where its settings do not let it fetch at all; it opens nothing.
    """

    name: str
    open: Callable[[CancelToken], DataProvider]
    check: Callable[[], object] = lambda: None
