"""Where LEAN keeps the bars of a series, and how it labels and orders their rows.

The one place that knows a format by its resolution (LEAN: ``LeanData.GenerateZipFilePath``, ``GenerateZipEntryName``,
``GenerateLine``, ``TryParsePath``). A file is identified by its day; a file that holds all days of a series by None.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from server.lean.series import DataType, Resolution, SecurityType, Series, parse_symbol

if TYPE_CHECKING:
    from server.lean.bars import Bars
    from server.lean.trade_csv import DayText

EQUITY_USA = f"{SecurityType.EQUITY.value}/usa"
"""The folder of all US equity data, below the data folder."""

FACTOR_FILES, MAP_FILES = f"{EQUITY_USA}/factor_files", f"{EQUITY_USA}/map_files"
"""The folders of factor files and map files (LEAN: ``LocalDiskFactorFileProvider``, ``LocalDiskMapFileProvider``)."""


@frozen
class FileContent:
    """What a checked file holds: its number of rows and their days, ascending."""

    rows: int
    days: tuple[date, ...]


@frozen
class Layout(ABC):
    """Paths and rows of one series. Paths are relative to the data folder, with forward slashes.

    Attributes:
        bar_ms: Length of one bar in milliseconds.
        one_file: Whether one file holds all days of the series, so that writing a day merges it.
    """

    one_file: ClassVar[bool]

    series: Series
    bar_ms: int

    @property
    @abstractmethod
    def folder(self) -> str:
        """The folder of the series' files."""

    @abstractmethod
    def zip_name(self, day: date | None) -> str:
        """The name of a file in that folder."""

    @abstractmethod
    def member(self, day: date | None) -> str:
        """The name of the file's one member.

        LEAN's reader takes the first member whatever its name; its writer needs this name to merge.
        """

    @abstractmethod
    def files(self, days: Iterable[date]) -> Iterable[date | None]:
        """The files that hold these days."""

    @abstractmethod
    def check_rows(self, content: bytes, day: date | None) -> FileContent:
        """Check the rows of a CSV without byte order mark, CRLF and final line end.

        Raises:
            FormatError: Names the row that is wrong.
        """

    @abstractmethod
    def rows_by_day(self, content: bytes, day: date | None) -> dict[date, bytes]:
        """Check the rows of a CSV and return them by day, joined by LF, without a final line end.

        Raises:
            FormatError: As `check_rows`.
        """

    @abstractmethod
    def render(self, bars: Bars, days: Sequence[date]) -> list[DayText]:
        """Render bars as rows, day by day; days without bars are left out.

        Args:
            bars: Ascending and unique in time, within `days`.
            days: Trading days, ascending.

        Raises:
            FormatError: A bar is outside the days or out of order, or a number is negative, infinite or not a number.
        """

    @abstractmethod
    def parse(self, content: bytes, day: date | None) -> Bars:
        """Read the rows of a CSV.

        Raises:
            FormatError: As `check_rows`.
        """

    def path(self, day: date | None) -> str:
        """The path of a file: ``equity/usa/minute/spy/20131007_trade.zip``."""
        return f"{self.folder}/{self.zip_name(day)}"

    def check_zip(self, data: bytes, day: date | None, *, strict: bool = False) -> FileContent:
        """Check that a zip is one that LEAN could have written for this series and day.

        Args:
            data: The bytes of the zip.
            day: The day; None for a file of all days.
            strict: Also refuse what LEAN's reader accepts but its writer never writes: CRLF, a byte order mark, a final
                line end.

        Raises:
            FormatError: Says what is wrong.
        """
        from server.lean.errors import FormatError
        from server.lean.trade_csv import normalized

        content = self.member_content(data, day)
        plain = normalized(content)
        if strict and plain != content:
            raise FormatError("the CSV has a byte order mark, CRLF or a final line end, which LEAN does not write")
        return self.check_rows(plain, day)

    def member_content(self, data: bytes, day: date | None) -> bytes:
        """Return the content of a zip's one member, which must have the name that LEAN writes.

        Raises:
            FormatError: It is not a whole zip, or its member has another name.
        """
        from server.lean.errors import FormatError
        from server.lean.zip import only_member

        name, content = only_member(data)
        if name != self.member(day):
            raise FormatError(f"the member is called {name}, LEAN writes {self.member(day)}")
        return content


@frozen
class FilePerDay(Layout):
    """One zip for each New York day; rows are labelled with milliseconds since midnight, all sessions included."""

    one_file = False

    @property
    def folder(self) -> str:
        """The folder of the series' files: ``equity/usa/minute/spy``."""
        return f"{_resolution_folder(self.series)}/{self.series.ticker.lower()}"

    def zip_name(self, day: date | None) -> str:
        """The name of a day's file: ``20131007_trade.zip``."""
        return f"{_compact(day)}_{self.series.data_type.value}.zip"

    def member(self, day: date | None) -> str:
        """The member of a day's file: ``20131007_spy_minute_trade.csv``."""
        series = self.series
        return f"{_compact(day)}_{series.ticker.lower()}_{series.resolution.value}_{series.data_type.value}.csv"

    def files(self, days: Iterable[date]) -> Iterable[date]:
        """One file for each day."""
        return days

    def check_rows(self, content: bytes, day: date | None) -> FileContent:
        """Check the rows of a day (see `Layout.check_rows`)."""
        from server.lean.trade_csv import check_times

        rows = len(check_times(content, self.bar_ms, self.series.resolution.value))
        return FileContent(rows, (_required(day),))

    def rows_by_day(self, content: bytes, day: date | None) -> dict[date, bytes]:
        """The rows of a day (see `Layout.rows_by_day`)."""
        from server.lean.trade_csv import normalized

        plain = normalized(content)
        self.check_rows(plain, day)
        return {_required(day): plain}

    def render(self, bars: Bars, days: Sequence[date]) -> list[DayText]:
        """Render bars, which must begin on a multiple of the bar's length (see `Layout.render`)."""
        from server.lean.trade_csv import render_times

        return render_times(bars, days, self.bar_ms, self.series.resolution.value)

    def parse(self, content: bytes, day: date | None) -> Bars:
        """Read the rows of a day (see `Layout.parse`)."""
        from server.lean.trade_csv import parse_times

        return parse_times(content, _required(day), self.bar_ms, self.series.resolution.value)


@frozen
class OneFile(Layout):
    """One zip for all days; rows are labelled ``yyyyMMdd HH:mm`` in New York, and hold regular sessions only.

    A label is the start of the bar's interval, counted from midnight: a daily bar has 00:00, and the hour bar that
    begins at 09:30 has 09:00.
    """

    one_file = True

    @property
    def folder(self) -> str:
        """The folder that holds the files of all tickers: ``equity/usa/daily``."""
        return _resolution_folder(self.series)

    def zip_name(self, day: date | None) -> str:
        """The name of the file, whatever the day: ``spy.zip``."""
        return f"{self.series.ticker.lower()}.zip"

    def member(self, day: date | None) -> str:
        """The member of the file, whatever the day: ``spy.csv``."""
        return f"{self.series.ticker.lower()}.csv"

    def files(self, days: Iterable[date]) -> Iterable[None]:
        """The one file."""
        return (None,)

    def check_rows(self, content: bytes, day: date | None) -> FileContent:
        """Check the rows of all days (see `Layout.check_rows`)."""
        from server.lean.trade_csv import check_dated, label_days

        labels = check_dated(content, self.bar_ms, self.series.resolution.value)
        return FileContent(len(labels), label_days(labels))

    def rows_by_day(self, content: bytes, day: date | None) -> dict[date, bytes]:
        """The rows of all days (see `Layout.rows_by_day`)."""
        from server.lean.trade_csv import check_dated, normalized, split_dated

        plain = normalized(content)
        return split_dated(plain, check_dated(plain, self.bar_ms, self.series.resolution.value))

    def render(self, bars: Bars, days: Sequence[date]) -> list[DayText]:
        """Render bars, of which no two may begin in one interval (see `Layout.render`)."""
        from server.lean.trade_csv import render_dated

        return render_dated(bars, days, self.bar_ms, self.series.resolution.value)

    def parse(self, content: bytes, day: date | None) -> Bars:
        """Read the rows of all days (see `Layout.parse`)."""
        from server.lean.trade_csv import parse_dated

        return parse_dated(content, self.bar_ms, self.series.resolution.value)


_LAYOUTS: dict[Resolution, tuple[type[Layout], int]] = {
    Resolution.DAILY: (OneFile, 86_400_000),
    Resolution.HOUR: (OneFile, 3_600_000),
    Resolution.MINUTE: (FilePerDay, 60_000),
    Resolution.SECOND: (FilePerDay, 1_000),
}
"""The layout of each resolution, and the length of its bars in milliseconds."""


@functools.lru_cache(maxsize=4096)
def layout_of(series: Series) -> Layout:
    """Return the layout of a series."""
    layout, bar_ms = _LAYOUTS[series.resolution]
    return layout(series, bar_ms)


def parse_path(path: str) -> tuple[Series, date | None] | None:
    """Return the series and day of a file, by its path below the data folder (LEAN: ``LeanData.TryParsePath``).

    Returns:
        None where LEAN keeps no bars at such a path.
    """
    folder, _, name = path.rpartition("/")
    stem, _, suffix = name.rpartition(".")
    if suffix != "zip":
        return None
    with suppress(ValueError):
        if folder.count("/") == 2:
            layout, day = _layout_at(f"{folder}/{stem}", DataType.TRADE.value), None
        else:
            text, _, data_type = stem.partition("_")
            layout, day = _layout_at(folder, data_type), _parse_day(text)
        if layout.one_file is (day is None):
            return layout.series, day
    return None


@functools.lru_cache(maxsize=4096)
def _layout_at(place: str, data_type: str) -> Layout:
    """Return the layout of a series by ``equity/usa/minute/spy``: its folder, or its one file without ``.zip``.

    Raises:
        ValueError: LEAN keeps no bars at such a place.
    """
    security_type, market, resolution, ticker = place.split("/")
    symbol = parse_symbol(ticker)
    layout = layout_of(Series(symbol, Resolution(resolution), DataType(data_type), SecurityType(security_type), market))
    if place != (layout.path(None).removesuffix(".zip") if layout.one_file else layout.folder):
        raise ValueError(place)
    return layout


def _parse_day(text: str) -> date:
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return date.fromisoformat(text)


def _resolution_folder(series: Series) -> str:
    return f"{series.security_type.value}/{series.market}/{series.resolution.value}"


def _compact(day: date | None) -> str:
    return _required(day).isoformat().replace("-", "")  # several times as fast as strftime


def _required(day: date | None) -> date:
    if day is None:
        raise ValueError("a file of this layout holds one day; name the day")
    return day
