"""Cuts a range at the last settled session where the bars of later days cannot be had yet. Pure."""

from __future__ import annotations

from datetime import date

from attrs import evolve, frozen

from server.data_download.errors import NotPublishedError, PlanLimitError
from server.data_download.plan import DownloadPlan, SeriesDays
from server.data_download.report import DownloadOutcome, GapResult

NOT_YET = (NotPublishedError, PlanLimitError)
"""Reasons that say that a day which is not settled will be available later."""


@frozen(kw_only=True)
class Cut:
    """A plan and its outcome without the days that are not settled.

    Attributes:
        last_day: The last day that is left.
        notice: What was cut and why.
    """

    plan: DownloadPlan
    outcome: DownloadOutcome
    last_day: date
    notice: str


def cut_unsettled(plan: DownloadPlan, outcome: DownloadOutcome, settled_through: date) -> Cut | None:
    """Cut the range of a download at its last settled session.

    Args:
        plan: What was requested.
        outcome: What executing the plan did.
        settled_through: The last settled day.

    Returns:
        None where no day after that failed, where one failed for another reason than that its bars cannot be had yet,
        and where no day would be left.
    """
    failed = [
        (series, day, error)
        for series, result in outcome.results.items()
        for day, error in sorted(result.failed.items())
        if day > settled_through
    ]
    left = tuple(day for day in plan.days if day <= settled_through)
    if not failed or not left or not all(isinstance(error, NOT_YET) for _, _, error in failed):
        return None
    first, day, error = failed[0]
    others = len({series for series, _, _ in failed}) - 1
    whose = f"{first.ticker} and {others:,} more" if others else first.ticker
    return Cut(
        plan=_cut_plan(plan, settled_through, left),
        outcome=evolve(
            outcome,
            results={series: _cut_result(result, settled_through) for series, result in outcome.results.items()},
        ),
        last_day=left[-1],
        notice=(
            f"the range is cut at {left[-1]}, the last settled session: bars of {day} cannot be had yet for {whose} "
            f"({error})"
        ),
    )


def _cut_plan(plan: DownloadPlan, last: date, days: tuple[date, ...]) -> DownloadPlan:
    return evolve(
        plan,
        days=days,
        states={
            symbol: {day: state for day, state in states.items() if day <= last}
            for symbol, states in plan.states.items()
        },
        series={
            symbol: tuple(SeriesDays(part.series, tuple(day for day in part.days if day <= last)) for part in parts)
            for symbol, parts in plan.series.items()
        },
        gaps=tuple(gap for gap in (gap.narrowed(day for day in gap.days if day <= last) for gap in plan.gaps) if gap),
    )


def _cut_result(result: GapResult, last: date) -> GapResult:
    def until(days: frozenset[date]) -> frozenset[date]:
        return frozenset(day for day in days if day <= last)

    return GapResult(
        downloaded=until(result.downloaded),
        present=until(result.present),
        empty=until(result.empty),
        failed={day: error for day, error in result.failed.items() if day <= last},
    )
