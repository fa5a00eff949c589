"""The simulated clock of the benchmarks."""

from __future__ import annotations

import threading
from pathlib import Path

from benchmarks.simulated_clock import SimulatedCancelToken, SimulatedClock


def test_the_clock_advances_through_waits_only(tmp_path: Path) -> None:
    """It does not advance between waits, has one time for all who open it, and sums the waits."""
    clock, other = SimulatedClock(tmp_path / "clock"), SimulatedClock(tmp_path / "clock")
    began = clock.time()

    clock.sleep(2.5)

    assert clock.time() == other.monotonic() == began + 2.5
    assert clock.time_ns() == int((began + 2.5) * 1e9)
    assert (clock.waited, other.waited) == (2.5, 2.5)


def test_waits_from_one_instant_run_in_parallel(tmp_path: Path) -> None:
    """Three threads that read the clock and then wait a minute end a minute later, not three."""
    clock = SimulatedClock(tmp_path / "clock")
    looked = threading.Barrier(3)

    def wait() -> None:
        clock.time()
        looked.wait(10)
        clock.sleep(60)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert clock.waited == 60


def test_a_thread_that_is_busy_holds_the_clock(tmp_path: Path) -> None:
    """While a thread has a request in flight the clock does not advance.

    One thread reads the clock, another waits a minute: the minute passes when the first has its response.
    """
    clock = SimulatedClock(tmp_path / "clock")
    looked, held = threading.Event(), []

    def send_request() -> None:
        clock.time()
        looked.set()
        while not clock.waiting:
            pass
        held.append(clock.waited)
        clock.response_received()

    sender = threading.Thread(target=send_request)
    sender.start()
    looked.wait(10)
    clock.sleep(60)
    sender.join(10)

    assert held == [0]
    assert clock.waited == 60


def test_the_earliest_wait_ends_first(tmp_path: Path) -> None:
    """Of two waits from one instant the shorter ends after its own duration, not after the longer one's."""
    clock = SimulatedClock(tmp_path / "clock")
    began, ends = clock.time(), {}
    both = threading.Barrier(2)
    clock.response_received()

    def wait(seconds: float) -> None:
        clock.time()
        both.wait(10)
        clock.sleep(seconds)
        ends[seconds] = clock.time() - began
        clock.response_received()

    threads = [threading.Thread(target=wait, args=(seconds,)) for seconds in (30, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert ends == {30: 30, 60: 60}


def test_tokens_wait_on_the_clock(tmp_path: Path) -> None:
    """The waits of a token and its children advance the clock, until they are cancelled."""
    clock = SimulatedClock(tmp_path / "clock")
    token = SimulatedCancelToken(clock)
    child = token.child()

    assert not child.wait(30)
    assert clock.waited == 30
    token.cancel()
    assert child.cancelled
    assert child.wait(30)
    assert token.child().cancelled
    assert clock.waited == 30
