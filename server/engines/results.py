"""Reads the results folder of a LEAN backtest, as a whole or as far as LEAN came.

Layout (LEAN: BacktestingResultHandler, DataMonitor; LEAN's CLI: output_config_manager): ``<id>.json`` has state,
statistics, charts, orders and LEAN's analysis; ``<id>-summary.json`` a part of them; ``<id>-order-events.json`` the
fills; ``failed-data-requests-*.txt`` and ``succeeded-data-requests-*.txt`` one path per line,
``data-monitor-report-*.json`` their counts; ``log.txt`` is the engine's log. ``config``, which LEAN's CLI adds, has
the id. Nothing but log.txt or ``<id>.json`` is needed.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
from attrs import evolve, frozen

from server.core.errors import ConfigurationError
from server.engines.equity import Equity
from server.engines.lean_error import error_advice, error_line, logged_error, unhandled_exception
from server.engines.lean_log import LeanLog, parse_log
from server.engines.missing_data import (
    DataRequests,
    MissingFile,
    explains_end,
    missing_files,
    trading_days,
)
from server.engines.results_files import (
    ResultFile,
    day_of,
    equity_of,
    get_any,
    get_mapping,
    logged_data_points,
    orders_with_fills,
    read_data_requests,
    read_log,
    read_result,
)
from server.engines.run_folder import ENDED_FILE
from server.engines.stored_check import StoredCheck, read_check
from server.engines.verdict import verdict_text
from server.trading_calendar import USEquityTradingCalendar

FRESH_SECONDS = 120.0
"""Seconds after its last change within which a result with the state Running is that of a run in progress; LEAN
rewrites it every 30."""

_FAILED = {"runtimeerror", "deployerror", "invalid"}
_ENDED = {"completed", "stopped", "liquidated"}


class RunState(enum.StrEnum):
    """How a run of LEAN ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RUNNING = "running"


@frozen(kw_only=True)
class LeanRun:
    """The content of a results folder.

    Attributes:
        folder: The folder.
        id: LEAN's id of the run; None where it left no result.
        state: How the run ended.
        error: The error on one line, with the algorithm's file and line; None without an error.
        verdict: What the result is worth, beginning with ``complete``, ``gaps`` or ``untrusted``; None unless the run
            completed.
        notes: What else a user should know.
        start, end: First and last day that the algorithm set; None if unknown.
        statistics, runtime_statistics: LEAN's figures by LEAN's names.
        data_points: Number of data points that the engine processed; None if unknown.
        requests: The files that it requested.
        missing: Those that it did not get.
        analysis: LEAN's findings with ``name``, ``issue``, ``sample`` and ``solutions``.
        orders: LEAN's orders by id, each with a list ``fills`` of LEAN's order events.
        charts: LEAN's charts by name, each as LEAN's JSON (`msgspec.json.decode` decodes one).
        equity: The last value of each New York day; a value at midnight belongs to the day that ends.
        absent_folders: Folders of map files that LEAN did not find.
    """

    folder: Path
    id: str | None
    state: RunState
    error: str | None
    verdict: str | None
    notes: tuple[str, ...]
    start: date | None
    end: date | None
    statistics: dict[str, str]
    runtime_statistics: dict[str, str]
    data_points: int | None
    requests: DataRequests
    missing: tuple[MissingFile, ...]
    analysis: list[Any]
    orders: dict[str, Any]
    charts: dict[str, msgspec.Raw]
    equity: Equity
    absent_folders: tuple[str, ...] = ()


def read_run(
    folder: Path,
    now: datetime,
    *,
    ended: bool = False,
    console: Sequence[str] = (),
    calendar: USEquityTradingCalendar | None = None,
) -> LeanRun:
    """Read a results folder.

    Args:
        folder: The folder that LEAN wrote.
        now: The current instant in UTC.
        ended: Whether LEAN's process is known to have ended, so that a result with the state Running is interrupted.
        console: The lines that LEAN printed, where the caller has them: an abort of .NET is found there only.
        calendar: The trading days; by default those that this release has.

    Raises:
        ConfigurationError: It is no folder, or has no file of LEAN.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}; name the folder that holds LEAN's log.txt")
    result, log = read_result(folder), parse_log(read_log(folder))
    requests = read_data_requests(folder, log)
    abort = unhandled_exception("\n".join(console))
    if result is None and not log.messages and not requests.known and abort is None:
        raise ConfigurationError(_no_results(folder))
    calendar = calendar or USEquityTradingCalendar.shipped()
    result = result or ResultFile()
    start, end = _range(result, log)
    equity = equity_of(get_mapping(result.values, "charts"))
    error = _error(result, log) or (None if result.status in _ENDED else abort)
    ended = ended or (folder / ENDED_FILE).exists()
    fresh = not ended and (now.timestamp() - result.changed) < FRESH_SECONDS
    early = not log.messages and _ends_early(equity, end, requests, calendar)
    state = run_state(result, error=error, cancelled=log.cancelled, fresh=fresh, ends_early=early)
    missing = missing_files(requests, start, end, calendar)
    orders, order_notes = orders_with_fills(folder, result)
    notes = [*result.notes, *order_notes, error_advice(error) or ""]
    notes += [_abort_note(abort)] if state is RunState.COMPLETED else []
    analysis = get_any(result.values, "analysis")
    run = LeanRun(
        folder=folder,
        id=result.id,
        state=state,
        error=error,
        verdict=None,
        notes=tuple(note for note in notes if note),
        start=start,
        end=end,
        statistics=_figures(result, "statistics"),
        runtime_statistics=_figures(result, "runtimeStatistics"),
        data_points=logged_data_points(folder, result) if log.data_points is None else log.data_points,
        requests=requests,
        missing=missing,
        analysis=analysis if isinstance(analysis, list) else [],
        orders=orders,
        charts=get_mapping(result.values, "charts"),
        equity=equity,
        absent_folders=tuple(log.absent_folders),
    )
    return with_check(run, read_check(folder), calendar)


def with_check(run: LeanRun, check: StoredCheck | None, calendar: USEquityTradingCalendar) -> LeanRun:
    """Return a run with its verdict, and with what the data check of its backtest found.

    Args:
        run: The run as LEAN's files have it.
        check: The data check; None where the data was not checked.
        calendar: The trading days.
    """
    if check is not None:
        listed = {file.path for file in check.missing}
        missing = (*(file for file in run.missing if file.path not in listed), *check.missing)
        run = evolve(run, missing=missing, notes=(*run.notes, *check.notices))
    if run.state is not RunState.COMPLETED:
        return run
    return evolve(run, verdict=verdict_text(run.missing, run.requests, run.start, calendar, run.absent_folders, check))


def run_state(result: ResultFile, *, error: str | None, cancelled: bool, fresh: bool, ends_early: bool) -> RunState:
    """Return how a run ended.

    LEAN reports an interrupted run as completed (fact 3 of its recorded runs), so the log decides, and without a log
    the equity curve.

    Args:
        result: What LEAN wrote; its status is empty where there is no result.
        error: The error of the algorithm or the engine.
        cancelled: Whether the log has the line of an interruption.
        fresh: Whether the result changed so recently that LEAN may still run.
        ends_early: Whether, without a log, the equity curve ends before the algorithm's last day for no known reason.
    """
    if result.status in _FAILED or result.runtime_error:
        return RunState.FAILED
    if cancelled:
        return RunState.INTERRUPTED
    if result.status in _ENDED:
        return RunState.INTERRUPTED if ends_early else RunState.COMPLETED
    if error:
        return RunState.FAILED
    return RunState.RUNNING if result.id is not None and fresh else RunState.INTERRUPTED


def _range(result: ResultFile, log: LeanLog) -> tuple[date | None, date | None]:
    """The first and last day that the algorithm set; a run that was ended without a result has logged them."""
    configuration = get_mapping(result.values, "algorithmConfiguration")
    start, end = (day_of(get_any(configuration, key)) for key in ("startDate", "endDate"))
    return (start, end) if start or end else log.dates or (None, None)


def _no_results(folder: Path) -> str:
    hint = "; its subfolder results has such files" if (folder / "results" / "log.txt").is_file() else ""
    return f"{folder} holds neither LEAN's log.txt nor a result ID.json of LEAN{hint}; name the folder that LEAN wrote"


def _error(result: ResultFile, log: LeanLog) -> str | None:
    """The error that the result states, or else that of the log; those of a run that ended well do not count."""
    if result.runtime_error:
        return error_line(result.runtime_error, (result.stack_trace, *_stacks(log)))
    return None if result.status in _ENDED else logged_error(log.errors)


def _stacks(log: LeanLog) -> tuple[str, ...]:
    return tuple(text for text in log.errors if text.startswith("Extensions.SetRuntimeError"))


def _ends_early(equity: Equity, end: date | None, requests: DataRequests, calendar: USEquityTradingCalendar) -> bool:
    """Whether trading days follow the equity curve's last day, and no missing data explains that."""
    if not equity.dates or end is None:
        return False
    last = equity.dates[-1]
    return any(day > last for day in trading_days(last, end, calendar)) and not explains_end(requests, last)


def _abort_note(abort: str | None) -> str:
    return f"LEAN's process was aborted after the results were written: {abort}" if abort else ""


def _figures(result: ResultFile, name: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in get_mapping(result.values, name).items()}
