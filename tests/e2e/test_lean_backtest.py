"""A backtest in LEAN from the browser: from an empty data folder to a verdict, and what else can become of it.

LEAN is the stand-in for its launcher; server, vendor and browser are real. See test_lean_run.py for single events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator

from server.engines.results import RunState, read_run
from server.web.result_view import progress_view
from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.engine_programs import write_python
from tests.support.harness import sessions
from tests.support.lean_projects import write_algorithm
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.run_pages import equity_width, start, state
from tests.support.served import Served
from tests.support.stand_in_lean.install import StandIn, install_stand_in

DAYS = sessions(date(2024, 3, 4), 20)
TICKERS = ("SPY", "AAPL", "IBM", "QQQ", "OLD")
MARKET = Market.synthetic(TICKERS[:4], DAYS, bars_per_day=60) | Market.synthetic(TICKERS, DAYS, "daily")
PHONE = 400

MINUTES = 'self.add_equity("AAPL", Resolution.MINUTE)'
DAILY = 'self.add_equity("AAPL", Resolution.DAILY)'
PROJECTS: dict[str, tuple[str, ...]] = {
    "Bare": (DAILY, 'self.add_equity("QQQ", Resolution.MINUTE)'),
    "Broken": (DAILY, "# stand-in: runtime-error line 12"),
    "Gaps": (DAILY, 'self.add_equity("GONE", Resolution.DAILY)'),
    "Growing": (MINUTES, 'self.add_equity("IBM", Resolution.DAILY)', "# stand-in: slow 3"),
    "Long": (DAILY, "# stand-in: slow 60"),
    "Untrusted": (DAILY, 'self.set_benchmark("OLD")'),
    "Whole": (DAILY, 'self.add_equity("QQQ", Resolution.DAILY)'),
    "Worn": ('self.add_equity("IBM", Resolution.DAILY)',),
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[PolygonServer]:
    """A local vendor; OLD has daily bars and no minutes, and GONE nothing."""
    with PolygonServer(MARKET) as server:
        yield server


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """LEAN's launcher and dotnet; Docker does not run, and LEAN's CLI is not there."""
    found = install_stand_in(tmp_path_factory.mktemp("lean") / "stand-in", docker="stopped")
    write_python(found.bin / "python3")
    found.without("lean")
    return found


@pytest.fixture(scope="module")
def served(stand_in: StandIn, vendor: PolygonServer) -> Iterator[Served]:
    """A server with LEAN's launcher over an empty data folder, and its projects."""
    folder = stand_in.folder.parent
    for name, lines in PROJECTS.items():
        resolution = "minute" if MINUTES in lines else "daily"
        symbol = "IBM" if name == "Worn" else "AAPL"
        write_algorithm(folder / "projects" / name, DAYS, *lines, symbol=symbol, resolution=resolution)
    environ = {
        "HOME": str(folder),
        "PATH": stand_in.path_alone,
        "LEAN_LAUNCHER": str(stand_in.launcher),
        "BACKTEST_SERVER_ENGINE": "lean",
    }
    with ExitStack() as stack:
        running = stack.enter_context(Served(folder, vendor.url, "--projects", "projects", environ=environ))
        assert not (folder / "data" / "equity").exists()
        yield running
    assert not [line for line in running.errors if "Traceback" in line or KEY in line]


def form(visit: Visit, project: str) -> None:
    """Open the form and choose a project."""
    visit.go("/")
    expect(visit.see("project-hint")).not_to_be_empty()
    visit.see("project").select_option(project)


def job_of(visit: Visit, served: Served) -> dict[str, Any]:
    """The job of a page, as the API has it."""
    job: dict[str, Any] = served.get(f"/api/backtests/{visit.page.url.rpartition('/')[2]}")
    return job


def ran(visit: Visit, served: Served, project: str, wanted: str = "completed") -> dict[str, Any]:
    """Run a project from the form to its end, and return the job."""
    form(visit, project)
    start(visit)
    state(visit, wanted)
    return job_of(visit, served)


def texts(found: Locator) -> dict[str, str]:
    """A list of figures by their names."""
    parts = found.locator("dt, dd").all_inner_texts()
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(found: Locator) -> list[list[str]]:
    """The cells of a table's body."""
    return [row.locator("th, td").all_inner_texts() for row in found.locator("tbody tr").all()]


def series_rows(visit: Visit) -> list[tuple[str, str, str, str]]:
    """Symbol, resolution, days done and days requested of each series."""
    return [(row[0], row[1], row[2].strip(), row[3]) for row in rows(visit.see("symbol-progress"))]


# --- from nothing to a verdict ---


def test_from_an_empty_folder_to_a_verdict(browse: Browse, served: Served) -> None:
    """By keyboard: the form, the curve that grows, the round that fills, the run after it, and the result."""
    visit = browse(served.url)
    form(visit, "Growing")
    visit.see("engine").select_option("lean-native")
    visit.see("start-backtest").focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/backtests/*")
    visit.page.evaluate("document.documentElement.dataset.same = 'yes'")

    seen = watch_it_grow(visit, served)
    expect(visit.see("round-list").locator("tbody tr")).to_have_count(1)  # while LEAN runs again
    assert rows(visit.see("round-list"))[0][3] == f"IBM daily trade: {DAYS[0]} to {DAYS[-1]}, 20 days"
    expect(visit.see("job-state").first).to_have_text("running")
    expect(visit.see("run-tiles")).not_to_contain_text(seen)
    state(visit, "completed")

    job = job_of(visit, served)
    engine = job["result"]["engine"]
    assert engine["verdict"].startswith("complete: ")
    assert job["request"]["fill"] is True
    expect(visit.see("verdict")).to_have_attribute("data-verdict", "complete")
    expect(visit.see("verdict")).to_contain_text("Complete")
    expect(visit.see("engine-fact")).to_have_text("lean-native")
    expect(visit.see("run")).to_have_count(0)
    assert [row[:3] for row in rows(visit.see("round-list"))] == [
        ["1", "completed", "1 file"],
        ["2", "completed", "0 files"],
    ]
    shown, of_data = texts(visit.see("statistics")), texts(visit.see("data-figures"))
    assert {"Sharpe Ratio", "Alpha", "Beta"} <= set(shown)
    assert {"Data Points", "Data Requests", "Failed Data Requests"} <= set(of_data)
    assert {**of_data, **shown, **engine["statistics"]} == {**of_data, **shown}
    assert above(visit, "verdict", "statistics")
    expect(visit.see("missing")).to_contain_text("AAPL minute quote")
    expect(visit.see("missing")).to_contain_text("does not count (quote)")
    expect(visit.see("analysis")).to_contain_text(engine["analysis"][0]["issue"])
    expect(visit.see("equity-at")).to_contain_text(f"{engine['equity']['values'][-1]:,.2f}")
    assert equity_width(visit) > 0.5
    assert series_rows(visit) == [
        ("AAPL", "minute", "20", "20"),
        ("SPY", "hour", "20", "20"),
        ("SPY", "daily", "20", "20"),
        ("IBM", "daily", "20", "20"),
    ]
    assert visit.page.evaluate("document.documentElement.dataset.same") == "yes"


def watch_it_grow(visit: Visit, served: Served) -> str:
    """Watch the first run: the page has what the API has, and the curve grows; returns the last equity seen."""
    expect(visit.see("run-curve").locator("canvas").first).to_be_visible()
    first = same_as_the_api(visit, served)
    expect(visit.see("run-tiles")).not_to_contain_text(first["Equity"])
    second = same_as_the_api(visit, served)
    assert first["Day reached"] < second["Day reached"] <= DAYS[-1].isoformat()
    assert int(first["Done"].split()[0]) < int(second["Done"].split()[0]) <= 100
    assert second["Orders"] == "1"
    label = visit.see("run-curve").get_attribute("aria-label") or ""
    assert label.startswith("Equity curve so far, from $100,000.00 on ")
    expect(visit.see("log")).to_contain_text("BaseSetupHandler.Setup")
    return second["Equity"]


def same_as_the_api(visit: Visit, served: Served) -> dict[str, str]:
    """Figures of the page at a moment at which the API has the same; LEAN may move on between the two."""
    pairs = []
    for _ in range(20):
        before = texts(visit.see("run-tiles"))
        progress = progress_view(job_of(visit, served)["result"].get("progress"))
        api = {
            "Day reached": progress["day"],
            "Done": progress["done"],
            "Equity": progress["equity"],
            "Orders": progress["orders"],
        }
        if before == api:
            return api
        pairs.append((before, api))
        visit.page.wait_for_timeout(50)
    raise AssertionError(pairs)


def above(visit: Visit, first: str, second: str) -> bool:
    """Whether an element ends above where another begins."""
    one, other = visit.see(first).bounding_box(), visit.see(second).bounding_box()
    assert one is not None
    assert other is not None
    return one["y"] + one["height"] <= other["y"]


# --- what else can become of it ---


def test_verdicts_differ_not_by_colour_alone(browse: Browse, served: Served) -> None:
    """Each has a word, a sentence, and a mark of its own shape; the list of runs has the word, too."""
    visit = browse(served.url)
    marks, words = set(), []
    for project, reason in (
        ("Whole", "LEAN got every file"),
        ("Gaps", "1 file missing (equity/usa/daily/gone.zip)"),
        ("Untrusted", "The benchmark OLD lacks hour bars"),
    ):
        job = ran(visit, served, project)
        verdict = job["result"]["engine"]["verdict"]
        word, badge = verdict.partition(":")[0], visit.see("verdict").locator(".badge")
        expect(badge).to_have_text(word.capitalize())
        expect(visit.see("verdict")).to_contain_text(reason)
        marks.add(badge.evaluate(MARK))
        words.append(word)
    assert words == ["complete", "gaps", "untrusted"]
    assert len(marks) == 3
    visit.go("/")
    tags = [visit.see("job", has_text=name).first.get_by_test_id("job-verdict") for name in ("Untrusted", "Gaps")]
    assert [tag.inner_text() for tag in tags] == ["untrusted", "gaps"]
    expect(visit.see("job", has_text="Whole").first.get_by_test_id("job-verdict")).to_have_count(0)


MARK = """badge => {
    const { borderTopStyle, backgroundColor, transform } = getComputedStyle(badge, "::before");
    return [borderTopStyle, backgroundColor === "rgba(0, 0, 0, 0)" ? "hollow" : "filled", transform].join(" ");
}"""
"""The shape of a verdict's mark, without its colour."""


def test_missing_files_are_listed_and_not_fetched_without_fill(browse: Browse, served: Served) -> None:
    """By the form's option; a second run with it fetches them."""
    visit = browse(served.url, bypass_csp=True)
    form(visit, "Bare")
    visit.see("options").locator("summary").press("Enter")
    looks_right_everywhere(visit)  # and leaves the page as narrow as a phone
    expect(visit.see("fill")).to_be_checked()
    expect(visit.see("allow-damaged")).not_to_be_checked()
    visit.see("fill").press("Space")
    start(visit)
    state(visit, "completed")

    assert job_of(visit, served)["request"]["fill"] is False
    expect(visit.see("verdict")).to_have_attribute("data-verdict", "gaps")
    assert rows(visit.see("missing")) == [
        ["QQQ minute trade", f"{DAYS[0]} to {DAYS[-1]}, 20 days", "20 files", "not found", "counts"],
        ["QQQ minute quote", f"{DAYS[0]} to {DAYS[-1]}, 20 days", "20 files", "not found", "does not count (quote)"],
    ]
    assert not (served.folder / "data/equity/usa/minute/qqq").exists()
    visit.see("retry").click()
    expect(visit.see("facts")).to_contain_text("Retry of")
    state(visit, "completed")
    assert job_of(visit, served)["request"]["fill"] is False


def test_damaged_data_is_refused_or_allowed(browse: Browse, served: Served) -> None:
    """The page names the file; with the form's option LEAN runs, and the verdict names it."""
    factors = served.folder / "data/equity/usa/factor_files/ibm.csv"
    factors.parent.mkdir(parents=True, exist_ok=True)
    factors.write_text(f"20000103,1,1,0\n{DAYS[1]:%Y%m%d},0.5,1,0\n20501231,1,1,0\n")
    visit = browse(served.url)

    ran(visit, served, "Worn", "failed")
    expect(visit.see("error-message")).to_contain_text("equity/usa/factor_files/ibm.csv")
    expect(visit.see("verdict")).to_have_count(0)

    form(visit, "Worn")
    visit.see("options").locator("summary").click()
    visit.see("allow-damaged").check()
    start(visit)
    state(visit, "completed")
    expect(visit.see("verdict")).to_have_attribute("data-verdict", "untrusted")
    expect(visit.see("verdict")).to_contain_text("equity/usa/factor_files/ibm.csv")


def test_an_error_of_the_algorithm(browse: Browse, served: Served) -> None:
    """One line with the algorithm's file and line, on the page and in the list."""
    visit = browse(served.url)
    job = ran(visit, served, "Broken", "failed")

    expect(visit.see("error-message")).to_have_text(job["result"]["error"]["message"])
    expect(visit.see("error-message")).to_contain_text("(main.py, line 12)")
    expect(visit.see("phase-engine")).to_have_class("broken")
    expect(visit.see("result")).to_have_count(0)
    visit.go("/")
    expect(visit.see("job", has_text="Broken").first).to_contain_text("(main.py, line 12)")


def test_a_running_backtest_is_cancelled(browse: Browse, served: Served, stand_in: StandIn) -> None:
    """On a phone: LEAN ends, and its folder reads interrupted although LEAN reports that it completed."""
    visit = browse(served.url, bypass_csp=True, width=PHONE)
    form(visit, "Long")
    start(visit)
    expect(visit.see("run-curve").locator("canvas").first).to_be_visible()
    looks_right_everywhere(visit)
    process = stand_in.calls_of("launcher")[-1]["pid"]
    assert Path(f"/proc/{process}").exists()

    visit.page.set_viewport_size({"width": PHONE, "height": 900})
    visit.see("cancel").click()

    state(visit, "cancelled")
    expect(visit.see("error")).to_contain_text("Cancelled.")
    expect(visit.see("phase-engine")).to_have_class("halted")
    for gone in ("run", "result", "verdict", "cancel"):
        expect(visit.see(gone)).to_have_count(0)
    assert not Path(f"/proc/{process}").exists()
    (folder,) = (served.folder / "projects/Long/backtests").iterdir()
    assert read_run(folder, datetime.now(UTC)).state is RunState.INTERRUPTED


def test_engines_and_what_they_lack(browse: Browse, served: Served) -> None:
    """The launcher is chosen; Docker does not run, and LEAN's CLI is not installed."""
    visit = browse(served.url)
    visit.go("/engines")

    expect(visit.see("chosen")).to_contain_text("lean-native")
    ready = visit.see("engine").evaluate_all(
        "cards => Object.fromEntries(cards.map(c => [c.dataset.engine, c.dataset.ready]))"
    )
    assert ready == {"lean-native": "yes", "lean-docker": "no", "lean-cli": "no", "smoke": "yes"}
    api = {one["name"]: one for one in served.get("/api/engines")["engines"]}
    for name in ("lean-docker", "lean-cli"):
        assert rows(visit.see(f"lacks-{name}")) == [[lack["what"], lack["fix"]] for lack in api[name]["lacks"]]
