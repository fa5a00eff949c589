"""The live stream of the stand-in for LEAN's launcher has the packets of the recorded streams."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.engines.results import RunState
from tests.support.patience import PATIENCE
from tests.support.stand_in_runs import DAILY, LauncherRun, interrupt, wait_until

zmq = pytest.importorskip("zmq")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

STREAMING = "QuantConnect.Messaging.StreamingMessageHandler"
NewRun = Callable[..., LauncherRun]
Packet = dict[str, Any]


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def receive(port: int) -> Iterator[Callable[[], list[Packet]]]:
    """Connect a receiver; ``receive()`` returns the packets up to the whole result."""
    context = zmq.Context()
    receiver = context.socket(zmq.PULL)
    receiver.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    receiver.connect(f"tcp://127.0.0.1:{port}")

    def packets() -> list[Packet]:
        found: list[Packet] = []
        while not found or found[-1].get("Progress") != 1.0:
            [frame] = receiver.recv_multipart()
            found.append(json.loads(frame))
        return found

    yield packets
    receiver.close(linger=0)
    context.term()


def streaming(port: int) -> dict[str, str]:
    """The configuration of a stream."""
    return {"messaging-handler": STREAMING, "desktop-http-port": str(port)}


def recorded_packets(recorded: Path, name: str) -> list[Packet]:
    """The packets of a recorded stream."""
    lines = (recorded / name / "stream.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["packet"] for line in lines]


def test_packets_are_those_of_the_recorded_stream(
    new_run: NewRun, port: int, receive: Callable[[], list[Packet]], recorded_lean_runs: Path
) -> None:
    """The same types in the same order, with the same fields."""
    recorded = recorded_packets(recorded_lean_runs, "live-stream")
    run = new_run(DAILY, marker="slow 1", **streaming(port))
    process = run.start()
    packets = receive()
    run.end(process)

    assert run.read().state is RunState.COMPLETED
    assert [one["Type"] for one in packets[:8]] == [one["Type"] for one in recorded[:8]]
    assert [one["Type"] for one in packets[-4:]] == [one["Type"] for one in recorded[-4:]]
    fields = {one["Type"]: one.keys() for one in recorded if one["Type"] != "BacktestNode"}
    for one in packets[1:]:
        assert one.keys() == fields[one["Type"]]
    assert packets[0].keys() <= recorded[0].keys()
    assert packets[-1]["Results"].keys() == recorded[-1]["Results"].keys()
    kinds = {tuple(one["Results"]) for one in packets[3:-1] if one["Type"] == "BacktestResult"}
    assert kinds == {
        ("RollingWindow", "Charts"),
        ("RollingWindow", "Orders"),
        ("RollingWindow", "RuntimeStatistics", "ServerStatistics"),
    }


def test_points_are_sent_once(new_run: NewRun, port: int, receive: Callable[[], list[Packet]]) -> None:
    """Each packet of a chart has the points since the last one; the whole result has all."""
    process = new_run(DAILY, marker="slow 1", **streaming(port)).start()
    packets = receive()
    process.communicate(timeout=PATIENCE)

    charts = [one["Results"]["Charts"] for one in packets if one.get("Results", {}).get("Charts")]
    equity = [chart["Strategy Equity"]["Series"]["Equity"]["values"] for chart in charts if "Strategy Equity" in chart]
    times = [point[0] for values in equity[:-1] for point in values]
    assert len(equity) > 2
    assert times == sorted(set(times))
    assert set(times) <= {point[0] for point in equity[-1]} | {times[-1]}
    fractions = [one["Progress"] for one in packets if "Progress" in one]
    assert fractions == sorted(fractions)


def test_an_error_is_a_packet(
    new_run: NewRun, port: int, receive: Callable[[], list[Packet]], recorded_lean_runs: Path
) -> None:
    """Recorded: live-stream-runtime-error."""
    recorded = recorded_packets(recorded_lean_runs, "live-stream-runtime-error")
    run = new_run(DAILY, marker="runtime-error line 6 no such key", **streaming(port))
    process = run.start()
    [error] = [one for one in receive() if one["Type"] == "RuntimeError"]

    assert run.end(process).exit_code == 1
    assert "no such key" in error["Message"]
    assert [error.keys()] == [one.keys() for one in recorded if one["Type"] == "RuntimeError"]


def test_without_a_receiver_it_waits(new_run: NewRun, port: int) -> None:
    """Before the first bar, where SIGINT has no effect (facts 3 and 9)."""
    run = new_run(DAILY, **streaming(port))
    process = run.start()
    wait_until(lambda: (run.results / "log.txt").exists())
    interrupt(process)
    with pytest.raises(Exception, match="timed out"):
        process.communicate(timeout=1)

    interrupt(process, signal.SIGTERM)
    assert run.end(process).exit_code == -signal.SIGTERM


def test_a_taken_port_is_an_exception(new_run: NewRun, port: int) -> None:
    """The process aborts."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        run = new_run(DAILY, **streaming(port)).run()

    assert run.exit_code == -signal.SIGABRT
    assert "Address already in use" in run.stderr


def test_the_port_of_a_container_is_published(
    new_run: NewRun, port: int, receive: Callable[[], list[Packet]], tmp_path: Path
) -> None:
    """On 127.0.0.1, under another number."""
    run = new_run(DAILY, **streaming(15555))
    run.config |= {"algorithm-location": "/w/project/main.py", "data-folder": "/w/data", "python-additional-paths": []}
    run.config |= {"results-destination-folder": "/w/run/results", "object-store-root": "/w/run/storage"}
    options = ["--rm", "-v", f"{tmp_path}:/w", "-p", f"127.0.0.1:{port}:15555"]
    process = run.start(argv=["docker", "run", *options, "quantconnect/lean", "--config", "/w/run/config.json"])

    assert receive()[-1]["Progress"] == 1.0
    assert run.end(process).exit_code == 0


def test_a_recorded_stream_is_replayed(
    new_run: NewRun, port: int, receive: Callable[[], list[Packet]], recorded_lean_runs: Path
) -> None:
    """Packet by packet."""
    process = new_run(marker="replay live-stream", **streaming(port)).start()

    assert receive() == recorded_packets(recorded_lean_runs, "live-stream")
    process.communicate(timeout=PATIENCE)
