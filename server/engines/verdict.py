"""What a completed result of LEAN is worth, by the data that LEAN requested and did not get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from server.core.text import count_text, list_text
from server.engines.missing_data import (
    ENDS_EARLY,
    LACKS_DAYS,
    NO_BARS,
    DataRequests,
    MissingFile,
    is_benchmark,
    trading_days,
)
from server.engines.stored_check import StoredCheck
from server.trading_calendar import USEquityTradingCalendar

COMPLETE, GAPS, UNTRUSTED = "complete", "gaps", "untrusted"
"""The first word of a verdict."""

OPENED = (ENDS_EARLY, LACKS_DAYS)

NOT_CHECKED = "the data itself was not checked"
"""How a verdict ends that is based on the results folder alone."""


def verdict_text(
    missing: Sequence[MissingFile],
    requests: DataRequests,
    start: date | None,
    calendar: USEquityTradingCalendar,
    absent_folders: Sequence[str] = (),
    check: StoredCheck | None = None,
) -> str:
    """Return what a completed result is worth, beginning with ``complete``, ``gaps`` or ``untrusted``.

    Args:
        missing: The files that the run did not get.
        requests: Its data requests.
        start: The first day that the algorithm set; None if unknown.
        calendar: The trading days.
        absent_folders: Folders of map files that LEAN did not find.
        check: The data check of the backtest; None where the data was not checked.
    """
    counted = [file.path for file in missing if file.counts]
    parts = []
    if counted:
        empty = sum(file.counts and file.reason == NO_BARS for file in missing)
        no_bars = f", {empty} of them for days of which the provider has no bars" if empty else ""
        parts.append(f"{count_text(len(counted), 'file')} missing ({list_text(counted)}){no_bars}")
    if requests.unlisted:
        parts.append(f"{count_text(requests.unlisted, 'failed request')} that LEAN did not list")
    known = check.untrusted if check else ()
    reasons = [
        *_record_reasons(requests),
        *known,
        *([] if any(map(_names_benchmark, known)) else _benchmark_reasons(missing, requests)),
        *_folder_reasons(absent_folders),
        *_universe_reasons(missing, start, calendar),
    ]
    parts = [*reasons, *parts] or ["LEAN got every file that it requested and that counts"]
    word = UNTRUSTED if reasons else GAPS if counted or requests.unlisted else COMPLETE
    kinds = Counter(file.kind for file in missing if not file.counts)
    parts += [f"not counted: {count_text(number, f'missing {kind} file')}" for kind, number in sorted(kinds.items())]
    parts += [] if check else [NOT_CHECKED]
    return f"{word}: {'; '.join(parts)}"


def verdict_word(verdict: str | None) -> str:
    """Return the first word of a verdict; an empty text without one."""
    return verdict.partition(":")[0] if verdict else ""


def benchmark_reason(ticker: str, lacks: str) -> str:
    """Return why a result cannot be trusted whose benchmark lacks bars.

    Args:
        ticker: The benchmark's ticker.
        lacks: What it lacks, such as ``has no hour bars``.
    """
    return f"the benchmark {ticker} {lacks}, so Alpha, Beta and the ratios to it are wrong"


def _names_benchmark(reason: str) -> bool:
    return reason.startswith("the benchmark ")


def _record_reasons(requests: DataRequests) -> Iterable[str]:
    if not requests.known:
        yield "LEAN left no record of its data requests, so missing data is unknown"


def _benchmark_reasons(missing: Sequence[MissingFile], requests: DataRequests) -> Iterable[str]:
    for file in missing:
        if requests.benchmark is not None and is_benchmark(file.path, requests.benchmark):
            days = f"lacks hour bars of {count_text(len(file.days), 'day')}"
            yield benchmark_reason(requests.benchmark, days if file.reason in OPENED else "has no hour bars")


def _folder_reasons(absent_folders: Sequence[str]) -> Iterable[str]:
    for folder in absent_folders:
        yield f"LEAN found no folder {folder}, so splits, dividends and renames were not applied"


def _universe_reasons(
    missing: Sequence[MissingFile], start: date | None, calendar: USEquityTradingCalendar
) -> Iterable[str]:
    # LEAN offers a universe file at the midnight after its day, so the day before the start is needed too.
    before = trading_days(start and start - timedelta(days=10), start and start - timedelta(days=1), calendar)
    first = before[-1] if before else start
    days = [day for file in missing if file.kind == "universe" for day in file.days if first is None or day >= first]
    if days:
        yield f"the universe was empty on days without a universe file ({list_text([str(day) for day in days])})"
