"""Factor and map files as people are shown them, and the check that names damaged ones."""

from __future__ import annotations

import re
import zipfile
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.json import to_json
from server.corporate_actions.summary import (
    FactorFile,
    MapFile,
    ShareFiles,
    ratio_text,
    share_files,
)
from server.corporate_actions.verify import (
    check_files,
    factor_fault,
    map_fault,
)
from server.data_download.catalog import first_day_on_disk
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


def put_zip(path: Path, content: str = "34200000,1,1,1,1,1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        member = (
            f"{path.stem}.csv"
            if path.parent.name == "daily"
            else re.sub("_trade", f"_{path.parent.name}_minute_trade", path.stem) + ".csv"
        )
        archive.writestr(member, content)


def look(root: Path, symbol: str, *, start: date = EVER[0], end: date = EVER[1]) -> ShareFiles:
    """The files of a symbol, with the events of a range."""
    return share_files(root, symbol, CALENDAR, start=start, end=end)


def damaged(root: Path, *symbols: str) -> dict[str, str]:
    found = check_files(root, symbols, cancel=CancelToken())
    return {f"{file.path.parent.name}/{file.path.name}": file.reason for file in found.damaged}


# --- what is shown ---


def test_a_share_without_files_has_none(tmp_path: Path) -> None:
    """Nothing is made up, and nothing is created."""
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


def test_a_delisting_is_said(tmp_path: Path) -> None:
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
    """What a terminal shows."""
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
def test_a_ratio_is_written_as_people_write_it(factor: Fraction, ratio: str) -> None:
    """Also where it is the quotient of two rounded factors; an odd one in decimals."""
    assert ratio_text(factor) == ratio


@pytest.mark.parametrize("text", ["nonsense", "20240109,1,0.5,0\n20501231,1,1,0", WHOLE + "\n20240110,1,1,1"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, text: str) -> None:
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
    """It is said, not raised."""
    for kind in ("factor", "map"):
        (tmp_path / f"equity/usa/{kind}_files/x.csv").mkdir(parents=True)

    assert look(tmp_path, "X").sentence.count("damaged: it cannot be read") == 2
    assert set(damaged(tmp_path)) == {"factor_files/x.csv", "map_files/x.csv"}


# --- what is damaged ---


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (WHOLE, None),
        ("", None),
        ("19980102,1,1,1\n20501231,1,1,0\n", None),
        ("19980102,1,1,1\n2024-01-09,1,1,1", "the line '2024-01-09,1,1,1' is no row of a factor file"),
        ("19980102,1,1,1\n20240109,1e-5,1,1", "is no row of a factor file"),
        ("20240109,1,0.5,10\n19980102,1,0.5,1\n20501231,1,1,0", "the line '19980102,1,0.5,1' is not later"),
        ("19980102,1,1,1\n19980102,1,1,1", "is not later than the one before it"),
        ("19980102,1,0.5,1\n20240109,1,0.5,0\n20501231,1,1,0", "the row of 2024-01-09 has an event and the reference"),
        ("19980102,1,1,1\n20240109,1,1,0\n20501231,1,1,0", None),
    ],
)
def test_faults_of_a_factor_file(text: str, fault: str | None) -> None:
    """Unreadable lines, dates that do not ascend, a price of 0 where something happens; and no others."""
    found = factor_fault(text)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (META, None),
        ("", None),
        ("20120518,fb\n\n20501231,fb\n", None),
        ("20120518,fb,Q\n99991231,fb,Q\n", None),
        ("20120518,fb,Q\nmeta,20501231\n", "the line 'meta,20501231' is no row of a map file"),
        ("20120518,fb,Q\n20120518,meta,Q\n", "a second one of its date"),
        ("20220608,fb,Q\n20120518,fb,Q\n", "is not later than the one before it"),
        ("20120518,../fb,Q\n20501231,fb\n", "is not a US equity symbol"),
        ("20120518,,Q\n", "has no ticker"),
    ],
)
def test_faults_of_a_map_file(text: str, fault: str | None) -> None:
    """Unreadable lines, two of one date, dates that do not ascend, tickers that are none."""
    found = map_fault(text)
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_all_files_are_opened_or_those_of_the_symbols_named(tmp_path: Path) -> None:
    """Others are left alone, and so are files with other names."""
    for symbol in ("a", "b", "brk.b"):
        put(tmp_path, "factor", symbol, "junk" if symbol != "a" else WHOLE)
        put(tmp_path, "map", symbol, META)
    put(tmp_path, "factor", "no symbol", "junk")

    assert set(damaged(tmp_path)) == {"factor_files/b.csv", "factor_files/brk.b.csv"}
    assert set(damaged(tmp_path, "BRK.B")) == {"factor_files/brk.b.csv"}
    assert check_files(tmp_path, cancel=CancelToken()).files == 6
    assert check_files(tmp_path, ("A",), cancel=CancelToken()).files == 2
    assert check_files(tmp_path / "nowhere", cancel=CancelToken()).files == 0


def test_a_cancelled_check_opens_nothing_more(tmp_path: Path) -> None:
    """What was opened so far is counted."""
    put(tmp_path, "factor", "a", WHOLE)
    cancel = CancelToken()
    cancel.cancel()

    assert check_files(tmp_path, cancel=cancel).files == 0


def test_a_first_row_that_hides_bars_is_named(tmp_path: Path) -> None:
    """LEAN reads from the day before a factor file's first row, and from a map file's first row."""
    usa = tmp_path / "equity/usa"
    put_zip(usa / "daily/x.zip", "20240104 00:00,1,1,1,1,1\n20240105 00:00,1,1,1,1,1")
    put(tmp_path, "factor", "x", "20240105,1,1,1\n20501231,1,1,0")
    put(tmp_path, "map", "x", "20240104,x\n20501231,x\n")
    assert damaged(tmp_path) == {}

    put(tmp_path, "map", "x", "20240105,x\n20501231,x\n")
    put_zip(usa / "minute/x/20240103_trade.zip")
    assert damaged(tmp_path) == {
        f"{kind}_files/x.csv": "it begins on 2024-01-05, and bars are there from 2024-01-03 on; "
        "LEAN does not read those before it"
        for kind in ("factor", "map")
    }


def test_bars_of_a_renamed_share_are_those_of_its_first_ticker(tmp_path: Path) -> None:
    """What another share did under META before 2022 is not its own, and hidden from nobody."""
    usa = tmp_path / "equity/usa"
    put_zip(usa / "minute/meta/20110630_trade.zip")
    put_zip(usa / "minute/fb/20120518_trade.zip")
    put(tmp_path, "map", "meta", META)
    put(tmp_path, "factor", "meta", "20120518,1,1,1\n20501231,1,1,0")
    assert damaged(tmp_path) == {}

    put_zip(usa / "minute/fb/20120516_trade.zip")
    assert set(damaged(tmp_path)) == {"factor_files/meta.csv", "map_files/meta.csv"}


@pytest.mark.damaged_zips
def test_the_first_day_on_disk_of_any_resolution(tmp_path: Path) -> None:
    """By the names of files, and the first row of daily bars; what is no such file or damaged tells nothing."""
    usa = tmp_path / "equity/usa"
    assert first_day_on_disk(tmp_path, "X") is None
    for name in ("20240105_trade.zip", "20240102_quote.zip", "20239999_trade.zip", ".20230101_trade.zip.part"):
        put_zip(usa / "second/x" / name)
    assert first_day_on_disk(tmp_path, "X") == date(2024, 1, 5)
    (usa / "daily").mkdir()
    (usa / "daily/x.zip").write_bytes(b"junk")
    assert first_day_on_disk(tmp_path, "X") == date(2024, 1, 5)
    put_zip(usa / "daily/x.zip", "20240103 00:00,1,1,1,1,1")
    assert first_day_on_disk(tmp_path, "x") == date(2024, 1, 3)
    with pytest.raises(ValueError, match="is not a US equity symbol"):
        first_day_on_disk(tmp_path, "../x")


# --- LEAN's own files ---


def test_leans_samples_are_whole_and_hold_apples_record(tmp_path: Path, lean_sample_data: Path) -> None:
    """Ex-dates, ratios and amounts of the public record; LEAN pays whole cents."""
    assert not [path for path, reason in damaged(lean_sample_data).items() if "bars are there from" not in reason]

    calendar = USEquityTradingCalendar.load(tmp_path, date(2025, 6, 2))
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
