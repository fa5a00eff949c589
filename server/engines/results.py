"""Reads the results folder of a LEAN backtest.

Layout (LEAN: BacktestingResultHandler, DataMonitor; LEAN's CLI: output_config_manager): ``config`` has the id,
``<id>-summary.json`` and ``<id>.json`` have statistics, charts and state, ``failed-data-requests-*.txt`` and
``succeeded-data-requests-*.txt`` have one path per line, ``log.txt`` is the engine's log.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import ToolFailedError
from server.engines.base import Equity
from server.lean.series import NEW_YORK

LOG_TAIL = 2_000_000
"""The number of bytes at the end of log.txt that are read."""

ERROR_LENGTH = 400
"""The number of characters to which an algorithm's error is cut; log.txt has all of it."""

_DATA_POINTS = re.compile(r"Processing total of ([\d,]+) data points")
_ERROR_LINE = re.compile(r"^\S+ \S+ ERROR:: (.*)$")
_ALGORITHM_ERROR = re.compile(r"runtime error|algorithm initialization|algorithm\.initialize|exception|traceback", re.I)
_LOG_LINE = re.compile(r"^\d{8} \d\d:\d\d:\d\d")

# Files that LEAN always requests and that a folder of trade bars does not have: quotes for each day of trades, the
# hourly bars of the default benchmark, open interest, interest rates (LEAN: DefaultBrokerageModel.GetBenchmark,
# UniverseSelection.AddPendingInternalDataFeeds, InterestRateProvider).
_NOT_TRADES = re.compile(r".*_(?:quote|openinterest)\.zip|equity/usa/hour/spy\.zip|alternative/interest-rate/.*")


@frozen(kw_only=True)
class FailedRequests:
    """Files that LEAN requested and did not find, relative to the data folder.

    Attributes:
        wanted: Trade bars of the backtest's symbols and days; without them the figures are wrong.
        other: Files that an algorithm may depend on: another symbol, resolution or data type.
        usual: Files that a folder of trade bars does not have (quotes, the hourly benchmark).
    """

    wanted: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()


@frozen(kw_only=True)
class LeanResults:
    """The content of a results folder.

    Attributes:
        statistics: LEAN's figures by LEAN's names.
        equity: The last value of each New York day; a value at midnight belongs to the day that ends.
        start, end: First and last day that the algorithm set; None if unknown.
        data_points: Number of data points that the engine processed; None if unknown.
        requests: Number of files that it found.
        failed: Files that it did not find.
    """

    statistics: dict[str, str]
    equity: Equity
    start: date | None
    end: date | None
    data_points: int | None
    requests: int
    failed: FailedRequests


def read_results(folder: Path, wanted: Collection[str]) -> LeanResults:
    """Read a results folder.

    Args:
        folder: The folder given to LEAN's CLI as ``--output``.
        wanted: The trade files of the backtest's symbols and days, relative to the data folder.

    Raises:
        ToolFailedError: It has no results, or they cannot be read.
    """
    result = _result_json(folder)
    configuration = _get(result, "algorithmConfiguration")
    return LeanResults(
        statistics={str(name): str(value) for name, value in _get(result, "statistics").items()},
        equity=_equity(result),
        start=_day(_get_any(configuration, "startDate")),
        end=_day(_get_any(configuration, "endDate")),
        data_points=_data_points(_log_tail(folder)),
        requests=len(_request_lines(folder, "succeeded-data-requests")),
        failed=sort_failed_requests(_request_lines(folder, "failed-data-requests"), wanted),
    )


def algorithm_error(folder: Path) -> str | None:
    """Return the algorithm's error on one line, from the result's state or else from log.txt; None without an error."""
    try:
        stated = _get_any(_get(_result_json(folder), "state"), "RuntimeError")
    except ToolFailedError:
        stated = None
    text = str(stated) if stated else _logged_error(_log_tail(folder))
    if not text:
        return None
    line = " ".join(text.split())
    return line if len(line) <= ERROR_LENGTH else line[: ERROR_LENGTH - 3] + "..."


def sort_failed_requests(paths: Iterable[str], wanted: Collection[str]) -> FailedRequests:
    """Sort the files that LEAN did not find by their effect on the backtest; repeated ones count once."""
    wanted = set(wanted)
    sorts: dict[str, list[str]] = {"wanted": [], "other": [], "usual": []}
    for path in dict.fromkeys(path.replace("\\", "/").lstrip("./").lower() for path in paths):
        if path in wanted:
            sorts["wanted"].append(path)
        else:
            sorts["usual" if _NOT_TRADES.fullmatch(path) else "other"].append(path)
    return FailedRequests(**{name: tuple(found) for name, found in sorts.items()})


def _result_json(folder: Path) -> dict[str, Any]:
    """Read the summary, and what it lacks from the full result, which may be very large."""
    name = _backtest_id(folder)
    summary, full = folder / f"{name}-summary.json", folder / f"{name}.json"
    result = _load(summary) if summary.is_file() else {}
    if full.is_file() and not (_get(result, "statistics") and _get(result, "charts") and _get(result, "state")):
        result = _load(full) | {key: value for key, value in result.items() if value}
    if not result:
        raise ToolFailedError(f"LEAN left no results in {folder}; see log.txt there for why")
    return result


def _backtest_id(folder: Path) -> str:
    try:
        known = _get_any(_load(folder / "config"), "id")
    except ToolFailedError:
        known = None
    if known and (folder / f"{known}.json").is_file():
        return str(known)
    summaries = sorted(folder.glob("*-summary.json"))
    return summaries[-1].name.removesuffix("-summary.json") if summaries else str(known or "")


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ToolFailedError(f"LEAN's {path} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _get_any(mapping: Mapping[str, Any], name: str) -> Any:
    """Return the value of a key in any case, since LEAN's versions write camel case or Pascal case."""
    for key, value in mapping.items():
        if key.lower() == name.lower():
            return value
    return None


def _get(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _get_any(mapping, name)
    return found if isinstance(found, dict) else {}


def _equity(result: Mapping[str, Any]) -> Equity:
    chart = _get(_get(result, "charts"), "Strategy Equity")
    points = _get_any(_get(_get(chart, "series"), "Equity"), "values")
    by_day: dict[date, float] = {}
    for point in points if isinstance(points, list) else []:
        match point:
            case [int() | float() as time, *_, int() | float() as value]:  # [time, open, high, low, close] or [x, y]
                pass
            case {"x": int() | float() as time, "y": int() | float() as value}:
                pass
            case _:
                continue
        instant = datetime.fromtimestamp(time, UTC).astimezone(NEW_YORK)
        by_day[(instant - timedelta(seconds=1)).date()] = float(value)
    days = sorted(by_day)
    return Equity(tuple(days), tuple(by_day[day] for day in days))


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None


def _request_lines(folder: Path, kind: str) -> list[str]:
    lines: list[str] = []
    for path in sorted(folder.glob(f"{kind}-*.txt")):
        lines += (line.strip() for line in path.read_text("utf-8", errors="replace").splitlines())
    return [line for line in lines if line]


def _log_tail(folder: Path) -> str:
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _data_points(log: str) -> int | None:
    found = _DATA_POINTS.findall(log)
    return int(found[-1].replace(",", "")) if found else None


def _logged_error(log: str) -> str | None:
    """Return the first error of the algorithm with its further lines, or else the last error of all."""
    lines = log.splitlines()
    errors = [(index, match[1]) for index, line in enumerate(lines) if (match := _ERROR_LINE.match(line))]
    if not errors:
        return None
    index, text = next((error for error in errors if _ALGORITHM_ERROR.search(error[1])), errors[-1])
    further = []
    for line in lines[index + 1 : index + 8]:
        if _LOG_LINE.match(line):
            break
        further.append(line)
    return " ".join([text, *further])
