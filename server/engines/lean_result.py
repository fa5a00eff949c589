"""The result of an engine from what LEAN wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from server.core.text import list_text
from server.data_download.feed_files import FolderFiles
from server.engines.base import EngineRequest, EngineResult
from server.engines.results import LeanRun
from server.lean.feed import trade_paths

_SHOWN = ("Net Profit", "Drawdown", "Sharpe Ratio", "Total Orders", "Total Trades")


def lean_result(
    request: EngineRequest, run: LeanRun, *, engine: str, started_at: datetime, finished_at: datetime
) -> EngineResult:
    """Return the result of a run of LEAN that completed.

    Args:
        request: The backtest.
        run: What LEAN wrote.
        engine: The name of the engine.
        started_at: The instant of its start in UTC.
        finished_at: The instant of its end in UTC.
    """
    failed = tuple(file.path for file in run.missing if file.counts)
    not_counted = len(run.missing) - len(failed)
    start, end = run.start or request.start, run.end or request.end
    total = run.requests.total
    if total is None:
        total = len(run.requests.succeeded_paths) + len(run.missing)
    figures = ", ".join(f"{name} {run.statistics[name]}" for name in _SHOWN if name in run.statistics)
    added = {
        "Data Points": str(run.data_points) if run.data_points is not None else "-",
        "Data Requests": str(total),
        "Failed Data Requests": str(len(failed)),
        "Failed Data Requests Not Counted": str(not_counted),
    }
    return EngineResult(
        engine=engine,
        summary=(
            f"LEAN ran {request.project} from {start} to {end}: {run.data_points or 0:,} data points",
            figures or "LEAN gave no statistics",
            f"{len(failed)} of {total} data requests failed, not counting {not_counted} for quotes and shortables",
        ),
        statistics=run.statistics | added,
        equity=run.equity,
        bars=run.data_points or 0,
        days=sum(start <= day <= end for day in request.days),
        failed_data_requests=failed,
        started_at=started_at,
        finished_at=finished_at,
        duration_s=(finished_at - started_at).total_seconds(),
        results_folder=run.folder,
        notes=(*run.notes, *_notes(request, run, failed)),
        verdict=run.verdict,
        missing=run.missing,
        analysis=tuple(finding for finding in run.analysis if isinstance(finding, dict)),
        lean_run=run,
    )


def _trade_files(request: EngineRequest) -> set[str]:
    """Return the files of trade bars that LEAN reads for the request, each under the ticker of its day."""
    return trade_paths(FolderFiles(request.data_folder), request.symbols, request.resolution, request.days)


def _notes(request: EngineRequest, run: LeanRun, failed: Sequence[str]) -> Iterator[str]:
    requested = _trade_files(request) if failed else set[str]()
    wanted = [path for path in failed if path in requested]
    other = [path for path in failed if path not in requested]
    if wanted:
        yield (
            f"{len(wanted)} of the requested files were missing, so the figures are wrong: "
            f"{list_text(wanted)}; download them and run again"
        )
    if other:
        yield (
            "The algorithm also requested files that are not part of this backtest's request and are missing: "
            f"{list_text(other)}"
        )
    if run.data_points == 0:
        yield "LEAN processed no data; are the project's dates and symbols those of this request?"
    if (run.start, run.end) not in ((None, None), (request.start, request.end)):
        yield (
            f"The algorithm set its own dates, {run.start} to {run.end}, not {request.start} to "
            f"{request.end} as requested; it can read the parameters backtest-start and backtest-end"
        )
