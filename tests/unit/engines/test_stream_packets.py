"""Packets of LEAN's live stream: recorded ones of the real engine, and any content."""

from __future__ import annotations

import json
import os
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.engines.stream_packets import StreamPacket, StreamProgress, largest_order, parse_packet
from tests.support.lean_runs import lean_runs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def recorded(name: str) -> list[bytes]:
    """The packets of a recorded run, as the engine sent them."""
    text = (lean_runs(os.environ) / name / "stream.jsonl").read_text("utf-8")
    return [json.dumps(json.loads(line)["packet"]).encode() for line in text.splitlines()]


def followed(packets: list[bytes]) -> tuple[StreamProgress, list[str]]:
    """What a stream adds up to, and its lines."""
    state, lines = StreamProgress(), []
    for payload in packets:
        packet = parse_packet(payload)
        assert packet is not None
        state.add(packet)
        lines += packet.lines
    return state, lines


def result_packet(results: Any, **fields: Any) -> bytes:
    """A packet with a result so far."""
    return json.dumps({"Progress": 0.5, "Results": results, "Type": "BacktestResult", **fields}).encode()


def equity_results(points: Any) -> dict[str, Any]:
    """A result with points of the equity curve, its keys as LEAN writes them."""
    return {"Charts": {"Strategy Equity": {"Series": {"Equity": {"name": "Equity", "values": points}}}}}


def test_a_recorded_stream_adds_up_to_the_result() -> None:
    """The curve is that of the result file, day for day; LEAN's log has none of the lines."""
    state, lines = followed(recorded("live-stream"))
    progress = state.progress()

    folder = lean_runs(os.environ) / "live-stream" / "results"
    whole = json.loads((folder / "live-stream.json").read_text("utf-8"))
    points = whole["charts"]["Strategy Equity"]["series"]["Equity"]["values"]
    assert progress.equity.values[-1] == points[-1][-1]
    assert (progress.day, progress.fraction) == (date(2014, 12, 31), 1.0)
    assert progress.equity.dates[0] == date(2014, 1, 1)  # midnight before the first day
    assert progress.orders == len(whole["orders"])
    assert lines[0] == "Debug: 2014-01-02 00:00:00 Launching analysis for live-stream with LEAN Engine v2.5.0.0"
    assert lines[-1].startswith("Debug: 2014-12-31 16:00:00 Your log was successfully created")


def test_the_progress_grows_with_each_packet() -> None:
    """Day, fraction and orders only ascend."""
    state, seen = StreamProgress(), []
    for payload in recorded("live-stream"):
        packet = parse_packet(payload)
        assert packet is not None
        if state.add(packet):
            progress = state.progress()
            seen.append((progress.fraction, progress.orders, progress.day or date.min))

    assert seen == sorted(seen)
    assert seen[0][0] == 0.0
    assert {0.269, 0.558, 0.857} < {fraction for fraction, *_ in seen}


def test_a_runtime_error_is_a_line_without_the_stack() -> None:
    """The error's packet has the message and .NET's stack."""
    _, lines = followed(recorded("live-stream-runtime-error"))

    assert "Error: 2013-10-07 11:10:00 Runtime Error: something went wrong at bar 100 in Dump.cs:line 75" in lines, (
        lines
    )
    assert not [line for line in lines if "System.Exception" in line]


def test_the_algorithm_in_the_first_packet_is_dropped() -> None:
    """It may have many megabytes."""
    algorithm = {"Type": "BacktestNode", "Algorithm": "A" * 1_000_000}

    assert parse_packet(json.dumps(algorithm).encode()) == StreamPacket()


def test_a_message_of_several_lines() -> None:
    """Each is a line; only the first has LEAN's word, as in its log."""
    packet = parse_packet(json.dumps({"Type": "Log", "Message": "one\n\n  two\r\nthree\n"}).encode())

    assert packet is not None
    assert packet.lines == ("Log: one", "  two", "three")


def test_keys_may_have_any_case() -> None:
    """LEAN's versions write camel case or Pascal case."""
    equity = {"charts": {"strategy equity": {"series": {"equity": {"values": [[1388725200, 5.0]]}}}}}
    packet = parse_packet(json.dumps({"type": "backtestresult", "progress": 0.25, "results": equity}).encode())

    assert packet == StreamPacket(fraction=0.25, values={date(2014, 1, 2): 5.0}, orders=0)


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [(0, 0.0), (1, 1.0), (1.5, 1.0), (-0.1, 0.0), (True, None), (None, None), ("0.5", None), ([], None)],
)
def test_the_fraction_is_between_0_and_1(progress: Any, fraction: float | None) -> None:
    """Anything else is unknown."""
    packet = parse_packet(result_packet({}, Progress=progress))

    assert packet is not None
    assert packet.fraction == fraction


@pytest.mark.parametrize(
    "points",
    [None, {}, "x", [[]], [[1]], [None], [["a", "b"]], [[10**30, 1]], [[1e300, 1]], [[0, 10**400]], [[-(10**12), 1]]],
)
def test_points_that_are_none_are_ignored(points: Any) -> None:
    """Those next to them count."""
    with_good = [*points, [1388725200, 7.5]] if isinstance(points, list) else points
    packet = parse_packet(result_packet(equity_results(with_good)))

    assert packet is not None
    assert packet.values == ({date(2014, 1, 2): 7.5} if isinstance(points, list) else {})


@pytest.mark.parametrize(
    ("keys", "number"), [([], 0), (["1", "2", "12"], 12), (["x", "-1", "²", "7"], 7), (["9" * 5000, "3"], 3)]
)
def test_orders_count_from_one(keys: list[str], number: int) -> None:
    """The largest id is their number."""
    assert largest_order(keys) == number


@example(b"")
@example(b"[]")
@example(b"{}")
@example(b"\xff\xfe")
@example(b'{"Type": 1}')
@example(b'{"Type": ' + b"[" * 100_000)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_content_that_is_no_packet(payload: bytes) -> None:
    """Nothing is raised."""
    packet = parse_packet(payload)

    assert packet is None or isinstance(packet, StreamPacket)


@given(JSON, JSON, JSON)
def test_any_result(results: Any, points: Any, progress: Any) -> None:
    """A result whose parts are anything says nothing or something, and raises nothing; nor does adding it."""
    state = StreamProgress()
    for payload in (result_packet(results, Progress=progress), result_packet(equity_results(points))):
        packet = parse_packet(payload)
        assert packet is not None
        state.add(packet)

    fraction = state.progress().fraction
    assert fraction is None or 0 <= fraction <= 1


def test_one_value_a_day_is_stored() -> None:
    """A long stream needs no more memory than its days do, and repeated points change nothing."""
    state = StreamProgress()
    hours = [[1388725200 + 3600 * hour, 100.0 + hour] for hour in range(-23, 1)]

    assert state.add(StreamPacket(values={})) is False
    packet = parse_packet(result_packet(equity_results(hours)))
    assert packet is not None
    assert len(packet.values) == 1
    assert [state.add(packet), state.add(packet)] == [True, False]
    assert state.progress().equity.values == (100.0,)
