"""What the processes of a measurement tell each other, as JSON over their standard streams."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from attrs import field, frozen


@frozen(kw_only=True)
class MarketJob:
    """Which bars the local vendor has."""

    symbols: tuple[str, ...]
    resolution: str
    days: tuple[date, ...]
    bars: int


@frozen(kw_only=True)
class VendorJob:
    """How the local vendor answers.

    Attributes:
        latency: Seconds from a request to the first byte of its answer.
        per_minute: More requests than these in a minute of the clock are answered with 429.
        clock: The file of the simulated clock that says what a minute is.
    """

    market: MarketJob
    key: str = field(repr=False)
    latency: float = 0.0
    per_minute: int | None = None
    clock: str | None = None


@frozen(kw_only=True)
class Counts:
    """What the local vendor saw since it was last asked to forget.

    Attributes:
        requests: All of them, refused ones too.
        refused: Those answered with 429.
        bytes: Of the bodies, as they were sent.
        days_twice: Days of a symbol that had a bar sent more than once.
    """

    requests: int = 0
    refused: int = 0
    bytes: int = 0
    days_twice: int = 0


@frozen(kw_only=True)
class Job:
    """One run of a contender: what to fetch, from where, and into which folder.

    Attributes:
        days: All trading days of their range, ascending.
        now: The instant that counts as now, by which days are settled.
        clock: The file of the simulated clock, where waits are simulated.
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

    def questions(self) -> Iterator[tuple[str, list[date]]]:
        """Symbols with the days that one question asks for: a month of minutes, a day of seconds, all daily bars."""
        size = {"minute": "%Y%m", "second": "%Y%m%d", "daily": "all"}[self.resolution]
        for symbol in self.symbols:
            for _, days in groupby(self.days, lambda day: f"{day:{size}}"):
                yield symbol, list(days)


@frozen(kw_only=True)
class Told:
    """What a contender says of its own run; where the local vendor counts, its counts stand."""

    requests: int | None = None
    bytes: int | None = None
    cache_hits: int = 0
    retries: int = 0


@frozen(kw_only=True)
class Ran:
    """What a run took: seconds of the clock on the wall, of simulated waits, of the processors; megabytes at most."""

    seconds: float
    waited: float
    cpu_seconds: float
    peak_mb: float
    told: Told
