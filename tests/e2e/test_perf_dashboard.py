"""The page of the benchmark archive: empty, with runs, with one that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.served import Served

UNREACHABLE = "http://127.0.0.1:9"
UNKNOWN = "\N{EN DASH}"
MINUTES, DAILY, FREE = "a year of minutes", "daily bars of 20 symbols", "5 requests a minute"

AGAINST = {"against": "the live API, api.polygon.io", "live": True, "latency_s": None}


def contender(
    name: str, median: float, requests: int | None, hits: int | None, peak: float | None = None
) -> dict[str, Any]:
    """One program's figures; those of others, and of the first runs, are not all known."""
    bytes_ = None if requests is None else requests * 12_345
    return {
        "name": name,
        "median_s": median,
        "min_s": round(median * 0.9, 3),
        "max_s": round(median * 1.25, 3),
        "requests": requests,
        "cache_hits": hits,
        "bytes": bytes_,
        "peak_mb": peak,
    }


def benchmark(date: str, commit: str, name: str, own: float, peak: float | None = None) -> dict[str, Any]:
    """A run of two scenarios, and of a third whose seconds are simulated."""
    return {
        "date": date,
        "commit": commit,
        "measured_at": date if peak else "",
        "environment": {"cpu": "2 cores", "python": "3.12.1", "latency_s": 0.05} | (AGAINST if peak else {}),
        "scenarios": [
            {
                "name": MINUTES,
                "contenders": [
                    contender(name, own, 26, 0, peak),
                    contender("massive client", 3.5, 252, None),
                    contender("lean cli", 41.25, None, None),
                    {"name": "lean-cli", "median_s": None, "not_run": "Docker is not installed"},
                ],
            },
            {"name": DAILY, "contenders": [contender(name, own / 2, 20, 20, peak)]},
            {"name": FREE, "contenders": [{**contender(name, 61.2, 9, 0, peak), "simulated": True}]},
            *(
                {"name": f"grow-{n}", "series": "grow", "over": "days", "days": n, "contenders": grown}
                for n, grown in ((5, [contender(name, own, 1, 0, peak)]), (50, [contender(name, own * 4, 9, 0, peak)]))
            ),
        ],
    }


RUNS = [
    benchmark("2026-10-01T12:00:00+00:00", "1111111aaaaaaa", "native", 2.0),
    benchmark("2026-11-01T12:00:00+00:00", "2222222bbbbbbb", "polygon", 1.2, 120.5),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose archive holds two runs, and one that was cut off while it was written."""
    folder = tmp_path_factory.mktemp("archive")
    archive = folder / "results"
    for found in RUNS:
        place = archive / f"{found['date'][:10]}-{found['commit'][:7]}"
        place.mkdir(parents=True)
        (place / "results.json").write_text(json.dumps(found))
    (archive / "2026-11-02-3333333").mkdir()
    (archive / "2026-11-02-3333333/results.json").write_text('{"date": "2026-11-')
    with Served(folder, UNREACHABLE, "--benchmarks", str(archive)) as running:
        yield running


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Served]:
    """A server without an archive."""
    with Served(tmp_path, UNREACHABLE, "--benchmarks", str(tmp_path / "none")) as running:
        yield running


def figures(visit: Visit, scenario: str) -> list[list[str]]:
    """The rows of a scenario's table."""
    rows = visit.page.locator(f'[data-testid="scenario"][data-scenario="{scenario}"] tbody tr')
    expect(rows.first).to_be_visible()
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def test_without_a_run_the_page_says_how_to_get_one(browse: Browse, empty: Served) -> None:
    """And shows no empty charts."""
    visit = browse(empty.url)
    visit.go("/performance")
    expect(visit.see("no-benchmarks")).to_contain_text("make bench")
    expect(visit.see("benchmarks")).to_be_hidden()


def test_the_newest_run_is_shown_by_contender(browse: Browse, served: Served) -> None:
    """Polygon against the others: times, ratios, requests, cache hits, memory; what is unknown is left out.

    Of one that was not run the reason is shown, and simulated seconds are called so.
    """
    visit = browse(served.url)
    visit.go("/performance")
    expect(visit.see("environment")).to_contain_text("2222222bb")
    expect(visit.see("environment")).to_contain_text("python 3.12.1")
    expect(visit.see("environment")).to_contain_text("against the live API, api.polygon.io")
    expect(visit.see("environment")).not_to_contain_text("latency_s")
    expect(visit.see("scenario")).to_have_count(5)
    own, client, cli, missing = figures(visit, MINUTES)
    assert own == ["polygon", "1.20 s", "1.08 s", "1.50 s", "1.00", "26", "0", "321.0 kB", "120.5 MB"]
    assert missing == ["lean-cli", "not run: Docker is not installed"]
    expect(visit.see("simulated")).to_have_count(1)
    assert client[:2] == ["massive client", "3.50 s"]
    assert (client[4], client[6]) == ("2.92", UNKNOWN)
    assert (cli[1], cli[4], cli[5]) == ("41.3 s", "34.38", UNKNOWN)
    expect(visit.see("no-benchmarks")).to_be_hidden()


def test_an_earlier_run_can_be_chosen(browse: Browse, served: Served) -> None:
    """By keyboard, too; a run that cannot be read is not offered."""
    visit = browse(served.url)
    visit.go("/performance")
    expect(visit.see("run").locator("option")).to_have_count(2)
    visit.see("run").focus()
    visit.page.keyboard.press("ArrowDown")
    expect(visit.see("environment")).to_contain_text("1111111aa")
    expect(visit.see("environment")).to_contain_text("latency_s 0.05")
    assert figures(visit, DAILY) == [["polygon", "1.00 s", "0.90 s", "1.25 s", "1.00", "20", "20", "246.9 kB", UNKNOWN]]


def test_the_steps_of_a_series_are_compared(browse: Browse, served: Served) -> None:
    """One chart for each series, with the best time of each step: 90 % of 1.2 s, and of four times that."""
    visit = browse(served.url)
    visit.go("/performance")
    expect(visit.see("series-chart")).to_have_count(1)
    expect(visit.see("series-chart")).to_contain_text("grow: best time by days")
    expect(visit.see("series-chart")).to_contain_text("50 days")
    drawing = visit.see("series-chart").locator("svg")
    expect(drawing).to_have_attribute("aria-label", "grow: best time by days: polygon 1.08 s, 4.32 s")


def test_figures_are_drawn_over_time(browse: Browse, served: Served) -> None:
    """For each scenario times, requests and cache hits of all runs; the drawing's name reads the figures out.

    What a contender was called in the first runs is its name of today; steps of a series are left out.
    """
    visit = browse(served.url)
    visit.go("/performance")
    expect(visit.see("history-chart").first).to_be_visible()
    text = " ".join(visit.see("history").locator("[aria-label]").evaluate_all("all => all.map(e => e.ariaLabel)"))
    assert MINUTES in text
    assert "polygon 2.00 s, 1.20 s" in text
    assert "Requests: polygon 20, 20" in text
    assert "Memory: polygon 121 MB" in text
    expect(visit.see("history-scenario")).to_have_count(3)
    assert visit.see("history").locator("circle").count() >= 2 * 4


@pytest.mark.parametrize("page", ["full", "empty"])
def test_pages_are_accessible(browse: Browse, served: Served, request: pytest.FixtureRequest, page: str) -> None:
    """axe-core finds no serious fault, light and dark, wide and narrow; nothing has to be scrolled sideways."""
    url = served.url if page == "full" else request.getfixturevalue("empty").url
    visit = browse(url, bypass_csp=True)
    visit.go("/performance")
    expect(visit.see("benchmarks" if page == "full" else "no-benchmarks")).to_be_visible()
    looks_right_everywhere(visit)
