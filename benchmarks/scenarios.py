"""Scenarios, read strictly from a TOML file."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec
from attrs import frozen

from server.core.errors import ConfigurationError
from server.core.words import did_you_mean
from server.lean.series import Resolution, parse_symbol
from server.trading_calendar import USEquityTradingCalendar

SCENARIO_FILE = Path(__file__).with_name("scenarios.toml")

_SETTLED_FOR = timedelta(days=7)
"""How long before today the days of a live run end, so that the vendor has all of their bars."""

_MAX_BARS = {Resolution.DAILY: 1, Resolution.MINUTE: 960, Resolution.SECOND: 57_600}


class ScenarioKind(enum.Enum):
    """What a run finds in its folder when it starts, or what interrupts it."""

    COLD = "cold"
    WARM_CACHE = "warm-cache"
    PRESENT = "present"
    GAPS = "gaps"
    BUDGET = "budget"
    CRASH = "crash"


_DESCRIPTIONS = {
    ScenarioKind.COLD: "cold",
    ScenarioKind.WARM_CACHE: "warm HTTP cache",
    ScenarioKind.PRESENT: "all present",
    ScenarioKind.GAPS: "one day missing in each month",
    ScenarioKind.CRASH: "killed half way",
}
_BY_DAY = (ScenarioKind.GAPS, ScenarioKind.CRASH)
"""Kinds that need one file for each day."""


@frozen(kw_only=True)
class Scenario:
    """One measurement: which bars, and what a run finds in its folder.

    Attributes:
        name: Its name for ``--scenario``.
        first: The first day; if it is not a session, the next one is used.
        days: The number of trading days.
        bars: The number of bars of each day on the local server.
        contenders: The names of the contenders; empty for all.
        per_minute: The request budget for each simulated minute.
        runs: The number of runs of each contender; None uses the default.
        extended: Measured only with ``--extended``.
        series: The series that it is a step of; empty if it is not part of one.
        over: What grows along the series: days, symbols or bars.
        made_up: The symbols do not exist.
    """

    name: str
    kind: ScenarioKind
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
        """Its name in reports and in the archive."""
        size = f"{len(self.symbols):,} symbol{'' if len(self.symbols) == 1 else 's'} x {self.days:,} "
        if self.resolution is Resolution.DAILY:
            size += "daily bars"
        else:
            size += f"days x {self.bars:,} {self.resolution.value} bars"
        description = (
            f"{self.per_minute} requests a minute" if self.kind is ScenarioKind.BUDGET else _DESCRIPTIONS[self.kind]
        )
        return f"{size}, {description}"

    @property
    def total_bars(self) -> int:
        """The number of bars of all symbols and days."""
        return len(self.symbols) * self.days * self.bars

    def sessions(self, calendar: USEquityTradingCalendar, today: date | None = None) -> tuple[date, ...]:
        """Return its trading days, ascending.

        Args:
            calendar: The trading calendar.
            today: If set, the most recent settled days are returned, the same number of them.

        Raises:
            ConfigurationError: The calendar has too few days.
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
class _ScenarioTable:
    """A table [[scenario]] of the file."""

    name: str
    kind: ScenarioKind
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


_KEYS = [field.name for field in attrs.fields(_ScenarioTable)]


def load_scenarios(contenders: Collection[str], path: Path = SCENARIO_FILE) -> list[Scenario]:
    """Read the scenarios of a file.

    Args:
        contenders: The names of the known contenders.
        path: The file of scenarios.

    Raises:
        ConfigurationError: The file cannot be read, or an entry is invalid; the text names the file and the entry.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the scenarios {path} cannot be read: {error}") from error
    return parse_scenarios(text, str(path), contenders)


def parse_scenarios(text: str, source: str, contenders: Collection[str]) -> list[Scenario]:
    """Parse the scenarios of a TOML text.

    Args:
        text: The text of the file.
        source: The name of the file, for errors.
        contenders: The names of the known contenders.

    Raises:
        ConfigurationError: An entry is invalid; the text names the file and the entry.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not valid TOML: {error}") from error
    tables = content.pop("scenario", None)
    if content or not isinstance(tables, list) or not tables:
        other = f"; found {next(iter(content))!r}" if content else ""
        raise ConfigurationError(f"{source} must contain tables [[scenario]] and nothing else{other}")
    scenarios = [one for number, table in enumerate(tables, 1) for one in _read(table, number, source, contenders)]
    seen: set[str] = set()
    for one in scenarios:
        for name in {one.name} - {one.series}:
            if name in seen:
                raise ConfigurationError(f"{source}: two scenarios are named {name!r}; rename one of them")
            seen.add(name)
    return scenarios


def choose_scenarios(scenarios: Sequence[Scenario], names: Sequence[str], extended: bool) -> list[Scenario]:
    """Return the scenarios with these names or series; without names all, extended ones only if `extended` is set.

    Raises:
        ConfigurationError: A name is unknown.
    """
    if not names:
        return [one for one in scenarios if extended or not one.extended]
    known = {name for one in scenarios for name in (one.name, one.series) if name}
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no scenario {name!r}; {did_you_mean(name, known)}")
    return [one for one in scenarios if one.name in names or one.series in names]


def _read(table: Any, number: int, source: str, contenders: Collection[str]) -> Iterator[Scenario]:
    """Yield the scenario of a table, or one for each of its steps."""
    name = table.get("name") if isinstance(table, dict) else None
    place = f"{source}: scenario {name or f'number {number}'}"
    read = _convert(table, place)
    for contender in read.contenders:
        if contender not in contenders:
            suggestion = did_you_mean(contender, contenders)
            raise ConfigurationError(f"{place}: there is no contender {contender!r}; {suggestion}")
    if bool(read.over) != bool(read.steps):
        raise ConfigurationError(f"{place}: 'over' and 'steps' must be set together")
    for step in read.steps or (None,):
        scenario = _scenario(read, step, place)
        problem = _problem(scenario)
        if problem:
            raise ConfigurationError(f"{place}: {problem}")
        yield scenario


def _convert(table: Any, place: str) -> _ScenarioTable:
    for key in table if isinstance(table, dict) else ():
        if key not in _KEYS:
            raise ConfigurationError(f"{place}: there is no setting {key!r}; {did_you_mean(key, _KEYS)}")
    try:
        return msgspec.convert(table, _ScenarioTable)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {error}") from error


def _scenario(table: _ScenarioTable, step: int | None, place: str) -> Scenario:
    days = step if step is not None and table.over == "days" else table.days
    count = step if table.over in ("symbols", "bars") else None
    symbols = _symbols(table, count, place)
    return Scenario(
        name=table.name if step is None else f"{table.name}-{step}",
        series="" if step is None else table.name,
        kind=table.kind,
        symbols=tuple(symbols),
        resolution=table.resolution,
        first=table.first,
        days=days,
        bars=table.bars,
        contenders=tuple(table.contenders),
        per_minute=table.per_minute,
        runs=table.runs,
        extended=table.extended,
        over=table.over,
        made_up=isinstance(table.symbols, int),
    )


def _symbols(table: _ScenarioTable, count: int | None, place: str) -> list[str]:
    """Return the first `count` symbols of a table; all if `count` is None."""
    try:
        if isinstance(table.symbols, int):
            symbols = [f"S{number:03}" for number in range(count or table.symbols)]
        else:
            symbols = [parse_symbol(symbol) for symbol in table.symbols]
    except ValueError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    if count is not None and count > len(symbols):
        raise ConfigurationError(f"{place}: a step needs {count} symbols, and only {len(symbols)} are listed")
    return symbols[:count]


def _problem(one: Scenario) -> str:
    """Return what is invalid, or an empty text."""
    max_bars = _MAX_BARS.get(one.resolution)
    if max_bars is None:
        return f"the resolution must be one of {', '.join(_MAX_BARS)}"
    checks = {
        "its name must be one word": one.name.strip() and not any(char.isspace() for char in one.name),
        "symbols must be a number of at least 1, or a list without repetitions": one.symbols
        and len(set(one.symbols)) == len(one.symbols),
        "days and runs must be at least 1": one.days >= 1 and (one.runs is None or one.runs >= 1),
        f"bars must be 1 to {max_bars:,} for {one.resolution.value} bars": 1 <= one.bars <= max_bars,
        "per_minute, at least 1, is required for the kind 'budget' and not allowed for other kinds": (
            (one.kind is ScenarioKind.BUDGET) == (one.per_minute is not None)
        )
        and (one.per_minute is None or one.per_minute >= 1),
        f"the kind {one.kind.value!r} needs a file for each day, which daily bars do not have": (
            one.kind not in _BY_DAY or one.resolution is not Resolution.DAILY
        ),
    }
    return next((problem for problem, valid in checks.items() if not valid), "")
