"""The benchmarks' own vendor: its bars, its pages, its budget on a clock that only waiting moves."""

from __future__ import annotations

import gzip
import json
import threading
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from server.bench.job import Job, MarketJob, VendorJob
from server.bench.market import Market
from server.bench.simulated import SimulatedClock, SimulatedToken
from server.bench.vendor import Vendor, gzipped

DAYS = (date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11))  # a Thursday, a Friday, and the Monday of summer time
KEY = "Bearer k"
NEW_YORK = ZoneInfo("America/New_York")


def market(resolution: str = "minute", bars: int = 4) -> MarketJob:
    return MarketJob(symbols=("AAPL", "SPY"), resolution=resolution, days=DAYS, bars=bars)


def vendor(bars: int = 4, **settings: Any) -> Vendor:
    made = Vendor(VendorJob(market=market(bars=bars), key="k", **settings))
    made.url = "http://127.0.0.1:1"
    return made


def asked(server: Vendor, target: str, key: str = KEY) -> tuple[int, dict[str, Any]]:
    """The answer as a client reads it, which is the same packed and plain."""
    status, pieces = server.answer(target, key)
    plain = b"".join(piece.text for piece in pieces)
    assert gzip.decompress(gzipped(pieces)) == plain
    return status, json.loads(plain)


def bars_path(first: object, last: object, symbol: str = "SPY") -> str:
    return f"/v2/aggs/ticker/{symbol}/range/1/minute/{first}/{last}"


def test_bars_are_where_sessions_are() -> None:
    """The first minute is 09:30 in New York, in winter and in summer; a day that is too long begins at 04:00."""
    _, page = asked(vendor(), bars_path("2024-03-08", "2024-03-11"))
    _, long = asked(vendor(bars=960), bars_path("2024-03-11", "2024-03-11"))
    times = [datetime.fromtimestamp(bar["t"] / 1000, NEW_YORK) for bar in page["results"]]

    assert [f"{one:%m-%d %H:%M}" for one in times[::4]] == ["03-08 09:30", "03-11 09:30"]
    assert len(times) == 8
    assert f"{datetime.fromtimestamp(long['results'][0]['t'] / 1000, NEW_YORK):%H:%M}" == "04:00"


@pytest.mark.parametrize("resolution", ["minute", "daily"])
def test_files_are_what_the_answers_say(resolution: str) -> None:
    """The rows that are expected on disk are those of the JSON: prices in ten-thousandths, label and volume."""
    made = Market(market(resolution, bars=1 if resolution == "daily" else 4))
    files = {path: (member, csv.decode().split("\n")) for path, member, csv in made.files()}
    bars = json.loads(b"[" + b"".join(piece.text for piece in made.pieces("SPY", 0, len(made.times))) + b"]")
    rows = [
        ",".join(str(round(bar[name] * 10_000)) for name in ("o", "h", "l", "c")) + f",{bar['v']:.0f}" for bar in bars
    ]

    if resolution == "daily":
        labels = [f"{day:%Y%m%d} 00:00" for day in DAYS]
        assert files["equity/usa/daily/spy.zip"] == (
            "spy.csv",
            [f"{label},{row}" for label, row in zip(labels, rows, strict=True)],
        )
    else:
        labels = [str(34_200_000 + 60_000 * minute) for minute in range(4)]
        member, lines = files["equity/usa/minute/spy/20240308_trade.zip"]
        assert member == "20240308_spy_minute_trade.csv"
        assert lines == [f"{label},{row}" for label, row in zip(labels, rows[4:8], strict=True)]
    assert len(files) == (2 if resolution == "daily" else 2 * len(DAYS))


def test_bars_are_plausible_and_the_same_each_time() -> None:
    """High and low enclose open and close, volumes are positive; symbols differ, and two markets do not."""
    pages = [asked(vendor(), bars_path(DAYS[0], DAYS[-1], symbol))[1]["results"] for symbol in ("AAPL", "SPY", "SPY")]

    assert all(bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"] for bar in pages[0])
    assert all(bar["v"] > 0 and bar["l"] > 0 for bar in pages[0])
    assert pages[0] != pages[1] == pages[2]


def test_pages_follow_their_next_url() -> None:
    """Twelve bars in pages of five: 5, 5 and 2, none twice, none missing; the last has no next_url."""
    server, target, pages = vendor(), f"{bars_path(DAYS[0], DAYS[-1])}?limit=5&adjusted=False", []
    while target:
        _, page = asked(server, target)
        pages.append(page)
        target = page.get("next_url", "").removeprefix(server.url)
    whole = asked(server, bars_path(DAYS[0], DAYS[-1]))[1]["results"]

    assert [page["resultsCount"] for page in pages] == [5, 5, 2]
    assert [bar for page in pages for bar in page["results"]] == whole
    assert all(page["adjusted"] is False for page in pages)
    assert "cursor=" in urlsplit(pages[0]["next_url"]).query


def test_instants_are_asked_for_as_days_are() -> None:
    """From and to may be milliseconds, both included."""
    server = vendor()
    whole = asked(server, bars_path("2024-03-08", "2024-03-08"))[1]["results"]

    _, page = asked(server, bars_path(whole[1]["t"], whole[2]["t"]))

    assert page["results"] == whole[1:3]


def test_what_it_does_not_have_is_answered_as_the_vendor_does() -> None:
    """No bars: 200 without results. No key: 401. Another path: 404. The list of exchanges is there."""
    server = vendor()

    status, empty = asked(server, bars_path("2024-03-09", "2024-03-10"))
    assert (status, empty["resultsCount"], "results" in empty) == (200, 0, False)
    assert asked(server, bars_path(*DAYS[:2], symbol="XYZ"))[1]["resultsCount"] == 0
    assert asked(server, bars_path(*DAYS[:2]), key="Bearer other")[0] == 401
    assert asked(server, "/v9")[0] == 404
    assert asked(server, "/v3/reference/exchanges?limit=5000")[0] == 200


def test_days_that_are_sent_twice_are_counted() -> None:
    """Each day of a symbol once, however many of its bars; pages that share a day send none of its bars twice."""
    server = vendor()
    asked(server, bars_path(DAYS[0], DAYS[1]))
    asked(server, bars_path(DAYS[0], DAYS[1], "AAPL"))
    assert server.counts().days_twice == 0

    asked(server, bars_path(DAYS[1], DAYS[2]))
    assert server.counts().days_twice == 1
    server.reset()
    assert server.counts().days_twice == 0


def test_the_budget_is_a_minute_of_the_clock(tmp_path: Path) -> None:
    """Of three requests two are answered; after a wait of a minute on the clock that both share two more are."""
    ours = SimulatedClock(tmp_path / "clock")
    server = vendor(per_minute=2, clock=str(tmp_path / "clock"))

    assert [asked(server, "/v3/reference/exchanges")[0] for _ in range(3)] == [200, 200, 429]
    ours.sleep(59.9)
    assert asked(server, "/v3/reference/exchanges")[0] == 429
    ours.sleep(0.1)
    assert [asked(server, "/v3/reference/exchanges")[0] for _ in range(3)] == [200, 200, 429]
    assert server.counts().refused == 3


def test_only_waiting_moves_the_clock(tmp_path: Path) -> None:
    """It stands still between waits, has one instant for all who open it, and counts what was waited."""
    clock, other = SimulatedClock(tmp_path / "clock"), SimulatedClock(tmp_path / "clock")
    began = clock.time()

    clock.sleep(2.5)

    assert clock.time() == other.monotonic() == began + 2.5
    assert clock.time_ns() == int((began + 2.5) * 1e9)
    assert (clock.waited, other.waited) == (2.5, 2.5)


def test_waits_at_one_instant_pass_together(tmp_path: Path) -> None:
    """Three threads that looked at the clock and then wait a minute are done a minute later, not three."""
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
    """Who looked and has no answer yet is waited for, so that its request comes at the instant it was sent at.

    One thread looks, another waits a minute: the clock stands until the first is answered.
    """
    clock = SimulatedClock(tmp_path / "clock")
    looked, held = threading.Event(), []

    def ask() -> None:
        clock.time()
        looked.set()
        while not clock._ends:  # until the other one waits
            pass
        held.append(clock.waited)
        clock.answered()

    asking = threading.Thread(target=ask)
    asking.start()
    looked.wait(10)
    clock.sleep(60)
    asking.join(10)

    assert held == [0]
    assert clock.waited == 60


def test_the_earliest_wait_ends_first(tmp_path: Path) -> None:
    """Of two waits from one instant the shorter one is over at its own end, and not at the longer one's."""
    clock = SimulatedClock(tmp_path / "clock")
    began, ends = clock.time(), {}
    both = threading.Barrier(2)
    clock.answered()

    def wait(seconds: float) -> None:
        clock.time()
        both.wait(10)
        clock.sleep(seconds)
        ends[seconds] = clock.time() - began
        clock.answered()

    threads = [threading.Thread(target=wait, args=(seconds,)) for seconds in (30, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert ends == {30: 30, 60: 60}


def test_tokens_wait_on_the_clock(tmp_path: Path) -> None:
    """A run's token and its children let the clock go on, until they are cancelled."""
    clock = SimulatedClock(tmp_path / "clock")
    token = SimulatedToken(clock)
    child = token.child()

    assert not child.wait(30)
    assert clock.waited == 30
    token.cancel()
    assert child.cancelled
    assert child.wait(30)
    assert token.child().cancelled
    assert clock.waited == 30


def test_no_key_is_shown() -> None:
    """The records that hold the key do not print it."""
    job = Job(
        contender="wire",
        url="u",
        key="secret-key",
        folder="f",
        symbols=("SPY",),
        resolution="minute",
        days=DAYS,
        now=datetime(2024, 5, 1, tzinfo=NEW_YORK),
    )

    assert "secret-key" not in repr(job) + repr(VendorJob(market=market(), key="secret-key"))


@pytest.mark.parametrize(("resolution", "sizes"), [("minute", [3, 2]), ("second", [1] * 5), ("daily", [5])])
def test_a_question_is_a_month_a_day_or_all(resolution: str, sizes: list[int]) -> None:
    """Days at the end of February and the beginning of March, in the portions that the manual asks for."""
    days = (date(2024, 2, 27), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4))
    job = Job(
        contender="massive",
        url="",
        key="",
        folder="",
        symbols=("A", "B"),
        resolution=resolution,
        days=days,
        now=datetime(2024, 5, 1, tzinfo=NEW_YORK),
    )

    questions = list(job.questions())

    assert [len(days) for symbol, days in questions if symbol == "B"] == sizes
    assert [day for symbol, days in questions if symbol == "A" for day in days] == list(days)
