"""Reads LEAN's log: ``log.txt`` and the console, which differ in the form of the time.

A message may have several lines (LEAN: ``FileLogHandler``, ``ConsoleLogHandler``). LEAN appends to a log.txt that
exists, so only the messages of the last run count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from typing import NamedTuple

_MESSAGE = re.compile(r"^(?:\d{8} |\d{4}-\d\d-\d\d[T ])\d\d:\d\d:\d\d(?:\.\d+)?Z?\s+(TRACE|ERROR|DEBUG)::[ ]?(.*)$")
_ENGINE_START = "Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE"
_CANCELLED = re.compile(r"(?:[\w.]+\(\): )?Lean instance has been cancelled")
_DATA_POINTS = re.compile(r"Processing total of ([\d,]+) data points")
_USAGE = re.compile(r"^DATA USAGE:: (.+?) (\d+)$", re.MULTILINE)
_NOT_FOUND = re.compile(r"SubscriptionDataSourceReader\.InvalidSource\(\): File not found: (.+)")
_CORRUPT = re.compile(r"ZipDataCacheProvider\.\w+\(\): Corrupt zip file/entry: (.+?\.zip)")
_NO_FOLDER = re.compile(r"Local\w+\.\w+\([^)]*\): The specified directory does not exist: (.+)")
_DATES = re.compile(r"Dates: Start: (\d\d)/(\d\d)/(\d{4}) End: (\d\d)/(\d\d)/(\d{4})")
_BENCHMARK = re.compile(r"Adding internal benchmark data feed ([^,]+),")

Span = tuple[date, date]
"""A first and a last day."""


class LogMessage(NamedTuple):
    """A message of LEAN.

    Attributes:
        level: ``TRACE``, ``ERROR`` or ``DEBUG``.
        text: All lines of the message.
    """

    level: str
    text: str


class LeanLog(NamedTuple):
    """The messages of one run of LEAN."""

    messages: tuple[LogMessage, ...] = ()

    @property
    def cancelled(self) -> bool:
        """Whether LEAN was interrupted (LEAN: ``Program.ExitKeyPress``); the algorithm's own lines do not count."""
        return any(_CANCELLED.match(message.text) for message in self.messages)

    @property
    def data_points(self) -> int | None:
        """The number of data points that the engine processed; None if unknown."""
        return data_points_in("\n".join(message.text for message in self.messages))

    @property
    def data_usage(self) -> dict[str, int]:
        """The counts of data requests by LEAN's names (LEAN: ``DataMonitor.GenerateReport``)."""
        return {name: int(count) for one in self.messages for name, count in _USAGE.findall(one.text)}

    @property
    def not_found(self) -> tuple[str, ...]:
        """The paths of files that a reader did not find, as logged."""
        return tuple(self._errors(_NOT_FOUND))

    @property
    def corrupt(self) -> tuple[str, ...]:
        """The paths of zips that could not be read, as logged."""
        return tuple(self._errors(_CORRUPT))

    @property
    def absent_folders(self) -> tuple[str, ...]:
        """The folders of map files that do not exist, as logged."""
        return tuple(self._errors(_NO_FOLDER))

    @property
    def benchmark(self) -> str | None:
        """The ticker of the benchmark, if LEAN added a series for it (LEAN: ``AddPendingInternalDataFeeds``)."""
        found = [match[1] for message in self.messages if (match := _BENCHMARK.search(message.text))]
        return found[-1].upper() if found else None

    @property
    def dates(self) -> Span | None:
        """The first and last day that the algorithm set; None if unknown."""
        return logged_dates("\n".join(message.text for message in self.messages))

    @property
    def errors(self) -> tuple[str, ...]:
        """The texts of all error messages."""
        return tuple(message.text for message in self.messages if message.level == "ERROR")

    def _errors(self, pattern: re.Pattern[str]) -> Iterator[str]:
        for message in self.messages:
            if message.level == "ERROR" and (match := pattern.match(message.text)):
                yield match[1].strip()


def data_points_in(text: str) -> int | None:
    """Return the number of data points that a text of LEAN states last; None where it states none.

    Args:
        text: Of log.txt, or of ``<id>-log.txt``.
    """
    found = _DATA_POINTS.findall(text)
    return int(found[-1].replace(",", "")) if found else None


def logged_dates(log: str) -> Span | None:
    """Return the first and last day that the algorithm set, from LEAN's log (LEAN: ``BacktestingSetupHandler``)."""
    found = _DATES.findall(log)
    with suppress(ValueError, IndexError):
        month, day, year, last_month, last_day, last_year = map(int, found[-1])
        return date(year, month, day), date(last_year, last_month, last_day)
    return None


def parse_log(text: str) -> LeanLog:
    """Return the messages of the last run in a log.

    Args:
        text: The content of log.txt, or what LEAN printed.
    """
    messages = tuple(_messages(text.splitlines()))
    starts = [number for number, message in enumerate(messages) if message.text.startswith(_ENGINE_START)]
    return LeanLog(messages[starts[-1] :] if starts else messages)


def _messages(lines: Iterable[str]) -> Iterator[LogMessage]:
    """Join lines to messages; lines before the first message are dropped."""
    level, parts = "", [""]
    for line in lines:
        if match := _MESSAGE.match(line):
            if level:
                yield LogMessage(level, "\n".join(parts))
            level, parts = match[1], [match[2]]
        else:
            parts.append(line)
    if level:
        yield LogMessage(level, "\n".join(parts))
