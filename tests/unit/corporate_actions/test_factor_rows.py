"""The rows of factor files, compared with arithmetic on the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.corporate_actions.model import Dividend, Events, Split
from server.corporate_actions.rows import FactorFileError, closes_needed, factor_rows
from server.lean.factor_file import LAST_ROW, FactorRow, render_factor_file
from tests.support.corporate import dividend, split, weekdays

CALENDAR = weekdays()
FIRST = date(2020, 1, 2)
LAST = date(2021, 3, 31)


def day(text: str) -> date:
    return date.fromisoformat(text)


def file_of(events: Events, closes: dict[str, str], first: date = FIRST, last: date = LAST) -> list[str]:
    prices = {day(text): Decimal(price) for text, price in closes.items()}
    return render_factor_file(factor_rows(first, events, prices, CALENDAR, last_day=last)).split("\n")


# --- rows ---


def test_without_events() -> None:
    """One row for the first day and one for the end of time."""
    assert file_of(Events(), {}) == ["20200102,1,1,1", "20501231,1,1,0"]


def test_the_worked_example() -> None:
    """Apple's last events, as LEAN's own file has them: a row is dated the session before, unadjusted amounts."""
    events = Events(
        splits=(split("2020-08-31", "4"),),
        dividends=(dividend("2020-08-07", "0.82"), dividend("2020-11-06", "0.205"), dividend("2021-02-05", "0.205")),
    )
    closes = {"2020-08-06": "455.61", "2020-08-28": "499.23", "2020-11-05": "119.03", "2021-02-04": "137.39"}

    assert file_of(events, closes) == [
        "20200102,0.9949942,0.25,1",
        "20200806,0.9949942,0.25,455.61",
        "20200828,0.9967882,0.25,499.23",
        "20201105,0.9967882,1,119.03",
        "20210204,0.9985079,1,137.39",
        "20501231,1,1,0",
    ]


def test_two_events_on_one_day_make_one_row() -> None:
    """A split and two dividends on one day: one row; the dividends are per share before the split."""
    events = Events(
        splits=(split("2020-06-15", "2"),), dividends=(dividend("2020-06-15", "1"), dividend("2020-06-15", "4"))
    )

    assert file_of(events, {"2020-06-12": "100"})[1] == "20200612,0.95,0.5,100"


def test_a_day_without_trading() -> None:
    """An event dated on a Saturday falls on Monday's row, together with what Monday has."""
    events = Events(dividends=(dividend("2020-06-13", "1"), dividend("2020-06-15", "4")))

    assert closes_needed(events, FIRST, CALENDAR, last_day=LAST) == [day("2020-06-12")]
    assert file_of(events, {"2020-06-12": "100"})[1] == "20200612,0.95,1,100"


def test_events_up_to_the_first_day_are_left_out() -> None:
    """They adjust nothing, and need no close; the one on the next day takes the place of the first row."""
    before = Events(dividends=(dividend("2019-05-08", "1"), dividend("2020-01-02", "1")))
    after = Events(dividends=(dividend("2020-01-03", "1"),))

    assert closes_needed(before, FIRST, CALENDAR, last_day=LAST) == []
    assert file_of(before, {}) == ["20200102,1,1,1", "20501231,1,1,0"]
    assert file_of(after, {"2020-01-02": "50"}) == ["20200102,0.98,1,50", "20501231,1,1,0"]


def test_a_first_day_without_trading() -> None:
    """What happened before the first session after it is left out."""
    events = Events(dividends=(dividend("2020-06-15", "1"), dividend("2020-06-16", "1")))

    rows = file_of(events, {"2020-06-15": "50"}, first=day("2020-06-13"))

    assert rows == ["20200613,0.98,1,1", "20200615,0.98,1,50", "20501231,1,1,0"]


def test_nothing_before_the_calendar() -> None:
    """A share that is older than LEAN's data begins with them, and so do its events."""
    events = Events(splits=(split("1987-06-16", "2"), split("1998-01-02", "2"), split("1998-01-05", "2")))

    rows = file_of(events, {"1998-01-02": "16.25"}, first=day("1980-12-12"))

    assert rows == ["19980102,1,0.5,16.25", "20501231,1,1,0"]


@pytest.mark.parametrize(("last", "rows"), [("2020-08-27", 2), ("2020-08-28", 3), ("2020-08-31", 3)])
def test_an_event_counts_once_the_close_before_it_is_known(last: str, rows: int) -> None:
    """A split of Monday is left out on Thursday and in it after Friday's close, before Monday's bars come."""
    events = Events(splits=(split("2020-08-31", "4"), split("2050-01-03", "4")))

    assert len(file_of(events, {"2020-08-28": "499.23"}, last=day(last))) == rows
    assert len(closes_needed(events, FIRST, CALENDAR, last_day=day(last))) == rows - 2


def test_a_close_may_be_a_double() -> None:
    """A double is taken as its 15 significant digits, as C# does."""
    events = Events(dividends=(dividend("2020-06-15", "1"),))
    rows = factor_rows(FIRST, events, {day("2020-06-12"): 100.1 + 0.2}, CALENDAR, last_day=LAST)

    assert rows[1].reference == Fraction(1003, 10)
    assert rows[1].price_factor == Fraction(993, 1003)


# --- what cannot be computed ---


@pytest.mark.parametrize("close", ["0", "-1", "NaN", "Infinity", "0.00004"])
def test_a_close_that_is_no_price(close: str) -> None:
    """It is named with its day and with the event that needs it."""
    with pytest.raises(
        FactorFileError, match=r"on 2020-06-12 the close .* is not a price; the event of 2020-06-15"
    ) as raised:
        file_of(Events(splits=(split("2020-06-15", "2"),)), {"2020-06-12": close})

    assert raised.value.days == (day("2020-06-12"),)


def test_a_missing_close() -> None:
    """It is named with its day and with the event that needs it."""
    with pytest.raises(
        FactorFileError, match="on 2020-06-12 the close is missing, which the event of 2020-06-15"
    ) as raised:
        file_of(Events(splits=(split("2020-06-15", "2"),)), {"2020-06-11": "3"})

    assert raised.value.days == (day("2020-06-12"),)
    assert raised.value.code == "data_download"


@pytest.mark.parametrize("amount", ["12", "12.5"])
def test_a_dividend_not_less_than_the_close(amount: str) -> None:
    """It cannot be, since the factor would be nothing or less."""
    message = rf"on 2020-06-12 the dividend of 2020-06-15, \${amount}, is not less than the close 12"
    with pytest.raises(FactorFileError, match=message):
        file_of(Events(dividends=(dividend("2020-06-15", amount),)), {"2020-06-12": "12"})


@pytest.mark.parametrize("new", ["1000000000000", "0.00000000000000000000000000001"])
def test_a_factor_that_lean_could_not_read(new: str) -> None:
    """One that would be printed as 0, or is beyond C#'s numbers, is refused: LEAN would ignore the row or the file."""
    message = "on 2020-06-12 with the event of 2020-06-15 a factor is outside the numbers"
    with pytest.raises(FactorFileError, match=message):
        file_of(Events(splits=(split("2020-06-15", new),)), {"2020-06-12": "1000"})


# --- rules that hold for all events ---

YEAR = [date(2020, 1, 1) + timedelta(days=n) for n in range(366)]
EX_DATES = st.dates(date(2019, 12, 1), date(2021, 2, 1))
CENTS = st.integers(1, 500).map(lambda cents: Decimal(cents) / 100)
DIVIDENDS = st.lists(st.builds(Dividend, ex_date=EX_DATES, amount=CENTS), max_size=6)
RATIOS = st.sampled_from(["2", "3", "7", "20", "1.05", "1"]).map(Decimal)
SPLITS = st.lists(st.builds(Split, ex_date=EX_DATES, old=RATIOS, new=RATIOS), max_size=3)
EVENTS = st.builds(Events, splits=SPLITS.map(tuple), dividends=DIVIDENDS.map(tuple))


def close_of(when: date) -> Decimal:
    """A price of 50 to 130 dollars that depends on the day alone."""
    return Decimal(5000 + when.toordinal() * 37 % 8000) / 100


CLOSES = {when: close_of(when) for when in CALENDAR.trading_days(FIRST, LAST)}


def rows_of(events: Events) -> list[FactorRow]:
    return factor_rows(FIRST, events, CLOSES, CALENDAR, last_day=date(2020, 12, 31))


def weekday_before(when: date) -> date:
    when -= timedelta(days=1)
    return when if when.weekday() < 5 else weekday_before(when)


def by_arithmetic(events: Events, when: date) -> tuple[Fraction, Fraction]:
    """The factors of a day: of each later event one factor, dividends before the same session as one."""
    price, split_factor = Fraction(1), Fraction(1)
    paid: dict[date, Fraction] = {}
    for one in events.dividends:
        before = weekday_before(one.ex_date)
        if FIRST <= before <= date(2020, 12, 31) and when <= before:
            paid[before] = paid.get(before, Fraction(0)) + Fraction(one.amount)
    for before, amount in paid.items():
        price *= (Fraction(close_of(before)) - amount) / Fraction(close_of(before))
    for other in events.splits:
        before = weekday_before(other.ex_date)
        if FIRST <= before <= date(2020, 12, 31) and when <= before:
            split_factor *= Fraction(other.old) / Fraction(other.new)
    return price, split_factor


def factors_at(rows: Sequence[FactorRow], when: date) -> tuple[Fraction, Fraction]:
    row = next(row for row in rows if row.date >= when)
    return row.price_factor, row.split_factor


@settings(deadline=None)  # a loaded machine is no fault
@given(events=EVENTS)
def test_rows_adjust_as_arithmetic_on_the_events_does(events: Events) -> None:
    """For every day of a year, exactly; and the closes needed are those of the rows."""
    rows = rows_of(events)

    for when in YEAR[1:]:
        assert factors_at(rows, when) == by_arithmetic(events, when), when
    needed = closes_needed(events, FIRST, CALENDAR, last_day=date(2020, 12, 31))
    assert {*needed, FIRST} == {row.date for row in rows[:-1]}
    assert all(row.reference == Fraction(close_of(row.date)) for row in rows if row.date in needed)
    assert rows[-1] == LAST_ROW


@settings(deadline=None)  # a loaded machine is no fault
@given(events=EVENTS, data=st.data())
def test_the_order_of_events_does_not_matter(events: Events, data: st.DataObject) -> None:
    """The same rows whatever the order."""
    splits, dividends = (data.draw(st.permutations(list(each))) for each in (events.splits, events.dividends))

    assert rows_of(Events(splits=tuple(splits), dividends=tuple(dividends))) == rows_of(events)


@settings(deadline=None)  # a loaded machine is no fault
@given(events=EVENTS, more=st.builds(Dividend, ex_date=EX_DATES, amount=CENTS))
def test_one_more_event_changes_only_rows_before_it(events: Events, more: Dividend) -> None:
    """Rows from its ex-date on stay; older rows keep their dates, closes and split factors."""
    before = rows_of(events)
    after = rows_of(Events(splits=events.splits, dividends=(*events.dividends, more)))

    assert [row for row in after if row.date >= more.ex_date] == [row for row in before if row.date >= more.ex_date]
    dated = {row.date: row for row in after}
    for row in before:
        assert dated[row.date].split_factor == row.split_factor
        assert row.date == FIRST or dated[row.date].reference == row.reference
    assert {row.date for row in after} - {row.date for row in before} <= {weekday_before(more.ex_date)}
