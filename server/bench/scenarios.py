"""What is measured: scenarios from a TOML file as frozen records, read strictly."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec
from attrs import frozen

from server.core.errors import ConfigurationError
from server.core.words import did_you_mean
from server.lean.series import Resolution, parse_symbol
from server.trading_calendar import USEquityTradingCalendar

FILE = Path("benchmarks") / "scenarios.toml"
"""Where the working directory may have scenarios of its own."""

_SETTLED_FOR = timedelta(days=7)
"""How long before today the days of a live run end, so that no bar of them is still on its way."""

_MOST_BARS = {Resolution.DAILY: 1, Resolution.MINUTE: 960, Resolution.SECOND: 57_600}


class Kind(enum.Enum):
    """What a run finds when it begins, or what happens to it."""

    COLD = "cold"
    WARM_CACHE = "warm-cache"
    PRESENT = "present"
    GAPS = "gaps"
    BUDGET = "budget"
    CRASH = "crash"


_WORDS = {
    Kind.COLD: "cold",
    Kind.WARM_CACHE: "warm HTTP cache",
    Kind.PRESENT: "all present",
    Kind.GAPS: "one day missing in each month",
    Kind.CRASH: "killed half way",
}
_BY_DAY = (Kind.GAPS, Kind.CRASH)
"""Kinds that need a file for each day."""


@frozen(kw_only=True)
class Scenario:
    """One measurement: which bars, and in which state a run finds the folder it writes to.

    Attributes:
        name: What ``--scenario`` calls it.
        first: The first day; not before a session of the calendar.
        days: How many trading days.
        bars: How many bars each day has, on the local server.
        contenders: Who takes part; empty for everybody.
        per_minute: The budget of requests, in simulated minutes.
        runs: How often each contender runs, if not as often as the command says.
        extended: Only measured on request.
        series: The series of which it is a step, and ``over`` by what that grows.
        made_up: The symbols are not real ones.
    """

    name: str
    kind: Kind
    symbols: tuple[str, ...]
    resolution: Resolution
    first: date
    days: int
    bars: int
    contenders: tuple[str, ...] = ()
    per_minute: int | None = None
    runs: int | None = None
    extended: bool = False
    series: str = ""
    over: str = ""
    made_up: bool = False

    @property
    def title(self) -> str:
        """What it is called in reports; runs of the archive are told apart by it."""
        size = f"{len(self.symbols):,} symbol{'' if len(self.symbols) == 1 else 's'} x {self.days:,} "
        if self.resolution is Resolution.DAILY:
            size += "daily bars"
        else:
            size += f"days x {self.bars:,} {self.resolution.value} bars"
        words = f"{self.per_minute} requests a minute" if self.kind is Kind.BUDGET else _WORDS[self.kind]
        return f"{size}, {words}"

    @property
    def total_bars(self) -> int:
        """All bars of all symbols."""
        return len(self.symbols) * self.days * self.bars

    def sessions(self, calendar: USEquityTradingCalendar, today: date | None = None) -> tuple[date, ...]:
        """Its trading days; with `today` as many as it has, but the last ones that are settled for certain.

        Raises:
            ConfigurationError: The calendar does not know so many.
        """
        span = timedelta(days=self.days * 2 + 15)
        if today is None:
            last = min(self.first + span, calendar.last_day)
            found = calendar.trading_days(max(self.first, calendar.first_day), last)[: self.days]
        else:
            end = today - _SETTLED_FOR
            found = calendar.trading_days(max(end - span, calendar.first_day), end)[-self.days :]
        if len(found) < self.days:
            raise ConfigurationError(f"scenario {self.name}: the calendar has only {len(found)} of {self.days} days")
        return tuple(found)


@frozen(kw_only=True)
class _Table:
    """A table of the file."""

    name: str
    kind: Kind
    symbols: list[str] | int
    resolution: Resolution
    first: date
    days: int = 1
    bars: int = 1
    contenders: list[str] = attrs.field(factory=list)
    per_minute: int | None = None
    runs: int | None = None
    extended: bool = False
    over: Literal["", "days", "symbols", "bars"] = ""
    steps: list[int] = attrs.field(factory=list)


_KEYS = [field.name for field in attrs.fields(_Table)]


def load_scenarios(path: Path | None, cwd: Path, contenders: Collection[str]) -> list[Scenario]:
    """The scenarios of `path`, else of the working directory's ``benchmarks/scenarios.toml``, else the packaged ones.

    Raises:
        ConfigurationError: The file cannot be read, or something in it does not fit; the text says what and where.
    """
    found = path or (cwd / FILE if (cwd / FILE).is_file() else None)
    if found is None:
        text, where = (resources.files("server.bench") / FILE.name).read_text(encoding="utf-8"), FILE.name
    else:
        where = str(found)
        try:
            text = found.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the scenarios {where} cannot be read: {error}") from error
    return parse_scenarios(text, where, contenders)


def parse_scenarios(text: str, where: str, contenders: Collection[str]) -> list[Scenario]:
    """The scenarios of a TOML text.

    Raises:
        ConfigurationError: As `load_scenarios`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is not TOML: {error}") from error
    tables = content.pop("scenario", None)
    if content or not isinstance(tables, list) or not tables:
        raise ConfigurationError(f"{where}: there must be tables [[scenario]] and nothing else{_strange(content)}")
    scenarios = [one for number, table in enumerate(tables, 1) for one in _read(table, number, where, contenders)]
    seen: set[str] = set()
    for one in scenarios:
        for name in {one.name} - {one.series}:
            if name in seen:
                raise ConfigurationError(f"{where}: two scenarios are called {name!r}; give each a name of its own")
            seen.add(name)
    return scenarios


def choose(scenarios: Sequence[Scenario], names: Sequence[str], extended: bool) -> list[Scenario]:
    """Those that are named, by their own names or their series'; else all, the extended ones on request.

    Raises:
        ConfigurationError: There is none of that name.
    """
    if not names:
        return [one for one in scenarios if extended or not one.extended]
    known = {name for one in scenarios for name in (one.name, one.series) if name}
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no scenario {name!r}; {did_you_mean(name, known)}")
    return [one for one in scenarios if one.name in names or one.series in names]


def _strange(content: dict[str, Any]) -> str:
    return f"; there is {next(iter(content))!r}" if content else ""


def _read(table: Any, number: int, where: str, contenders: Collection[str]) -> Iterator[Scenario]:
    """The scenario of a table, or one for each of its steps."""
    name = table.get("name") if isinstance(table, dict) else None
    place = f"{where}: scenario {name or f'number {number}'}"
    for key in table if isinstance(table, dict) else ():
        if key not in _KEYS:
            raise ConfigurationError(f"{place}: there is no setting {key!r}; {did_you_mean(key, _KEYS)}")
    try:
        read = msgspec.convert(table, _Table)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    for who in read.contenders:
        if who not in contenders:
            raise ConfigurationError(f"{place}: there is no contender {who!r}; {did_you_mean(who, contenders)}")
    if bool(read.over) != bool(read.steps):
        raise ConfigurationError(f"{place}: 'over' and 'steps' go together")
    for step in read.steps or (None,):
        scenario = _scenario(read, step, place)
        problem = _problem(scenario)
        if problem:
            raise ConfigurationError(f"{place}: {problem}")
        yield scenario


def _scenario(table: _Table, step: int | None, place: str) -> Scenario:
    days = step if step is not None and table.over == "days" else table.days
    count = step if table.over in ("symbols", "bars") else None
    made_up = isinstance(table.symbols, int)
    try:
        if isinstance(table.symbols, int):
            symbols = [f"S{number:03}" for number in range(count or table.symbols)]
        else:
            symbols = [parse_symbol(symbol) for symbol in table.symbols]
    except ValueError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    if count is not None and count > len(symbols):
        raise ConfigurationError(f"{place}: a step takes {count} symbols, and there are {len(symbols)}")
    return Scenario(
        name=table.name if step is None else f"{table.name}-{step}",
        series="" if step is None else table.name,
        kind=table.kind,
        symbols=tuple(symbols[:count]),
        resolution=table.resolution,
        first=table.first,
        days=days,
        bars=table.bars,
        contenders=tuple(table.contenders),
        per_minute=table.per_minute,
        runs=table.runs,
        extended=table.extended,
        over=table.over,
        made_up=made_up,
    )


def _problem(one: Scenario) -> str:
    """What does not fit, if anything."""
    most = _MOST_BARS[one.resolution]
    if not one.name.strip() or any(char.isspace() for char in one.name):
        return "its name must be one word"
    if not one.symbols or len(set(one.symbols)) != len(one.symbols):
        return "symbols must be a number of at least 1, or a list without repetitions"
    if one.days < 1 or (one.runs is not None and one.runs < 1):
        return "days and runs must be at least 1"
    if not 1 <= one.bars <= most:
        return f"bars must be 1 to {most:,} for {one.resolution.value} bars"
    if (one.kind is Kind.BUDGET) != (one.per_minute is not None) or (one.per_minute or 1) < 1:
        return "per_minute, at least 1, belongs to the kind 'budget' and to no other"
    if one.kind in _BY_DAY and one.resolution is Resolution.DAILY:
        return f"the kind {one.kind.value!r} needs a file for each day, which daily bars do not have"
    return ""
