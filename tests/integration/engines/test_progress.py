"""A run is followed while it runs: by the result file that LEAN rewrites, and by its live stream."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ToolMissingError
from server.engines.base import EngineProgress
from server.engines.live_stream import UNREADABLE
from server.engines.progress import follow_run
from tests.support.lean_runs import lean_runs, log_text
from tests.support.patience import PATIENCE

zmq = pytest.importorskip("zmq")

MIDNIGHT = 1388725200
"""Of the end of 2 January 2014 in New York."""

DAY_SECONDS = 86_400


class Followed:
    """What a follower reported."""

    def __init__(self) -> None:
        self.progress: list[EngineProgress] = []
        self.lines: list[str] = []

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (self.progress[-3:], self.lines[-3:])
            time.sleep(0.01)

    def follow(self, folder: Path, port: int | None = None, **dates: date) -> Any:
        """Follow a run."""
        return follow_run(
            folder, stream_port=port, on_progress=self.progress.append, on_line=self.lines.append, **dates
        )


def result(days: int, orders: int = 0) -> str:
    """A result file after a number of days."""
    points = [[MIDNIGHT + DAY_SECONDS * day, 1, 1, 1, 100_000 + day] for day in range(days)]
    return json.dumps(
        {
            "charts": {"Strategy Equity": {"series": {"Equity": {"values": points}}}},
            "orders": {str(order): {"id": order} for order in range(max(1, orders - 99), orders + 1)},
            "state": {"Status": "Running"},
        }
    )


# --- by the result file ---


def test_a_file_that_is_rewritten_in_place(tmp_path: Path) -> None:
    """Its folder appears after LEAN's start; a half-written file is read once it is whole; the log has the dates."""
    followed, folder = Followed(), tmp_path / "results"

    with followed.follow(folder, start=date(2020, 1, 1), end=date(2020, 12, 31)):
        folder.mkdir()
        (folder / "log.txt").write_text(log_text("Dates: Start: 01/02/2014 End: 01/11/2014 Cash: ¤100,000.00"))
        path = folder / "run.json"
        path.write_text(result(1))
        followed.until(lambda: followed.progress)
        with path.open("w") as file:
            whole = result(5, orders=250)
            file.write(whole[: len(whole) // 2])
            file.flush()
            (folder / "run-summary.json").write_text(result(9))
            (folder / "run-order-events.json").write_text("[]")
            time.sleep(1.5)
            assert len(followed.progress) == 1
            file.write(whole[len(whole) // 2 :])
        followed.until(lambda: len(followed.progress) == 2)

    first, second = followed.progress
    assert (first.day, first.fraction, first.orders) == (date(2014, 1, 2), 0.1, 0)
    assert (second.day, second.fraction, second.orders) == (date(2014, 1, 6), 0.5, 250)
    assert second.equity.values == (100_000, 100_001, 100_002, 100_003, 100_004)
    assert followed.lines == []


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """A run that was followed to its end reports the last state, also if it was written only just before."""
    followed, path = Followed(), tmp_path / "run.json"

    with followed.follow(tmp_path):
        path.write_text(result(1))
        followed.until(lambda: followed.progress)
        time.sleep(2.2)
        path.write_text(result(3))

    assert [progress.day for progress in followed.progress] == [date(2014, 1, 2), date(2014, 1, 4)]
    path.write_text(result(4))
    time.sleep(1.2)
    assert len(followed.progress) == 2


def test_the_expected_dates_where_lean_has_logged_none(tmp_path: Path) -> None:
    """A file of another program next to the result is no progress."""
    followed = Followed()
    (tmp_path / "notes.json").write_text('{"a": 1}')

    with followed.follow(tmp_path, start=date(2014, 1, 2), end=date(2014, 1, 5)):
        (tmp_path / "run.json").write_text(result(3))
        followed.until(lambda: followed.progress)

    assert followed.progress[0].fraction == 0.75


@pytest.mark.parametrize("streamed", [False, True])
def test_a_run_does_not_fail_with_its_observer(tmp_path: Path, streamed: bool) -> None:
    """An exception of what receives the progress ends the reports, and is not raised into the run."""

    def fails(what: object) -> None:
        seen.append(what)
        raise OSError("no space left on device")

    seen: list[object] = []
    with lean_socket() as (socket, port):
        followed = follow_run(tmp_path, stream_port=port if streamed else None, on_progress=fails, on_line=fails)
        with followed:
            (tmp_path / "run.json").write_text(result(1))
            if streamed:
                for _ in range(500):
                    send(socket, {"Type": "Log", "Message": "hello"})

    assert len(seen) == 1


# --- by the live stream ---


@contextmanager
def lean_socket() -> Iterator[tuple[Any, int]]:
    """LEAN's socket on a free port; sending to it waits for a receiver, as LEAN does."""
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, 10)
    socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE * 1000))
    try:
        yield socket, socket.bind_to_random_port("tcp://127.0.0.1")
    finally:
        context.destroy(linger=0)


def send(socket: Any, packet: dict[str, Any]) -> None:
    """Send a packet as LEAN does: one message of one frame."""
    socket.send(json.dumps(packet).encode())


def chart(day: int, fraction: float, **results: Any) -> dict[str, Any]:
    """A packet with the equity of a day."""
    values = [[MIDNIGHT + DAY_SECONDS * day + 43_200, 1, 1, 1, 100_000 + day]]  # noon, so that no day is left out
    charts = {"Strategy Equity": {"Series": {"Equity": {"values": values}}}}
    return {"Type": "BacktestResult", "Progress": fraction, "Results": {"Charts": charts, **results}}


def test_a_recorded_stream(tmp_path: Path) -> None:
    """The receiver is connected before LEAN's socket exists; the last report has the whole of it."""
    text = (lean_runs(os.environ) / "live-stream" / "stream.jsonl").read_text("utf-8")
    packets = [json.loads(line)["packet"] for line in text.splitlines()]
    followed = Followed()
    with lean_socket() as (socket, port):
        socket.unbind(f"tcp://127.0.0.1:{port}")
        with followed.follow(tmp_path, port):
            time.sleep(0.2)
            socket.bind(f"tcp://127.0.0.1:{port}")
            for packet in packets:
                send(socket, packet)

    last = followed.progress[-1]
    assert (last.day, last.fraction, last.orders) == (date(2014, 12, 31), 1.0, 2)
    assert followed.lines[0].startswith("Debug: 2014-01-02 00:00:00 Launching analysis")
    assert list(tmp_path.iterdir()) == []


def test_the_stream_is_received_to_its_end(tmp_path: Path) -> None:
    """Thousands of packets and unreadable ones between them: LEAN is not held up; a report a second."""
    followed = Followed()
    with lean_socket() as (socket, port):
        began = time.monotonic()
        with followed.follow(tmp_path, port):
            for day in range(1000):
                send(socket, chart(day, day / 1000, Orders={str(day + 1): {}}))
                socket.send(b"\x00garbage")
                socket.send_multipart([b"{", b"}"])
                send(socket, {"Type": "Debug", "Message": f"day {day}"})
            socket.close(linger=int(PATIENCE * 1000))
        seconds = time.monotonic() - began

    last = followed.progress[-1]
    assert (len(last.equity.dates), last.orders, last.fraction) == (1000, 1000, 0.999)
    assert len(followed.progress) <= seconds + 2
    assert followed.lines.count(UNREADABLE) == 1
    assert [line for line in followed.lines if line != UNREADABLE] == [f"Debug: day {day}" for day in range(1000)]


def test_a_run_without_a_stream_ends_at_once(tmp_path: Path) -> None:
    """LEAN may fail before it binds its socket; another program may have the port."""
    followed = Followed()
    began = time.monotonic()

    with followed.follow(tmp_path, 9):
        pass

    assert time.monotonic() - began < PATIENCE
    assert (followed.progress, followed.lines) == ([], [])
    assert "lean-live-stream" not in {thread.name for thread in threading.enumerate()}


def test_pyzmq_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before LEAN starts and says what to install."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "zmq" else find_spec(name))
    entered = False

    with (
        pytest.raises(ToolMissingError, match=r"pip install 'backtest-server\[stream\]'"),
        Followed().follow(tmp_path, 9),
    ):
        entered = True

    assert not entered
