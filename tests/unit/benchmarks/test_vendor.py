"""The local server of the benchmarks: its bars, its pages, its counts, its budget on a simulated clock."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from benchmarks.market import SyntheticMarket
from benchmarks.messages import MarketSpec, RunSpec, VendorSpec
from benchmarks.simulated_clock import SimulatedClock
from benchmarks.vendor import Vendor, gzipped

DAYS = (date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11))  # a Thursday, a Friday, and the Monday of summer time
KEY = "Bearer k"
NEW_YORK = ZoneInfo("America/New_York")


def market(resolution: str = "minute", bars: int = 4) -> MarketSpec:
    return MarketSpec(symbols=("AAPL", "SPY"), resolution=resolution, days=DAYS, bars=bars)


def vendor(bars: int = 4, **settings: Any) -> Vendor:
    made = Vendor(VendorSpec(market=market(bars=bars), key="k", **settings))
    made.url = "http://127.0.0.1:1"
    return made


def respond(server: Vendor, target: str, key: str = KEY) -> tuple[int, dict[str, Any]]:
    """The response as a client reads it, which is the same compressed and plain."""
    status, chunks = server.respond(target, key)
    plain = b"".join(chunk.text for chunk in chunks)
    assert gzip.decompress(gzipped(chunks)) == plain
    return status, json.loads(plain)


def bars_path(first: object, last: object, symbol: str = "SPY") -> str:
    return f"/v2/aggs/ticker/{symbol}/range/1/minute/{first}/{last}"


def test_bars_are_where_sessions_are() -> None:
    """The first minute is 09:30 in New York, in winter and in summer; a day that is too long begins at 04:00."""
    _, page = respond(vendor(), bars_path("2024-03-08", "2024-03-11"))
    _, long = respond(vendor(bars=960), bars_path("2024-03-11", "2024-03-11"))
    times = [datetime.fromtimestamp(bar["t"] / 1000, NEW_YORK) for bar in page["results"]]

    assert [f"{one:%m-%d %H:%M}" for one in times[::4]] == ["03-08 09:30", "03-11 09:30"]
    assert len(times) == 8
    assert f"{datetime.fromtimestamp(long['results'][0]['t'] / 1000, NEW_YORK):%H:%M}" == "04:00"


@pytest.mark.parametrize("resolution", ["minute", "daily"])
def test_files_have_the_bars_of_the_responses(resolution: str) -> None:
    """The expected rows on disk are those of the JSON: prices in ten-thousandths, label and volume."""
    made = SyntheticMarket(market(resolution, bars=1 if resolution == "daily" else 4))
    files = {path: (member, csv.decode().split("\n")) for path, member, csv in made.files()}
    bars = json.loads(b"[" + b"".join(chunk.text for chunk in made.chunks("SPY", 0, len(made.times))) + b"]")
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
    pages = [respond(vendor(), bars_path(DAYS[0], DAYS[-1], symbol))[1]["results"] for symbol in ("AAPL", "SPY", "SPY")]

    assert all(bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"] for bar in pages[0])
    assert all(bar["v"] > 0 and bar["l"] > 0 for bar in pages[0])
    assert pages[0] != pages[1] == pages[2]


def test_pages_follow_their_next_url() -> None:
    """Twelve bars in pages of five: 5, 5 and 2, none twice, none missing; the last has no next_url."""
    server, target, pages = vendor(), f"{bars_path(DAYS[0], DAYS[-1])}?limit=5&adjusted=False", []
    while target:
        _, page = respond(server, target)
        pages.append(page)
        target = page.get("next_url", "").removeprefix(server.url)
    whole = respond(server, bars_path(DAYS[0], DAYS[-1]))[1]["results"]

    assert [page["resultsCount"] for page in pages] == [5, 5, 2]
    assert [bar for page in pages for bar in page["results"]] == whole
    assert all(page["adjusted"] is False for page in pages)
    assert "cursor=" in urlsplit(pages[0]["next_url"]).query


def test_ranges_may_be_instants() -> None:
    """From and to may be milliseconds, both inclusive."""
    server = vendor()
    whole = respond(server, bars_path("2024-03-08", "2024-03-08"))[1]["results"]

    _, page = respond(server, bars_path(whole[1]["t"], whole[2]["t"]))

    assert page["results"] == whole[1:3]


def test_other_requests_get_the_vendors_responses() -> None:
    """No bars: 200 without results. No key: 401. Another path: 404. The list of exchanges exists."""
    server = vendor()

    status, empty = respond(server, bars_path("2024-03-09", "2024-03-10"))
    assert (status, empty["resultsCount"], "results" in empty) == (200, 0, False)
    assert respond(server, bars_path(*DAYS[:2], symbol="XYZ"))[1]["resultsCount"] == 0
    assert respond(server, bars_path(*DAYS[:2]), key="Bearer other")[0] == 401
    assert respond(server, "/v9")[0] == 404
    assert respond(server, "/v3/reference/exchanges?limit=5000")[0] == 200


def test_days_that_are_sent_twice_are_counted() -> None:
    """Each day of a symbol once, however many of its bars; pages that share a day send none of its bars twice."""
    server = vendor()
    respond(server, bars_path(DAYS[0], DAYS[1]))
    respond(server, bars_path(DAYS[0], DAYS[1], "AAPL"))
    assert server.counts().days_twice == 0

    respond(server, bars_path(DAYS[1], DAYS[2]))
    assert server.counts().days_twice == 1
    server.reset()
    assert server.counts().days_twice == 0


def test_the_budget_is_for_a_minute_of_the_clock(tmp_path: Path) -> None:
    """Of three requests two succeed; after a minute on the shared clock two more do."""
    ours = SimulatedClock(tmp_path / "clock")
    server = vendor(per_minute=2, clock=str(tmp_path / "clock"))

    assert [respond(server, "/v3/reference/exchanges")[0] for _ in range(3)] == [200, 200, 429]
    ours.sleep(59.9)
    assert respond(server, "/v3/reference/exchanges")[0] == 429
    ours.sleep(0.1)
    assert [respond(server, "/v3/reference/exchanges")[0] for _ in range(3)] == [200, 200, 429]
    assert server.counts().refused == 3


def test_no_key_is_shown() -> None:
    """Values with the key do not show it in their repr."""
    spec = RunSpec(
        contender="wire",
        url="u",
        key="secret-key",
        folder="f",
        symbols=("SPY",),
        resolution="minute",
        days=DAYS,
        now=datetime(2024, 5, 1, tzinfo=NEW_YORK),
    )

    assert "secret-key" not in repr(spec) + repr(VendorSpec(market=market(), key="secret-key"))


@pytest.mark.parametrize(("resolution", "sizes"), [("minute", [3, 2]), ("second", [1] * 5), ("daily", [5])])
def test_a_batch_is_a_month_a_day_or_all(resolution: str, sizes: list[int]) -> None:
    """Days at the end of February and the beginning of March, batched as in the client's manual."""
    days = (date(2024, 2, 27), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4))
    spec = RunSpec(
        contender="massive",
        url="",
        key="",
        folder="",
        symbols=("A", "B"),
        resolution=resolution,
        days=days,
        now=datetime(2024, 5, 1, tzinfo=NEW_YORK),
    )

    batches = list(spec.batches())

    assert [len(days) for symbol, days in batches if symbol == "B"] == sizes
    assert [day for symbol, days in batches if symbol == "A" for day in days] == list(days)
