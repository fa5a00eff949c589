"""A backtest in LEAN in the browser: the curve grows while it runs, and the verdict is at the top of its result."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from server.core.events import Event
from server.engines.base import EngineProgress, Equity
from server.jobs import JobState
from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.posed_server import PosedServer, posed_server
from tests.support.rendered_pages import result
from tests.support.run_results import ANALYSIS, MISSING, ROUNDS, lean_result

FIRST = date(2014, 1, 2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PosedServer]:
    """A server whose jobs move as a test says."""
    with posed_server(tmp_path) as running:
        yield running


def reached(first: int, last: int, *, fraction: float | None = None, orders: int = 0) -> Event:
    """The progress of a run, with the equity of these days: $100 more each day."""
    days = range(first, last + 1)
    equity = Equity(tuple(FIRST + timedelta(days=day) for day in days), tuple(100_000.0 + 100 * day for day in days))
    return Event(
        kind="engine_progress", phase="engine", progress=EngineProgress(fraction=fraction, equity=equity, orders=orders)
    )


def running(server: PosedServer) -> str:
    """A job whose engine has just started."""
    identity = server.start(result(engine=None, phases=result()["phases"][:1]))
    server.emit(identity, Event(kind="phase", phase="engine"))
    return identity


def curve(visit: Visit) -> str:
    """What the curve shows, as a screen reader has it."""
    return visit.see("run-curve").get_attribute("aria-label") or ""


def figures(visit: Visit) -> dict[str, str]:
    """The figures of the run by their names."""
    texts = visit.see("run-tiles").locator("dt, dd").all_inner_texts()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_the_curve_grows_without_a_reload(browse: Browse, server: PosedServer) -> None:
    """Day, share, equity and orders are text; a second visitor sees the same; at the end the result takes its place."""
    identity = running(server)
    visit, late = browse(server.url), browse(server.url)
    visit.go(f"/backtests/{identity}")
    expect(visit.see("phase-engine")).to_have_class("now")
    expect(visit.see("run")).to_be_hidden()
    visit.page.evaluate("document.documentElement.dataset.same = 'yes'")

    server.emit(identity, reached(0, 20, fraction=0.1, orders=1))
    expect(visit.see("run-curve").locator("canvas").first).to_be_visible()
    expect(visit.see("run-tiles")).to_contain_text("2014-01-22")
    assert figures(visit) == {"Day reached": "2014-01-22", "Done": "10 %", "Equity": "$102,000.00", "Orders": "1"}
    server.emit(identity, reached(20, 99, fraction=0.5, orders=1234))
    expect(visit.see("run-tiles")).to_contain_text("2014-04-11")
    assert figures(visit) == {"Day reached": "2014-04-11", "Done": "50 %", "Equity": "$109,900.00", "Orders": "1,234"}
    assert curve(visit) == "Equity curve so far, from $100,000.00 on 2014-01-02 to $109,900.00 on 2014-04-11"
    server.emit(identity, Event(kind="notice", phase="engine", message="Debug: 2014-04-11 16:00:00 bought"))
    expect(visit.see("log")).to_contain_text("Debug: 2014-04-11 16:00:00 bought")
    expect(visit.see("log")).not_to_contain_text("backtest at")

    late.go(f"/backtests/{identity}")
    expect(late.see("run-curve")).to_have_attribute("aria-label", curve(visit))
    assert figures(late) == figures(visit)

    server.move(identity, JobState.COMPLETED, lean_result(verdict="gaps: 3 files missing", missing=MISSING))
    for again in (visit, late):
        expect(again.see("verdict")).to_contain_text("Gaps")
        expect(again.see("equity").locator("canvas").first).to_be_visible()
        expect(again.see("run")).to_have_count(0)
    assert visit.page.evaluate("document.documentElement.dataset.same") == "yes"


def test_another_round_begins_a_new_curve(browse: Browse, server: PosedServer) -> None:
    """A report that begins with the first day replaces the curve of the run before."""
    identity = running(server)
    visit = browse(server.url)
    visit.go(f"/backtests/{identity}")
    server.emit(identity, reached(0, 99, fraction=1.0))
    expect(visit.see("run-curve")).to_have_attribute("aria-label", curve_text("2014-04-11", "$109,900.00"))

    server.emit(identity, reached(0, 9))
    expect(visit.see("run-curve")).to_have_attribute("aria-label", curve_text("2014-01-11", "$100,900.00"))
    expect(visit.see("run-tiles")).to_contain_text("Done\n\N{EN DASH}", use_inner_text=True)
    assert visit.see("run-progress").get_attribute("value") is None


def curve_text(day: str, value: str) -> str:
    """The text of a curve that ends with this value."""
    return f"Equity curve so far, from $100,000.00 on 2014-01-02 to {value} on {day}"


@pytest.mark.parametrize("verdict", [None, "complete: all", "gaps: 3 files missing", "untrusted: no benchmark"])
def test_the_page_is_accessible(browse: Browse, server: PosedServer, verdict: str | None) -> None:
    """Running, and with each verdict: no serious fault, light and dark, wide and narrow, with reduced motion."""
    identity = running(server)
    server.emit(identity, reached(0, 99, fraction=0.4, orders=12))
    if verdict is not None:
        found = lean_result(verdict=verdict, missing=MISSING, analysis=ANALYSIS, rounds=ROUNDS)
        server.move(identity, JobState.COMPLETED, found)
    visit = browse(server.url, bypass_csp=True, reduced_motion="reduce")
    visit.go(f"/backtests/{identity}")
    expect(visit.see("equity" if verdict else "run-curve").locator("canvas").first).to_be_visible()
    looks_right_everywhere(visit)
