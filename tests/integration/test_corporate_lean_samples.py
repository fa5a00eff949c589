"""Factor and map files against those of LEAN's own sample data."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from server.corporate_actions.existing_file import factor_differences
from server.corporate_actions.model import Dividend, Events, Listing, Renames
from server.corporate_actions.rows import closes_needed, factor_rows, inception, map_rows
from server.lean.factor_file import parse_factor_file, render_factor_file
from server.lean.map_file import parse_map_file, render_map_file
from server.lean.price_adjustment import corporate_events, factors_on
from server.trading_calendar import USEquityTradingCalendar
from tests.support.corporate import APPLE

LAST_DAY = date(2021, 3, 31)
"""The last day of the sample's daily bars."""


@pytest.fixture(scope="module")
def calendar() -> USEquityTradingCalendar:
    return USEquityTradingCalendar.load(date(2025, 6, 2))


def usa(lean_sample_data: Path) -> Path:
    return lean_sample_data / "equity" / "usa"


def daily_closes(lean_sample_data: Path, ticker: str) -> dict[date, Decimal]:
    """Read here without the product: a row is ``20200828 00:00,open,high,low,close,volume`` in 1/10,000 dollars."""
    with zipfile.ZipFile(usa(lean_sample_data) / "daily" / f"{ticker}.zip") as file:
        rows = [line.split(",") for line in file.read(f"{ticker}.csv").decode().split("\n")]
    return {datetime.strptime(row[0], "%Y%m%d %H:%M").date(): Decimal(row[4]) / 10_000 for row in rows}


def sample(lean_sample_data: Path, kind: str, ticker: str) -> list[str]:
    return (usa(lean_sample_data) / kind / f"{ticker}.csv").read_text(encoding="ascii").splitlines()


def first_day(lean_sample_data: Path, ticker: str) -> date:
    return parse_map_file("\n".join(sample(lean_sample_data, "map_files", ticker)))[0].date


def our_file(lean_sample_data: Path, calendar: USEquityTradingCalendar, ticker: str, events: Events) -> list[str]:
    closes = daily_closes(lean_sample_data, ticker)
    first = first_day(lean_sample_data, ticker)
    needed = closes_needed(events, first, calendar, last_day=LAST_DAY)
    rows = factor_rows(first, events, {day: closes[day] for day in needed}, calendar, last_day=LAST_DAY)
    return render_factor_file(rows).split("\n")


def test_apple_from_the_public_record(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """Row for row: dates, price factors and reference prices are equal; split factors where the ratio is exact.

    The file has 1/28 as 0.03571430 and 1/56 as 0.01785710: its vendor gave ratios of six significant digits.
    """
    ours, theirs = our_file(lean_sample_data, calendar, "aapl", APPLE), sample(lean_sample_data, "factor_files", "aapl")

    assert len(ours) == len(theirs) == 41
    vendors_ratio = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert {tuple(row.split(",")[2] for row in pair) for pair in vendors_ratio} == {
        ("0.03571429", "0.03571430"),
        ("0.01785714", "0.01785710"),
    }
    for mine, other in vendors_ratio:
        assert [mine.split(",")[at] for at in (0, 1, 3)] == [other.split(",")[at] for at in (0, 1, 3)]


def test_apple_with_the_vendors_ratios(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """With the cumulative ratios of six digits that the file shows, every number of it is equal."""
    ratios = ("0.00892857", "0.0178571", "0.0357143", "0.25", "1")
    splits = [
        evolve(one, old=Decimal(before), new=Decimal(after))
        for one, (before, after) in zip(APPLE.splits, pairwise(ratios), strict=True)
    ]
    ours = our_file(lean_sample_data, calendar, "aapl", evolve(APPLE, splits=tuple(splits)))
    theirs = sample(lean_sample_data, "factor_files", "aapl")

    assert [numbers(line) for line in ours] == [numbers(line) for line in theirs]


def numbers(line: str) -> list[Decimal]:
    return [Decimal(field) for field in line.split(",")]


def shortest_dividends(lean_sample_data: Path, calendar: USEquityTradingCalendar, ticker: str) -> Iterator[Dividend]:
    """The dividend of each row: the amount with the fewest decimals that gives the printed factor.

    The file's vendor had amounts of its own (SPY's of 2020-12-18 is some 1.58, issued were 1.580025), so the public
    record does not give its digits. This is arithmetic on the file alone, newest row first, nothing rounded between.
    """
    closes = daily_closes(lean_sample_data, ticker)
    rows = [line.split(",") for line in sample(lean_sample_data, "factor_files", ticker)]
    newer = Fraction(1)
    for label, printed, _, _ in reversed(rows[1:-1]):
        day = datetime.strptime(label, "%Y%m%d").date()
        close, factor = Fraction(closes[day]), Fraction(printed)
        about = close * (1 - factor / newer)
        amounts = (
            round(about, decimals) + Fraction(step, 10**decimals) for decimals in range(2, 7) for step in (0, -1, 1)
        )
        amount = next(one for one in amounts if round(newer * (close - one) / close, 7) == factor)
        newer *= (close - amount) / close
        yield Dividend(ex_date=calendar.next_trading_day(day), amount=Decimal(amount.numerator) / amount.denominator)


def test_spy(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """Its 94 dividends, as the file's vendor had them, and the closes of its daily file give the file itself."""
    dividends = tuple(shortest_dividends(lean_sample_data, calendar, "spy"))

    assert our_file(lean_sample_data, calendar, "spy", Events(dividends=dividends)) == sample(
        lean_sample_data, "factor_files", "spy"
    )
    assert len(dividends) == 94


def test_reading_every_factor_file(lean_sample_data: Path) -> None:
    """Each file of the samples is read with as many rows as it has lines, and printed again with equal numbers."""
    files = sorted((usa(lean_sample_data) / "factor_files").glob("*.csv"))

    for path in files:
        text = path.read_text(encoding="ascii")
        lines = [line for line in dict.fromkeys(text.splitlines()) if "inf" not in line and "e+" not in line]
        rows = parse_factor_file(text)
        lines = [line for line in lines if all(number > 0 for number in numbers(line)[1:3])]
        assert sorted(map(numbers, render_factor_file(rows).split("\n"))) == sorted(numbers(line)[:4] for line in lines)
        assert factor_differences(rows, rows).count == 0
    assert files


def test_map_files_are_printed_as_they_were(lean_sample_data: Path) -> None:
    """Each map file of the samples, byte for byte."""
    files = sorted((usa(lean_sample_data) / "map_files").glob("*.csv"))

    for path in files:
        assert render_map_file(parse_map_file(path.read_text(encoding="ascii"))).encode() == path.read_bytes(), (
            path.name
        )
    assert files


def test_apples_map_file(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """From what reference data say of Apple, LEAN's own file."""
    apple = Listing(ticker="AAPL", active=True, exchange="XNAS", listed=date(1980, 12, 12))
    rows = map_rows("AAPL", apple, Renames(), inception(apple, Renames(), calendar), calendar)

    assert render_map_file(rows).splitlines() == sample(lean_sample_data, "map_files", "aapl")


def test_a_split_is_no_crash(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """Over 2020-08-31 Apple's raw close falls by 74 per cent; adjusted by our file it rises by 3 and a half."""
    closes = daily_closes(lean_sample_data, "aapl")
    days = calendar.trading_days(date(2020, 8, 3), date(2020, 9, 30))
    raw = np.array([float(closes[day]) for day in days])
    rows = parse_factor_file("\n".join(our_file(lean_sample_data, calendar, "aapl", APPLE)))

    scaled = raw * np.array([float(factors_on(rows, day).both) for day in days])

    at = days.index(date(2020, 8, 31))
    assert raw[at] / raw[at - 1] - 1 == pytest.approx(-0.741, abs=0.001)
    assert scaled[at] / scaled[at - 1] - 1 == pytest.approx(0.034, abs=0.001)
    assert np.abs(np.diff(scaled) / scaled[:-1]).max() < 0.11


def test_what_apple_pays(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """Going through all days, the engine pays each dividend of the record to within a cent, and makes each split."""
    text = "\n".join(our_file(lean_sample_data, calendar, "aapl", APPLE))
    events = corporate_events(parse_factor_file(text), calendar.trading_days(date(1998, 1, 2), LAST_DAY))

    paid = {one.day: one.distribution for one in events if one.distribution}
    assert set(paid) == {one.ex_date for one in APPLE.dividends}
    assert all(abs(paid[one.ex_date] - Fraction(one.amount)) <= Fraction(1, 100) for one in APPLE.dividends)
    splits = {one.day: float(one.split) for one in events if one.split != 1}
    expected = {one.ex_date: float(Fraction(one.old) / Fraction(one.new)) for one in APPLE.splits}
    assert splits == pytest.approx(expected, rel=1e-6)


def test_a_split_listed_in_whole_numbers(lean_sample_data: Path, calendar: USEquityTradingCalendar) -> None:
    """Compared with LEAN's file, ours has no difference: six digits of a ratio are as many as its vendor gave."""
    ours = parse_factor_file("\n".join(our_file(lean_sample_data, calendar, "aapl", APPLE)))
    theirs = parse_factor_file("\n".join(sample(lean_sample_data, "factor_files", "aapl")))
    without = Events(splits=APPLE.splits, dividends=APPLE.dividends[:-1])
    lacking = parse_factor_file("\n".join(our_file(lean_sample_data, calendar, "aapl", without)))

    assert factor_differences(ours, theirs).count == 0
    assert factor_differences(lacking, theirs).sentences[0] == (
        "2021-02-04: only theirs has this row (price factor 0.9985079, split factor 1, close 137.39)"
    )
