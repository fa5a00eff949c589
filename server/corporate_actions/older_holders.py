"""Whether bars from before a share's files belong to an older holder of its ticker, as the data folder shows it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from server.corporate_actions.identity import PAUSE_SESSIONS
from server.data_download.days_on_disk import days_on_disk
from server.lean.errors import FormatError
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.trading_calendar import USEquityTradingCalendar


def days_of_older_holder(root: Path, ticker: str, begin: date, calendar: USEquityTradingCalendar) -> list[date]:
    """Return the days with bars of a ticker from before a day, ascending, if they belong to an older holder.

    A file ``<name>.<n>.csv`` is QuantConnect's map or factor file of an older holder (LEAN: ``MapFile.Permtick``); a
    pause of `PAUSE_SESSIONS` without bars up to the share's first bar indicates one, too.

    Args:
        root: LEAN's data folder.
        ticker: Upper case.
        begin: The first day of the share's files.
        calendar: The trading calendar.
    """
    every = sorted(days_on_disk(root, ticker))
    days = [day for day in every if day < begin]
    if not days:
        return []
    after = next((day for day in every if day >= begin), None)
    older = _has_file_of_older_holder(root, ticker, days) or (
        after is not None and _sessions_between(days[-1], after, calendar) >= PAUSE_SESSIONS
    )
    return days if older else []


def _has_file_of_older_holder(root: Path, ticker: str, days: Sequence[date]) -> bool:
    """Whether a file of an older holder has the ticker's name, or the ticker on one of these days."""
    for folder in (MAP_FILES, FACTOR_FILES):
        for path in (root / folder).glob("*.*.csv"):
            name, _, number = path.stem.rpartition(".")
            if not (number.isascii() and number.isdigit()):
                continue
            if name == ticker.lower() or (folder == MAP_FILES and _had_ticker(path, ticker, days)):
                return True
    return False


def _had_ticker(path: Path, ticker: str, days: Sequence[date]) -> bool:
    with suppress(OSError, FormatError):
        rows = parse_map_file(path.read_text(encoding="utf-8", errors="replace"))
        spans = spans_by_ticker(rows, days[0], days[-1]) if rows else []
        return any(span.ticker == ticker and any(span.first <= day <= span.last for day in days) for span in spans)
    return False


def _sessions_between(last: date, first: date, calendar: USEquityTradingCalendar) -> int:
    """The number of sessions after one day and before another."""
    begin, end = max(last + timedelta(days=1), calendar.first_day), min(first, calendar.last_day) - timedelta(days=1)
    return len(calendar.trading_days(begin, end)) if begin <= end else 0
