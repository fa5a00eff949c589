"""What several tickers' records say of one share, and which ticker it had on which day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from server.corporate_actions.event_merge import (
    events_of_share,
    moved_to,
    ticker_for,
    tickers_of,
)
from server.corporate_actions.map_file import MapRow
from server.corporate_actions.model import Events, Renames, TickerChange
from server.corporate_actions.tickers import TickersOnDisk
from server.data_download.plan import days_by_ticker
from server.data_download.tickers import TickerSpan
from tests.support.corporate import dividend, split

META = [
    MapRow(date(2012, 5, 18), "FB", "Q"),
    MapRow(date(2022, 6, 8), "FB", "Q"),
    MapRow(date(2050, 12, 31), "META", "Q"),
]
FIRST, LAST = date(2022, 6, 1), date(2022, 6, 30)


def test_events_count_under_the_ticker_of_their_day() -> None:
    """What is listed under a ticker of other days is another share's, or a repeat; only the former is told."""
    fb = Events(dividends=(dividend("2022-06-08", "1"),), splits=(split("2012-05-17", "2"),))
    meta = Events(
        dividends=(dividend("2022-01-20", "0.1"), dividend("2022-06-08", "1"), dividend("2022-06-09", "2")),
        notices=("odd",),
    )

    found = events_of_share(META, {"FB": fb, "META": meta})

    assert found.dividends == (dividend("2022-06-08", "1"), dividend("2022-06-09", "2"))
    assert found.splits == (split("2012-05-17", "2"),)
    assert found.notices == (
        "odd",
        "what is listed under META of 2022-01-20 is left out: the share had another ticker then",
    )


def test_an_event_that_two_tickers_list_counts_once() -> None:
    """The order in which they are asked does not matter."""
    event = Events(dividends=(dividend("2022-06-09", "2"),))

    for order in (("FB", "META"), ("META", "FB")):
        found = events_of_share(META, dict.fromkeys(order, event))
        assert (found.dividends, found.notices) == (event.dividends, ())


@pytest.mark.parametrize(
    ("day", "ticker"),
    [("1999-01-04", "FB"), ("2012-05-18", "FB"), ("2022-06-08", "FB"), ("2022-06-09", "META"), ("2051-01-03", "META")],
)
def test_ticker_of_a_day(day: str, ticker: str) -> None:
    """The first one for all days before, the last one for all after."""
    assert ticker_for("META", META, date.fromisoformat(day)) == ticker


def test_tickers_and_moves() -> None:
    """Each ticker once; an earlier one has moved on, the last one and a stranger have not."""
    renames = Renames(
        changes=(
            TickerChange(first_day=date(2012, 5, 18), ticker="FB"),
            TickerChange(first_day=date(2022, 6, 9), ticker="META"),
        )
    )

    assert tickers_of("META", META) == ["FB", "META"]
    assert tickers_of("SPY", []) == ["SPY"]
    assert [moved_to(symbol, renames) for symbol in ("FB", "META", "SPY")] == ["META", None, None]


def on_disk(root: Path, text: str) -> tuple[list[tuple[str, date, date]], str]:
    """What is made of a map file of META's."""
    path = root / "equity" / "usa" / "map_files" / "meta.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return TickersOnDisk(root)("META", FIRST, LAST)


def test_a_range_is_divided_by_the_map_file(tmp_path: Path) -> None:
    """The last day of a ticker is its row's."""
    parts, notice = on_disk(tmp_path, "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")

    assert parts == [("FB", FIRST, date(2022, 6, 8)), ("META", date(2022, 6, 9), LAST)]
    assert notice == ""


@pytest.mark.parametrize(
    "text", ["20120518,meta,Q\n20501231,meta,Q\n", "20220603,META\r\n20220610,meta\r\n", "", "\n\n"]
)
def test_one_ticker_is_the_symbol_itself(tmp_path: Path, text: str) -> None:
    """Also on days of which the map file says nothing."""
    assert on_disk(tmp_path, text) == ([("META", FIRST, LAST)], "")


def test_days_that_the_map_file_does_not_know_are_the_symbols_own(tmp_path: Path) -> None:
    """Before its first row and after its last one."""
    parts, _ = on_disk(tmp_path, "20220603,fb\n20220608,fb\n20220620,meta\n")

    assert parts == [
        ("META", FIRST, date(2022, 6, 2)),
        ("FB", date(2022, 6, 3), date(2022, 6, 8)),
        ("META", date(2022, 6, 9), date(2022, 6, 20)),
        ("META", date(2022, 6, 21), LAST),
    ]


@pytest.mark.parametrize("text", ["20120518,fb\nnonsense\n", "20120518,fb\n20220608,../fb,Q\n20501231,meta,Q\n"])
def test_a_map_file_that_cannot_be_used_is_told(tmp_path: Path, text: str) -> None:
    """No path is built from what stands in it."""
    parts, notice = on_disk(tmp_path, text)

    assert parts == [("META", FIRST, LAST)]
    assert notice.startswith("the map file of META cannot be used, so all days are requested as META: ")


def test_parts_have_each_ticker_once() -> None:
    """A ticker that comes again has its days together; one without days is left out."""
    days = [date(2022, 6, n) for n in (1, 2, 3, 6)]

    spans = [("A", days[0], days[0]), ("B", days[1], days[2]), ("A", days[3], LAST), ("C", LAST, LAST)]
    parts = days_by_ticker([TickerSpan(*span) for span in spans], days)

    assert parts == [("A", (days[0], days[3])), ("B", (days[1], days[2]))]
    assert days_by_ticker([TickerSpan("A", FIRST, LAST)], days) == [("A", tuple(days))]
