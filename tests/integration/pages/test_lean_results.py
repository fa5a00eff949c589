"""The page of a backtest that runs in LEAN, and of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rendered_pages import Site, result
from tests.support.run_results import ANALYSIS, MISSING, ROUNDS, lean_result


@pytest.mark.parametrize(
    ("verdict", "word", "says"),
    [
        ("complete: LEAN got every file", "complete", "Complete LEAN got every file"),
        ("gaps: 3 files missing", "gaps", "Gaps 3 files missing"),
        ("untrusted: the benchmark has no hour bars", "untrusted", "Untrusted The benchmark has no hour bars"),
    ],
)
def test_the_verdict_is_above_the_statistics(site: Callable[..., Site], verdict: str, word: str, says: str) -> None:
    """As a word and a sentence, so that it does not depend on a colour."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', lean_result(verdict=verdict))}")

    (badge,) = page.with_testid("verdict")
    assert badge["data-verdict"] == word
    assert says in page.text
    testids = [attributes.get("data-testid") for _, attributes in page.tags]
    assert testids.index("verdict") < testids.index("summary") < testids.index("statistics")


def test_missing_data_by_series(site: Callable[..., Site]) -> None:
    """With its days and whether it counts."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', lean_result(missing=MISSING))}")

    assert "Missing data: 3 files" in page.text
    assert "AAPL minute trade 2024-01-03 to 2024-01-04, 2 days 2 files not found counts" in page.text
    assert "AAPL minute quote 2024-01-03 1 file not found does not count (quote)" in page.text


def test_figures_of_algorithm_and_data_are_apart(site: Callable[..., Site]) -> None:
    """Two lists."""
    one = site()
    facts = lean_result(missing=MISSING, statistics={"Sharpe Ratio": "1.2", "Data Requests": "40"}, bars=2021)
    page = one.page(f"/backtests/{one.job('completed', facts)}")

    assert "Statistics Sharpe Ratio 1.2 Data of the run Data Points 2,021 Data Requests 40" in page.text
    assert "Missing Files That Count 2 Missing Files Of Other Kinds 1" in page.text


def test_leans_analysis(site: Callable[..., Site]) -> None:
    """Issue, sample and solutions of each finding."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', lean_result(analysis=ANALYSIS))}")

    assert "LEAN's analysis The p-value is above 0.05. SignificanceAnalysis pValue: 0.198563" in page.text
    assert "Try adjusting the trading rules." in page.text


@pytest.mark.parametrize("state", ["completed", "failed", "running"])
def test_rounds(site: Callable[..., Site], state: str) -> None:
    """What each round lacked and what was fetched after it; also of a backtest that did not complete."""
    one = site()
    facts = lean_result(rounds=ROUNDS) if state == "completed" else result(engine=None, rounds=ROUNDS)
    page = one.page(f"/backtests/{one.job(state, facts)}")

    assert len(page.with_testid("rounds")) == 1
    assert "1 completed 14 files missing SPY hour trade: 2024-01-02 to 2024-01-31, 2 days" in page.text
    assert "2 completed 0 files missing nothing" in page.text


def test_an_older_result_has_none_of_it(site: Callable[..., Site]) -> None:
    """Jobs of earlier versions lack these keys."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', result())}")

    for testid in ("verdict", "missing", "analysis", "rounds", "run"):
        assert not page.with_testid(testid), testid
    assert page.with_testid("statistics")


@pytest.mark.parametrize(
    ("progress", "hidden", "says"),
    [
        (None, True, "Day reached \N{EN DASH} Done \N{EN DASH} Equity \N{EN DASH} Orders \N{EN DASH}"),
        (
            {
                "day": "2024-01-12",
                "fraction": 0.384,
                "equity": {"dates": ["2024-01-12"], "values": [99.5]},
                "orders": 1234,
            },
            False,
            "Day reached 2024-01-12 Done 38 % Equity $99.50 Orders 1,234",
        ),
        (
            {"day": None, "fraction": None, "equity": {"dates": [], "values": []}, "orders": None},
            False,
            "Done \N{EN DASH}",
        ),
    ],
)
def test_a_running_backtest_without_scripts(
    site: Callable[..., Site], progress: dict[str, Any] | None, hidden: bool, says: str
) -> None:
    """A reload shows how far it is."""
    one = site()
    facts = {"progress": progress} if progress else {}
    page = one.page(f"/backtests/{one.job('running', result(engine=None, **facts))}")

    (run,) = page.with_testid("run")
    assert ("hidden" in run) is hidden
    assert says in page.text


@pytest.mark.parametrize(
    ("verdict", "tags"),
    [(None, []), ("complete: all", []), ("gaps: 3 files missing", ["gaps"]), ("untrusted: no SPY", ["untrusted"])],
)
def test_the_list_names_a_verdict_that_is_not_complete(
    site: Callable[..., Site], verdict: str | None, tags: list[str]
) -> None:
    """As a word next to the backtest, since its state is completed."""
    one = site()
    one.job("completed", lean_result(verdict=verdict))
    page = one.page("/")

    assert [str(tag["class"]).split()[-1] for tag in page.with_testid("job-verdict")] == tags
    for word in tags:
        assert f"SPY, AAPL {word} minute" in page.text


def test_an_error_of_the_engine_does_not_speak_of_the_download(site: Callable[..., Site]) -> None:
    """All of the request's data is on disk by then."""
    one = site()
    error = {"code": "tool_failed", "message": "the algorithm failed: no such symbol (main.py, line 12)"}
    page = one.page(f"/backtests/{one.job('failed', result(engine=None, error=error, engine_name='lean-native'))}")

    assert "the algorithm failed: no such symbol (main.py, line 12)" in page.text
    assert "The request's data is on disk; a retry only runs the engine again." in page.text
    assert "Engine lean-native" in page.text
