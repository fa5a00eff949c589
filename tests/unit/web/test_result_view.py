"""A result as its page shows it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.json import to_json
from server.engines.results import read_run
from server.web.result_view import (
    finding_view,
    missing_series,
    progress_view,
    result_view,
    round_view,
    verdict_view,
)
from tests.support.lean_runs import lean_runs

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def missing(path: str, days: list[str], kind: str = "trade", **facts: Any) -> dict[str, Any]:
    """A missing file of AAPL's minutes."""
    series = {"ticker": "AAPL", "resolution": "minute", "data_type": kind}
    return {"path": path, "series": series, "days": days, "kind": kind, "reason": "not found", **facts}


@pytest.mark.parametrize(
    ("verdict", "word", "title", "sentence"),
    [
        ("complete: LEAN got every file", "complete", "Complete", "LEAN got every file"),
        ("gaps: 2 files missing (a, b)", "gaps", "Gaps", "2 files missing (a, b)"),
        ("untrusted: the benchmark: none", "untrusted", "Untrusted", "The benchmark: none"),
        ("untrusted", "untrusted", "Untrusted", ""),
        ("complete (all data was present)", "complete", "Complete", "(all data was present)"),
        ("doubtful: why", "unknown", "Verdict", "doubtful: why"),
    ],
)
def test_verdicts(verdict: str, word: str, title: str, sentence: str) -> None:
    """The word decides the colour; the text is whole."""
    assert verdict_view(verdict) == {"word": word, "title": title, "sentence": sentence}


@pytest.mark.parametrize("verdict", [None, "", " "])
def test_no_verdict(verdict: str | None) -> None:
    """The smoke test and earlier versions have none."""
    assert verdict_view(verdict) is None


def test_missing_files_are_grouped_by_series() -> None:
    """Those that count first; of each its days in order, each once, and its files."""
    found = missing_series(
        [
            missing("q3", ["2024-01-03"], "quote"),
            missing("t4", ["2024-01-04"]),
            missing("t3", ["2024-01-03"]),
            missing("t5", ["2024-01-05"], reason="corrupt"),
            missing("equity/usa/fundamental/fine/aapl/20240103.zip", [], "other", series=None),
        ]
    )

    assert [(one["series"], one["days"], one["reason"], one["counts"], one["files"]) for one in found] == [
        ("AAPL minute trade", "2024-01-05", "corrupt", True, ["t5"]),
        ("AAPL minute trade", "2024-01-03 to 2024-01-04, 2 days", "not found", True, ["t3", "t4"]),
        (
            "equity/usa/fundamental/fine/aapl/20240103.zip",
            "",
            "not found",
            True,
            ["equity/usa/fundamental/fine/aapl/20240103.zip"],
        ),
        ("AAPL minute quote", "2024-01-03", "not found", False, ["q3"]),
    ]


def test_universe_files_have_no_ticker() -> None:
    """They hold all tickers."""
    series = {"ticker": None, "resolution": "daily", "data_type": "universe"}
    (found,) = missing_series([missing("coarse", ["2024-01-03"], "universe", series=series)])

    assert found["series"] == "daily universe"


def test_figures_of_the_data_are_apart() -> None:
    """Points, requests and missing files are not statistics of the algorithm."""
    statistics = {"Sharpe Ratio": "1.2", "Data Requests": "40", "Failed Data Requests": "3"}
    files = [missing("t", ["2024-01-03"]), missing("q", ["2024-01-03"], "quote")]
    view = result_view({"engine": {"statistics": statistics, "bars": 2021, "verdict": "gaps: 1", "missing": files}})

    assert view is not None
    assert view["statistics"] == {"Sharpe Ratio": "1.2"}
    assert view["data"] == {
        "Data Points": "2,021",
        "Data Requests": "40",
        "Failed Data Requests": "3",
        "Missing Files That Count": "1",
        "Missing Files Of Other Kinds": "1",
    }


def test_a_result_of_an_earlier_version() -> None:
    """What did not exist is absent; without an engine there is no result."""
    view = result_view({"engine": {"statistics": {"Total Return": "1 %"}, "bars": 5, "days": 2}})

    assert view is not None
    assert (view["verdict"], view["missing"], view["analysis"]) == (None, [], [])
    assert view["data"] == {"Data Points": "5", "Days With Data": "2"}
    assert result_view({}) is None
    assert result_view({"engine": None}) is None


@pytest.mark.parametrize("name", ["completed", "live-stream", "completed-with-trades", "missing-days"])
def test_recorded_results(name: str) -> None:
    """LEAN's findings, and every missing file is in a group."""
    run = read_run(lean_runs(os.environ) / name / "results", NOW, ended=True)
    engine = {"verdict": run.verdict, "missing": to_json(run.missing), "analysis": run.analysis}
    view = result_view({"engine": engine})

    assert view is not None
    assert sorted(path for group in view["missing"] for path in group["files"]) == sorted(m.path for m in run.missing)
    assert [finding["issue"] for finding in view["analysis"]] == [one["issue"] for one in run.analysis]
    assert all(finding["solutions"] for finding in view["analysis"])


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (None, ""),
        (True, ""),
        ("two\n lines", "two lines"),
        ({"pValue": 0.19856314714266848}, "pValue: 0.198563"),
        ([{"start": "a", "days": 7}, {"start": "b", "days": 8}], "start: a, days: 7; start: b, days: 8"),
        (12, "12"),
    ],
)
def test_samples(sample: object, text: str) -> None:
    """In one line, whatever LEAN gives."""
    found = finding_view({"Name": "XAnalysis", "Issue": "It is", "Sample": sample, "Solutions": ["Do", "Or"]})

    assert found == {"name": "XAnalysis", "issue": "It is", "sample": text, "solutions": ["Do", "Or"]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["name", "issue", "sample", "solutions"]), inner)
        ),
    )
)
def test_any_finding(finding: object) -> None:
    """Nothing is raised, and everything is text."""
    found = finding_view(finding)

    assert found is None or all(
        isinstance(text, str) for text in (*found["solutions"], found["issue"], found["sample"])
    )


@pytest.mark.parametrize(
    ("fetched", "texts"),
    [
        ([], []),
        (None, []),
        ([{"ticker": "SPY", "resolution": "hour", "data_type": "trade", "days": 3}], ["SPY hour trade: 3 days"]),
        (
            [{"ticker": "SPY", "resolution": "hour", "data_type": "trade", "days": ["2024-01-03", "2024-01-02"]}],
            ["SPY hour trade: 2024-01-02 to 2024-01-03, 2 days"],
        ),
        ([{"ticker": "SPY", "resolution": "daily", "data_type": "trade"}], ["SPY daily trade"]),
    ],
)
def test_rounds(fetched: object, texts: list[str]) -> None:
    """What each round lacked, and what was fetched for the next one."""
    found = round_view({"number": 2, "missing": 1, "fetched": fetched, "state": "completed"})

    assert found == {"number": 2, "missing": "1 file", "state": "completed", "fetched": texts}


def test_progress() -> None:
    """As texts; what is unknown has a dash."""
    equity = {"dates": ["2024-01-02"], "values": [101_234.5]}
    dash = "\N{EN DASH}"

    assert progress_view({"day": "2024-01-02", "fraction": 0.384, "orders": 1200, "equity": equity}) == {
        "known": True,
        "fraction": 0.384,
        "day": "2024-01-02",
        "done": "38 %",
        "equity": "$101,234.50",
        "orders": "1,200",
    }
    assert progress_view(None) == {
        "known": False,
        "fraction": None,
        **dict.fromkeys(("day", "done", "equity", "orders"), dash),
    }
