"""Values that the processes of a benchmark exchange as JSON over their standard streams."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from attrs import field, frozen


@frozen(kw_only=True)
class MarketSpec:
    """Which bars the local server has.

    Attributes:
        days: Trading days, ascending.
        bars: The number of bars on each day.
    """

    symbols: tuple[str, ...]
    resolution: str
    days: tuple[date, ...]
    bars: int


@frozen(kw_only=True)
class VendorSpec:
    """How the local server responds.

    Attributes:
        key: The API key that it accepts.
        latency: Seconds from a request to the first byte of its response.
        per_minute: The number of requests allowed in a minute of the clock; further ones get status 429.
        clock: The file of the simulated clock, if time is simulated.
    """

    market: MarketSpec
    key: str = field(repr=False)
    latency: float = 0.0
    per_minute: int | None = None
    clock: str | None = None


@frozen(kw_only=True)
class VendorCounts:
    """What the local server counted since its last reset.

    Attributes:
        requests: All requests, rejected ones included.
        refused: Requests rejected with status 429.
        bytes: Bytes of response bodies as sent.
        days_twice: Days of a symbol of which at least one bar was sent more than once.
    """

    requests: int = 0
    refused: int = 0
    bytes: int = 0
    days_twice: int = 0


@frozen(kw_only=True)
class RunSpec:
    """One run of a contender: what to download, from where, and into which folder.

    Attributes:
        days: All trading days of their range, ascending.
        now: The instant that counts as the current time, which decides whether days are settled.
        clock: The file of the simulated clock, if waits are simulated.
        lean_config: The lean.json for the LEAN CLI.
    """

    contender: str
    url: str
    key: str = field(repr=False)
    folder: str
    symbols: tuple[str, ...]
    resolution: str
    days: tuple[date, ...]
    now: datetime
    per_minute: int | None = None
    clock: str | None = None
    lean_config: str | None = None

    @property
    def path(self) -> Path:
        """The data folder to fill."""
        return Path(self.folder)

    def batches(self) -> Iterator[tuple[str, list[date]]]:
        """Yield symbols with the days of one request: a month of minutes, a day of seconds, all daily bars."""
        size = {"minute": "%Y%m", "second": "%Y%m%d", "daily": "all"}[self.resolution]
        for symbol in self.symbols:
            for _, days in groupby(self.days, lambda day: f"{day:{size}}"):
                yield symbol, list(days)


@frozen(kw_only=True)
class ClientCounts:
    """What a contender counted in its own run; requests and bytes are used where no local server counts them."""

    requests: int | None = None
    bytes: int | None = None
    cache_hits: int = 0
    retries: int = 0


@frozen(kw_only=True)
class RunMeasurement:
    """Time and memory of one run.

    Attributes:
        seconds: Wall-clock seconds.
        waited: Seconds of simulated waits.
        cpu_seconds: Processor seconds of the process and its descendants.
        peak_mb: Peak memory in megabytes.
    """

    seconds: float
    waited: float
    cpu_seconds: float
    peak_mb: float
    counts: ClientCounts
