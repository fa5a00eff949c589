"""What the real engine fed for small data folders, line by line; also with other prices, days and tickers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import Alteration, Line, MovedCalendar, lines_of, questions

QUESTIONS = questions()
CALENDAR = USEquityTradingCalendar.shipped()
ALTERATIONS = [
    Alteration(3, timedelta(weeks=-61), {"X": "QQZ", "OLD": "AAB", "NEW": "ZZ.C", "BRK.B": "K.A"}),
    Alteration(7, timedelta(weeks=8), {"X": "NEW", "OLD": "NEW", "NEW": "OLD", "BRK.B": "OLD"}),
]


def close_to(lines: list[Line]) -> list[Line]:
    """Lines with numbers that may differ in their last digit."""
    return [tuple(pytest.approx(one, rel=1e-14) if isinstance(one, float) else one for one in line) for line in lines]


def test_there_are_all_questions_without_universes() -> None:
    """52 were put to the engine, 9 of them about universe files."""
    assert len(QUESTIONS) == 43


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_engine_fed_these_lines(name: str) -> None:
    """Every bar, split, dividend, delisting and rename, in order, equal to the last digit."""
    question = QUESTIONS[name]

    assert lines_of(question.read(CALENDAR).items) == question.lines


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=["later-letters", "tickers-swapped"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_other_prices_days_and_tickers(name: str, alteration: Alteration) -> None:
    """The same rules hold: prices are multiplied, days moved by weeks together with the calendar, tickers replaced."""
    question = alteration.of(QUESTIONS[name])

    feed = question.read(MovedCalendar(CALENDAR, alteration.move))

    assert lines_of(feed.items) == close_to(question.lines)
    assert question.files != QUESTIONS[name].files
