"""Decoding and validation of splits, dividends, ticker changes and ticker details."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.corporate_actions.events import gather
from server.corporate_actions.model import Dividend, Listing, Renames, Split, TickerChange
from server.data_download.errors import BadResponseError
from server.plugins.polygon_provider.reference_responses import (
    DividendRecord,
    EventsRecord,
    ReferenceRequest,
    SplitRecord,
    TickerRecord,
    dividends_of,
    listing_among,
    listing_of,
    read_reference_page,
    renames_of,
    splits_of,
)

REQUEST = ReferenceRequest(ticker="ABC", subject="splits")
NOT_JSON = (msgspec.DecodeError, RecursionError)


def body(results: str, **more: Any) -> bytes:
    """An answer, its results as they stand."""
    rest = json.dumps({"status": "OK", "request_id": "r1", **more})
    return f'{{"results":{results},{rest[1:]}'.encode()


def splits(text: str) -> tuple[list[tuple[str, Split]], list[str]]:
    """What a list of splits in JSON is read as."""
    answer: Any = read_reference_page(body(text), REQUEST, list[SplitRecord])
    return splits_of(answer.results or (), "ABC")


def dividends(text: str) -> tuple[list[tuple[str, Dividend]], list[str]]:
    """What a list of dividends in JSON is read as."""
    answer: Any = read_reference_page(body(text), REQUEST, list[DividendRecord])
    return dividends_of(answer.results or (), "ABC")


def renames(*events: tuple[str | None, str | None], symbol: str = "META") -> Renames:
    """What a list of days and tickers is read as."""
    rows = [{"type": "ticker_change", "date": day, "ticker_change": {"ticker": ticker}} for day, ticker in events]
    answer: Any = read_reference_page(body(json.dumps({"events": rows})), REQUEST, EventsRecord)
    return renames_of(answer.results, symbol)


# --- numbers ---


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ("1", "4", Fraction(1, 4)),
        ("1.0", "7.0", Fraction(1, 7)),
        ("10000", "1", Fraction(10_000)),
        ("2e+06", "1", Fraction(2_000_000)),
        ("1", "1.05", Fraction(100, 105)),
        ("0.1", "0.3", Fraction(1, 3)),
        ('"3"', "4", Fraction(3, 4)),
        ("1", "1.123456789012345678901", Fraction(10**21, 1_123_456_789_012_345_678_901)),
    ],
)
def test_a_ratio_is_exact(old: str, new: str, factor: Fraction) -> None:
    """In any notation and however long: as the text says, and not as a double would have it."""
    row = f'{{"ticker":"ABC","execution_date":"2020-08-31","split_from":{old},"split_to":{new},"id":"E1"}}'
    ((name, split),), notices = splits(f"[{row}]")

    assert (name, split.ex_date, split.factor, notices) == ("E1", date(2020, 8, 31), factor, [])


@pytest.mark.parametrize("old", ["0", "-1", "null", '"NaN"', '"Infinity"', "1e400", "1e999999999", "1e-400"])
def test_what_is_no_ratio_is_left_out_and_named(old: str) -> None:
    """The others of the list stay."""
    row = '{{"ticker":"ABC","execution_date":"{}","split_from":{},"split_to":1,"id":"E{}"}}'
    good, bad = row.format("2020-08-31", 2, 1), row.format("2021-08-31", old, 2)
    found, (notice,) = splits(f"[{bad},{good}]")

    assert found == [("E1", Split(ex_date=date(2020, 8, 31), old=Decimal(2), new=Decimal(1)))]
    assert "a split of ABC" in notice
    assert "on 2021-08-31, which is no ratio; it is left out (its id is E2)" in notice


@pytest.mark.parametrize("old", ["true", "[]", '"one"', "{}"])
def test_what_is_no_number_is_no_answer(old: str) -> None:
    """The whole answer is doubtful then."""
    with pytest.raises(msgspec.ValidationError):
        splits(f'[{{"ticker":"ABC","execution_date":"2020-08-31","split_from":{old},"split_to":1}}]')


@pytest.mark.parametrize("amount", ["0.1", "2.65", "0.59375", "1e-3", "300"])
def test_a_dividend_is_as_declared(amount: str) -> None:
    """The amount as declared, and not the one that is adjusted for splits."""
    row = f'{{"ticker":"ABC","ex_dividend_date":"2012-08-09","cash_amount":{amount},"split_adjusted_cash_amount":9.9}}'

    assert dividends(f"[{row}]") == ([("", Dividend(ex_date=date(2012, 8, 9), amount=Decimal(amount)))], [])


@pytest.mark.parametrize("kind", ['"dividend_type":"SC"', '"distribution_type":"special"', '"frequency":0'])
def test_special_dividends_are_dividends(kind: str) -> None:
    """Whatever they are called."""
    found, _ = dividends(f'[{{"ticker":"ABC","ex_dividend_date":"2012-08-09","cash_amount":3,{kind}}}]')

    assert [dividend.amount for _, dividend in found] == [3]


@pytest.mark.parametrize(("currency", "kept"), [("USD", True), ("usd", True), (None, True), ("CAD", False)])
def test_only_dollars_are_used(currency: str | None, kept: bool) -> None:
    """Older answers do not say what they are in: dollars. Others are named."""
    row = {"ticker": "ABC", "ex_dividend_date": "2012-08-09", "cash_amount": 0.5, "currency": currency, "id": 7}
    found, notices = dividends(json.dumps([row]))

    assert len(found) == kept
    assert notices == (
        []
        if kept
        else [
            "Polygon lists a dividend of ABC, 0.5 CAD a share, on 2012-08-09, which is not in dollars; "
            "it is left out (its id is 7)"
        ]
    )


@pytest.mark.parametrize("amount", ["0", "-0.5", "null", "1e300"])
def test_what_is_no_amount_is_left_out_and_named(amount: str) -> None:
    """Nothing, less than nothing, more than there is."""
    found, (notice,) = dividends(f'[{{"ticker":"ABC","ex_dividend_date":"2012-08-09","cash_amount":{amount}}}]')

    assert found == []
    assert "on 2012-08-09, which is no amount; it is left out" in notice


@pytest.mark.parametrize(
    "day",
    ["2020-02-30", "0000-00-00", "1899-12-31", "2100-01-01", "20200831", "2020-8-31", "2020-08-31T00:00", "", None],
)
def test_impossible_days_are_left_out_and_named(day: str | None) -> None:
    """Of splits and of dividends."""
    shown = f"on {day or 'no day'}, which cannot be; it is left out"
    _, (of_split,) = splits(json.dumps([{"ticker": "ABC", "execution_date": day, "split_from": 1, "split_to": 2}]))
    _, (of_dividend,) = dividends(json.dumps([{"ticker": "ABC", "ex_dividend_date": day, "cash_amount": 1}]))

    assert shown in of_split
    assert shown in of_dividend


def test_a_notice_is_one_line_of_bounded_length() -> None:
    """Whatever the vendor writes into a date."""
    _, (notice,) = splits(json.dumps([{"ticker": "ABC", "execution_date": "a\nb\x1b" * 999, "id": "c\n" * 999}]))

    assert notice.isprintable()
    assert len(notice) <= 300
    assert "it is left out" in notice


# --- answers ---


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (body("[]", status="ERROR", error="went wrong"), "its status is ERROR: went wrong"),
        (body("[]", status="NOT_AUTHORIZED", message="no"), "its status is NOT_AUTHORIZED: no"),
        (body('[{"ticker":"ABC"},{"ticker":"ABD"}]'), "it is about ABD"),
        (body('[{"ticker":"abc"}]'), "it is about abc"),
    ],
)
def test_other_answers_are_not_believed(answer: bytes, words: str) -> None:
    """No success, or other tickers than that asked for: the filter was lost."""
    with pytest.raises(BadResponseError) as caught:
        read_reference_page(answer, REQUEST, list[SplitRecord])

    assert f"Polygon's answer about the splits of ABC cannot be used: {words}" in str(caught.value)
    assert (caught.value.symbol, caught.value.request_id) == ("ABC", "r1")


@pytest.mark.parametrize("results", ["[]", "null"])
def test_there_may_be_none(results: str) -> None:
    """An empty list, or no list."""
    assert splits(results) == ([], [])
    assert read_reference_page(b'{"status":"DELAYED","request_id":1}', REQUEST, list[SplitRecord]).id == "1"


# --- tickers ---


def test_ticker_changes_ascend() -> None:
    """The vendor lists the newest first; a repeat is not a change."""
    found = renames(("2022-06-09", "META"), ("2012-05-18", "FB"), ("2012-05-18", "FB"))

    assert found.changes == (
        TickerChange(first_day=date(2012, 5, 18), ticker="FB"),
        TickerChange(first_day=date(2022, 6, 9), ticker="META"),
    )
    assert found.notices == ()


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([("2022-06-31", "META"), ("2012-05-18", "FB")], "only as FB"),
        ([("2022-06-09", "META"), ("2022-06-09", "FB")], "from 2022-06-09 as FB and as META"),
        ([("2022-06-09", "METAX"), ("2012-05-18", "FB")], "only as FB, METAX"),
    ],
)
def test_a_list_that_contradicts_itself_is_no_rename(events: list[tuple[str | None, str | None]], words: str) -> None:
    """The notice says why."""
    found = renames(*events)

    assert found.changes == ()
    assert len(found.notices) == 1
    assert words in found.notices[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("2012-05-32", "FBX"), "from 2012-05-32 as FBX"),
        ((None, "FBX"), "from no day as FBX"),
        (("2011-05-18", None), "from 2011-05-18 as nothing"),
        (("2011-05-18", "FBpA"), "from 2011-05-18 as FBpA"),
        (("2011-05-18", "../FB"), "from 2011-05-18 as ../FB"),
    ],
)
def test_one_odd_entry_does_not_hide_the_others(entry: tuple[str | None, str | None], words: str) -> None:
    """It is left out, and the notice names it."""
    found = renames(("2022-06-09", "META"), entry, ("2012-05-18", "FB"))

    assert [change.ticker for change in found.changes] == ["FB", "META"]
    assert len(found.notices) == 1
    assert words in found.notices[0]


def test_no_history_is_no_rename() -> None:
    """No results, no events, or events of other kinds."""
    other: Any = read_reference_page(body('{"events":[{"type":"other"}]}'), REQUEST, EventsRecord)

    assert renames_of(None, "META") == renames() == renames_of(other.results, "META") == Renames()


def test_a_listing_says_what_is_known() -> None:
    """The exchange's code and the first day; the end of one that is delisted."""
    assert listing_of(
        TickerRecord(ticker="ABC", name="A  b\nc", active=True, primary_exchange="XNAS", list_date="1980-12-12")
    ) == Listing(ticker="ABC", active=True, name="A b c", exchange="XNAS", listed=date(1980, 12, 12))
    assert listing_of(TickerRecord(ticker="ABC", delisted_utc="2017-06-19T04:00:00Z")) == Listing(
        ticker="ABC", active=False, delisted=date(2017, 6, 19)
    )
    assert listing_of(TickerRecord(ticker="ABC", list_date="1980-13-12", delisted_utc="soon")) == Listing(
        ticker="ABC", active=True
    )


def test_of_several_that_had_a_ticker_the_last_one_counts() -> None:
    """Tickers are used again."""
    records = [TickerRecord(ticker="ABC", delisted_utc=day) for day in ("2009-03-02T05:00:00Z", "2021-01-05", None)]

    found = listing_among(records)

    assert found is not None
    assert found.delisted == date(2021, 1, 5)
    assert listing_among([]) is None


# --- whatever comes ---

NUMBERS = st.sampled_from(
    ["1", "0", "-3", "1.5", "2e+06", "1e999999999", "-1e-999999999", "NaN", '"nan"', '"7"', "9" * 50]
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)).map(json.dumps) | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(st.text(max_size=8).map(json.dumps), inner, max_size=4).map(
            lambda parts: "{" + ",".join(f"{name}:{value}" for name, value in parts.items()) + "}"
        )
    ),
    max_leaves=8,
)
DAYS = st.dates().map(lambda day: f'"{day}"') | st.sampled_from(['"2020-02-30"', '"0000-00-00"'])
TICKERS = st.sampled_from(['"ABC"', '"ABC"', '"ABC"', '"ABD"', '"abc"', '""'])
FIELDS = {
    **dict.fromkeys(("execution_date", "ex_dividend_date", "list_date", "delisted_utc", "date"), DAYS),
    **dict.fromkeys(("split_from", "split_to", "cash_amount"), NUMBERS),
    **dict.fromkeys(("ticker",), TICKERS),
    "currency": st.sampled_from(['"USD"', '"CAD"', "null"]),
    "type": st.just('"ticker_change"'),
    "ticker_change": TICKERS.map(lambda ticker: f'{{"ticker":{ticker}}}'),
    "id": st.sampled_from(['"E1"', "1", "null"]),
}


@st.composite
def records(draw: st.DrawFn) -> str:
    """A record that looks right, but for a field now and then."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True))
    parts = [f'"{name}":{draw(st.one_of(FIELDS[name], FIELDS[name], FIELDS[name], JSON))}' for name in names]
    return "{" + ",".join(parts) + "}"


RESULTS = st.lists(records(), max_size=4).map(lambda rows: f"[{','.join(rows)}]")
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(str.encode),
    st.one_of(JSON, RESULTS, records(), RESULTS.map(lambda rows: f'{{"events":{rows}}}')).map(
        lambda results: f'{{"status":"OK","results":{results}}}'.encode(errors="surrogatepass")
    ),
)


def use(text: bytes, kind: Any, convert: Callable[[Any], Any]) -> Any:
    """What is made of a body; None where it is refused as documented."""
    try:
        answer = read_reference_page(text, REQUEST, kind)
    except (*NOT_JSON, BadResponseError):
        return None
    return convert(answer.results)


@given(text=BODIES)
def test_any_answer_gives_events_or_a_documented_error(text: bytes) -> None:
    """What is given can be worked with: finite ratios above nothing, ascending days, notices of one line."""
    found = use(text, list[SplitRecord], lambda rows: splits_of(rows or (), "ABC")) or ([], [])
    more = use(text, list[DividendRecord], lambda rows: dividends_of(rows or (), "ABC")) or ([], [])
    events = gather(found[0], more[0], [*found[1], *more[1]])

    assert all(split.factor > 0 for split in events.splits)
    assert all(dividend.amount > 0 for dividend in events.dividends)
    assert [split.ex_date for split in events.splits] == sorted(split.ex_date for split in events.splits)
    assert all(notice.isprintable() for notice in events.notices)


@given(text=BODIES)
def test_any_answer_gives_tickers_or_a_documented_error(text: bytes) -> None:
    """A history has the ticker asked for, on days that ascend; or it does not exist."""
    history = use(text, EventsRecord, lambda found: renames_of(found, "ABC")) or Renames()
    use(text, list[TickerRecord], lambda rows: listing_among(rows or ()))
    use(text, TickerRecord, lambda row: row and listing_of(row))

    days = [change.first_day for change in history.changes]
    assert days == sorted(set(days))
    assert not history.changes or "ABC" in {change.ticker for change in history.changes}


@pytest.mark.parametrize("text", [b'{"status":"OK","x":' + b"[" * 200_000, b"[" * 200_000, b'{"a":' * 200_000])
def test_nesting_without_end_is_no_answer(text: bytes) -> None:
    """It costs no more than a refusal."""
    with pytest.raises(NOT_JSON):
        read_reference_page(text, REQUEST, list[SplitRecord])
