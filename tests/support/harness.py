"""A download put together as the server does it, with a clock and waits that a test holds in its hands."""

from __future__ import annotations

import functools
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from server.core.cancel import CancelToken
from server.core.events import Event, EventStream
from server.core.secret import Secret
from server.data_download.availability import Gap
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.hosted_provider import HostedProvider
from server.data_download.locks import STATE_FOLDER
from server.data_download.provider import ProviderContext
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.provider import PolygonProvider
from server.trading_calendar import USEquityTradingCalendar
from tests.support.market import BarColumns, Market, clock, new_york_day
from tests.support.polygon_server import KEY

NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
"""A Monday, 08:00 in New York: later than every day that the tests ask for, unless they say so."""


@functools.cache
def calendar() -> USEquityTradingCalendar:
    """The trading calendar to the end of 2026."""
    return USEquityTradingCalendar.load(date(2025, 1, 1))


def sessions(start: date, count: int) -> list[date]:
    """This many trading days from a day on."""
    return calendar().trading_days(start, start + timedelta(days=count * 2 + 10))[:count]


class FakeTime:
    """A clock that only waiting moves; it has the functions of the module `time` that the provider uses."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self.wall = wall
        self._passed = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Seconds that were waited."""
        return self._passed

    def time(self) -> float:
        """Seconds since 1970."""
        return self.wall + self._passed

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return int(self.time() * 1_000_000_000)

    def pause(self, seconds: float) -> bool:
        """Wait without waiting; there is no cancel."""
        with self._lock:
            self.waits.append(seconds)
            self._passed += seconds
        return False


def no_wait(seconds: float) -> bool:
    """Wait next to nothing, however long is asked for; there is no cancel."""
    time.sleep(min(seconds, 0.01))
    return False


class Rig:
    """A data folder and whatever downloads into it; each download opens and closes all that it needs."""

    def __init__(
        self,
        root: Path,
        url: str = "http://127.0.0.1:9",
        *,
        now: datetime = NOW,
        key: str = KEY,
        pause: Callable[[float], bool] | None = no_wait,
        **config: Any,
    ) -> None:
        self.root = root
        self.data = root / "data"
        self.state = self.data / STATE_FOLDER
        self.ledger_path = self.state / "ledger.sqlite"
        self.cache_path = self.state / "http-cache.sqlite"
        self.url = url
        self.now = now
        self.pause = pause
        self.config = PolygonConfig(api_key=Secret(key), api_url=url, **config)
        self.events: list[Event] = []

    def open_provider(self, cancel: CancelToken | None = None) -> PolygonProvider:
        """The Polygon provider, as the plugin makes it."""
        context = ProviderContext(
            calendar=calendar(),
            data_folder=self.data,
            state_folder=self.state,
            clock=lambda: self.now,
            cancel=cancel or CancelToken(),
        )
        return PolygonProvider(self.config, context, pause=self.pause)

    @contextmanager
    def downloader(
        self, provider: HostedProvider | None = None, fallback: HostedProvider | None = None
    ) -> Iterator[DataDownloader]:
        """A downloader with its ledger open."""
        folder = DataFolder.open(self.data, calendar(), self.state)
        try:
            yield DataDownloader(
                folder=folder,
                calendar=calendar(),
                clock=lambda: self.now,
                provider=provider or HostedProvider("polygon", self.open_provider),
                fallback=fallback,
                events=EventStream(lambda: self.now, [self.events.append]),
            )
        finally:
            folder.close()

    def download(
        self,
        symbols: str | Sequence[str],
        days: Sequence[date],
        resolution: Resolution = Resolution.MINUTE,
        *,
        cancel: CancelToken | None = None,
        provider: HostedProvider | None = None,
        fallback: HostedProvider | None = None,
        refresh: bool = False,
    ) -> DownloadReport:
        """Download from the first to the last of these days."""
        request = DownloadRequest(
            symbols=(symbols,) if isinstance(symbols, str) else tuple(symbols),
            resolution=resolution,
            start=days[0],
            end=days[-1],
            refresh=refresh,
        )
        with self.downloader(provider, fallback) as downloader:
            return downloader.download(request, cancel)

    def csv(self) -> dict[str, bytes]:
        """The CSV of each zip in the data folder, by its path below equity/usa."""
        return csv_of(self.data)

    def messages(self, kind: str) -> list[str]:
        """The messages of the events of a kind."""
        return [event.message for event in self.events if event.kind == kind]


def csv_of(data_folder: Path) -> dict[str, bytes]:
    """The CSV of each zip in a data folder, by its path below equity/usa; read by the standard library."""
    usa = data_folder / "equity" / "usa"
    found = {}
    for path in sorted(usa.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            found[path.relative_to(usa).as_posix()] = archive.read(name)
    return found


def leftovers(data_folder: Path) -> list[Path]:
    """Files below equity that LEAN would not have written."""
    return [path for path in (data_folder / "equity").rglob("*") if path.is_file() and path.suffix != ".zip"]


def lose_files(rig: Rig) -> None:
    """Remove every zip, as a user may."""
    for path in (rig.data / "equity").rglob("*.zip"):
        path.unlink()


# --- what LEAN would have written, by its own rule and without the code under test ---


def lean_decimal(value: float, factor: int = 1) -> str:
    """A double as LEAN prints it: 15 significant digits, times the factor, no zeros at the end, no exponent."""
    text = format(Decimal(format(value, ".15g")) * factor, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def lean_csv(series: BarColumns, day: date, resolution: Resolution = Resolution.MINUTE) -> bytes:
    """The rows that LEAN would have written of a day's bars."""
    rows = []
    for t, o, h, low, c, v in zip(series.t, series.o, series.h, series.l, series.c, series.v, strict=True):
        if new_york_day(int(t)) != day:
            continue
        label = f"{day:%Y%m%d} 00:00" if resolution is Resolution.DAILY else str(int(t) - clock(day))
        prices = [lean_decimal(float(price), 10_000) for price in (o, h, low, c)]
        rows.append(",".join([label, *prices, lean_decimal(float(v))]))
    return "\n".join(rows).encode()


def lean_files(market: Market, symbol: str, days: Sequence[date], resolution: Resolution) -> dict[str, bytes]:
    """The files that LEAN would have written of these days, by their path below equity/usa."""
    span = "day" if resolution is Resolution.DAILY else resolution.value
    series = market[symbol, span]
    texts = {day: lean_csv(series, day, resolution) for day in days}
    if resolution is Resolution.DAILY:
        return {f"daily/{symbol.lower()}.zip": b"\n".join(text for text in texts.values() if text)}
    return {f"{span}/{symbol.lower()}/{day:%Y%m%d}_trade.zip": text for day, text in texts.items() if text}


def gap(
    symbol: str, days: Sequence[date], resolution: Resolution = Resolution.MINUTE, refresh: Sequence[date] = ()
) -> Gap:
    """A gap of these days."""
    return Gap(series=Series(symbol, resolution), days=tuple(days), refresh=frozenset(refresh))
