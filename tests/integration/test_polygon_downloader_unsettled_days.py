"""Days that are not over, and days in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.harness import Rig, lean_files
from tests.support.market import Market, clock
from tests.support.polygon_downloads import DAYS, MARKET, MINUTE, Serve, days_asked, path_of, reason
from tests.support.reference_data import listing
from tests.support.reports import counted


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
    """Before the day is over nothing can be said about it, so the range is cut before it, with the reason."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:4], bars_per_day=30))
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[:5])

    assert counted(report) == (0, 4, 0, 0)
    assert report.complete
    assert report.cut_at == DAYS[3]
    (notice,) = report.notices
    assert notice.startswith(
        "the range is cut at 2024-03-07, the last settled session: bars of 2024-03-08 cannot be had"
    )
    assert "its session is not over" in notice
    server.reset()
    rig.now += timedelta(days=1)
    assert counted(rig.download("SPY", DAYS[:5])) == (4, 0, 1, 0)
    assert [request.path for request in server.requests][1:] == ["/v3/reference/tickers/SPY"]


def test_a_day_that_has_no_bars_any_more_is_kept_and_reported(polygon_server: Serve, tmp_path: Path) -> None:
    """Half a day's bars were written, and once the day is over the vendor has none: neither lost nor taken for all."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))
    rig.download("SPY", DAYS[4:5])
    before = rig.csv()
    server.market, server.reference = Market(), listing("SPY")
    rig.now += timedelta(days=1)

    report = rig.download("SPY", DAYS[4:5])

    assert counted(report) == (0, 0, 0, 1)
    assert "polygon has no bars of 2024-03-08 now" in reason(report)
    assert rig.csv() == before
    server.market = MARKET
    assert counted(rig.download("SPY", DAYS[4:5])) == (0, 1, 0, 0)


def test_today_refused_by_the_plan_leaves_the_other_days_alone(polygon_server: Serve, tmp_path: Path) -> None:
    """A plan that ends with yesterday: the range is cut there, and the notice has the vendor's words."""
    server = polygon_server(MARKET, plan_end=DAYS[3])
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[:5])

    assert counted(report) == (0, 4, 0, 0)
    (notice,) = report.notices
    assert "bars of 2024-03-08 cannot be had yet for SPY" in notice
    assert "your Polygon plan does not include SPY minute 2024-03-08" in notice
    assert faults.PLAN_TIMEFRAME in notice


def test_today_alone_is_not_cut(polygon_server: Serve, tmp_path: Path) -> None:
    """No day would be left, so the refusal is a failure."""
    rig = Rig(tmp_path, polygon_server(MARKET, plan_end=DAYS[3]).url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[4:5])

    assert (counted(report), report.cut_at) == ((0, 0, 0, 1), None)
    assert faults.PLAN_TIMEFRAME in reason(report)


def test_days_before_the_plan_fail_although_today_is_cut(polygon_server: Serve, tmp_path: Path) -> None:
    """Only days that are not settled are cut off."""
    server = polygon_server(MARKET, plan_start=DAYS[2], plan_end=DAYS[3])
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS[:5])

    assert (counted(report), report.cut_at) == ((0, 2, 0, 2), DAYS[3])
    assert report.failures[0].days == tuple(DAYS[:2])


def test_an_outage_is_not_cut(polygon_server: Serve, tmp_path: Path) -> None:
    """Today's bars may exist, so the day has failed."""
    server = polygon_server(
        MARKET, on_request=lambda request, n: faults.server_error() if "2024-03-08/2024-03-08" in request.path else None
    )
    rig = Rig(tmp_path, server.url, now=datetime(2024, 3, 8, 15, 0, tzinfo=UTC), retry_attempts=2)
    rig.download("SPY", DAYS[:4])

    report = rig.download("SPY", DAYS[:5])

    assert (counted(report), report.cut_at) == ((4, 0, 0, 1), None)


def test_a_range_beyond_the_last_session_is_cut(polygon_server: Serve, tmp_path: Path) -> None:
    """What lies in the future is left out, with a notice."""
    rig = Rig(tmp_path, polygon_server(MARKET).url, now=datetime(2024, 3, 9, 12, 0, tzinfo=UTC))

    report = rig.download("SPY", DAYS)

    assert counted(report) == (0, 5, 0, 0)
    assert report.notices == ("the range is cut at 2024-03-08, the last session so far",)
