"""Rows of LEAN's trade bars: what is rendered, what is parsed, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.bars import Bars
from server.lean.days import midnight
from server.lean.errors import FormatError
from server.lean.layout import FileContent, layout_of
from server.lean.numbers import price_text, volume_text
from server.lean.series import Resolution, Series
from server.lean.trade_csv import DayText, normalized

NEW_YORK = ZoneInfo("America/New_York")
DAY = date(2024, 3, 8)
MINUTE = 60_000
OPENING = 34_200_000
COLUMNS = ("open", "high", "low", "close", "volume")


def bars(time: Any, **columns: Any) -> Bars:
    """Bars of these times; columns that are not given are a dollar, or a share."""
    time = np.array(time, np.int64)
    given = {name: np.array(columns.get(name, np.ones(len(time))), np.float64) for name in COLUMNS}
    return Bars(time=time, **given)


def instant(day: date, milliseconds: int) -> int:
    """When New York's clocks showed this many milliseconds of a trading day, by Python's own time zones."""
    wall = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK) + timedelta(milliseconds=milliseconds)
    return round(wall.timestamp() * 1000)


def render(made: Bars, resolution: Resolution, days: Sequence[date]) -> list[DayText]:
    """The rows of bars."""
    return layout_of(Series("SPY", resolution)).render(made, days)


def parse(content: bytes, resolution: Resolution, day: date | None) -> Bars:
    """The bars of rows."""
    return layout_of(Series("SPY", resolution)).parse(content, day)


def check(content: bytes, resolution: Resolution) -> FileContent:
    """What a CSV of `DAY`, or of all days, holds."""
    return layout_of(Series("SPY", resolution)).check_rows(content, DAY)


def rule(value: float, factor: int) -> str:
    """LEAN's rule by hand: the double's 15 significant digits as a decimal, times the factor, plainly printed."""
    number = Decimal(format(value, ".15g")) * factor
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    if exponent >= 0:
        return (text + "0" * exponent).lstrip("0") or "0"
    text = text.rjust(1 - exponent, "0")
    whole, behind = text[:exponent].lstrip("0") or "0", text[exponent:].rstrip("0")
    return f"{whole}.{behind}" if behind else whole


def one_row(value: float, name: str) -> str:
    """The text of one number at its place in a row."""
    (text,) = render(bars([instant(DAY, OPENING)], **{name: [value]}), Resolution.MINUTE, [DAY])
    return text.csv.decode().split(",")[1 + COLUMNS.index(name)]


# --- numbers ---


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (123.45, "1234500"),
        (12.34567, "123456.7"),
        (0.00005, "0.5"),
        (0.00000001, "0.0001"),
        (0.0, "0"),
        (100.40000000000001, "1004000"),
        (0.1 + 0.2, "3000"),
        (499.23, "4992300"),
        (1e15, "10000000000000000000"),
    ],
)
def test_prices_are_ten_thousandths_neither_rounded_nor_cut(dollars: float, text: str) -> None:
    """The figures that LEAN's own number functions print."""
    assert price_text(dollars) == text
    assert one_row(dollars, "close") == text


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        (1234.0, "1234"),
        (100.5, "100.5"),
        (1e15, "1000000000000000"),
        (7.0661926525697e07, "70661926.525697"),
        (9099.618093, "9099.618093"),
        (0.0000001, "0.0000001"),
        (1.234567e6, "1234567"),
        (0.0, "0"),
    ],
)
def test_volumes_are_the_decimal_itself(shares: float, text: str) -> None:
    """Fractions stay, an exponent is never written."""
    assert volume_text(shares) == text
    assert one_row(shares, "volume") == text


POSITIVE = st.one_of(
    st.floats(0, 1e16, allow_nan=False),
    st.integers(0, 10**9).map(lambda cents: cents / 100),
    st.integers(0, 10**13).map(lambda units: units / 10_000),
    st.integers(0, 10**15).map(lambda units: units / 1_000_000),
    st.integers(0, 10**16).map(float),
)


@given(prices=st.lists(POSITIVE, min_size=1, max_size=30), volumes=st.lists(POSITIVE, min_size=1, max_size=30))
def test_any_numbers_are_printed_by_the_rule(prices: list[float], volumes: list[float]) -> None:
    """Whichever way through the code a column takes, each number's text is the decimal rule's."""
    rows = min(len(prices), len(volumes))
    prices, volumes = prices[:rows], volumes[:rows]
    made = bars(
        [instant(DAY, OPENING + row * MINUTE) for row in range(rows)],
        **dict.fromkeys(("open", "high", "low"), prices),
        close=prices[::-1],
        volume=volumes,
    )

    (text,) = render(made, Resolution.MINUTE, [DAY])
    expected = [
        ",".join(
            [str(OPENING + row * MINUTE), *[rule(p, 10_000)] * 3, rule(prices[rows - 1 - row], 10_000), rule(v, 1)]
        )
        for row, (p, v) in enumerate(zip(prices, volumes, strict=True))
    ]

    assert text.csv.decode().split("\n") == expected
    assert text.rows == rows


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.01])
@pytest.mark.parametrize("name", COLUMNS)
def test_what_is_no_price_or_volume_is_refused(name: str, wrong: float) -> None:
    """The error names the column and the minute."""
    made = bars([instant(DAY, OPENING), instant(DAY, OPENING + MINUTE)], **{name: [1.0, wrong]})

    with pytest.raises(FormatError, match=f"2024-03-08 09:31:00 New York has {name}"):
        render(made, Resolution.MINUTE, [DAY])


def test_the_greatest_double_is_printed_without_a_warning() -> None:
    """A number out of all measure is still a number."""
    assert one_row(1.7e308, "volume") == "17" + "0" * 307
    assert one_row(1.7e308, "open") == "17" + "0" * 311


# --- days ---

DAYS = st.dates(date(1998, 1, 2), date(2030, 12, 31)).filter(lambda day: day.weekday() < 5)


@given(day=DAYS, offset=st.integers(0, 86_399))
def test_times_are_new_yorks_wall_clock(day: date, offset: int) -> None:
    """On any weekday, whatever the season, a bar's first field is its time of day in New York."""
    (text,) = render(bars([instant(day, offset * 1000)]), Resolution.SECOND, [day])

    assert text.csv == f"{offset * 1000},10000,10000,10000,10000,1".encode()
    assert text.day == day


@pytest.mark.parametrize("day", [date(2008, 3, 7), date(2008, 3, 10), date(2024, 11, 1), date(2024, 11, 4)])
def test_days_on_both_sides_of_a_change_of_the_clocks(day: date) -> None:
    """Half past nine is 34200000 in winter and in summer."""
    opening = datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK)

    assert round(opening.timestamp() * 1000) - midnight(day) == OPENING


@given(start=DAYS, data=st.data())
def test_bars_go_to_the_file_of_their_day(start: date, data: st.DataObject) -> None:
    """Several days at once: each day with bars has its rows, the others have no file."""
    days = [day for day in (start + timedelta(days=n) for n in range(12)) if day.weekday() < 5]
    minutes = st.lists(st.integers(240, 1199), unique=True, max_size=5).map(sorted)
    chosen = {day: data.draw(minutes) for day in days}

    made = bars([instant(day, minute * MINUTE) for day in days for minute in chosen[day]])
    texts = render(made, Resolution.MINUTE, days)

    assert {text.day: text.rows for text in texts} == {day: len(kept) for day, kept in chosen.items() if kept}
    for text in texts:
        labels = [int(row.split(b",")[0]) for row in text.csv.split(b"\n")]
        assert labels == [minute * MINUTE for minute in chosen[text.day]]


def test_daily_rows_begin_with_the_day_and_midnight() -> None:
    """A daily bar's first field is ``yyyyMMdd 00:00``."""
    days = [date(2024, 3, 8), date(2024, 3, 11)]
    texts = render(bars([instant(day, 0) for day in days], close=[1.5, 2]), Resolution.DAILY, days)

    assert [text.csv for text in texts] == [
        b"20240308 00:00,10000,10000,10000,15000,1",
        b"20240311 00:00,10000,10000,10000,20000,1",
    ]


@pytest.mark.parametrize(
    ("times", "resolution", "message"),
    [
        ([instant(DAY, -1000)], Resolution.SECOND, "lies outside the days"),
        ([instant(DAY, 86_400_000)], Resolution.SECOND, "lies outside the days"),
        ([instant(DAY, OPENING), instant(DAY, OPENING)], Resolution.MINUTE, "out of order or repeated"),
        ([instant(DAY, OPENING + MINUTE), instant(DAY, OPENING)], Resolution.MINUTE, "out of order or repeated"),
        ([instant(DAY, OPENING + 1)], Resolution.SECOND, "does not begin on a whole second"),
        ([instant(DAY, OPENING + 1000)], Resolution.MINUTE, "does not begin on a whole minute"),
        ([instant(DAY, 0), instant(DAY, 3_600_000)], Resolution.DAILY, "2 daily bars of 2024-03-08"),
        (
            [instant(DAY, 9 * 3_600_000), instant(DAY, 34_200_000)],
            Resolution.HOUR,
            "2 hour bars of 2024-03-08 09:00",
        ),
    ],
)
def test_bars_that_belong_to_no_file_are_refused(times: list[int], resolution: Resolution, message: str) -> None:
    """Bars of other days, out of order, between two minutes, or two for one day."""
    with pytest.raises(FormatError, match=message):
        render(bars(times), resolution, [DAY])


def test_no_bars_give_no_files() -> None:
    """Days without bars are left out."""
    assert render(bars([]), Resolution.MINUTE, [DAY]) == []


# --- there and back ---


@given(data=st.data(), resolution=st.sampled_from(Resolution))
def test_what_was_written_is_read_back(data: st.DataObject, resolution: Resolution) -> None:
    """Prices to a hundred-millionth of a dollar and volumes to a millionth of a share survive unharmed."""
    rows = data.draw(st.integers(1, 20))
    if layout_of(Series("SPY", resolution)).one_file:
        days = [day for day in (DAY + timedelta(days=n) for n in range(40)) if day.weekday() < 5][:rows]
        made_at = [instant(day, 0) for day in days]
    else:
        days = [DAY]
        made_at = [instant(DAY, OPENING + row * layout_of(Series("SPY", resolution)).bar_ms) for row in range(rows)]
    price = st.integers(0, 10**12).map(lambda units: units / 10**8) | st.integers(0, 10**7).map(lambda n: n / 100)
    volume = st.integers(0, 10**14).map(lambda units: units / 10**6)
    columns = {
        name: data.draw(st.lists(volume if name == "volume" else price, min_size=rows, max_size=rows))
        for name in COLUMNS
    }

    made = bars(made_at, **columns)
    content = b"\n".join(text.csv for text in render(made, resolution, days))
    read = parse(content, resolution, DAY)

    assert read.time.tolist() == made.time.tolist()
    for name in COLUMNS:
        assert getattr(read, name).tolist() == pytest.approx(getattr(made, name).tolist(), rel=1e-15, abs=0)
    again = b"\n".join(text.csv for text in render(read, resolution, days))
    assert again == content


def test_a_minute_file_is_read_with_its_day() -> None:
    """The rows do not say which day they are of."""
    with pytest.raises(ValueError, match="name the day"):
        parse(b"34200000,1,1,1,1,1", Resolution.MINUTE, None)


@given(content=st.text("ab\n\r,", max_size=20).filter(lambda text: not text.endswith("\n") and "\r" not in text))
def test_what_leans_reader_forgives_is_taken_off(content: str) -> None:
    """A byte order mark, CRLF and a line end at the end go; the rows stay."""
    plain = content.encode()

    assert normalized(plain) == plain
    assert normalized(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n") + b"\r\n") == plain


GOOD = b"34200000,10000,10000,10000,10000,100\n34260000,10000,10000,10000,10000.5,100.25"
GOOD_DAILY = b"20240307 00:00,1,1,1,1,1\n20240308 00:00,1,1,1,1,1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (GOOD + b"\n", "commas in 3 rows"),
        (GOOD.replace(b"\n", b"\n\n"), "commas in 3 rows"),
        (GOOD + b",7", "commas"),
        (GOOD.replace(b"10000.5", b"1e4"), "other than digits"),
        (GOOD.replace(b"10000.5", b"-1000"), "other than digits"),
        (GOOD.replace(b"10000.5", b"1.0.5"), "a text that is not a number"),
        (GOOD.replace(b"10000.5", b".5"), "a text that is not a number"),
        (GOOD.replace(b"10000.5", b""), "an empty field"),
        (GOOD.replace(b"34200000", b""), "an empty field"),
        (GOOD.replace(b"34200000", b"3420000.0"), "8 digits"),
        (GOOD.replace(b"34200000", b"342000.0"), "not a whole number"),
        (GOOD.replace(b"34200000", b"034200000"), "8 digits"),
        (GOOD.replace(b"34260000", b"34260001"), "not a whole minute"),
        (GOOD.replace(b"34260000", b"86400000"), "not a whole minute of the day"),
        (GOOD.replace(b"34260000", b"34200000"), "row 2 is not later"),
        (b"time,open,high,low,close,volume\n" + GOOD, "other than digits"),
        (b"34200000,1,1,1,1\n34260000,1,1,1,1,1,1", "more or fewer fields than 6"),
    ],
)
def test_a_minute_csv_of_another_form_is_refused(content: bytes, message: str) -> None:
    """LEAN's own reader takes such rows without a word and makes garbage of them."""
    with pytest.raises(FormatError, match=message):
        check(content, Resolution.MINUTE)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD_DAILY.replace(b"20240308 00:00", b"20240308 09:00"),
        GOOD_DAILY.replace(b"20240308", b"20240431"),
        b"20230228 00:00,1,1,1,1,1\n20230229 00:00,1,1,1,1,1\n20230301 00:00,1,1,1,1,1",
        GOOD_DAILY.replace(b"20240307", b"20241301"),
        GOOD_DAILY.replace(b"20240307", b"00000000"),
        GOOD_DAILY.replace(b"20240308", b"20240307"),
        GOOD_DAILY.replace(b"20240308 00:00", b"20240306 00:00"),
        b"20240307,1 00:00,1,1,1,1",
    ],
)
def test_a_daily_csv_of_another_form_is_refused(content: bytes) -> None:
    """Rows must begin with a day that exists and midnight, and ascend."""
    with pytest.raises(FormatError):
        check(content, Resolution.DAILY)


def test_what_a_good_csv_holds() -> None:
    """The number of rows, and the days: the file's own, or those of the rows."""
    assert check(GOOD, Resolution.MINUTE) == FileContent(2, (DAY,))
    assert check(GOOD_DAILY, Resolution.DAILY) == FileContent(2, (date(2024, 3, 7), date(2024, 3, 8)))


def test_daily_rows_are_divided_by_day() -> None:
    """Each row under its day, without its line end."""
    assert layout_of(Series("SPY", Resolution.DAILY)).rows_by_day(GOOD_DAILY + b"\r\n", None) == {
        date(2024, 3, 7): b"20240307 00:00,1,1,1,1,1",
        date(2024, 3, 8): b"20240308 00:00,1,1,1,1,1",
    }


@given(content=st.binary(max_size=60), resolution=st.sampled_from(Resolution))
def test_anything_else_is_an_error_of_ours(content: bytes, resolution: Resolution) -> None:
    """Whatever bytes there are, the check ends with a verdict."""
    try:
        check(normalized(content), resolution)
    except FormatError:
        return
