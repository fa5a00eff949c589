"""Files that another program wrote: what they lack, extending them, and recognising this program's own."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from server.core.errors import ConfigurationError
from server.data_download.findings import Findings
from server.data_download.report import CorporateFiles
from tests.support.corporate_market import (
    DAYS,
    EXPECTED_MAP,
    apple_events,
    close,
    expected_factors,
    factor,
    paid,
)
from tests.support.corporate_rig import CorporateRig, RigOn, at
from tests.support.polygon_server import PolygonServer

OLD = "20200701,0.9,1,1\n20200710,0.9,1,100\n20501231,1,1,0"
"""A file of another program that is known through 2020-07-10."""


def extended() -> str:
    """0.9 times the later dividend's factor, and the split: LEAN's rule, by arithmetic."""
    price = factor(paid("0.82", date(2020, 8, 6)))
    older = factor(paid("0.82", date(2020, 8, 6)), Fraction(9, 10))
    return "\n".join(
        [
            f"20200701,{older},0.25,1",
            f"20200710,{older},0.25,100",
            f"20200806,{price},0.25,{close(date(2020, 8, 6))}",
            f"20200828,1,0.25,{close(date(2020, 8, 28))}",
            "20501231,1,1,0",
        ]
    )


def foreign(rig_on: RigOn, **options: Any) -> tuple[CorporateRig, PolygonServer]:
    rig, server = rig_on(apple_events(), **options)
    rig.put("factor", "AAPL", OLD)
    rig.put("map", "AAPL", EXPECTED_MAP)
    return rig, server


def files(rig: CorporateRig, **options: Any) -> CorporateFiles:
    (outcome,) = rig.build("AAPL", **options).outcomes
    return outcome.files


def names(rig: CorporateRig) -> list[str]:
    return sorted(path.name for path in rig.path("factor", "AAPL").parent.iterdir())


def found(rig: CorporateRig) -> Findings:
    """What coverage and backtests list without a request."""
    with closing(rig.open()) as workspace:
        return workspace.findings(["AAPL"], DAYS[0], DAYS[-1])


def test_extend_keeps_the_rows_and_adds_later_events(rig_on: RigOn) -> None:
    """The previous file stays as .old; then nothing is new, and downloads list nothing."""
    rig, _ = foreign(rig_on)
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert rig.text("factor", "AAPL") == OLD

    first = files(rig, extend=True)
    assert (first.factor_file, first.map_file) == ("extended", "unchanged")
    assert rig.text("factor", "AAPL") == extended()
    assert rig.path("factor", "AAPL").with_suffix(".csv.old").read_text() == OLD
    assert names(rig) == ["aapl.csv", "aapl.csv.old"]

    again = files(rig, extend=True)
    assert (again.factor_file, again.map_file) == ("unchanged", "unchanged")
    assert rig.text("factor", "AAPL") == extended()
    assert rig.path("factor", "AAPL").with_suffix(".csv.old").read_text() == OLD

    report = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert not [notice for notice in report.notices if "--extend" in notice]


def test_extend_where_nothing_is_new(rig_on: RigOn) -> None:
    """A file in another program's form, with more digits and CRLF, is not written again; no .old appears."""
    rig, _ = rig_on(apple_events())
    rows = ("20200701,0.9950000000,0.25,1", "20200806,0.995,0.250,455.61", "20200828,1,0.25,499.23", "20501231,1,1,0")
    rig.put("factor", "AAPL", "".join(f"{row}\r\n" for row in rows))
    before = rig.path("factor", "AAPL").read_bytes()

    assert files(rig, extend=True).factor_file == "unchanged"
    assert rig.path("factor", "AAPL").read_bytes() == before
    assert names(rig) == ["aapl.csv"]


def test_extend_needs_the_closes_of_later_events_only(rig_on: RigOn) -> None:
    """The vendor's older events need closes that the plan does not include: they are in the file already."""
    reference = apple_events()
    reference.dividend("AAPL", "2019-11-07", "0.77")
    rig, _ = rig_on(reference, plan_start=date(2020, 7, 1))
    rig.put("factor", "AAPL", OLD)
    rig.put("map", "AAPL", "19980102,aapl,Q\n20501231,aapl,Q\n")

    assert files(rig, extend=True).factor_file == "extended"
    assert rig.text("factor", "AAPL") == extended()


def test_extend_fails_where_a_close_is_missing(rig_on: RigOn) -> None:
    """The dividend's close is before the plan: nothing is written, and the error names the day."""
    rig, _ = foreign(rig_on, plan_start=date(2020, 8, 10))

    result = rig.build("AAPL", extend=True)

    assert "2020-08-06" in str(result.failures["AAPL"])
    assert rig.text("factor", "AAPL") == OLD
    assert names(rig) == ["aapl.csv"]

    assert files(rig, extend=True, since=date(2020, 8, 10)).factor_file == "extended"
    assert (rig.text("factor", "AAPL") or "").startswith("20200701,0.9,0.25,1\n20200710,0.9,0.25,100\n20200828,1,0.25,")


def test_extend_a_map_file(rig_on: RigOn) -> None:
    """A delisting that the file lacks; its first day and exchange stay."""
    reference = apple_events()
    reference.tickers.clear()
    reference.listed("AAPL", since="2020-07-01", delisted="2020-09-10")
    rig, _ = rig_on(reference)
    rig.put("map", "AAPL", "19980102,aapl,N\n20501231,aapl,N\n")

    report = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert any("2020-09-10 delisting" in notice for notice in report.notices), report.notices

    assert files(rig, extend=True).map_file == "extended"
    assert rig.text("map", "AAPL") == "19980102,aapl,N\n20200910,aapl,N\n"
    assert rig.path("map", "AAPL").with_suffix(".csv.old").read_text() == "19980102,aapl,N\n20501231,aapl,N\n"


@pytest.mark.parametrize("rows", ["20501231,aapl,N\n", "19701231,aapl,N\n20501231,aapl,N\n"])
def test_a_map_file_that_begins_outside_the_calendar(rig_on: RigOn, rows: str) -> None:
    """Such a file is kept like any other, and the other files are built."""
    rig, _ = rig_on(apple_events())
    rig.put("map", "AAPL", rows)

    entry = files(rig)

    assert (entry.factor_file, entry.map_file) == ("written", "kept")


def test_own_files_are_recognised_without_the_state_folder(rig_on: RigOn) -> None:
    """Deleting it costs time, never correctness: events since then are added to own files."""
    reference = apple_events()
    splits, reference.splits = reference.splits, []
    rig, _ = rig_on(reference)
    rig.download("AAPL", DAYS[0], DAYS[-1])
    before = rig.text("factor", "AAPL")
    shutil.rmtree(rig.data / ".backtest-server")
    reference.splits.extend(splits)

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    (entry,) = report.corporate_actions
    assert (entry.factor_file, entry.map_file) == ("written", "unchanged")
    assert before != rig.text("factor", "AAPL") == expected_factors()


def test_an_own_file_is_recognised_although_a_later_event_has_no_close(rig_on: RigOn) -> None:
    """Only the events up to its last row are compared; the notice names the close, not another program."""
    reference = apple_events()
    rig, _ = rig_on(reference)
    rig.download("AAPL", DAYS[0], DAYS[-1])
    before = rig.text("factor", "AAPL")
    shutil.rmtree(rig.data / ".backtest-server")
    reference.dividend("AAPL", "2020-09-22", "0.205")
    rig.now = at("2020-10-20")

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    (entry,) = report.corporate_actions
    assert (entry.factor_file, rig.text("factor", "AAPL")) == ("kept", before)
    assert ["on 2020-09-21 the close is missing" in notice for notice in entry.notices] == [True]


def test_an_own_file_without_the_state_folder_reaches_back_to_older_bars(rig_on: RigOn) -> None:
    """It began with the first bar of that time."""
    reference = apple_events()
    reference.tickers[0]["list_date"] = "2020-08-03"
    rig, _ = rig_on(reference)
    rig.download("AAPL", date(2020, 8, 3), DAYS[-1])
    shutil.rmtree(rig.data / ".backtest-server")

    rig.download("AAPL", DAYS[0], DAYS[-1])

    assert rig.text("map", "AAPL") == EXPECTED_MAP
    assert rig.text("factor", "AAPL") == expected_factors()


@pytest.mark.parametrize(
    ("file", "old", "new"), [("factor", "0.25", "0.26"), ("factor", "20200806", "20200805"), ("map", ",Q\n2", ",N\n2")]
)
def test_a_file_with_another_digit_is_of_another_origin(rig_on: RigOn, file: str, old: str, new: str) -> None:
    """It is kept."""
    rig, _ = rig_on()
    rig.download("AAPL", DAYS[0], DAYS[-1])
    shutil.rmtree(rig.data / ".backtest-server")
    changed = (rig.text(file, "AAPL") or "").replace(old, new)
    rig.put(file, "AAPL", changed)

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    (entry,) = report.corporate_actions
    assert getattr(entry, f"{file}_file") == "kept"
    assert rig.text(file, "AAPL") == changed


def test_a_settled_range_is_never_asked_again(rig_on: RigOn) -> None:
    """Five sessions after its end: no request on any later day; a file of another program makes no difference."""
    rig, server = foreign(rig_on)
    rig.now = at("2020-09-25")  # the fifth session after the 18th
    rig.download("AAPL", DAYS[0], DAYS[-1])
    server.reset()

    (rig.data / ".backtest-server" / "reference-cache.sqlite").unlink()
    for day in ("2020-09-26", "2020-09-28", "2020-12-01", "2021-06-01"):
        rig.now = at(day)
        report = rig.download("AAPL", DAYS[0], DAYS[-1])
        rig.download("AAPL", DAYS[20], DAYS[40])
        assert server.requests == []
        assert any("--extend adds them" in notice for notice in report.notices)


def test_an_unsettled_range_is_asked_once_a_day(rig_on: RigOn) -> None:
    """Four sessions after its end it is asked again the next day, and after that never."""
    rig, server = rig_on()
    rig.now = at("2020-09-24")  # the fourth session after the 18th
    rig.download("AAPL", DAYS[0], DAYS[-1])
    server.reset()
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert server.requests == []

    rig.next_day("2020-09-25")
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert len(server.requests) == 4
    server.reset()
    rig.next_day("2020-09-28")
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert server.requests == []


def test_since_stays_in_effect(rig_on: RigOn) -> None:
    """A file of --since is not rebuilt by downloads of days that it covers, and keeps its first day when it is."""
    rig, server = rig_on()
    rig.download("AAPL", DAYS[0], DAYS[-1])
    rig.build("AAPL", since=date(2020, 8, 10), refresh=True)
    text = rig.text("factor", "AAPL") or ""
    assert text.startswith("20200810,")
    server.reset()

    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert server.requests == []
    rig.next_day("2020-09-22")
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert rig.text("factor", "AAPL") == text


def test_files_are_whole_after_a_write_that_failed(rig_on: RigOn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full while the extended file is written: the previous one is unchanged."""
    rig, _ = foreign(rig_on)
    rig.download("AAPL", DAYS[0], DAYS[-1])
    folder = rig.path("factor", "AAPL").parent
    (folder / "aapl.csv.old").mkdir()

    result = rig.build("AAPL", extend=True)

    assert "AAPL" in result.failures
    assert rig.text("factor", "AAPL") == OLD


def test_extend_and_since_in_the_future(rig_on: RigOn) -> None:
    """As for every build."""
    rig, _ = foreign(rig_on)

    with pytest.raises(ConfigurationError, match="is after"):
        rig.build("AAPL", extend=True, since=date(2030, 1, 2))


def test_a_newer_file_of_another_program_is_compared_again(rig_on: RigOn) -> None:
    """Also in a settled range: what it now has is listed no longer."""
    rig, server = foreign(rig_on)
    rig.now = at("2020-12-01")
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert found(rig).later_events
    rig.put("factor", "AAPL", extended().replace("20200806", "20200805"))

    assert found(rig).later_events == ()
    report = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert not [notice for notice in report.notices if "--extend" in notice]
    server.reset()

    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert server.requests == []


def test_a_file_of_another_program_that_comes_later_is_compared(rig_on: RigOn) -> None:
    """As when LEAN's own data folder is copied over this one after the range was settled."""
    rig, server = rig_on()
    rig.now = at("2020-12-01")
    rig.download("AAPL", DAYS[0], DAYS[-1])
    rig.put("factor", "AAPL", OLD)

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert [notice for notice in report.notices if "lack 2 later events" in notice and "--extend" in notice]
    server.reset()
    rig.download("AAPL", DAYS[0], DAYS[-1])
    assert server.requests == []
