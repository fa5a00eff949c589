"""A user's LEAN folder with a fake `lean` on PATH, and the provider lean-cli that uses it."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from attrs import define, field

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event, EventStream
from server.core.secret import Secret
from server.data_download.availability import Gap
from server.data_download.locks import STATE_FOLDER
from server.data_download.provider import ProviderContext
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.provider import LeanCliProvider
from server.trading_calendar import USEquityTradingCalendar
from tests.support import fake_lean
from tests.support.fake_lean import FakeLean

KEY = "pQ9secretKEY+of/mine"
TUESDAY, WEDNESDAY, THURSDAY = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)
JULY = date(2024, 7, 10)
NOW = datetime(2024, 9, 2, tzinfo=UTC)


@define
class RecordingSink:
    """Keeps what is delivered: the text of each file, by symbol, resolution and day."""

    token: CancelToken
    files: dict[tuple[str, Resolution, date | None], str] = field(factory=dict)
    missing: dict[tuple[str, date], BacktestServerError] = field(factory=dict)
    notices: list[str] = field(factory=list)
    refuse: BacktestServerError | None = None

    @property
    def events(self) -> EventStream:
        return EventStream(lambda: NOW, [self.note])

    def note(self, event: Event) -> None:
        assert event.kind == "notice"
        self.notices.append(event.message)

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        raise AssertionError("this provider delivers files")

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        if self.refuse:
            raise self.refuse
        with zipfile.ZipFile(path) as archive:
            [member] = archive.namelist()
            self.files[series.ticker, series.resolution, day] = archive.read(member).decode()

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        self.missing.update({(series.ticker, day): error for day in days})

    @property
    def cancelled(self) -> bool:
        return self.token.cancelled


@define
class Setup:
    """A user's folder with lean.json and data, a fake `lean` on PATH, and a provider that uses both."""

    root: Path
    lean: FakeLean
    token: CancelToken = field(factory=CancelToken)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def state(self) -> Path:
        return self.data / STATE_FOLDER

    @property
    def staging(self) -> Path:
        return self.state / "staging"

    @property
    def left_over(self) -> list[str]:
        """What the staging folder contains apart from the lock."""
        return sorted(path.name for path in self.staging.glob("*") if path.name != "sweep.lock")

    def sink(self, **facts: Any) -> RecordingSink:
        return RecordingSink(self.token, **facts)

    def provider(self, **settings: Any) -> LeanCliProvider:
        context = ProviderContext(
            calendar=USEquityTradingCalendar([], {}, date(2025, 12, 31)),
            data_folder=self.data,
            state_folder=self.state,
            clock=lambda: NOW,
            cancel=self.token,
        )
        environment = {"PATH": self.lean.path, "HOME": str(self.root), "POLYGON_API_KEY": KEY, "HINT": f"key={KEY}"}
        return LeanCliProvider(
            LeanCliConfig(**{"api_key": Secret(KEY), "time_limit": 60.0, **settings}), context, environment=environment
        )

    def fetch(self, *gaps: Gap, sink: RecordingSink | None = None, **settings: Any) -> RecordingSink:
        sink = sink or self.sink()
        self.provider(**settings).fetch(gaps, sink)
        return sink


def make_setup(root: Path) -> Setup:
    """A LEAN folder as `lean init` leaves it, and the fake installed."""
    (root / "data").mkdir()
    (root / "lean.json").write_text(
        '{\n  // the organization\n  "organization-id": "0123abcd",\n  "data-folder": "data",\n'
        '  "ib-password": "hunter2",\n}\n'
    )
    return Setup(root, fake_lean.install(root / "bin"))


def gap(symbol: str, *days: date, resolution: Resolution = Resolution.MINUTE) -> Gap:
    """A gap of these days."""
    return Gap(series=Series(symbol, resolution), days=days)


def labels(text: str) -> list[str]:
    """The first field of each row."""
    return [line.partition(",")[0] for line in text.split("\n")]


def whole_day(step: int) -> list[str]:
    """First fields of a day from 04:00 to 20:00, a row each this many seconds, in milliseconds since midnight."""
    return [str(second * 1000) for second in range(4 * 3600, 20 * 3600, step)]
