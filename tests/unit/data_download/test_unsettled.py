"""Ranges that are cut where days are not settled and their bars cannot be had yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest

from server.core.errors import BacktestServerError, Cancelled
from server.data_download.availability import DayState, Gap
from server.data_download.errors import (
    DownloadError,
    NotPublishedError,
    PlanLimitError,
    ProviderUnavailable,
    SymbolNotFoundError,
)
from server.data_download.plan import DownloadPlan, SeriesDays
from server.data_download.report import DownloadOutcome, GapResult, count_days
from server.data_download.request import DownloadRequest
from server.data_download.unsettled import cut_unsettled
from server.lean.series import Resolution, Series

THURSDAY, FRIDAY = date(2024, 3, 7), date(2024, 3, 8)
DAYS = (THURSDAY, FRIDAY)
SPY, AAPL = Series("SPY", Resolution.MINUTE), Series("AAPL", Resolution.MINUTE)


def plan(*days: date) -> DownloadPlan:
    """SPY is missing on all days, AAPL is present."""
    return DownloadPlan(
        request=DownloadRequest(symbols=("SPY", "AAPL"), resolution=Resolution.MINUTE, start=days[0], end=days[-1]),
        days=days,
        states={"SPY": dict.fromkeys(days, DayState.MISSING), "AAPL": dict.fromkeys(days, DayState.PRESENT)},
        series={"SPY": (SeriesDays(SPY, days),), "AAPL": (SeriesDays(AAPL, days),)},
        gaps=(Gap(series=SPY, days=days),),
    )


def outcome(downloaded: set[date], failed: Mapping[date, BacktestServerError]) -> DownloadOutcome:
    """What became of the days of SPY."""
    return DownloadOutcome(results={SPY: GapResult(downloaded=frozenset(downloaded), failed=failed)})


@pytest.mark.parametrize("error", [NotPublishedError("no bars yet"), PlanLimitError("not in the plan")])
def test_today_cannot_be_had(error: BacktestServerError) -> None:
    """Today is left out for every symbol, and the notice says why."""
    cut = cut_unsettled(plan(*DAYS), outcome({THURSDAY}, {FRIDAY: error}), THURSDAY)

    assert cut is not None
    assert cut.last_day == THURSDAY
    assert cut.plan.days == (THURSDAY,)
    assert cut.plan.gaps == (Gap(series=SPY, days=(THURSDAY,)),)
    assert cut.outcome.failed_series() == set()
    assert count_days(cut.plan, cut.outcome) == {"downloaded": 1, "present": 1, "empty": 0, "failed": 0}
    assert cut.notice == (
        "the range is cut at 2024-03-07, the last settled session: bars of 2024-03-08 cannot be had yet for SPY "
        f"({error})"
    )


@pytest.mark.parametrize(
    "error",
    [DownloadError("?"), ProviderUnavailable("outage"), SymbolNotFoundError("unknown"), Cancelled("stopped")],
)
def test_today_failed_for_another_reason(error: BacktestServerError) -> None:
    """Its bars may exist: the day has failed."""
    assert cut_unsettled(plan(*DAYS), outcome({THURSDAY}, {FRIDAY: error}), THURSDAY) is None


def test_settled_days_are_never_cut() -> None:
    """A plan that excludes a settled day is a failure."""
    failed = {FRIDAY: PlanLimitError("not in the plan")}

    assert cut_unsettled(plan(*DAYS), outcome({THURSDAY}, failed), FRIDAY) is None


def test_no_day_would_be_left() -> None:
    """Today alone is a failure."""
    assert cut_unsettled(plan(FRIDAY), outcome(set(), {FRIDAY: NotPublishedError("no bars yet")}), THURSDAY) is None


def test_nothing_failed() -> None:
    """Nothing is cut."""
    assert cut_unsettled(plan(*DAYS), outcome(set(DAYS), {}), THURSDAY) is None


def test_earlier_failures_remain() -> None:
    """A cut does not hide them."""
    failed = {THURSDAY: ProviderUnavailable("outage"), FRIDAY: NotPublishedError("no bars yet")}

    cut = cut_unsettled(plan(*DAYS), outcome(set(), failed), THURSDAY)

    assert cut is not None
    assert cut.outcome.results[SPY].failed == {THURSDAY: failed[THURSDAY]}
