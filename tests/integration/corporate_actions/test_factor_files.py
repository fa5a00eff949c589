"""Building factor and map files on request: from the vendor's lists to LEAN's files."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError
from server.core.events import Event
from tests.support import faults
from tests.support.corporate import APPLE
from tests.support.corporate_market import (
    BEFORE_PAID,
    BEFORE_SPLIT,
    DAYS,
    EXPECTED_MAP,
    MARKET,
    PAID,
    apple_events,
    close,
    expected_factors,
    factor,
    paid,
    requested_paths,
)
from tests.support.corporate_rig import USA, CorporateRig, RigOn, at
from tests.support.market import Market, new_york_day
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.reference_data import SPLITS, ReferenceData


def test_first_run_writes_both_files_and_the_second_sends_nothing(rig_on: RigOn) -> None:
    """The rows follow LEAN's rule; only closes that are needed are requested, in one window; no file has the key."""
    rig, server = rig_on()

    outcome = rig.build("AAPL")

    (made,) = outcome.outcomes
    assert (made.files.factor_file, made.files.map_file, made.files.notices) == ("written", "written", ())
    assert rig.text("factor", "AAPL") == expected_factors()
    assert rig.text("map", "AAPL") == EXPECTED_MAP
    windows = [request.window for request in server.requests if request.window]
    assert windows == [("AAPL", "day", str(BEFORE_PAID), "2020-09-01")]  # one session after the split
    assert outcome.api_calls == len(server.requests) == 5
    assert server.keys_in_urls == []
    server.reset()

    again = rig.build("AAPL")

    assert server.requests == []
    assert (again.outcomes[0].files.factor_file, again.outcomes[0].files.map_file) == ("unchanged", "unchanged")
    for path in rig.data.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_closes_on_disk_are_not_requested(rig_on: RigOn) -> None:
    """The daily zip has them; only the lists are requested."""
    rig, server = rig_on()
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.download("AAPL", DAYS[0], DAYS[-1])
    server.reset()

    rig.build("AAPL")

    assert [request.window for request in server.requests if request.window] == []
    assert rig.text("factor", "AAPL") == expected_factors()


def test_refresh_requests_again_on_the_same_day(rig_on: RigOn) -> None:
    """Cached responses are ignored; an unchanged file is not written."""
    rig, server = rig_on()
    rig.build("AAPL")
    written_at = rig.path("factor", "AAPL").stat().st_mtime_ns
    server.reset()

    (made,) = rig.build("AAPL", refresh=True).outcomes

    assert SPLITS in requested_paths(server)
    assert (made.files.factor_file, made.files.map_file) == ("unchanged", "unchanged")
    assert rig.path("factor", "AAPL").stat().st_mtime_ns == written_at


def test_a_new_split_the_next_day_changes_only_the_rows_before_it(rig_on: RigOn) -> None:
    """The rows of later days stay as they are; the older ones get its factor."""
    reference = apple_events()
    rig, _ = rig_on(reference)
    rig.now = at("2020-09-18")
    rig.build("AAPL")
    assert rig.text("factor", "AAPL") == expected_factors()
    reference.split("AAPL", date(2020, 9, 21), old=1, new=2)
    rig.next_day("2020-09-21")

    (made,) = rig.build("AAPL").outcomes

    assert (made.files.factor_file, made.files.map_file) == ("written", "unchanged")
    *older, last = expected_factors().replace(",0.25,", ",0.125,").split("\n")
    assert rig.text("factor", "AAPL") == "\n".join([*older, f"20200918,1,0.5,{close(date(2020, 9, 18))}", last])


def test_no_events_make_a_file_of_two_rows(rig_on: RigOn) -> None:
    """From the first day on nothing is adjusted."""
    reference = ReferenceData()
    reference.listed("AAPL", exchange="XNYS", since="2010-06-29")
    rig, _ = rig_on(reference)

    rig.build("AAPL")

    assert rig.text("factor", "AAPL") == "20100629,1,1,1\n20501231,1,1,0"
    assert rig.text("map", "AAPL") == "20100629,aapl,N\n20501231,aapl,N\n"


def test_a_symbol_with_a_dot(rig_on: RigOn) -> None:
    """Its file has the dot, too."""
    reference = ReferenceData()
    reference.dividend("BRK.B", PAID, "1")
    reference.listed("BRK.B", exchange="XNYS", since=DAYS[0])
    rig, _ = rig_on(reference)

    rig.build("BRK.B")

    price = factor(paid("1", BEFORE_PAID, "BRK.B"))
    row = f"20200806,{price},1,{close(BEFORE_PAID, 'BRK.B')}"
    assert rig.text("factor", "BRK.B") == f"20200701,{price},1,1\n{row}\n20501231,1,1,0"
    assert rig.text("map", "BRK.B") == "20200701,brk.b,N\n20501231,brk.b,N\n"


def test_a_foreign_file_is_compared_and_kept(rig_on: RigOn) -> None:
    """QuantConnect's file stays byte for byte; its first difference is reported; --replace replaces it."""
    rig, server = rig_on()
    theirs = "20200701,0.5,0.25,1\n20200828,1,0.25,499.23\n20501231,1,1,0"
    rig.put("factor", "AAPL", theirs)

    (made,) = rig.build("AAPL").outcomes

    assert (made.files.factor_file, made.files.map_file) == ("kept", "written")
    assert rig.text("factor", "AAPL") == theirs
    assert made.factor_differences.count == 3
    assert made.factor_differences.sentences[0] == f"2020-08-28: close {close(BEFORE_SPLIT)} in ours, 499.23 in theirs"
    (notice,) = made.files.notices
    assert "was not written by backtest-server, so it is kept" in notice

    server.reset()
    (replaced,) = rig.build("AAPL", replace=True).outcomes
    assert replaced.files.factor_file == "written"
    assert rig.text("factor", "AAPL") == expected_factors()
    assert server.requests == [] or SPLITS not in requested_paths(server)  # cached until midnight
    assert rig.build("AAPL").outcomes[0].files.factor_file == "unchanged"


def test_a_file_of_ours_that_was_edited_is_not_ours(rig_on: RigOn) -> None:
    """The content decides who wrote a file."""
    rig, _ = rig_on()
    rig.build("AAPL")
    edited = expected_factors().replace("0.25", "0.2")
    rig.put("factor", "AAPL", edited)

    (made,) = rig.build("AAPL", refresh=True).outcomes

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

    outcome = rig.build("AAPL")

    assert outcome.outcomes == []
    message = str(outcome.failures["AAPL"])
    assert "on 2020-08-06 the close is missing" in message
    assert "AAPL has no daily bar of 2020-08-06" in message
    assert rig.text("factor", "AAPL") is None
    assert rig.text("map", "AAPL") is None


def test_closes_from_before_all_data_shorten_the_file(rig_on: RigOn) -> None:
    """With a plan from August on the file begins where the bars do, with a notice; no bar is hidden."""
    rig, _ = rig_on(plan_start=date(2020, 8, 17))
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"

    (made,) = rig.build("AAPL").outcomes

    assert rig.text("factor", "AAPL") == f"20200817,1,0.25,1\n20200828,1,0.25,{close(BEFORE_SPLIT)}\n20501231,1,1,0"
    assert rig.text("map", "AAPL") == EXPECTED_MAP
    (notice,) = made.files.notices
    assert "begins on 2020-08-17" in notice


def test_since_begins_the_file_with_that_day_and_is_remembered(rig_on: RigOn) -> None:
    """Older events are left out, newer rows are the same; the next day's own check keeps the day."""
    rig, _ = rig_on()

    rig.build("AAPL", since=date(2020, 8, 10))

    short = f"20200810,1,0.25,1\n20200828,1,0.25,{close(BEFORE_SPLIT)}\n20501231,1,1,0"
    assert rig.text("factor", "AAPL") == short
    rig.now = at("2020-09-22")
    report = rig.download("AAPL", DAYS[0], DAYS[3])
    assert rig.text("factor", "AAPL") == short
    (entry,) = report.corporate_actions
    assert any("--since 2020-08-10" in notice for notice in entry.notices)

    rig.build("AAPL")
    assert rig.text("factor", "AAPL") == expected_factors()

    with pytest.raises(ConfigurationError, match="is after 2020-09-21"):
        rig.build("AAPL", since=date(2020, 10, 1))


def test_zips_in_the_folder_are_reported(rig_on: RigOn) -> None:
    """LEAN may read those and ignore the csv files."""
    rig, _ = rig_on()
    rig.put("factor", "AAPL", "20501231,1,1,0")
    (rig.path("factor", "AAPL").parent / "factor_files_20200918.zip").write_bytes(b"")

    outcome = rig.build("AAPL", "BRK.B", replace=True)

    (notice,) = [notice for notice in outcome.notices if "factor_files_20200918.zip" in notice]
    assert "ignores the csv files" in notice


def test_an_unknown_symbol_gets_no_files(rig_on: RigOn) -> None:
    """Without reference data and bars a file would only mislead."""
    rig, _ = rig_on()

    (made,) = rig.build("NOPE").outcomes

    assert (made.files.factor_file, made.files.map_file) == ("none", "none")
    assert "nothing is known about NOPE" in made.files.notices[0]
    assert not rig.path("map", "NOPE").exists()


def test_a_refusal_stops_at_the_first_symbol(rig_on: RigOn) -> None:
    """A plan without splits would refuse every symbol: one cause, and nothing written."""
    reference = apple_events(refused={SPLITS: faults.not_entitled(), "/v3/reference/splits": faults.not_entitled()})
    rig, server = rig_on(reference)

    outcome = rig.build("AAPL", "BRK.B")

    assert set(outcome.failures) == {"AAPL", "BRK.B"}
    assert {error.code for error in outcome.failures.values()} == {"plan_limit"}
    assert not any("ticker=BRK.B" in request.target for request in server.requests)
    assert rig.text("map", "AAPL") is None


def test_cancelled_in_the_middle(rig_on: RigOn) -> None:
    """What was built stays; the rest is not built."""
    reference = apple_events()
    reference.listed("BRK.B", since=DAYS[0])
    rig, _ = rig_on(reference)
    cancel = CancelToken()

    def stop(event: Event, /) -> None:
        if event.symbol == "AAPL" and event.kind == "notice":
            cancel.cancel()

    outcome = rig.build("AAPL", "BRK.B", cancel=cancel, listener=stop)

    assert outcome.cancelled
    assert rig.text("factor", "AAPL") == expected_factors()
    assert rig.text("factor", "BRK.B") is None


@pytest.mark.parametrize("kind", ["map", "factor"])
def test_killed_between_the_two_files(rig_on: RigOn, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """After either file was written the next run recognises it and builds what is missing."""
    from server.data_download import files

    rig, _ = rig_on()

    def die(folder: str) -> None:
        if folder.endswith(f"{kind}_files"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", die)
        with pytest.raises(KeyboardInterrupt):
            rig.build("AAPL")
    rig.path("factor", "AAPL").parent.mkdir(exist_ok=True)
    leftover = rig.path("factor", "AAPL").with_name(".aapl~1-1.part")
    leftover.write_text("half a file")

    (made,) = rig.build("AAPL").outcomes

    assert (made.files.map_file, made.files.factor_file) == (
        "unchanged",
        "unchanged" if kind == "factor" else "written",
    )
    assert (rig.text("map", "AAPL"), rig.text("factor", "AAPL")) == (EXPECTED_MAP, expected_factors())
    assert not leftover.exists()


def test_two_processes_at_once(rig_on: RigOn) -> None:
    """The second waits for the lock of the first, and then sends no request."""
    rig, server = rig_on()
    gate, began = threading.Event(), threading.Event()

    def hold(request: Request, n: int) -> None:
        began.set()
        assert gate.wait(20)

    server.on_request = hold
    first = threading.Thread(target=rig.build, args=("AAPL",))
    first.start()
    assert began.wait(20)
    other = CorporateRig(rig.root, server.url, rig.now)
    waiting = threading.Event()
    made: list[Any] = []

    def second() -> None:
        made.append(other.build("AAPL", listener=lambda event: waiting.set() if event.kind == "wait" else None))

    thread = threading.Thread(target=second)
    thread.start()
    assert waiting.wait(20)
    gate.set()
    first.join(20)
    thread.join(20)

    assert made[0].failures == {}
    assert requested_paths(server).count(SPLITS) == 1
    assert rig.text("factor", "AAPL") == expected_factors()


def test_apples_file_from_the_public_record_and_leans_closes(
    tmp_path: Path, polygon_server: Callable[..., PolygonServer], lean_sample_data: Path
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

    rig.build("AAPL")

    theirs = (usa / "factor_files" / "aapl.csv").read_text()
    exact = theirs.replace("0.03571430", "0.03571429").replace("0.01785710", "0.01785714")
    assert sum(a != b for a, b in zip(theirs.split(), exact.split(), strict=True)) == 10
    assert (rig.text("factor", "AAPL") or "").split() == exact.split()
    assert rig.text("map", "AAPL") == (usa / "map_files" / "aapl.csv").read_text()
    assert [request.window for request in server.requests if request.window] == []
