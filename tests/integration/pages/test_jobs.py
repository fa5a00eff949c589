"""The list of jobs, and the pages of backtests and downloads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.web.pages import PER_PAGE
from tests.support.rendered_pages import Site, report, result


def test_the_list_says_what_there_is(site: Callable[..., Site]) -> None:
    """Without a script: the states, what was asked for, and how long it took; the newest first."""
    one = site()
    for state in ("completed", "failed", "cancelled", "interrupted", "running", "queued"):
        one.job(state, result())
    page = one.page("/")

    states = [attributes["data-state"] for attributes in page.with_testid("job-state")]
    assert states == ["queued", "running", "interrupted", "cancelled", "failed", "completed"]
    assert page.with_testid("jobs")[0]["data-active"] == "yes"
    assert "SPY AAPL minute 2024-01-02 to 2024-01-31 2024-06-03 12:00:00 UTC 0.00 s" in page.text


def test_pages_of_the_list(site: Callable[..., Site]) -> None:
    """More jobs than fit are paged; a page that is not there says so."""
    one = site()
    for _ in range(PER_PAGE + 1):
        one.job("completed", result())

    first, second, third = one.page("/"), one.page("/?page=2"), one.page("/?page=3")
    assert (len(first.with_testid("job")), len(second.with_testid("job")), len(third.with_testid("job"))) == (20, 1, 0)
    assert [link["href"] for link in first.with_testid("older")] == ["/?page=2"]
    assert [link["href"] for link in second.with_testid("newer")] == ["/?page=1"]
    assert not first.with_testid("newer")
    assert not second.with_testid("older")
    assert "There is no page 3." in third.text
    assert "does not fit" in one.page("/?page=0", 422).text


def test_a_completed_backtest(site: Callable[..., Site]) -> None:
    """Phases, data, statistics, what LEAN did not find, notes."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', result())}")

    assert "Data done in 1 min 01 s Engine done in 1 min 01 s" in page.text
    assert "42 symbol-days: 0 were on disk, 42 downloaded, 0 without bars." in page.text
    assert "Fetched 1.2 MB Requests 3 Cache hits 1 Retries 2" in page.text
    assert "Total Return 1.234%" in page.text
    assert "Failed data requests: 1 equity/usa/minute/spy/20240103_trade.zip" in page.text
    assert "Prices are as traded." in page.text
    assert page.with_testid("retry")
    assert not page.with_testid("cancel")
    (equity,) = page.with_testid("equity")
    assert equity["aria-label"] == "Equity curve from 100000.00 on 2024-01-02 to 101234.00 on 2024-01-03"


def test_nothing_was_missing(site: Callable[..., Site]) -> None:
    """A run that asked for nothing says so."""
    one = site()
    download = report(days_present=42, days_downloaded=0, api_calls=0)
    page = one.page(f"/backtests/{one.job('completed', result(download=download))}")

    assert "All 42 symbol-days were on disk; no request was sent." in page.text


def test_a_failed_backtest(site: Callable[..., Site]) -> None:
    """The error is one sentence, with what the fallback did and which days are missing."""
    one = site()
    failure = {"symbol": "SPY", "resolution": "minute", "days": ["2024-01-02", "2024-01-03"], "error": "it is down"}
    download = report(
        days_downloaded=40, days_failed=2, failures=[failure], fallback="lean-cli", notices=["polygon failed"]
    )
    error = {"code": "provider_unavailable", "message": "it is down; set `retry-seconds`"}
    facts = result(download=download, engine=None, error=error, phases=result()["phases"][:1])
    page = one.page(f"/backtests/{one.job('failed', facts)}")

    assert "it is down; set retry-seconds provider_unavailable" in page.text
    assert "The fallback lean-cli was used, too: 2 of 42 symbol-days are still missing." in page.text
    assert "SPY 2024-01-02 to 2024-01-03, 2 days it is down" in page.text
    assert "Data failed in 1 min 01 s Engine not reached" in page.text
    assert not page.with_testid("result")
    assert one.page("/").with_testid("job")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("queued", "Queued: two jobs run at once, in order."),
        ("running", "Cancel"),
        ("cancelled", "Cancelled. What was fetched is kept"),
        ("interrupted", "The server stopped while this ran. Retry it"),
    ],
)
def test_a_backtest_without_a_result(site: Callable[..., Site], state: str, says: str) -> None:
    """A job that has come to nothing yet, or never will, has a page too."""
    one = site()

    assert says in one.page(f"/backtests/{one.job(state)}").text


def test_a_download(site: Callable[..., Site]) -> None:
    """A download has no engine; its page is found under both addresses."""
    one = site()
    identity = one.job("completed", result(engine=None, engine_choice=None), only_data=True)

    for path in (f"/downloads/{identity}", f"/backtests/{identity}"):
        page = one.page(path)
        assert page.with_testid("phase-data_download")
        assert not page.with_testid("phase-engine")
        assert [tag["data-api"] for _, tag in page.tags if "data-api" in tag] == [f"/api/downloads/{identity}"]


def test_a_request_that_leaves_all_to_the_project(site: Callable[..., Site]) -> None:
    """Before it has begun, nothing but the project is known."""
    one = site()
    project = {"project": "/projects/Momentum", "symbols": None, "resolution": None, "start": None, "end": None}
    identity = one.job("queued", **project)

    assert "Momentum" in one.page("/").text
    page = one.page(f"/backtests/{identity}")
    assert "Symbols of the project" in page.text
    assert "/projects/" not in page.text


def test_there_is_no_such_backtest(site: Callable[..., Site]) -> None:
    """An unknown id is a page that says so."""
    assert "There is no such backtest." in site().page("/backtests/0123456789ab", 404).text
