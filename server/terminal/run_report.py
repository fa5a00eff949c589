"""Prints a results folder of LEAN: the verdict, figures, LEAN's analysis, orders and the equity curve."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from server.core.text import count_text
from server.terminal.render import console, print_equity, print_figures, print_lines

if TYPE_CHECKING:
    from server.engines.results import LeanRun

MOST_ORDERS = 10
"""The number of orders that are printed; ``--json`` has all."""

_STATUS = {0: "new", 1: "submitted", 2: "partially filled", 3: "filled", 5: "canceled", 6: "none", 7: "invalid"}
"""LEAN's names of the status of an order (LEAN: ``OrderStatus``)."""

_COLUMNS = ("order", "time (UTC)", "symbol", "quantity", "status", "filled", "price", "tag")


def print_run(run: LeanRun) -> None:
    """Print a run of LEAN; what it lacks is left out."""
    span = f", {run.start} to {run.end}" if run.start and run.end else ""
    print_lines([run.verdict or f"{run.state.value}{f': {run.error}' if run.error else ''}"])
    print_lines([f"{run.id or 'no result'}, {run.state.value}{span}"] if run.verdict or run.id else [])
    print_lines(f"note: {note}" for note in run.notes)
    for title, figures in (
        ("statistics", run.statistics),
        ("runtime statistics", run.runtime_statistics),
        ("data", data_figures(run)),
    ):
        if figures:
            console().print(Text(title, style="bold"))
            print_figures(figures)
    _print_analysis(run)
    _print_orders(run)
    if run.equity.dates:
        print_equity(run.equity.dates, run.equity.values, "equity in dollars")


def data_figures(run: LeanRun) -> dict[str, str]:
    """Return the figures about the data of a run by name."""
    numbers = {
        "data points": run.data_points,
        "data requests": run.requests.total,
        "failed data requests": run.requests.failed,
        "missing files that count": sum(file.counts for file in run.missing) if run.requests.known else None,
    }
    return {name: f"{number:,}" for name, number in numbers.items() if number is not None}


def _print_analysis(run: LeanRun) -> None:
    findings = [finding for finding in run.analysis if isinstance(finding, dict)]
    out = console()
    if findings:
        out.print(Text("LEAN's analysis", style="bold"))
    for finding in findings:
        out.print(f"- {_one_line(finding.get('issue') or finding.get('name'))}")
        if (sample := finding.get("sample")) not in (None, True, ""):
            out.print(f"    sample: {_one_line(sample)}")
        for solution in finding.get("solutions") or []:
            out.print(f"    try: {_one_line(solution)}")


def _print_orders(run: LeanRun) -> None:
    if not run.orders:
        return
    out = console()
    out.print(Text(count_text(len(run.orders), "order"), style="bold"))
    if not out.is_terminal:
        out.width = max(out.width, 200)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("quantity", "filled", "price") else "left")
    for order in list(run.orders.values())[:MOST_ORDERS]:
        table.add_row(*order_cells(order))
    out.print(table)
    if len(run.orders) > MOST_ORDERS:
        out.print(f"and {count_text(len(run.orders) - MOST_ORDERS, 'order')} more; --json has all")


def order_cells(order: Mapping[str, Any]) -> tuple[str, ...]:
    """Return an order as the cells of a table: id, time, symbol, quantity, status, filled quantity, price, tag."""
    fills = [fill for fill in order.get("fills", []) if isinstance(fill, dict)]
    filled = sum(_number(fill.get("fillQuantity")) for fill in fills)
    paid = sum(_number(fill.get("fillQuantity")) * _number(fill.get("fillPrice")) for fill in fills)
    symbol = order.get("symbol")
    status = order.get("status")
    return (
        str(order.get("id", "")),
        _time(order.get("time")),
        str(symbol.get("value", "") if isinstance(symbol, dict) else symbol or ""),
        f"{_number(order.get('quantity')):g}",
        _STATUS.get(status, str(status)) if isinstance(status, int) else str(status or ""),
        f"{filled:g}" if fills else "",
        f"{paid / filled:,.4f}" if filled else "",
        _one_line(order.get("tag") or ""),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _time(value: object) -> str:
    if isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}"
    return str(value or "").replace("T", " ").removesuffix("Z")


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
