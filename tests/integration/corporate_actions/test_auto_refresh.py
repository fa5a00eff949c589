"""Building factor and map files alongside a download."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import attrs

from server.core.cancel import CancelToken
from server.core.json import to_json
from server.corporate_actions.auto_refresh import AutoRefresh
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from tests.support import faults
from tests.support.corporate_market import (
    BEFORE_SPLIT,
    DAYS,
    EXPECTED_MAP,
    NOW,
    SPLIT,
    apple_events,
    close,
    expected_factors,
)
from tests.support.corporate_rig import RigOn, at
from tests.support.market import Market
from tests.support.polygon_server import Request
from tests.support.reference_data import DIVIDENDS, SPLITS, ReferenceData
from tests.support.small_disk import small_disk


def test_at_most_once_a_day(rig_on: RigOn) -> None:
    """The report lists what was written and counts all requests; later that day no such request is sent."""
    rig, server = rig_on()

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert rig.text("factor", "AAPL") == expected_factors()
    assert to_json(report.corporate_actions) == [
        {"symbol": "AAPL", "factor_file": "written", "map_file": "written", "notices": []}
    ]
    assert (report.api_calls, report.corporate_api_calls, len(server.requests)) == (1, 4, 5)
    assert report.days_downloaded == len(DAYS)
    assert [doubt.kind for doubt in report.doubts] == ["split"]  # the market's closes do not change over it
    server.reset()

    again = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert server.requests == []
    assert again.corporate_actions == ()

    rig.now = at("2020-09-22")
    later = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert {entry.factor_file for entry in later.corporate_actions} == {"unchanged"}


def test_a_refresh_requests_the_events_again_on_the_same_day(rig_on: RigOn) -> None:
    """Although they were checked today and their responses are cached; and the bars of the range."""
    rig, server = rig_on()
    first = rig.download("AAPL", DAYS[0], DAYS[-1])
    server.reset()

    report = rig.download("AAPL", DAYS[0], DAYS[-1], refresh=True)

    assert (report.api_calls, report.corporate_api_calls) == (first.api_calls, first.corporate_api_calls)
    assert len(server.requests) == first.api_calls + first.corporate_api_calls
    assert {entry.factor_file for entry in report.corporate_actions} == {"unchanged"}


def test_off_requests_bars_only(rig_on: RigOn) -> None:
    """The setting."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert len(server.requests) == 1
    assert report.corporate_actions == ()
    assert rig.text("factor", "AAPL") is None


def test_a_failure_fails_no_download_and_is_reported_once(rig_on: RigOn) -> None:
    """Without the lists prices are not adjusted: one notice for all symbols; within the hour it is not retried."""
    older = ("/v3/reference/splits", "/v3/reference/dividends")
    refused = {path: faults.not_entitled() for path in (SPLITS, DIVIDENDS, *older)}
    rig, server = rig_on(apple_events(refused=refused))

    report = rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])

    assert report.complete
    (notice,) = report.notices
    assert notice.startswith("AAPL, BRK.B have no factor file, so LEAN does not adjust their prices for splits and")
    assert "backtest-server factor-files AAPL BRK.B" in notice
    assert {entry.factor_file for entry in report.corporate_actions} == {"none"}
    server.reset()

    again = rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])
    assert (len(server.requests), again.notices) == (0, report.notices)

    rig.now = at(NOW, 14)
    rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])
    assert server.requests != []


def test_a_check_in_the_future_does_not_count(rig_on: RigOn) -> None:
    """A clock that was ten days ahead made it: events of these days may be lacking."""
    rig, server = rig_on()
    rig.now = at(NOW) + timedelta(days=10)
    rig.download("AAPL", DAYS[0], DAYS[-1])
    rig.now = at(NOW)
    server.reset()

    rig.download("AAPL", DAYS[0], DAYS[-1])

    assert server.requests != []


def test_a_full_disk_is_not_remembered(rig_on: RigOn) -> None:
    """The files are built by the next download after space was freed, without a wait of an hour."""
    rig, _ = rig_on()
    with small_disk(rig.data / "equity/usa/map_files") as disk:
        disk.fill()
        full = rig.download("AAPL", DAYS[0], DAYS[-1])
        assert [entry.map_file for entry in full.corporate_actions] == ["none"]
        assert "the disk is full; free some space" in full.notices[0]
        disk.free()

        report = rig.download("AAPL", DAYS[0], DAYS[-1])

        assert [(entry.factor_file, entry.map_file) for entry in report.corporate_actions] == [("written", "written")]
        assert rig.text("map", "AAPL") == EXPECTED_MAP


def test_a_wrong_key_leaves_no_files(rig_on: RigOn) -> None:
    """The run learned nothing, so its empty state is removed."""
    rig, _ = rig_on()
    rig.environ["POLYGON_API_KEY"] = "not-the-key"

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert not report.complete
    assert not rig.data.exists()


def test_without_a_key_existing_data_are_used(rig_on: RigOn) -> None:
    """Nothing is missing and no request can be sent: the run is complete, and a notice names the missing file."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.download("AAPL", DAYS[0], DAYS[-1])
    rig.environ |= {"BACKTEST_SERVER_CORPORATE_ACTIONS": "auto", "POLYGON_API_KEY": ""}
    server.reset()

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert report.complete
    assert "AAPL has no factor file" in report.notices[0]
    assert server.requests == []


def test_later_events_of_files_of_other_programs_are_listed_each_time(rig_on: RigOn) -> None:
    """The vendor is asked once, and the events and the command that adds them are listed in every download."""
    rig, server = rig_on()
    text = "20200701,0.9,1,1\n20200710,0.9,1,100\n20501231,1,1,0"
    rig.put("factor", "AAPL", text)
    rig.put("map", "AAPL", EXPECTED_MAP)
    later = (
        "the files of AAPL are of another origin and lack 2 later events (2020-08-07 dividend of $0.82; 2020-08-31 "
        "split of 4:1); backtest-server factor-files AAPL --extend adds them"
    )

    first = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert len(server.requests) == 5
    assert later in first.notices
    server.reset()

    again = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert later in again.notices
    assert server.requests == []
    assert rig.text("factor", "AAPL") == text

    earlier = rig.download("AAPL", DAYS[0], date(2020, 7, 31))
    assert earlier.notices == ()


def test_older_bars_extend_the_file(rig_on: RigOn) -> None:
    """The vendor lists the share from a day after its first bars: the file must not hide them."""
    reference = apple_events()
    reference.tickers[0]["list_date"] = "2020-08-03"
    rig, _ = rig_on(reference)
    rig.download("AAPL", date(2020, 8, 3), DAYS[-1])
    assert (rig.text("map", "AAPL") or "").startswith("20200803,")

    rig.download("AAPL", DAYS[0], DAYS[-1])

    assert rig.text("map", "AAPL") == EXPECTED_MAP
    assert rig.text("factor", "AAPL") == expected_factors()


def test_cancelled_alongside_a_download(rig_on: RigOn) -> None:
    """All bars are on disk, the files are not: the run counts as cancelled, so that no backtest runs."""
    rig, server = rig_on()
    cancel = CancelToken()

    def stop(request: Request, n: int) -> None:
        if request.path == DIVIDENDS:
            cancel.cancel()

    server.on_request = stop

    report = rig.download("AAPL", DAYS[0], DAYS[-1], cancel=cancel)

    assert (report.days_downloaded, report.days_failed) == (len(DAYS), 0)
    assert report.cancelled
    assert not report.complete
    assert rig.text("factor", "AAPL") is None


class _Broken:
    """A source with a defect."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            if name != "close":
                raise RuntimeError("not foreseen")

        return fail


def test_a_fault_in_a_source_fails_no_download(rig_on: RigOn) -> None:
    """An exception of any type is reported like other failures."""
    rig, _ = rig_on()
    workspace = rig.open()
    context = workspace.corporate_actions()
    assert context is not None
    step = AutoRefresh(context=attrs.evolve(context, open_source=lambda *_: _Broken()))
    downloader = attrs.evolve(workspace.downloader(), steps=[step])
    request = DownloadRequest(symbols=("AAPL",), resolution=Resolution.DAILY, start=DAYS[0], end=DAYS[-1])

    report = downloader.download(request)

    workspace.close()
    assert report.complete
    assert "unexpected: RuntimeError: not foreseen" in report.notices[0]


def test_many_symbols_are_built_concurrently(rig_on: RigOn) -> None:
    """Each gets its own files, and the report has them in the order of the request."""
    names = [f"A{n}" for n in range(12)]
    market = Market.synthetic(names, DAYS, "daily")
    reference = ReferenceData()
    for n, name in enumerate(names):
        reference.split(name, SPLIT, old=1, new=n + 2)
        reference.listed(name, since=DAYS[0])
    rig, server = rig_on(reference, market)

    report = rig.download(names, DAYS[0], DAYS[-1])

    assert [entry.symbol for entry in report.corporate_actions] == names
    assert {entry.factor_file for entry in report.corporate_actions} == {"written"}
    assert (report.api_calls, report.corporate_api_calls) == (len(names), 4 * len(names))
    assert len(server.requests) == 5 * len(names)
    for n, name in enumerate(names):
        (_, split, _) = (rig.text("factor", name) or "").split("\n")
        ratio = Decimal(1) / (n + 2)
        shown = str(ratio) if len(str(ratio)) <= 10 else str(ratio.quantize(Decimal("0.00000001")))
        assert split == f"20200828,1,{shown},{close(BEFORE_SPLIT, name, market)}"
