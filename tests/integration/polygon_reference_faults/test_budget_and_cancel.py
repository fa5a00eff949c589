"""The request budget of corporate actions, and runs that are cancelled or closed."""

from __future__ import annotations

import threading
import time
from datetime import date
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.lean.series import Resolution
from tests.support import faults
from tests.support.command_line import wait_until
from tests.support.harness import FakeTime, Rig, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.reference_data import ReferenceData
from tests.support.reference_source import ReferenceRig, Serve, events_of, rig_for
from tests.support.tap import Tap


def test_the_budget_is_that_of_the_downloads(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """Five requests a minute by all processes together: the sixth waits, with a notice."""
    days = sessions(date(2024, 3, 4), 2)
    server = polygon_server(Market.synthetic(["SPY"], days, bars_per_day=5), reference=data)
    bars = Rig(tmp_path, server.url, pause=clockwork.pause, requests_per_minute=5)
    rig = rig_for(server, tmp_path, clockwork, requests_per_minute=5)
    assert rig.state == bars.state

    bars.download("SPY", days, Resolution.MINUTE)
    events_of(rig)  # two answers of splits, one of dividends
    rig.ask(lambda source: source.renames("META"))
    assert (len(server.requests), clockwork.waits) == (5, [])

    rig.ask(lambda source: source.listing("AAPL"))
    assert len(server.requests) == 6
    assert 59 < sum(clockwork.waits) < 62
    assert rig.messages("wait")[0] == "the request budget is used up"


def test_answers_from_the_cache_cost_no_budget(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """However often they are asked for."""
    server = polygon_server(Market(), reference=data)
    rig = rig_for(server, tmp_path, clockwork, requests_per_minute=5)
    for _ in range(4):
        events_of(rig)

    assert (len(server.requests), clockwork.waits) == (3, [])


def test_a_second_push_back_brings_the_free_plans_budget(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """As for bars: five a minute from then on, said once."""
    server = polygon_server(Market(), reference=data, faults=[faults.too_many_requests(1)] * 2)
    rig = rig_for(server, tmp_path, clockwork)
    events_of(rig)

    (notice,) = rig.messages("notice")
    assert "continuing with 5 a minute" in notice


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_cancelled_run_waits_for_no_vendor(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData, answered: int
) -> None:
    """Whatever it waits for, it ends at once, though the vendor says nothing; what had come whole is kept."""
    tap = Tap()
    tap.close()
    server = polygon_server(Market(), reference=data, on_request=tap)
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            source.events("AAPL")
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    if answered:
        tap.let(answered)
    wait_until(lambda: len(server.requests) == answered + 1)
    cancel.cancel()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert [type(error) for error in caught] == [Cancelled]
    source.close()
    tap.open()
    again = rig.ask(lambda opened: opened.events("AAPL"))
    assert len(again.splits) == 3
    assert rig.count("cache_hits") == (2 if answered == 2 else 0)


def test_a_wait_for_the_next_minute_is_cut_short(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """After a 429, as in a download."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: faults.too_many_requests(60))
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    threading.Thread(target=lambda: (wait_until(lambda: rig.count("retries") == 1), cancel.cancel())).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        source.events("AAPL")

    assert time.monotonic() - begun < PATIENCE
    assert len(server.requests) == 1
    with pytest.raises(Cancelled):
        source.renames("META")  # and nothing more is sent
    source.close()
    assert len(server.requests) == 1


def test_closing_ends_what_is_under_way(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """Without cancelling whatever else the host does."""
    server = polygon_server(Market(), reference=data, latency=20.0)
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    threading.Thread(target=lambda: (wait_until(lambda: bool(server.requests)), source.close())).start()
    with pytest.raises(Cancelled):
        source.events("AAPL")

    assert not cancel.cancelled
