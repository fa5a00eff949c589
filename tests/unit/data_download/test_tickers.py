"""The tickers of a share on the days of a range, by its map file on disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from server.data_download.plan import days_by_ticker
from server.data_download.tickers import TickersOnDisk
from server.lean.map_file import TickerSpan

FIRST, LAST = date(2022, 6, 1), date(2022, 6, 30)


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


def test_days_outside_the_map_file_are_the_symbols_own(tmp_path: Path) -> None:
    """Before its first row and after its last one."""
    parts, _ = on_disk(tmp_path, "20220603,fb\n20220608,fb\n20220620,meta\n")

    assert parts == [
        ("META", FIRST, date(2022, 6, 2)),
        ("FB", date(2022, 6, 3), date(2022, 6, 8)),
        ("META", date(2022, 6, 9), date(2022, 6, 20)),
        ("META", date(2022, 6, 21), LAST),
    ]


@pytest.mark.parametrize("text", ["20120518,fb\nnonsense\n", "20120518,fb\n20220608,../fb,Q\n20501231,meta,Q\n"])
def test_a_map_file_that_cannot_be_used_is_reported(tmp_path: Path, text: str) -> None:
    """No path is built from its contents."""
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
