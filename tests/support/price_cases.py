"""Events and closes of one share, for the tests of their comparison."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from server.corporate_actions.model import Dividend, Events, Split
from server.corporate_actions.price_check import CheckedEvents, check_events
from tests.support.corporate import weekdays

CALENDAR = weekdays()
DAYS = CALENDAR.trading_days(date(2017, 1, 3), date(2017, 3, 31))
EX = DAYS[6]  # 2017-01-11


def closes(*texts: str | None, first: date = DAYS[5]) -> dict[date, Decimal | None]:
    """Closes of sessions in a row, from the one before the ex-date on; None for a session without a bar."""
    start = DAYS.index(first)
    return {DAYS[start + at]: None if text is None else Decimal(text) for at, text in enumerate(texts)}


def checked(known: Mapping[date, Decimal | None], *events: Split | Dividend) -> CheckedEvents:
    """The result of comparing events with closes."""
    listed = Events(
        splits=tuple(one for one in events if isinstance(one, Split)),
        dividends=tuple(one for one in events if isinstance(one, Dividend)),
    )
    return check_events("T", listed, known, CALENDAR)


def kinds(found: CheckedEvents) -> list[tuple[date, str]]:
    """Day and kind of each doubt."""
    return [(doubt.day, doubt.kind) for doubt in found.doubts]
