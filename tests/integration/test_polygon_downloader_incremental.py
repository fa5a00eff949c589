"""The whole download, from a request to LEAN's files, against a local server that behaves as Polygon does."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.data_download.availability import DayState
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.plugins.polygon_provider import budget
from tests.support import faults
from tests.support.cassettes import UseCassette
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, lean_decimal, lean_files, leftovers, sessions
from tests.support.market import Market, clock
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 8)  # the clocks change on the 10th
MARKET = Market.synthetic(["SPY", "BRK.B"], DAYS, bars_per_day=30) | Market.synthetic(["SPY"], DAYS, "daily")
MINUTE, DAILY, SECOND = Resolution.MINUTE, Resolution.DAILY, Resolution.SECOND


def days_asked(server: PolygonServer) -> list[tuple[str, str]]:
    """First and last day of each request."""
    return [request.window[2:] for request in server.requests if request.window]


def counted(report: DownloadReport) -> tuple[int, int, int, int]:
    """Present, downloaded, empty, failed."""
    return report.days_present, report.days_downloaded, report.days_empty, report.days_failed


def reason(report: DownloadReport) -> str:
    """The one reason of a report's failures."""
    (failure,) = report.failures
    return failure.error


def path_of(rig: Rig, day: date, symbol: str = "spy") -> Path:
    """Where a day's minutes are."""
    return rig.data / "equity" / "usa" / "minute" / symbol / f"{day:%Y%m%d}_trade.zip"


# --- only what is missing ---


@pytest.mark.parametrize("symbol", ["SPY", "BRK.B"])
def test_a_first_run_writes_leans_files_and_a_second_one_asks_nothing(
    polygon_server: Serve, tmp_path: Path, symbol: str
) -> None:
    """Eight days come with one request; what is on disk is what LEAN would have written; then it is all there."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)

    first = rig.download(symbol, DAYS)
    second = rig.download(symbol, DAYS)

    assert rig.csv() == lean_files(MARKET, symbol, DAYS, MINUTE)
    assert (counted(first), counted(second)) == ((0, 8, 0, 0), (8, 0, 0, 0))
    assert (first.api_calls, first.bars, second.api_calls, second.bars) == (1, 240, 0, 0)
    assert first.bytes_fetched == server.bytes_sent
    assert len(server.requests) == 1
    assert first.complete
    assert second.complete
    assert leftovers(rig.data) == []


def forget_answers(rig: Rig) -> None:
    """As after a week."""
    for path in (rig.data / ".backtest-server").glob("http-cache.sqlite*"):
        path.unlink()


def test_one_day_that_is_gone_is_one_request_for_that_day(polygon_server: Serve, tmp_path: Path) -> None:
    """The others are not touched."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    forget_answers(rig)
    before = {path: path.stat().st_mtime_ns for path in (rig.data / "equity").rglob("*.zip")}
    path_of(rig, DAYS[3]).unlink()
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (7, 1, 0, 0)
    assert days_asked(server) == [(str(DAYS[3]), str(DAYS[3]))]
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)
    after = {path: path.stat().st_mtime_ns for path in before if path != path_of(rig, DAYS[3])}
    assert after.items() <= before.items()


def test_a_longer_range_asks_for_what_is_new(polygon_server: Serve, tmp_path: Path) -> None:
    """Days before and after those that are there, and none of these again beyond what saves a request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[2:4])
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (2, 6, 0, 0)
    assert len(server.requests) == 1
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


def test_a_file_that_was_changed_is_looked_at_again(polygon_server: Serve, tmp_path: Path) -> None:
    """A damaged file is told of and fetched again, with one request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    forget_answers(rig)
    spoilt = path_of(rig, DAYS[1])
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (7, 1, 0, 0)
    assert len(server.requests) == 1
    assert any(str(spoilt) in notice and "damaged" in notice for notice in report.notices)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


def test_files_from_elsewhere_are_taken_as_they_are(polygon_server: Serve, tmp_path: Path) -> None:
    """A data folder without our ledger: whatever is sound is present, with no request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    for file in rig.state.glob("*"):
        if file.is_file():
            file.unlink()

    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)
    assert len(server.requests) == 1


def test_daily_bars_are_merged_into_the_one_zip(polygon_server: Serve, tmp_path: Path) -> None:
    """Later days, earlier days and days between come to stand in order, the old rows untouched."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    for part in (DAYS[3:5], DAYS[6:], DAYS[:1], DAYS):
        report = rig.download("SPY", part, DAILY)
        assert report.complete

    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)
    assert counted(report) == (5, 3, 0, 0)
    assert len(server.requests) == 4
    assert counted(rig.download("SPY", DAYS, DAILY)) == (8, 0, 0, 0)


@pytest.mark.damaged_zips
@pytest.mark.parametrize("damage", ["cut", "flipped", "rubbish"])
def test_a_damaged_daily_zip_is_set_aside_and_its_days_come_back(
    polygon_server: Serve, tmp_path: Path, damage: str
) -> None:
    """Also the days that were not asked for now; the damaged file is kept under a name that nothing reads."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS, DAILY)
    path = rig.data / "equity" / "usa" / "daily" / "spy.zip"
    good = path.read_bytes()
    middle = len(good) // 2
    bad = {
        "cut": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :],
        "rubbish": b"x" * 999,
    }[damage]
    path.write_bytes(bad)

    report = rig.download("SPY", DAYS[6:], DAILY)

    assert report.complete
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)
    (aside,) = leftovers(rig.data)
    assert aside.read_bytes() == bad
    assert aside.name.startswith("spy.zip.damaged-")
    assert any("damaged" in notice for notice in report.notices)


@pytest.mark.damaged_zips
def test_what_is_saved_of_a_daily_zip_may_be_days_that_are_none(polygon_server: Serve, tmp_path: Path) -> None:
    """A Sunday, a day before the calendar and one in the future are not asked for."""
    from server.lean.zip import zip_bytes

    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    path = rig.data / "equity" / "usa" / "daily" / "spy.zip"
    path.parent.mkdir(parents=True)
    rows = "\n".join(f"{day} 00:00,1,1,1,1,1" for day in ("19970102", "20240303", "20240304", "20300102"))
    path.write_bytes(zip_bytes("spy.csv", rows.encode())[:-10])

    report = rig.download("SPY", DAYS[1:], DAILY)

    assert counted(report) == (0, 8, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)


# --- days without bars ---


def test_days_without_bars_are_remembered_and_asked_for_again(polygon_server: Serve, tmp_path: Path) -> None:
    """After 2, 7 and 30 days, each time on the wire; a day that the vendor filled in meanwhile is written."""
    holes = Market.synthetic(["SPY"], [day for day in DAYS if day not in (DAYS[2], DAYS[5])], bars_per_day=30)
    server = polygon_server(holes)
    rig = Rig(tmp_path, server.url)

    assert counted(rig.download("SPY", DAYS)) == (0, 6, 2, 0)
    asked = []
    for wait in (timedelta(days=1), timedelta(days=1, seconds=1), timedelta(days=6), timedelta(days=2)):
        rig.now += wait
        server.reset()
        report = rig.download("SPY", DAYS)
        assert counted(report) == (6, 0, 2, 0)
        assert report.http_cache_hits == 0
        asked.append(len(server.requests))
    assert asked == [0, 1, 0, 1]

    server.market = MARKET
    rig.now += timedelta(days=31)
    server.reset()
    assert counted(rig.download("SPY", DAYS)) == (6, 2, 0, 0)
    assert len(server.requests) == 1
    assert rig.csv() == lean_files(holes, "SPY", DAYS, MINUTE) | {
        name: content
        for name, content in lean_files(MARKET, "SPY", DAYS, MINUTE).items()
        if any(f"{day:%Y%m%d}" in name for day in (DAYS[2], DAYS[5]))
    }


def test_an_empty_day_is_believed_after_the_fourth_answer(polygon_server: Serve, tmp_path: Path) -> None:
    """Two days, a week, a month; then no more."""
    server = polygon_server(Market())
    rig = Rig(tmp_path, server.url)
    asked = []
    for days in (0, 2, 7, 30, 365):
        rig.now += timedelta(days=days)
        server.reset()
        assert rig.download("SPY", DAYS[:1]).complete
        asked.append(len(server.requests))

    assert asked == [1, 1, 1, 1, 0]


def test_a_symbol_that_nobody_knows_is_worth_a_notice(polygon_server: Serve, tmp_path: Path) -> None:
    """The vendor answers about it as about days without trades, so it is said that there is nothing at all."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)

    report = rig.download(["SPY", "SPYY"], DAYS)

    assert counted(report) == (0, 8, 8, 0)
    (notice,) = report.notices
    assert "no bars at all for SPYY" in notice
    assert "check the symbol" in notice
    assert not (rig.data / "equity" / "usa" / "minute" / "spyy").exists()


# --- days that are not over ---


def test_a_day_that_is_not_settled_is_fetched_again(polygon_server: Serve, tmp_path: Path) -> None:
    """Half of today's bars are written, kept out of the HTTP cache, and replaced once the day is over."""
    today = DAYS[4]
    half = Market.synthetic(["SPY"], DAYS[:4], bars_per_day=30) | Market()
    whole = MARKET["SPY", "minute"]
    rows = whole.rows(0, clock(today, 34_200_000 + 9 * 60_000))[1]
    half = Market.of(
        {
            ("SPY", "minute"): [
                {"t": int(whole.t[n]), **{name: float(getattr(whole, name)[n]) for name in "ohlcv"}}
                for n in range(rows)
            ]
        }
    )
    server = polygon_server(half)
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))  # 10:00 in New York

    first = rig.download("SPY", DAYS[:5])
    assert counted(first) == (0, 5, 0, 0)
    assert sorted(days_asked(server)) == [("2024-03-04", "2024-03-07"), ("2024-03-08", "2024-03-08")]
    assert rig.csv()[f"minute/spy/{today:%Y%m%d}_trade.zip"].count(b"\n") == 9

    server.market = MARKET
    rig.now += timedelta(hours=2)
    assert counted(rig.download("SPY", DAYS[:5])) == (5, 0, 0, 0)
    assert len(server.requests) == 2

    rig.now = datetime(2024, 3, 9, 1, 30, tzinfo=UTC)  # 20:30 in New York
    last = rig.download("SPY", DAYS[:5])
    assert (counted(last), last.http_cache_hits) == ((4, 1, 0, 0), 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS[:5], MINUTE)
    assert counted(rig.download("SPY", DAYS[:5])) == (5, 0, 0, 0)
    assert len(server.requests) == 3


def test_a_run_killed_after_writing_todays_bars_does_not_take_them_for_all(
    polygon_server: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends a run, a file that was written before its day was over is fetched again."""
    from server.data_download.ledger import Ledger

    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    def dies(self: Ledger, *marks: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_files", dies)
        with pytest.raises(MemoryError):
            rig.download("SPY", DAYS[4:5])
    assert path_of(rig, DAYS[4]).exists()
    server.reset()

    rig.now += timedelta(days=1)
    assert counted(rig.download("SPY", DAYS[4:5])) == (0, 1, 0, 0)
    assert len(server.requests) == 1


def test_today_without_bars_is_not_remembered_as_empty(polygon_server: Serve, tmp_path: Path) -> None:
    """Before the day is over nothing can be said about it, so it counts as failed, with the reason."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:4], bars_per_day=30))
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[:5])

    assert counted(report) == (0, 4, 0, 1)
    assert "its session is not over" in reason(report)
    server.reset()
    rig.now += timedelta(days=1)
    assert counted(rig.download("SPY", DAYS[:5])) == (4, 0, 1, 0)
    assert len(server.requests) == 1


def test_a_day_that_has_no_bars_any_more_is_kept_and_told_of(polygon_server: Serve, tmp_path: Path) -> None:
    """Half a day's bars were written, and once the day is over the vendor has none: neither lost nor taken for all."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))
    rig.download("SPY", DAYS[4:5])
    before = rig.csv()
    server.market = Market()
    rig.now += timedelta(days=1)

    report = rig.download("SPY", DAYS[4:5])

    assert counted(report) == (0, 0, 0, 1)
    assert "polygon has no bars of 2024-03-08 now" in reason(report)
    assert rig.csv() == before
    server.market = MARKET
    assert counted(rig.download("SPY", DAYS[4:5])) == (0, 1, 0, 0)


def test_today_refused_by_the_plan_leaves_the_other_days_alone(polygon_server: Serve, tmp_path: Path) -> None:
    """A plan that ends with yesterday: all days before come, and today's refusal is told in the vendor's words."""
    server = polygon_server(MARKET, plan_end=DAYS[3])
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[:5])

    assert counted(report) == (0, 4, 0, 1)
    assert "your Polygon plan does not include SPY minute 2024-03-08" in reason(report)
    assert faults.PLAN_TIMEFRAME in reason(report)


def test_a_range_beyond_the_last_session_is_cut(polygon_server: Serve, tmp_path: Path) -> None:
    """What lies in the future is left out, with a notice."""
    rig = Rig(tmp_path, polygon_server(MARKET).url, now=datetime(2024, 3, 9, 12, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS)

    assert counted(report) == (0, 5, 0, 0)
    assert report.notices == ("the range is cut at 2024-03-08, the last session so far",)


# --- plans ---


def test_days_before_the_plans_history_are_never_remembered_as_empty(polygon_server: Serve, tmp_path: Path) -> None:
    """The vendor cuts such a range without a word: the days it left out are asked for once more, and refused."""
    server = polygon_server(MARKET, plan_start=DAYS[3])
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS)

    assert counted(report) == (0, 5, 0, 3)
    assert [failure.days for failure in report.failures] == [tuple(DAYS[:3])]
    assert report.failures[0].code == "plan_limit"
    assert days_asked(server) == [(str(DAYS[0]), str(DAYS[-1])), (str(DAYS[0]), str(DAYS[2]))]
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS[3:], MINUTE)

    server.plan_start = None
    assert counted(rig.download("SPY", DAYS)) == (5, 3, 0, 0)


def test_leading_days_that_the_plan_has_are_empty(polygon_server: Serve, tmp_path: Path) -> None:
    """A young stock: the days before its first bar are asked for once more, and are empty then."""
    young = Market.synthetic(["SPY"], DAYS[3:], bars_per_day=30)
    server = polygon_server(young)
    rig = Rig(tmp_path, server.url)

    assert counted(rig.download("SPY", DAYS)) == (0, 5, 3, 0)
    assert len(server.requests) == 2
    assert counted(rig.download("SPY", DAYS)) == (5, 0, 3, 0)
    assert len(server.requests) == 2


def test_another_symbols_older_bars_show_that_the_plan_reaches_back(polygon_server: Serve, tmp_path: Path) -> None:
    """Then nothing has to be asked twice."""
    market = Market.synthetic(["SPY"], DAYS, bars_per_day=30) | Market.synthetic(["NEW"], DAYS[3:], bars_per_day=30)
    server = polygon_server(market)
    rig = Rig(tmp_path, server.url, max_concurrent_requests=1)
    gate = iter([None])
    server.on_request = lambda request, n: next(gate, None)
    rig.download("SPY", DAYS)
    server.reset()

    report = rig.download(["SPY", "NEW"], DAYS)

    assert counted(report) == (8, 5, 3, 0)
    assert len(server.requests) <= 2


def test_delayed_answers_are_good(polygon_server: Serve, tmp_path: Path) -> None:
    """Status DELAYED is what delayed plans get, over past days too."""
    rig = Rig(tmp_path, polygon_server(MARKET, delayed=True).url)

    assert counted(rig.download("SPY", DAYS)) == (0, 8, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


# --- the HTTP cache and the ledger ---


def lose_files(rig: Rig) -> None:
    """Remove every zip, as a user may."""
    for path in (rig.data / "equity").rglob("*.zip"):
        path.unlink()


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_what_was_answered_is_not_asked_again(polygon_server: Serve, tmp_path: Path, resolution: Resolution) -> None:
    """Files that were lost come back from the HTTP cache: no request, the same bytes."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS, resolution)
    lose_files(rig)
    server.reset()

    report = rig.download("SPY", DAYS, resolution)

    assert counted(report) == (0, 8, 0, 0)
    assert (report.api_calls, report.http_cache_hits, report.bytes_fetched) == (0, 1, 0)
    assert server.requests == []
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, resolution)


def test_all_pages_of_an_answer_are_kept(polygon_server: Serve, tmp_path: Path) -> None:
    """Two pages, two hits."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600))
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[:1], SECOND)
    lose_files(rig)

    report = rig.download("SPY", DAYS[:1], SECOND)

    assert (report.api_calls, report.http_cache_hits) == (0, 2)


def test_kept_answers_serve_whoever_has_another_key(polygon_server: Serve, tmp_path: Path) -> None:
    """What is kept is found by its address alone."""
    server = polygon_server(MARKET)
    Rig(tmp_path, server.url).download("SPY", DAYS)
    rig = Rig(tmp_path, server.url, key="another")
    lose_files(rig)

    assert rig.download("SPY", DAYS).http_cache_hits == 1


def spoil_answers(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change what the HTTP cache holds of each answer."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, value FROM responses").fetchall()
        assert rows
        for key, value in rows:
            connection.execute("UPDATE responses SET value = ? WHERE key = ?", (change(bytes(value)), key))
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda value: b"rubbish",
        lambda value: value[: len(value) // 2],
        lambda value: value[: len(value) // 2] + bytes([value[len(value) // 2] ^ 255]) + value[len(value) // 2 + 1 :],
        lambda value: b"",
    ],
    ids=["rubbish", "cut", "flipped", "empty"],
)
def test_a_damaged_answer_in_the_cache_is_asked_for_anew(
    polygon_server: Serve, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """One request, the right files, and the next time it is in the cache again."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    spoil_answers(rig.cache_path, change)
    lose_files(rig)

    assert counted(rig.download("SPY", DAYS)) == (0, 8, 0, 0)
    assert len(server.requests) == 2
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)

    lose_files(rig)
    assert rig.download("SPY", DAYS).api_calls == 0


def cut_file(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rubbish_file(path: Path) -> None:
    """Write something else into a file."""
    path.write_bytes(b"this is no database at all" * 200)


def holed_file(path: Path) -> None:
    """Overwrite all but the first page of a database."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + random.Random(1).randbytes(len(content) - 4096))


DAMAGES = pytest.mark.parametrize("damage", [cut_file, rubbish_file, holed_file])


@DAMAGES
def test_a_damaged_http_cache_is_begun_anew(
    polygon_server: Serve, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The download goes on as if there were none; the run after it has a sound one."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    rig.download("BRK.B", DAYS)
    damage(rig.cache_path)
    lose_files(rig)

    assert counted(rig.download("SPY", DAYS)) == (0, 8, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)

    lose_files(rig)
    assert rig.download("SPY", DAYS).complete
    lose_files(rig)
    assert rig.download("SPY", DAYS).api_calls == 0


@DAMAGES
def test_a_damaged_ledger_is_begun_anew(polygon_server: Serve, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """The files are looked at again and found present; nothing is asked for, nothing lost."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    long = sessions(date(2023, 1, 3), 200)
    rig.download("NONE", long)
    rig.download("SPY", DAYS)
    before = rig.csv()
    server.reset()
    damage(rig.ledger_path)

    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)
    assert server.requests == []
    assert rig.csv() == before
    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)


def test_a_state_folder_that_cannot_be_made_only_costs_time(polygon_server: Serve, tmp_path: Path) -> None:
    """Where a file stands in its place the run says so and writes nothing."""
    from server.core.errors import WriteFailedError

    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.data.mkdir()
    rig.state.write_bytes(b"a file of the user's")

    with pytest.raises(WriteFailedError, match="a file stands where a folder is needed"):
        rig.download("SPY", DAYS)
    assert rig.state.read_bytes() == b"a file of the user's"
    assert server.requests == []


# --- at once ---


def hold_until_five_are_under_way() -> Callable[[Request, int], Fault | None]:
    """For `PolygonServer.on_request`: no answer to the first five requests before all five are there."""
    five = threading.Barrier(5)

    def hold(request: Request, n: int) -> Fault | None:
        if n <= 5:
            five.wait(PATIENCE)
        return None

    return hold


def test_at_most_five_requests_are_under_way(polygon_server: Serve, tmp_path: Path) -> None:
    """Whatever the number of windows; and with that many, five are."""
    symbols = [f"S{n}" for n in range(15)]
    market = Market.synthetic(symbols, DAYS, bars_per_day=30)
    server = polygon_server(market, latency=0.03, on_request=hold_until_five_are_under_way())

    report = Rig(tmp_path, server.url).download(symbols, DAYS)

    assert report.complete
    assert server.in_flight_max == 5


def test_two_downloads_in_one_process_share_the_five(polygon_server: Serve, tmp_path: Path) -> None:
    """A server with several jobs does not send more."""
    from concurrent.futures import ThreadPoolExecutor

    symbols = [f"S{n}" for n in range(20)]
    market = Market.synthetic(symbols, DAYS[:1], bars_per_day=30)
    server = polygon_server(market, latency=0.03, on_request=hold_until_five_are_under_way())

    def run(part: int) -> DownloadReport:
        return Rig(tmp_path, server.url).download(symbols[part::2], DAYS[:1])

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, range(2)))

    assert all(report.complete for report in reports)
    assert server.in_flight_max == 5


def test_a_cancelled_run_ends_soon_and_keeps_what_is_done(polygon_server: Serve, tmp_path: Path) -> None:
    """In the middle of slow answers: it does not wait for them, nothing is half written, the next run does the rest."""
    cancel = CancelToken()

    def cancel_at_third(request: Request, n: int) -> Fault | None:
        if n == 3:
            cancel.cancel()
        return faults.slow(60) if n >= 3 else None

    symbols = [f"S{n}" for n in range(6)]
    server = polygon_server(Market.synthetic(symbols, DAYS, bars_per_day=30), on_request=cancel_at_third)
    rig = Rig(tmp_path, server.url, pause=None)
    started = time.monotonic()

    report = rig.download(symbols, DAYS, cancel=cancel)

    assert time.monotonic() - started < PATIENCE
    assert report.cancelled
    assert not report.complete
    assert {failure.code for failure in report.failures} == {"cancelled"}
    assert leftovers(rig.data) == []
    server.on_request = None
    again = rig.download(symbols, DAYS)
    assert again.complete
    assert again.days_present == report.days_downloaded


def test_a_run_that_waits_for_its_budget_can_be_cancelled(polygon_server: Serve, tmp_path: Path) -> None:
    """One request a minute, two symbols: the wait is announced and ends at once when asked to."""
    cancel = CancelToken()
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, pause=None, requests_per_minute=1)
    seen: set[str] = set()

    class Watcher(list[Any]):
        def append(self, event: Any) -> None:
            super().append(event)
            seen.add(event.kind)
            if {"wait", "days"} <= seen:
                cancel.cancel()

    rig.events = Watcher()
    started = time.monotonic()
    report = rig.download(["SPY", "BRK.B"], DAYS, cancel=cancel)

    assert time.monotonic() - started < PATIENCE
    assert counted(report) == (0, 8, 0, 8)
    assert len(server.requests) == 1
    (wait,) = [event for event in rig.events if event.kind == "wait"]
    assert 50 < wait.wait_seconds <= 60.1
    assert "budget" in wait.message


# --- looking ---


def test_a_look_says_what_is_what_and_sends_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """Present, empty, damaged and missing days, and the requests that would be sent."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:3], bars_per_day=30))
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[:4])
    path_of(rig, DAYS[1]).write_bytes(b"rubbish")
    server.reset()
    request = DownloadRequest(symbols=("SPY",), resolution=MINUTE, start=DAYS[0], end=DAYS[4])

    with rig.downloader() as downloader:
        look = downloader.plan(request)
    plan = rig.open_provider().plan(look.gaps)

    assert look.states["SPY"] == {
        DAYS[0]: DayState.PRESENT,
        DAYS[1]: DayState.DAMAGED,
        DAYS[2]: DayState.PRESENT,
        DAYS[3]: DayState.EMPTY,
        DAYS[4]: DayState.MISSING,
    }
    assert [gap.days for gap in look.gaps] == [(DAYS[1], DAYS[4])]
    assert list(plan) == [
        f"GET {server.url}/v2/aggs/ticker/SPY/range/1/minute/2024-03-05/2024-03-08?adjusted=false&sort=asc&limit=50000"
    ]
    assert server.requests == []
    path_of(rig, DAYS[1]).unlink()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (date(2024, 6, 4), date(2024, 6, 5), "wholly in the future"),
        (date(1997, 1, 2), date(1997, 1, 3), "1998-01-02"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(tmp_path: Path, start: date, end: date, message: str) -> None:
    """With the bound in the message, and nothing made on disk but the ledger."""
    from server.core.errors import ConfigurationError

    rig = Rig(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        rig.download("SPY", [start, end])
    assert not (rig.data / "equity").exists()


# --- LEAN's own data and the vendor's own answers ---


@pytest.mark.parametrize(
    ("symbol", "resolution", "start", "end"),
    [
        ("SPY", MINUTE, date(2013, 10, 4), date(2013, 10, 11)),
        ("BAC", MINUTE, date(2013, 10, 4), date(2013, 10, 11)),
        ("SPY", SECOND, date(2013, 10, 7), date(2013, 10, 11)),
        ("BAC", SECOND, date(2013, 10, 7), date(2013, 10, 11)),
        ("AAPL", DAILY, date(1998, 1, 2), date(2021, 3, 31)),
        ("FOXA", DAILY, date(2013, 7, 1), date(2021, 3, 31)),
    ],
)
def test_leans_samples_come_back_as_they_are(
    polygon_server: Serve,
    lean_sample_data: Path,
    tmp_path: Path,
    symbol: str,
    resolution: Resolution,
    start: date,
    end: date,
) -> None:
    """Served as the vendor would and downloaded: LEAN's files, CSV for CSV."""
    import zipfile

    market = Market.from_lean_folder(lean_sample_data, symbol, resolutions=(resolution,))
    rig = Rig(tmp_path, polygon_server(market).url)

    report = rig.download(symbol, [start, end], resolution)

    assert report.days_failed == 0
    mine = rig.csv()
    assert mine
    for name, content in mine.items():
        with zipfile.ZipFile(lean_sample_data / "equity" / "usa" / name) as archive:
            theirs = archive.read(archive.namelist()[0]).removesuffix(b"\n").split(b"\n")
        if resolution is DAILY:
            theirs = [row for row in theirs if f"{start:%Y%m%d}" <= row[:8].decode() <= f"{end:%Y%m%d}"]
        assert content.split(b"\n") == theirs, name
    if resolution is not DAILY:
        folder = lean_sample_data / "equity" / "usa" / resolution.value / symbol.lower()
        wanted = {
            path.name for path in folder.glob("*_trade.zip") if f"{start:%Y%m%d}" <= path.name[:8] <= f"{end:%Y%m%d}"
        }
        assert {Path(name).name for name in mine} == wanted


def recorded_rows(name: str, resolution: Resolution) -> dict[date, list[str]]:
    """LEAN's rows of a cassette's bars, worked out from its text."""
    import json
    from collections import defaultdict

    import yaml

    from tests.support.cassettes import FOLDER
    from tests.support.market import new_york_day

    rows = defaultdict(list)
    for tape in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["interactions"]:
        if tape["response"]["status"]["code"] != 200:
            continue
        for bar in json.loads(tape["response"]["body"]["string"]).get("results", []):
            day = new_york_day(bar["t"])
            label = f"{day:%Y%m%d} 00:00" if resolution is DAILY else str(bar["t"] - clock(day))
            prices = [lean_decimal(float(bar[column]), 10_000) for column in "ohlc"]
            rows[day].append(",".join([label, *prices, lean_decimal(float(bar["v"]))]))
    return rows


@pytest.mark.parametrize(
    ("name", "symbol", "resolution", "start", "end", "calls"),
    [
        ("aapl-daily-2023-01-03-10", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 1),
        ("aapl-daily-2025-01-06-07", "AAPL", DAILY, date(2025, 1, 6), date(2025, 1, 7), 1),
        ("nvda-daily-2024-10-14-delayed", "NVDA", DAILY, date(2024, 10, 14), date(2024, 10, 14), 1),
        ("spy-daily-2026-04-17-fractional-volume", "SPY", DAILY, date(2026, 4, 17), date(2026, 4, 17), 1),
        ("aapl-minute-2023-01-03-premarket", "AAPL", MINUTE, date(2023, 1, 3), date(2023, 1, 3), 1),
        ("aapl-minute-2023-07-31-paged", "AAPL", MINUTE, date(2023, 7, 31), date(2023, 7, 31), 2),
        ("error-504-html", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 2),
        ("error-429", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 2),
    ],
)
def test_recorded_answers_become_leans_files(
    cassette: UseCassette,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    symbol: str,
    resolution: Resolution,
    start: date,
    end: date,
    calls: int,
) -> None:
    """What the vendor really sent, as LEAN would have written it."""
    from server.trading_calendar import USEquityTradingCalendar
    from tests.support import harness

    long = USEquityTradingCalendar.load(None, date(2026, 1, 1))
    monkeypatch.setattr(harness, "calendar", lambda: long)
    clockwork = FakeTime()
    monkeypatch.setattr(budget, "time", clockwork)
    rig = Rig(tmp_path, "https://api.polygon.io", now=datetime(2026, 6, 1, 12, tzinfo=UTC), pause=clockwork.pause)

    with cassette(name):
        report = rig.download(symbol, [start, end], resolution)

    rows = recorded_rows(name, resolution)
    assert report.complete
    assert (report.api_calls, report.days_downloaded) == (calls, len(rows))
    if resolution is DAILY:
        expected = {f"daily/{symbol.lower()}.zip": "\n".join(row for day in sorted(rows) for row in rows[day])}
    else:
        expected = {f"minute/{symbol.lower()}/{day:%Y%m%d}_trade.zip": "\n".join(rows[day]) for day in rows}
    assert {path: content.decode() for path, content in rig.csv().items()} == expected


def test_the_recorded_week_in_figures(cassette: UseCassette, tmp_path: Path) -> None:
    """AAPL's first days of 2023, as OpenBB recorded them; the volume of a day is printed whole."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette("aapl-daily-2023-01-03-10"):
        rig.download("AAPL", [date(2023, 1, 3), date(2023, 1, 10)], DAILY)

    rows = rig.csv()["daily/aapl.zip"].decode().split("\n")
    assert rows[0] == "20230103 00:00,1302800,1309000,1241700,1250700,112117471"
    assert [row[:14] for row in rows] == [f"202301{day:02} 00:00" for day in (3, 4, 5, 6, 9, 10)]


@pytest.mark.parametrize(
    ("name", "symbol", "start", "end", "code", "words"),
    [
        ("error-401-unknown-key", "AAPL", date(2023, 1, 3), date(2023, 1, 10), "authentication", "Unknown API Key"),
        ("error-403-not-entitled", "AAPL", date(2023, 1, 3), date(2023, 1, 10), "plan_limit", "not entitled"),
        ("error-403-plan-timeframe", "SPY", date(2016, 5, 9), date(2016, 5, 20), "plan_limit", "data timeframe"),
        ("error-404", "ZZZZZ", date(2023, 1, 3), date(2023, 1, 10), "symbol_not_found", "Ticker not found"),
    ],
)
def test_recorded_refusals_are_told_in_the_vendors_words(
    cassette: UseCassette, tmp_path: Path, name: str, symbol: str, start: date, end: date, code: str, words: str
) -> None:
    """One request, the text and the request id."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette(name):
        report = rig.download(symbol, [start, end], DAILY)

    (failure,) = report.failures
    assert failure.code == code
    assert words in failure.error
    assert "request id" in failure.error
    assert report.api_calls == 1


def test_a_recorded_answer_without_results_is_empty(cassette: UseCassette, tmp_path: Path) -> None:
    """Days without bars, and a word about the symbol."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette("empty-range"):
        report = rig.download("ZZZZZ", [date(2023, 1, 3), date(2023, 1, 10)], DAILY)

    assert counted(report) == (0, 0, 6, 0)
    assert "no bars at all for ZZZZZ" in report.notices[0]
