"""The whole download, from a request to LEAN's files, against a local server that behaves as Polygon does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from tests.support import faults
from tests.support.harness import Rig, lean_files, leftovers, sessions
from tests.support.market import Market, clock
from tests.support.polygon_server import PolygonServer
from tests.support.reports import counted

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 8)  # the clocks change on the 10th
MARKET = Market.synthetic(["SPY", "BRK.B"], DAYS, bars_per_day=30) | Market.synthetic(["SPY"], DAYS, "daily")
MINUTE, DAILY, SECOND = Resolution.MINUTE, Resolution.DAILY, Resolution.SECOND


def days_asked(server: PolygonServer) -> list[tuple[str, str]]:
    """First and last day of each request."""
    return [request.window[2:] for request in server.requests if request.window]


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
    """A damaged file is reported and fetched again, with one request."""
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
    """A plan that ends with yesterday: all days before come, and today's refusal is reported in the vendor's words."""
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
