"""The files of a results folder: orders with their fills, data requests, data points."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from server.engines.results import LeanRun, read_run
from server.engines.results_files import day_of
from tests.support.lean_runs import ENGINE_START, log_text, result_of, write_run

NOW = datetime(2026, 11, 27, 14, tzinfo=UTC)
LOG = log_text(ENGINE_START)
ORDERS = {
    "1": {"id": 1, "status": 3, "quantity": 10.0, "price": 2.5, "lastFillTime": "2013-10-07T15:00:00Z", "tag": "in"},
    "2": {"id": 2, "status": 5, "quantity": -10.0, "price": 0.0, "tag": "out, größer € 100"},
}


def event(order: int, quantity: float, status: str = "filled") -> dict[str, Any]:
    """An order event of LEAN."""
    return {"orderId": order, "status": status, "fillQuantity": quantity, "fillPrice": 2.5, "time": 1381158000.0}


def run_of(folder: Path, **files: Any) -> LeanRun:
    """A run with two orders."""
    return read_run(write_run(folder, result=result_of(orders=ORDERS), **{"log": LOG, "failed": [], **files}), NOW)


def test_orders_have_their_fills(tmp_path: Path) -> None:
    """Orders and events keep LEAN's names and values; events without a quantity are no fills."""
    events = [event(1, 0.0, "submitted"), event(1, 4.0, "partiallyFilled"), event(1, 6.0), event(2, 0.0, "canceled")]

    orders = run_of(tmp_path, events=events).orders

    assert orders == {"1": {**ORDERS["1"], "fills": events[1:3]}, "2": {**ORDERS["2"], "fills": []}}


def test_without_events_a_filled_order_has_its_own_fill(tmp_path: Path) -> None:
    """Nothing besides the result is needed; an order that was not filled has no fill."""
    orders = run_of(tmp_path).orders

    (fill,) = orders["1"]["fills"]
    assert (fill["time"], fill["fillPrice"], fill["fillQuantity"]) == ("2013-10-07T15:00:00Z", 2.5, 10.0)
    assert orders["2"]["fills"] == []


def test_events_that_cannot_be_read_are_noted(tmp_path: Path) -> None:
    """The fills are then those of the orders."""
    tmp_path.joinpath("run-order-events.json").write_text("[{")

    run = run_of(tmp_path)

    assert len(run.orders["1"]["fills"]) == 1
    assert "order-events.json cannot be read" in run.notes[0]


def test_both_forms_of_the_data_monitors_files(tmp_path: Path) -> None:
    """Older versions list successes; newer ones only count them."""
    report = {"total-data-requests-count": 5, "failed-data-requests-count": 1, "data-request-rates": []}
    failed, succeeded = ["/equity/usa/daily/x.zip"], ["/equity/usa/daily/y.zip", "/equity/usa/daily/y.zip"]

    older = run_of(tmp_path / "a", failed=failed, succeeded=succeeded, report=report).requests
    newer = run_of(tmp_path / "b", failed=failed, report=report).requests

    assert older.succeeded_paths == ("equity/usa/daily/y.zip",)
    assert newer.succeeded_paths == ()
    for requests in (older, newer):
        assert (requests.total, requests.failed, requests.unlisted) == (5, 1, 0)
        assert requests.failed_paths == ("equity/usa/daily/x.zip",)


def test_the_newest_lists_count(tmp_path: Path) -> None:
    """A folder that was used for several runs has their lists, with the time in their names."""
    run_of(tmp_path, failed=["/equity/usa/daily/old.zip"])
    (tmp_path / "failed-data-requests-20261128000000000.txt").write_text("/equity/usa/daily/new.zip\n")

    assert read_run(tmp_path, NOW).requests.failed_paths == ("equity/usa/daily/new.zip",)


def test_data_points_of_the_algorithms_log(tmp_path: Path) -> None:
    """With a live stream, the line is missing in log.txt."""
    tmp_path.joinpath("run-log.txt").write_text("2014-12-31 16:00:00 Processing total of 2,021 data points.\n")

    assert run_of(tmp_path).data_points == 2021


def test_lean_writes_an_instant_of_no_value() -> None:
    """An algorithm that could not be loaded has no range."""
    assert day_of("0001-01-01T00:00:00Z") is None
    assert day_of(None) is None
    assert day_of("2014-12-31T23:59:59Z") == date(2014, 12, 31)
