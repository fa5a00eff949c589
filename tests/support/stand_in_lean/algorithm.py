"""What an algorithm asks for in its initialization."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

RESOLUTIONS = ("tick", "second", "minute", "hour", "daily")
BARS_PER_DAY = {"second": 23_400, "minute": 390, "hour": 7, "daily": 1}


class Security(NamedTuple):
    """A share that the algorithm subscribes to."""

    ticker: str
    resolution: str


class Span(NamedTuple):
    """How far back: a number of bars of a resolution, or a time."""

    bars: int | None = None
    resolution: str = "daily"
    time: timedelta | None = None


class History(NamedTuple):
    """A request for past bars."""

    tickers: tuple[str, ...]
    resolution: str
    back: Span = Span()
    first: date | None = None
    last: date | None = None


class AlgorithmError(Exception):
    """The algorithm cannot be loaded or initialized.

    Attributes:
        loading: Whether its file could not be loaded.
        message: LEAN's text, with the file and line.
    """

    def __init__(self, message: str, *, loading: bool) -> None:
        super().__init__(message)
        self.message = message
        self.loading = loading


class Algorithm:
    """What was recorded of an algorithm's initialization."""

    def __init__(self, file: Path, parameters: Mapping[str, str]) -> None:
        self.file = file
        self.parameters = dict(parameters)
        self.start = date(1998, 1, 2)
        self.end = date.today() - timedelta(1)
        self.cash = 100_000.0
        self.securities: list[Security] = []
        self.benchmark: str | None = "SPY"
        self.warm_up: Span | None = None
        self.histories: list[History] = []
        self.selectors: list[Callable[[list[Any]], Iterable[str]] | None] = []
        self.universe_resolution = "minute"
        self.lines: list[tuple[str, str]] = []
        """What it logged: ``Log``, ``Debug`` or ``Error``, and the text."""

    def add(self, ticker: str, resolution: str) -> None:
        """Subscribe to a share, once."""
        security = Security(ticker.upper(), resolution)
        if security not in self.securities:
            self.securities.append(security)

    def need_valid_range(self) -> None:
        """Fail as LEAN does where the range ends before it starts (LEAN: ``AlgorithmSetupException``)."""
        if self.end < self.start:
            raise AlgorithmError("Please select an algorithm end date greater than the start date.", loading=False)


def read_csharp(source: str, type_name: str, algorithm: Algorithm) -> None:
    """Read the source that the stand-in for the compiler put into a DLL.

    Raises:
        AlgorithmError: There is no such class.
    """
    classes = _classes(source)
    names = [name for name in classes if f".{name}".endswith(f".{type_name}")]
    if not classes or (len(classes) > 1 and len([name for name in names if "." in name]) != 1):
        raise AlgorithmError(
            "Algorithm type name not found, or unable to resolve multiple algorithm types to a single type. Please "
            "verify algorithm type name matches the algorithm name in the configuration file and that there is one "
            "and only one class derived from QCAlgorithm.",
            loading=True,
        )
    body = source[classes[names[0] if len(classes) > 1 else next(iter(classes))] :]
    following = [at for at in sorted(classes.values()) if at > len(source) - len(body)]
    body = body[: following[0] - (len(source) - len(body))] if following else body
    _read_calls(body, algorithm)


def _classes(source: str) -> dict[str, int]:
    """The algorithms of a C# source by name, with the namespace where there is one, and where each starts."""
    found, namespace = {}, ""
    for match in re.finditer(r"\bnamespace\s+([\w.]+)|\bclass\s+(\w+)\s*:\s*(?:[\w.]+\.)?QCAlgorithm\b", source):
        if match[1]:
            namespace = f"{match[1]}."
        else:
            found[namespace + match[2]] = match.start()
    return found


def _read_calls(body: str, algorithm: Algorithm) -> None:
    given = algorithm.parameters
    dates = {"Start": "start", "End": "end"}
    for name, attribute in dates.items():
        if match := re.search(rf"Set{name}Date\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", body):
            setattr(algorithm, attribute, date(*map(int, match.groups())))
        elif f'"backtest-{attribute}"' in body and f"backtest-{attribute}" in given:
            setattr(algorithm, attribute, date.fromisoformat(given[f"backtest-{attribute}"]))
    for ticker, resolution in re.findall(r'AddEquity\(\s*"([\w.]+)"(?:\s*,\s*Resolution\.(\w+))?', body):
        algorithm.add(ticker, (resolution or "minute").lower())
    if '"backtest-symbols"' in body:
        for ticker in given.get("backtest-symbols", "").split(","):
            algorithm.add(ticker, given.get("backtest-resolution", "minute"))
    if match := re.search(r'SetBenchmark\(\s*(?:"([\w.]+)")?', body):
        algorithm.benchmark = match[1]
    if match := re.search(r"SetWarm[Uu]p\(\s*(\d+)(?:\s*,\s*Resolution\.(\w+))?", body):
        resolution = match[2] or (algorithm.securities[0].resolution if algorithm.securities else "daily")
        algorithm.warm_up = Span(int(match[1]), resolution.lower())
    if match := re.search(r'throw new \w*Exception\("([^"]*)"\);\s*//\s*in Initialize', body):
        raise AlgorithmError(match[1], loading=False)


def resolution_of(value: object, default: str = "minute") -> str:
    """The name of a resolution."""
    return value if isinstance(value, str) and value in RESOLUTIONS else default


def day_of(value: object) -> date | None:
    """The day of a date or a time."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None
