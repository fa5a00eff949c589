"""Logs downloads and backtests: events, and at the end of a download a summary of each symbol and of the whole."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from server.core.events import Event
from server.core.text import count_text, traffic_text
from server.data_download.report import DownloadReport, Failure

if TYPE_CHECKING:
    from loguru import Logger

PROGRESS_INTERVAL = timedelta(seconds=30)
"""The least time between two lines about the progress of a backtest."""

_COUNTED = ("bars", "bytes", "api_calls", "cache_hits", "retries")


@define
class _SymbolCounts:
    """The counts of one symbol so far by the names of their log fields, and when its first and latest event were."""

    started_at: datetime
    finished_at: datetime
    counts: Counter[str] = Factory(Counter)

    def add(self, event: Event) -> None:
        """Add the counts of an event."""
        self.finished_at = max(self.finished_at, event.at)
        for name in _COUNTED:
            self.counts[name] += getattr(event, name)
        if event.kind == "days" and event.outcome:
            self.counts[f"days_{'downloaded' if event.outcome == 'provisional' else event.outcome}"] += event.days


class DownloadLog:
    """Logs events of downloads and counts them by symbol until the report arrives (an `EventListener`). Thread-safe."""

    def __init__(self, log: Logger) -> None:
        """Create a listener that writes to this logger."""
        self._log = log
        self._lock = threading.Lock()
        self._symbols: dict[str, _SymbolCounts] = {}
        self._progress_at: datetime | None = None

    def __call__(self, event: Event, /) -> None:
        """Log an event and count it for its symbol; the last event of a download has its report."""
        if event.kind == "engine_progress" and not self._is_time_for_progress(event):
            return
        if event.symbol is not None:
            with self._lock:
                counts = self._symbols.setdefault(event.symbol, _SymbolCounts(event.at, event.at))
                counts.add(event)
        level, text = describe_event(event)
        self._log.bind(**_event_fields(event)).log(level, text)
        if event.report is not None:
            self.log_report(event.report)

    def _is_time_for_progress(self, event: Event) -> bool:
        with self._lock:
            if self._progress_at is not None and event.at - self._progress_at < PROGRESS_INTERVAL:
                return False
            self._progress_at = event.at
            return True

    def log_report(self, report: DownloadReport) -> None:
        """Log a line for each symbol with an event, for each failure, and for the whole download."""
        with self._lock:
            symbols, self._symbols = self._symbols, {}
        log = self._log.bind(
            phase="data_download", provider=report.fallback or report.provider, resolution=report.resolution.value
        )
        for symbol, counts in symbols.items():
            self._log_symbol(log.bind(symbol=symbol), symbol, counts, report)
        for failure in report.failures:
            log.bind(**_failure_fields(failure)).warning(
                f"{failure.series}: {count_text(len(failure.days), 'day')} failed: {failure.error}"
            )
        log.bind(**_report_fields(report)).log("INFO" if report.complete else "WARNING", describe_report(report))

    @staticmethod
    def _log_symbol(log: Logger, symbol: str, found: _SymbolCounts, report: DownloadReport) -> None:
        seconds = (found.finished_at - found.started_at).total_seconds()
        counts = {name: found.counts[name] for name in (*_COUNTED, "days_downloaded", "days_empty", "days_failed")}
        log.bind(
            event="symbol_finished",
            started_at=found.started_at,
            finished_at=found.finished_at,
            duration_s=seconds,
            **counts,
        ).info(
            f"{symbol} {report.resolution.value}: {counts['days_downloaded']} downloaded, "
            f"{counts['days_empty']} empty, {counts['days_failed']} failed; "
            f"{traffic_text(counts['api_calls'], counts['bytes'])}, {seconds:.2f} s"
        )


def describe_event(event: Event) -> tuple[str, str]:
    """Return the level of an event and its text."""
    what = " ".join(filter(None, [event.symbol, event.resolution.value if event.resolution else ""])) or "download"
    match event.kind:
        case "started":
            missing = count_text(event.days, "day")
            return "INFO", f"{what}: {missing} missing, {event.days_present} present ({event.provider})"
        case "symbol":
            return "DEBUG", f"{what}: {count_text(event.days, 'day')} missing"
        case "days":
            return "DEBUG", f"{what}: {count_text(event.days, 'day')} {event.outcome}, {count_text(event.bars, 'bar')}"
        case "request":
            return "DEBUG", f"{what}: {traffic_text(event.api_calls, event.bytes)}, {event.cache_hits} from the cache"
        case "retry":
            return "WARNING", f"{what}: {event.message}; trying again in {event.wait_seconds:.1f} s"
        case "wait":
            reason = f": {event.message}" if event.message else ""
            return "INFO", f"waiting {event.wait_seconds:.1f} s{reason}"
        case "notice" | "round":
            return "WARNING" if event.phase == "data_download" else "INFO", event.message
        case "phase" | "engine_progress":
            return _describe_backtest(event)
        case "finished":
            return "DEBUG", f"{what}: finished"


def _describe_backtest(event: Event) -> tuple[str, str]:
    """The level and text of an event that only backtests have."""
    if event.kind == "phase":
        return "DEBUG", f"phase {event.phase}"
    return "INFO", progress_text(event.progress) if event.progress is not None else "backtest"


def progress_text(progress: Any) -> str:
    """Return how far a backtest has come, an `EngineProgress`, in one line; what is unknown is left out."""
    values = progress.equity.values
    parts = (
        f"{progress.fraction:.0%}" if progress.fraction is not None else "",
        f"equity ${values[-1]:,.2f}" if values else "",
        count_text(progress.orders, "order") if progress.orders is not None else "",
    )
    return f"backtest at {progress.day or 'its start'}: {', '.join(filter(None, parts))}".removesuffix(": ")


def describe_report(report: DownloadReport) -> str:
    """Return the summary of a download in one sentence."""
    end = "cancelled" if report.cancelled else "finished"
    fallback = f", {report.fallback} as the fallback" if report.fallback else ""
    return (
        f"download {end} ({report.provider}{fallback}): {report.days_present} present, "
        f"{report.days_downloaded} downloaded, {report.days_empty} empty, {report.days_failed} failed of "
        f"{count_text(report.days_requested, 'day')}; {traffic_text(report.api_calls, report.bytes_fetched)}, "
        f"{report.duration_s:.2f} s"
    )


def _event_fields(event: Event) -> dict[str, Any]:
    """The log fields of an event; counts that are zero are omitted."""
    fields: dict[str, Any] = {"event": event.kind, "phase": event.phase, "provider": event.provider}
    if event.symbol is not None:
        fields["symbol"] = event.symbol
    if event.resolution is not None:
        fields["resolution"] = event.resolution.value
    for name in ("outcome", "days", "days_present", *_COUNTED, "status", "wait_seconds"):
        value = getattr(event, name)
        if value:
            fields[name] = value
    if event.progress is not None:
        fields |= _progress_fields(event.progress)
    return fields


def _progress_fields(progress: Any) -> dict[str, Any]:
    values = {
        "day": progress.day,
        "fraction": progress.fraction,
        "equity": progress.equity.values[-1] if progress.equity.values else None,
        "orders": progress.orders,
    }
    return {name: value for name, value in values.items() if value is not None}


def _failure_fields(failure: Failure) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event": "failure",
        "symbol": failure.symbol,
        "resolution": failure.series.resolution.value,
        "code": failure.code,
        "days_failed": len(failure.days),
    }
    if failure.days:
        fields |= {"first_day": failure.days[0], "last_day": failure.days[-1]}
    return fields


def _report_fields(report: DownloadReport) -> dict[str, Any]:
    names = ("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed", "bars", "api_calls")
    return {name: getattr(report, name) for name in names} | {
        "event": "download_finished",
        "provider": report.provider,
        "fallback": report.fallback,
        "symbols": len(report.symbols),
        "start": report.start,
        "end": report.end,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "duration_s": report.duration_s,
        "bytes": report.bytes_fetched,
        "cache_hits": report.http_cache_hits,
        "retries": report.retries,
        "cancelled": report.cancelled,
    }
