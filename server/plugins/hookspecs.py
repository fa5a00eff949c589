"""The contract between the server and its plugins, on one page.

A plugin is a module (or object) with functions marked `hookimpl`, found through the entry-point group
``backtest_server``. Hooks return records; nothing is opened, read or started before the host calls
`ProviderSpec.create`. See docs/writing-a-provider.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import pluggy
from attrs import field, frozen

from server.data_download.errors import DataDownloadError
from server.data_download.model import Bars, DownloadReport, Gap, Resolution
from server.data_download.progress import CancelToken, EventKind, ProgressEvent
from server.trading_calendar import USEquityTradingCalendar

PROJECT_NAME = "backtest_server"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


class DataSink(Protocol):
    """Where a provider puts what it fetched. All methods may be called from several threads at once."""

    def bars(self, symbol: str, resolution: Resolution, days: Sequence[date], bars: Bars) -> None:
        """Hand over all the bars there are for these trading days; days without bars are remembered as empty.

        Once it returns, the data is on disk.

        Raises:
            BadResponseError: A bar lies outside the days, or out of order.
            WriteFailedError: The files could not be written; what stood there still stands.
            DownloadCancelled: The run is over; nothing more is taken.
        """

    def lean_file(self, symbol: str, resolution: Resolution, day: date | None, path: Path) -> None:
        """Hand over a zip in LEAN's format, for one day or (day None) a daily zip whose rows are merged in.

        The host verifies it, takes only the days it asked for, and leaves the file at `path` alone.

        Raises:
            BadResponseError: The file is not what LEAN would have written for that day.
            WriteFailedError, DownloadCancelled: As for `bars`.
        """

    def unavailable(
        self, symbol: str, resolution: Resolution, days: Sequence[date], error: DataDownloadError
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

        Days it cannot get it reports through `sink.unavailable`, or it raises a `DataDownloadError` that then
        stands for every day not delivered. Afterwards the host looks for itself: a day that is neither on
        disk nor known to be empty counts as failed.
        """

    def close(self) -> None:
        """Let go of connections and files. Called once, also after an error."""


@frozen(kw_only=True)
class ProviderContext:
    """What the host gives a provider."""

    calendar: USEquityTradingCalendar
    data_folder: Path
    state_folder: Path
    clock: Callable[[], datetime]
    cancel: CancelToken


@frozen(kw_only=True)
class ProviderSpec:
    """One provider that a plugin offers.

    Attributes:
        name: What `data-provider` is set to; lower case with hyphens.
        summary: One line for people.
        config_class: A frozen attrs class; the host fills it from the settings (see `setting`).
        create: Makes the provider. It may import what it needs; discovery may not.
    """

    name: str
    summary: str
    config_class: type[Any]
    create: Callable[[Any, ProviderContext], DataProvider]


def setting(*, env: Sequence[str] = (), lean: str | None = None, help: str = "", **kwargs: Any) -> Any:
    """An attrs field of a provider's config class, with the places its value may come from.

    The key in lean.json is ``backtest-server.providers.<provider name>.<field name with hyphens>``.

    Args:
        env: Environment variables, the first that is set wins; they stand above lean.json.
        lean: A key at the top of lean.json that LEAN itself uses for this value.
        help: One line for people.
        kwargs: What `attrs.field` takes: default, validator, converter, repr.
    """
    return field(metadata={"env": tuple(env), "lean": lean, "help": help}, **kwargs)


@hookspec
def backtest_data_providers() -> Iterable[ProviderSpec]:
    """Called once when the plugins are gathered. Returns what the plugin offers."""
    return ()


@hookspec
def backtest_progress(event: ProgressEvent) -> None:
    """Called for each event of a download or backtest, from several threads. Must be quick."""


@hookspec
def backtest_download_finished(report: DownloadReport) -> None:
    """Called once at the end of each download, also of one that failed."""
