"""What a completed result of LEAN is worth, by the data that LEAN requested and did not get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from server.core.text import count_text, list_text
from server.engines.missing_data import DataRequests, MissingFile, is_benchmark, trading_days
from server.trading_calendar import USEquityTradingCalendar

NOT_CHECKED = "the data itself was not checked"
"""How a verdict ends that is based on the results folder alone."""


def verdict_text(
    missing: Sequence[MissingFile],
    requests: DataRequests,
    start: date | None,
    calendar: USEquityTradingCalendar,
    absent_folders: Sequence[str] = (),
) -> str:
    """Return what a completed result is worth, beginning with ``complete``, ``gaps`` or ``untrusted``.

    Args:
        missing: The files that the run did not get.
        requests: Its data requests.
        start: The first day that the algorithm set; None if unknown.
        calendar: The trading days.
        absent_folders: Folders of map files that LEAN did not find.
    """
    counted = [file.path for file in missing if file.counts]
    parts = []
    if counted:
        parts.append(f"{count_text(len(counted), 'file')} missing ({list_text(counted)})")
    if requests.unlisted:
        parts.append(f"{count_text(requests.unlisted, 'failed request')} that LEAN did not list")
    reasons = list(_reasons(missing, requests, start, calendar, absent_folders))
    parts = [*reasons, *parts] or ["LEAN got every file that it requested and that counts"]
    word = "untrusted" if reasons else "gaps" if counted or requests.unlisted else "complete"
    kinds = Counter(file.kind for file in missing if not file.counts)
    parts += [f"not counted: {count_text(number, f'missing {kind} file')}" for kind, number in sorted(kinds.items())]
    return f"{word}: {'; '.join([*parts, NOT_CHECKED])}"


def _reasons(
    missing: Sequence[MissingFile],
    requests: DataRequests,
    start: date | None,
    calendar: USEquityTradingCalendar,
    absent_folders: Sequence[str],
) -> Iterable[str]:
    """Why a result cannot be trusted, however few files are missing."""
    if not requests.known:
        yield "LEAN left no record of its data requests, so missing data is unknown"
    if any(is_benchmark(file.path, requests.benchmark) for file in missing):
        yield f"the benchmark {requests.benchmark} has no hour bars, so Alpha, Beta and the ratios to it are wrong"
    for folder in absent_folders:
        yield f"LEAN found no folder {folder}, so splits, dividends and renames were not applied"
    # LEAN offers a universe file at the midnight after its day, so the day before the start is needed too.
    before = trading_days(start and start - timedelta(days=10), start and start - timedelta(days=1), calendar)
    first = before[-1] if before else start
    days = [day for file in missing if file.kind == "universe" for day in file.days if first is None or day >= first]
    if days:
        yield f"the universe was empty on days without a universe file ({list_text([str(day) for day in days])})"
