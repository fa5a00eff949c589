"""The check that finds factor and map files that LEAN ignores, stops at, or that hide data from it."""

from __future__ import annotations

import re
import zipfile
from datetime import date
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.corporate_actions.verify import check_files, factor_fault, map_fault
from server.data_download.days_on_disk import first_day_on_disk
from server.trading_calendar import USEquityTradingCalendar

WHOLE = "19980102,0.49,0.25,1\n20240109,0.49,0.25,100\n20240206,0.98,1,50\n20501231,1,1,0"
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


def damaged(root: Path, *symbols: str) -> dict[str, str]:
    found = check_files(root, symbols, cancel=CancelToken())
    return {f"{file.path.parent.name}/{file.path.name}": file.reason for file in found.damaged}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (WHOLE, None),
        ("", None),
        ("19980102,1,1,1\n20501231,1,1,0\n", None),
        ("19980102,1,1,1\n2024-01-09,1,1,1", "the line '2024-01-09,1,1,1' is not a row of a factor file"),
        ("19980102,1,1,1\n20240109,1e-5,1,1", "is not a row of a factor file"),
        ("20240109,1,0.5,10\n19980102,1,0.5,1\n20501231,1,1,0", "the line '19980102,1,0.5,1' is not later"),
        ("19980102,1,1,1\n19980102,1,1,1", "is not later than the one before it"),
        ("19980102,1,0.5,1\n20240109,1,0.5,0\n20501231,1,1,0", "the row of 2024-01-09 has an event and the reference"),
        ("19980102,1,1,1\n20240109,1,1,0\n20501231,1,1,0", None),
    ],
)
def test_faults_of_a_factor_file(text: str, fault: str | None) -> None:
    """Unreadable lines, dates that do not ascend, a price of 0 in a row with an event; and no others."""
    found = factor_fault(text)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (META, None),
        ("", None),
        ("20120518,fb\n\n20501231,fb\n", None),
        ("20120518,fb,Q\n99991231,fb,Q\n", None),
        ("20120518,fb,Q\nmeta,20501231\n", "the line 'meta,20501231' is not a row of a map file"),
        ("20120518,fb,Q\n20120518,meta,Q\n", "a second one of its date"),
        ("20220608,fb,Q\n20120518,fb,Q\n", "is not later than the one before it"),
        ("20120518,../fb,Q\n20501231,fb\n", "is not a US equity symbol"),
        ("20120518,,Q\n", "has no ticker"),
    ],
)
def test_faults_of_a_map_file(text: str, fault: str | None) -> None:
    """Unreadable lines, two of one date, dates that do not ascend, invalid tickers."""
    found = map_fault(text)
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_all_files_are_checked_or_those_of_some_symbols(tmp_path: Path) -> None:
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


def test_a_cancelled_check_stops(tmp_path: Path) -> None:
    """Files checked so far are counted."""
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
        f"{kind}_files/x.csv": "it begins on 2024-01-05, but there are bars from 2024-01-03 on; "
        "LEAN does not read those before it"
        for kind in ("factor", "map")
    }


def test_bars_of_a_renamed_share_are_those_of_its_first_ticker(tmp_path: Path) -> None:
    """Bars of another share under META before 2022 are not its own, so hiding them is no fault."""
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
    """By the names of files, and the first row of daily bars; other and damaged files are ignored."""
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


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path: Path) -> None:
    """It is reported, not raised."""
    for kind in ("factor", "map"):
        (tmp_path / f"equity/usa/{kind}_files/x.csv").mkdir(parents=True)

    assert set(damaged(tmp_path)) == {"factor_files/x.csv", "map_files/x.csv"}


def test_leans_samples_are_not_damaged(lean_sample_data: Path) -> None:
    """Bars from before a first row are those of older holders: ``fb.1.csv``, or a pause of 60 sessions."""
    assert damaged(lean_sample_data) == {}


def test_an_older_holder_has_bars_before_the_first_row(tmp_path: Path) -> None:
    """60 sessions without bars indicate one, 59 do not; and so does a file of QuantConnect's about it."""
    put(tmp_path, "factor", "x", "20240402,1,1,1\n20501231,1,1,0")
    calendar = USEquityTradingCalendar.shipped()
    sessions = calendar.trading_days(date(2023, 12, 1), date(2024, 4, 1))
    rows = ["20240402 00:00,1,1,1,1,1"]
    path = tmp_path / "equity/usa/daily/x.zip"

    put_zip(path, "\n".join([f"{sessions[-61]:%Y%m%d} 00:00,1,1,1,1,1", *rows]))
    assert damaged(tmp_path) == {}

    put_zip(path, "\n".join([f"{sessions[-60]:%Y%m%d} 00:00,1,1,1,1,1", *rows]))
    assert set(damaged(tmp_path)) == {"factor_files/x.csv"}

    put(tmp_path, "map", "x.1", "19980102,x\n20240105,x\n")
    assert damaged(tmp_path) == {}


def test_a_first_row_that_this_program_wrote_is_meant(tmp_path: Path) -> None:
    """It was computed from the share's history; the bars before it are another company's."""
    text = "20240105,1,1,1\n20501231,1,1,0"
    put(tmp_path, "factor", "x", text)
    put_zip(tmp_path / "equity/usa/daily/x.zip", "20240103 00:00,1,1,1,1,1\n20240105 00:00,1,1,1,1,1")
    assert damaged(tmp_path) == {}  # LEAN reads the daily bar two days before the first row, and no earlier one
    put_zip(tmp_path / "equity/usa/daily/x.zip", "20240102 00:00,1,1,1,1,1\n20240105 00:00,1,1,1,1,1")
    assert set(damaged(tmp_path)) == {"factor_files/x.csv"}

    found = check_files(
        tmp_path,
        ours=lambda path, content: (path, content) == ("equity/usa/factor_files/x.csv", text.encode()),
        cancel=CancelToken(),
    )
    assert found.damaged == ()


def test_a_last_row_that_hides_bars_is_named(tmp_path: Path) -> None:
    """LEAN delists the share there; bars of a later holder of the ticker are not hidden."""
    put(tmp_path, "map", "x", "20100104,x\n20240104,x\n")
    put_zip(tmp_path / "equity/usa/daily/x.zip", "20240104 00:00,1,1,1,1,1\n20240105 00:00,1,1,1,1,1")
    assert damaged(tmp_path) == {
        "map_files/x.csv": "it ends on 2024-01-04, but there are bars until 2024-01-05; "
        "LEAN does not read those after it"
    }

    put(tmp_path, "map", "y", "20240105,x\n20501231,y\n")
    assert "map_files/x.csv" not in damaged(tmp_path)


def test_a_row_of_a_closed_day_is_named(tmp_path: Path) -> None:
    """2024-01-06 is a Saturday: LEAN never feeds its event."""
    put(tmp_path, "factor", "x", "20100104,0.8,1,5\n20240106,0.8,1,5\n20501231,1,1,0")

    (one,) = check_files(tmp_path, cancel=CancelToken()).findings

    assert (one.kind, one.severity, one.days) == ("event_on_closed_day", "damage", (date(2024, 1, 6),))
    assert set(damaged(tmp_path)) == {"factor_files/x.csv"}
