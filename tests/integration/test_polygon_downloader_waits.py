"""Waits, time limits, failures of single windows, unusual numbers and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.lean.series import Resolution
from server.plugins.polygon_provider import transport
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, lean_csv, lean_decimal, lean_files, sessions
from tests.support.market import BarColumns, Market
from tests.support.polygon_server import PolygonServer, Request
from tests.support.reports import counted, only_failure

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 3)
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=20)
OTHER_KEY = "zQ+9/another key"


def rig_for(server: PolygonServer, root: Path, clockwork: FakeTime, **config: Any) -> Rig:
    """A rig with that time, and few tries."""
    return Rig(root, server.url, pause=clockwork.pause, **{"retry_attempts": 3, **config})


# --- waiting ---


def test_retry_after_is_honoured(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """The wait is the vendor's."""
    server = polygon_server(MARKET, faults=[faults.too_many_requests(17)])

    assert rig_for(server, tmp_path, clockwork).download("SPY", DAYS).complete
    assert 17 <= sum(clockwork.waits) < 18


def test_a_wait_beyond_all_patience_ends_the_run_at_once(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """Retry-After of a day, with five symbols under way: no worker waits for it."""
    symbols = ["A", "B", "C", "D", "E", "F", "G"]
    server = polygon_server(MARKET, on_request=lambda request, n: faults.too_many_requests(86_400))

    report = rig_for(server, tmp_path, clockwork).download(symbols, DAYS)

    assert counted(report) == (0, 0, 0, 21)
    assert {failure.code for failure in report.failures} == {"rate_limit"}
    assert sum(clockwork.waits) < 60


def test_who_is_pushed_back_twice_slows_down(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Without a budget set, two refusals make the run go on with the free plan's five a minute, and say so."""
    symbols = [f"S{n}" for n in range(12)]
    again = iter([faults.too_many_requests(1)] * 2)
    market = Market.synthetic(symbols, DAYS, bars_per_day=5)
    server = polygon_server(market, on_request=lambda request, n: next(again, None))
    rig = rig_for(server, tmp_path, clockwork, max_concurrent_requests=1, retry_attempts=8)

    report = rig.download(symbols, DAYS)

    assert counted(report) == (0, 36, 0, 0)
    assert any("5 a minute" in notice for notice in report.notices)
    assert any("request budget" in message for message in rig.messages("wait"))
    assert sum(clockwork.waits) > 60


def test_a_slow_answer_is_waited_for(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Late and in small pieces, but whole."""
    server = polygon_server(MARKET, faults=[faults.slow(0.2)])
    rig = rig_for(server, tmp_path, clockwork)

    assert rig.download("SPY", DAYS).complete
    server.faults.append(faults.trickling(0.2))
    assert rig.download("SPY", sessions(date(2024, 2, 1), 3)).complete


def test_an_answer_that_never_ends_is_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that comes a few bytes at a time is not waited for beyond the limit, and counts as a request."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.3)
    server = polygon_server(MARKET, faults=[faults.trickling(20)])
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    assert report.complete
    assert (report.api_calls, report.retries) == (2, 1)
    assert "took longer than" in rig.messages("retry")[0]
    assert report.duration_s < 3


def test_a_server_that_says_nothing_is_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No first byte within the limit: tried again, and reported as a timeout."""
    monkeypatch.setattr(transport, "READ_SECONDS", 0.2)
    server = polygon_server(MARKET, faults=[faults.slow(5)])
    rig = rig_for(server, tmp_path, clockwork)

    assert rig.download("SPY", DAYS).complete
    assert "no answer within" in rig.messages("retry")[0]


def test_a_dead_host(tmp_path: Path, clockwork: FakeTime) -> None:
    """A port without a listener: the error names the address, no request is counted, nothing is written."""
    rig = Rig(tmp_path, "http://127.0.0.1:9", pause=clockwork.pause)

    report = rig.download("SPY", DAYS)

    failure = only_failure(report, "SPY", DAYS)
    assert failure.code == "provider_unavailable"
    assert "http://127.0.0.1:9" in failure.error
    assert "check the network" in failure.error
    assert report.api_calls == 0
    assert not (rig.data / "equity").exists()


def test_no_key_sends_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """The message says where to put one."""
    server = polygon_server(MARKET)
    report = Rig(tmp_path, server.url, key="").download("SPY", DAYS)

    assert only_failure(report, "SPY", DAYS).code == "authentication"
    assert "POLYGON_API_KEY" in only_failure(report, "SPY", DAYS).error
    assert server.requests == []


# --- one window fails, the others do not ---


def by_symbol(wrong: dict[str, Fault], request: Request, n: int) -> Fault | None:
    """A fault for some symbols."""
    return wrong.get((request.window or ("", "", "", ""))[0])


def test_a_refusal_of_one_symbol_leaves_the_others_alone(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """Plan, unknown and garbled symbols each have their own reason; the rest is written."""
    market = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=20)
    wrong = {"A": faults.not_entitled(), "B": faults.ticker_not_found(), "C": faults.unsorted_bars()}
    market |= Market.synthetic(["C"], DAYS, bars_per_day=20)
    server = polygon_server(market, on_request=partial(by_symbol, wrong))
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download(["SPY", "A", "B", "C", "AAPL"], DAYS)

    assert counted(report) == (0, 6, 0, 9)
    assert {failure.symbol: failure.code for failure in report.failures} == {
        "A": "plan_limit",
        "B": "symbol_not_found",
        "C": "bad_response",
    }
    assert rig.csv() == {
        name: content
        for symbol in ("SPY", "AAPL")
        for name, content in lean_files(market, symbol, DAYS, Resolution.MINUTE).items()
    }


def test_a_wrong_key_ends_the_run(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Twenty symbols are not asked for with a key that was refused."""
    server = polygon_server(MARKET, key="the right one")
    report = rig_for(server, tmp_path, clockwork).download([f"S{n}" for n in range(20)], DAYS)

    assert counted(report) == (0, 0, 0, 60)
    assert {failure.code for failure in report.failures} == {"authentication"}
    assert len(server.requests) <= 7


# --- numbers ---


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
@pytest.mark.parametrize("scientific", [False, True])
def test_fractional_volumes_are_written_whole(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution, scientific: bool
) -> None:
    """Plain or in scientific notation, with up to six digits behind the point."""
    market = Market.synthetic(
        ["SPY"], DAYS, resolution, bars_per_day=20, fractional_volume=True, decimals=4, scientific=scientific
    )
    rig = Rig(tmp_path, polygon_server(market).url)

    assert rig.download("SPY", DAYS, resolution).complete
    assert rig.csv() == lean_files(market, "SPY", DAYS, resolution)
    assert any(b"." in row.rsplit(b",", 1)[1] for row in b"\n".join(rig.csv().values()).split(b"\n"))


@pytest.mark.parametrize(
    "fault",
    [faults.scientific_volume(), faults.repeated_bars(), faults.delayed()],
    ids=["scientific", "repeated", "delayed"],
)
def test_habits_of_the_vendor_change_nothing(polygon_server: Serve, tmp_path: Path, fault: Fault) -> None:
    """The same files come out."""
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[fault]).url)

    assert rig.download("SPY", DAYS).complete
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)


def test_an_added_fraction_of_a_share(polygon_server: Serve, tmp_path: Path) -> None:
    """Each volume is the sum that the vendor's double shows, to 15 digits."""
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[faults.fractional_volume(0.525697)]).url)
    assert rig.download("SPY", DAYS).complete

    whole = MARKET["SPY", "minute"]
    more = BarColumns(t=whole.t, o=whole.o, h=whole.h, l=whole.l, c=whole.c, v=whole.v + 0.525697)
    assert list(rig.csv().values()) == [lean_csv(more, day) for day in DAYS]
    assert lean_decimal(float(whole.v[0]) + 0.525697).endswith(".525697")


def test_null_results_are_none(polygon_server: Serve, tmp_path: Path) -> None:
    """As if there were no results at all."""
    none = faults.edited(lambda answer: {**answer, "results": None, "resultsCount": 0, "count": 0})
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[none]).url)

    assert counted(rig.download("SPY", DAYS)) == (0, 0, 3, 0)


# --- pages ---


def test_pages_are_followed_to_the_end(polygon_server: Serve, tmp_path: Path) -> None:
    """A session of seconds that does not fit one answer is written whole."""
    market = Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600)
    server = polygon_server(market)
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS[:1], Resolution.SECOND)

    assert (report.api_calls, report.bars) == (2, 57_600)
    assert rig.csv() == lean_files(market, "SPY", DAYS[:1], Resolution.SECOND)


def test_a_second_page_that_forgets_to_be_unadjusted_is_refused(polygon_server: Serve, tmp_path: Path) -> None:
    """Better no day than one whose second half has other prices."""
    market = Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600)
    rig = Rig(tmp_path, polygon_server(market, cursor_keeps_adjusted=False).url)

    report = rig.download("SPY", DAYS[:1], Resolution.SECOND)

    assert report.days_failed == 1
    assert "adjusted for splits" in report.failures[0].error
    assert rig.csv() == {}


def circle(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose next page is a page that was there already."""
    path = f"/v2/aggs/ticker/SPY/range/1/minute/{DAYS[0]}/{DAYS[-1]}?adjusted=false&sort=asc&limit=50000"
    return {**answer, "next_url": SERVER_URL[0] + path}


SERVER_URL: list[str] = []


@pytest.fixture
def _server_url() -> Iterator[None]:
    yield
    SERVER_URL.clear()


@pytest.mark.usefixtures("_server_url")
def test_pages_that_go_round_in_a_circle_end(polygon_server: Serve, tmp_path: Path) -> None:
    """A next page that was read already is refused."""
    server = polygon_server(MARKET, on_request=lambda request, n: faults.edited(circle))
    SERVER_URL.append(server.url)

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert "circle" in only_failure(report, "SPY", DAYS).error
    assert len(server.requests) == 2
