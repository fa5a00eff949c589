"""Questions to LEAN's reader with what the real engine fed (tests/recorded/lean-reading), also consistently altered.

Each file has a question, its parameters, the files of a small data folder (a zip is its members) and `fed`: the lines
that an algorithm wrote of all that it was given. `bar START END TICKER open high low close volume [ff]`,
`split DAY TICKER kind factor reference`, `dividend DAY TICKER amount reference`, `delisting DAY TICKER kind` and
`renamed DAY OLD NEW`; times are New York's. Questions about universe files are read by `tests.support.lean_universe`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from server.lean.feed import (
    Bar,
    Delisting,
    Dividend,
    Feed,
    FeedRequest,
    Item,
    Mode,
    Rename,
    Split,
    read_feed,
)
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

RECORDED = Path(__file__).parents[1] / "recorded" / "lean-reading"
ENGINE_RAN_ON = date(2026, 11, 27)
MODES = {
    "Raw": Mode.RAW,
    "Adjusted": Mode.ADJUSTED,
    "SplitAdjusted": Mode.SPLIT_ADJUSTED,
    "TotalReturn": Mode.TOTAL_RETURN,
}
KINDS = {
    "Warning": "warning",
    "SplitOccurred": "occurred",
    "Delisted": "delisted",
}
Line = tuple[Any, ...]


class MemoryFiles:
    """A data folder in memory."""

    def __init__(self, files: Mapping[str, str | bytes | Mapping[str, str]]) -> None:
        """Take files by path: text, bytes, or the members of a zip."""
        self._files = {path: content_of(content) for path, content in files.items()}

    def read(self, path: str) -> bytes | None:
        """Return a file."""
        return self._files.get(path)

    def names(self, folder: str) -> Iterable[str]:
        """Return the names of files in a folder."""
        return [path.rpartition("/")[2] for path in self._files if path.rpartition("/")[0] == folder]


def content_of(content: str | bytes | Mapping[str, str]) -> bytes:
    """The bytes of a file."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return packed.getvalue()


@dataclass(frozen=True)
class Question:
    """A question with the engine's answer."""

    parameters: Mapping[str, str]
    files: Mapping[str, Any]
    fed: list[str]

    @property
    def symbols(self) -> list[str]:
        """The tickers asked for."""
        return self.parameters["tickers"].split()

    @property
    def request(self) -> FeedRequest:
        """The question as a request."""
        return FeedRequest(
            start=day_of(self.parameters["start"]),
            end=day_of(self.parameters["end"]),
            mode=MODES[self.parameters["mode"]],
            today=ENGINE_RAN_ON,
            extended_hours=self.parameters.get("extended") == "true",
            fill_forward=self.parameters.get("fill") == "true",
        )

    @property
    def resolution(self) -> Resolution:
        """The length of a bar."""
        return Resolution(self.parameters["resolution"].lower())

    def read(self, calendar: Any) -> Feed:
        """What the reader says."""
        return read_feed(MemoryFiles(self.files), self.symbols, self.resolution, self.request, calendar)

    @property
    def lines(self) -> list[Line]:
        """What the engine fed."""
        return [line_of(text) for text in self.fed]


def questions() -> dict[str, Question]:
    """All recorded questions without universes by name."""
    found = {
        path.stem: json.loads(path.read_text("utf-8"))
        for path in sorted(RECORDED.glob("*.json"))
        if not path.stem.startswith("universe")
    }
    return {name: Question(one["parameters"], one["files"], one["fed"]) for name, one in found.items()}


def day_of(text: str) -> date:
    """A day of eight digits."""
    return datetime.strptime(text, "%Y%m%d").date()


def line_of(text: str) -> Line:
    """A line of the engine."""
    what, *fields = text.split()
    if what == "bar":
        start, end = (datetime.strptime(" ".join(pair), "%Y%m%d %H:%M:%S") for pair in (fields[:2], fields[2:4]))
        return (what, start, end, fields[4], *map(float, fields[5:10]), fields[10:] == ["ff"])
    day = day_of(fields[0])
    if what == "split":
        return (what, day, fields[1], KINDS[fields[2]], float(fields[3]), float(fields[4]))
    if what == "dividend":
        return (what, day, fields[1], float(fields[2]), float(fields[3]))
    return (what, day, fields[1], KINDS[fields[2]] if what == "delisting" else fields[2])


def lines_of(items: Iterable[Item]) -> list[Line]:
    """Items in the form of the engine's lines."""
    return [_line(item) for item in items]


def _line(item: Item) -> Line:
    match item:
        case Bar():
            return ("bar", *item)
        case Split():
            return ("split", item.day, item.ticker, item.kind.value, item.factor, item.reference)
        case Dividend():
            return ("dividend", item.day, item.ticker, item.amount, item.reference)
        case Delisting():
            return ("delisting", item.day, item.ticker, item.kind.value)
        case Rename():
            return ("renamed", item.day, item.old, item.new)
    raise TypeError(item)


@dataclass(frozen=True)
class MovedCalendar:
    """A calendar whose days are those of another one, moved."""

    calendar: USEquityTradingCalendar
    move: timedelta
    first_day: date = field(init=False)
    last_day: date = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_day", self.calendar.first_day + self.move)
        object.__setattr__(self, "last_day", self.calendar.last_day + self.move)

    def trading_days(self, start: date, end: date) -> list[date]:
        """The moved sessions."""
        return [day + self.move for day in self.calendar.trading_days(start - self.move, end - self.move)]

    def session_close(self, day: date) -> datetime:
        """The moved close."""
        zone = ZoneInfo("America/New_York")
        at: time = self.calendar.session_close(day - self.move).astimezone(zone).time()
        return datetime.combine(day, at, zone).astimezone(UTC)


@dataclass(frozen=True)
class Alteration:
    """The same question about other prices, days and tickers.

    Attributes:
        price: What prices are multiplied by.
        move: By how much days move, whole weeks.
        tickers: New tickers by old ones.
    """

    price: int
    move: timedelta
    tickers: Mapping[str, str]

    def of(self, question: Question) -> Question:
        """The altered question with its altered answer."""
        parameters = {
            name: self._text(value) if name in ("tickers", "start", "end") else value
            for name, value in question.parameters.items()
        }
        files = {self._text(path): self._file(path, content) for path, content in question.files.items()}
        return Question(parameters, files, [self._fed(line) for line in question.fed])

    def _text(self, text: str) -> str:
        """A text with its days and tickers altered."""
        text = re.sub(r"(?<!\d)(?:19|20[01])\d{5}(?!\d)", lambda found: self._day(found[0]), text)
        names = {**self.tickers, **{old.lower(): new.lower() for old, new in self.tickers.items()}}
        pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        return re.sub(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", lambda found: names[found[0]], text)

    def _day(self, text: str) -> str:
        return f"{day_of(text) + self.move:%Y%m%d}"

    def _file(self, path: str, content: Any) -> Any:
        if isinstance(content, dict):
            return {self._text(name): self._rows(text, range(1, 5)) for name, text in content.items()}
        return self._rows(content, range(3, 4) if "/factor_files/" in path else range(0))

    def _rows(self, text: str, prices: range) -> str:
        return "\n".join(self._row(line, prices) for line in text.split("\n"))

    def _row(self, line: str, prices: range) -> str:
        first, *fields = line.split(",")
        if not fields:
            return line
        for at in prices:
            if at <= len(fields) and re.fullmatch(r"[\d.]+", fields[at - 1]):
                fields[at - 1] = str(Decimal(fields[at - 1]) * self.price)
        names = [self._text(one) if re.fullmatch(r"[a-z.]+", one) else one for one in fields]
        return ",".join(
            [self._text(first) if re.match(r"\d{8}(?: |$)", first) and not self._is_time(line) else first, *names]
        )

    def _is_time(self, line: str) -> bool:
        """Whether a line begins with milliseconds, which have eight digits, too."""
        return line.count(",") > 3 and " " not in line

    def _fed(self, line: str) -> str:
        what, *fields = line.split()
        prices = {"bar": range(5, 9), "split": range(4, 5), "dividend": range(2, 4)}.get(what, range(0))
        for at in prices:
            fields[at] = str(Decimal(fields[at]) * self.price)
        return " ".join(
            [what, *(self._text(one) if at not in prices and at != 9 else one for at, one in enumerate(fields))]
        )
