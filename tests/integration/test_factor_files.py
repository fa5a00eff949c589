"""Factor and map files from the vendor's lists to LEAN's files: asked for by somebody, or made beside a download.

Expected rows are worked out here from LEAN's rule, with closes of the market that is served:
price factor (C - D) / C and split factor old / new, from the newest event to the oldest.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import pytest

from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError
from server.core.events import Event
from server.corporate_actions.auto_refresh import DailyCheck
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from tests.support import faults
from tests.support.command_line import remember_the_calendar
from tests.support.corporate import APPLE
from tests.support.corporate_rig import USA, CorporateRig, at
from tests.support.harness import calendar
from tests.support.market import Market, new_york_day
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.reference_data import DIVIDENDS, SPLITS, ReferenceData

Serve = Callable[..., PolygonServer]

DAYS = calendar().trading_days(date(2020, 7, 1), date(2020, 9, 18))
MARKET = Market.synthetic(["AAPL", "BRK.B"], DAYS, "daily") | Market.synthetic(["AAPL"], DAYS[-3:], bars_per_day=5)
SPLIT, PAID = date(2020, 8, 31), date(2020, 8, 7)
BEFORE_SPLIT, BEFORE_PAID = date(2020, 8, 28), date(2020, 8, 6)
NOW = "2020-09-21"  # a Monday, 08:00 in New York: the 18th is the newest settled session


@pytest.fixture(autouse=True)
def _calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_the_calendar(monkeypatch)


def events(**options: Any) -> ReferenceData:
    """Apple in 2020: a dividend, then a split."""
    data = ReferenceData(**options)
    data.split("AAPL", SPLIT, old=1, new=4)
    data.dividend("AAPL", PAID, "0.82")
    data.listed("AAPL", exchange="XNAS", since=DAYS[0])
    return data


@pytest.fixture
def rig_on(tmp_path: Path, polygon_server: Serve) -> Callable[..., tuple[CorporateRig, PolygonServer]]:
    """``rig_on(reference)``: a data folder, and the vendor that it asks."""

    def start(
        reference: ReferenceData | None = None, market: Market = MARKET, **options: Any
    ) -> tuple[CorporateRig, PolygonServer]:
        server = polygon_server(market, reference=reference or events(), **options)
        return CorporateRig(tmp_path, server.url, at(NOW)), server

    return start


RigOn = Callable[..., tuple[CorporateRig, PolygonServer]]


def close(day: date, symbol: str = "AAPL", market: Market = MARKET) -> Decimal:
    """The close that the market serves."""
    series = market[symbol, "day"]
    return next(
        Decimal(f"{Decimal(str(c)).normalize():f}")
        for t, c in zip(series.t, series.c, strict=True)
        if new_york_day(int(t)) == day
    )


def factor(*steps: Fraction) -> str:
    """The product, as LEAN prints price factors."""
    product = Fraction(1)
    for step in steps:
        product *= step
    if product == 1:
        return "1"
    return str((Decimal(product.numerator) / product.denominator).quantize(Decimal("0.0000001")))


def paid(amount: str, day: date, symbol: str = "AAPL") -> Fraction:
    """(C - D) / C."""
    return 1 - Fraction(amount) / Fraction(close(day, symbol))


def expected() -> str:
    """The file of `events`."""
    price = factor(paid("0.82", BEFORE_PAID))
    return "\n".join(
        [
            f"20200701,{price},0.25,1",
            f"20200806,{price},0.25,{close(BEFORE_PAID)}",
            f"20200828,1,0.25,{close(BEFORE_SPLIT)}",
            "20501231,1,1,0",
        ]
    )


MAP = "20200701,aapl,Q\n20501231,aapl,Q\n"


def asked(server: PolygonServer) -> list[str]:
    """What was asked for, without the queries, in order."""
    return [request.path for request in server.requests]


def test_first_run_writes_both_files_and_the_second_sends_nothing(rig_on: RigOn) -> None:
    """Row for row LEAN's rule; only the closes that are needed are fetched, in one window; the key is nowhere."""
    rig, server = rig_on()

    outcome = rig.make("AAPL")

    (made,) = outcome.made
    assert (made.files.factor_file, made.files.map_file, made.files.notices) == ("written", "written", ())
    assert rig.text("factor", "AAPL") == expected()
    assert rig.text("map", "AAPL") == MAP
    windows = [request.window for request in server.requests if request.window]
    assert windows == [("AAPL", "day", str(BEFORE_PAID), str(BEFORE_SPLIT))]
    assert outcome.api_calls == len(server.requests) == 5
    assert server.keys_in_urls == []
    server.reset()

    again = rig.make("AAPL")

    assert server.requests == []
    assert (again.made[0].files.factor_file, again.made[0].files.map_file) == ("unchanged", "unchanged")
    for path in rig.data.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_closes_on_disk_are_not_fetched(rig_on: RigOn) -> None:
    """The daily zip has them; only the lists are asked for."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.download("AAPL", DAYS[0], DAYS[-1])
    server.reset()

    rig.make("AAPL")

    assert [request.window for request in server.requests if request.window] == []
    assert rig.text("factor", "AAPL") == expected()


def test_refresh_asks_again_on_the_same_day(rig_on: RigOn) -> None:
    """Kept answers are passed over; what is unchanged is not written."""
    rig, server = rig_on()
    rig.make("AAPL")
    stood = rig.path("factor", "AAPL").stat().st_mtime_ns
    server.reset()

    (made,) = rig.make("AAPL", refresh=True).made

    assert SPLITS in asked(server)
    assert (made.files.factor_file, made.files.map_file) == ("unchanged", "unchanged")
    assert rig.path("factor", "AAPL").stat().st_mtime_ns == stood


def test_a_new_split_the_next_day_changes_only_the_rows_before_it(rig_on: RigOn) -> None:
    """The rows of later days stay as they are; the older ones get its factor."""
    reference = events()
    rig, _ = rig_on(reference)
    rig.now = at("2020-09-18")
    rig.make("AAPL")
    assert rig.text("factor", "AAPL") == expected()
    reference.split("AAPL", date(2020, 9, 21), old=1, new=2)
    rig.next_day("2020-09-21")

    (made,) = rig.make("AAPL").made

    assert (made.files.factor_file, made.files.map_file) == ("written", "unchanged")
    *older, last = expected().replace(",0.25,", ",0.125,").split("\n")
    assert rig.text("factor", "AAPL") == "\n".join([*older, f"20200918,1,0.5,{close(date(2020, 9, 18))}", last])


def test_no_events_make_a_file_of_two_rows(rig_on: RigOn) -> None:
    """From the first day on nothing is adjusted."""
    reference = ReferenceData()
    reference.listed("AAPL", exchange="XNYS", since="2010-06-29")
    rig, _ = rig_on(reference)

    rig.make("AAPL")

    assert rig.text("factor", "AAPL") == "20100629,1,1,1\n20501231,1,1,0"
    assert rig.text("map", "AAPL") == "20100629,aapl,N\n20501231,aapl,N\n"


def test_a_symbol_with_a_dot(rig_on: RigOn) -> None:
    """Its file has the dot, too."""
    reference = ReferenceData()
    reference.dividend("BRK.B", PAID, "1")
    reference.listed("BRK.B", exchange="XNYS", since=DAYS[0])
    rig, _ = rig_on(reference)

    rig.make("BRK.B")

    price = factor(paid("1", BEFORE_PAID, "BRK.B"))
    row = f"20200806,{price},1,{close(BEFORE_PAID, 'BRK.B')}"
    assert rig.text("factor", "BRK.B") == f"20200701,{price},1,1\n{row}\n20501231,1,1,0"
    assert rig.text("map", "BRK.B") == "20200701,brk.b,N\n20501231,brk.b,N\n"


def test_a_foreign_file_is_compared_and_kept(rig_on: RigOn) -> None:
    """QuantConnect's stays byte for byte; its first difference is told; --replace puts ours in its place."""
    rig, server = rig_on()
    theirs = "20200701,0.5,0.25,1\n20200828,1,0.25,499.23\n20501231,1,1,0"
    rig.put("factor", "AAPL", theirs)

    (made,) = rig.make("AAPL").made

    assert (made.files.factor_file, made.files.map_file) == ("kept", "written")
    assert rig.text("factor", "AAPL") == theirs
    assert made.factors.count == 3
    assert made.factors.sentences[0] == f"2020-08-28: close {close(BEFORE_SPLIT)} in ours, 499.23 in theirs"
    (notice,) = made.files.notices
    assert "is not ours and is kept" in notice

    server.reset()
    (replaced,) = rig.make("AAPL", replace=True).made
    assert replaced.files.factor_file == "written"
    assert rig.text("factor", "AAPL") == expected()
    assert server.requests == [] or SPLITS not in asked(server)  # kept until midnight
    assert rig.make("AAPL").made[0].files.factor_file == "unchanged"


def test_a_file_of_ours_that_was_edited_is_not_ours(rig_on: RigOn) -> None:
    """Whose a file is, its content decides."""
    rig, _ = rig_on()
    rig.make("AAPL")
    edited = expected().replace("0.25", "0.2")
    rig.put("factor", "AAPL", edited)

    (made,) = rig.make("AAPL", refresh=True).made

    assert made.files.factor_file == "kept"
    assert rig.text("factor", "AAPL") == edited


def test_a_missing_close_is_named_and_nothing_written(rig_on: RigOn) -> None:
    """The vendor has bars around that day, but none of it: no close is guessed."""
    days = [day for day in DAYS if day != BEFORE_PAID]
    series = MARKET["AAPL", "day"]
    rows = [
        dict(zip("tohlcv", (int(series.t[n]), *(float(column[n]) for column in columns)), strict=True))
        for columns in [(series.o, series.h, series.l, series.c, series.v)]
        for n in range(len(series.t))
        if new_york_day(int(series.t[n])) in days
    ]
    rig, _ = rig_on(market=Market.of({("AAPL", "day"): rows}))
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.download("AAPL", DAYS[0], DAYS[5])

    outcome = rig.make("AAPL")

    assert outcome.made == []
    message = str(outcome.failures["AAPL"])
    assert "on 2020-08-06 the close is missing" in message
    assert "AAPL has no daily bar of 2020-08-06" in message
    assert rig.text("factor", "AAPL") is None
    assert rig.text("map", "AAPL") is None


def test_closes_from_before_all_data_shorten_the_file(rig_on: RigOn) -> None:
    """A plan that reaches back to August: the file begins where the bars do, and says so; nothing is hidden."""
    rig, _ = rig_on(plan_start=date(2020, 8, 17))
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"

    (made,) = rig.make("AAPL").made

    assert rig.text("factor", "AAPL") == f"20200817,1,0.25,1\n20200828,1,0.25,{close(BEFORE_SPLIT)}\n20501231,1,1,0"
    assert rig.text("map", "AAPL") == MAP
    (notice,) = made.files.notices
    assert "begins on 2020-08-17" in notice


def test_since_begins_the_file_with_that_day_and_is_remembered(rig_on: RigOn) -> None:
    """Older events are left out, newer rows are the same; the next day's own check keeps the day."""
    rig, _ = rig_on()

    rig.make("AAPL", since=date(2020, 8, 10))

    short = f"20200810,1,0.25,1\n20200828,1,0.25,{close(BEFORE_SPLIT)}\n20501231,1,1,0"
    assert rig.text("factor", "AAPL") == short
    rig.now = at("2020-09-22")
    report = rig.download("AAPL", DAYS[0], DAYS[3])
    assert rig.text("factor", "AAPL") == short
    (entry,) = report.corporate_actions
    assert any("--since 2020-08-10" in notice for notice in entry.notices)

    rig.make("AAPL")
    assert rig.text("factor", "AAPL") == expected()

    with pytest.raises(ConfigurationError, match="lies after 2020-09-21"):
        rig.make("AAPL", since=date(2020, 10, 1))


def test_zips_beside_the_files_are_told_of(rig_on: RigOn) -> None:
    """LEAN may read those and ignore ours."""
    rig, _ = rig_on()
    rig.put("factor", "AAPL", "20501231,1,1,0")
    (rig.path("factor", "AAPL").parent / "factor_files_20200918.zip").write_bytes(b"")

    outcome = rig.make("AAPL", "BRK.B", replace=True)

    (notice,) = [notice for notice in outcome.notices if "factor_files_20200918.zip" in notice]
    assert "ignores the csv files" in notice


def test_an_unknown_symbol_gets_no_files(rig_on: RigOn) -> None:
    """Nothing is known, and there are no bars: a file of it would only mislead."""
    rig, _ = rig_on()

    (made,) = rig.make("NOPE").made

    assert (made.files.factor_file, made.files.map_file) == ("none", "none")
    assert "nothing is known of NOPE" in made.files.notices[0]
    assert not rig.path("map", "NOPE").exists()


def test_a_refusal_stops_at_the_first_symbol(rig_on: RigOn) -> None:
    """A plan without splits would refuse every symbol: one cause, and nothing written."""
    reference = events(refused={SPLITS: faults.not_entitled(), "/v3/reference/splits": faults.not_entitled()})
    rig, server = rig_on(reference)

    outcome = rig.make("AAPL", "BRK.B")

    assert set(outcome.failures) == {"AAPL", "BRK.B"}
    assert {error.code for error in outcome.failures.values()} == {"plan_limit"}
    assert not any("ticker=BRK.B" in request.target for request in server.requests)
    assert rig.text("map", "AAPL") is None


def test_cancelled_in_the_middle(rig_on: RigOn) -> None:
    """What was made stays, the rest is not made, and nothing is left behind."""
    reference = events()
    reference.listed("BRK.B", since=DAYS[0])
    rig, _ = rig_on(reference)
    cancel = CancelToken()

    def stop(event: Event, /) -> None:
        if event.symbol == "AAPL" and event.kind == "notice":
            cancel.cancel()

    outcome = rig.make("AAPL", "BRK.B", cancel=cancel, listener=stop)

    assert outcome.cancelled
    assert rig.text("factor", "AAPL") == expected()
    assert rig.text("factor", "BRK.B") is None


@pytest.mark.parametrize("kind", ["map", "factor"])
def test_killed_between_the_two_files(rig_on: RigOn, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """After either file was put in place the next run finds it to be its own, and makes what is lacking."""
    from server.data_download import files

    rig, _ = rig_on()

    def die(folder: str) -> None:
        if folder.endswith(f"{kind}_files"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", die)
        with pytest.raises(KeyboardInterrupt):
            rig.make("AAPL")
    rig.path("factor", "AAPL").parent.mkdir(exist_ok=True)
    leftover = rig.path("factor", "AAPL").with_name(".aapl~1-1.part")
    leftover.write_text("half a file")

    (made,) = rig.make("AAPL").made

    assert (made.files.map_file, made.files.factor_file) == (
        "unchanged",
        "unchanged" if kind == "factor" else "written",
    )
    assert (rig.text("map", "AAPL"), rig.text("factor", "AAPL")) == (MAP, expected())
    assert not leftover.exists()


# --- beside a download ---


def test_beside_a_download_at_most_once_a_day(rig_on: RigOn) -> None:
    """The report names what was written and counts all requests; later that day nothing of it is asked."""
    rig, server = rig_on()

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert rig.text("factor", "AAPL") == expected()
    assert [entry.as_json() for entry in report.corporate_actions] == [
        {"symbol": "AAPL", "factor_file": "written", "map_file": "written", "notices": []}
    ]
    assert (report.api_calls, report.corporate_api_calls, len(server.requests)) == (1, 4, 5)
    assert (report.days_downloaded, report.notices) == (len(DAYS), ())
    server.reset()

    again = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert server.requests == []
    assert again.corporate_actions == ()

    rig.now = at("2020-09-22")
    later = rig.download("AAPL", DAYS[0], DAYS[-1])
    assert {entry.factor_file for entry in later.corporate_actions} == {"unchanged"}


def test_off_asks_for_bars_alone(rig_on: RigOn) -> None:
    """The setting."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert len(server.requests) == 1
    assert report.corporate_actions == ()
    assert rig.text("factor", "AAPL") is None


def test_a_failure_fails_no_download_and_is_told_once(rig_on: RigOn) -> None:
    """Without the lists LEAN would run on raw prices: one notice for all symbols; within the hour it is not retried."""
    refused = {path: faults.not_entitled() for path in (SPLITS, "/v3/reference/splits", DIVIDENDS)}
    rig, server = rig_on(events(refused=refused))

    report = rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])

    assert report.complete
    (notice,) = report.notices
    assert notice.startswith("no factor file for AAPL, BRK.B, so LEAN runs on raw prices there")
    assert "backtest-server factor-files AAPL BRK.B" in notice
    assert {entry.factor_file for entry in report.corporate_actions} == {"none"}
    server.reset()

    again = rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])
    assert (len(server.requests), again.notices) == (0, report.notices)

    rig.now = at(NOW, 14)
    rig.download(["AAPL", "BRK.B"], DAYS[0], DAYS[-1])
    assert server.requests != []


def test_a_wrong_key_leaves_no_trace(rig_on: RigOn) -> None:
    """Neither beside a download nor asked for by itself."""
    rig, _ = rig_on()
    rig.environ["POLYGON_API_KEY"] = "not-the-key"

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert not report.complete
    assert not rig.data.exists()


def test_without_a_key_what_is_there_is_used(rig_on: RigOn) -> None:
    """Nothing is missing and nobody can be asked: the run is fine, and says what it lacks; nothing is remembered."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.download("AAPL", DAYS[0], DAYS[-1])
    rig.environ |= {"BACKTEST_SERVER_CORPORATE_ACTIONS": "auto", "POLYGON_API_KEY": ""}
    server.reset()

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert report.complete
    assert "no factor file for AAPL" in report.notices[0]
    assert server.requests == []


def test_files_that_are_all_somebody_elses_are_not_asked_about(rig_on: RigOn) -> None:
    """Nothing would be written."""
    rig, server = rig_on()
    rig.put("factor", "AAPL", "20200701,1,1,1\n20501231,1,1,0")
    rig.put("map", "AAPL", MAP)

    report = rig.download("AAPL", DAYS[0], DAYS[-1])

    assert len(server.requests) == 1
    assert report.corporate_actions == ()


def test_older_bars_make_the_file_reach_back(rig_on: RigOn) -> None:
    """The vendor says that the share was listed later than its bars begin: what the file would hide is seen at once."""
    reference = events()
    reference.tickers[0]["list_date"] = "2020-08-03"
    rig, _ = rig_on(reference)
    rig.download("AAPL", date(2020, 8, 3), DAYS[-1])
    assert (rig.text("map", "AAPL") or "").startswith("20200803,")

    rig.download("AAPL", DAYS[0], DAYS[-1])

    assert rig.text("map", "AAPL") == MAP
    assert rig.text("factor", "AAPL") == expected()


# --- renames ---

FB_DAYS = calendar().trading_days(date(2022, 5, 25), date(2022, 6, 8))
META_DAYS = calendar().trading_days(date(2022, 6, 9), date(2022, 6, 24))


def renamed_market(resolution: str = "daily") -> Market:
    """FB's bars to the 8th, META's from the 9th on; another security was called META before."""
    other = calendar().trading_days(date(2022, 1, 3), date(2022, 1, 28))
    return (
        Market.synthetic(["FB"], FB_DAYS, "daily")
        | Market.synthetic(["META"], [*other, *META_DAYS], "daily")
        | Market.synthetic(["FB"], FB_DAYS, bars_per_day=5)
        | Market.synthetic(["META"], META_DAYS, bars_per_day=5)
    )


def renamed() -> ReferenceData:
    """The vendor's own list has the change on a Saturday."""
    data = ReferenceData()
    data.renamed(("FB", "2022-05-25"), ("META", "2022-06-11"))
    data.listed("META", exchange="XNAS", since="2022-05-25")
    data.dividend("META", "2022-01-20", "0.10")  # of the other security
    data.dividend("FB", "2022-06-02", "0.50")
    return data


def test_a_renamed_share_is_downloaded_under_the_ticker_of_each_day(rig_on: RigOn) -> None:
    """Each day's bars are asked for under its ticker and lie in its folder; days count once; files are META's."""
    market = renamed_market()
    rig, server = rig_on(renamed(), market)
    rig.now = at("2022-06-27")

    report = rig.download("META", FB_DAYS[0], META_DAYS[-1], Resolution.MINUTE)

    minutes = [request.window for request in server.requests if request.window and request.window[1] == "minute"]
    assert {window[0] for window in minutes} == {"FB", "META"}
    for symbol, _, start, end in minutes:
        mine = FB_DAYS if symbol == "FB" else META_DAYS
        assert str(mine[0]) <= start <= end <= str(mine[-1])
    folder = rig.data / "equity" / "usa" / "minute"
    assert sorted(path.name[:8] for path in (folder / "fb").iterdir()) == [f"{day:%Y%m%d}" for day in FB_DAYS]
    assert sorted(path.name[:8] for path in (folder / "meta").iterdir()) == [f"{day:%Y%m%d}" for day in META_DAYS]
    both = len(FB_DAYS) + len(META_DAYS)
    assert (report.days_requested, report.days_downloaded, report.days_failed) == (both, both, 0)
    assert rig.text("map", "META") == "20220525,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    close_before = close(date(2022, 6, 1), "FB", market)
    price = factor(1 - Fraction("0.50") / Fraction(close_before))
    assert rig.text("factor", "META") == (f"20220525,{price},1,1\n20220601,{price},1,{close_before}\n20501231,1,1,0")
    (entry,) = report.corporate_actions
    assert any("listed under META of 2022-01-20 is left out" in notice for notice in entry.notices)
    server.reset()

    again = rig.download("META", FB_DAYS[0], META_DAYS[-1], Resolution.MINUTE)
    assert (again.days_present, server.requests) == (both, [])


def test_a_map_file_of_somebody_elses_is_followed(rig_on: RigOn) -> None:
    """QuantConnect's says when the share was called what; failures name the ticker that was asked for."""
    rig, server = rig_on(renamed(), renamed_market(), plan_start=date(2022, 6, 3))
    rig.now = at("2022-06-27")
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.put("map", "META", "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")

    report = rig.download("META", date(2022, 6, 1), date(2022, 6, 10))

    assert {request.window[0] for request in server.requests if request.window} == {"FB", "META"}
    (failure,) = report.failures
    assert (failure.symbol, failure.days) == ("FB", (date(2022, 6, 1), date(2022, 6, 2)))
    assert (report.days_requested, report.days_downloaded, report.days_failed) == (8, 6, 2)

    workspace = rig.open()
    request = DownloadRequest(
        symbols=("META", "FB"), resolution=Resolution.DAILY, start=date(2022, 6, 1), end=date(2022, 6, 10)
    )
    look = workspace.downloader().plan(request)
    workspace.close()
    assert [state.value for state in look.states["META"].values()] == ["missing"] * 2 + ["present"] * 6
    assert list(look.states["META"]) == sorted(look.states["META"])
    assert [state.value for state in look.states["FB"].values()][:6] == ["missing"] * 2 + ["present"] * 4
    assert [gap.series.ticker for gap in look.gaps] == ["FB"]


def test_a_damaged_map_file_is_told_and_not_followed(rig_on: RigOn) -> None:
    """LEAN passes over it as well."""
    rig, server = rig_on(renamed(), renamed_market())
    rig.now = at("2022-06-27")
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.put("map", "META", "20120518,fb,Q\nnonsense\n")

    report = rig.download("META", META_DAYS[0], META_DAYS[-1])

    assert {request.window[0] for request in server.requests if request.window} == {"META"}
    assert any("the map file of META cannot be used" in notice for notice in report.notices)


def test_an_earlier_ticker_has_no_files_of_its_own(rig_on: RigOn) -> None:
    """FB's days are covered by META's files, and two map files with one ticker would be ambiguous to LEAN."""
    rig, _ = rig_on(renamed(), renamed_market())
    rig.now = at("2022-06-27")

    (made,) = rig.make("FB").made

    assert (made.files.factor_file, made.files.map_file) == ("none", "none")
    assert "FB is META now" in made.files.notices[0]
    assert not rig.path("map", "FB").exists()


def test_two_processes_at_once(rig_on: RigOn) -> None:
    """The second waits for the first one's lock, and then has nothing to do."""
    import threading

    rig, server = rig_on()
    gate, began = threading.Event(), threading.Event()

    def hold(request: Request, n: int) -> None:
        began.set()
        assert gate.wait(20)

    server.on_request = hold
    first = threading.Thread(target=rig.make, args=("AAPL",))
    first.start()
    assert began.wait(20)
    other = CorporateRig(rig.root, server.url, rig.now)
    waiting = threading.Event()
    made: list[Any] = []

    def second() -> None:
        made.append(other.make("AAPL", listener=lambda event: waiting.set() if event.kind == "wait" else None))

    thread = threading.Thread(target=second)
    thread.start()
    assert waiting.wait(20)
    gate.set()
    first.join(20)
    thread.join(20)

    assert made[0].failures == {}
    assert asked(server).count(SPLITS) == 1
    assert rig.text("factor", "AAPL") == expected()


def test_apples_file_from_the_public_record_and_leans_closes(
    tmp_path: Path, polygon_server: Serve, lean_sample_data: Path
) -> None:
    """QuantConnect's own file, but for the ten rows in which it has 1/28 and 1/56 of six significant digits."""
    reference = ReferenceData()
    for split in APPLE.splits:
        reference.split("AAPL", split.ex_date, old=str(split.old), new=str(split.new))
    for dividend in APPLE.dividends:
        reference.dividend("AAPL", dividend.ex_date, str(dividend.amount))
    reference.listed("AAPL", since="1980-12-12")
    server = polygon_server(Market({}), reference=reference)
    rig = CorporateRig(tmp_path, server.url, at("2021-03-31"))
    usa = lean_sample_data / USA
    (rig.data / USA / "daily").mkdir(parents=True)
    shutil.copy(usa / "daily" / "aapl.zip", rig.data / USA / "daily" / "aapl.zip")

    rig.make("AAPL")

    theirs = (usa / "factor_files" / "aapl.csv").read_text()
    exact = theirs.replace("0.03571430", "0.03571429").replace("0.01785710", "0.01785714")
    assert sum(a != b for a, b in zip(theirs.split(), exact.split(), strict=True)) == 10
    assert (rig.text("factor", "AAPL") or "").split() == exact.split()
    assert rig.text("map", "AAPL") == (usa / "map_files" / "aapl.csv").read_text()
    assert [request.window for request in server.requests if request.window] == []


def test_a_change_that_the_plan_does_not_show_is_taken_at_its_date(rig_on: RigOn) -> None:
    """A trading day, and bars from a week later on only: they say nothing against it."""
    reference = renamed()
    reference.renamed(("FB", "2022-05-25"), ("META", "2022-06-09"))
    rig, _ = rig_on(reference, renamed_market(), plan_start=date(2022, 6, 16))
    rig.now = at("2022-06-27")

    (made,) = rig.make("META").made

    assert rig.text("map", "META") == "20220525,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    assert rig.text("factor", "META") == "20220616,1,1,1\n20501231,1,1,0"
    assert any("begins on 2022-06-16" in notice for notice in made.files.notices)


def test_stopped_beside_a_download(rig_on: RigOn) -> None:
    """All bars are there, what goes along with them is not: the run counts as stopped, and a backtest does not run."""
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
    """A source of somebody's that has a fault."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            if name != "close":
                raise RuntimeError("nobody thought of this")

        return fail


def test_a_fault_in_a_source_fails_no_download(rig_on: RigOn) -> None:
    """Whatever it raises is told like any other failure."""
    rig, _ = rig_on()
    workspace = rig.open()
    work = workspace.corporate_actions()
    assert work is not None
    step = DailyCheck(work=attrs.evolve(work, open_source=lambda *_: _Broken()))
    downloader = attrs.evolve(workspace.downloader(), steps=[step])
    request = DownloadRequest(symbols=("AAPL",), resolution=Resolution.DAILY, start=DAYS[0], end=DAYS[-1])

    report = downloader.download(request)

    workspace.close()
    assert report.complete
    assert "unexpected: RuntimeError: nobody thought of this" in report.notices[0]


def test_many_symbols_are_made_side_by_side(rig_on: RigOn) -> None:
    """Each gets its own files, and the report has them in the order asked for."""
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
