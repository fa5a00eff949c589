"""The repair before a backtest: what is fetched, what is rewritten, what is lost, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.backtest.data_repair import CheckedData, repair_data
from server.backtest.unfetched_days import UnfetchedDays, unfetched_days
from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.data_download.availability import Gap
from server.data_download.errors import DamagedDataError
from server.data_download.file_check import check_file
from server.data_download.locks import SeriesLocks
from server.data_download.provider import DataSink
from server.lean.layout import FACTOR_FILES, MAP_FILES, layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import only_member, zip_bytes
from tests.support.check_rig import OUTAGE, check, downloading, opened, path_of, put, repair, zipped
from tests.support.harness import Rig, sessions
from tests.support.scripted_provider import ScriptedProvider, deliver_all, raising

pytestmark = pytest.mark.damaged_zips

DAYS = sessions(date(2024, 3, 4), 5)
MINUTE, DAILY = Resolution.MINUTE, Resolution.DAILY
SPY_MINUTE, SPY_DAILY = Series("SPY", MINUTE), Series("SPY", DAILY)
MINUTES = [f"{34_200_000 + 60_000 * row},10000,10000,10000,10000,100" for row in range(4)]
ROWS = [f"{day:%Y%m%d} 00:00,10000,10000,10000,10000,100" for day in DAYS]
FETCHED_ROW = "102500,102500,102500,102500,10.25"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder with folders for factor and map files."""
    found = Rig(tmp_path)
    put(found.data, {})
    return found


def put_daily(rig: Rig, rows: Sequence[str]) -> None:
    put(rig.data, {path_of(SPY_DAILY): {"spy.csv": "\n".join(rows)}})


def put_minute(rig: Rig, rows: Sequence[str], day: date = DAYS[0]) -> None:
    put(rig.data, {path_of(SPY_MINUTE, day): {layout_of(SPY_MINUTE).member(day): "\n".join(rows)}})


def rows_of(rig: Rig, series: Series, day: date | None = None) -> list[str]:
    return only_member((rig.data / path_of(series, day)).read_bytes())[1].decode().split("\n")


def methods(done: CheckedData) -> list[tuple[str, str]]:
    return [(one.path, one.method) for one in done.repaired]


def test_a_damaged_day_is_fetched_again(rig: Rig) -> None:
    """Of a daily file only that day; the row that LEAN lost with it was readable."""
    put_daily(rig, [*ROWS[:2], "garbage", *ROWS[3:]])
    gaps: list[tuple[date, ...]] = []

    def fetch(wanted: Sequence[Gap], sink: DataSink) -> None:
        gaps.extend(gap.days for gap in wanted)
        deliver_all(wanted, sink)

    done = repair(rig, SPY_DAILY, DAYS, fetch)

    assert gaps == [(DAYS[2],)]
    assert methods(done) == [(path_of(SPY_DAILY), "fetched")]
    assert (done.check.findings, done.lost, done.reasons) == ((), (), ())
    assert rows_of(rig, SPY_DAILY) == [*ROWS[:2], f"20240306 00:00,{FETCHED_ROW}", *ROWS[3:]]


def test_a_file_is_rewritten_from_good_rows_where_fetching_fails(rig: Rig) -> None:
    """The bad row's day is lost, now and for later runs, until it is fetched."""
    put_daily(rig, [*ROWS[:2], "garbage", *ROWS[3:]])

    done = repair(rig, SPY_DAILY, DAYS)

    assert methods(done) == [(path_of(SPY_DAILY), "rewritten")]
    assert done.reasons == (str(OUTAGE),)
    assert [(one.kind, one.days, one.rows, one.is_damage) for one in done.lost] == [("rows_lost", (DAYS[2],), 1, False)]
    assert rows_of(rig, SPY_DAILY) == [*ROWS[:2], *ROWS[3:]]

    again = repair(rig, SPY_DAILY, DAYS)
    assert (again.lost, again.repaired) == (done.lost, ())

    rig.download("SPY", DAYS, DAILY, provider=ScriptedProvider().hosted())
    assert repair(rig, SPY_DAILY, DAYS).check.findings == ()


def test_the_rows_of_a_minute_file_that_was_rewritten(rig: Rig) -> None:
    """All that can be read, in order; the day counts as lost in part."""
    put_minute(rig, [*MINUTES[:2], "garbage", *MINUTES[2:]])

    done = repair(rig, SPY_MINUTE, DAYS[:1])

    assert rows_of(rig, SPY_MINUTE, DAYS[0]) == MINUTES
    assert [(one.days, one.rows) for one in done.lost] == [((DAYS[0],), 1)]
    assert done.check.damage == ()


@pytest.mark.parametrize("lines", [[MINUTES[1], MINUTES[0], *MINUTES[2:]], [*MINUTES[:2], "", *MINUTES[2:]]])
def test_a_file_whose_rows_can_all_be_read_is_rewritten_without_a_request(rig: Rig, lines: list[str]) -> None:
    """Rows out of order, and rows that LEAN loses to a blank line; nothing is lost."""
    put_minute(rig, lines)

    done = repair(rig, SPY_MINUTE, DAYS[:1], raising(AssertionError("asked")))

    assert rows_of(rig, SPY_MINUTE, DAYS[0]) == MINUTES
    assert (methods(done), done.lost) == ([(path_of(SPY_MINUTE, DAYS[0]), "rewritten")], ())
    assert done.check.findings == ()


def test_notices_leave_files_as_they_are(rig: Rig) -> None:
    """LEAN reads them as they are meant."""
    put_minute(rig, [MINUTES[0], *MINUTES])
    before = (rig.data / path_of(SPY_MINUTE, DAYS[0])).read_bytes()

    done = repair(rig, SPY_MINUTE, DAYS[:1], raising(AssertionError("asked")))

    assert [one.kind for one in done.check.notices] == ["repeated_rows"]
    assert done.repaired == ()
    assert (rig.data / path_of(SPY_MINUTE, DAYS[0])).read_bytes() == before


def test_the_rows_behind_a_foreign_member_are_not_lost(rig: Rig) -> None:
    """A rewrite puts them first."""
    member = layout_of(SPY_MINUTE).member(DAYS[0])
    put(rig.data, {path_of(SPY_MINUTE, DAYS[0]): zipped(("__MACOSX/._x", "\0\5"), (member, "\n".join(MINUTES)))})

    done = repair(rig, SPY_MINUTE, DAYS[:1])

    assert rows_of(rig, SPY_MINUTE, DAYS[0]) == MINUTES
    assert (done.lost, done.check.damage) == ((), ())


def test_damage_that_is_left_refuses_the_run(rig: Rig) -> None:
    """One line for each file; with --allow-damaged it is returned."""
    put(rig.data, {path_of(SPY_MINUTE, day): b"rubbish" for day in DAYS})
    put(rig.data, {f"{FACTOR_FILES}/spy.csv": "garbage"})

    with pytest.raises(DamagedDataError) as caught:
        repair(rig, SPY_MINUTE, DAYS)

    assert len(caught.value.lines) == 6
    assert caught.value.lines[0].startswith(f"SPY: {path_of(SPY_MINUTE, DAYS[0])} (2024-03-04): it is no whole zip")
    assert "\n" not in str(caught.value)
    assert "6 files" in str(caught.value)
    assert "--allow-damaged" in str(caught.value)
    assert str(OUTAGE) in str(caught.value)
    done = repair(rig, SPY_MINUTE, DAYS, allow_damaged=True)
    assert (len(done.refusing), done.repaired) == (6, ())


def test_a_foreign_factor_file_is_not_changed(rig: Rig) -> None:
    """It stays a finding."""
    put(rig.data, {f"{FACTOR_FILES}/spy.csv": "garbage"})
    put_minute(rig, MINUTES)

    done = repair(rig, SPY_MINUTE, DAYS[:1], allow_damaged=True)

    assert [one.kind for one in done.refusing] == ["unreadable_line"]
    assert (rig.data / FACTOR_FILES / "spy.csv").read_text() == "garbage"


def test_a_missing_folder_of_map_files_is_created(rig: Rig) -> None:
    """An empty one suffices for LEAN."""
    put(rig.data, {f"{FACTOR_FILES}/spy.csv": "20100104,0.9,1,5\n20501231,1,1,0"})
    put_minute(rig, MINUTES)
    (rig.data / MAP_FILES).rmdir()

    done = repair(rig, SPY_MINUTE, DAYS[:1])

    assert methods(done) == [(MAP_FILES, "created")]
    assert (rig.data / MAP_FILES).is_dir()
    assert done.check.findings == ()


def test_a_file_that_ends_early_is_continued(rig: Rig) -> None:
    """Its missing days are fetched; without them it refuses the run."""
    put_daily(rig, ROWS[:3])
    with pytest.raises(DamagedDataError, match="ends on 2024-03-06"):
        repair(rig, SPY_DAILY, DAYS)

    done = repair(rig, SPY_DAILY, DAYS, deliver_all)

    assert methods(done) == [(path_of(SPY_DAILY), "fetched")]
    assert [row[:8] for row in rows_of(rig, SPY_DAILY)] == [f"{day:%Y%m%d}" for day in DAYS]


def test_days_outside_the_range_are_fetched_with_the_others(rig: Rig) -> None:
    """A rewrite of the file would lose them."""
    put_daily(rig, ["20240304 00:00,bad", ROWS[1], "20240306 00:00,bad", *ROWS[3:]])

    done = repair(rig, SPY_DAILY, DAYS[2:], deliver_all)

    assert done.lost == ()
    assert [row[:8] for row in rows_of(rig, SPY_DAILY)] == [f"{day:%Y%m%d}" for day in DAYS]


def test_a_file_that_another_run_holds_is_left(rig: Rig) -> None:
    """It refuses the run, unless it is allowed."""
    put_minute(rig, [*MINUTES[:2], "", *MINUTES[2:]])

    with SeriesLocks(rig.data).take([SPY_MINUTE], 1), pytest.raises(DamagedDataError, match="1 blank line"):
        repair(rig, SPY_MINUTE, DAYS[:1])


def test_a_cancelled_repair(rig: Rig) -> None:
    """It ends before the file is changed."""
    put_minute(rig, [*MINUTES[:2], "garbage", *MINUTES[2:]])
    cancel = CancelToken()

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        cancel.cancel()

    with downloading(rig, ScriptedProvider(fetch)) as downloader, pytest.raises(Cancelled, match="repaired"):
        repair_data(downloader.folder, downloader, check(downloader.folder, ["SPY"], MINUTE, DAYS[:1]), cancel=cancel)


def test_days_that_a_download_could_not_fetch(rig: Rig) -> None:
    """Those whose files exist are judged by the check of the data, and not requested a second time."""
    put_minute(rig, [*MINUTES[:2], "garbage", *MINUTES[2:]])
    put(rig.data, {path_of(SPY_MINUTE, DAYS[1]): b"rubbish"})
    provider = ScriptedProvider(raising(OUTAGE))

    report = rig.download("SPY", DAYS[:3], MINUTE, provider=provider.hosted())
    with opened(rig.data) as folder:
        found = unfetched_days(folder, report)
    assert found == (UnfetchedDays(series=SPY_MINUTE, in_files=(DAYS[0], DAYS[1]), missing=(DAYS[2],)),)

    repair(rig, SPY_MINUTE, DAYS[:1], raising(AssertionError("asked")), download=report)
    later = rig.download("SPY", DAYS[:3], MINUTE, provider=ScriptedProvider(raising(OUTAGE)).hosted())
    with opened(rig.data) as folder:
        assert unfetched_days(folder, later) == found


@settings(max_examples=25, deadline=None)
@given(data=st.data(), resolution=st.sampled_from([MINUTE, DAILY]))
def test_a_rewritten_file_has_no_finding_and_loses_no_good_row(data: st.DataObject, resolution: Resolution) -> None:
    """Whatever was between its rows, and in whatever order they were."""
    series, day = Series("SPY", resolution), None if resolution is DAILY else DAYS[0]
    rows = ROWS if resolution is DAILY else MINUTES
    lines = list(data.draw(st.permutations(rows)))
    for bad in data.draw(st.lists(st.sampled_from(["garbage", "", "1,2", "x,y,z,a,b,c", "20240304 00:00,1"]))):
        lines.insert(data.draw(st.integers(0, len(lines))), bad)
    with TemporaryDirectory() as place:
        rig = Rig(Path(place))
        layout = layout_of(series)
        put(rig.data, {layout.path(day): zip_bytes(layout.member(day), "\n".join(lines).encode())})

        done = repair(rig, series, DAYS if resolution is DAILY else DAYS[:1])

        assert [one for one in done.check.findings if one.kind != "rows_lost"] == []
        if done.repaired:
            content = (rig.data / layout.path(day)).read_bytes()
            assert check_file(layout, content, day).findings == ()
            assert rows_of(rig, series, day) == rows
