"""Summaries of factor and map files."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from server.core.json import to_json
from server.corporate_actions.summary import (
    FactorFile,
    MapFile,
    ShareFiles,
    ratio_text,
    share_files,
)
from server.trading_calendar import USEquityTradingCalendar
from tests.support.corporate import APPLE, weekdays

CALENDAR = weekdays()
EVER = (date(1998, 1, 1), date(2050, 12, 31))
WHOLE = "19980102,0.49,0.25,1\n20240109,0.49,0.25,100\n20240206,0.98,1,50\n20501231,1,1,0"
"""A 4:1 split and a dividend of half the close of 100 dollars before 2024-01-10; one of a dollar before 2024-02-07."""
META = "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"


def put(root: Path, kind: str, symbol: str, text: str) -> Path:
    path = root / f"equity/usa/{kind}_files/{symbol}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def look(root: Path, symbol: str, *, start: date = EVER[0], end: date = EVER[1]) -> ShareFiles:
    """The files of a symbol, with the events of a range."""
    return share_files(root, symbol, CALENDAR, start=start, end=end)


def test_a_share_without_files_has_none(tmp_path: Path) -> None:
    """No file is created."""
    found = look(tmp_path, "SPY")

    assert found.sentence == "no factor file; no map file"
    assert to_json(found) == {"factor_file": None, "map_file": None}
    assert list(tmp_path.iterdir()) == []


def test_events_are_those_that_lean_fires(tmp_path: Path) -> None:
    """On the session after a row's date: dividends in whole cents, splits as new shares for old ones."""
    put(tmp_path, "factor", "x", WHOLE)

    found = to_json(look(tmp_path, "X"))["factor_file"]

    assert found == {
        "first_day": "1998-01-02",
        "last_event": "2024-02-07",
        "splits": 1,
        "dividends": 2,
        "events": [
            {"day": "2024-01-10", "dividend": 50.0, "split": "4:1"},
            {"day": "2024-02-07", "dividend": 1.0, "split": None},
        ],
        "damaged": None,
    }


def test_events_of_other_days_are_counted_and_not_listed(tmp_path: Path) -> None:
    """The range is inclusive at both ends; the counts are those of the whole file."""
    put(tmp_path, "factor", "x", WHOLE)

    def listed(first: date, last: date) -> tuple[list[date], int]:
        found = look(tmp_path, "X", start=first, end=last).factor_file
        assert found
        return [event.day for event in found.events], found.dividends

    assert listed(date(2024, 1, 10), date(2024, 2, 7)) == ([date(2024, 1, 10), date(2024, 2, 7)], 2)
    assert listed(date(2024, 1, 11), date(2024, 2, 6)) == ([], 2)
    assert listed(date(2024, 3, 1), date(2024, 3, 2)) == ([], 2)


def test_a_renamed_share_says_which_ticker_when(tmp_path: Path) -> None:
    """Last days are inclusive; the present ticker has none."""
    put(tmp_path, "map", "meta", META)

    found = look(tmp_path, "META")

    assert to_json(found)["map_file"] == {
        "tickers": [
            {"ticker": "FB", "first_day": "2012-05-18", "last_day": "2022-06-08"},
            {"ticker": "META", "first_day": "2022-06-09", "last_day": None},
        ],
        "delisted": None,
        "damaged": None,
    }
    assert found.sentence == "no factor file; map file: FB from 2012-05-18, META from 2022-06-09"


def test_a_delisting_is_part_of_the_summary(tmp_path: Path) -> None:
    """A last row before 2050-12-31 ends the share."""
    put(tmp_path, "map", "x", "20120518,x,Q\n20200605,x,Q\n")

    found = look(tmp_path, "X").map_file

    assert found
    assert (found.delisted, to_json(found)["delisted"]) == (date(2020, 6, 5), "2020-06-05")
    assert found.sentence == "map file: X from 2012-05-18, until 2020-06-05"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (FactorFile(), "factor file without rows"),
        (FactorFile(first_day=date(2020, 1, 2)), "factor file from 2020-01-02: 0 splits, 0 dividends"),
        (FactorFile(damaged="no."), "factor file damaged: no."),
        (MapFile(), "map file without rows"),
        (MapFile(damaged="no."), "map file damaged: no."),
    ],
)
def test_sentences(file: FactorFile | MapFile, says: str) -> None:
    """The text for a terminal."""
    assert file.sentence == says


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [
        (Fraction(1, 4), "4:1"),
        (Fraction(10), "1:10"),
        (Fraction(2, 3), "3:2"),
        (Fraction("0.0357143") / Fraction("0.25"), "7:1"),
        (Fraction("0.0178571") / Fraction("0.0357143"), "2:1"),
        (Fraction(1000, 1045), "1.045:1"),
        (Fraction("0.9551098"), "1.047:1"),
        (Fraction("1.0470012"), "1:1.047"),
        (Fraction(2_000_000), "1:2000000"),
        (Fraction(1, 2_000_000), "2000000:1"),
        (Fraction(1, 50), "50:1"),
    ],
)
def test_ratios(factor: Fraction, ratio: str) -> None:
    """Also for the quotient of two rounded factors; in decimals if whole numbers do not fit."""
    assert ratio_text(factor) == ratio


@pytest.mark.parametrize("text", ["nonsense", "20240109,1,0.5,0\n20501231,1,1,0", WHOLE + "\n20240110,1,1,1"])
def test_a_damaged_file_is_reported(tmp_path: Path, text: str) -> None:
    """Nothing is counted in it."""
    put(tmp_path, "factor", "x", text)
    put(tmp_path, "map", "x", text)

    found = look(tmp_path, "X")

    for file, content in ((found.factor_file, "events"), (found.map_file, "tickers")):
        assert file is not None
        assert file.damaged
        assert getattr(file, content) == ()
    assert look(tmp_path, "Y").factor_file is None


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path: Path) -> None:
    """It is reported, not raised."""
    for kind in ("factor", "map"):
        (tmp_path / f"equity/usa/{kind}_files/x.csv").mkdir(parents=True)

    assert look(tmp_path, "X").sentence.count("damaged: it cannot be read") == 2


# --- LEAN's own files ---


def test_leans_samples_hold_apples_record(lean_sample_data: Path) -> None:
    """Ex-dates, ratios and amounts of the public record; LEAN pays whole cents."""
    calendar = USEquityTradingCalendar.load(date(2025, 6, 2))
    found = to_json(share_files(lean_sample_data, "AAPL", calendar, start=EVER[0], end=EVER[1]))

    events = found["factor_file"]["events"]
    assert {event["day"]: event["split"] for event in events if event["split"]} == {
        "2000-06-21": "2:1",
        "2005-02-28": "2:1",
        "2014-06-09": "7:1",
        "2020-08-31": "4:1",
    }
    paid = {event["day"]: event["dividend"] for event in events if event["dividend"]}
    assert set(paid) == {str(dividend.ex_date) for dividend in APPLE.dividends}
    for dividend in APPLE.dividends:
        assert paid[str(dividend.ex_date)] == pytest.approx(float(dividend.amount), abs=0.0051)
    assert found["factor_file"]["first_day"] == found["map_file"]["tickers"][0]["first_day"] == "1998-01-02"
