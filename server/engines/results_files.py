"""The files of a LEAN results folder: which there are, and their content."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
from attrs import field, frozen

from server.engines.equity import Equity
from server.engines.lean_log import LeanLog, data_points_in
from server.engines.missing_data import DataRequests, data_requests
from server.lean.series import NEW_YORK

LOG_TAIL = 2_000_000
"""The number of bytes at the end of log.txt that are read."""

_NEEDED = {
    "state",
    "statistics",
    "runtimestatistics",
    "algorithmconfiguration",
    "charts",
    "orders",
    "analysis",
}
"""The keys of a result that are decoded, in lower case: LEAN's versions write camel case or Pascal case."""

_BEGINNING = re.compile(rb'\s*\{\s*"(?:rollingWindow|charts)"', re.IGNORECASE)
_OTHER_FILES = ("-summary.json", "-order-events.json", "alpha-results.json")
_OTHER_PREFIXES = ("data-monitor-report-",)
_OTHER_NAMES = ("config.json", "data-check.json")
"""Files that hold no result, by the end, the beginning or the whole of their names; config.json is that of the run."""

_FILLED = 3
"""The status of an order that is filled (LEAN: ``OrderStatus.Filled``)."""


@frozen(kw_only=True)
class ResultFile:
    """A result of LEAN.

    Attributes:
        id: LEAN's id of the run; None without a result.
        values: What it holds.
        changed: Its modification time, in seconds since 1970.
        notes: What could not be read.
    """

    id: str | None = None
    values: dict[str, Any] = field(factory=dict)
    changed: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """LEAN's status in lower case (LEAN: ``AlgorithmStatus``); empty if unknown."""
        return str(get_any(get_mapping(self.values, "state"), "Status") or "").lower()

    @property
    def runtime_error(self) -> str:
        """The error of the run; empty without one."""
        return str(get_any(get_mapping(self.values, "state"), "RuntimeError") or "").strip()

    @property
    def stack_trace(self) -> str:
        """The stack of the error; empty without one."""
        return str(get_any(get_mapping(self.values, "state"), "StackTrace") or "")


def read_result(folder: Path) -> ResultFile | None:
    """Read the newest result of a folder, or its summary where that is all; None where there is neither."""
    paths = _result_paths(folder)
    unreadable: Path | None = None
    for path in paths:
        values = _decode(path)
        if values is None:
            unreadable = unreadable or (path if _begins_a_result(path) else None)
        elif _is_result(values):
            name = path.name.removesuffix(".json").removesuffix("-summary")
            notes = (f"{unreadable} is not whole; {path.name} was read in its place",) if unreadable else ()
            return ResultFile(id=name, values=values, changed=_changed(path), notes=notes)
    if unreadable is not None:
        notes = (f"{unreadable} is not whole: LEAN was stopped while writing it, or is still writing",)
        return ResultFile(id=unreadable.name.removesuffix(".json"), changed=_changed(unreadable), notes=notes)
    return None


def read_log(folder: Path) -> str:
    """Return the end of log.txt; an empty text where there is no such file."""
    return _tail(folder / "log.txt")


def logged_data_points(folder: Path, result: ResultFile) -> int | None:
    """Return the number of data points from ``<id>-log.txt``, which has it where the live stream replaces log.txt."""
    return data_points_in(_tail(folder / f"{result.id}-log.txt"))


def read_data_requests(folder: Path, log: LeanLog) -> DataRequests:
    """Read the files of LEAN's data monitor, both with and without lists of successful requests."""
    report = _newest(folder.glob("data-monitor-report-*.json"))
    values = _decode(report) if report else None
    counts = {name: value for name, value in (values or {}).items() if isinstance(value, int)}
    return data_requests(_lines(folder, "failed-data-requests"), _lines(folder, "succeeded-data-requests"), counts, log)


def orders_with_fills(folder: Path, result: ResultFile) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return LEAN's orders by id, each with a list ``fills``, and notes about what could not be read.

    The fills are LEAN's order events that have a quantity. Without a file of events, a filled order has one fill with
    the order's own time, price and quantity.
    """
    orders = get_mapping(result.values, "orders")
    path = folder / f"{result.id}-order-events.json"
    fills: dict[object, list[Any]] = {}
    notes: tuple[str, ...] = ()
    events: Any = None
    if path.is_file():
        try:
            events = msgspec.json.decode(_content(path))
        except (OSError, msgspec.DecodeError) as error:
            notes = (f"LEAN's {path} cannot be read, so fills are those of the orders: {error}",)
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and get_any(event, "fillQuantity"):
            fills.setdefault(get_any(event, "orderId"), []).append(event)
    found: dict[str, Any] = {}
    for key, order in orders.items():
        if isinstance(order, dict):
            own = _own_fill(order) if not isinstance(events, list) else fills.get(get_any(order, "id"), [])
            found[str(key)] = {**order, "fills": own}
    return found, notes


def equity_of(charts: Mapping[str, msgspec.Raw]) -> Equity:
    """Return the equity curve: the last value of each New York day; one at midnight belongs to the day that ends."""
    decoded: Any = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = msgspec.json.decode(get_any(charts, "Strategy Equity") or b"null")
    chart = decoded if isinstance(decoded, dict) else {}
    points = get_any(get_mapping(get_mapping(chart, "series"), "Equity"), "values")
    return equity_by_day(values_by_day(points))


def equity_by_day(values: Mapping[date, float]) -> Equity:
    """Return the equity curve of the values by day."""
    days = sorted(values)
    return Equity(tuple(days), tuple(values[day] for day in days))


def values_by_day(points: object) -> dict[date, float]:
    """Return the last value of each New York day of a series of a chart; what is no point is ignored.

    Args:
        points: LEAN's list of points, ``[time, open, high, low, close]``, ``[x, y]`` or an object of both.
    """
    found: dict[date, float] = {}
    for point in points if isinstance(points, list) else []:
        match point:
            case [int() | float() as time, *_, int() | float() as value]:
                pass
            case {"x": int() | float() as time, "y": int() | float() as value}:
                pass
            case _:
                continue
        with suppress(OverflowError, ValueError, OSError):  # a number that is no instant
            found[datetime.fromtimestamp(time - 1, NEW_YORK).date()] = float(value)
    return found


def is_result_name(name: str) -> bool:
    """Return whether a file of a results folder may be ``<id>.json``, by its name."""
    other = name in _OTHER_NAMES or name.endswith(_OTHER_FILES) or name.startswith(_OTHER_PREFIXES)
    return name.endswith(".json") and not other


def day_of(text: object) -> date | None:
    """Return the day of LEAN's text of an instant; None for another text and for LEAN's instant of no value."""
    with suppress(ValueError):
        day = date.fromisoformat(str(text)[:10])
        return day if day.year > 1 else None
    return None


def get_any(mapping: Mapping[str, Any], name: str) -> Any:
    """Return the value of a key in any case, since LEAN's versions write camel case or Pascal case."""
    if name in mapping:
        return mapping[name]
    for key, value in mapping.items():
        if key.lower() == name.lower():
            return value
    return None


def get_mapping(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object of a key in any case; an empty one where the key is absent or has another value."""
    found = get_any(mapping, name)
    return found if isinstance(found, dict) else {}


def _result_paths(folder: Path) -> list[Path]:
    """The files that may hold a result, the best first: that of the CLI's id, results, summaries; newest first."""
    config = folder / "config"
    known = str((_decode(config, every=True) or {}).get("id") or "") if config.is_file() else ""
    summaries = list(folder.glob("*-summary.json"))
    named = {path.name.removesuffix("-summary.json") for path in summaries}
    results = [path for path in folder.glob("*.json") if is_result_name(path.name)]
    order = sorted(results, key=lambda path: (path.stem == known, path.stem in named, _changed(path)), reverse=True)
    return [*order, *sorted(summaries, key=_changed, reverse=True)]


def _is_result(values: Mapping[str, Any]) -> bool:
    stated = get_any(get_mapping(values, "state"), "Status")
    return bool(stated or get_mapping(values, "statistics") or get_mapping(values, "charts"))


def _begins_a_result(path: Path) -> bool:
    """Whether a file that is not whole begins as LEAN's results do."""
    try:
        return bool(_BEGINNING.match(_content(path)[:4096]))
    except OSError:
        return False


def _decode(path: Path, *, every: bool = False) -> dict[str, Any] | None:
    """Decode an object of JSON, of a result only what is needed; None where it is not whole or not an object."""
    try:
        content = _content(path)
        if every or path.name.startswith(_OTHER_PREFIXES):
            return msgspec.json.decode(content, type=dict[str, Any])
        raw = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        return {key: _decode_value(key, value) for key, value in raw.items() if key.lower() in _NEEDED}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read().decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _decode_value(key: str, value: msgspec.Raw) -> Any:
    """Decode a value of a result; charts, which may have many megabytes, stay encoded."""
    if key.lower() == "charts":
        with suppress(msgspec.ValidationError):
            return msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    return msgspec.json.decode(value)


def _content(path: Path) -> bytes:
    return path.read_bytes().removeprefix(b"\xef\xbb\xbf")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _newest(paths: Iterable[Path]) -> Path | None:
    """The last one by name, which ends with the time."""
    return max(paths, key=lambda path: path.name, default=None)


def _lines(folder: Path, kind: str) -> list[str] | None:
    path = _newest(folder.glob(f"{kind}-*.txt"))
    if path is None:
        return None
    try:
        return path.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError:
        return None


def _own_fill(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    if get_any(order, "status") not in (_FILLED, "filled", "Filled"):
        return []
    return [
        {
            "orderId": get_any(order, "id"),
            "time": get_any(order, "lastFillTime"),
            "status": "filled",
            "fillPrice": get_any(order, "price"),
            "fillPriceCurrency": get_any(order, "priceCurrency"),
            "fillQuantity": get_any(order, "quantity"),
        }
    ]
