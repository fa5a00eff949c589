"""Days without bars, and days that the plan does not include."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.harness import Rig, lean_files
from tests.support.market import Market
from tests.support.polygon_downloads import DAYS, MARKET, MINUTE, Serve, days_asked
from tests.support.reference_data import listing
from tests.support.reports import counted


def test_days_without_bars_are_remembered_and_asked_for_again(polygon_server: Serve, tmp_path: Path) -> None:
    """After 2, 7 and 30 days, each time with a new request; a day that the vendor filled in meanwhile is written."""
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
        asked.append([request.path.split("/")[2] for request in server.requests])
    assert asked == [[], ["aggs", "reference"], [], ["aggs"]]  # the ticker's details are cached until midnight

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
    """Two days, a week, a month; then no more. Each time the ticker is found listed."""
    server = polygon_server(Market(), reference=listing("SPY"))
    rig = Rig(tmp_path, server.url)
    asked = []
    for days in (0, 2, 7, 30, 365):
        rig.now += timedelta(days=days)
        server.reset()
        assert rig.download("SPY", DAYS[:1]).complete
        asked.append(len(server.requests))

    assert asked == [2, 1, 1, 1, 0]  # its details are cached until midnight by the machine's own clock


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
